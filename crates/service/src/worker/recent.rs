//! The ids of events that were handled a moment ago: what comes again right behind them is settled without asking the store.
//!
//! Only ids whose commit is on disk stand here, so this says nothing that the inbox wouldn't say.

use std::collections::{HashSet, VecDeque};
use std::hash::Hasher as _;

use headwater_event::EventId;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::inbox;

/// How many are remembered: some seconds of a busy service, in about 2 MiB.
const RECENT_MAX: usize = 32_768;

/// The latest ids.
pub(super) struct Recent {
    /// With a key of its own: nobody outside can choose two ids that look alike here.
    hasher: SipHasher13,
    known: HashSet<u128>,
    order: VecDeque<u128>,
}

impl Recent {
    pub(super) fn new() -> Self {
        let hasher = SipHasher13::new_with_key(uuid::Uuid::new_v4().as_bytes());
        Self { hasher, known: HashSet::new(), order: VecDeque::new() }
    }

    pub(super) fn contains(&self, id: &EventId) -> bool {
        self.known.contains(&self.mark(id))
    }

    pub(super) fn insert(&mut self, id: &EventId) {
        let mark = self.mark(id);
        if !self.known.insert(mark) {
            return;
        }
        self.order.push_back(mark);
        if self.order.len() > RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    fn mark(&self, id: &EventId) -> u128 {
        let mut hasher = self.hasher;
        hasher.write(&inbox::id_bytes(id));
        hasher.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_ids_are_known_and_their_number_is_bounded() {
        let mut recent = Recent::new();
        let ids: Vec<EventId> = (0..=RECENT_MAX).map(|n| format!("id {n}").parse().unwrap()).collect();
        ids.iter().for_each(|id| recent.insert(id));
        assert!(!recent.contains(&ids[0]));
        assert!(ids[1..].iter().all(|id| recent.contains(id)));
        assert_eq!((recent.known.len(), recent.order.len()), (RECENT_MAX, RECENT_MAX));
    }
}
