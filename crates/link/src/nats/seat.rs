//! A group's part in this process: a durable pull consumer, whose deliveries stand on a desk until they are settled.
//!
//! The server knows which deliveries are out and brings them again when nobody says in time that they are worked on; the
//! desk knows leases, attempts and waits. An acknowledgement counts when the server has confirmed it.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::client::{Request, RequestError};
use async_nats::jetstream;
use async_nats::jetstream::message::{AckKind, PublishMessage};
use async_nats::{Client, Subject};
use futures_util::{FutureExt as _, StreamExt as _};
use headwater_event::{BusError, Clock, EventId, GroupName, GroupOptions, Later, Position, Seq};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval_at, sleep};

use super::ACK_TIME_MAX;
use super::durables::{self, AT_ONCE, Durables, Pull};
use super::letters;
use super::shared::{Shared, stopped};
use super::{spelling, subjects};
use crate::local::desk::{Burial, Desk, Effect, Handle};
use crate::local::wait::Bell;
use crate::local::{self, lock};

/// How often the server hears that deliveries are worked on while it waits for an answer: two of these may get lost.
const PROGRESSES: u32 = 3;

/// How often the server says that it still has our request. After twice that in silence it's asked anew: a cluster forgets requests
/// with the node that led the group.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a group without members keeps its deliveries here, unless its one member is to be alone.
const LINGER: Duration = Duration::from_secs(10);

/// The wait before a consumer is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How often a confirmation is asked for, each time for as long as the server may take.
const CONFIRM_TRIES: u32 = 5;

/// One group's deliveries here.
pub(super) struct Seat {
    pub name: GroupName,
    /// What the server calls the group.
    pub durable: String,
    /// Whether this process is the group's only one.
    pub is_alone: bool,
    /// How often the server had been connected to when the seat began.
    connects: u64,
    /// The number of the delivery that came last, of one who is alone.
    brought_last: AtomicU64,
    pub desk: Mutex<Desk>,
    pub bell: Bell,
    pub dead: AtomicUsize,
    shared: Arc<Shared>,
    /// What the server waits for an answer to.
    unanswered: Mutex<BTreeMap<Handle, Brought>>,
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
    answers_to: Subject,
}

impl Seat {
    /// Takes up a group's deliveries here.
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        name: &GroupName,
        options: GroupOptions,
    ) -> Result<Arc<Self>, BusError> {
        let connects = shared.connects();
        let made = match options.alone {
            true => durables::of_one(shared, name, &options).await?,
            false => durables::of_all(shared, name, &options).await?,
        };
        let Durables { name: durable, events, again, filters } = made;
        let dead = letters::count(shared, name).await?;
        // Who made the group has said how long, or who has changed it since.
        let ack_wait = [&events, &again].map(|consumer| consumer.cached_info().config.ack_wait).into_iter().min();
        let seat = Arc::new(Self {
            name: name.clone(),
            durable,
            is_alone: options.alone,
            connects,
            brought_last: AtomicU64::new(0),
            desk: Mutex::new(Desk::new(GroupOptions { filters, ..options })),
            bell: Bell::new(),
            dead: AtomicUsize::new(dead),
            shared: Arc::clone(shared),
            unanswered: Mutex::default(),
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

    /// One that is alone ends: another process has taken its place, or what the server has brought may be lost on the way. It
    /// would come again late and behind what is new; who joins anew gets it first and in its order.
    fn is_over(&self, why: &str) {
        tracing::debug!(group = %self.name, why, "a place is over");
        self.clear_place(&mut lock(&self.shared.seats));
        self.end();
    }

    /// Who joins from now on begins anew; unless another has sat down here already.
    fn clear_place(&self, seats: &mut BTreeMap<GroupName, Arc<Self>>) {
        if seats.get(&self.name).is_some_and(|seat| std::ptr::eq(Arc::as_ptr(seat), self)) {
            seats.remove(&self.name);
        }
    }

    /// Whether deliveries are missing before this one.
    fn misses_some(&self, number: u64) -> bool {
        self.is_alone && self.brought_last.swap(number, Ordering::AcqRel) + 1 != number
    }

    /// Brings what comes to the desk.
    async fn follow(self: Arc<Self>, consumer: Pull, is_again: bool) {
        let mut stopping = self.stop.subscribe();
        while let Some(why) = self.bring(&consumer, is_again).await {
            if self.is_alone {
                return self.is_over(&why);
            }
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
            messages = consumer.stream().max_messages_per_batch(AT_ONCE).heartbeat(HEARTBEAT).messages() => messages,
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

    fn handle(&self, seq: Seq, answers_to: Subject) -> Handle {
        let mut next = lock(&self.next_handle);
        *next += 1;
        lock(&self.unanswered).insert(*next, Brought { seq, answers_to });
        *next
    }

    fn brought(&self, message: jetstream::Message) {
        let told = message.info().map(|info| (info.stream_sequence, info.delivered, info.consumer_sequence));
        let Ok((seq, delivered, number)) = told else { return };
        if self.misses_some(number) {
            return self.is_over("deliveries were lost");
        }
        let position = Position::new(self.shared.epoch, seq);
        self.shared.reached(seq);
        let message = message.message;
        let Some(answers_to) = message.reply.clone() else { return };
        let handle = self.handle(seq, answers_to);
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
        let message = message.message;
        let Some(answers_to) = message.reply else { return };
        let letter = spelling::letter(&message.headers.unwrap_or_default(), &message.payload, self.shared.epoch);
        let handle = self.handle(letter.as_ref().map_or(0, |letter| letter.recorded.position.seq), answers_to);
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
                let confirmed = self.confirm(&handles);
                tokio::spawn(confirmed);
            }
        }
    }

    /// Acknowledges, each with the server's confirmation; while the server is away, again and again. What is given up comes
    /// again, and is known.
    fn confirm(&self, handles: &[Handle]) -> impl Future<Output = Result<(), String>> + Send + 'static {
        let mut unanswered = lock(&self.unanswered);
        let brought: Vec<_> = handles.iter().filter_map(|handle| unanswered.remove(handle)).collect();
        drop(unanswered);
        let client = self.shared.context.client();
        async move {
            let all = brought.into_iter().map(|brought| confirmed(&client, brought.answers_to));
            let all = futures_util::future::join_all(all).await;
            all.into_iter().find_map(Result::err).map_or(Ok(()), |error| Err(error.to_string()))
        }
    }

    /// Answers without waiting for anybody.
    async fn answer(&self, brought: Brought, what: AckKind) {
        // What doesn't arrive is as if it were not said: the delivery comes again later.
        let _ = self.shared.context.client().publish(brought.answers_to, what.into()).await;
    }

    /// What is unanswered, in the order of the log: the server brings it again in the order in which it last heard of it.
    fn unanswered(&self) -> Vec<(Handle, Brought)> {
        let unanswered = lock(&self.unanswered);
        let mut unanswered: Vec<_> = unanswered.iter().map(|(handle, brought)| (*handle, brought.clone())).collect();
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
                    let confirmed = self.confirm(&handles);
                    tokio::spawn(async move {
                        // Nobody may wait.
                        let _ = tell.send(confirmed.await);
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
                self.confirm(&handles).await?;
            }
        }
        self.bell.ring();
        kept
    }

    /// Tells the server that deliveries are worked on, until the last member has gone for good.
    async fn look_after(self: Arc<Self>, followers: [JoinHandle<()>; 2]) {
        let mut stopping = self.stop.subscribe();
        let mut progress = interval_at(Instant::now() + self.progress_every, self.progress_every);
        let mut connected = self.shared.connected.listen();
        let mut alone_since: Option<Instant> = None;
        loop {
            if self.is_alone && self.shared.connects() != self.connects {
                self.is_over("the connection is another");
                break;
            }
            let alone_until = alone_since.map_or_else(|| Instant::now() + LINGER, |since| since + LINGER);
            let mut has_left = false;
            tokio::select! {
                _ = progress.tick() => self.say_progress().await,
                () = self.left.notified() => has_left = true,
                () = connected.rung() => {}
                () = tokio::time::sleep_until(alone_until) => {}
                () = stopped(&mut stopping) => break,
            }
            let mut seats = lock(&self.shared.seats);
            if lock(&self.desk).has_members() {
                alone_since = None;
            } else if self.is_alone && has_left || alone_since.get_or_insert_with(Instant::now).elapsed() >= LINGER {
                // Under the lock: who joins from now on begins anew.
                self.clear_place(&mut seats);
                drop(seats);
                self.end();
                break;
            }
        }
        // Nobody may ask any more when it's given back, or the server would give it to us again.
        for follower in followers {
            let _ = follower.await;
        }
        // Others may have it at once. After one that was alone all begins from where it had settled.
        for (_, brought) in self.unanswered().into_iter().filter(|_| !self.is_alone) {
            self.answer(brought, AckKind::Nak(None)).await;
        }
        lock(&self.unanswered).clear();
    }

    async fn say_progress(&self) {
        for (handle, brought) in self.unanswered() {
            // Not for what was settled meanwhile.
            if lock(&self.unanswered).contains_key(&handle) {
                self.answer(brought, AckKind::Progress).await;
            }
        }
    }
}

/// Where nobody hears it (the consumer is gone, or its leader is another), that is no confirmation.
async fn confirmed(client: &Client, answers_to: Subject) -> Result<(), RequestError> {
    let mut tries = 1;
    loop {
        let asked = Request::new().payload(AckKind::Ack.into()).timeout(Some(ACK_TIME_MAX));
        match client.send_request(answers_to.clone(), asked).await {
            Err(_) if tries < CONFIRM_TRIES => tries += 1,
            result => return result.map(drop),
        }
        sleep(AGAIN_AFTER).await;
    }
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
