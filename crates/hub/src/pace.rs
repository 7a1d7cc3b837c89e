//! How much may wait, so that what is accepted does not wait long: a limit that moves below the fixed one.
//!
//! A log that commits in groups takes whatever has gathered while it synced. So by Little's law the time that an event
//! waits is the number that wait divided by what gets through, and more that wait only help as long as they are what the
//! next sync needs. The pace watches the time from admission to durable and lets fewer wait when it grows beyond a few
//! syncs, more again when there is demand and time to spare.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is always let in, in events: 4 connections with 1,024 in flight, and a connection more. Clients that wait for
/// their acknowledgements before they send more are never refused below this, whatever the pace measures; so it can't
/// cost them throughput.
pub(crate) const FLOOR_EVENTS: usize = 5_120;

/// How long measurements are gathered before the limit moves: a few dozen syncs of a slow disk, and short beside the
/// patience of a client.
const INTERVAL: Duration = Duration::from_millis(50);

/// What an event may wait beyond the syncs themselves. With the sync that runs when it comes, and its own, p99 stays
/// within 10 ms of the sync.
const EXTRA_US: u64 = 3_000;

/// In how many intervals the shortest time seen is believed a little less, as the disk may have become slower for good.
const BASE_DRIFT_INTERVALS: u32 = 1_200;

/// The whole, of which `share` is a part.
const WHOLE: u32 = 1_024;

/// The moving limit, as a share of the fixed one.
pub(crate) struct Pace {
    began: Instant,
    /// Of [`WHOLE`].
    share: AtomicU32,
    floor: u32,
    /// The shortest time from admission to durable: about one sync.
    base_us: AtomicU64,
    /// Sum and weight of the present interval.
    waited_us: AtomicU64,
    events: AtomicU64,
    /// Somebody was refused for want of room in this interval.
    was_full: AtomicU32,
    /// When the present interval ends, in microseconds since `began`.
    ends_us: AtomicU64,
    intervals: AtomicU32,
}

impl Pace {
    pub(crate) fn new(events_max: usize) -> Self {
        let floor = match events_max {
            0 => WHOLE,
            max => u32::try_from((FLOOR_EVENTS * WHOLE as usize).div_ceil(max)).unwrap_or(WHOLE).min(WHOLE),
        };
        Self {
            began: Instant::now(),
            share: AtomicU32::new(WHOLE),
            floor,
            base_us: AtomicU64::new(u64::MAX),
            waited_us: AtomicU64::new(0),
            events: AtomicU64::new(0),
            was_full: AtomicU32::new(0),
            ends_us: AtomicU64::new(0),
            intervals: AtomicU32::new(0),
        }
    }

    /// The part of a fixed limit that holds now.
    pub(crate) fn of(&self, fixed: usize) -> usize {
        match self.share.load(Ordering::Relaxed) {
            WHOLE => fixed,
            // In two steps, as a limit may be set to the largest number there is.
            share => fixed / WHOLE as usize * share as usize + fixed % WHOLE as usize * share as usize / WHOLE as usize,
        }
    }

    /// Somebody is refused for want of room.
    pub(crate) fn full(&self) {
        // Only the first of an interval writes: refusals must stay cheap.
        if self.was_full.load(Ordering::Relaxed) == 0 {
            self.was_full.store(1, Ordering::Relaxed);
        }
    }

    /// A batch became durable so long after its admission.
    pub(crate) fn durable(&self, events: usize, took: Duration) {
        self.note(events, took, self.began.elapsed());
    }

    fn note(&self, events: usize, took: Duration, now: Duration) {
        let (took_us, now_us) = (micros(took), micros(now));
        self.base_us.fetch_min(took_us.max(1), Ordering::Relaxed);
        self.waited_us.fetch_add(took_us.saturating_mul(events as u64), Ordering::Relaxed);
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        let ends = self.ends_us.load(Ordering::Relaxed);
        // One of those who see the end of the interval closes it.
        if now_us >= ends
            && self
                .ends_us
                .compare_exchange(ends, now_us + micros(INTERVAL), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.close_interval();
        }
    }

    fn close_interval(&self) {
        let events = self.events.swap(0, Ordering::Relaxed);
        let waited = self.waited_us.swap(0, Ordering::Relaxed);
        let was_full = self.was_full.swap(0, Ordering::Relaxed) == 1;
        let base = self.base_us.load(Ordering::Relaxed);
        if self.intervals.fetch_add(1, Ordering::Relaxed) % BASE_DRIFT_INTERVALS == BASE_DRIFT_INTERVALS - 1 {
            self.base_us.fetch_add(base / 8 + 1, Ordering::Relaxed);
        }
        let mean = waited / events.max(1);
        let target = base.saturating_mul(2).saturating_add(EXTRA_US);
        let share = self.share.load(Ordering::Relaxed);
        let next = if !was_full {
            // Nobody asks for more: the limit recovers, so that a burst after a calm finds all of it.
            share + share / 8 + 1
        } else if mean > target {
            // Towards what would have taken just the target, but never by more than a third at once.
            let wanted = u64::from(share) * target / mean.max(1);
            u32::try_from(wanted).unwrap_or(share).max(share / 3 * 2)
        } else {
            share + share / 16 + 1
        };
        self.share.store(next.clamp(self.floor, WHOLE), Ordering::Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 16_384;

    /// A log that syncs in 2 ms and writes an event in `per_event`, with always as many waiting as may be.
    fn overloaded(pace: &Pace, per_event: Duration, seconds: u32) -> Duration {
        let mut now = pace.began.elapsed();
        let end = now + Duration::from_secs(1) * seconds;
        let mut took = Duration::ZERO;
        while now < end {
            let waiting = pace.of(MAX);
            // Half of those who may wait are in the group that is being synced, the others wait for it and for their own.
            let cycle = Duration::from_millis(2) + per_event * (waiting as u32 / 2);
            now += cycle;
            took = cycle * 3 / 2;
            pace.full();
            pace.note(waiting / 2, took, now);
        }
        took
    }

    #[test]
    fn what_is_accepted_in_overload_waits_a_few_syncs() {
        let pace = Pace::new(MAX);
        pace.note(1, Duration::from_millis(2), Duration::ZERO);
        let at_first = overloaded(&pace, Duration::from_nanos(1_000), 0);
        assert_eq!(at_first, Duration::ZERO);
        let took = overloaded(&pace, Duration::from_nanos(1_000), 5);
        assert!(took < Duration::from_millis(8), "{took:?} with {} waiting", pace.of(MAX));
        assert!(pace.of(MAX) >= FLOOR_EVENTS);
    }

    #[test]
    fn a_fast_log_keeps_the_whole_limit_in_overload() {
        let pace = Pace::new(MAX);
        pace.note(1, Duration::from_millis(2), Duration::ZERO);
        overloaded(&pace, Duration::from_nanos(100), 5);
        assert_eq!(pace.of(MAX), MAX);
    }

    #[test]
    fn a_slow_log_never_gets_below_the_floor_and_recovers() {
        let pace = Pace::new(MAX);
        pace.note(1, Duration::from_millis(2), Duration::ZERO);
        overloaded(&pace, Duration::from_micros(20), 5);
        assert_eq!(pace.of(MAX), FLOOR_EVENTS);
        let mut now = pace.began.elapsed() + Duration::from_secs(10);
        for _ in 0..20 {
            now += INTERVAL;
            pace.note(1, Duration::from_millis(2), now);
        }
        assert_eq!(pace.of(MAX), MAX);
    }

    #[test]
    fn small_and_odd_limits_stay_as_they_are() {
        for max in [0, 1, 100, FLOOR_EVENTS] {
            let pace = Pace::new(max);
            overloaded(&pace, Duration::from_micros(20), 1);
            assert_eq!(pace.of(max), max);
        }
        assert_eq!(Pace::new(usize::MAX).of(usize::MAX), usize::MAX);
    }
}
