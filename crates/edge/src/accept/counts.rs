//! What a listener counts, for /metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of one listener, and how many connections it has now.
#[derive(Debug, Default)]
pub struct AcceptCounts {
    accepted: AtomicU64,
    refused: AtomicU64,
    paced: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    unshaken: AtomicU64,
    crowded: AtomicU64,
    ended: AtomicU64,
}

impl AcceptCounts {
    /// Connections that were taken.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that were closed at once, as there were too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How often the loop waited, as connections came too fast.
    #[must_use]
    pub fn paced(&self) -> u64 {
        self.paced.load(Ordering::Relaxed)
    }

    /// How often the system could not hand out a connection (no file descriptors left, for example).
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Connections that ended by a fault of ours.
    #[must_use]
    pub fn panicked(&self) -> u64 {
        self.panicked.load(Ordering::Relaxed)
    }

    /// TLS handshakes that led to nothing: refused, broken off, too slow, plain text.
    #[must_use]
    pub fn handshakes_failed(&self) -> u64 {
        self.unshaken.load(Ordering::Relaxed)
    }

    /// Connections that were closed at once, as too many TLS handshakes went on.
    #[must_use]
    pub fn handshakes_refused(&self) -> u64 {
        self.crowded.load(Ordering::Relaxed)
    }

    /// Present connections.
    #[must_use]
    pub fn open(&self) -> u64 {
        let ended = self.ended.load(Ordering::Acquire);
        self.accepted.load(Ordering::Relaxed).saturating_sub(ended)
    }

    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn pace(&self) {
        self.paced.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fail_handshake(&self) {
        self.unshaken.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse_handshake(&self) {
        self.crowded.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, panicked: bool) {
        if panicked {
            self.panicked.fetch_add(1, Ordering::Relaxed);
        }
        self.ended.fetch_add(1, Ordering::Release);
    }
}
