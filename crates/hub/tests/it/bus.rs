//! A bus over a vector, whose disk the test holds in its hand: appends become durable when it says so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use headwater_event::*;
use tokio::sync::watch;

pub const EPOCH: Epoch = 7;

/// How many events one read gives at most: small, so that readers need several.
const READ_MAX: usize = 8;

pub struct VecBus {
    inner: Arc<Inner>,
}

struct Inner {
    log: Mutex<Log>,
    /// The last durable sequence number.
    head: watch::Sender<Seq>,
    /// The last that may become durable; `u64::MAX` when the disk isn't held.
    gate: watch::Sender<Seq>,
    oldest: AtomicU64,
    reads: AtomicUsize,
}

#[derive(Default)]
struct Log {
    events: Vec<Recorded>,
    sticky: BTreeMap<String, Recorded>,
}

impl VecBus {
    pub fn new() -> Arc<Self> {
        let inner = Inner {
            log: Mutex::default(),
            head: watch::Sender::new(0),
            gate: watch::Sender::new(u64::MAX),
            oldest: AtomicU64::new(0),
            reads: AtomicUsize::new(0),
        };
        Arc::new(Self { inner: Arc::new(inner) })
    }

    /// Nothing more becomes durable until the disk is let go.
    pub fn hold(&self) {
        self.inner.gate.send_replace(*self.inner.head.borrow());
    }

    pub fn let_go(&self) {
        self.inner.gate.send_replace(u64::MAX);
    }

    /// Frees what lies up to here.
    pub fn free(&self, up_to: Seq) {
        self.inner.oldest.store(up_to, Ordering::SeqCst);
    }

    /// How often the log was read from.
    pub fn reads(&self) -> usize {
        self.inner.reads.load(Ordering::SeqCst)
    }
}

impl Inner {
    fn position(&self, seq: Seq) -> Position {
        Position::new(EPOCH, seq)
    }

    fn head(&self) -> Seq {
        *self.head.borrow()
    }
}

impl Bus for VecBus {
    fn abilities(&self) -> Abilities {
        Abilities {
            durability: Durability::Written,
            replay: Replay::Full,
            delayed_retry: false,
            numbers: true,
            remembers: true,
        }
    }

    fn head(&self) -> Position {
        self.inner.position(self.inner.head())
    }

    fn oldest(&self) -> Position {
        self.inner.position(self.inner.oldest.load(Ordering::SeqCst))
    }

    fn health(&self) -> Health {
        Health::Good
    }

    fn append(&self, batch: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>> {
        let inner = Arc::clone(&self.inner);
        let len = batch.len();
        let mut log = inner.log.lock().unwrap();
        let first = log.events.len() as Seq + 1;
        for (at, publication) in batch.into_iter().enumerate() {
            let position = inner.position(first + at as Seq);
            log.events.push(Recorded { position, event: publication.event, sticky: publication.sticky });
        }
        let last = log.events.len() as Seq;
        drop(log);
        if *inner.gate.borrow() >= last {
            make_durable(&inner, last);
        }
        Box::pin(async move {
            let mut gate = inner.gate.subscribe();
            gate.wait_for(|gate| *gate >= last).await.map_err(|_| BusError::Closed)?;
            make_durable(&inner, last);
            Ok(Receipts { epoch: EPOCH, first, len, duplicates: Vec::new(), strays: Vec::new() })
        })
    }

    fn last_number(&self, _: ProducerId) -> Later<'_, Result<u64, BusError>> {
        Box::pin(async { Ok(0) })
    }

    fn use_up(&self, _: ProducerId, _: u64) -> Later<'static, Result<(), BusError>> {
        Box::pin(async { Ok(()) })
    }

    fn tail(&self, after: Position) -> Result<Box<dyn Tail>, BusError> {
        if after.epoch != EPOCH || after.seq > self.inner.head() {
            return Err(BusError::NoSuchPosition { head: self.head() });
        }
        if after.seq < self.oldest().seq {
            return Err(BusError::Gone { oldest: self.oldest() });
        }
        Ok(Box::new(VecTail { inner: Arc::clone(&self.inner), at: after.seq }))
    }

    fn latest(&self, filter: &Filter, after: Option<&Topic>, limit: usize) -> Later<'_, Result<StickyPage, BusError>> {
        let log = self.inner.log.lock().unwrap();
        let wanted =
            |r: &&Recorded| after.is_none_or(|after| r.event.topic > *after) && filter.matches(r.event.topic.as_str());
        let events: Vec<_> = log.sticky.values().filter(wanted).take(limit).cloned().collect();
        let next = (events.len() == limit).then(|| events.last().map(|r| r.event.topic.clone())).flatten();
        let as_of = self.head();
        Box::pin(async move { Ok(StickyPage { events, as_of, next }) })
    }

    fn join(&self, _: &GroupName, _: GroupOptions) -> Later<'_, Result<Box<dyn Member>, BusError>> {
        Box::pin(async { Err(BusError::Unable("join")) })
    }

    fn end_group(&self, _: &GroupName) -> Later<'_, Result<(), BusError>> {
        Box::pin(async { Ok(()) })
    }

    fn groups(&self, _: Option<&GroupName>, _: usize) -> Vec<GroupStat> {
        Vec::new()
    }

    fn dead_letters(&self, _: &GroupName, _: Seq, _: usize) -> Later<'_, Result<Vec<DeadLetter>, BusError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn revive(&self, _: &GroupName, _: Vec<Seq>, _: bool) -> Later<'_, Result<usize, BusError>> {
        Box::pin(async { Ok(0) })
    }
}

fn make_durable(inner: &Inner, up_to: Seq) {
    let mut log = inner.log.lock().unwrap();
    for seq in inner.head() + 1..=up_to {
        let recorded = log.events[seq as usize - 1].clone();
        let topic = recorded.event.topic.as_str().to_owned();
        match (recorded.sticky, recorded.event.payload.is_empty()) {
            (true, false) => log.sticky.insert(topic, recorded),
            (true, true) => log.sticky.remove(&topic),
            _ => None,
        };
    }
    inner.head.send_if_modified(|head| std::mem::replace(head, up_to.max(*head)) < up_to);
}

struct VecTail {
    inner: Arc<Inner>,
    at: Seq,
}

impl VecTail {
    fn read(&mut self, wanted: &dyn Fn(&str) -> bool) -> Result<Option<Batch>, BusError> {
        self.inner.reads.fetch_add(1, Ordering::SeqCst);
        let oldest = self.inner.oldest.load(Ordering::SeqCst);
        if self.at < oldest {
            return Err(BusError::Gone { oldest: self.inner.position(oldest) });
        }
        let up_to = self.inner.head().min(self.at + READ_MAX as Seq);
        if up_to == self.at {
            return Ok(None);
        }
        let log = self.inner.log.lock().unwrap();
        let read = &log.events[self.at as usize..up_to as usize];
        let events = read.iter().filter(|r| wanted(r.event.topic.as_str())).cloned().collect();
        self.at = up_to;
        Ok(Some(Batch { events, up_to }))
    }
}

impl Tail for VecTail {
    fn next<'a>(&'a mut self, wanted: &'a (dyn Fn(&str) -> bool + Send + Sync)) -> Later<'a, Result<Batch, BusError>> {
        Box::pin(async move {
            loop {
                if let Some(batch) = self.read(wanted)? {
                    return Ok(batch);
                }
                let at = self.at;
                let mut head = self.inner.head.subscribe();
                head.wait_for(|head| *head > at).await.map_err(|_| BusError::Closed)?;
            }
        })
    }

    fn next_now<'a>(
        &'a mut self,
        wanted: &'a (dyn Fn(&str) -> bool + Send + Sync),
    ) -> Later<'a, Result<Option<Batch>, BusError>> {
        Box::pin(async move { self.read(wanted) })
    }

    fn position(&self) -> Position {
        self.inner.position(self.at)
    }
}
