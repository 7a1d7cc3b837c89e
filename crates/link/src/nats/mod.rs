//! NATS JetStream as the bus: one stream is the log, its sequence numbers are the places.
//!
//! A group is a durable pull consumer (one after the other where one process at a time reads it, see `durables`), a copy is known
//! by its message id, a latest state is the last message of a subject.
//! `docs/engines.md` says what an acknowledgement means there and what is asked of the server.

mod durables;
mod letters;
mod means;
mod publisher;
mod reader;
mod seat;
mod shared;
mod spelling;
mod subjects;
mod talk;
mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::context::ContextBuilder;
use futures_util::StreamExt as _;
use headwater_event::{
    Abilities, Bus, BusError, Clock, DeadLetter, Durability, EventId, Filter, GroupName, GroupOptions, GroupStat,
    Health, Lag, Later, Member, Position, ProducerId, Publication, Receipts, Replay, Seq, StickyPage, Tail, Talk,
    Topic,
};
use tokio::sync::{mpsc, oneshot};

use crate::LinkError;
use crate::address::Address;
use crate::local::lock;
use crate::local::member::ANSWER_TIME_MAX;
use crate::local::member::Seated;
use crate::local::wait::Bell;
use crate::version;
use publisher::{BATCHES_MAX, Job};
use reader::Reader;
use seat::Seat;
use shared::{Shared, stopped};

/// What an address may say: the stream's name, its replicas when it's made, where the monitoring page is (`HOST:PORT`), after
/// how many seconds a dead process's deliveries go to others, and `old=yes` for servers that lose acknowledged messages.
pub(crate) const OPTIONS: &[&str] = &["stream", "replicas", "monitor", "ack_wait", "old"];

/// After how many seconds the server brings a delivery again of which it hears nothing: a dead process is noticed by then,
/// one that was only slow is not taken for dead.
const ACK_WAIT: u64 = 30;
const ACK_WAIT_MAX: u64 = 3_600;

/// The name of the stream.
const STREAM: &str = "HEADWATER";

/// After how long a silence the server is asked for a sign of life; a connection on which it owes three is given up, so a dead
/// network is noticed within a quarter of a minute.
const PING_AFTER: Duration = Duration::from_secs(5);

/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long one acknowledgement may take before the event is sent again.
const ACK_TIME_MAX: Duration = Duration::from_secs(5);

/// How many events may wait for their acknowledgement.
const IN_FLIGHT_MAX: usize = 16_384;

/// What a message has beside an event's own bytes: the names of its headers, the id, the time.
const HEAD_LEN_MAX: usize = 1_024;

/// More the server doesn't keep.
const REPLICAS_MAX: u64 = 5;

/// What the address says about an option that is a number from 1 on.
fn number(address: &Address, option: &str, default: u64, max: u64) -> Result<u64, LinkError> {
    let Some(text) = address.option(option) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| LinkError::Url(format!("`{option}` is 1 to {max}")))
}

/// A JetStream as the bus. Dropping it leaves the server.
pub struct Nats {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
    durability: Durability,
    payload_max: usize,
}

impl Nats {
    /// Connects, asks the server what it is, and makes the streams when they aren't there.
    pub(crate) async fn open(address: Address, clock: Clock) -> Result<Self, LinkError> {
        let sentence = |why: &str| format!("the engine {address} {why}");
        let connected = Arc::new(Bell::new());
        let bell = Arc::clone(&connected);
        let heard = move |event| {
            if matches!(event, async_nats::Event::Connected) {
                bell.ring();
            }
            std::future::ready(())
        };
        let mut options =
            ConnectOptions::new().connection_timeout(CONNECT_TIME_MAX).ping_interval(PING_AFTER).event_callback(heard);
        if let Some(user) = &address.user {
            options = options.user_and_password(user.clone(), address.password.clone().unwrap_or_default());
        }
        let place = format!("nats://{}:{}", address.host, address.port);
        let client = options.connect(place).await.map_err(|error| {
            use async_nats::ConnectErrorKind::{Authentication, AuthorizationViolation, Tls};
            match error.kind() {
                AuthorizationViolation | Authentication => {
                    LinkError::Refused(sentence("refuses us: the user name or password is wrong"))
                }
                Tls => LinkError::Refused(sentence(&format!("can't be used: {error}"))),
                _ => LinkError::Unreachable(sentence(&format!("can't be reached: {error}"))),
            }
        })?;
        let server = client.server_info();
        if !version::is_at_least(&server.version, means::VERSION_MIN) && address.option("old") != Some("yes") {
            let why = "is of version {}, and before 2.10.23 acknowledged messages could be lost; `?old=yes` takes it all the same";
            return Err(LinkError::Refused(sentence(&why.replace("{}", &server.version))));
        }
        if !server.jetstream {
            return Err(LinkError::Refused(sentence("has no JetStream")));
        }
        let replicas = number(&address, "replicas", 1, REPLICAS_MAX)?;
        let ack_wait = Duration::from_secs(number(&address, "ack_wait", ACK_WAIT, ACK_WAIT_MAX)?);
        let context = ContextBuilder::new()
            .timeout(ACK_TIME_MAX)
            .ack_timeout(ACK_TIME_MAX)
            .max_ack_inflight(IN_FLIGHT_MAX)
            .build(client);
        let name = address.option("stream").unwrap_or(STREAM);
        let streams = shared::streams(&context, name, usize::try_from(replicas).unwrap_or(1)).await;
        let streams = streams.map_err(|error| {
            let text = sentence(&format!("has no stream for us: {error}"));
            if shared::is_passing(&error) { LinkError::Unreachable(text) } else { LinkError::Refused(text) }
        })?;
        let kept = streams.0.cached_info().config.num_replicas;
        let durability = means::durability(kept, address.option("monitor")).await;
        let durability = durability.map_err(|no_page| match no_page {
            means::NoPage::Unreachable(why) => LinkError::Unreachable(sentence(&why)),
            means::NoPage::Other(why) => LinkError::Refused(sentence(&why)),
        })?;
        let shared = Arc::new(Shared::new(address, clock, ack_wait, context, connected, streams));
        let (jobs, waiting) = mpsc::channel(BATCHES_MAX);
        tokio::spawn(publisher::run(Arc::clone(&shared), waiting));
        tokio::spawn(Arc::clone(&shared).keep_looking());
        Ok(Self { shared, jobs, durability, payload_max: server.max_payload })
    }

    /// Ends in good order: nothing more is taken, who waits is told `Closed`.
    pub async fn close(&self) {
        self.end();
        // What was written goes out.
        let _ = tokio::time::timeout(ACK_TIME_MAX, self.shared.context.client().flush()).await;
    }

    fn end(&self) {
        self.shared.close();
        lock(&self.shared.seats).values().for_each(|seat| seat.end());
    }

    async fn sit(&self, group: &GroupName, options: GroupOptions) -> Result<Seated<Seat>, BusError> {
        if options.alone {
            return self.sit_alone(group, options).await;
        }
        loop {
            if self.shared.is_closed() {
                return Err(BusError::Closed);
            }
            {
                let seats = lock(&self.shared.seats);
                if let Some(seat) = seats.get(group) {
                    let (seat, lease) = (Arc::clone(seat), options.lease);
                    let id = lock(&seat.desk).join(options);
                    return Ok(Seated { seat, id, lease });
                }
            }
            let seat = Seat::begin(&self.shared, group, options.clone()).await?;
            let mut seats = lock(&self.shared.seats);
            if seats.contains_key(group) {
                // Another was quicker.
                seat.end();
            } else {
                seats.insert(group.clone(), seat);
            }
        }
    }

    /// Takes the place of whoever has it, here too.
    async fn sit_alone(&self, group: &GroupName, options: GroupOptions) -> Result<Seated<Seat>, BusError> {
        if self.shared.is_closed() {
            return Err(BusError::Closed);
        }
        if let Some(before) = lock(&self.shared.seats).remove(group) {
            before.end();
        }
        let seat = Seat::begin(&self.shared, group, options.clone()).await?;
        let mut seats = lock(&self.shared.seats);
        if self.shared.is_closed() {
            seat.end();
            return Err(BusError::Closed);
        }
        if let Some(before) = seats.insert(group.clone(), Arc::clone(&seat)) {
            before.end();
        }
        let lease = options.lease;
        let id = lock(&seat.desk).join(options);
        drop(seats);
        Ok(Seated { seat, id, lease })
    }

    async fn forget(&self, group: &GroupName) -> Result<(), BusError> {
        if let Some(seat) = lock(&self.shared.seats).remove(group) {
            seat.end();
        }
        durables::forget(&self.shared, group).await?;
        let token = subjects::group(group);
        letters::forget(&self.shared, &format!("{}{token}.>", subjects::DEAD)).await?;
        letters::forget(&self.shared, &format!("{}{token}.>", subjects::AGAIN)).await
    }

    async fn states(&self, filter: &Filter, after: Option<&Topic>, limit: usize) -> Result<StickyPage, BusError> {
        loop {
            let head = self.shared.look().await?;
            let as_of = Position::new(self.shared.epoch, head);
            let mut page = StickyPage { events: Vec::new(), as_of, next: None };
            let mut is_later = false;
            for topic in self.sticky_topics(filter, after).await? {
                if page.events.len() == limit {
                    page.next = page.events.last().map(|recorded| recorded.event.topic.clone());
                    break;
                }
                let subject = subjects::of_topic(&topic, true);
                let Some(found) = self.shared.last_of(&subject).await? else { continue };
                is_later |= found.sequence > head;
                let position = Position::new(self.shared.epoch, found.sequence);
                let length = found.payload.len();
                let message = async_nats::Message {
                    subject: found.subject,
                    reply: None,
                    payload: found.payload,
                    headers: Some(found.headers),
                    status: None,
                    description: None,
                    length,
                };
                let recorded = spelling::recorded(&message, position, self.shared.clock.now());
                page.events.extend(recorded.filter(|recorded| !recorded.event.payload.is_empty()));
            }
            if !is_later {
                return Ok(page);
            }
            // Somebody wrote meanwhile: what is told must be as of one moment.
        }
    }

    /// The topics that have had a state, in their order.
    async fn sticky_topics(&self, filter: &Filter, after: Option<&Topic>) -> Result<Vec<Topic>, BusError> {
        let mut topics = Vec::new();
        for subject in subjects::of_filter(filter, subjects::STATES) {
            let told = self.shared.stream.info_with_subjects(subject).await;
            let mut told = told.map_err(|error| self.shared.storage(error))?;
            while let Some(subject) = told.next().await {
                let (subject, _) = subject.map_err(|error| self.shared.storage(error))?;
                let topic = subjects::topic(&subject).map(|(topic, _)| topic);
                let is_wanted =
                    |topic: &Topic| filter.matches(topic.as_str()) && after.is_none_or(|after| topic > after);
                topics.extend(topic.filter(is_wanted));
            }
        }
        topics.sort_unstable();
        topics.dedup();
        Ok(topics)
    }

    fn check(&self, batch: &[Publication]) -> Result<(), BusError> {
        if self.shared.is_closed() {
            return Err(BusError::Closed);
        }
        let len = |publication: &Publication| {
            let event = &publication.event;
            // Headers travel in base64.
            HEAD_LEN_MAX + event.headers.as_stored().len() * 4 / 3 + event.payload.len()
        };
        if batch.iter().any(|publication| len(publication) > self.payload_max) {
            return Err(BusError::TooLarge { max: self.payload_max - HEAD_LEN_MAX });
        }
        if batch.iter().any(|publication| matches!(publication.event.id, EventId::Numbered { .. })) {
            return Err(self.no_numbers());
        }
        Ok(())
    }

    fn no_numbers(&self) -> BusError {
        if self.shared.is_closed() { BusError::Closed } else { BusError::Unable("keep the numbers of producers") }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.end();
    }
}

impl Bus for Nats {
    fn abilities(&self) -> Abilities {
        Abilities {
            durability: self.durability,
            replay: Replay::Full,
            delayed_retry: false,
            numbers: false,
            remembers: false,
        }
    }

    fn head(&self) -> Position {
        self.shared.head()
    }

    fn oldest(&self) -> Position {
        self.shared.oldest()
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn append(&self, batch: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>> {
        if let Err(error) = self.check(&batch) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let (reply, told) = oneshot::channel();
        let deadline = tokio::time::Instant::now() + ANSWER_TIME_MAX;
        if self.jobs.try_send(Job { batch, reply, deadline }).is_err() {
            let full = self.shared.storage(format!("has {BATCHES_MAX} batches waiting, and no more may"));
            return Box::pin(std::future::ready(Err(full)));
        }
        self.shared.called.fetch_add(1, Ordering::AcqRel);
        let shared = Arc::clone(&self.shared);
        let mut stopping = shared.stop.subscribe();
        Box::pin(async move {
            tokio::select! {
                biased;
                result = told => result.unwrap_or(Err(BusError::Closed)),
                () = stopped(&mut stopping) => Err(BusError::Closed),
                () = tokio::time::sleep(ANSWER_TIME_MAX) => Err(shared.late()),
            }
        })
    }

    fn last_number(&self, _: ProducerId) -> Later<'_, Result<u64, BusError>> {
        Box::pin(std::future::ready(Err(self.no_numbers())))
    }

    fn use_up(&self, _: ProducerId, _: u64) -> Later<'static, Result<(), BusError>> {
        Box::pin(std::future::ready(Err(self.no_numbers())))
    }

    fn tail(&self, after: Position) -> Result<Box<dyn Tail>, BusError> {
        let (head, oldest) = (self.shared.head(), self.shared.oldest());
        if self.shared.is_closed() {
            return Err(BusError::Closed);
        }
        if after.epoch != head.epoch || after.seq > head.seq {
            return Err(BusError::NoSuchPosition { head });
        }
        if after.seq < oldest.seq {
            return Err(BusError::Gone { oldest });
        }
        Ok(Box::new(Reader::after(&self.shared, after)))
    }

    fn latest(&self, filter: &Filter, after: Option<&Topic>, limit: usize) -> Later<'_, Result<StickyPage, BusError>> {
        let (filter, after) = (filter.clone(), after.cloned());
        Box::pin(async move {
            let states = self.states(&filter, after.as_ref(), limit);
            tokio::time::timeout(ANSWER_TIME_MAX, states).await.unwrap_or_else(|_| Err(self.shared.late()))
        })
    }

    fn join(&self, group: &GroupName, options: GroupOptions) -> Later<'_, Result<Box<dyn Member>, BusError>> {
        let group = group.clone();
        let before = self.shared.all_through();
        Box::pin(async move {
            let joining = async {
                before.await;
                let member = self.sit(&group, options).await?;
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
        let seats: Vec<_> = lock(&self.shared.seats).values().cloned().collect();
        let wanted = seats.iter().filter(|seat| after.is_none_or(|after| seat.name > *after)).take(limit);
        let mut stats = Vec::new();
        for seat in wanted {
            let dead = seat.dead.load(Ordering::Acquire);
            stats.push(lock(&seat.desk).stat(&seat.name, self.shared.epoch, dead));
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
        Box::pin(async move {
            let count = letters::take_out(&self.shared, &group, &letters, again).await?;
            if let Some(seat) = lock(&self.shared.seats).get(&group) {
                let fewer = seat.dead.load(Ordering::Acquire).saturating_sub(count);
                seat.dead.store(fewer, Ordering::Release);
            }
            Ok(count)
        })
    }

    fn adopt(
        &self,
        group: &GroupName,
        options: GroupOptions,
        letters: Vec<DeadLetter>,
    ) -> Later<'_, Result<(), BusError>> {
        let group = group.clone();
        Box::pin(async move {
            durables::of_log(&self.shared, &group, &options).await?;
            letters::keep(&self.shared, &group, &letters).await
        })
    }

    fn lag<'a>(&'a self, group: &'a GroupStat) -> Later<'a, Result<Lag, BusError>> {
        Box::pin(async move {
            let seat = lock(&self.shared.seats).get(&group.name).cloned();
            let asking = async {
                let name = match &seat {
                    Some(seat) => Some(seat.durable.clone()),
                    None => durables::current(&self.shared, &group.name).await?,
                };
                let Some(name) = name else { return Err(self.shared.storage("has no such group")) };
                self.shared.stream.consumer_info(name).await.map_err(|error| self.shared.storage(error))
            };
            let told = tokio::time::timeout(ANSWER_TIME_MAX, asking).await.map_err(|_| self.shared.late())??;
            // The oldest of all may be with another process; each tells the oldest of its own.
            let since = seat.and_then(|seat| lock(&seat.desk).lag().since);
            Ok(Lag { events: told.num_pending + told.num_ack_pending as u64, is_exact: true, since })
        })
    }

    fn talk(&self, hears: Option<&Filter>) -> Result<Box<dyn Talk>, BusError> {
        if self.shared.is_closed() {
            return Err(BusError::Closed);
        }
        Ok(Box::new(talk::take(&self.shared, hears)))
    }
}
