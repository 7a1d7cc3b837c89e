//! Which `Idempotency-Key` was used for what of late: the same key with something else is a mistake that is told, not an
//! alert that is lost.
//!
//! That the same key is one event is the log's doing, and outlives everything. This only tells mistakes, so it may forget.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

/// How many keys are remembered: at a thousand reports a second those of a minute, in 4 MiB.
const KEYS_MAX: usize = 65_536;

/// The memory.
#[derive(Default)]
pub struct Keys {
    hasher: RandomState,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    content: HashMap<u64, u64>,
    order: VecDeque<u64>,
}

impl Keys {
    /// Whether this key was used for other content.
    pub fn is_of_another(&self, key: &str, content: &[u8]) -> bool {
        let (key, content) = (self.hasher.hash_one(key), self.hasher.hash_one(content));
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.content.get(&key).is_some_and(|known| *known != content)
    }

    /// It was stored with this content.
    pub fn note(&self, key: &str, content: &[u8]) {
        let (key, content) = (self.hasher.hash_one(key), self.hasher.hash_one(content));
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.content.contains_key(&key) {
            return;
        }
        if held.order.len() == KEYS_MAX
            && let Some(oldest) = held.order.pop_front()
        {
            held.content.remove(&oldest);
        }
        held.order.push_back(key);
        held.content.insert(key, content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_other_content_is_known_until_many_have_come_after_it() {
        let keys = Keys::default();
        keys.note("a", b"1");
        keys.note("a", b"2");
        assert!(!keys.is_of_another("a", b"1") && keys.is_of_another("a", b"2") && !keys.is_of_another("b", b"2"));
        for number in 0..KEYS_MAX {
            keys.note(&number.to_string(), b"x");
        }
        assert!(!keys.is_of_another("a", b"2"));
        assert_eq!(keys.held.lock().unwrap().content.len(), KEYS_MAX);
    }
}
