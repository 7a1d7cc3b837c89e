//! What is done when something has ended: a batch, an append, a look.

use headwater_event::{BusError, Receipts, Settlement, Tag, Time};

use super::look::Found;
use super::{AGAIN, Ended, Worker};
use crate::batch::{Batch, Fate, Item, Outcome, Work, wait};
use crate::store::StoreError;

/// After how many failures of the store an event that is alone in its batch goes back to the bus: then it's the event.
const ALONE_MAX: u32 = 8;

/// How many numbers of rows are left out after a commit of which nobody knows whether it took effect: more than the rows of any
/// batch, which has at most 64 calls with 8 MiB each in rows of 1 MiB.
const IN_DOUBT: i64 = 4_096;

impl Worker {
    /// A batch has been carried out, or the store has failed.
    pub(super) fn ended(&mut self, at: usize, (mut batch, result): Ended) {
        let now = self.context.clock.now();
        self.places[at].is_busy = false;
        self.relay.deleted(std::mem::take(&mut batch.relayed), result.is_ok());
        match result {
            Ok(outcome) => self.committed(at, batch, outcome, now),
            Err(error) => self.failed(at, batch, &error, now),
        }
        self.note_sent(now);
    }

    fn committed(&mut self, at: usize, batch: Batch, outcome: Outcome, now: Time) {
        let place = &mut self.places[at];
        place.row_number += i64::try_from(outcome.rows.len()).unwrap_or(0);
        place.batch_max = place.batch_max.saturating_mul(2).min(self.context.service.options.batch_max.max(1));
        if std::mem::take(&mut place.failures) > 0 {
            place.not_before = None;
            self.shared.good();
        }
        if batch.sweep.is_some() {
            self.look.swept(outcome.sweep);
        }
        self.look.heard(outcome.next_due, outcome.parked);
        // The relay first: who is told that it's done may look for what it published.
        if !batch.items.is_empty() {
            place.in_doubt = None;
        }
        self.relay.take(outcome.left);
        self.relay.take(outcome.rows);
        self.relay_on(now);
        self.settle_batch(batch.items, outcome.fates, now);
        for parked in outcome.woken.into_iter().rev() {
            if self.look.claim(&parked.id) {
                let item = Item { work: Work::Parked(parked), key: None };
                let at = self.place_of(&item);
                self.places[at].pending.push_front(item);
            }
        }
    }

    /// Settles the deliveries of a batch, all in one call.
    fn settle_batch(&mut self, items: Vec<Item>, fates: Vec<Fate>, now: Time) {
        let mut settlements: Vec<(Tag, Settlement)> = Vec::with_capacity(items.len());
        let mut stopped: Vec<(Box<str>, Tag, Vec<Item>)> = Vec::new();
        let mut gone_on = Vec::new();
        for (item, fate) in items.into_iter().zip(fates) {
            let tag = match &item.work {
                Work::Delivery(delivery) => delivery.tag(),
                Work::Parked(parked) => {
                    self.look.release(&parked.id, now);
                    continue;
                }
                Work::Timer(due) => {
                    self.look.release(&due.origin, now);
                    continue;
                }
            };
            let settlement = match fate {
                Fate::Held => {
                    // Held in a batch means: behind one of its key that stopped it there.
                    match stopped.iter_mut().find(|(key, ..)| item.key.as_deref() == Some(key)) {
                        Some((_, _, behind)) => behind.push(item),
                        None => self.line_up(item),
                    }
                    continue;
                }
                Fate::Done => Settlement::Done,
                Fate::Dead(why) => {
                    tracing::warn!("the service {} has given up an event: {why}", self.context.service.name);
                    Settlement::Dead { why }
                }
                Fate::Retry(why) => Settlement::Retry { after: None, why },
            };
            if let (Settlement::Done, Work::Delivery(delivery)) = (&settlement, &item.work) {
                self.recent.insert(&delivery.recorded.event.id);
            }
            match (&settlement, item.key) {
                (Settlement::Retry { .. }, Some(key)) => stopped.push((key, tag, Vec::new())),
                (Settlement::Done | Settlement::Dead { .. }, Some(key)) if self.order.is_stopped(&key) => {
                    gone_on.push((key, tag));
                }
                _ => {}
            }
            settlements.push((tag, settlement));
        }
        for (key, tag, behind) in stopped {
            self.stop_key(&key, tag, behind, now);
        }
        self.settle(settlements);
        for (key, tag) in gone_on {
            let released = self.order.go_on(&key, tag.seq);
            self.line_up_first(released);
        }
    }

    /// An event has to be tried again: those of its key that wait for the lane wait behind it.
    fn stop_key(&mut self, key: &str, tag: Tag, mut behind: Vec<Item>, now: Time) {
        for place in &mut self.places {
            let (of_key, others) = std::mem::take(&mut place.pending)
                .into_iter()
                .partition::<std::collections::VecDeque<_>, _>(|item| item.key.as_deref() == Some(key));
            place.pending = others;
            behind.extend(of_key);
        }
        let options = &self.context.service.options;
        // The longest back-off, and time to be handed out again.
        let until = now.plus(options.backoff.cap).plus(options.lease);
        self.order.stop(key, tag.seq, until, behind);
    }

    /// In their order, before what waits already.
    fn line_up_first(&mut self, items: std::collections::VecDeque<Item>) {
        for item in items.into_iter().rev() {
            let at = self.place_of(&item);
            self.places[at].pending.push_front(item);
        }
    }

    /// Tells the bus. It takes effect with the call; should the word be lost, the deliveries come again and are in the inbox.
    pub(super) fn settle(&mut self, settlements: Vec<(Tag, Settlement)>) {
        if settlements.is_empty() {
            return;
        }
        for (tag, _) in &settlements {
            self.in_hand.remove(tag);
        }
        drop(self.member.settle(settlements));
    }

    /// The store failed: nothing of the batch stays, and all of it is tried again here, as it isn't the events' fault. A busy
    /// store gets smaller batches, so that one event that makes it fail is found.
    fn failed(&mut self, at: usize, batch: Batch, error: &StoreError, now: Time) {
        if *error == StoreError::Fenced {
            // All that is in hand here is in other hands.
            self.is_over = true;
            return;
        }
        let name = self.context.service.name;
        self.shared.trouble(format!("the service {name} can't write to its store: {error}"));
        // Whether it was committed before the failure is not known: then its rows are in the outbox, and its ids in the inbox.
        self.look.look_for_left(now);
        let place = &mut self.places[at];
        place.in_doubt = place.in_doubt.or(Some(place.row_number));
        // Those rows keep their numbers: whoever relays them, here or elsewhere, deletes them by these, and must not mean others.
        place.row_number = place.row_number.saturating_add(IN_DOUBT);
        place.failures = place.failures.saturating_add(1);
        let failures = place.failures;
        place.not_before = Some(now.plus(wait(AGAIN, failures)));
        let is_store = matches!(error, StoreError::Unavailable(_) | StoreError::Closed);
        if !is_store {
            place.batch_max = (batch.items.len() / 2).max(1);
        }
        if !is_store && batch.items.len() == 1 && failures >= ALONE_MAX {
            place.failures = 0;
            place.not_before = None;
            batch.items.into_iter().for_each(|item| self.give_back(item, error, now));
            return;
        }
        for item in batch.items.into_iter().rev() {
            place.pending.push_front(item);
        }
    }

    /// An item that the store can't take for a reason that lies in it.
    fn give_back(&mut self, item: Item, error: &StoreError, now: Time) {
        match item.work {
            Work::Delivery(delivery) => {
                let tag = delivery.tag();
                let why = error.to_string();
                let attempts_max = self.context.service.options.attempts_max;
                let is_last = attempts_max != 0 && tag.attempt >= attempts_max;
                if let Some(key) = item.key.as_deref() {
                    match is_last {
                        true => {
                            let released = self.order.go_on(key, tag.seq);
                            self.line_up_first(released);
                        }
                        false => self.stop_key(key, tag, Vec::new(), now),
                    }
                }
                let settlement = match is_last {
                    true => Settlement::Dead { why },
                    false => Settlement::Retry { after: None, why },
                };
                self.settle(vec![(tag, settlement)]);
            }
            // They're still in their tables, and due.
            Work::Parked(parked) => self.look.release(&parked.id, now),
            Work::Timer(due) => self.look.release(&due.origin, now),
        }
    }

    /// An append has ended.
    pub(super) fn relayed(&mut self, result: &Result<Receipts, BusError>) {
        let now = self.context.clock.now();
        let was_failing = self.relay.is_failing();
        self.relay.note(result, now);
        match result {
            Ok(_) if was_failing => self.shared.good(),
            Ok(_) => {}
            Err(error) => {
                let name = self.context.service.name;
                self.shared.trouble(format!("what the service {name} publishes doesn't get onto the bus: {error}"));
            }
        }
        self.note_sent(now);
    }

    fn note_sent(&mut self, now: Time) {
        self.sent_since = match self.relay.has_sent() {
            true => self.sent_since.or(Some(now)),
            false => None,
        };
    }

    /// A look into the store has ended.
    pub(super) fn found(&mut self, result: Result<Found, StoreError>) {
        let now = self.context.clock.now();
        match self.look.note(result, now) {
            Err(error) => {
                let name = self.context.service.name;
                self.shared.trouble(format!("the service {name} can't read its store: {error}"));
            }
            Ok(found) => {
                self.relay.take(found.left);
                let parked = found.parked.into_iter().map(Work::Parked);
                for work in found.timers.into_iter().map(Work::Timer).chain(parked) {
                    self.line_up(Item { work, key: None });
                }
            }
        }
    }
}
