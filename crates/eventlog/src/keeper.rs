//! When the log's house is kept: checkpoints, and what retention frees.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::core::Core;
use crate::options::OpenOptions;

/// A checkpoint is taken at the earliest once the log has grown by so many times its own length, so that checkpoints
/// never cost more than a fifth of what is written.
const CHECKPOINT_RATIO: u64 = 4;

/// The file grows beyond its bound by this part of it at the most (and a MiB) before retention looks.
const LOOK_PART: u64 = 16;

/// How often retention by age looks, when nothing is written.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What the keeper's thread waits for.
pub(crate) struct Keeper {
    checkpoint_bytes: u64,
    /// What the last checkpoint covers.
    covered: AtomicU64,
    /// What the one before it covers: retention frees nothing that only the newest knows of.
    covered_before: AtomicU64,
    /// Where the next checkpoint is due.
    due: AtomicU64,
    /// After how many bytes retention looks again.
    look_bytes: u64,
    look_at: AtomicU64,
    poked: AtomicBool,
    stop: Mutex<bool>,
    wake: Condvar,
}

impl Keeper {
    /// For a log whose checkpoints cover these places.
    pub(crate) fn new(options: &OpenOptions, end: u64, [covered, covered_before]: [u64; 2]) -> Self {
        // A checkpoint a batch would serve nobody.
        let checkpoint_bytes = options.checkpoint_bytes.max(1 << 20);
        let look_bytes = options.retain_bytes.map_or(u64::MAX, |bytes| (bytes / LOOK_PART).max(1 << 20));
        Self {
            checkpoint_bytes,
            covered: AtomicU64::new(covered),
            covered_before: AtomicU64::new(covered_before),
            due: AtomicU64::new(covered.saturating_add(checkpoint_bytes)),
            look_bytes,
            look_at: AtomicU64::new(end.saturating_add(look_bytes)),
            poked: AtomicBool::new(false),
            stop: Mutex::new(false),
            wake: Condvar::new(),
        }
    }

    /// The log is durable up to this place now.
    pub(crate) fn grown(&self, end: u64) {
        let due = self.due.load(Ordering::Relaxed).min(self.look_at.load(Ordering::Relaxed));
        if end >= due && !self.poked.swap(true, Ordering::AcqRel) {
            drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
    }

    /// A checkpoint was taken.
    pub(crate) fn checkpointed(&self, covered: u64, len: u64) {
        self.covered_before.store(self.covered.swap(covered, Ordering::AcqRel), Ordering::Release);
        let step = self.checkpoint_bytes.max(len.saturating_mul(CHECKPOINT_RATIO));
        self.due.store(covered.saturating_add(step), Ordering::Release);
    }

    /// Up to where both checkpoints know the log.
    pub(crate) fn covered_twice(&self) -> u64 {
        self.covered_before.load(Ordering::Acquire)
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Waits for something to do; `false` at the end.
    fn wait(&self) -> bool {
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if !*stop && !self.poked.load(Ordering::Acquire) {
            stop = self.wake.wait_timeout(stop, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
        !*stop
    }
}

impl Core {
    /// The keeper's thread.
    pub(crate) fn keep(self: &Arc<Self>) {
        self.punch_freed();
        while self.keeper.wait() {
            let due = self.view().end >= self.keeper.due.load(Ordering::Acquire);
            let look_at = self.view().end.saturating_add(self.keeper.look_bytes);
            self.keeper.look_at.store(look_at, Ordering::Release);
            self.keeper.poked.store(false, Ordering::Release);
            if due && let Err(error) = self.checkpoint() {
                // The log itself goes on; only the next start takes longer. Try again after another interval.
                tracing::warn!(%error, "no checkpoint was taken");
                self.keeper.due.store(self.view().end.saturating_add(self.keeper.checkpoint_bytes), Ordering::Release);
            }
            if let Err(error) = self.free() {
                tracing::warn!(%error, "nothing was freed; the log keeps more than it should");
            }
        }
    }
}
