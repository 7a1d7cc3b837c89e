//! What a load came to: how many, how fast, how late.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// How long a slice of the timeline is. Ten a second show a stall; more would show the scheduler.
pub const SLICE: Duration = Duration::from_millis(100);
/// The longest latency that is told apart, in ns: five minutes. A longer one counts as this.
const LATENCY_MAX_NS: u64 = 300_000_000_000;
/// Digits that hold: 0.1 % of a latency is less than two runs differ by.
const DIGITS: u8 = 3;

/// Latencies in nanoseconds.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_MAX_NS, DIGITS).expect("the bounds are good ones"))
    }

    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// A quantile in milliseconds; 0.0 when nothing was recorded.
    pub fn ms(&self, quantile: f64) -> f64 {
        millis(self.0.value_at_quantile(quantile))
    }

    pub fn max_ms(&self) -> f64 {
        millis(self.0.max())
    }

    pub fn json(&self) -> Value {
        json!({
            "p50": self.ms(0.5), "p90": self.ms(0.9), "p99": self.ms(0.99), "p999": self.ms(0.999),
            "max": self.max_ms(), "count": self.count(),
        })
    }

    pub fn line(&self) -> String {
        format!(
            "p50 {:.3}  p90 {:.3}  p99 {:.3}  p99.9 {:.3}  max {:.3} ms",
            self.ms(0.5),
            self.ms(0.9),
            self.ms(0.99),
            self.ms(0.999),
            self.max_ms()
        )
    }
}

fn millis(ns: u64) -> f64 {
    // Microsecond and a bit: three digits behind the point of a millisecond, one more for the fastest.
    (Duration::from_nanos(ns).as_secs_f64() * 10_000_000.0).round() / 10_000.0
}

/// One tenth of a second of a load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slice {
    pub accepted: u64,
    pub refused: u64,
    /// Accepted ones that took longer than the load calls normal.
    pub slow: u64,
    /// The longest that an accepted one took, in ns.
    pub worst_ns: u64,
}

/// What one phase of a load came to.
#[derive(Clone)]
pub struct Tally {
    /// How many were due; with a closed loop, how many were sent.
    pub offered: u64,
    pub accepted: u64,
    pub refused: u64,
    /// Due, but never sent: the server hadn't answered what was in flight.
    pub unsent: u64,
    /// Sent, but never answered.
    pub unanswered: u64,
    pub latencies: Latencies,
    pub refusals: Latencies,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            offered: 0,
            accepted: 0,
            refused: 0,
            unsent: 0,
            unanswered: 0,
            latencies: Latencies::new(),
            refusals: Latencies::new(),
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unsent += other.unsent;
        self.unanswered += other.unanswered;
        self.latencies.add(&other.latencies);
        self.refusals.add(&other.refusals);
    }
}

/// Adds up the timelines of several threads.
pub fn add_slices(sum: &mut Vec<Slice>, slices: &[Slice]) {
    if sum.len() < slices.len() {
        sum.resize(slices.len(), Slice::default());
    }
    for (sum, slice) in sum.iter_mut().zip(slices) {
        sum.accepted += slice.accepted;
        sum.refused += slice.refused;
        sum.slow += slice.slow;
        sum.worst_ns = sum.worst_ns.max(slice.worst_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new();
        (1..=1_000_u64).for_each(|ms| latencies.record(ms * 1_000_000));
        for (quantile, expected) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0)] {
            let ms = latencies.ms(quantile);
            assert!((ms / expected - 1.0).abs() < 0.002, "{quantile}: {ms}");
        }
        assert!((latencies.max_ms() / 1_000.0 - 1.0).abs() < 0.002);
    }

    #[test]
    fn what_took_longer_than_can_be_told_counts_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.record(u64::MAX);
        assert_eq!(latencies.count(), 1);
        assert!(latencies.max_ms() >= 299_000.0);
    }

    #[test]
    fn timelines_of_different_length_add_up() {
        let slice = |accepted| Slice { accepted, ..Slice::default() };
        let mut sum = vec![slice(1)];
        add_slices(&mut sum, &[slice(2), slice(3)]);
        assert_eq!(sum.iter().map(|s| s.accepted).collect::<Vec<_>>(), [3, 3]);
    }
}
