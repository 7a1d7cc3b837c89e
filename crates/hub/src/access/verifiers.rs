//! Where passwords are checked: a thread or two beside everything else, with a short list of those who wait.
//!
//! A check takes 20 ms of a core and 20 MiB, by design; so a flood of logins must neither take the cores from those who
//! are there already, nor grow.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_event::Refusal;
use tokio::sync::oneshot;

use super::password::PasswordHash;
use super::secret::Secret;

/// How many logins may wait: at 20 ms each the last one waits for about a second, as long as a client will.
pub(super) const WAITING_MAX: usize = 64;

/// When one who was turned away may come again: half of a full list is done by then.
const FULL_WAIT: Duration = Duration::from_millis(500);

/// After how long without work a thread ends.
const IDLE: Duration = Duration::from_secs(10);

/// The threads, and who waits for them.
#[derive(Default)]
pub(super) struct Verifiers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Check>,
    threads: usize,
    idle: usize,
}

struct Check {
    hash: Arc<PasswordHash>,
    password: Secret,
    answer: oneshot::Sender<bool>,
}

impl Verifiers {
    /// Whether the password is this hash's.
    ///
    /// # Errors
    /// `Full` at once when too many wait; `Unavailable` when there is no thread to be had.
    pub(super) fn check(&self, hash: Arc<PasswordHash>, password: Secret) -> Result<oneshot::Receiver<bool>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.0.lock();
        if state.waiting.len() >= WAITING_MAX {
            // Those who gave up don't count.
            state.waiting.retain(|check| !check.answer.is_closed());
        }
        if state.waiting.len() >= WAITING_MAX {
            return Err(Refusal::Full { wait: FULL_WAIT });
        }
        state.waiting.push_back(Check { hash, password, answer });
        if state.idle == 0 && state.threads < threads_max() {
            let shared = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("login".into()).spawn(move || shared.work());
            match thread {
                Ok(_) => state.threads += 1,
                Err(_) if state.threads == 0 => {
                    state.waiting.clear();
                    return Err(Refusal::Unavailable);
                }
                Err(_) => {}
            }
        }
        self.0.wake.notify_one();
        Ok(answered)
    }
}

/// One of two cores, two of more.
fn threads_max() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores > 2 { 2 } else { 1 }
}

impl Shared {
    fn work(&self) {
        while let Some(Check { hash, password, answer }) = self.next() {
            if !answer.is_closed() {
                // Whoever asked may have gone meanwhile.
                let _ = answer.send(hash.is_of(&password));
            }
        }
    }

    /// The next one who waits; `None` when nobody came for a while, and then this thread is no longer counted.
    fn next(&self) -> Option<Check> {
        let mut state = self.lock();
        state.idle += 1;
        let waited = self.wake.wait_timeout_while(state, IDLE, |state| state.waiting.is_empty());
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.idle -= 1;
        let check = state.waiting.pop_front();
        if check.is_none() {
            state.threads -= 1;
        }
        check
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn class_21_no_more_logins_wait_than_may() {
        let verifiers = Verifiers::default();
        let hash = Arc::new(PasswordHash::of(&Secret::new("correct horse")).unwrap());
        let check = |text: &str| verifiers.check(Arc::clone(&hash), Secret::new(text));
        let right = check("correct horse").unwrap();
        let mut waiting = Vec::new();
        let refused = loop {
            match check("wrong") {
                Ok(answer) => waiting.push(answer),
                Err(refusal) => break refusal,
            }
            assert!(waiting.len() < 10 * WAITING_MAX, "the list has no end");
        };
        assert!(matches!(refused, Refusal::Full { .. }), "{refused:?}");
        assert!(waiting.len() + 1 >= WAITING_MAX);
        assert!(right.await.unwrap(), "those who came before are served");
        assert!(!waiting.swap_remove(0).await.unwrap());
        // Those who gave up make room.
        drop(waiting);
        assert!(!check("wrong").unwrap().await.unwrap());
    }
}
