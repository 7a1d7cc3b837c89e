//! Following: an exclusive queue of this process gets every event, and Redis tells the latest states.
//!
//! A state is in Redis only after its event was published, so the queue alone doesn't tell all of them to one who has just
//! come: what has changed in Redis is asked for again and again, and a state that the queue never brought is an event then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use headwater_event::{Event, EventId};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};
use tokio::time::{MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::shared::{Part, Shared, backoff, stopped};
use super::spelling::Stamp;
use super::wire::{Lost, Side, answered, end};
use super::{packed, spelling};
use crate::local::book::Place;

/// How many events may be on their way to us: each is taken at once.
const PREFETCH: u16 = 1_024;

/// After how many events the server hears that they have come.
const TELL_EVERY: u64 = 128;

/// What the server keeps for a process that doesn't read: beyond, the oldest are dropped, which is seen by their numbers.
const BACKLOG_MAX: i64 = 200_000;
const BACKLOG_BYTES_MAX: i64 = 256 << 20;

/// How often Redis is asked what has changed: the longest that a state is missed which the queue did not bring.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How many publishing processes are known by their numbers; more are forgotten all, and known anew.
const PUBLISHERS_MAX: usize = 4_096;

/// The task that follows.
pub(super) struct Follow {
    shared: Arc<Shared>,
    /// The highest version of each topic that has come.
    versions: HashMap<String, u64>,
    /// The last change in Redis that was looked at.
    changes: u64,
    /// The last number of each publishing process.
    numbers: HashMap<Uuid, u64>,
    has_followed: bool,
}

impl Follow {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, versions: HashMap::new(), changes: 0, numbers: HashMap::new(), has_followed: false }
    }

    /// Runs until all is to end.
    pub(super) async fn run(mut self) {
        let mut stopping = self.shared.stop.subscribe();
        while !self.shared.ledger.follows() {
            tokio::select! {
                () = self.shared.follow.notified() => {}
                () = stopped(&mut stopping) => return,
            }
        }
        let mut tries = 0;
        loop {
            let lost = tokio::select! {
                lost = self.follow(&mut tries) => lost,
                () = stopped(&mut stopping) => return,
            };
            self.shared.ledger.set_echo(false);
            self.shared.set_fault(Part::Following, Some(lost));
            let wait = backoff(tries);
            tries += 1;
            tokio::select! {
                () = sleep(wait) => {}
                () = stopped(&mut stopping) => return,
            }
        }
    }

    /// Follows by one queue until it's lost; says why.
    async fn follow(&mut self, tries: &mut u32) -> String {
        let (channel, mut events) = match self.begin().await {
            Ok(begun) => begun,
            Err(lost) => return self.shared.sentence(&lost.why),
        };
        if std::mem::replace(&mut self.has_followed, true) {
            self.shared.ledger.gap();
        }
        self.numbers.clear();
        self.shared.ledger.set_echo(true);
        self.shared.ledger.begin_states();
        self.changes = 0;
        if let Err(why) = self.look(true).await {
            end(&channel).await;
            return why;
        }
        self.shared.ledger.end_states();
        self.shared.set_fault(Part::Following, None);
        *tries = 0;
        let mut look = interval(ASK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut untold = 0;
        loop {
            tokio::select! {
                came = events.next() => match came {
                    Some(Ok(delivery)) => {
                        let last = self.take(delivery, &mut events, &mut untold);
                        if let Some(tag) = last {
                            let options = BasicAckOptions { multiple: true };
                            if let Err(lost) = answered(channel.basic_ack(tag, options)).await {
                                return self.shared.sentence(&lost.why);
                            }
                        }
                    }
                    Some(Err(error)) => return self.shared.sentence(&Lost::from(error).why),
                    None => return self.shared.sentence("has taken our queue away"),
                },
                _ = look.tick() => if let Err(why) = self.look(false).await {
                    // What comes by the queue goes on coming.
                    self.shared.set_fault(Part::State, Some(why));
                } else {
                    self.shared.set_fault(Part::State, None);
                },
            }
        }
    }

    async fn begin(&self) -> Result<(Channel, Consumer), Lost> {
        let channel = self.shared.wires.channel(Side::Take).await?;
        let mut bounds = FieldTable::default();
        bounds.insert("x-max-length".into(), AMQPValue::LongLongInt(BACKLOG_MAX));
        bounds.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(BACKLOG_BYTES_MAX));
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let queue = answered(channel.queue_declare("".into(), options, bounds)).await?.name().clone();
        let exchange = self.shared.names.exchange().into();
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        answered(channel.queue_bind(queue.clone(), exchange, "#".into(), options, none)).await?;
        answered(channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
        let (options, none) = (BasicConsumeOptions { exclusive: true, ..Default::default() }, FieldTable::default());
        let events = answered(channel.basic_consume(queue, "".into(), options, none)).await?;
        Ok((channel, events))
    }

    /// Takes what has come, as far as it's there; gives up to where the server may be told.
    fn take(&mut self, first: Delivery, events: &mut Consumer, untold: &mut u64) -> Option<u64> {
        let mut next = Some(first);
        let mut last = 0;
        while let Some(delivery) = next.take() {
            last = delivery.delivery_tag;
            *untold += 1;
            self.came(&delivery);
            if *untold < TELL_EVERY
                && let Some(Some(Ok(delivery))) = events.next().now_or_never()
            {
                next = Some(delivery);
            }
        }
        *untold = 0;
        Some(last)
    }

    fn came(&mut self, delivery: &Delivery) {
        let Some(came) = spelling::came(delivery, self.shared.clock.now()) else { return };
        let mut sticky = came.sticky;
        if let Some(stamp) = came.stamp {
            self.count(stamp);
            // Of two that were published at one moment Redis keeps the one of the higher version.
            sticky = sticky && self.is_latest(came.event.topic.as_str(), stamp.version);
        }
        self.shared.ledger.came(came.event, sticky, came.is_named);
    }

    /// Sees by the numbers of a process whether something of it is missing.
    fn count(&mut self, stamp: Stamp) {
        if self.numbers.len() >= PUBLISHERS_MAX && !self.numbers.contains_key(&stamp.by) {
            self.numbers.clear();
        }
        let last = self.numbers.entry(stamp.by).or_insert(stamp.number);
        if stamp.number > *last + 1 {
            tracing::warn!("the engine {} has dropped events for those who follow", self.shared.address);
            self.shared.ledger.gap();
        }
        *last = stamp.number.max(*last);
    }

    /// Whether this version of a topic's state is none of before; it's remembered.
    fn is_latest(&mut self, topic: &str, version: u64) -> bool {
        match self.versions.get_mut(topic) {
            Some(known) if *known > version => false,
            Some(known) => {
                *known = version;
                true
            }
            None => {
                self.versions.insert(topic.to_owned(), version);
                true
            }
        }
    }

    /// Asks Redis what has changed; `all`: from the start on.
    async fn look(&mut self, all: bool) -> Result<(), String> {
        loop {
            let (last, changes) = self.shared.memory.changed(self.changes).await?;
            let is_end = changes.is_empty();
            for change in changes {
                if change.bytes.is_empty() {
                    self.ended(&change.topic, change.version, all);
                } else if let Some((event, ..)) = packed::unpack(change.bytes)
                    && event.topic.as_str() == change.topic
                    && self.is_latest(&change.topic, change.version)
                {
                    self.told(event);
                }
            }
            self.changes = last;
            if is_end {
                return Ok(());
            }
        }
    }

    /// A state that the queue has brought already is only confirmed; one of our own that has no place yet gets it soon.
    fn told(&self, event: Event) {
        if self.shared.ledger.place_of(&event.id) != Place::Soon {
            self.shared.ledger.came(event, true, true);
        }
    }

    /// A state has ended. When all are told, those that aren't told have ended anyhow.
    fn ended(&mut self, topic: &str, version: u64, all: bool) {
        let Some(known) = self.versions.get(topic).copied().filter(|known| *known <= version) else { return };
        self.versions.remove(topic);
        if all || known == version {
            return;
        }
        let Ok(topic) = topic.parse() else { return };
        let (id, headers) = (EventId::generate(), headwater_event::Headers::none());
        let event = Event { id, topic, headers, payload: bytes::Bytes::new(), at: self.shared.clock.now() };
        self.shared.ledger.came(event, true, false);
    }
}
