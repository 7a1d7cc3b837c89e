//! Any MQTT 5 broker as the bus.
//!
//! A group is a shared subscription with a persistent session, a delivery is settled by its PUBACK, a sticky event is a
//! retained message, a dead letter is one too. `docs/decisions/engine-mqtt.md` says what a broker can't do, and what stands
//! in its place; `docs/engines.md` tells it from the user's side.

mod letters;
mod names;
pub(crate) mod packet;
mod seat;
mod session;
mod shared;
pub(crate) mod spelling;
mod talk;
mod trunk;
pub(crate) mod wire;
pub(crate) mod write;

use std::sync::Arc;

use headwater_event::{
    Abilities, Bus, BusError, Clock, DeadLetter, Durability, Filter, GroupName, GroupOptions, GroupStat, Health, Lag,
    Later, Member, Position, ProducerId, Publication, Receipts, Replay, Seq, Start, StickyPage, Tail, Talk, Topic,
    TopicPage,
};

use crate::LinkError;
use crate::address::Address;
use crate::local::member::ANSWER_TIME_MAX;
use crate::local::member::Seated;
use crate::local::tail::Follower;
use crate::local::{front, lock};
use seat::Seat;
use shared::Shared;
use trunk::Trunk;

/// A broker as the bus. Dropping it leaves the broker.
pub struct Mqtt {
    shared: Arc<Shared>,
    durability: Durability,
    is_headwater: bool,
}

impl Mqtt {
    /// Connects once, to know that it can be done; from then on it connects again by itself.
    pub(crate) async fn open(address: Address, instance: String, clock: Clock) -> Result<Self, LinkError> {
        let shared = Arc::new(Shared::new(address, instance, clock));
        let mut trunk = Trunk::new(Arc::clone(&shared));
        let (wire, welcome) = trunk.connect().await.map_err(|lost| {
            let sentence = shared.sentence(&lost.why);
            if lost.is_final { LinkError::Refused(sentence) } else { LinkError::Unreachable(sentence) }
        })?;
        let durability = match welcome.durability() {
            Some("synced") => Durability::Synced,
            Some("quorum") => Durability::Quorum,
            // Another broker's PUBACK says that it has the message, not that it's on a disk.
            _ => Durability::Written,
        };
        let is_headwater = welcome.durability().is_some();
        shared.ledger.set_packet_len_max(welcome.packet_len_max as usize);
        tokio::spawn(trunk.run((wire, welcome)));
        Ok(Self { shared, durability, is_headwater })
    }

    /// Ends in good order: nothing more is taken, who waits is told `Closed`, the sessions of groups stay on the broker.
    pub async fn close(&self) {
        self.shared.ledger.close();
        let seats: Vec<_> = lock(&self.shared.seats).values().cloned().collect();
        for seat in seats {
            seat.leave().await;
        }
        self.shared.stop.send_replace(true);
    }

    /// The seat of a group in this process, with a member more.
    fn sit(&self, group: &GroupName, options: GroupOptions) -> Result<Seated<Seat>, BusError> {
        let mut seats = lock(&self.shared.seats);
        if self.shared.ledger.is_closed() {
            return Err(BusError::Closed);
        }
        let seat = seats.entry(group.clone()).or_insert_with(|| Seat::begin(&self.shared, group, options.clone()));
        let (seat, lease) = (Arc::clone(seat), options.lease);
        let id = lock(&seat.desk).join(options);
        drop(seats);
        seat.look_again();
        Ok(Seated { seat, id, lease })
    }

    fn check_start(&self, start: Start) -> Result<(), BusError> {
        match start {
            // What a broker has for newcomers is what comes: its oldest event is the next one.
            Start::Now | Start::Oldest => Ok(()),
            Start::After(seq) => {
                let head = self.shared.ledger.head();
                match seq.cmp(&head.seq) {
                    std::cmp::Ordering::Greater => Err(BusError::NoSuchPosition { head }),
                    std::cmp::Ordering::Equal => Ok(()),
                    std::cmp::Ordering::Less => Err(BusError::Unable("begin a group in the past")),
                }
            }
        }
    }

    async fn end(&self, group: &GroupName) -> Result<(), BusError> {
        let seat = lock(&self.shared.seats).remove(group);
        if let Some(seat) = seat {
            seat.leave().await;
        }
        for alone in [false, true] {
            let client_id = seat::client_id(&self.shared.instance, group, alone);
            seat::forget(&self.shared.address, &client_id)
                .await
                .map_err(|lost| BusError::Storage(self.shared.sentence(&lost.why)))?;
        }
        self.shared.know_letters().await?;
        let letters = self.shared.letters().all(group);
        for kept in letters {
            self.shared.say_and_wait(letters::clear(kept.topic.clone())).await?;
            self.shared.letters().remove(&kept.topic);
        }
        Ok(())
    }

    async fn take_out(&self, group: &GroupName, letters: Vec<Seq>, again: bool) -> Result<usize, BusError> {
        self.shared.know_letters().await?;
        let mut count = 0;
        for seq in letters {
            let Some(kept) = self.shared.letters().get(group, seq) else { continue };
            if again {
                let once_more = letters::write(group, &kept.letter, names::again(group), false);
                self.shared.say_and_wait(once_more).await?;
            }
            self.shared.say_and_wait(letters::clear(kept.topic.clone())).await?;
            self.shared.letters().remove(&kept.topic);
            count += 1;
        }
        Ok(count)
    }
}

impl Drop for Mqtt {
    fn drop(&mut self) {
        self.shared.ledger.close();
        for seat in lock(&self.shared.seats).values() {
            lock(&seat.desk).close();
            seat.bell.ring();
        }
        self.shared.stop.send_replace(true);
    }
}

impl Bus for Mqtt {
    fn abilities(&self) -> Abilities {
        Abilities {
            durability: self.durability,
            replay: Replay::LatestOnly,
            delayed_retry: false,
            numbers: false,
            remembers: false,
        }
    }

    fn head(&self) -> Position {
        self.shared.ledger.head()
    }

    fn oldest(&self) -> Position {
        self.shared.ledger.oldest()
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn append(&self, batch: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>> {
        front::append(&self.shared, batch)
    }

    fn last_number(&self, _: ProducerId) -> Later<'_, Result<u64, BusError>> {
        Box::pin(std::future::ready(Err(front::no_numbers(&*self.shared))))
    }

    fn use_up(&self, _: ProducerId, _: u64) -> Later<'static, Result<(), BusError>> {
        Box::pin(std::future::ready(Err(front::no_numbers(&*self.shared))))
    }

    fn tail(&self, after: Position) -> Result<Box<dyn Tail>, BusError> {
        let follower = Follower::begin(&self.shared.ledger, after)?;
        self.shared.wake.notify_one();
        Ok(Box::new(follower))
    }

    fn latest(&self, filter: &Filter, after: Option<&Topic>, limit: usize) -> Later<'_, Result<StickyPage, BusError>> {
        let (filter, after) = (filter.clone(), after.cloned());
        Box::pin(async move { front::latest(&*self.shared, &filter, after.as_ref(), limit).await })
    }

    fn topics<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Later<'a, Result<TopicPage, BusError>> {
        Box::pin(front::topics(&*self.shared, prefix, after, limit))
    }

    fn join(&self, group: &GroupName, options: GroupOptions) -> Later<'_, Result<Box<dyn Member>, BusError>> {
        let group = group.clone();
        let before = self.shared.ledger.all_placed();
        Box::pin(async move {
            self.check_start(options.start)?;
            let joining = async {
                if !lock(&self.shared.seats).contains_key(&group) {
                    before.await;
                }
                let member = self.sit(&group, options)?;
                member.seat.ready().await.map_err(|why| match self.shared.ledger.is_closed() {
                    true => BusError::Closed,
                    false => BusError::Storage(why),
                })?;
                Ok(Box::new(member) as Box<dyn Member>)
            };
            tokio::time::timeout(ANSWER_TIME_MAX, joining).await.unwrap_or_else(|_| Err(self.shared.late()))
        })
    }

    fn end_group(&self, group: &GroupName) -> Later<'_, Result<(), BusError>> {
        let group = group.clone();
        Box::pin(async move { self.end(&group).await })
    }

    fn groups(&self, after: Option<&GroupName>, limit: usize) -> Vec<GroupStat> {
        let epoch = self.head().epoch;
        let seats: Vec<_> = lock(&self.shared.seats).values().cloned().collect();
        let wanted = seats.iter().filter(|seat| after.is_none_or(|after| seat.name > *after)).take(limit);
        let mut stats = Vec::new();
        for seat in wanted {
            let mut effects = Vec::new();
            lock(&seat.desk).tick(self.shared.clock.now(), &mut effects);
            seat.carry_out(effects);
            let (dead, dead_forgotten) = self.shared.letters().count(&seat.name);
            let stat = lock(&seat.desk).stat(&seat.name, epoch, dead);
            stats.push(GroupStat { dead_forgotten, ..stat });
        }
        stats
    }

    fn dead_letters(
        &self,
        group: &GroupName,
        after: Seq,
        limit: usize,
    ) -> Later<'_, Result<Vec<DeadLetter>, BusError>> {
        let group = group.clone();
        Box::pin(async move {
            self.shared.know_letters().await?;
            Ok(self.shared.letters().page(&group, after, limit))
        })
    }

    fn revive(&self, group: &GroupName, letters: Vec<Seq>, again: bool) -> Later<'_, Result<usize, BusError>> {
        let group = group.clone();
        Box::pin(async move { self.take_out(&group, letters, again).await })
    }

    fn lag<'a>(&'a self, group: &'a GroupStat) -> Later<'a, Result<Lag, BusError>> {
        // What waits on the broker it tells nobody.
        let seat = lock(&self.shared.seats).get(&group.name).cloned();
        Box::pin(std::future::ready(Ok(seat.map(|seat| lock(&seat.desk).lag()).unwrap_or_default())))
    }

    fn talk(&self, hears: Option<&Filter>) -> Result<Box<dyn Talk>, BusError> {
        if self.shared.ledger.is_closed() {
            return Err(BusError::Closed);
        }
        Ok(Box::new(talk::take(&self.shared, hears, self.is_headwater)))
    }
}

impl Mqtt {}
