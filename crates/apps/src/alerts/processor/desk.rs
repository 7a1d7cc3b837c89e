//! The desk: silence over a place, and taking note of an alert, each with a reason and an end.

use std::time::Duration;

use headwater_event::Event;
use headwater_service::{Failure, Outgoing, Timer, Tx, body};
use serde::{Deserialize, Serialize};

use super::state::{Spot, micros};
use super::tell::{Cause, Entry, catch_up};
use super::{SILENCE_END, cause, location, tables};
use crate::alerts::lane::Lane;
use crate::alerts::{moment, place};

/// The longest reason in bytes.
pub const REASON_MAX: usize = 500;
/// The longest silence or acknowledgement in minutes: a week. What lasts longer wants to be said again.
pub const MINUTES_MAX: u32 = 7 * 24 * 60;

/// What the desk says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Of which place.
    pub location: String,
    /// Why.
    pub reason: String,
    /// For how long; 0 ends a silence.
    pub minutes: u32,
}

/// What is told of it.
#[derive(Serialize)]
struct Said<'a> {
    location: &'a str,
    by: &'a str,
    reason: &'a str,
    until: String,
}

impl Note {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence that names the field and what it should be.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let note: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if !place::is_name(&note.location) {
            return Err(format!("location: 1 to {} bytes of text in one line", place::LEN_MAX));
        }
        if note.reason.trim().is_empty() || note.reason.len() > REASON_MAX || note.reason.chars().any(char::is_control)
        {
            return Err(format!("reason: 1 to {REASON_MAX} bytes of text in one line"));
        }
        if note.minutes > MINUTES_MAX {
            return Err(format!("minutes: at most {MINUTES_MAX}"));
        }
        Ok(note)
    }

    const fn lasts(&self) -> Duration {
        Duration::from_secs(60 * self.minutes as u64)
    }
}

/// Nothing more is to be sent of a place.
pub async fn silence(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let note = read(event)?;
    let mut cause = cause(event);
    let until = event.at.plus(note.lasts());
    let level = place::level(&note.location);
    let row = [
        note.location.as_str().into(),
        cause.who.as_str().into(),
        note.reason.as_str().into(),
        micros(event.at),
        micros(until),
    ];
    tx.execute(&tables::PUT_SILENCE, &row).await?;
    record(tx, &mut cause, "silence", &note, until).await?;
    if note.minutes == 0 {
        tx.clear_timer(SILENCE_END, &level);
        return lift(tx, &mut cause, &note.location, until).await;
    }
    tx.set_timer(SILENCE_END, &level, until, Vec::new())
}

/// A silence has come to its end.
pub async fn silence_over(tx: &mut Tx<'_>, timer: &Timer) -> Result<(), Failure> {
    let Some(location) = place::location(&timer.key) else { return Err(Failure::dead("a timer of no place")) };
    let mut cause =
        Cause::new(format!("timer/silence/{}/{}", timer.key, timer.due.as_micros()), "clock".into(), tx.now());
    lift(tx, &mut cause, &location, timer.due).await
}

/// Ends a silence that lasts no longer than until then, and tells what it has kept back and what is still so.
async fn lift(tx: &mut Tx<'_>, cause: &mut Cause, location: &str, until: headwater_event::Time) -> Result<(), Failure> {
    if tx.execute(&tables::DROP_SILENCE, &[location.into(), micros(until)]).await? == 0 {
        return Ok(());
    }
    let spot = Spot::alert(Lane::Actual, location);
    match spot.hold(tx).await?.filter(|state| state.is_behind && state.alert.ends > cause.at) {
        Some(state) => catch_up(tx, cause, &spot, state).await,
        None => Ok(()),
    }
}

/// Somebody has taken note of what is active at a place.
pub async fn acknowledge(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let note = read(event)?;
    let mut cause = cause(event);
    let until = event.at.plus(note.lasts());
    let row = [
        Lane::Actual.name().into(),
        note.location.as_str().into(),
        cause.who.as_str().into(),
        note.reason.as_str().into(),
        micros(event.at),
        micros(until),
    ];
    tx.execute(&tables::PUT_ACKNOWLEDGED, &row).await?;
    record(tx, &mut cause, "acknowledge", &note, until).await
}

/// Reads what the desk said, whichever way it came.
fn read(event: &Event) -> Result<Note, Failure> {
    let note: Note = body::read(event)?;
    if note.location != location(event)? || note.minutes > MINUTES_MAX || note.reason.len() > REASON_MAX {
        return Err(Failure::dead("this is no note of the desk"));
    }
    Ok(note)
}

/// Puts it on record, and tells it.
async fn record(
    tx: &mut Tx<'_>,
    cause: &mut Cause,
    what: &str,
    note: &Note,
    until: headwater_event::Time,
) -> Result<(), Failure> {
    let entry = Entry {
        what,
        lane: Lane::Actual.name(),
        location: &note.location,
        ends: until,
        detail: &note.reason,
        ..Entry::default()
    };
    cause.record(tx, entry).await?;
    let level = if what == "silence" { "silenced" } else { "acknowledged" };
    let topic = format!("alerts-desk/{}/{level}", place::level(&note.location));
    let said = Said { location: &note.location, by: &cause.who, reason: &note.reason, until: moment::spelt(until) };
    tx.publish(Outgoing::json(&topic, &said)?)
}
