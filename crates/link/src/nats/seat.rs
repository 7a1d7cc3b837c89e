//! A group's part in this process: a durable pull consumer, whose deliveries stand on a desk until they are settled.
//!
//! The server knows which deliveries are out and brings them again when nobody says in time that they are worked on; the
//! desk knows leases, attempts and waits. An acknowledgement counts when the server has confirmed it.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::message::{AckKind, Acker, PublishMessage};
use async_nats::jetstream::{self};
use futures_util::{FutureExt as _, StreamExt as _};
use headwater_event::{BusError, Clock, EventId, Filter, GroupName, GroupOptions, Later, Position, Seq, Start};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval_at, sleep};

use super::letters;
use super::shared::{Shared, stopped};
use super::{spelling, subjects};
use crate::local::desk::{Burial, Desk, Effect, Handle};
use crate::local::wait::Bell;
use crate::local::{self, lock};

/// How often the server hears that deliveries are worked on while it waits for an answer: two of these may get lost.
const PROGRESSES: u32 = 3;

/// How many deliveries are asked for at a time.
const AT_ONCE: usize = 64;

/// How long a group without members keeps its deliveries here.
const LINGER: Duration = Duration::from_secs(10);

/// The wait before a consumer is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How often a confirmation is asked for; each try has the client's own time limit of 5 s.
const CONFIRM_TRIES: u32 = 5;

/// Where a consumer's filters are written down, a line each: its subjects may say more than they do.
const FILTERS: &str = "headwater-filters";

type Pull = Consumer<Config>;

/// One group's deliveries here.
pub(super) struct Seat {
    pub name: GroupName,
    pub desk: Mutex<Desk>,
    pub bell: Bell,
    pub dead: AtomicUsize,
    shared: Arc<Shared>,
    /// What the server waits for an answer to.
    ackers: Mutex<BTreeMap<Handle, Brought>>,
    next_handle: Mutex<Handle>,
    /// How often the server hears that deliveries are worked on.
    progress_every: Duration,
    left: Notify,
    stop: watch::Sender<bool>,
}

/// A delivery as the server calls it, of the event that stands in this place.
#[derive(Clone)]
struct Brought {
    seq: Seq,
    acker: Arc<Acker>,
}

/// The consumer of a group, made when there is none; and what the group wants.
pub(super) async fn consumer(
    shared: &Shared,
    group: &GroupName,
    options: &GroupOptions,
) -> Result<(Pull, Vec<Filter>), BusError> {
    let name = subjects::group(group);
    if let Ok(known) = shared.stream.get_consumer::<Config>(&name).await {
        let written = known.cached_info().config.metadata.get(FILTERS).cloned().unwrap_or_default();
        let filters: Vec<Filter> = written.lines().filter_map(|line| line.parse().ok()).collect();
        return Ok((known, filters));
    }
    let deliver_policy = match options.start {
        Start::Oldest => DeliverPolicy::All,
        Start::Now => DeliverPolicy::ByStartSequence { start_sequence: shared.look().await? + 1 },
        Start::After(seq) => {
            let head = shared.look().await?;
            if seq > head {
                return Err(BusError::NoSuchPosition { head: shared.head() });
            }
            if seq < shared.oldest().seq {
                return Err(BusError::Gone { oldest: shared.oldest() });
            }
            DeliverPolicy::ByStartSequence { start_sequence: seq + 1 }
        }
    };
    let lines: Vec<_> = options.filters.iter().map(ToString::to_string).collect();
    let config = Config {
        durable_name: Some(name),
        deliver_policy,
        filter_subjects: subjects::of_filters(&options.filters),
        metadata: HashMap::from([(FILTERS.into(), lines.join("\n"))]),
        ..config(shared, options)
    };
    let made = shared.stream.create_consumer(config).await.map_err(|error| shared.storage(error))?;
    Ok((made, options.filters.clone()))
}

fn config(shared: &Shared, options: &GroupOptions) -> Config {
    Config {
        ack_policy: AckPolicy::Explicit,
        ack_wait: shared.ack_wait,
        // As many again as are worked on wait for another try, over all processes.
        max_ack_pending: i64::try_from(options.in_flight_max.saturating_mul(2).max(AT_ONCE)).unwrap_or(i64::MAX),
        max_deliver: -1,
        ..Config::default()
    }
}

impl Seat {
    /// Takes up a group's deliveries here.
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        name: &GroupName,
        options: GroupOptions,
    ) -> Result<Arc<Self>, BusError> {
        let (events, filters) = consumer(shared, name, &options).await?;
        let token = subjects::group(name);
        let again = Config {
            durable_name: Some(token.clone()),
            filter_subject: format!("{}{token}.>", subjects::AGAIN),
            ..config(shared, &options)
        };
        let again =
            shared.letters.get_or_create_consumer(&token, again).await.map_err(|error| shared.storage(error))?;
        let dead = letters::count(shared, name).await?;
        // Who made the group has said how long, or who has changed it since.
        let ack_wait = [&events, &again].map(|consumer| consumer.cached_info().config.ack_wait).into_iter().min();
        let seat = Arc::new(Self {
            name: name.clone(),
            desk: Mutex::new(Desk::new(GroupOptions { filters, ..options })),
            bell: Bell::new(),
            dead: AtomicUsize::new(dead),
            shared: Arc::clone(shared),
            ackers: Mutex::default(),
            next_handle: Mutex::new(0),
            progress_every: ack_wait.unwrap_or(shared.ack_wait) / PROGRESSES,
            left: Notify::new(),
            stop: watch::Sender::new(false),
        });
        let followers = [
            tokio::spawn(Arc::clone(&seat).follow(events, false)),
            tokio::spawn(Arc::clone(&seat).follow(again, true)),
        ];
        tokio::spawn(Arc::clone(&seat).look_after(followers));
        Ok(seat)
    }

    /// Members get `Closed`; the server gives what is out to others.
    pub(super) fn end(&self) {
        lock(&self.desk).close();
        self.stop.send_replace(true);
        self.bell.ring();
    }

    /// Brings what comes to the desk.
    async fn follow(self: Arc<Self>, consumer: Pull, is_again: bool) {
        let mut stopping = self.stop.subscribe();
        while let Some(why) = self.bring(&consumer, is_again).await {
            tracing::debug!(group = %self.name, why, "a consumer begins anew");
            tokio::select! {
                () = sleep(AGAIN_AFTER) => {}
                () = stopped(&mut stopping) => return,
            }
        }
    }

    /// Why nothing comes any more; `None` when all is to end.
    async fn bring(&self, consumer: &Pull, is_again: bool) -> Option<String> {
        let mut stopping = self.stop.subscribe();
        let messages = tokio::select! {
            messages = consumer.stream().max_messages_per_batch(AT_ONCE).messages() => messages,
            () = stopped(&mut stopping) => return None,
        };
        let mut messages = match messages {
            Ok(messages) => messages,
            Err(error) => return Some(error.to_string()),
        };
        loop {
            let next = tokio::select! {
                next = messages.next() => next,
                () = stopped(&mut stopping) => break,
            };
            match next {
                Some(Ok(message)) => self.came(message, is_again),
                Some(Err(error)) => return Some(error.to_string()),
                None => return Some("ended".into()),
            }
        }
        // What has come and nobody has seen is given back too.
        while let Some(Some(Ok(message))) = messages.next().now_or_never() {
            self.came(message, is_again);
        }
        None
    }

    fn came(&self, message: jetstream::Message, is_again: bool) {
        if is_again { self.brought_again(message) } else { self.brought(message) }
    }

    fn handle(&self, seq: Seq, acker: Acker) -> Handle {
        let mut next = lock(&self.next_handle);
        *next += 1;
        lock(&self.ackers).insert(*next, Brought { seq, acker: Arc::new(acker) });
        *next
    }

    fn brought(&self, message: jetstream::Message) {
        let Ok((seq, delivered)) = message.info().map(|info| (info.stream_sequence, info.delivered)) else { return };
        let position = Position::new(self.shared.epoch, seq);
        self.shared.reached(seq);
        let (message, acker) = message.split();
        let handle = self.handle(seq, acker);
        let mut effects = Vec::new();
        let mut desk = lock(&self.desk);
        let recorded = spelling::recorded(&message, position, self.shared.clock.now());
        let is_wanted = |topic: &str| desk.filters().iter().any(|filter| filter.matches(topic));
        match recorded.filter(|recorded| is_wanted(recorded.event.topic.as_str())) {
            None => effects.push(Effect::Acknowledge(vec![handle])),
            Some(recorded) => {
                if !desk.knows(&recorded.event.id, handle, &mut effects) && !desk.is_taken(seq) {
                    let tried = u32::try_from(delivered.saturating_sub(1)).unwrap_or(0);
                    desk.arrive(recorded, tried, handle, None);
                }
            }
        }
        drop(desk);
        self.tell(effects);
        self.bell.ring();
    }

    fn brought_again(&self, message: jetstream::Message) {
        let Ok((place, delivered)) = message.info().map(|info| (info.stream_sequence, info.delivered)) else { return };
        let (message, acker) = message.split();
        let letter = spelling::letter(&message.headers.unwrap_or_default(), &message.payload, self.shared.epoch);
        let handle = self.handle(letter.as_ref().map_or(0, |letter| letter.recorded.position.seq), acker);
        let mut effects = Vec::new();
        let alias = EventId::Text(format!("again/{place}").into());
        let mut desk = lock(&self.desk);
        match letter {
            None => effects.push(Effect::Acknowledge(vec![handle])),
            Some(letter) if !desk.knows(&alias, handle, &mut effects) => {
                desk.forget_done(&letter.recorded.event.id);
                let is_known = desk.knows(&letter.recorded.event.id, handle, &mut effects);
                if !is_known && !desk.is_taken(letter.recorded.position.seq) {
                    let tried = u32::try_from(delivered.saturating_sub(1)).unwrap_or(0);
                    desk.arrive(letter.recorded, tried, handle, Some(alias));
                }
            }
            Some(_) => {}
        }
        drop(desk);
        self.tell(effects);
        self.bell.ring();
    }

    /// Acknowledges where nobody waits for it.
    fn tell(&self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Acknowledge(handles) = effect {
                let ackers = self.take(&handles);
                tokio::spawn(async move { confirm(ackers).await });
            }
        }
    }

    fn take(&self, handles: &[Handle]) -> Vec<Arc<Acker>> {
        let mut ackers = lock(&self.ackers);
        handles.iter().filter_map(|handle| ackers.remove(handle)).map(|brought| brought.acker).collect()
    }

    /// What is unanswered, in the order of the log: the server brings it again in the order in which it last heard of it.
    fn unanswered(&self) -> Vec<(Handle, Brought)> {
        let ackers = lock(&self.ackers);
        let mut unanswered: Vec<_> = ackers.iter().map(|(handle, brought)| (*handle, brought.clone())).collect();
        drop(ackers);
        unanswered.sort_by_key(|(_, brought)| brought.seq);
        unanswered
    }

    /// Does what the desk wants done; gives what to wait for.
    pub(super) fn carry_out(self: &Arc<Self>, effects: Vec<Effect>) -> Vec<oneshot::Receiver<Result<(), String>>> {
        let mut waits = Vec::new();
        for effect in effects {
            let (tell, told) = oneshot::channel();
            match effect {
                Effect::Acknowledge(handles) => {
                    let ackers = self.take(&handles);
                    tokio::spawn(async move {
                        // Nobody may wait.
                        let _ = tell.send(confirm(ackers).await);
                    });
                }
                // All waits are on the desk, so nothing is parked.
                Effect::Park(_) => {}
                Effect::Bury(burial) => {
                    self.dead.fetch_add(1, Ordering::AcqRel);
                    self.shared.burying.fetch_add(1, Ordering::AcqRel);
                    let (seat, shared) = (Arc::clone(self), Arc::clone(&self.shared));
                    tokio::spawn(async move {
                        let kept = seat.bury(*burial).await;
                        shared.burying.fetch_sub(1, Ordering::AcqRel);
                        shared.bell.ring();
                        let _ = tell.send(kept);
                    });
                }
            }
            waits.push(told);
        }
        waits
    }

    async fn bury(self: Arc<Self>, burial: Burial) -> Result<(), String> {
        let seq = burial.recorded.position.seq;
        let letter = letters::of_burial(burial);
        let subject = format!("{}{}.{seq}", subjects::DEAD, subjects::group(&self.name));
        let message = PublishMessage::build()
            .headers(spelling::letter_headers(&letter))
            .payload(letter.recorded.event.payload.clone());
        let kept = match self.shared.context.send_publish(subject, message).await {
            Ok(kept) => kept.await.map(drop).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let mut effects = Vec::new();
        match &kept {
            Ok(()) => lock(&self.desk).buried(seq, &mut effects),
            Err(why) => {
                tracing::warn!(group = %self.name, why, "a dead letter can't be kept; its event is tried again");
                self.dead.fetch_sub(1, Ordering::AcqRel);
                lock(&self.desk).not_buried(seq, self.shared.clock.now());
            }
        }
        for effect in effects {
            if let Effect::Acknowledge(handles) = effect {
                confirm(self.take(&handles)).await?;
            }
        }
        self.bell.ring();
        kept
    }

    /// Tells the server that deliveries are worked on, until the last member has gone for good.
    async fn look_after(self: Arc<Self>, followers: [JoinHandle<()>; 2]) {
        let mut stopping = self.stop.subscribe();
        let mut progress = interval_at(Instant::now() + self.progress_every, self.progress_every);
        let mut alone_since: Option<Instant> = None;
        loop {
            let alone_until = alone_since.map_or_else(|| Instant::now() + LINGER, |since| since + LINGER);
            tokio::select! {
                _ = progress.tick() => self.say_progress().await,
                () = self.left.notified() => {}
                () = tokio::time::sleep_until(alone_until) => {}
                () = stopped(&mut stopping) => break,
            }
            let mut seats = lock(&self.shared.seats);
            if lock(&self.desk).has_members() {
                alone_since = None;
            } else if alone_since.get_or_insert_with(Instant::now).elapsed() >= LINGER {
                // Under the lock: who joins from now on begins anew.
                seats.remove(&self.name);
                drop(seats);
                self.end();
                break;
            }
        }
        // Nobody may ask any more when it's given back, or the server would give it to us again.
        for follower in followers {
            let _ = follower.await;
        }
        // Others may have it at once.
        for (_, brought) in self.unanswered() {
            let _ = brought.acker.ack_with(AckKind::Nak(None)).await;
        }
        lock(&self.ackers).clear();
    }

    async fn say_progress(&self) {
        for (handle, brought) in self.unanswered() {
            // Not for what was settled meanwhile.
            if lock(&self.ackers).contains_key(&handle) {
                let _ = brought.acker.ack_with(AckKind::Progress).await;
            }
        }
    }
}

/// Acknowledges, each with the server's confirmation; while the server is away, again and again. What is given up comes
/// again, and is known.
async fn confirm(ackers: Vec<Arc<Acker>>) -> Result<(), String> {
    let confirm = async |acker: &Arc<Acker>| {
        let mut tries = 1;
        loop {
            match acker.double_ack().await {
                Err(_) if tries < CONFIRM_TRIES => tries += 1,
                result => return result,
            }
            sleep(AGAIN_AFTER).await;
        }
    };
    let confirmations = ackers.iter().map(confirm);
    let all = futures_util::future::join_all(confirmations).await;
    all.into_iter().find_map(Result::err).map_or(Ok(()), |error| Err(error.to_string()))
}

impl local::member::Seat for Seat {
    fn desk(&self) -> &Mutex<Desk> {
        &self.desk
    }

    fn bell(&self) -> &Bell {
        &self.bell
    }

    fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    fn carry_out(self: Arc<Self>, effects: Vec<Effect>, _: bool) -> Later<'static, Result<(), BusError>> {
        // Without a runtime the program is ending, and what is unsettled comes again.
        if tokio::runtime::Handle::try_current().is_err() {
            return Box::pin(ready(Err(BusError::Closed)));
        }
        let waits = Self::carry_out(&self, effects);
        Box::pin(async move {
            for wait in waits {
                wait.await.map_err(|_| BusError::Closed)?.map_err(|why| self.shared.storage(why))?;
            }
            Ok(())
        })
    }

    fn has_left(&self) {
        self.left.notify_one();
    }

    fn late(&self) -> BusError {
        self.shared.late()
    }
}
