//! A bounded way from tasks to a thread: who finds it full waits without holding a thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::store::StoreError;

/// What waits for a thread.
pub(super) struct Intake<T> {
    room: Semaphore,
    state: Mutex<State<T>>,
    some: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Intake<T> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            room: Semaphore::new(max),
            state: Mutex::new(State { waiting: VecDeque::new(), closed: false }),
            some: Condvar::new(),
        }
    }

    /// Puts something in, once there's room for it.
    pub(super) async fn put(&self, one: T) -> Result<(), StoreError> {
        // The room comes back when the thread has taken it out.
        self.room.acquire().await.map_err(|_| StoreError::Closed)?.forget();
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        state.waiting.push_back(one);
        drop(state);
        self.some.notify_one();
        Ok(())
    }

    /// All that waits, up to `max`; waits for the first, and gives nothing once it is closed and empty.
    pub(super) fn take(&self, max: usize) -> Vec<T> {
        let state = self.lock();
        let mut state = self
            .some
            .wait_while(state, |state| state.waiting.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let len = state.waiting.len().min(max);
        let taken: Vec<T> = state.waiting.drain(..len).collect();
        drop(state);
        self.room.add_permits(taken.len());
        taken
    }

    /// Nothing more comes in; what waits is still given out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.some.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
