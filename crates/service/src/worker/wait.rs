//! Waiting for a moment of a clock that a test may own.

use std::time::Duration;

use headwater_event::clock::Moved;
use headwater_event::{Clock, Time};

/// Waits for a moment; for ever when there's none. `moved` was asked for before the moment was chosen.
pub(crate) async fn until(clock: &Clock, moment: Option<Time>, moved: Option<Moved>) {
    let Some(moment) = moment else { return std::future::pending().await };
    let now = clock.now();
    if now >= moment {
        return;
    }
    match moved {
        Some(moved) => moved.await,
        // Timers have a millisecond's step.
        None => tokio::time::sleep(moment.since(now).max(Duration::from_millis(1))).await,
    }
}
