//! How fast all goes: rates and times, worked out once a second by one task, so that asking costs nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_event::Time;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::hub::Core;
use crate::latency::{BUCKETS, bound_of};
use crate::metrics::{Metrics, REFUSAL_NAMES};

/// How often the rates are worked out.
const EVERY: Duration = Duration::from_secs(1);

/// After so many seconds a change shows to two thirds: long enough for a number that a person can read, short enough to
/// see a stall.
const FADE_S: f64 = 5.0;

/// How many seconds are kept for those who come to look: five minutes, 20 KiB.
pub const SECONDS_MAX: usize = 300;

/// Rates of the last few seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Events that became durable, a second.
    pub events: f64,
    /// Their bytes, a second.
    pub event_bytes: f64,
    /// Events handed to watchers, a second.
    pub deliveries: f64,
    /// Bytes that watchers took, a second.
    pub delivered_bytes: f64,
    /// Refused batches a second, in the order of [`REFUSAL_NAMES`].
    pub refused: [f64; REFUSAL_NAMES.len()],
    /// How long appends took.
    pub ack: Quantiles,
}

/// How long something took, in microseconds; 0 where nothing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// Half took at most this long.
    pub p50_us: u64,
    /// Nine of ten.
    pub p90_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1,000.
    pub p999_us: u64,
}

/// One second as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    /// When it ended.
    pub at: Time,
    /// Events that became durable.
    pub events: f32,
    /// Events handed to watchers.
    pub deliveries: f32,
    /// Refused batches.
    pub refused: f32,
    /// Bytes of the events.
    pub event_bytes: f32,
    /// Bytes that watchers took.
    pub delivered_bytes: f32,
    /// Half of the appends took at most this long, in microseconds.
    pub p50_us: u32,
    /// 99 of 100 appends.
    pub p99_us: u32,
    /// Events that waited for the disk when it ended.
    pub waiting: u32,
    /// Connections when it ended.
    pub connections: u32,
    /// Watches when it ended.
    pub watches: u32,
}

/// The latest rates, and the last few minutes second by second.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rates: Rates,
    seconds: VecDeque<Second>,
}

/// What was counted when the last second ended.
struct Counted {
    events: u64,
    event_bytes: u64,
    deliveries: u64,
    delivered_bytes: u64,
    refused: [u64; REFUSAL_NAMES.len()],
    ack: [u64; BUCKETS],
}

impl Pulse {
    pub(crate) fn rates(&self) -> Rates {
        self.lock().rates
    }

    /// The seconds that ended after `after`, the oldest first.
    pub(crate) fn seconds(&self, after: Time) -> Vec<Second> {
        let state = self.lock();
        let from = state.seconds.partition_point(|second| second.at <= after);
        state.seconds.iter().skip(from).copied().collect()
    }

    /// Works for ever.
    pub(crate) async fn run(core: Arc<Core>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        let (mut before, mut since) = (Counted::of(&core.metrics), Instant::now());
        let mut recent = [0.0; BUCKETS];
        loop {
            ticks.tick().await;
            let (now, ended) = (Counted::of(&core.metrics), Instant::now());
            let took = ended.duration_since(since).as_secs_f64();
            core.pulse.beat(&core, &before, &now, took, &mut recent);
            (before, since) = (now, ended);
        }
    }

    fn beat(&self, core: &Core, before: &Counted, now: &Counted, took: f64, recent: &mut [f64; BUCKETS]) {
        let took = took.max(1e-3);
        let kept = (-took / FADE_S).exp();
        let per_s = |before: u64, now: u64| now.saturating_sub(before) as f64 / took;
        let second: [u64; BUCKETS] = std::array::from_fn(|at| now.ack[at].saturating_sub(before.ack[at]));
        for (recent, fresh) in recent.iter_mut().zip(second) {
            *recent = *recent * kept + fresh as f64;
        }
        let exact = quantiles(&second.map(|count| count as f64));
        let events = per_s(before.events, now.events);
        let event_bytes = per_s(before.event_bytes, now.event_bytes);
        let deliveries = per_s(before.deliveries, now.deliveries);
        let delivered_bytes = per_s(before.delivered_bytes, now.delivered_bytes);
        let refused: [f64; REFUSAL_NAMES.len()] = std::array::from_fn(|at| per_s(before.refused[at], now.refused[at]));
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let entry = Second {
            at: core.clock.now(),
            events: events as f32,
            deliveries: deliveries as f32,
            refused: refused.iter().sum::<f64>() as f32,
            event_bytes: event_bytes as f32,
            delivered_bytes: delivered_bytes as f32,
            p50_us: small(exact.p50_us),
            p99_us: small(exact.p99_us),
            waiting: small(core.admission.waiting().events() as u64),
            connections: small(core.presence.len() as u64),
            watches: small(core.metrics.watchers.load(Ordering::Relaxed)),
        };
        let mut state = self.lock();
        let rates = &mut state.rates;
        let blend = |old: &mut f64, new: f64| *old = if *old == 0.0 { new } else { new + (*old - new) * kept };
        blend(&mut rates.events, events);
        blend(&mut rates.event_bytes, event_bytes);
        blend(&mut rates.deliveries, deliveries);
        blend(&mut rates.delivered_bytes, delivered_bytes);
        for (rate, new) in rates.refused.iter_mut().zip(refused) {
            blend(rate, new);
        }
        rates.ack = quantiles(recent);
        if state.seconds.len() == SECONDS_MAX {
            state.seconds.pop_front();
        }
        state.seconds.push_back(entry);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn of(metrics: &Metrics) -> Self {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Self {
            events: read(&metrics.published),
            event_bytes: read(&metrics.published_bytes),
            deliveries: read(&metrics.deliveries),
            delivered_bytes: read(&metrics.delivered_bytes),
            refused: std::array::from_fn(|at| read(&metrics.refused[at])),
            ack: metrics.append_latency.counts(),
        }
    }
}

/// The bounds below which these shares of the counts lie.
fn quantiles(counts: &[f64; BUCKETS]) -> Quantiles {
    let total: f64 = counts.iter().sum();
    // What has faded to less than one append says nothing any more.
    if total < 0.5 {
        return Quantiles::default();
    }
    let below = |share: f64| {
        let mut sum = 0.0;
        let at = counts.iter().position(|count| {
            sum += count;
            sum >= total * share
        });
        bound_of(at.unwrap_or(BUCKETS - 1))
    };
    Quantiles { p50_us: below(0.5), p90_us: below(0.9), p99_us: below(0.99), p999_us: below(0.999) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_bounds_below_which_their_shares_lie() {
        let mut counts = [0.0; BUCKETS];
        (counts[0], counts[3], counts[7]) = (900.0, 90.0, 10.0);
        let found = quantiles(&counts);
        assert_eq!(found, Quantiles { p50_us: 1, p90_us: 1, p99_us: 4, p999_us: 8 });
        assert_eq!(quantiles(&[0.0; BUCKETS]), Quantiles::default());
        let mut last = [0.0; BUCKETS];
        last[BUCKETS - 1] = 1.0;
        assert_eq!(quantiles(&last).p50_us, u64::MAX);
    }
}
