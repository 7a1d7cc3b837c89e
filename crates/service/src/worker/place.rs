//! A lane with what waits for it.

use std::collections::{HashSet, VecDeque};

use headwater_event::Time;

use super::lane::Lane;
use crate::batch::{Item, Work};

/// How many deliveries are fetched ahead for each lane, in batches: the next one waits while one is under way.
pub(super) const AHEAD: usize = 2;

/// The same while most come several times: a commit is worth its price only with enough that is news.
pub(super) const AHEAD_OF_REPEATS: usize = 8;

/// A place where batches are carried out, and what waits for it.
pub(super) struct Place {
    pub(super) lane: Lane,
    pub(super) pending: VecDeque<Item>,
    pub(super) is_busy: bool,
    /// How many items share a commit here: fewer for a while after one that failed.
    pub(super) batch_max: usize,
    pub(super) failures: u32,
    pub(super) not_before: Option<Time>,
    /// This lane's rows in the outbox.
    pub(super) worker: [u8; 16],
    pub(super) row_number: i64,
    /// Since which of them it isn't known which there are.
    pub(super) in_doubt: Option<i64>,
}

impl Place {
    /// How many of those that wait go into the next batch: so many different events as share a commit, and what repeats them.
    pub(super) fn batch_len(&self) -> usize {
        let max = self.batch_max;
        if self.pending.len() <= max {
            return self.pending.len();
        }
        let mut ids = HashSet::with_capacity(max);
        let mut others = 0;
        for (at, item) in self.pending.iter().enumerate() {
            match &item.work {
                Work::Delivery(delivery) => {
                    ids.insert(&delivery.recorded.event.id);
                }
                Work::Parked(_) | Work::Timer(_) => others += 1,
            }
            if ids.len() + others > max || at == max * AHEAD_OF_REPEATS {
                return at;
            }
        }
        self.pending.len()
    }
}
