//! What is active at a place: one row, read and written.

use headwater_event::Time;
use headwater_service::{Failure, Row, Tx, Value};

use super::rules::Alert;
use super::tables;
use crate::alerts::lane::Lane;
use crate::alerts::place;

/// Which of the two kinds of state a place has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// Act.
    Alert,
    /// Prepare.
    PreAlert,
}

impl StageKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::PreAlert => "pre-alert",
        }
    }
}

/// Where a row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    pub lane: Lane,
    pub stage: StageKind,
    pub location: String,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What is active.
    pub alert: Alert,
    /// Since when, by the hub's clock.
    pub since: Time,
    /// Whether an `update` is the latest word.
    pub is_updated: bool,
    /// Whether it was told to the public.
    pub is_on_air: bool,
    /// Whether it has changed since it was told.
    pub is_behind: bool,
    /// The record's entry with which it began.
    pub opened_by: String,
    /// The CAP message that it is wholly of, or nothing.
    pub cap: String,
    /// What else CAP said, as JSON, or nothing.
    pub info: String,
}

impl Spot {
    pub fn alert(lane: Lane, location: &str) -> Self {
        Self { lane, stage: StageKind::Alert, location: location.to_owned() }
    }

    pub fn pre_alert(lane: Lane, location: &str) -> Self {
        Self { lane, stage: StageKind::PreAlert, location: location.to_owned() }
    }

    /// The name of its timer.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.lane.name(), self.stage.name(), place::level(&self.location))
    }

    /// The spot of a timer.
    pub fn of_key(key: &str) -> Option<Self> {
        let mut parts = key.splitn(3, '/');
        let lane = Lane::named(parts.next()?)?;
        let stage = match parts.next()? {
            "alert" => StageKind::Alert,
            "pre-alert" => StageKind::PreAlert,
            _ => return None,
        };
        Some(Self { lane, stage, location: place::location(parts.next()?)? })
    }

    fn values(&self) -> Vec<Value> {
        vec![self.lane.name().into(), self.stage.name().into(), self.location.as_str().into()]
    }

    /// What is active there; from here on nobody else changes it in this transaction's time.
    pub async fn hold(&self, tx: &mut Tx<'_>) -> Result<Option<State>, Failure> {
        if tx.execute(&tables::HOLD_ACTIVE, &self.values()).await? == 0 {
            return Ok(None);
        }
        let row = tx.query_opt(&tables::ACTIVE, &self.values()).await?;
        row.map(|row| State::of_row(&row)).transpose()
    }

    /// This is active there.
    pub async fn put(&self, tx: &mut Tx<'_>, state: &State) -> Result<(), Failure> {
        let mut values = self.values();
        values.extend([
            Value::from(state.alert.kind.as_str()),
            state.alert.sent.as_str().into(),
            micros(state.alert.ends),
            micros(state.since),
            i64::from(state.is_updated).into(),
            i64::from(state.is_on_air).into(),
            i64::from(state.is_behind).into(),
            state.opened_by.as_str().into(),
            state.cap.as_str().into(),
            state.info.as_str().into(),
        ]);
        tx.execute(&tables::PUT_ACTIVE, &values).await?;
        Ok(())
    }

    /// Nothing is active there.
    pub async fn clear(&self, tx: &mut Tx<'_>) -> Result<(), Failure> {
        tx.execute(&tables::DROP_ACTIVE, &self.values()).await?;
        Ok(())
    }
}

impl State {
    fn of_row(row: &Row) -> Result<Self, Failure> {
        let alert = Alert { kind: row.text(0)?.to_owned(), sent: row.text(1)?.to_owned(), ends: time(row.int(2)?) };
        Ok(Self {
            alert,
            since: time(row.int(3)?),
            is_updated: row.int(4)? != 0,
            is_on_air: row.int(5)? != 0,
            is_behind: row.int(6)? != 0,
            opened_by: row.text(7)?.to_owned(),
            cap: row.text(8)?.to_owned(),
            info: row.text(9)?.to_owned(),
        })
    }
}

/// A moment as the tables have it.
pub fn micros(time: Time) -> Value {
    Value::Int(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

/// And back.
pub fn time(micros: i64) -> Time {
    Time(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_leads_back_to_its_spot() {
        for lane in Lane::ALL {
            for spot in [Spot::alert(lane, "a/b +#%"), Spot::pre_alert(lane, "-")] {
                assert_eq!(Spot::of_key(&spot.key()), Some(spot));
            }
        }
        for key in ["", "actual", "actual/alert", "actual/alert/", "real/alert/x", "actual/open/x", "actual/alert/%41"]
        {
            assert_eq!(Spot::of_key(key), None, "{key}");
        }
    }
}
