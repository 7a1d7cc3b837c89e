//! A report in JSON comes in.

use std::time::Duration;

use headwater_event::{Event, Time};
use headwater_service::{Failure, Timer, Tx};

use super::rules::{self, Alert};
use super::state::{Spot, State, micros, time};
use super::tell::{Cause, carry_out};
use super::{FORGET, cause, current, location, tables};
use crate::alerts::lane::Lane;
use crate::alerts::place;
use crate::alerts::report::Report;
use crate::alerts::topics::KEYED;

/// Handles one.
pub async fn report(tx: &mut Tx<'_>, event: &Event, window: Duration) -> Result<(), Failure> {
    let report = Report::read(&event.payload).map_err(Failure::dead)?;
    if report.location != location(event)? {
        return Err(Failure::dead("location: is not the topic's"));
    }
    if is_known(tx, &report, event, window).await? {
        return Ok(());
    }
    let spot = Spot::alert(Lane::Actual, &report.location);
    let alert = Alert { kind: report.kind, sent: report.sent, ends: report.ends };
    take(tx, &mut cause(event), &spot, alert, "", "").await
}

/// A report, from wherever it came, changes what is active.
pub async fn take(
    tx: &mut Tx<'_>,
    cause: &mut Cause,
    spot: &Spot,
    alert: Alert,
    cap: &str,
    info: &str,
) -> Result<(), Failure> {
    let held = current(tx, cause, spot).await?;
    let verdict = rules::report(held.as_ref().map(|state| state.alert.clone()), alert.clone(), cause.at);
    let state = match held {
        // Two have come together: neither CAP message speaks for all of it any more.
        Some(state) if state.cap != cap => State { cap: String::new(), ..state },
        Some(state) => state,
        None => fresh(alert, cause.at, cap, info),
    };
    carry_out(tx, cause, spot, verdict, state).await
}

/// Something that begins now.
pub fn fresh(alert: Alert, at: Time, cap: &str, info: &str) -> State {
    State {
        alert,
        since: at,
        is_updated: false,
        is_on_air: false,
        is_behind: false,
        opened_by: String::new(),
        cap: cap.to_owned(),
        info: info.to_owned(),
    }
}

/// Whether the same content came within the window before; notes that it came.
///
/// The window begins with the report that counted, so a source that repeats itself for ever is heard once a window.
async fn is_known(tx: &mut Tx<'_>, report: &Report, event: &Event, window: Duration) -> Result<bool, Failure> {
    if window.is_zero() {
        return Ok(false);
    }
    let key = [report.location.as_str().into(), report.content().into()];
    if event.headers.get(KEYED).is_none()
        && let Some(row) = tx.query_opt(&tables::RECENT, &key).await?
        && event.at < time(row.int(0)?).plus(window)
    {
        return Ok(true);
    }
    let [place, content] = key;
    tx.execute(&tables::PUT_RECENT, &[place, content, micros(event.at)]).await?;
    tx.set_timer(FORGET, &place::level(&report.location), event.at.plus(window), Vec::new())?;
    Ok(false)
}

/// The window of a place's newest report is over: forgets what lies before.
pub async fn forget(tx: &mut Tx<'_>, timer: &Timer, window: Duration) -> Result<(), Failure> {
    let Some(location) = place::location(&timer.key) else { return Err(Failure::dead("a timer of no place")) };
    let window = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
    let old = micros(Time(timer.due.as_micros().saturating_sub(window)));
    tx.execute(&tables::FORGET_RECENT, &[location.into(), old]).await?;
    Ok(())
}
