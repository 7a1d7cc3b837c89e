//! How fast connections may come: a token bucket.

use std::time::Duration;

use tokio::time::Instant;

/// Holds up to `burst` tokens and gains `rate` a second; a connection costs one.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket; a rate of 0 sets no limit.
    pub(super) fn new(rate_per_s: u32, burst: u32, now: Instant) -> Self {
        // A bucket without room for one token would never give one.
        let burst = f64::from(burst.max(1));
        Self { rate: f64::from(rate_per_s), burst, tokens: burst, at: now }
    }

    /// Takes a token, or says after what time there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if self.rate == 0.0 {
            return Ok(());
        }
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, now: Instant) -> usize {
        std::iter::from_fn(|| bucket.take(now).ok()).take(1_000).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(10, 20, begin);
        assert_eq!(taken(&mut bucket, begin), 20);
        assert_eq!(bucket.take(begin), Err(Duration::from_millis(100)));
        assert_eq!(taken(&mut bucket, begin + Duration::from_millis(500)), 5);
        assert_eq!(
            taken(&mut bucket, begin + Duration::from_secs(3_600)),
            20,
            "a pause fills it, and no more than that"
        );
    }

    #[test]
    fn every_setting_lets_somebody_in() {
        let now = Instant::now();
        assert_eq!(taken(&mut Bucket::new(0, 0, now), now), 1_000, "0 sets no limit");
        assert_eq!(taken(&mut Bucket::new(1, 0, now), now), 1);
        assert_eq!(taken(&mut Bucket::new(u32::MAX, u32::MAX, now), now), 1_000);
    }
}
