//! Order per key: while an event of a key has to be tried again, later ones of that key are held back.
//!
//! Held ones stay leased to this worker, so their number is bounded. Beyond the bound they go back to the bus to come later,
//! and the order of that key is then no longer promised. Neither is it between workers of several processes: who wants
//! order has one worker, which on SQLite is no loss.

use std::collections::{HashMap, VecDeque};

use headwater_event::{Seq, Time};

use crate::batch::Item;

/// Which keys are stopped, by what, and what waits behind it.
#[derive(Default)]
pub(super) struct Order {
    stopped: HashMap<Box<str>, Stopped>,
    held: usize,
}

struct Stopped {
    /// The events that have to be tried again.
    by: Vec<Seq>,
    /// Until when they're believed to come here again; another worker may have got them.
    until: Time,
    held: VecDeque<Item>,
}

/// What becomes of an item that came in.
pub(super) enum Admitted {
    /// It may be handled.
    Now(Item),
    /// It waits for an earlier one.
    Held,
    /// It would have to wait, and too many do.
    Full,
}

impl Order {
    /// An event that came from the bus.
    pub(super) fn admit(&mut self, item: Item, seq: Seq, held_max: usize) -> Admitted {
        let Some(stopped) = item.key.as_deref().and_then(|key| self.stopped.get_mut(key)) else {
            return Admitted::Now(item);
        };
        if stopped.by.contains(&seq) {
            return Admitted::Now(item);
        }
        if self.held >= held_max {
            return Admitted::Full;
        }
        self.held += 1;
        stopped.held.push_back(item);
        Admitted::Held
    }

    /// This event has to be tried again: its key is stopped. `behind` are those of the key that were under way behind it, in
    /// their order.
    pub(super) fn stop(&mut self, key: &str, seq: Seq, until: Time, behind: Vec<Item>) {
        let stopped =
            self.stopped.entry(key.into()).or_insert_with(|| Stopped { by: Vec::new(), until, held: VecDeque::new() });
        stopped.until = until;
        if !stopped.by.contains(&seq) {
            stopped.by.push(seq);
        }
        self.held += behind.len();
        for item in behind.into_iter().rev() {
            stopped.held.push_front(item);
        }
    }

    /// This event is settled for good; gives those that waited for it.
    pub(super) fn go_on(&mut self, key: &str, seq: Seq) -> VecDeque<Item> {
        let Some(stopped) = self.stopped.get_mut(key) else { return VecDeque::new() };
        stopped.by.retain(|by| *by != seq);
        if !stopped.by.is_empty() {
            return VecDeque::new();
        }
        self.release(key)
    }

    /// Those that have waited long enough for something that another worker must have got.
    pub(super) fn overdue(&mut self, now: Time) -> VecDeque<Item> {
        let over = self.stopped.iter().filter(|(_, stopped)| stopped.until <= now).map(|(key, _)| key.clone());
        let over: Vec<_> = over.collect();
        over.iter().flat_map(|key| self.release(key)).collect()
    }

    /// When the next one is overdue.
    pub(super) fn next_moment(&self) -> Option<Time> {
        // Keys are stopped for moments, and few at a time.
        self.stopped.values().map(|stopped| stopped.until).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stopped.is_empty()
    }

    pub(super) fn is_stopped(&self, key: &str) -> bool {
        self.stopped.contains_key(key)
    }

    fn release(&mut self, key: &str) -> VecDeque<Item> {
        let held = self.stopped.remove(key).map(|stopped| stopped.held).unwrap_or_default();
        self.held -= held.len();
        held
    }
}

#[cfg(test)]
mod tests {
    use headwater_event::{Delivery, Event, EventId, Headers, Position, Recorded, Topic};

    use super::*;
    use crate::batch::Work;

    fn item(seq: Seq, key: &str) -> Item {
        let event = Event {
            id: EventId::generate(),
            topic: Topic::new("t").unwrap(),
            headers: Headers::none(),
            payload: bytes::Bytes::new(),
            at: Time(0),
        };
        let recorded = Recorded { position: Position::new(1, seq), event, sticky: false };
        Item { work: Work::Delivery(Delivery { recorded, attempt: 1 }), key: Some(key.into()) }
    }

    fn seqs(items: impl IntoIterator<Item = Item>) -> Vec<Seq> {
        let seq = |item: Item| match item.work {
            Work::Delivery(delivery) => delivery.recorded.position.seq,
            _ => 0,
        };
        items.into_iter().map(seq).collect()
    }

    #[test]
    fn later_ones_of_a_stopped_key_wait_in_their_order_and_others_pass() {
        let mut order = Order::default();
        assert!(matches!(order.admit(item(1, "a"), 1, 9), Admitted::Now(_)));
        order.stop("a", 1, Time(100), vec![item(2, "a"), item(3, "a")]);
        assert!(matches!(order.admit(item(4, "b"), 4, 9), Admitted::Now(_)));
        assert!(matches!(order.admit(item(5, "a"), 5, 9), Admitted::Held));
        // The one that stopped it comes again, and fails again.
        assert!(matches!(order.admit(item(1, "a"), 1, 9), Admitted::Now(_)));
        order.stop("a", 1, Time(200), Vec::new());
        assert!(seqs(order.overdue(Time(150))).is_empty());
        assert_eq!(seqs(order.go_on("a", 1)), [2, 3, 5]);
        assert!(matches!(order.admit(item(6, "a"), 6, 9), Admitted::Now(_)));
        assert_eq!(order.held, 0);
    }

    #[test]
    fn waiting_is_bounded_in_number_and_in_time() {
        let mut order = Order::default();
        order.stop("a", 1, Time(100), Vec::new());
        assert!(matches!(order.admit(item(2, "a"), 2, 1), Admitted::Held));
        assert!(matches!(order.admit(item(3, "a"), 3, 1), Admitted::Full));
        assert_eq!(order.next_moment(), Some(Time(100)));
        assert_eq!(seqs(order.overdue(Time(100))), [2]);
        assert!(!order.is_stopped("a"));
    }
}
