//! A bus that keeps everything in memory, with a test's hand on when it becomes durable.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use headwater_event::{
    Abilities, Batch, Bus, BusError, DeadLetter, Durability, EventId, Filter, GroupName, GroupOptions, GroupStat,
    Health, Later, Member, Position, ProducerId, Publication, Receipts, Recorded, Replay, Seq, StickyPage, Tail, Topic,
};
use tokio::sync::watch;

/// The one log's epoch, so that examples can name positions.
pub const EPOCH: u32 = 7;

/// The bus.
pub struct Memory {
    shared: Arc<Shared>,
    /// What lies up to here was freed by retention.
    oldest: Seq,
}

struct Shared {
    state: Mutex<State>,
    /// How many events are durable; readers see no others.
    durable: watch::Sender<Seq>,
}

#[derive(Default)]
struct State {
    log: Vec<Recorded>,
    ids: HashMap<EventId, Seq>,
    held: bool,
}

impl Memory {
    pub fn new() -> Arc<Self> {
        Self::with_oldest(0)
    }

    /// A log whose first events, up to `oldest`, are gone.
    pub fn with_oldest(oldest: Seq) -> Arc<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), durable: watch::Sender::new(0) });
        Arc::new(Self { shared, oldest })
    }

    /// From now on nothing becomes durable.
    pub fn hold(&self) {
        self.shared.lock().held = true;
    }

    /// Everything appended becomes durable, now and from now on.
    pub fn release(&self) {
        let mut state = self.shared.lock();
        state.held = false;
        self.shared.durable.send_replace(state.log.len() as Seq);
    }
}

fn position(seq: Seq) -> Position {
    Position::new(EPOCH, seq)
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, after: Seq, wanted: &dyn Fn(&str) -> bool) -> Option<Batch> {
        let up_to = *self.durable.borrow();
        if up_to <= after {
            return None;
        }
        let state = self.lock();
        let came = &state.log[usize::try_from(after).unwrap()..usize::try_from(up_to).unwrap()];
        let events = came.iter().filter(|recorded| wanted(recorded.event.topic.as_str())).cloned().collect();
        Some(Batch { events, up_to })
    }
}

impl Bus for Memory {
    fn abilities(&self) -> Abilities {
        Abilities {
            durability: Durability::Synced,
            replay: Replay::Full,
            delayed_retry: true,
            numbers: true,
            remembers: true,
        }
    }

    fn head(&self) -> Position {
        position(*self.shared.durable.borrow())
    }

    fn oldest(&self) -> Position {
        position(self.oldest)
    }

    fn health(&self) -> Health {
        Health::Good
    }

    fn append(&self, batch: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>> {
        let mut state = self.shared.lock();
        let first = state.log.len() as Seq + 1;
        let (len, mut duplicates) = (batch.len(), Vec::new());
        for (index, publication) in batch.into_iter().enumerate() {
            if let Some(seq) = state.ids.get(&publication.event.id) {
                duplicates.push((index, *seq));
                continue;
            }
            let seq = state.log.len() as Seq + 1;
            state.ids.insert(publication.event.id.clone(), seq);
            let (event, sticky) = (publication.event, publication.sticky);
            state.log.push(Recorded { position: position(seq), event, sticky });
        }
        let last = state.log.len() as Seq;
        if !state.held {
            self.shared.durable.send_replace(last);
        }
        let mut durable = self.shared.durable.subscribe();
        Box::pin(async move {
            durable.wait_for(|durable| *durable >= last).await.map_err(|_| BusError::Closed)?;
            Ok(Receipts { epoch: EPOCH, first, len, duplicates, strays: Vec::new() })
        })
    }

    fn last_number(&self, _: ProducerId) -> Later<'_, Result<u64, BusError>> {
        Box::pin(async { Ok(0) })
    }

    fn use_up(&self, _: ProducerId, _: u64) -> Later<'static, Result<(), BusError>> {
        Box::pin(async { Err(BusError::Unable("number")) })
    }

    fn tail(&self, after: Position) -> Result<Box<dyn Tail>, BusError> {
        let head = self.head();
        if after.epoch != EPOCH || after.seq > head.seq {
            return Err(BusError::NoSuchPosition { head });
        }
        if after.seq < self.oldest {
            return Err(BusError::Gone { oldest: self.oldest() });
        }
        let durable = self.shared.durable.subscribe();
        Ok(Box::new(Reader { shared: self.shared.clone(), at: after.seq, durable }))
    }

    fn latest(&self, filter: &Filter, after: Option<&Topic>, limit: usize) -> Later<'_, Result<StickyPage, BusError>> {
        let head = self.head();
        let state = self.shared.lock();
        let mut latest: std::collections::BTreeMap<&Topic, &Recorded> = std::collections::BTreeMap::new();
        for recorded in state.log.iter().take(usize::try_from(head.seq).unwrap()).filter(|recorded| recorded.sticky) {
            if recorded.event.payload.is_empty() {
                latest.remove(&recorded.event.topic);
            } else if filter.matches(recorded.event.topic.as_str()) {
                latest.insert(&recorded.event.topic, recorded);
            }
        }
        let rest = latest.into_iter().filter(|(topic, _)| after.is_none_or(|after| *topic > after));
        let mut events: Vec<Recorded> = rest.map(|(_, recorded)| recorded.clone()).take(limit + 1).collect();
        let is_more = events.len() > limit;
        events.truncate(limit);
        let next = events.last().filter(|_| is_more).map(|last| last.event.topic.clone());
        let page = StickyPage { events, as_of: head, next };
        Box::pin(async move { Ok(page) })
    }

    fn join(&self, _: &GroupName, _: GroupOptions) -> Later<'_, Result<Box<dyn Member>, BusError>> {
        Box::pin(async { Err(BusError::Unable("keep groups")) })
    }

    fn end_group(&self, _: &GroupName) -> Later<'_, Result<(), BusError>> {
        Box::pin(async { Err(BusError::Unable("keep groups")) })
    }

    fn groups(&self, _: Option<&GroupName>, _: usize) -> Vec<GroupStat> {
        Vec::new()
    }

    fn dead_letters(&self, _: &GroupName, _: Seq, _: usize) -> Later<'_, Result<Vec<DeadLetter>, BusError>> {
        Box::pin(async { Err(BusError::Unable("keep groups")) })
    }

    fn revive(&self, _: &GroupName, _: Vec<Seq>, _: bool) -> Later<'_, Result<usize, BusError>> {
        Box::pin(async { Err(BusError::Unable("keep groups")) })
    }
}

struct Reader {
    shared: Arc<Shared>,
    at: Seq,
    durable: watch::Receiver<Seq>,
}

impl Tail for Reader {
    fn next<'a>(&'a mut self, wanted: &'a (dyn Fn(&str) -> bool + Send + Sync)) -> Later<'a, Result<Batch, BusError>> {
        Box::pin(async move {
            let at = self.at;
            self.durable.wait_for(|durable| *durable > at).await.map_err(|_| BusError::Closed)?;
            let batch = self.shared.read(at, wanted).ok_or(BusError::Closed)?;
            self.at = batch.up_to;
            Ok(batch)
        })
    }

    fn next_now<'a>(
        &'a mut self,
        wanted: &'a (dyn Fn(&str) -> bool + Send + Sync),
    ) -> Later<'a, Result<Option<Batch>, BusError>> {
        let batch = self.shared.read(self.at, wanted);
        self.at = batch.as_ref().map_or(self.at, |batch| batch.up_to);
        Box::pin(async move { Ok(batch) })
    }

    fn position(&self) -> Position {
        position(self.at)
    }
}
