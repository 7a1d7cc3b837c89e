//! CAP messages come in: an area at a time, and what they end.

use headwater_event::Event;
use headwater_service::{Failure, Outgoing, Tx, Value, body};
use serde::{Deserialize, Serialize};

use super::report::{fresh, take};
use super::rules::{self, Alert};
use super::state::{Spot, State, micros};
use super::tell::{Entry, carry_out};
use super::{cause, current, end_of_it, location, tables};
use crate::alerts::cap::{Piece, Stage};
use crate::alerts::lane::Lane;
use crate::alerts::place;
use crate::alerts::topics::{RAW, raw};

/// What a CAP Update or Cancel refers to: those messages are no longer in force.
#[derive(Debug, Serialize, Deserialize)]
pub struct References {
    /// The identities of the messages.
    pub ends: Vec<String>,
    /// How the one that refers to them is meant: a test ends no alert.
    pub lane: Lane,
    /// Places of which it says something itself.
    pub but: Vec<String>,
}

/// A message is no longer in force at a place.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    identity: String,
    lane: Lane,
}

/// One area of a message.
pub async fn piece(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let piece: Piece = body::read(event)?;
    if piece.location != location(event)? || !place::is_name(&piece.kind) || piece.sent.len() > place::LEN_MAX {
        return Err(Failure::dead("this is no piece of a CAP message"));
    }
    let mut cause = cause(event);
    if is_ended(tx, piece.lane, &piece.identity, &micros(event.at)).await? {
        let entry = Entry {
            what: "cancelled before it came",
            lane: piece.lane.name(),
            location: &piece.location,
            kind: &piece.kind,
            sent: &piece.sent,
            ends: piece.end(),
            detail: &piece.identity,
            ..Entry::default()
        };
        cause.record(tx, entry).await?;
        return Ok(());
    }
    let key = [in_lane(piece.lane, &piece.identity).into(), piece.location.as_str().into()];
    tx.execute(&tables::PUT_CAP_AREA, &key).await?;
    let info = serde_json::to_string(&piece.info).map_err(|error| Failure::dead(error.to_string()))?;
    let alert = Alert { kind: piece.kind.clone(), sent: piece.sent.clone(), ends: piece.end() };
    let spot = match piece.stage {
        Stage::PreAlert => Spot::pre_alert(piece.lane, &piece.location),
        Stage::Alert | Stage::AllClear => Spot::alert(piece.lane, &piece.location),
    };
    if piece.stage == Stage::Alert && piece.revises.is_empty() {
        return take(tx, &mut cause, &spot, alert, &piece.identity, &info).await;
    }
    let held = current(tx, &mut cause, &spot).await?;
    let is_its_own = held.as_ref().is_some_and(|state| piece.revises.contains(&state.cap));
    let (verdict, state) = match (piece.stage, held) {
        (Stage::PreAlert, held) => {
            let verdict = rules::pre_alert(held.as_ref().map(|state| state.alert.clone()), alert.clone(), cause.at);
            (verdict, held.unwrap_or_else(|| fresh(alert, cause.at, &piece.identity, &info)))
        }
        (Stage::AllClear, Some(state)) => (rules::end(state.alert.clone()), state),
        (Stage::AllClear, None) => (rules::end(alert.clone()), fresh(alert, cause.at, "", &info)),
        (Stage::Alert, Some(state)) if is_its_own => {
            let verdict = rules::revise(state.alert.clone(), alert, cause.at);
            (verdict, State { cap: piece.identity.clone(), info, ..state })
        }
        (Stage::Alert, _) => return take(tx, &mut cause, &spot, alert, &piece.identity, &info).await,
    };
    carry_out(tx, &mut cause, &spot, verdict, state).await
}

/// What an Update or Cancel refers to is no longer in force, whether it has come yet or not.
pub async fn references(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let references: References = body::read(event)?;
    let lane = references.lane;
    for identity in &references.ends {
        // The row is held from here on: pieces of that message that come at the same moment wait, and see the end.
        is_ended(tx, lane, identity, &micros(event.at)).await?;
        let key = [in_lane(lane, identity).into()];
        let areas = tx.query(&tables::CAP_AREAS, &key).await?;
        for row in &areas {
            let location = row.text(0)?;
            if !references.but.iter().any(|kept| kept == location) {
                let end = End { identity: identity.clone(), lane };
                let topic = format!("{RAW}/{}/{}", place::level(location), raw::END);
                tx.publish(Outgoing::json(&topic, &end)?)?;
            }
        }
        tx.execute(&tables::END_CAP, &key).await?;
        tx.execute(&tables::DROP_CAP_AREAS, &key).await?;
    }
    Ok(())
}

/// A message is no longer in force at a place. What has come together with others goes on.
pub async fn end_of(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let end: End = body::read(event)?;
    let location = location(event)?;
    let mut cause = cause(event);
    for spot in [Spot::alert(end.lane, &location), Spot::pre_alert(end.lane, &location)] {
        let held = spot.hold(tx).await?;
        let Some(state) = held.filter(|state| !end.identity.is_empty() && state.cap == end.identity) else { continue };
        end_of_it(tx, &mut cause, &spot, state).await?;
    }
    Ok(())
}

/// Whether a message is no longer in force; nobody else changes that in this transaction's time.
async fn is_ended(tx: &mut Tx<'_>, lane: Lane, identity: &str, now: &Value) -> Result<bool, Failure> {
    let key = in_lane(lane, identity);
    tx.execute(&tables::HOLD_CAP, &[key.as_str().into(), now.clone()]).await?;
    let row = tx.query_opt(&tables::CAP_ENDED, &[key.into()]).await?;
    Ok(match row {
        Some(row) => row.int(0)? != 0,
        None => false,
    })
}

/// What the tables know a message by: a test that refers to an alert is about a test of that name, and ends no alert.
fn in_lane(lane: Lane, identity: &str) -> String {
    format!("{}/{identity}", lane.name())
}
