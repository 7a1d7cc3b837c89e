//! How what follows from something that came is told, kept and put on record: all in the transaction of its handler.

use headwater_event::Time;
use headwater_service::{Failure, Outgoing, Tx, Value};
use ring::digest;
use serde::Serialize;

use super::rules::{Told, Verdict, Word};
use super::state::{Spot, StageKind, State, micros};
use super::tables;
use crate::alerts::lane::Lane;
use crate::alerts::{moment, place};

/// The first level of what a silence has kept back.
const SILENCED: &str = "alerts-silenced";

/// What a client reads. The end stands in `duration`, where existing clients look for it.
#[derive(Serialize)]
struct Spoken<'a> {
    #[serde(rename = "eventType")]
    event_type: String,
    location: &'a str,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "sentTime")]
    sent_time: &'a str,
    duration: String,
}

/// What made a handler run.
#[derive(Clone, Debug)]
pub struct Cause {
    /// Its event's id, or its timer's name.
    pub id: String,
    /// Who sent it.
    pub who: String,
    /// When.
    pub at: Time,
    /// How many entries on record it has made.
    entries: u64,
}

/// An entry on record.
#[derive(Debug, Default)]
pub struct Entry<'a> {
    pub what: &'a str,
    pub lane: &'a str,
    pub location: &'a str,
    pub kind: &'a str,
    pub sent: &'a str,
    pub ends: Time,
    pub opened_by: &'a str,
    pub detail: &'a str,
}

impl Cause {
    pub fn new(id: String, who: String, at: Time) -> Self {
        Self { id, who, at, entries: 0 }
    }

    /// Puts something on record and gives its name there: the same one each time that the same cause is handled.
    pub async fn record(&mut self, tx: &mut Tx<'_>, entry: Entry<'_>) -> Result<String, Failure> {
        let id = name(&format!("{}#{}", self.id, self.entries));
        // Entries of one cause stand in their order: a microsecond lies between two of them.
        let at = Time(self.at.as_micros().saturating_add(self.entries));
        self.entries += 1;
        let opened_by = if entry.opened_by.is_empty() { &id } else { entry.opened_by };
        let values: [Value; 11] = [
            id.as_str().into(),
            micros(at),
            self.who.as_str().into(),
            entry.what.into(),
            entry.lane.into(),
            entry.location.into(),
            entry.kind.into(),
            entry.sent.into(),
            micros(entry.ends),
            opened_by.into(),
            entry.detail.into(),
        ];
        tx.execute(&tables::PUT_AUDIT, &values).await?;
        Ok(id)
    }
}

/// Something followed: tells it, keeps what is active then, and sets the timer of its end.
///
/// `base` is the state as it would be but for what the verdict says of it.
pub async fn carry_out(
    tx: &mut Tx<'_>,
    cause: &mut Cause,
    spot: &Spot,
    verdict: Verdict,
    base: State,
) -> Result<(), Failure> {
    let is_silenced = is_silenced(tx, spot, cause.at).await?;
    let mut state = base;
    for told in &verdict.told {
        // The public hears the end of what it has heard of, silence or not.
        let is_end = matches!(told.word, Word::AllClear | Word::PreAlertEnd);
        let is_kept_back = if is_end { !state.is_on_air && is_silenced } else { is_silenced };
        let id = say(tx, cause, spot, told, &state, is_kept_back).await?;
        if state.opened_by.is_empty() {
            state.opened_by = id;
        }
        if told.is_state && !is_kept_back {
            end_update(tx, spot, &mut state, told.word)?;
            state.is_on_air = true;
            state.is_behind = false;
        } else if told.is_state {
            state.is_behind = true;
        }
    }
    match verdict.active {
        Some(alert) => {
            let ends = alert.ends;
            state.alert = alert;
            spot.put(tx, &state).await?;
            tx.set_timer(super::END, &spot.key(), ends, Vec::new())
        }
        None => {
            forget(tx, spot, &state)?;
            tx.clear_timer(super::END, &spot.key());
            spot.clear(tx).await
        }
    }
}

/// What was kept back is told, now that the silence is over.
pub async fn catch_up(tx: &mut Tx<'_>, cause: &mut Cause, spot: &Spot, mut state: State) -> Result<(), Failure> {
    let told = Told { word: Word::Open, alert: state.alert.clone(), is_state: true };
    say(tx, cause, spot, &told, &state, false).await?;
    end_update(tx, spot, &mut state, Word::Open)?;
    state.is_on_air = true;
    state.is_behind = false;
    spot.put(tx, &state).await
}

/// Tells one event, and puts it on record.
async fn say(
    tx: &mut Tx<'_>,
    cause: &mut Cause,
    spot: &Spot,
    told: &Told,
    state: &State,
    is_kept_back: bool,
) -> Result<String, Failure> {
    let (lane, alert) = (spot.lane, &told.alert);
    let root = if is_kept_back { SILENCED } else { lane.root() };
    let spoken = Spoken {
        event_type: lane.word(told.word.name()),
        location: &spot.location,
        kind: lane.kind(&alert.kind),
        sent_time: &alert.sent,
        duration: moment::spelt(alert.ends),
    };
    let out = Outgoing::json(&topic(root, &spot.location, told.word), &spoken)?;
    tx.publish(if told.is_state && !is_kept_back { out.sticky() } else { out })?;
    let kept_back = format!("silenced: {}", told.word.name());
    let entry = Entry {
        what: if is_kept_back { &kept_back } else { told.word.name() },
        lane: lane.name(),
        location: &spot.location,
        kind: &alert.kind,
        sent: &alert.sent,
        ends: alert.ends,
        opened_by: &state.opened_by,
        detail: &state.info,
    };
    cause.record(tx, entry).await
}

/// A state that was told on the topic of alerts makes an earlier `update` old.
fn end_update(tx: &mut Tx<'_>, spot: &Spot, state: &mut State, word: Word) -> Result<(), Failure> {
    if word == Word::Update {
        state.is_updated = true;
    } else if std::mem::take(&mut state.is_updated) {
        tx.publish(Outgoing::clear(&topic(spot.lane.root(), &spot.location, Word::Update))?)?;
    }
    Ok(())
}

/// Nothing is active any more: late joiners are told nothing.
fn forget(tx: &mut Tx<'_>, spot: &Spot, state: &State) -> Result<(), Failure> {
    if !state.is_on_air {
        return Ok(());
    }
    let word = if spot.stage == StageKind::Alert { Word::Open } else { Word::PreAlert };
    tx.publish(Outgoing::clear(&topic(spot.lane.root(), &spot.location, word))?)?;
    if state.is_updated {
        tx.publish(Outgoing::clear(&topic(spot.lane.root(), &spot.location, Word::Update))?)?;
    }
    Ok(())
}

/// Whether the desk wants nothing more to be sent of a place. Exercises and tests disturb nobody who doesn't listen to them.
async fn is_silenced(tx: &mut Tx<'_>, spot: &Spot, now: Time) -> Result<bool, Failure> {
    if spot.lane != Lane::Actual {
        return Ok(false);
    }
    let until = tx.query_opt(&tables::SILENCE, &[spot.location.as_str().into()]).await?;
    Ok(match until {
        Some(row) => super::state::time(row.int(0)?) > now,
        None => false,
    })
}

fn topic(root: &str, location: &str, word: Word) -> String {
    format!("{root}/{}/{}", place::level(location), word.level())
}

/// A short name for something: the first 96 bits of its digest, enough for 10^14 entries.
fn name(text: &str) -> String {
    use std::fmt::Write as _;
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref()[..12].iter().fold(String::with_capacity(24), |mut out, byte| {
        // Writing into a String can't fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
