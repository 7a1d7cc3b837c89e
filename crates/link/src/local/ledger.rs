//! Places for events that a broker keeps without giving them any: one order for this process, from its start.
//!
//! Own events get their places when the broker has acknowledged their batch; a batch stands together, and batches stand in
//! the order in which they were appended. Events of others get theirs when they come. While this process follows, its own
//! events come back too, and this echo says where they stand among those of others: what came behind the echo of a batch
//! is placed behind that batch, so that of two writers of one topic the one whom the broker heard last is last here, too.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_event::{
    Batch, BusError, Event, EventId, Filter, Position, Publication, Receipts, Seq, StickyPage, Topic, TopicPage,
};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::book::{Book, Item, Place, Ticket};
use super::ring::Ring;
use super::wait::{Bell, Ear};

/// How long the echo of an acknowledged event is waited for. Brokers send it beside the acknowledgement; where it doesn't
/// come (a copy that the broker knew for what it is; a topic that we may not read) the place is given without it.
const ECHO_TIME_MAX: Duration = Duration::from_millis(500);

/// What comes of an append.
pub(crate) type Reply = oneshot::Receiver<Result<Receipts, BusError>>;

/// The places, and what waits for one.
pub(crate) struct Ledger {
    inner: Mutex<Book>,
    bell: Bell,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::new(Book::new()), bell: Bell::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rings when events got places, the states are told, or all is over.
    pub(crate) fn listen(&self) -> Ear {
        self.bell.listen()
    }

    pub(crate) fn head(&self) -> Position {
        self.lock().here()
    }

    pub(crate) fn oldest(&self) -> Position {
        let inner = self.lock();
        let from = if inner.follows { inner.ring.from() } else { inner.head };
        Position::new(inner.epoch, from)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Nobody waits any more.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        for mut batch in std::mem::take(&mut inner.batches) {
            if let Some(reply) = batch.reply.take() {
                let _ = reply.send(Err(BusError::Closed));
            }
        }
        drop(inner);
        self.bell.ring();
    }

    /// The largest packet that the broker takes.
    pub(crate) fn set_packet_len_max(&self, max: usize) {
        self.lock().event_len_max = max;
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// When it can't be taken at all: nothing of it was then.
    pub(crate) fn append(&self, batch: Vec<Publication>) -> Result<Reply, BusError> {
        let (tell, reply) = oneshot::channel();
        let mut inner = self.lock();
        inner.admit(&batch)?;
        inner.take_in(batch, tell);
        // One of copies alone has nothing to wait for, perhaps.
        inner.place_ready();
        drop(inner);
        self.bell.ring();
        Ok(reply)
    }

    /// The next event to be sent.
    pub(crate) fn next_unsent(&self) -> Option<(Ticket, Publication)> {
        let mut inner = self.lock();
        loop {
            let ticket = inner.unsent.pop_front()?;
            let has_echo = inner.has_echo;
            if let Some(batch) = inner.batch(ticket.batch)
                && let Some(Item::Fresh { publication, awaits_echo, .. }) = batch.items.get_mut(ticket.index)
            {
                let publication = publication.clone();
                if has_echo && !std::mem::replace(awaits_echo, true) {
                    batch.unechoed += 1;
                }
                return Some((ticket, publication));
            }
        }
    }

    /// An event that was sent and must be sent again.
    pub(crate) fn sent(&self, ticket: Ticket) -> Option<Publication> {
        match self.lock().batch(ticket.batch)?.items.get(ticket.index)? {
            Item::Fresh { publication, .. } => Some(publication.clone()),
            Item::Copy(_) | Item::Known(_) => None,
        }
    }

    /// The broker has taken an event, or says why not.
    pub(crate) fn acked(&self, ticket: Ticket, result: Result<(), String>) {
        let mut inner = self.lock();
        let Some(batch) = inner.batch(ticket.batch) else { return };
        let Some(Item::Fresh { is_acked, awaits_echo, .. }) = batch.items.get_mut(ticket.index) else { return };
        let is_taken = result.is_ok();
        if !std::mem::replace(is_acked, is_taken) {
            batch.unacked = batch.unacked.saturating_sub(1);
        }
        if let Err(why) = result {
            if std::mem::take(awaits_echo) {
                batch.unechoed -= 1;
            }
            batch.failure.get_or_insert(why);
        }
        if batch.unacked == 0 {
            batch.acked_at = Some(Instant::now());
        }
        if inner.place_ready() {
            drop(inner);
            self.bell.ring();
        }
    }

    /// The engine has had an event of this id already: it adds nothing, and its receipt says so.
    #[cfg(feature = "engines")]
    pub(crate) fn known(&self, ticket: Ticket) {
        let mut inner = self.lock();
        inner.known(ticket);
        inner.place_ready();
        drop(inner);
        self.bell.ring();
    }

    /// Whether the hub gave this event its id, so that nobody can send it again.
    #[cfg(feature = "engines")]
    pub(crate) fn is_own(&self, ticket: Ticket) -> bool {
        let mut inner = self.lock();
        let item = inner.batch(ticket.batch).and_then(|batch| batch.items.get(ticket.index));
        matches!(item, Some(Item::Fresh { is_own: true, .. }))
    }

    /// Whether own events come back from now on. When not, those that are still out are not waited for.
    pub(crate) fn set_echo(&self, has_echo: bool) {
        let mut inner = self.lock();
        inner.has_echo = has_echo;
        if !has_echo {
            for batch in &mut inner.batches {
                batch.unechoed = 0;
                for item in &mut batch.items {
                    if let Item::Fresh { awaits_echo, .. } = item {
                        *awaits_echo = false;
                    }
                }
            }
            inner.place_ready();
            drop(inner);
            self.bell.ring();
        }
    }

    /// Gives places to batches whose echo is overdue; says when to look again.
    pub(crate) fn place_overdue(&self) -> Option<Instant> {
        let mut inner = self.lock();
        let now = Instant::now();
        while let Some(front) = inner.batches.front_mut() {
            let Some(overdue_at) = front.acked_at.map(|at| at + ECHO_TIME_MAX) else { break };
            if overdue_at > now {
                return Some(overdue_at);
            }
            front.unechoed = 0;
            inner.place_ready();
        }
        drop(inner);
        self.bell.ring();
        None
    }

    /// An event came by the way of those who follow; `is_state` while the broker tells the latest states.
    pub(crate) fn came(&self, event: Event, sticky: bool, is_named: bool) {
        self.lock().came(event, sticky, is_named);
        self.bell.ring();
    }

    /// Resolves when all that was appended before this call has its place, or has failed.
    pub(crate) fn all_placed(&self) -> impl Future<Output = ()> + Send + '_ {
        let until = self.lock().next_batch;
        async move {
            let mut ear = self.listen();
            while self.lock().batches.front().is_some_and(|front| front.number < until) {
                ear.rung().await;
            }
        }
    }

    /// Where an event stands.
    pub(crate) fn place_of(&self, id: &EventId) -> Place {
        let inner = self.lock();
        match inner.ids.get(id) {
            Some(seq) => Place::At(*seq),
            None if inner.pending.contains_key(id) => Place::Soon,
            None => Place::Unknown,
        }
    }

    /// Gives an event of others a place now.
    pub(crate) fn place(&self, event: Event, sticky: bool) -> Seq {
        let seq = self.lock().place(event, sticky);
        self.bell.ring();
        seq
    }

    /// Gives the next number, without an event that others see.
    pub(crate) fn number(&self, id: &EventId) -> Seq {
        let seq = self.lock().number(id);
        self.bell.ring();
        seq
    }

    pub(crate) fn follows(&self) -> bool {
        self.lock().follows
    }

    /// From now on events are kept for those who follow; gives whether that is new.
    pub(crate) fn follow(&self) -> bool {
        self.lock().follow()
    }

    /// Begins to follow after a position.
    ///
    /// # Errors
    /// When it's no position of here, or one that can't be read after any more.
    pub(crate) fn follow_after(&self, after: Position) -> Result<(), BusError> {
        let mut inner = self.lock();
        if inner.is_closed {
            return Err(BusError::Closed);
        }
        if after.epoch != inner.epoch || after.seq > inner.head {
            return Err(BusError::NoSuchPosition { head: inner.here() });
        }
        let is_kept = if inner.follows { after.seq >= inner.ring.from() } else { after.seq == inner.head };
        if !is_kept {
            return Err(BusError::Unable("read what lies behind it again"));
        }
        inner.follow();
        Ok(())
    }

    /// What follows a place; `None` at the head.
    pub(crate) fn read(&self, after: Seq, wanted: &dyn Fn(&str) -> bool) -> Result<Option<Batch>, BusError> {
        let inner = self.lock();
        if inner.is_closed {
            return Err(BusError::Closed);
        }
        if let Some(fault) = &inner.fault {
            return Err(BusError::Storage(fault.clone()));
        }
        if after >= inner.head {
            return Ok(None);
        }
        let gone = || BusError::Gone { oldest: Position::new(inner.epoch, inner.ring.from()) };
        inner.ring.read(after, inner.head, wanted).map(Some).ok_or_else(gone)
    }

    /// Events may have been missed: whoever follows is told so.
    pub(crate) fn gap(&self) {
        let mut inner = self.lock();
        if inner.follows {
            inner.head += 1;
            inner.ring = Ring::after(inner.head);
        }
        drop(inner);
        self.bell.ring();
    }

    /// The broker is about to tell the latest states.
    pub(crate) fn begin_states(&self) {
        let mut inner = self.lock();
        inner.fault = None;
        inner.is_filled = false;
        inner.states.begin_anew();
    }

    /// It has told them all.
    pub(crate) fn end_states(&self) {
        let mut inner = self.lock();
        inner.states.end_anew();
        inner.is_filled = true;
        drop(inner);
        self.bell.ring();
    }

    /// The broker doesn't let us follow.
    pub(crate) fn cannot_follow(&self, why: String) {
        self.lock().fault = Some(why);
        self.bell.ring();
    }

    /// Whether the latest states are known.
    pub(crate) fn is_filled(&self) -> Result<bool, BusError> {
        let inner = self.lock();
        match &inner.fault {
            _ if inner.is_closed => Err(BusError::Closed),
            Some(fault) => Err(BusError::Storage(fault.clone())),
            None => Ok(inner.is_filled),
        }
    }

    pub(crate) fn latest(&self, filter: &Filter, after: Option<&Topic>, limit: usize) -> Result<StickyPage, BusError> {
        let inner = self.lock();
        inner.states.page(filter, after, limit, inner.here())
    }

    pub(crate) fn topics(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<TopicPage, BusError> {
        self.lock().states.topics(prefix, after, limit)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headwater_event::{Headers, Time};

    use super::super::book::WAITING_BYTES_MAX;
    use super::*;

    fn event(id: &str, topic: &str) -> Event {
        Event {
            id: id.parse().unwrap(),
            topic: topic.parse().unwrap(),
            headers: Headers::none(),
            payload: Bytes::from(id.to_owned()),
            at: Time(1),
        }
    }

    fn publication(id: &str) -> Publication {
        Publication { event: event(id, "a"), sticky: true }
    }

    fn ack_all(ledger: &Ledger) {
        while let Some((ticket, _)) = ledger.next_unsent() {
            ledger.acked(ticket, Ok(()));
        }
    }

    fn order(ledger: &Ledger) -> Vec<String> {
        let batch = ledger.read(0, &|_| true).unwrap().unwrap_or_default();
        ledger.lock().check();
        batch.events.iter().map(|recorded| recorded.event.id.to_string()).collect()
    }

    #[test]
    fn a_batch_has_its_receipt_when_all_of_it_is_acknowledged() {
        let ledger = Ledger::new();
        let mut reply = ledger.append(vec![publication("1"), publication("1"), publication("2")]).unwrap();
        let (first, _) = ledger.next_unsent().unwrap();
        let (second, _) = ledger.next_unsent().unwrap();
        assert!(ledger.next_unsent().is_none(), "a copy is not sent");
        ledger.acked(second, Ok(()));
        assert!(reply.try_recv().is_err());
        assert_eq!(ledger.head().seq, 0);
        ledger.acked(first, Ok(()));
        let receipts = reply.try_recv().unwrap().unwrap();
        let got: Vec<_> = receipts.iter().map(|receipt| (receipt.position.seq, receipt.duplicate)).collect();
        assert_eq!(got, [(1, false), (1, true), (2, false)]);
    }

    #[test]
    fn an_id_that_the_hub_gave_is_known_when_it_comes_back() {
        let ledger = Ledger::new();
        ledger.follow();
        ledger.set_echo(true);
        let mut given = publication("x");
        given.event.id = EventId::generate();
        let _reply = ledger.append(vec![given.clone()]).unwrap();
        ack_all(&ledger);
        let id = given.event.id.to_string();
        ledger.came(event(&id, "a"), true, true);
        assert_eq!(order(&ledger), [id]);
    }

    #[test]
    #[cfg(feature = "engines")]
    fn what_the_engine_has_had_already_is_a_copy_and_the_rest_stands_together() {
        let ledger = Ledger::new();
        let mut reply = ledger.append(vec![publication("new"), publication("old"), publication("newer")]).unwrap();
        while let Some((ticket, publication)) = ledger.next_unsent() {
            match publication.event.id.to_string().as_str() {
                "old" => ledger.known(ticket),
                _ => ledger.acked(ticket, Ok(())),
            }
        }
        let receipts = reply.try_recv().unwrap().unwrap();
        let got: Vec<_> = receipts.iter().map(|receipt| (receipt.position.seq, receipt.duplicate)).collect();
        assert_eq!(got, [(2, false), (1, true), (3, false)]);
        let mut again = ledger.append(vec![publication("old")]).unwrap();
        assert!(again.try_recv().unwrap().unwrap().get(0).duplicate, "from now on it is known here");
    }

    #[test]
    fn what_the_broker_refuses_fails_its_batch_and_is_not_known() {
        let ledger = Ledger::new();
        let mut reply = ledger.append(vec![publication("1"), publication("2")]).unwrap();
        let (first, _) = ledger.next_unsent().unwrap();
        let (second, _) = ledger.next_unsent().unwrap();
        ledger.acked(first, Err("not authorised".into()));
        ledger.acked(second, Ok(()));
        assert_eq!(reply.try_recv().unwrap(), Err(BusError::Storage("not authorised".into())));
        assert_eq!(ledger.place_of(&"1".parse().unwrap()), Place::Unknown);
        assert_eq!(ledger.place_of(&"2".parse().unwrap()), Place::At(1));
        assert!(ledger.append(vec![publication("1")]).is_ok());
    }

    #[test]
    fn the_echo_says_what_stands_before_and_what_behind() {
        let ledger = Ledger::new();
        ledger.follow();
        ledger.set_echo(true);
        let mut reply = ledger.append(vec![publication("1"), publication("2")]).unwrap();
        ledger.came(event("before", "a"), true, true);
        ack_all(&ledger);
        assert!(reply.try_recv().is_err(), "its echo is to come");
        ledger.came(event("1", "a"), true, true);
        ledger.came(event("behind", "a"), true, true);
        ledger.came(event("behind", "a"), true, true);
        assert_eq!(order(&ledger), ["before"]);
        ledger.came(event("2", "a"), true, true);
        assert_eq!(order(&ledger), ["before", "1", "2", "behind"]);
        assert!(reply.try_recv().is_ok());
        let state = ledger.latest(&"#".parse().unwrap(), None, 9).unwrap().events.remove(0);
        assert_eq!((state.event.id.to_string().as_str(), state.position.seq), ("behind", 4));
    }

    #[tokio::test(start_paused = true)]
    async fn an_echo_that_does_not_come_is_not_waited_for_long() {
        let ledger = Ledger::new();
        ledger.follow();
        ledger.set_echo(true);
        let reply = ledger.append(vec![publication("1")]).unwrap();
        ack_all(&ledger);
        let at = ledger.place_overdue().expect("a moment to look again");
        tokio::time::sleep_until(at).await;
        assert_eq!(ledger.place_overdue(), None);
        assert!(reply.await.unwrap().is_ok());
        ledger.came(event("1", "a"), true, true);
        assert_eq!(order(&ledger), ["1"], "late is not twice");
    }

    #[test]
    fn a_gap_is_told_to_those_who_follow() {
        let ledger = Ledger::new();
        ledger.follow();
        ledger.place(event("1", "a"), false);
        ledger.gap();
        assert!(matches!(ledger.read(1, &|_| true), Err(BusError::Gone { oldest }) if oldest == ledger.head()));
        assert_eq!(ledger.read(ledger.head().seq, &|_| true), Ok(None));
        assert!(matches!(ledger.follow_after(Position::new(ledger.head().epoch, 1)), Err(BusError::Unable(_))));
    }

    #[test]
    fn no_more_wait_than_may() {
        let ledger = Ledger::new();
        let large = |id: &str| {
            let mut publication = publication(id);
            publication.event.payload = vec![0; WAITING_BYTES_MAX / 3].into();
            publication
        };
        let _kept: Vec<_> = ["1", "2"].map(|id| ledger.append(vec![large(id)]).unwrap()).into();
        assert!(matches!(ledger.append(vec![large("3")]), Err(BusError::Storage(_))));
        ack_all(&ledger);
        assert!(ledger.append(vec![large("3")]).is_ok());
    }
}
