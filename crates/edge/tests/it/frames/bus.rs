//! A log in memory whose disk obeys the test: it holds syncs back, and fails when told to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use headwater_event::{
    Abilities, Bus, BusError, DeadLetter, Durability, EventId, Filter, GroupName, GroupOptions, GroupStat, Health,
    Later, Member, Position, ProducerId, Publication, Receipts, Replay, Seq, StickyPage, Tail, Topic,
};
use tokio::sync::watch;
use tokio::time::timeout;

use super::client::PATIENCE;

const EPOCH: u32 = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Good,
    Holding,
    Failing,
}

#[derive(Default)]
struct Content {
    events: Vec<Publication>,
    last: HashMap<ProducerId, u64>,
    stands_at: HashMap<(ProducerId, u64), Seq>,
}

pub struct ScriptedBus {
    content: Mutex<Content>,
    disk: watch::Sender<Disk>,
    appended: watch::Sender<usize>,
}

impl ScriptedBus {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            content: Mutex::default(),
            disk: watch::Sender::new(Disk::Good),
            appended: watch::Sender::new(0),
        })
    }

    pub fn disk_is(&self, disk: Disk) {
        self.disk.send_replace(disk);
    }

    /// Waits until so many appends (and numbers used up) have been asked for.
    pub async fn appended(&self, count: usize) {
        let mut appended = self.appended.subscribe();
        timeout(PATIENCE, appended.wait_for(|appended| *appended >= count)).await.expect("no append came").unwrap();
    }

    pub fn appends(&self) -> usize {
        *self.appended.borrow()
    }

    pub fn payloads(&self) -> Vec<Vec<u8>> {
        self.content().events.iter().map(|publication| publication.event.payload.to_vec()).collect()
    }

    pub fn topics(&self) -> Vec<String> {
        self.content().events.iter().map(|publication| publication.event.topic.as_str().to_owned()).collect()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    fn once_synced<T: Send + 'static>(&self, result: Result<T, BusError>) -> Later<'static, Result<T, BusError>> {
        self.appended.send_modify(|appended| *appended += 1);
        let mut disk = self.disk.subscribe();
        Box::pin(async move {
            match *disk.wait_for(|disk| *disk != Disk::Holding).await.unwrap() {
                Disk::Failing => Err(BusError::Storage("as told".into())),
                _ => result,
            }
        })
    }
}

impl Content {
    fn append(&mut self, batch: Vec<Publication>) -> Result<Receipts, BusError> {
        let first = self.events.len() as u64 + 1;
        let (len, mut duplicates) = (batch.len(), Vec::new());
        for (at, publication) in batch.into_iter().enumerate() {
            let EventId::Numbered { producer, number } = publication.event.id else {
                // Frames number; the hub's own notes don't, and aren't counted here.
                assert!(publication.event.topic.as_str().starts_with('$'), "{:?}", publication.event);
                continue;
            };
            let last = self.last.entry(producer).or_default();
            if number <= *last {
                duplicates.push((at, self.stands_at.get(&(producer, number)).copied().unwrap_or(0)));
                continue;
            }
            if number != *last + 1 {
                return Err(BusError::OutOfOrder { expected: *last + 1 });
            }
            *last = number;
            self.events.push(publication);
            self.stands_at.insert((producer, number), self.events.len() as u64);
        }
        Ok(Receipts { epoch: EPOCH, first, len, duplicates, strays: Vec::new() })
    }

    fn use_up(&mut self, producer: ProducerId, number: u64) -> Result<(), BusError> {
        let last = self.last.entry(producer).or_default();
        if number > *last + 1 {
            return Err(BusError::OutOfOrder { expected: *last + 1 });
        }
        *last = number.max(*last);
        Ok(())
    }
}

impl Bus for ScriptedBus {
    fn abilities(&self) -> Abilities {
        Abilities {
            durability: Durability::Synced,
            replay: Replay::LatestOnly,
            delayed_retry: false,
            numbers: true,
            remembers: true,
        }
    }

    fn head(&self) -> Position {
        Position::new(EPOCH, self.content().events.len() as u64)
    }

    fn oldest(&self) -> Position {
        Position::new(EPOCH, 0)
    }

    fn health(&self) -> Health {
        Health::Good
    }

    fn append(&self, batch: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>> {
        let receipts = self.content().append(batch);
        self.once_synced(receipts)
    }

    fn last_number(&self, producer: ProducerId) -> Later<'_, Result<u64, BusError>> {
        Box::pin(async move {
            self.once_synced(Ok(())).await?;
            Ok(self.content().last.get(&producer).copied().unwrap_or(0))
        })
    }

    fn use_up(&self, producer: ProducerId, number: u64) -> Later<'static, Result<(), BusError>> {
        let used_up = self.content().use_up(producer, number);
        self.once_synced(used_up)
    }

    fn tail(&self, _: Position) -> Result<Box<dyn Tail>, BusError> {
        Err(BusError::Unable("tail"))
    }

    fn latest(&self, _: &Filter, _: Option<&Topic>, _: usize) -> Later<'_, Result<StickyPage, BusError>> {
        Box::pin(async { Err(BusError::Unable("latest")) })
    }

    fn join(&self, _: &GroupName, _: GroupOptions) -> Later<'_, Result<Box<dyn Member>, BusError>> {
        Box::pin(async { Err(BusError::Unable("join")) })
    }

    fn end_group(&self, _: &GroupName) -> Later<'_, Result<(), BusError>> {
        Box::pin(async { Err(BusError::Unable("groups")) })
    }

    fn groups(&self, _: Option<&GroupName>, _: usize) -> Vec<GroupStat> {
        Vec::new()
    }

    fn dead_letters(&self, _: &GroupName, _: Seq, _: usize) -> Later<'_, Result<Vec<DeadLetter>, BusError>> {
        Box::pin(async { Err(BusError::Unable("groups")) })
    }

    fn revive(&self, _: &GroupName, _: Vec<Seq>, _: bool) -> Later<'_, Result<usize, BusError>> {
        Box::pin(async { Err(BusError::Unable("groups")) })
    }
}
