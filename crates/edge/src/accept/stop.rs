//! How a listener and its connections are told that it's time to end.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// In the hand of whoever ends the program. Clones pull the same rope.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Bell>);

/// In the hand of a listener or a connection: two words, as ten thousand idle connections hold one each.
#[derive(Debug)]
pub struct Stopping {
    bell: Arc<Bell>,
    /// Where this one's waker lies, once it has waited.
    seat: Option<u32>,
}

/// Who is to be woken.
#[derive(Debug, Default)]
struct Bell(Mutex<Seats>);

#[derive(Debug, Default)]
struct Seats {
    is_requested: bool,
    /// As many as ever waited at once; those who left gave theirs back.
    wakers: Vec<Option<Waker>>,
    free: Vec<u32>,
}

impl Stop {
    /// Tells everyone who listens; it can't be taken back.
    pub fn request(&self) {
        let wakers = {
            let mut seats = self.0.lock();
            seats.is_requested = true;
            std::mem::take(&mut seats.wakers)
        };
        // Outside of the lock: a woken task may ask at once.
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// What a listener or a connection gets.
    #[must_use]
    pub fn listen(&self) -> Stopping {
        Stopping { bell: Arc::clone(&self.0), seat: None }
    }
}

impl Stopping {
    /// Waits until the end is requested; at once when it already was. Dropping the future loses nothing. When every
    /// [`Stop`] is gone, nobody can ask any more, and it waits for ever.
    pub async fn requested(&mut self) {
        poll_fn(|cx| self.poll_requested(cx)).await;
    }

    /// The same for those who poll.
    pub fn poll_requested(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut seats = self.bell.lock();
        if seats.is_requested {
            return Poll::Ready(());
        }
        let taken = self.seat.and_then(|seat| seats.wakers.get_mut(seat as usize));
        match taken {
            Some(Some(waker)) => waker.clone_from(cx.waker()),
            Some(empty) => *empty = Some(cx.waker().clone()),
            None => self.seat = seats.take(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether the end was requested.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.bell.lock().is_requested
    }
}

impl Clone for Stopping {
    fn clone(&self) -> Self {
        Self { bell: Arc::clone(&self.bell), seat: None }
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        let Some(seat) = self.seat else { return };
        let mut seats = self.bell.lock();
        if let Some(waker) = seats.wakers.get_mut(seat as usize) {
            *waker = None;
            seats.free.push(seat);
        }
    }
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    fn take(&mut self, waker: Waker) -> Option<u32> {
        if let Some(seat) = self.free.pop() {
            self.wakers[seat as usize] = Some(waker);
            return Some(seat);
        }
        // There are fewer sockets than 32 bits can count.
        let seat = u32::try_from(self.wakers.len()).ok()?;
        self.wakers.push(Some(waker));
        Some(seat)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn everyone_who_waits_is_woken_once_and_who_left_is_not() {
        let (stop, count) = (Stop::default(), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut waiting: Vec<_> = (0..10).map(|_| stop.listen()).collect();
        for stopping in waiting.iter_mut().chain([&mut stop.listen()]) {
            assert!(stopping.poll_requested(&mut cx).is_pending());
            assert!(stopping.poll_requested(&mut cx).is_pending(), "asking twice takes one seat");
        }
        waiting.truncate(4);
        let mut late = waiting[0].clone();
        assert!(late.poll_requested(&mut cx).is_pending(), "a seat that was given back is taken again");
        assert!(stop.0.lock().wakers.len() <= 11);
        stop.request();
        assert_eq!(count.0.load(Ordering::SeqCst), 5);
        assert!(waiting.iter_mut().all(|stopping| stopping.poll_requested(&mut cx).is_ready()));
        assert!(late.is_requested() && stop.listen().is_requested());
    }
}
