//! How fast each may do something: a token bucket for each, in a table of bounded size. Principals are limited in what they
//! publish, addresses and names in how often they may be wrong at the door.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_event::Refusal;

/// How many are told apart. A bucket is about 100 bytes, so the table stays below 8 MiB. When it is full,
/// those who have been quiet long enough to have a full bucket are forgotten, which changes nothing for them; if there
/// are none, newcomers share one bucket.
pub(crate) const RATED_PRINCIPALS_MAX: usize = 65_536;

/// How often a full table is looked through for those who can be forgotten, at the most: it takes a millisecond.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The buckets.
pub(crate) struct Rates<K> {
    per_s: f64,
    burst: f64,
    buckets: Mutex<Buckets<K>>,
}

struct Buckets<K> {
    own: HashMap<K, Bucket>,
    shared: Option<Bucket>,
    swept: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl<K: Clone + Eq + Hash> Rates<K> {
    /// `per_s` 0 sets no limit; `burst` 0 is one second's worth.
    pub(crate) fn new(per_s: impl Into<f64>, burst: u32) -> Self {
        let per_s = per_s.into();
        let burst = if burst == 0 { per_s } else { f64::from(burst) };
        Self { per_s, burst, buckets: Mutex::new(Buckets { own: HashMap::new(), shared: None, swept: None }) }
    }

    /// Whether one event could be taken now.
    pub(crate) fn check(&self, who: &K) -> Result<(), Refusal> {
        self.with_bucket(who, |bucket| self.missing(bucket, 1.0))
    }

    /// Takes the tokens of so many events, all or none.
    pub(crate) fn take(&self, who: &K, events: usize) -> Result<(), Refusal> {
        // A batch larger than the burst empties the bucket and goes into debt: it passes when the bucket is full, and
        // the debt is waited off before the next one. Otherwise it could never pass.
        let wanted = events as f64;
        self.with_bucket(who, |bucket| {
            self.missing(bucket, wanted.min(self.burst))?;
            bucket.tokens -= wanted;
            Ok(())
        })
    }

    /// Gives back the tokens of what turned out not to count.
    pub(crate) fn give(&self, who: &K, events: usize) {
        let given = self.with_bucket(who, |bucket| {
            bucket.tokens = (bucket.tokens + events as f64).min(self.burst);
            Ok(())
        });
        debug_assert!(given.is_ok());
    }

    fn missing(&self, bucket: &Bucket, wanted: f64) -> Result<(), Refusal> {
        if bucket.tokens >= wanted {
            return Ok(());
        }
        Err(Refusal::TooFast { wait: Duration::from_secs_f64(((wanted - bucket.tokens) / self.per_s).max(0.001)) })
    }

    fn with_bucket(&self, who: &K, act: impl FnOnce(&mut Bucket) -> Result<(), Refusal>) -> Result<(), Refusal> {
        if self.per_s == 0.0 {
            return Ok(());
        }
        let now = Instant::now();
        let mut buckets = self.lock();
        let fresh = Bucket { tokens: self.burst, filled: now };
        let full = buckets.own.len() >= RATED_PRINCIPALS_MAX && !buckets.own.contains_key(who);
        let is_sweep_due = buckets.swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP_EVERY);
        if full && is_sweep_due {
            buckets.swept = Some(now);
            buckets.own.retain(|_, bucket| self.refill(bucket, now) < self.burst);
        }
        let bucket = if full && buckets.own.len() >= RATED_PRINCIPALS_MAX {
            buckets.shared.get_or_insert(fresh)
        } else {
            buckets.own.entry(who.clone()).or_insert(fresh)
        };
        self.refill(bucket, now);
        act(bucket)
    }

    fn refill(&self, bucket: &mut Bucket, now: Instant) -> f64 {
        let since = now.duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * self.per_s).min(self.burst);
        bucket.filled = now;
        bucket.tokens
    }

    fn lock(&self) -> MutexGuard<'_, Buckets<K>> {
        // Nothing in here panics half-way, so a poisoned table is a good one.
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use headwater_event::Principal;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_counts() {
        let rates = Rates::new(1_u32, 3);
        let who = Principal::anonymous();
        assert!(rates.take(&who, 3).is_ok());
        let Err(Refusal::TooFast { wait }) = rates.take(&who, 1) else { panic!("the bucket was empty") };
        assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(900), "{wait:?}");
        assert!(rates.check(&who).is_err());
    }

    #[test]
    fn a_batch_beyond_the_burst_passes_once_and_is_waited_off() {
        let rates = Rates::new(10_u32, 10);
        let who = Principal::anonymous();
        assert!(rates.take(&who, 30).is_ok());
        let Err(Refusal::TooFast { wait }) = rates.take(&who, 1) else { panic!("the bucket was in debt") };
        assert!(wait > Duration::from_millis(2_000), "{wait:?}");
    }

    #[test]
    fn no_rate_means_no_limit() {
        let rates = Rates::new(0_u32, 0);
        assert!(rates.take(&Principal::anonymous(), usize::MAX).is_ok());
    }
}
