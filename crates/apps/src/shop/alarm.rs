//! A timer that many transactions would set again and again, and that one of them sets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_event::Time;
use headwater_service::{Failure, Tx};

/// How much later than it was due a timer counts as lost: its transaction was undone, or another process had it.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// Remembers, in this process alone, that a timer of this name is set. What it remembers may be wrong (the transaction that set
/// the timer was undone): after a moment it is set anew, so whatever the timer is for happens late, and never not at all.
#[derive(Debug)]
pub struct Alarm {
    name: &'static str,
    set_until: AtomicU64,
}

impl Alarm {
    /// One that isn't set.
    pub const fn new(name: &'static str) -> Self {
        Self { name, set_until: AtomicU64::new(0) }
    }

    /// Sees to it that the timer goes off in about this time.
    pub fn set(&self, tx: &mut Tx<'_>, after: Duration) -> Result<(), Failure> {
        let now = tx.now();
        if now.as_micros() < self.set_until.load(Ordering::Acquire) {
            return Ok(());
        }
        self.set_again(tx, after)
    }

    /// Sets it, whether or not it is set: for the one that has just gone off.
    pub fn set_again(&self, tx: &mut Tx<'_>, after: Duration) -> Result<(), Failure> {
        let due: Time = tx.now().plus(after);
        tx.set_timer(self.name, "", due, Vec::new())?;
        self.set_until.store(due.plus(LOST_AFTER).as_micros(), Ordering::Release);
        Ok(())
    }

    /// It has gone off.
    pub fn clear(&self) {
        self.set_until.store(0, Ordering::Release);
    }
}
