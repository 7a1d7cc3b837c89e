//! The book behind a ledger: what waits for its place, and what has one.

use std::collections::{HashMap, VecDeque};

use headwater_event::{BusError, Epoch, Event, EventId, Position, Publication, Receipts, Recorded, Seq};
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::ring::Ring;
use super::states::States;

/// How many ids are remembered, to know a copy for what it is: those of some seconds under full load. Resends come soon
/// or never; behind them stands a worker's inbox.
const IDS_MAX: usize = 65_536;

/// How many events, and how many bytes of them, may wait for the broker: as many as a hub lets wait.
const WAITING_MAX: usize = 65_536;
pub(super) const WAITING_BYTES_MAX: usize = 64 << 20;

/// How many events of others wait behind a batch of ours: a batch is through within a round trip.
const HELD_MAX: usize = 16_384;

/// Which event of which batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    pub(super) batch: u64,
    pub(super) index: usize,
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    At(Seq),
    /// It is one of ours, and will have its place in a moment.
    Soon,
    Unknown,
}

/// One of a batch.
pub(super) enum Item {
    /// `is_own`: the hub gave the id, so nobody can send it again.
    #[cfg_attr(not(feature = "engines"), allow(dead_code, reason = "only some engines ask who gave an id"))]
    Fresh {
        publication: Publication,
        is_own: bool,
        is_acked: bool,
        awaits_echo: bool,
    },
    Copy(EventId),
    /// The engine has had it before this process began, or from another one.
    #[cfg_attr(not(feature = "engines"), allow(dead_code, reason = "an MQTT broker knows no ids"))]
    Known(EventId),
}

/// A batch that waits.
pub(super) struct Waiting {
    pub(super) number: u64,
    pub(super) items: Vec<Item>,
    pub(super) unacked: usize,
    pub(super) unechoed: usize,
    pub(super) has_echoed: bool,
    pub(super) acked_at: Option<Instant>,
    pub(super) failure: Option<String>,
    pub(super) reply: Option<oneshot::Sender<Result<Receipts, BusError>>>,
    pub(super) bytes: usize,
}

/// All of it, under the ledger's lock.
pub(super) struct Book {
    pub(super) epoch: Epoch,
    pub(super) head: Seq,
    pub(super) ids: HashMap<EventId, Seq>,
    pub(super) ids_in_order: VecDeque<EventId>,
    pub(super) batches: VecDeque<Waiting>,
    pub(super) next_batch: u64,
    pub(super) unsent: VecDeque<Ticket>,
    pub(super) pending: HashMap<EventId, Ticket>,
    pub(super) waiting: usize,
    pub(super) waiting_bytes: usize,
    pub(super) held: VecDeque<(u64, Event, bool)>,
    /// Our own events come back.
    pub(super) has_echo: bool,
    pub(super) follows: bool,
    pub(super) ring: Ring,
    pub(super) states: States,
    pub(super) is_filled: bool,
    pub(super) fault: Option<String>,
    pub(super) event_len_max: usize,
    pub(super) is_closed: bool,
}

/// How many bytes of an event count: what a packet holds of it beside its head.
fn len_of(event: &Event) -> usize {
    // The stamps of an event and the lengths of its parts take less than 400 bytes with the longest id.
    400 + event.topic.as_str().len() + event.headers.as_stored().len() + event.payload.len()
}

/// An epoch that no other process has had, most likely; never 0.
fn new_epoch() -> Epoch {
    let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
    u32::from_be_bytes([a, b, c, d]).max(1)
}

impl Book {
    pub(super) fn new() -> Self {
        Self {
            epoch: new_epoch(),
            head: 0,
            ids: HashMap::new(),
            ids_in_order: VecDeque::new(),
            batches: VecDeque::new(),
            next_batch: 0,
            unsent: VecDeque::new(),
            pending: HashMap::new(),
            waiting: 0,
            waiting_bytes: 0,
            held: VecDeque::new(),
            has_echo: false,
            follows: false,
            ring: Ring::after(0),
            states: States::default(),
            is_filled: false,
            fault: None,
            event_len_max: usize::MAX,
            is_closed: false,
        }
    }

    pub(super) const fn here(&self) -> Position {
        Position::new(self.epoch, self.head)
    }

    pub(super) fn follow(&mut self) -> bool {
        let is_new = !self.follows;
        if is_new {
            self.follows = true;
            self.ring = Ring::after(self.head);
        }
        is_new
    }

    pub(super) fn batch(&mut self, number: u64) -> Option<&mut Waiting> {
        let first = self.batches.front()?.number;
        self.batches.get_mut(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    pub(super) fn admit(&self, batch: &[Publication]) -> Result<(), BusError> {
        if self.is_closed {
            return Err(BusError::Closed);
        }
        if batch.iter().any(|publication| matches!(publication.event.id, EventId::Numbered { .. })) {
            return Err(BusError::Unable("keep the numbers of producers"));
        }
        if batch.iter().any(|publication| len_of(&publication.event) > self.event_len_max) {
            return Err(BusError::TooLarge { max: self.event_len_max - 400 });
        }
        let bytes: usize = batch.iter().map(|publication| len_of(&publication.event)).sum();
        if self.waiting > 0
            && (self.waiting + batch.len() > WAITING_MAX || self.waiting_bytes + bytes > WAITING_BYTES_MAX)
        {
            return Err(BusError::Storage(format!("{} events wait for the broker, and no more may", self.waiting)));
        }
        Ok(())
    }

    pub(super) fn take_in(&mut self, batch: Vec<Publication>, reply: oneshot::Sender<Result<Receipts, BusError>>) {
        let number = self.next_batch;
        self.next_batch += 1;
        let mut waiting = Waiting {
            number,
            items: Vec::with_capacity(batch.len()),
            unacked: 0,
            unechoed: 0,
            has_echoed: false,
            acked_at: None,
            failure: None,
            reply: Some(reply),
            bytes: 0,
        };
        for (index, mut publication) in batch.into_iter().enumerate() {
            let is_own = matches!(publication.event.id, EventId::Own(_));
            if let EventId::Own(given) = publication.event.id {
                // It comes back as what it is to others.
                publication.event.id = EventId::Uuid(given);
            }
            let id = &publication.event.id;
            if self.ids.contains_key(id) || self.pending.contains_key(id) {
                waiting.items.push(Item::Copy(id.clone()));
                continue;
            }
            let ticket = Ticket { batch: number, index };
            self.pending.insert(id.clone(), ticket);
            self.unsent.push_back(ticket);
            waiting.unacked += 1;
            waiting.bytes += len_of(&publication.event);
            waiting.items.push(Item::Fresh { publication, is_own, is_acked: false, awaits_echo: false });
        }
        self.waiting += waiting.unacked;
        self.waiting_bytes += waiting.bytes;
        self.batches.push_back(waiting);
    }

    /// Gives places to the first batches as far as they are through; says whether there were any.
    pub(super) fn place_ready(&mut self) -> bool {
        let mut any = false;
        while self.batches.front().is_some_and(|front| front.unacked == 0 && front.unechoed == 0) {
            let Some(batch) = self.batches.pop_front() else { break };
            any = true;
            let number = batch.number;
            self.place_batch(batch);
            while self.held.front().is_some_and(|(behind, ..)| *behind <= number) {
                if let Some((_, event, sticky)) = self.held.pop_front() {
                    self.place_unless_known(event, sticky);
                }
            }
        }
        any
    }

    pub(super) fn place_batch(&mut self, batch: Waiting) {
        // Copies were never counted; what the engine knows was, as it might have been new.
        let counted = batch.items.iter().filter(|item| !matches!(item, Item::Copy(_))).count();
        self.waiting -= counted;
        self.waiting_bytes -= batch.bytes;
        for item in &batch.items {
            if let Item::Known(id) = item {
                self.pending.remove(id);
                self.number(id);
            }
        }
        let (first, len) = (self.head + 1, batch.items.len());
        let (mut duplicates, mut failure) = (Vec::new(), batch.failure);
        for (index, item) in batch.items.into_iter().enumerate() {
            match item {
                Item::Fresh { publication: Publication { event, sticky }, is_acked, .. } => {
                    self.pending.remove(&event.id);
                    if is_acked {
                        self.place(event, sticky);
                    }
                }
                Item::Copy(id) | Item::Known(id) => match self.ids.get(&id) {
                    Some(seq) => duplicates.push((index, *seq)),
                    None => {
                        failure.get_or_insert_with(|| "the event that this one is a copy of was not taken".into());
                    }
                },
            }
        }
        let result = match failure {
            None => Ok(Receipts { epoch: self.epoch, first, len, duplicates, strays: Vec::new() }),
            Some(why) => Err(BusError::Storage(why)),
        };
        if let Some(reply) = batch.reply {
            // Nobody may wait any more.
            let _ = reply.send(result);
        }
    }

    pub(super) fn came(&mut self, event: Event, sticky: bool, is_named: bool) {
        if let Some(ticket) = self.pending.get(&event.id).copied() {
            if let Some(batch) = self.batch(ticket.batch)
                && let Some(Item::Fresh { awaits_echo, .. }) = batch.items.get_mut(ticket.index)
                && std::mem::take(awaits_echo)
            {
                batch.unechoed -= 1;
                batch.has_echoed = true;
                self.place_ready();
            }
            return;
        }
        if let Some(seq) = self.ids.get(&event.id).copied() {
            if sticky {
                self.states.confirm(&event.topic);
                if self.states.seq_of(&event.topic).is_none_or(|known| known < seq) {
                    let position = Position::new(self.epoch, seq);
                    self.states.put(&Recorded { position, event, sticky });
                }
            }
            return;
        }
        if sticky && !is_named && !self.is_filled {
            // The broker tells a state that nobody named: is it the one that we have?
            let is_same = self
                .states
                .get(&event.topic)
                .is_some_and(|known| known.event.payload == event.payload && known.event.headers == event.headers);
            if is_same {
                self.states.confirm(&event.topic);
                return;
            }
        }
        let behind = self.batches.iter().rev().find(|batch| batch.has_echoed).map(|batch| batch.number);
        match behind {
            Some(number) if self.held.len() < HELD_MAX => self.held.push_back((number, event, sticky)),
            _ => {
                self.place(event, sticky);
            }
        }
    }

    /// The engine has had this event already: it is not sent, and has no place but a number.
    #[cfg(feature = "engines")]
    pub(super) fn known(&mut self, ticket: Ticket) {
        let Some(batch) = self.batch(ticket.batch) else { return };
        let Some(item) = batch.items.get_mut(ticket.index) else { return };
        let Item::Fresh { publication, awaits_echo, is_acked, .. } = item else { return };
        if *awaits_echo {
            batch.unechoed -= 1;
        }
        if !*is_acked {
            batch.unacked = batch.unacked.saturating_sub(1);
        }
        *item = Item::Known(publication.event.id.clone());
        if batch.unacked == 0 {
            batch.acked_at = Some(Instant::now());
        }
    }

    /// The number of an event that others don't see here.
    pub(super) fn number(&mut self, id: &EventId) -> Seq {
        if let Some(seq) = self.ids.get(id) {
            return *seq;
        }
        self.head += 1;
        let seq = self.head;
        self.remember(id.detached(), seq);
        seq
    }

    pub(super) fn place_unless_known(&mut self, event: Event, sticky: bool) {
        if !self.ids.contains_key(&event.id) {
            self.place(event, sticky);
        }
    }

    pub(super) fn place(&mut self, event: Event, sticky: bool) -> Seq {
        self.head += 1;
        let seq = self.head;
        self.remember(event.id.detached(), seq);
        if self.follows {
            let recorded = Recorded { position: self.here(), event, sticky };
            if sticky {
                self.states.put(&recorded);
            }
            self.ring.push(recorded);
        }
        seq
    }

    pub(super) fn remember(&mut self, id: EventId, seq: Seq) {
        if self.ids.insert(id.clone(), seq).is_none() {
            self.ids_in_order.push_back(id);
        }
        while self.ids_in_order.len() > IDS_MAX {
            if let Some(oldest) = self.ids_in_order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let known: std::collections::HashSet<_> = self.ids_in_order.iter().collect();
        assert_eq!(known.len(), self.ids.len());
    }
}
