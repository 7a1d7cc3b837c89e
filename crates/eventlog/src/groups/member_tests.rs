//! Members over a log in memory whose commits a test can hold back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use headwater_event::{
    Batch, BusError, Clock, Delivery, Epoch, Event, EventId, GroupName, GroupOptions, Headers, Later, Member, Position,
    Recorded, Seq, Settlement, Start, Tag, Tail, Time,
};
use tokio::sync::{Notify, oneshot};

use super::{Groups, derived};
use crate::derived::{Derived, Desk};

/// The log of these tests.
struct Paper {
    state: Mutex<State>,
    grown: Notify,
    clock: Clock,
    tails_made: AtomicUsize,
}

struct State {
    events: Vec<Recorded>,
    freed: Seq,
    derived: Box<dyn Derived>,
    /// While commits are held back: what waits for them.
    held: Option<Vec<Held>>,
    /// What was committed, for a second life.
    records: Vec<(Vec<u8>, Seq)>,
}

/// Records that wait for their commit, and who waits for it.
type Held = (Vec<Vec<u8>>, oneshot::Sender<()>);

impl State {
    fn commit(&mut self, records: Vec<Vec<u8>>) {
        for record in records {
            let seq = self.events.len() as Seq;
            self.derived.fold(&record, seq, Time(0));
            self.records.push((record, seq));
        }
    }
}

impl Paper {
    fn new(clock: &Clock) -> (Arc<Self>, Groups) {
        Self::with(clock, Vec::new(), &[])
    }

    fn with(clock: &Clock, events: Vec<Recorded>, records: &[(Vec<u8>, Seq)]) -> (Arc<Self>, Groups) {
        let (mut derived, state) = derived(clock);
        for (record, seq) in records {
            derived.fold(record, *seq, Time(0));
        }
        let paper = State { events, freed: 0, derived, held: None, records: records.to_vec() };
        let paper = Arc::new(Self {
            state: Mutex::new(paper),
            grown: Notify::new(),
            clock: clock.clone(),
            tails_made: AtomicUsize::new(0),
        });
        let groups = Groups::start(state, Arc::new(Arc::clone(&paper)));
        (paper, groups)
    }

    fn write(&self, topic: &str) {
        let mut state = self.state.lock().unwrap();
        let position = Position::new(1, state.events.len() as Seq + 1);
        let event = Event {
            id: EventId::generate(),
            topic: topic.parse().unwrap(),
            headers: Headers::none(),
            payload: Bytes::new(),
            at: Time(0),
        };
        state.events.push(Recorded { position, event, sticky: false });
        drop(state);
        self.grown.notify_waiters();
    }

    fn hold(&self) {
        self.state.lock().unwrap().held = Some(Vec::new());
    }

    fn release(&self) {
        let mut state = self.state.lock().unwrap();
        for (records, done) in state.held.take().unwrap_or_default() {
            state.commit(records);
            let _ = done.send(());
        }
    }

    fn free(&self, up_to: Seq) {
        let mut state = self.state.lock().unwrap();
        state.freed = up_to;
        state.derived.freed(up_to);
    }
}

/// A reader that stands after an event.
struct PaperTail(Arc<Paper>, Seq);

impl Desk for Arc<Paper> {
    fn epoch(&self) -> Epoch {
        1
    }

    fn head(&self) -> Seq {
        self.state.lock().unwrap().events.len() as Seq
    }

    fn freed(&self) -> Seq {
        self.state.lock().unwrap().freed
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn append(&self, records: Vec<Vec<u8>>) -> Later<'static, Result<(), BusError>> {
        let mut state = self.state.lock().unwrap();
        // A commit folds, and the fold takes the group's lock, which the caller holds: so never within the call.
        let (done, committed) = oneshot::channel();
        match &mut state.held {
            Some(held) => held.push((records, done)),
            None => {
                let paper = Arc::clone(self);
                drop(state);
                tokio::spawn(async move {
                    paper.state.lock().unwrap().commit(records);
                    let _ = done.send(());
                });
            }
        }
        Box::pin(async move { committed.await.map_err(|_| BusError::Closed) })
    }

    fn read(&self, seqs: Vec<Seq>) -> Later<'static, Result<Vec<Option<Recorded>>, BusError>> {
        let state = self.state.lock().unwrap();
        let read = seqs.into_iter().map(|seq| (seq > state.freed).then(|| state.events[seq as usize - 1].clone()));
        let read: Vec<_> = read.collect();
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(read)
        })
    }

    fn grown(&self, beyond: Seq) -> Later<'static, Result<(), BusError>> {
        let paper = Arc::clone(self);
        Box::pin(async move {
            loop {
                let grown = paper.grown.notified();
                let mut grown = std::pin::pin!(grown);
                grown.as_mut().enable();
                if paper.head() > beyond {
                    return Ok(());
                }
                grown.await;
            }
        })
    }

    fn tail(&self, after: Seq) -> Result<Box<dyn Tail>, BusError> {
        self.tails_made.fetch_add(1, Ordering::SeqCst);
        if after < self.freed() {
            return Err(BusError::Gone { oldest: Position::new(1, self.freed()) });
        }
        Ok(Box::new(PaperTail(Arc::clone(self), after)))
    }
}

impl Tail for PaperTail {
    fn next<'a>(&'a mut self, _: &'a (dyn Fn(&str) -> bool + Send + Sync)) -> Later<'a, Result<Batch, BusError>> {
        unreachable!("members don't wait with the reader in hand")
    }

    fn next_now<'a>(
        &'a mut self,
        wanted: &'a (dyn Fn(&str) -> bool + Send + Sync),
    ) -> Later<'a, Result<Option<Batch>, BusError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let state = self.0.state.lock().unwrap();
            let rest = &state.events[self.1 as usize..];
            // At most five at a time, so that several batches are needed.
            let rest = &rest[..rest.len().min(5)];
            if rest.is_empty() {
                return Ok(None);
            }
            self.1 += rest.len() as Seq;
            let events = rest.iter().filter(|recorded| wanted(recorded.event.topic.as_str())).cloned().collect();
            Ok(Some(Batch { events, up_to: self.1 }))
        })
    }

    fn position(&self) -> Position {
        Position::new(1, self.1)
    }
}

fn options() -> GroupOptions {
    GroupOptions { start: Start::Oldest, in_flight_max: 4, ..GroupOptions::new(vec!["a/#".parse().unwrap()]) }
}

fn name() -> GroupName {
    GroupName::new("workers").unwrap()
}

async fn join(groups: &Groups) -> Box<dyn Member> {
    groups.join(&name(), options()).await.unwrap()
}

fn tags(deliveries: &[Delivery]) -> Vec<(Seq, u32)> {
    deliveries.iter().map(|delivery| (delivery.tag().seq, delivery.tag().attempt)).collect()
}

fn done(seq: Seq) -> (Tag, Settlement) {
    (Tag { seq, attempt: 1 }, Settlement::Done)
}

/// Lets every other task run as far as it can.
async fn settle_down() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_not_on_disk_still_takes_up_room() {
    let clock = Clock::manual(Time(0));
    let (paper, groups) = Paper::new(&clock);
    (0..10).for_each(|_| paper.write("a/x"));
    let mut member = join(&groups).await;
    assert_eq!(tags(&member.next(100).await.unwrap()), [(1, 1), (2, 1), (3, 1), (4, 1)]);
    paper.hold();
    let mut settled = member.settle((1..=4).map(done).collect());
    assert!(poll_once(&mut settled).await.is_none(), "not durable yet");
    drop(settled);
    let mut next = member.next(100);
    assert!(poll_once(&mut next).await.is_none(), "the records of four are under way");
    paper.release();
    assert_eq!(tags(&next.await.unwrap()), [(5, 1)], "the rest of the batch of five first");
    assert_eq!(tags(&member.next(100).await.unwrap()), [(6, 1), (7, 1), (8, 1)]);
}

/// A future after its first poll, with which it isn't through.
async fn pending_once<T>(mut future: Later<'_, T>) -> Later<'_, T> {
    let pending = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(pending);
    future
}

/// Polls once, after every other task had its turn.
async fn poll_once<T>(future: &mut Later<'_, T>) -> Option<T> {
    settle_down().await;
    std::future::poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing_and_holds_up_nobody() {
    let clock = Clock::manual(Time(0));
    let (paper, groups) = Paper::new(&clock);
    let (mut first, mut second) = (join(&groups).await, join(&groups).await);
    // Stands with the shared reader in hand, and is never polled again while the other one works.
    paper.write("a/x");
    let stuck = pending_once(first.next(10)).await;
    assert_eq!(tags(&second.next(10).await.unwrap()), [(1, 1)]);
    drop(stuck);
    for _ in 0..3 {
        paper.write("a/x");
    }
    // Dropped at the first place where it waits, with the reader in hand.
    drop(pending_once(first.next(10)).await);
    assert_eq!(tags(&first.next(10).await.unwrap()), [(2, 1), (3, 1), (4, 1)]);
}

#[tokio::test]
async fn a_group_that_wants_nothing_of_it_looks_through_the_log_once() {
    let clock = Clock::manual(Time(0));
    let (paper, groups) = Paper::new(&clock);
    (0..23).for_each(|_| paper.write("b/x"));
    let mut member = join(&groups).await;
    for _ in 0..3 {
        let mut next = member.next(10);
        for _ in 0..20 {
            assert!(poll_once(&mut next).await.is_none());
        }
    }
    assert_eq!(paper.tails_made.load(Ordering::SeqCst), 1);
    assert_eq!(groups.stats(None, 10)[0].settled.seq, 23);
}

#[tokio::test]
async fn a_retry_is_due_when_the_clock_says_so_and_comes_before_new_ones() {
    let clock = Clock::manual(Time(0));
    let (paper, groups) = Paper::new(&clock);
    let mut member = join(&groups).await;
    paper.write("a/x");
    let tag = member.next(1).await.unwrap()[0].tag();
    let later = Settlement::Retry { after: Some(Duration::from_secs(60)), why: "busy".into() };
    assert_eq!(member.settle(vec![(tag, later.clone()), (tag, Settlement::Done)]).await, Ok(1));
    assert_eq!(member.settle(vec![(tag, Settlement::Done)]).await, Ok(0), "an old tag");
    let mut next = member.next(10);
    assert!(poll_once(&mut next).await.is_none());
    clock.advance(Duration::from_secs(59));
    assert!(poll_once(&mut next).await.is_none());
    paper.write("a/y");
    clock.advance(Duration::from_secs(1));
    assert_eq!(tags(&next.await.unwrap()), [(1, 2)]);
    assert_eq!(tags(&member.next(10).await.unwrap()), [(2, 1)]);
}

#[tokio::test]
async fn a_second_life_goes_on_from_what_was_on_disk() {
    let clock = Clock::manual(Time(0));
    let (paper, groups) = Paper::new(&clock);
    (0..6).for_each(|_| paper.write("a/x"));
    let mut member = join(&groups).await;
    member.next(10).await.unwrap();
    member.settle(vec![done(1), done(3)]).await.unwrap();
    paper.hold();
    drop(member.settle(vec![done(2)]));
    let (_second, groups) = {
        let state = paper.state.lock().unwrap();
        Paper::with(&clock, state.events.clone(), &state.records)
    };
    let mut member = join(&groups).await;
    assert_eq!(tags(&member.next(10).await.unwrap()), [(2, 1), (4, 1), (5, 1)]);
    assert_eq!(tags(&member.next(10).await.unwrap()), [(6, 1)]);
}

#[tokio::test]
async fn who_was_overtaken_by_retention_is_told_once_and_goes_on() {
    let clock = Clock::manual(Time(0));
    let (paper, groups) = Paper::new(&clock);
    (0..9).for_each(|_| paper.write("a/x"));
    let mut member = join(&groups).await;
    assert_eq!(tags(&member.next(1).await.unwrap()), [(1, 1)]);
    paper.free(7);
    assert_eq!(member.next(10).await, Err(BusError::Gone { oldest: Position::new(1, 7) }));
    assert_eq!(tags(&member.next(10).await.unwrap()), [(8, 1), (9, 1)]);
    assert_eq!(member.settle(vec![done(1)]).await, Ok(1), "what is out can be settled");
}

#[tokio::test]
async fn an_ended_group_is_over_at_once_and_a_new_one_starts_afresh() {
    let clock = Clock::manual(Time(0));
    let (paper, groups) = Paper::new(&clock);
    (0..3).for_each(|_| paper.write("a/x"));
    let mut member = join(&groups).await;
    member.next(10).await.unwrap();
    let ended = groups.end_group(&name());
    assert_eq!(member.next(10).await, Err(BusError::Closed));
    assert_eq!(member.settle(vec![done(1)]).await, Err(BusError::Closed));
    let mut fresh = join(&groups).await;
    ended.await.unwrap();
    drop(member);
    assert_eq!(tags(&fresh.next(10).await.unwrap()), [(1, 1), (2, 1), (3, 1)]);
    assert_eq!(groups.stats(None, 10).len(), 1);
    groups.close();
    assert_eq!(fresh.next(10).await, Err(BusError::Closed));
    assert!(matches!(groups.join(&name(), options()).await, Err(BusError::Closed)));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_the_groups_rather_than_guessing() {
    let clock = Clock::manual(Time(0));
    let (_paper, groups) = Paper::with(&clock, Vec::new(), &[(vec![9, 9, 9], 0)]);
    assert!(matches!(groups.join(&name(), options()).await, Err(BusError::Damaged(_))));
}
