//! What the hub counts: plain atomics that an edge shows in its own words.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_event::{Receipts, Refusal};

use crate::latency::Latency;

/// The names of [`Refusal`]s in the order of [`Metrics::refused`].
pub const REFUSAL_NAMES: [&str; 8] =
    ["not_authenticated", "not_allowed", "malformed", "too_large", "too_fast", "full", "out_of_order", "unavailable"];

/// Upper bounds of latency buckets for Prometheus in microseconds, each twice the one before; what lies above has none.
pub const LATENCY_BUCKETS_US: [u64; 18] = [
    32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288, 1_048_576,
    2_097_152, 4_194_304,
];

/// Counts since the start, and a few present amounts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Events that became durable, without duplicates.
    pub published: AtomicU64,
    /// Events that were told to those who watched, and kept nowhere.
    pub passed: AtomicU64,
    /// Events that were recognised as resent.
    pub duplicates: AtomicU64,
    /// Bytes of payloads, topics and headers that became durable, those of resent events too.
    pub published_bytes: AtomicU64,
    /// Refused batches by name; see [`REFUSAL_NAMES`] and [`Metrics::refused_by_name`].
    pub refused: [AtomicU64; REFUSAL_NAMES.len()],
    /// Frames of events that were handed to a socket as a whole.
    pub deliveries: AtomicU64,
    /// Bytes that sockets took.
    pub delivered_bytes: AtomicU64,
    /// Present watches.
    pub watchers: AtomicU64,
    /// Present rings.
    pub rings: AtomicU64,
    /// Bytes held by all rings at present.
    pub ring_bytes: AtomicU64,
    /// How often a watcher fell behind its ring.
    pub lagging: AtomicU64,
    /// Gaps that were told.
    pub gaps: AtomicU64,
    /// How long appends took, from admission to durable, a batch each.
    pub append_latency: Latency,
}

impl Metrics {
    /// The counts of refusals with their names.
    pub fn refused_by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        REFUSAL_NAMES.into_iter().zip(self.refused.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    pub(crate) fn refuse(&self, refusal: &Refusal) {
        if let Some(at) = REFUSAL_NAMES.iter().position(|name| *name == refusal.name()) {
            self.refused[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn publish(&self, receipts: &Receipts) {
        let duplicates = receipts.duplicates.len();
        self.published.fetch_add((receipts.len - duplicates) as u64, Ordering::Relaxed);
        if duplicates > 0 {
            self.duplicates.fetch_add(duplicates as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn appended(&self, bytes: usize, took: Duration) {
        self.published_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.append_latency.note(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_count() {
        let metrics = Metrics::default();
        let wait = Duration::ZERO;
        for refusal in [
            Refusal::NotAuthenticated,
            Refusal::NotAllowed,
            Refusal::Malformed(String::new()),
            Refusal::TooLarge { max: 0 },
            Refusal::TooFast { wait },
            Refusal::Full { wait },
            Refusal::OutOfOrder { expected: 0 },
            Refusal::Unavailable,
        ] {
            metrics.refuse(&refusal);
        }
        assert!(metrics.refused_by_name().all(|(_, count)| count == 1));
    }
}
