//! What the hub counts: plain atomics that an edge shows in its own words.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_event::{Receipts, Refusal};

/// The names of [`Refusal`]s in the order of [`Metrics::refused`].
pub const REFUSAL_NAMES: [&str; 8] =
    ["not_authenticated", "not_allowed", "malformed", "too_large", "too_fast", "full", "out_of_order", "unavailable"];

/// Upper bounds of the latency buckets in microseconds, each twice the one before; the last bucket has none.
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
    /// How long appends took, from admission to durable: batches by bucket; see [`LATENCY_BUCKETS_US`].
    pub append_latency: [AtomicU64; LATENCY_BUCKETS_US.len() + 1],
    /// The sum of those times in microseconds.
    pub append_us: AtomicU64,
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

    pub(crate) fn appended(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.append_latency[LATENCY_BUCKETS_US.partition_point(|bound| *bound < us)].fetch_add(1, Ordering::Relaxed);
        self.append_us.fetch_add(us, Ordering::Relaxed);
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

    #[test]
    fn a_time_falls_into_the_bucket_that_bounds_it() {
        let metrics = Metrics::default();
        for us in [0, 32, 33, 4_194_304, 4_194_305] {
            metrics.appended(Duration::from_micros(us));
        }
        let counts: Vec<_> = metrics.append_latency.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        assert_eq!((counts[0], counts[1], counts[17], counts[18]), (2, 1, 1, 1));
    }
}
