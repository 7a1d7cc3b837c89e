//! RabbitMQ as the bus, with Redis beside it for what RabbitMQ has no place for.
//!
//! A topic exchange routes events; a group is a quorum queue, live tails come by an exclusive queue of the process. Redis keeps
//! latest states, marks of ids, what groups want, dead letters. Publishing and keeping a state are two steps: an event is
//! acknowledged after both. `docs/decisions/engine-amqp.md` has the reasons, `docs/engines.md` the user's side.

mod age;
mod declared;
mod follow;
mod ladder;
mod letters;
mod memory;
mod names;
mod packed;
mod place;
mod press;
mod scripts;
mod seat;
mod session;
mod shared;
mod spelling;
mod talk;
mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use headwater_event::{
    Abilities, Bus, BusError, Clock, DeadLetter, Durability, Filter, GroupName, GroupOptions, GroupStat, Health, Lag,
    Later, Member, Position, ProducerId, Publication, Receipts, Replay, Seq, Start, StickyPage, Tail, Talk, Topic,
    TopicPage,
};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;

use crate::LinkError;
use crate::address::{Address, decoded};
use crate::local::member::{ANSWER_TIME_MAX, Seated};
use crate::local::tail::Follower;
use crate::local::{front, lock};
use follow::Follow;
use memory::Memory;
use names::Names;
use press::Press;
use seat::Seat;
use shared::Shared;
use wire::{Side, Wires, answered, end};

/// What an address may say: what ours is called on the server, and how many members queues are to have.
pub(crate) const OPTIONS: &[&str] = &["name", "members"];

/// What ours is called when nobody says.
const NAME: &str = "headwater";

/// The largest event with all that belongs to it: what RabbitMQ 4 takes.
const EVENT_LEN_MAX: usize = 16 << 20;

/// Fewer members are no quorum that outlives a machine.
const QUORUM_MIN: u8 = 3;

/// A RabbitMQ as the bus. Dropping it leaves the server.
pub struct Amqp {
    shared: Arc<Shared>,
    durability: Durability,
}

/// Takes the virtual host out of what stands behind `amqp://`: `HOST/VHOST`, with `%2f` for a slash in it.
pub(crate) fn with_vhost(rest: &str) -> Result<(String, String), LinkError> {
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    // A login may have a slash in it.
    let host_at = place.rfind('@').map_or(0, |at| at + 1);
    let (place, vhost) = match place[host_at..].find('/') {
        Some(at) => (&place[..host_at + at], decoded(&place[host_at + at + 1..])?),
        None => (place, String::new()),
    };
    let vhost = if vhost.is_empty() { "/".to_owned() } else { vhost };
    Ok((query.map_or_else(|| place.to_owned(), |query| format!("{place}?{query}")), vhost))
}

impl Amqp {
    /// Connects to both once, to know that it can be done; from then on each is connected to again by itself.
    pub(crate) async fn open(address: Address, vhost: String, state: &str, clock: Clock) -> Result<Self, LinkError> {
        let names = Names::new(address.option("name").unwrap_or(NAME));
        let names = names.ok_or_else(|| LinkError::Url("`name` is 1 to 40 letters, digits, `-` and `_`".into()))?;
        let members = match address.option("members").map(str::parse::<u8>) {
            None => None,
            Some(Ok(members @ 1..=9)) => Some(members),
            Some(_) => return Err(LinkError::Url("`members` is 1 to 9".into())),
        };
        let memory = Memory::new(state, names.clone())?;
        let wires = Wires::new(address.clone(), vhost, format!("headwater {}", names.as_str()));
        let shared = Arc::new(Shared::new(address, clock, names, wires, memory, members));
        if let Some(version) = age::too_old(&shared.address).await {
            let why = format!("is RabbitMQ {version}, and 3.10 or later is needed");
            return Err(LinkError::Refused(shared.sentence(&why)));
        }
        let channel = Press::channel(&shared).await.map_err(|lost| {
            let sentence = shared.sentence(&lost.why);
            if lost.is_final { LinkError::Refused(sentence) } else { LinkError::Unreachable(sentence) }
        })?;
        shared.memory.check().await?;
        if shared.memory.syncs().await != Some(true) {
            let why =
                shared.memory.sentence("does not say that it syncs each write (appendonly yes, appendfsync always)");
            tracing::warn!("{why}: latest states and dead letters are as safe as it is");
        }
        shared.ledger.set_packet_len_max(EVENT_LEN_MAX);
        tokio::spawn(Press::new(Arc::clone(&shared)).run(channel));
        tokio::spawn(Follow::new(Arc::clone(&shared)).run());
        // A member of a quorum queue says yes when it has synced.
        let is_quorum = members.is_some_and(|members| members >= QUORUM_MIN);
        let durability = if is_quorum { Durability::Quorum } else { Durability::Synced };
        Ok(Self { shared, durability })
    }

    /// Ends in good order: nothing more is taken, who waits is told `Closed`, what is unfinished stays in the queues.
    pub async fn close(&self) {
        self.shared.ledger.close();
        let seats: Vec<_> = lock(&self.shared.seats).values().cloned().collect();
        for seat in seats {
            seat.leave().await;
        }
        self.shared.stop.send_replace(true);
        self.shared.wires.close().await;
    }

    /// Takes the place of whoever has it, here too.
    async fn sit_alone(&self, group: &GroupName, options: GroupOptions) -> Result<Seated<Seat>, BusError> {
        let before = lock(&self.shared.seats).remove(group);
        if let Some(before) = before {
            before.leave().await;
        }
        let seat = Seat::begin(&self.shared, group, options.clone()).await?;
        let mut seats = lock(&self.shared.seats);
        if self.shared.ledger.is_closed() {
            return Err(BusError::Closed);
        }
        if let Some(before) = seats.insert(group.clone(), Arc::clone(&seat)) {
            before.close();
        }
        let lease = options.lease;
        let id = lock(&seat.desk).join(options);
        drop(seats);
        seat.start();
        Ok(Seated { seat, id, lease })
    }

    async fn sit(&self, group: &GroupName, options: GroupOptions) -> Result<Seated<Seat>, BusError> {
        if options.alone {
            return self.sit_alone(group, options).await;
        }
        loop {
            if self.shared.ledger.is_closed() {
                return Err(BusError::Closed);
            }
            let known = lock(&self.shared.seats).get(group).cloned();
            let seat = match known {
                Some(seat) => seat,
                None => {
                    let begun = Seat::begin(&self.shared, group, options.clone()).await?;
                    let mut seats = lock(&self.shared.seats);
                    // Another may have been quicker.
                    let seat = seats.entry(group.clone()).or_insert_with(|| {
                        begun.start();
                        begun
                    });
                    Arc::clone(seat)
                }
            };
            let seats = lock(&self.shared.seats);
            if !seats.get(group).is_some_and(|known| Arc::ptr_eq(known, &seat)) {
                continue;
            }
            let lease = options.lease;
            let id = lock(&seat.desk).join(options);
            drop(seats);
            seat.look_again();
            return Ok(Seated { seat, id, lease });
        }
    }

    fn check_start(&self, start: Start) -> Result<(), BusError> {
        match start {
            // What a queue has is what comes: its oldest event is the next one.
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

    /// Forgets a group: first what it wants, so that nobody makes its queue anew.
    async fn forget(&self, group: &GroupName) -> Result<(), BusError> {
        let registered = self.shared.memory.registered(group).await.map_err(|why| self.shared.storage(why))?;
        self.shared.memory.forget(group).await.map_err(|why| self.shared.storage(why))?;
        let seat = lock(&self.shared.seats).remove(group);
        if let Some(seat) = seat {
            seat.leave().await;
        }
        lock(&self.shared.numbers).remove(group);
        let Some(registered) = registered else { return Ok(()) };
        let queue = self.shared.names.queue(group, registered.number);
        let deleting = async {
            let channel = self.shared.wires.channel(Side::Take).await?;
            answered(channel.queue_delete(queue.into(), QueueDeleteOptions::default())).await?;
            end(&channel).await;
            Ok(())
        };
        deleting.await.map_err(|lost: wire::Lost| self.shared.storage(self.shared.sentence(&lost.why)))
    }
}

impl Drop for Amqp {
    fn drop(&mut self) {
        self.shared.ledger.close();
        for seat in lock(&self.shared.seats).values() {
            seat.close();
        }
        self.shared.stop.send_replace(true);
    }
}

impl Bus for Amqp {
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
        self.shared.follow.notify_one();
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
                let member = self.sit(&group, options).await?;
                member.seat.ready().await.map_err(|why| self.shared.storage(why))?;
                Ok(Box::new(member) as Box<dyn Member>)
            };
            tokio::time::timeout(ANSWER_TIME_MAX, joining).await.unwrap_or_else(|_| Err(self.shared.late()))
        })
    }

    fn end_group(&self, group: &GroupName) -> Later<'_, Result<(), BusError>> {
        let group = group.clone();
        Box::pin(async move { self.forget(&group).await })
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
            let dead = seat.dead.load(Ordering::Acquire);
            stats.push(lock(&seat.desk).stat(&seat.name, epoch, dead));
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
            let page = async {
                self.shared.all_buried().await;
                letters::page(&self.shared, &group, after, limit).await
            };
            tokio::time::timeout(ANSWER_TIME_MAX, page).await.unwrap_or_else(|_| Err(self.shared.late()))
        })
    }

    fn revive(&self, group: &GroupName, letters: Vec<Seq>, again: bool) -> Later<'_, Result<usize, BusError>> {
        let group = group.clone();
        Box::pin(async move { letters::take_out(&self.shared, &group, &letters, again).await })
    }

    fn lag<'a>(&'a self, group: &'a GroupStat) -> Later<'a, Result<Lag, BusError>> {
        let seat = lock(&self.shared.seats).get(&group.name).cloned();
        Box::pin(async move {
            let Some(seat) = seat else { return Ok(Lag::default()) };
            let asking = async {
                let channel = self.shared.wires.channel(Side::Take).await?;
                let options = QueueDeclareOptions { passive: true, ..declared::durable() };
                let told = channel.queue_declare(seat.queue.as_str().into(), options, FieldTable::default());
                let waiting = answered(told).await?.message_count();
                end(&channel).await;
                Ok(waiting)
            };
            let waiting =
                asking.await.map_err(|lost: wire::Lost| self.shared.storage(self.shared.sentence(&lost.why)))?;
            // What others have in work the server doesn't tell this way.
            let here = lock(&seat.desk).lag();
            Ok(Lag { events: here.events + u64::from(waiting), ..here })
        })
    }

    fn talk(&self, hears: Option<&Filter>) -> Result<Box<dyn Talk>, BusError> {
        if self.shared.ledger.is_closed() {
            return Err(BusError::Closed);
        }
        Ok(Box::new(talk::take(&self.shared, hears)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_host_stands_behind_the_host() {
        for (rest, place, vhost) in [
            ("host", "host", "/"),
            ("host:1/", "host:1", "/"),
            ("u:p/w@host:1/shop", "u:p/w@host:1", "shop"),
            ("host/%2f?name=a", "host?name=a", "/"),
            ("host?name=a", "host?name=a", "/"),
        ] {
            assert_eq!(with_vhost(rest), Ok((place.to_owned(), vhost.to_owned())), "{rest}");
        }
        assert!(with_vhost("host/%4").is_err());
    }
}
