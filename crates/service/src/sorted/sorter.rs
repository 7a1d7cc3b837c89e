//! Takes events from the bus and sorts them into parts; one process of a service does so at a time.

use std::sync::Arc;
use std::time::Duration;

use headwater_event::{Backoff, Bus, BusError, Delivery, Member, Settlement, Tag};
use tokio::sync::{Notify, watch};

use super::part_of_key;
use crate::batch::{Context, wait};
use crate::duty::{Held, Life};
use crate::store::work::{Sorted, Work};
use crate::store::{Session, Store, StoreError};
use crate::worker::Shared;
use crate::{group, inbox, late, wire};

/// How many events are sorted with one commit.
const AT_ONCE: usize = 256;

/// How many sorted events may wait, and how many bytes: beyond that the bus keeps them, which is made for it.
const WAITING_MAX: i64 = 4_096;
const WAITING_BYTES_MAX: i64 = 64 << 20;

/// The wait before it's looked whether there's room again.
const ROOM_AFTER: Duration = Duration::from_millis(10);

/// The wait after a failure.
const AGAIN: Backoff = Backoff { base: Duration::from_millis(20), cap: Duration::from_secs(2) };

/// How many bits of a place count the events of one term of sorting; its number stands above them, so places only grow, whoever
/// sorts.
const PLACE_BITS: u32 = 40;

/// What sorts.
pub(crate) struct Sorter {
    pub(crate) context: Arc<Context>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) store: Store,
    pub(crate) life: Arc<Life>,
    pub(crate) shared: Arc<Shared>,
    /// Told when there's something new in the parts.
    pub(crate) news: Arc<Notify>,
    pub(crate) stop: watch::Receiver<bool>,
    /// The place on the bus, where it was taken at the start.
    pub(crate) member: Option<Box<dyn Member>>,
}

/// Why sorting is over for now.
enum End {
    /// For good.
    Stopped,
    /// To be joined anew.
    Again,
}

impl Sorter {
    /// Sorts whenever it's this life's duty, until it's stopped or the life is over.
    pub(crate) async fn run(mut self) {
        let (mut held, mut stop) = (self.life.held(), self.stop.clone());
        let mut failures = 0;
        loop {
            let word = tokio::select! {
                word = held.wait_for(|held| held.is_over || held.sorts) => word.map(|held| held.is_over),
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if word.unwrap_or(true) {
                return;
            }
            let joined = match self.member.take() {
                Some(member) => Ok(member),
                None => tokio::select! {
                    joined = group::join(&*self.bus, &self.context, true) => joined,
                    _ = stop.wait_for(|stop| *stop) => return,
                },
            };
            match joined {
                Ok(member) => match self.sort(member, &mut failures).await {
                    End::Stopped => return,
                    End::Again => {}
                },
                Err(error) => self.shared.trouble(error.to_string()),
            }
            failures += 1;
            tokio::time::sleep(wait(AGAIN, failures)).await;
        }
    }

    async fn sort(&mut self, mut member: Box<dyn Member>, failures: &mut u32) -> End {
        let (mut held, mut stop) = (self.life.held(), self.stop.clone());
        let mut desk = match Desk::begin(self).await {
            Ok(desk) => desk,
            Err(error) => return self.store_failed(&error),
        };
        loop {
            let has_room = match desk.has_room().await {
                Ok(has_room) => has_room,
                Err(error) => return self.store_failed(&error),
            };
            let fetched = tokio::select! {
                fetched = member.next(AT_ONCE), if has_room => fetched,
                () = tokio::time::sleep(ROOM_AFTER), if !has_room => continue,
                word = is_over(&mut held) => return if word { End::Stopped } else { End::Again },
                _ = stop.wait_for(|stop| *stop) => return End::Stopped,
            };
            let deliveries = match fetched {
                Ok(deliveries) => deliveries,
                Err(BusError::Gone { oldest }) => {
                    let name = self.context.service.name;
                    tracing::warn!(
                        "the service {name} has missed events that were freed: the log begins after {oldest}"
                    );
                    continue;
                }
                Err(error) => {
                    self.shared
                        .trouble(format!("the service {} gets no deliveries: {error}", self.context.service.name));
                    // Also when it's closed: the place may have been taken by another process, and come back.
                    return End::Again;
                }
            };
            let Some(settlements) = self.put(&mut desk, &mut *member, &deliveries).await else { return End::Stopped };
            drop(member.settle(settlements));
            self.news.notify_one();
            if std::mem::take(failures) > 0 {
                self.shared.good();
            }
        }
    }

    fn store_failed(&self, error: &StoreError) -> End {
        self.shared.trouble(format!("the service {} can't read its store: {error}", self.context.service.name));
        End::Again
    }

    /// Writes them down, again and again until it's done; `None` when the life is over.
    async fn put(
        &mut self,
        desk: &mut Desk,
        member: &mut dyn Member,
        deliveries: &[Delivery],
    ) -> Option<Vec<(Tag, Settlement)>> {
        let tags: Vec<Tag> = deliveries.iter().map(Delivery::tag).collect();
        let mut failures = 0;
        loop {
            match desk.put(&self.context, deliveries).await {
                Ok(settlements) => {
                    if failures > 0 {
                        self.shared.good();
                    }
                    return Some(settlements);
                }
                Err(error) => {
                    desk.session.rollback(&error).await;
                    if error == StoreError::Fenced || *self.stop.borrow() || self.life.held().borrow().is_over {
                        return None;
                    }
                    let name = self.context.service.name;
                    self.shared.trouble(format!("the service {name} can't write to its store: {error}"));
                    failures += 1;
                    tokio::time::sleep(wait(AGAIN, failures)).await;
                    member.renew(&tags);
                }
            }
        }
    }
}

/// Waits until the duty is gone; `true` when the life is, too.
async fn is_over(held: &mut watch::Receiver<Held>) -> bool {
    held.wait_for(|held| held.is_over || !held.sorts).await.map_or(true, |held| held.is_over)
}

/// What writes the table.
struct Desk {
    store: Store,
    session: Session,
    work: Option<Work>,
    parts: u32,
    place: i64,
    /// How many wait at the most, as far as is known.
    waiting: i64,
    waiting_bytes: i64,
}

impl Desk {
    /// Begins a term: whoever sorted before has committed all that it ever will.
    async fn begin(sorter: &mut Sorter) -> Result<Self, StoreError> {
        let session = sorter.store.session(Some(sorter.life.token())).ok_or(StoreError::Closed)?;
        let mut desk = Self {
            store: sorter.store.clone(),
            session,
            work: None,
            parts: sorter.context.service.options.partitions.max(1),
            place: 0,
            waiting: WAITING_MAX,
            waiting_bytes: 0,
        };
        desk.place = desk.work().await?.term().await? << PLACE_BITS;
        Ok(desk)
    }

    async fn work(&mut self) -> Result<&Work, StoreError> {
        if self.work.as_ref().is_none_or(Work::is_closed) {
            let postgres = self.store.postgres().ok_or(StoreError::Closed)?;
            self.work = Some(postgres.work().await?);
        }
        self.work.as_ref().ok_or(StoreError::Closed)
    }

    /// Whether more may be sorted. The table is asked only when it may be full.
    async fn has_room(&mut self) -> Result<bool, StoreError> {
        if self.waiting < WAITING_MAX && self.waiting_bytes < WAITING_BYTES_MAX {
            return Ok(true);
        }
        (self.waiting, self.waiting_bytes) = self.work().await?.size().await?;
        Ok(self.waiting < WAITING_MAX && self.waiting_bytes < WAITING_BYTES_MAX)
    }

    /// One commit: all rows of these deliveries. What comes back from the table for good is a dead letter when it comes for
    /// the first time, and was revived when it comes again.
    async fn put(&mut self, context: &Context, deliveries: &[Delivery]) -> Result<Vec<(Tag, Settlement)>, StoreError> {
        let now = context.clock.now();
        self.session.begin().await?;
        let lates: Vec<&Delivery> = deliveries.iter().filter(|delivery| is_late(context, delivery)).collect();
        let ids: Vec<Vec<u8>> = lates.iter().map(|delivery| inbox::id_bytes(&delivery.recorded.event.id)).collect();
        let at = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let mut news = self.session.claim(&ids, at).await?.into_iter();
        let (mut rows, mut settlements) = (Vec::with_capacity(deliveries.len()), Vec::with_capacity(deliveries.len()));
        for delivery in deliveries {
            let event = &delivery.recorded.event;
            let mut key = context.key_of(event);
            if is_late(context, delivery) {
                let is_news = news.next().unwrap_or(false);
                let is_old = now.since(event.at) > context.service.options.inbox_keep / 2;
                match late::read(event) {
                    Ok(late) if !is_news || is_old => key = late.key(context),
                    Ok(late::Late { why, .. }) | Err(why) => {
                        settlements.push((delivery.tag(), Settlement::Dead { why }));
                        continue;
                    }
                }
            }
            rows.push(self.row(key, delivery));
            settlements.push((delivery.tag(), Settlement::Done));
        }
        self.session.put_work(&rows).await?;
        self.session.commit().await?;
        self.waiting = self.waiting.saturating_add(i64::try_from(rows.len()).unwrap_or(i64::MAX));
        let bytes: usize = rows.iter().map(|row| row.event.len()).sum();
        self.waiting_bytes = self.waiting_bytes.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
        Ok(settlements)
    }

    fn row(&mut self, key: Option<Box<str>>, delivery: &Delivery) -> Sorted {
        self.place += 1;
        let event = &delivery.recorded.event;
        let id = inbox::id_bytes(&event.id);
        // What has no key is in no order, so it goes anywhere.
        let part = part_of_key(key.as_ref().map_or(&id[..], |key| key.as_bytes()), self.parts);
        let mut bytes = wire::begin();
        wire::put(&mut bytes, event, delivery.recorded.sticky);
        Sorted { part: part.into(), n: self.place, id, event: bytes }
    }
}

fn is_late(context: &Context, delivery: &Delivery) -> bool {
    delivery.recorded.event.topic.as_str() == context.late_topic
}
