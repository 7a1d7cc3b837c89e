//! When to try again: later each time, never in step with others, and not for ever.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

/// The first wait: a hub that restarts is back within a tenth of a second.
const WAIT_FIRST: Duration = Duration::from_millis(50);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The waits of one trouble.
pub struct Retry {
    timeout: Duration,
    ends: Option<Instant>,
    wait: Duration,
}

impl Retry {
    /// Tries for this long, counted from the first wait.
    pub const fn new(timeout: Duration) -> Self {
        Self { timeout, ends: None, wait: WAIT_FIRST }
    }

    /// It went on meanwhile: the next trouble is a new one.
    pub const fn begin_anew(&mut self) {
        self.ends = None;
        self.wait = WAIT_FIRST;
    }

    /// Waits; false when it has taken too long in all.
    pub async fn wait(&mut self) -> bool {
        let now = Instant::now();
        // A timeout beyond the end of time is none.
        let ends = match self.ends {
            Some(ends) => ends,
            None => {
                *self.ends.insert(now.checked_add(self.timeout).unwrap_or(now + Duration::from_secs(u32::MAX.into())))
            }
        };
        if now >= ends {
            return false;
        }
        let next = now + half_at_random(self.wait);
        self.wait = (self.wait * 2).min(WAIT_MAX);
        sleep_until(next.min(ends)).await;
        true
    }
}

/// The waits while a hub is overloaded: it says so at once, so asking costs little.
pub struct Pause(Duration);

impl Pause {
    /// The longest pause; an overload passes in less, or it's no overload.
    const MAX: Duration = Duration::from_secs(1);
    const FIRST: Duration = Duration::from_millis(5);

    /// Nothing has happened yet.
    pub const fn new() -> Self {
        Self(Self::FIRST)
    }

    /// Something was taken.
    pub const fn begin_anew(&mut self) {
        self.0 = Self::FIRST;
    }

    /// Waits, twice as long each time.
    pub async fn wait(&mut self) {
        sleep(half_at_random(self.0)).await;
        self.0 = (self.0 * 2).min(Self::MAX);
    }
}

/// Half of it for sure and half by chance, so that clients that were refused together don't come back together.
fn half_at_random(wait: Duration) -> Duration {
    let chance = Uuid::new_v4().as_bytes()[0];
    wait / 2 + wait / 2 * u32::from(chance) / 256
}
