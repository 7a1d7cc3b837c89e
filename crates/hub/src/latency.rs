//! How long something takes, counted so that any share of it can be told: a small log-linear histogram.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many buckets lie between one power of two and the next: what is told is at most an eighth too long.
const PER_OCTAVE: usize = 8;

/// 2^26 µs, 67 s: an append that takes longer is as bad, whatever it takes. The last bucket has all of those.
const OCTAVES: usize = 26;

/// Below 8 µs each microsecond has its own bucket.
const LINEAR: usize = 8;

/// log2 of [`PER_OCTAVE`] and of [`LINEAR`].
const SHIFT: usize = 3;

/// How many buckets there are: 1.5 KiB of counts.
pub(crate) const BUCKETS: usize = LINEAR + (OCTAVES - SHIFT) * PER_OCTAVE + 1;

/// Counts of times. A bucket holds what is above the bound before it, up to and with its own.
#[derive(Debug)]
pub struct Latency {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], sum_us: AtomicU64::new(0) }
    }
}

impl Latency {
    pub(crate) fn note(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket_of(us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// All times together, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Ordering::Relaxed)
    }

    /// The counts of wider buckets, whose upper bounds are given in microseconds, ascending, powers of two; a last count
    /// is of what lies above.
    #[must_use]
    pub fn counts_within(&self, bounds_us: &[u64]) -> Vec<u64> {
        let mut wide = vec![0; bounds_us.len() + 1];
        for (bucket, count) in self.counts.iter().enumerate() {
            let at = bounds_us.partition_point(|bound| *bound < bound_of(bucket));
            wide[at] += count.load(Ordering::Relaxed);
        }
        wide
    }

    /// A copy of the counts.
    pub(crate) fn counts(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed))
    }
}

/// Which bucket holds a time.
fn bucket_of(us: u64) -> usize {
    // What lies exactly on a power of two belongs below it, as in Prometheus' `le`.
    let below = us.saturating_sub(1);
    let Ok(small) = usize::try_from(below) else { return BUCKETS - 1 };
    if small < LINEAR {
        return small;
    }
    let octave = below.ilog2() as usize;
    let inside = (small >> (octave - SHIFT)) % PER_OCTAVE;
    (LINEAR + (octave - SHIFT) * PER_OCTAVE + inside).min(BUCKETS - 1)
}

/// The longest time that a bucket holds, in microseconds.
pub(crate) const fn bound_of(bucket: usize) -> u64 {
    if bucket < LINEAR {
        return bucket as u64 + 1;
    }
    if bucket >= BUCKETS - 1 {
        return u64::MAX;
    }
    let (octave, inside) = ((bucket - LINEAR) / PER_OCTAVE + SHIFT, (bucket - LINEAR) % PER_OCTAVE);
    ((PER_OCTAVE + inside + 1) as u64) << (octave - SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_the_bucket_whose_bound_is_the_first_that_is_not_below_it() {
        let mut times: Vec<u64> = (0..5_000).collect();
        times.extend((3..64).flat_map(|power| [(1_u64 << power) - 1, 1 << power, (1 << power) + 1]));
        for us in times.into_iter().chain([u64::MAX]) {
            let bucket = bucket_of(us);
            assert!(us <= bound_of(bucket), "{us}");
            assert!(bucket == 0 || us > bound_of(bucket - 1), "{us}");
        }
    }

    #[test]
    fn a_bound_is_at_most_an_eighth_above_the_one_before() {
        for bucket in LINEAR..BUCKETS - 2 {
            let (bound, next) = (bound_of(bucket), bound_of(bucket + 1));
            assert!(next > bound && next - bound <= bound / 8, "{bound} {next}");
        }
        assert_eq!(bound_of(BUCKETS - 2), 1 << OCTAVES);
    }

    #[test]
    fn wider_buckets_have_all_that_the_narrow_ones_have() {
        let latency = Latency::default();
        for us in [0, 32, 33, 64, 1 << 22, (1 << 22) + 1, 1 << 40] {
            latency.note(Duration::from_micros(us));
        }
        assert_eq!(latency.counts_within(&[32, 64, 1 << 22]), [2, 2, 1, 2]);
    }
}
