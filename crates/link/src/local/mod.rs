//! What an engine without a log of its own needs in memory to be a bus: places for events, the way from a broker's
//! deliveries to a group's members, waits.

pub(crate) mod book;
pub(crate) mod covered;
pub(crate) mod desk;
pub(crate) mod front;
pub(crate) mod ledger;
pub(crate) mod member;
pub(crate) mod ring;
pub(crate) mod states;
pub(crate) mod tail;
pub(crate) mod talk;
pub(crate) mod unplaced;
pub(crate) mod wait;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lock that a panic elsewhere doesn't close for ever.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
