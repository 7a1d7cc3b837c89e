//! Waiting for something to change, or for a moment of a clock that a test may own.

use headwater_event::clock::Moved;
use headwater_event::{Clock, Time};
use tokio::sync::watch;

/// Tells that something has changed, to all who wait, so that nobody misses it who asked before looking.
#[derive(Debug)]
pub(crate) struct Bell(watch::Sender<u64>);

impl Bell {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(crate) fn ring(&self) {
        self.0.send_modify(|rung| *rung = rung.wrapping_add(1));
    }

    /// To be asked for before looking; resolves when it has rung since.
    pub(crate) fn listen(&self) -> Ear {
        Ear(self.0.subscribe())
    }
}

/// One who waits for a bell.
pub(crate) struct Ear(watch::Receiver<u64>);

impl Ear {
    /// Resolves when the bell has rung since the last time, or is gone.
    pub(crate) async fn rung(&mut self) {
        let _ = self.0.changed().await;
    }
}

/// A moment to wait for. Made before the clock is looked at.
pub(crate) struct Moment {
    clock: Clock,
    moved: Option<Moved>,
}

impl Moment {
    pub(crate) fn of(clock: &Clock) -> Self {
        Self { clock: clock.clone(), moved: clock.moved() }
    }

    /// Resolves when the time has come, or the clock was moved; never when there is none to wait for.
    pub(crate) async fn until(self, deadline: Option<Time>) {
        let Some(deadline) = deadline else { return std::future::pending().await };
        match self.moved {
            Some(moved) => moved.await,
            None => tokio::time::sleep(deadline.since(self.clock.now())).await,
        }
    }
}
