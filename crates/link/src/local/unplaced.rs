//! Deliveries of a group that have no place in this process's order yet: it comes by our own append, or by what is heard of all.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use headwater_event::{EventId, Recorded};
use tokio::time::Instant;

use super::book::Place;
use super::desk::{Desk, Handle};
use super::ledger::Ledger;
use super::lock;

/// How long an event waits for its place: until our own append is through, or until it was heard among all others too.
const PLACE_TIME_MAX: Duration = Duration::from_millis(500);

/// What waits for its place, in the order in which it came.
#[derive(Default)]
pub(crate) struct Unplaced(VecDeque<Delivery>);

struct Delivery {
    recorded: Recorded,
    tried: u32,
    handle: Handle,
    since: Instant,
}

/// What came of looking for places.
pub(crate) struct Placed {
    /// Something is on the desk that wasn't.
    pub(crate) any: bool,
    /// When to look again, if nothing calls for it before.
    pub(crate) look_at: Option<Instant>,
}

impl Unplaced {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, id: &EventId) -> bool {
        self.0.iter().any(|delivery| delivery.recorded.event.id == *id)
    }

    /// Takes a delivery in; the position's number is still to come.
    pub(crate) fn push(&mut self, recorded: Recorded, tried: u32, handle: Handle) {
        self.0.push_back(Delivery { recorded, tried, handle, since: Instant::now() });
    }

    /// Puts on the desk what has its place by now, in the order in which it came. An event of our own is waited for as long as it
    /// takes where `ours_will_come`: where nothing else can come of it.
    pub(crate) fn place(&mut self, ledger: &Ledger, desk: &Mutex<Desk>, ours_will_come: bool) -> Placed {
        let mut placed = Placed { any: false, look_at: None };
        while let Some(first) = self.0.front() {
            let overdue_at = first.since + PLACE_TIME_MAX;
            let is_overdue = overdue_at <= Instant::now();
            let seq = match ledger.place_of(&first.recorded.event.id) {
                Place::At(seq) => Some(seq),
                Place::Soon if ours_will_come => break,
                // While all is heard, its order counts.
                Place::Unknown if !ledger.follows() => None,
                _ if !is_overdue => {
                    placed.look_at = Some(overdue_at);
                    break;
                }
                _ => None,
            };
            let Some(Delivery { mut recorded, tried, handle, .. }) = self.0.pop_front() else { break };
            let seq = seq.unwrap_or_else(|| ledger.place(recorded.event.clone(), recorded.sticky));
            recorded.position.seq = seq;
            let mut desk = lock(desk);
            if desk.is_taken(seq) {
                // It can't be: an id has one place. It stays with the broker and comes again.
                continue;
            }
            desk.arrive(recorded, tried, handle, None);
            placed.any = true;
        }
        placed
    }
}
