//! The processor: a service that makes of what sources send what everybody hears.
//!
//! It keeps what is active as state, in the transaction in which it tells it; so a report has its effect once, whatever is
//! killed, and the same report three times is one. Order is kept for each place. The end of an alert is a timer.

mod cap;
mod desk;
mod report;
mod rules;
mod state;
pub mod tables;
mod tell;

use std::time::Duration;

use headwater_event::Event;
use headwater_service::{Failure, Service, Timer, Tx};

use super::topics::{self, SOURCE};
use rules::{end, pre_alert_end};
use state::{Spot, StageKind, State};
use tell::{Cause, carry_out};

pub use cap::References;
pub use desk::Note;
pub use rules::MIXED;
pub use state::{micros, time};

/// The name of the service, of its group and of its store.
pub const NAME: &str = "alerts";
/// The timer at the end of what is active.
const END: &str = "end";
/// The timer that forgets the contents of reports.
const FORGET: &str = "forget";
/// The timer at the end of a silence.
const SILENCE_END: &str = "silence-end";

/// What the processor goes by.
#[derive(Clone, Debug)]
pub struct ProcessorSettings {
    /// For how long the same content, without an `Idempotency-Key`, is the same report. Zero: never.
    pub window: Duration,
    /// How long the record of all that was sent is kept.
    pub record_kept: Duration,
}

impl ProcessorSettings {
    /// A minute: what a source that gets no answer takes to send again.
    pub const WINDOW: Duration = Duration::from_secs(60);
    /// Four hundred days: a year, and the time to look back at it.
    pub const RECORD_KEPT: Duration = Duration::from_secs(400 * 86_400);
}

impl Default for ProcessorSettings {
    fn default() -> Self {
        Self { window: Self::WINDOW, record_kept: Self::RECORD_KEPT }
    }
}

/// The service.
pub fn processor(settings: ProcessorSettings) -> Service {
    let ProcessorSettings { window, record_kept } = settings;
    Service::new(NAME)
        .migrations(tables::MIGRATIONS)
        .statements(tables::STATEMENTS)
        .publishes(&[
            "alerts/#",
            "alerts-exercise/#",
            "alerts-test/#",
            "alerts-silenced/#",
            "alerts-desk/#",
            "alerts-raw/+/end",
        ])
        .key_of(|event| topics::place_of(event.topic.as_str()).map(str::to_owned))
        .on("alerts-raw/+/report", async move |tx: &mut Tx<'_>, event: &Event| report::report(tx, event, window).await)
        .on("alerts-raw/+/cap", async |tx: &mut Tx<'_>, event: &Event| cap::piece(tx, event).await)
        .on("alerts-raw/+/references", async |tx: &mut Tx<'_>, event: &Event| cap::references(tx, event).await)
        .on("alerts-raw/+/end", async |tx: &mut Tx<'_>, event: &Event| cap::end_of(tx, event).await)
        .on("alerts-raw/+/silence", async |tx: &mut Tx<'_>, event: &Event| desk::silence(tx, event).await)
        .on("alerts-raw/+/acknowledge", async |tx: &mut Tx<'_>, event: &Event| desk::acknowledge(tx, event).await)
        .on_timer(END, async move |tx: &mut Tx<'_>, timer: &Timer| over(tx, timer, record_kept).await)
        .on_timer(FORGET, async move |tx: &mut Tx<'_>, timer: &Timer| report::forget(tx, timer, window).await)
        .on_timer(SILENCE_END, async |tx: &mut Tx<'_>, timer: &Timer| desk::silence_over(tx, timer).await)
}

/// What is active at a place has come to its end.
async fn over(tx: &mut Tx<'_>, timer: &Timer, record_kept: Duration) -> Result<(), Failure> {
    let Some(spot) = Spot::of_key(&timer.key) else { return Err(Failure::dead("a timer of no place")) };
    // Another end may have been set while this timer was on its way.
    let Some(state) = spot.hold(tx).await?.filter(|state| state.alert.ends <= timer.due) else { return Ok(()) };
    let mut cause = Cause::new(format!("timer/{}/{}", timer.key, timer.due.as_micros()), "clock".into(), tx.now());
    end_of_it(tx, &mut cause, &spot, state).await?;
    if spot.stage == StageKind::Alert {
        tx.execute(&tables::DROP_ACKNOWLEDGED, &[spot.lane.name().into(), spot.location.as_str().into()]).await?;
    }
    let kept = u64::try_from(record_kept.as_micros()).unwrap_or(u64::MAX);
    let old = micros(headwater_event::Time(tx.now().as_micros().saturating_sub(kept)));
    for statement in [&tables::FORGET_AUDIT, &tables::FORGET_CAP_AREAS, &tables::FORGET_CAP] {
        tx.execute(statement, std::slice::from_ref(&old)).await?;
    }
    Ok(())
}

/// It is over.
async fn end_of_it(tx: &mut Tx<'_>, cause: &mut Cause, spot: &Spot, state: State) -> Result<(), Failure> {
    let verdict = match spot.stage {
        StageKind::Alert => end(state.alert.clone()),
        StageKind::PreAlert => pre_alert_end(state.alert.clone()),
    };
    carry_out(tx, cause, spot, verdict, state).await
}

/// What is active at a place. What has ended and waits for its timer is ended here: its end is told before what comes after.
async fn current(tx: &mut Tx<'_>, cause: &mut Cause, spot: &Spot) -> Result<Option<State>, Failure> {
    match spot.hold(tx).await? {
        Some(state) if state.alert.ends <= cause.at => {
            end_of_it(tx, cause, spot, state).await?;
            Ok(None)
        }
        held => Ok(held),
    }
}

/// The place that an event is of.
fn location(event: &Event) -> Result<String, Failure> {
    let level = topics::place_of(event.topic.as_str()).unwrap_or_default();
    super::place::location(level).ok_or_else(|| Failure::dead("the topic names no place"))
}

/// The cause that an event is.
fn cause(event: &Event) -> Cause {
    let who = event.headers.get(SOURCE).unwrap_or("unknown").to_owned();
    Cause::new(event.id.to_string(), who, event.at)
}

#[cfg(test)]
mod tests {
    use crate::alerts::topics::raw;

    #[test]
    fn everything_that_comes_in_has_a_handler() {
        let all = [raw::REPORT, raw::CAP, raw::REFERENCES, raw::END, raw::SILENCE, raw::ACKNOWLEDGE];
        let text = include_str!("mod.rs");
        for level in all {
            assert!(text.contains(&format!(".on(\"alerts-raw/+/{level}\"")), "{level}");
        }
    }
}
