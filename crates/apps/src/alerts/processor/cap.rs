//! CAP messages come in: an area at a time, and what they end.

use headwater_event::Event;
use headwater_service::{Failure, Outgoing, Tx, Value, body};
use serde::{Deserialize, Serialize};

use super::report::{fresh, take};
use super::rules::{self, Alert};
use super::state::{Spot, State, micros};
use super::tell::{Cause, Entry, carry_out};
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
    let (alert, pre_alert) = (Spot::alert(piece.lane, &piece.location), Spot::pre_alert(piece.lane, &piece.location));
    // What it replaces may have been of the other stage. An all-clear comes before a pre-alert, which it would seem to end, and
    // the end of a pre-alert after the alert.
    if piece.stage == Stage::PreAlert {
        give_way(tx, &mut cause, &alert, &piece).await?;
        return warn(tx, &mut cause, &pre_alert, &piece).await;
    }
    if piece.stage == Stage::Alert {
        raise(tx, &mut cause, &alert, &piece).await?;
    } else {
        clear(tx, &mut cause, &alert, &piece).await?;
    }
    give_way(tx, &mut cause, &pre_alert, &piece).await
}

/// An alert, new or as a new version of the one that is active.
async fn raise(tx: &mut Tx<'_>, cause: &mut Cause, spot: &Spot, piece: &Piece) -> Result<(), Failure> {
    let (alert, info) = (alert_of(piece), info_of(piece)?);
    match current(tx, cause, spot).await? {
        Some(state) if piece.revises.contains(&state.cap) => {
            let verdict = rules::revise(state.alert.clone(), alert, cause.at);
            carry_out(tx, cause, spot, verdict, State { cap: piece.identity.clone(), info, ..state }).await
        }
        _ => take(tx, cause, spot, alert, &piece.identity, &info).await,
    }
}

/// A pre-alert, new or as a new version of the one that is active.
async fn warn(tx: &mut Tx<'_>, cause: &mut Cause, spot: &Spot, piece: &Piece) -> Result<(), Failure> {
    let (warning, info) = (alert_of(piece), info_of(piece)?);
    let (verdict, state) = match current(tx, cause, spot).await? {
        None => (rules::pre_alert(None, warning.clone(), cause.at), fresh(warning, cause.at, &piece.identity, &info)),
        Some(state) if piece.revises.contains(&state.cap) => {
            let verdict = rules::revise_pre_alert(state.alert.clone(), warning, cause.at);
            (verdict, State { cap: piece.identity.clone(), info, ..state })
        }
        Some(state) => {
            let verdict = rules::pre_alert(Some(state.alert.clone()), warning, cause.at);
            // Two have come together: neither message speaks for all of it any more.
            (verdict, if state.cap == piece.identity { state } else { State { cap: String::new(), ..state } })
        }
    };
    carry_out(tx, cause, spot, verdict, state).await
}

/// An all-clear ends whatever is active, and is told also where nothing is.
async fn clear(tx: &mut Tx<'_>, cause: &mut Cause, spot: &Spot, piece: &Piece) -> Result<(), Failure> {
    let state = match current(tx, cause, spot).await? {
        Some(state) => state,
        None => fresh(alert_of(piece), cause.at, "", &info_of(piece)?),
    };
    carry_out(tx, cause, spot, rules::end(state.alert.clone()), state).await
}

/// Ends what a message replaces by something of another stage.
async fn give_way(tx: &mut Tx<'_>, cause: &mut Cause, spot: &Spot, piece: &Piece) -> Result<(), Failure> {
    if piece.revises.is_empty() {
        return Ok(());
    }
    match current(tx, cause, spot).await?.filter(|state| piece.revises.contains(&state.cap)) {
        Some(state) => end_of_it(tx, cause, spot, state).await,
        None => Ok(()),
    }
}

fn alert_of(piece: &Piece) -> Alert {
    Alert { kind: piece.kind.clone(), sent: piece.sent.clone(), ends: piece.end() }
}

fn info_of(piece: &Piece) -> Result<String, Failure> {
    serde_json::to_string(&piece.info).map_err(|error| Failure::dead(error.to_string()))
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
