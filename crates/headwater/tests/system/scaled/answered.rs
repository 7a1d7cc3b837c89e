//! How many requests of a load have been answered, for those who wait for more of them; and whether it's enough.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use crate::program::PATIENCE;

/// The count.
#[derive(Default)]
pub struct Answered {
    count: Mutex<usize>,
    bell: Condvar,
    is_enough: AtomicBool,
}

impl Answered {
    pub fn one_more(&self) {
        *self.count.lock().unwrap() += 1;
        self.bell.notify_all();
    }

    /// Waits until so many more are answered.
    pub fn more(&self, count: usize) {
        let mut answered = self.count.lock().unwrap();
        let wanted = *answered + count;
        let begun = Instant::now();
        while *answered < wanted {
            let left = PATIENCE.checked_sub(begun.elapsed()).expect("requests are answered");
            answered = self.bell.wait_timeout(answered, left).unwrap().0;
        }
    }

    pub fn enough(&self) {
        self.is_enough.store(true, Ordering::Release);
    }

    pub fn is_enough(&self) -> bool {
        self.is_enough.load(Ordering::Acquire)
    }
}
