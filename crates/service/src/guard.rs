//! Calls a handler so that neither a panic nor an endless wait in it reaches its neighbours.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::failure::Failure;
use crate::handler::Call;

/// Calls it; a panic and a wait beyond `limit` are failures to be tried again.
pub(crate) fn call(call: Call<'_>, limit: Duration) -> Guarded<'_> {
    Guarded { call, limit, waits: None }
}

/// A call under guard.
pub(crate) struct Guarded<'a> {
    call: Call<'a>,
    limit: Duration,
    /// Since when it waits for something that isn't its transaction's, and what wakes this when that was long enough.
    waits: Option<(Instant, Option<Pin<Box<Sleep>>>)>,
}

impl Future for Guarded<'_> {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // After a panic the call is never polled again, and what it had of the transaction is undone.
        match catch_unwind(AssertUnwindSafe(|| this.call.as_mut().poll(cx))) {
            Ok(Poll::Ready(result)) => Poll::Ready(result),
            Ok(Poll::Pending) => this.poll_limit(cx),
            Err(panic) => Poll::Ready(Err(Failure::retry(format!("the handler panicked: {}", text_of(&*panic))))),
        }
    }
}

impl Guarded<'_> {
    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let limit = self.limit;
        let (since, timer) = self.waits.get_or_insert_with(|| {
            // On the thread of a store without a runtime nothing has to wake this: it looks again by itself.
            let timer = tokio::runtime::Handle::try_current().is_ok().then(|| Box::pin(tokio::time::sleep(limit)));
            (Instant::now(), timer)
        });
        let is_over =
            since.elapsed() >= limit || timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if is_over {
            return Poll::Ready(Err(Failure::retry(format!("the handler took longer than {limit:?}"))));
        }
        Poll::Pending
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

/// Drives a future on a thread that has no runtime of its own. On SQLite only what a handler itself waits for ever waits.
pub(crate) fn drive<F: Future>(future: F) -> F::Output {
    /// How often it looks without being woken, so that a limit is noticed.
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
        return output;
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}
