//! The wall clock, passed in so that a test can own it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This moment and a duration more; stays at the end of time rather than wrapping.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was, seen from this moment; zero when it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Where the time comes from.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<Hands>),
}

/// The hands of a manual clock, and who waits for them to move.
#[derive(Default)]
struct Hands {
    at: AtomicU64,
    moves: AtomicU64,
    waiting: Mutex<Vec<Waker>>,
}

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it's [moved](Clock::advance).
    #[must_use]
    pub fn manual(start: Time) -> Self {
        Self(Source::Manual(Arc::new(Hands { at: AtomicU64::new(start.0), ..Hands::default() })))
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Time {
        match &self.0 {
            // The one place that asks the machine for the time.
            #[expect(clippy::disallowed_methods)]
            Source::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Time(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
            }
            Source::Manual(hands) => Time(hands.at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the system's clock can't be moved and stays.
    pub fn advance(&self, by: Duration) {
        let Source::Manual(hands) = &self.0 else { return };
        hands.at.fetch_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
        hands.moves.fetch_add(1, Ordering::SeqCst);
        // Taken out first: a woken task may ask the clock again.
        let waiting = std::mem::take(&mut *hands.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The next move of a manual clock that happens after this call; `None` for the system's clock, which is waited for
    /// with a timer instead.
    ///
    /// Who waits for a moment asks for the move *before* looking at the time: a move in between is then not missed, and
    /// no test has to sleep.
    #[must_use]
    pub fn moved(&self) -> Option<Moved> {
        match &self.0 {
            Source::System => None,
            Source::Manual(hands) => Some(Moved { seen: hands.moves.load(Ordering::SeqCst), hands: Arc::clone(hands) }),
        }
    }
}

/// Resolves when a manual clock has moved.
pub struct Moved {
    hands: Arc<Hands>,
    seen: u64,
}

impl Future for Moved {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Under the lock: a move wakes those on the list after it was counted, so one of the two is always seen.
        let mut waiting = self.hands.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.hands.moves.load(Ordering::SeqCst) != self.seen {
            return Poll::Ready(());
        }
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Clock::system",
            Source::Manual(_) => "Clock::manual",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_seen_by_those_who_asked_before_it_and_by_nobody_else() {
        let clock = Clock::manual(Time(5));
        let mut before = clock.moved().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut before).poll(&mut cx).is_pending());
        clock.advance(Duration::from_micros(2));
        assert!(Pin::new(&mut before).poll(&mut cx).is_ready());
        let mut after = clock.moved().unwrap();
        assert!(Pin::new(&mut after).poll(&mut cx).is_pending());
        assert_eq!(clock.now(), Time(7));
        assert!(Clock::system().moved().is_none());
    }
}
