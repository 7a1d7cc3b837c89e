//! What a handler sees: its transaction, and what leaves with the commit.

use headwater_event::{Event, Publication, Time};

use crate::body::Body;
use crate::effects::{
    ARRIVED_PER_CALL_MAX, Effects, PUBLISHED_BYTES_PER_CALL_MAX, PUBLISHED_PER_CALL_MAX, TIMERS_PER_CALL_MAX,
    TimerChange,
};
use crate::failure::Failure;
use crate::ids::{Cause, Namer};
use crate::outgoing::{Outgoing, PAYLOAD_LEN_MAX};
use crate::reply;
use crate::service::Service;
use crate::store::{Engine, Row, Statement, StoreError, Value};

/// The longest key of a timer and the longest name of what an event waits for, in bytes: both stand in an index.
pub(crate) const KEY_LEN_MAX: usize = 512;

/// A handler's transaction: what it changes and publishes happens once per event, or not at all.
///
/// A statement that fails is final: whatever the handler gives afterwards, its changes are undone.
pub struct Tx<'a> {
    engine: Engine<'a>,
    service: &'a Service,
    namer: &'a Namer,
    cause: Cause,
    now: Time,
    effects: Effects,
    /// How many ids were made from the cause.
    named: u32,
    /// The first failure of a statement.
    broken: Option<StoreError>,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(engine: Engine<'a>, service: &'a Service, namer: &'a Namer, cause: Cause, now: Time) -> Self {
        Self { engine, service, namer, cause, now, effects: Effects::default(), named: 0, broken: None }
    }

    /// What was asked for, and the failure that no handler can undo.
    pub(crate) fn into_parts(self) -> (Effects, Option<StoreError>) {
        (self.effects, self.broken)
    }
}

impl Tx<'_> {
    /// The moment of this call, by the clock of the service.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Carries out a statement; gives how many rows it touched.
    ///
    /// # Errors
    /// `Retry` when the store is at fault, `Dead` when the statement is, or a rule of the tables says no.
    pub async fn execute(&mut self, statement: &Statement, params: &[Value]) -> Result<u64, Failure> {
        let result = self.engine.execute(statement, params).await;
        self.checked(result)
    }

    /// All rows of an answer.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute).
    pub async fn query(&mut self, statement: &Statement, params: &[Value]) -> Result<Vec<Row>, Failure> {
        let result = self.engine.query(statement, params).await;
        self.checked(result)
    }

    /// The first row of an answer, if there's one.
    ///
    /// # Errors
    /// As for [`execute`](Self::execute).
    pub async fn query_opt(&mut self, statement: &Statement, params: &[Value]) -> Result<Option<Row>, Failure> {
        Ok(self.query(statement, params).await?.into_iter().next())
    }

    /// Publishes an event with the commit.
    ///
    /// # Errors
    /// `Dead` when the service doesn't declare this topic ([`Service::publishes`](crate::Service::publishes)), or one call
    /// publishes too much.
    pub fn publish(&mut self, out: Outgoing) -> Result<(), Failure> {
        if !self.service.may_publish(out.topic.as_str()) {
            return Err(Failure::dead(format!("{} doesn't declare to publish on {}", self.service.name, out.topic)));
        }
        self.put_out(out)
    }

    /// Answers a request with the commit: on the topic that it names (`mqtt-response-topic` or `reply-to`), with its
    /// correlation, in its format. Does nothing when it wants no answer.
    ///
    /// # Errors
    /// `Dead` when it wants the answer where answers aren't allowed ([`Service::replies`](crate::Service::replies)).
    pub fn reply(&mut self, to: &Event, body: Body) -> Result<(), Failure> {
        let Some(answer) = reply::to(to, body)? else { return Ok(()) };
        if !self.service.may_reply(answer.topic.as_str()) {
            return Err(Failure::dead(format!("{} doesn't send answers to {}", self.service.name, answer.topic)));
        }
        self.put_out(answer)
    }

    /// Says that something is there now: after this commit, what is put aside as `Failure::Early` and waits for it comes again.
    /// What is forgotten here is looked for again now and then until its deadline.
    pub fn arrived(&mut self, cause: &str) {
        if self.effects.arrived.len() < ARRIVED_PER_CALL_MAX {
            self.effects.arrived.push(cause.to_owned());
        }
    }

    /// Calls the handler of these timers at that moment or soon after it, also after a restart. Replaces the timer of the same
    /// name and key.
    ///
    /// # Errors
    /// `Dead` when no handler is registered for this name, or key or payload are too long.
    pub fn set_timer(&mut self, name: &'static str, key: &str, due: Time, payload: Vec<u8>) -> Result<(), Failure> {
        let Some((name, _)) = self.service.timer(name) else {
            return Err(Failure::dead(format!("{} has no handler for timers named {name}", self.service.name)));
        };
        if key.len() > KEY_LEN_MAX || payload.len() > PAYLOAD_LEN_MAX {
            return Err(Failure::dead(format!("the timer {name} has a key or a payload that is too long")));
        }
        let ordinal = self.next_ordinal().to_be_bytes();
        let origin = self.namer.named(&[b"timer", &self.cause.mark, &ordinal], due).mark;
        self.change_timer(TimerChange::Set { name, key: key.to_owned(), due, payload, origin })
    }

    /// Takes a timer back; nothing happens when there's none.
    pub fn clear_timer(&mut self, name: &'static str, key: &str) {
        // One call too many is a failure of `set_timer`; to clear fewer than was asked would leave one that fires.
        let cleared = self.change_timer(TimerChange::Clear { name, key: key.to_owned() });
        if let Err(Failure::Dead { why }) = cleared {
            self.broken.get_or_insert(StoreError::Statement(why));
        }
    }

    fn put_out(&mut self, out: Outgoing) -> Result<(), Failure> {
        let effects = &mut self.effects;
        effects.outgoing_bytes += out.payload.len();
        if effects.outgoing.len() >= PUBLISHED_PER_CALL_MAX || effects.outgoing_bytes > PUBLISHED_BYTES_PER_CALL_MAX {
            return Err(Failure::dead(format!(
                "one call published more than {PUBLISHED_PER_CALL_MAX} events or {PUBLISHED_BYTES_PER_CALL_MAX} bytes"
            )));
        }
        let ordinal = self.next_ordinal();
        let id = self.namer.id(&self.cause, ordinal);
        let Outgoing { topic, headers, payload, sticky } = out;
        let event = Event { id, topic, headers, payload, at: self.now };
        self.effects.outgoing.push(Publication { event, sticky });
        Ok(())
    }

    fn change_timer(&mut self, change: TimerChange) -> Result<(), Failure> {
        if self.effects.timers.len() >= TIMERS_PER_CALL_MAX {
            return Err(Failure::dead(format!("one call changed more than {TIMERS_PER_CALL_MAX} timers")));
        }
        self.effects.timers.push(change);
        Ok(())
    }

    fn next_ordinal(&mut self) -> u32 {
        let ordinal = self.named;
        self.named += 1;
        ordinal
    }

    fn checked<T>(&mut self, result: Result<T, StoreError>) -> Result<T, Failure> {
        result.map_err(|error| {
            self.broken.get_or_insert_with(|| error.clone());
            error.into()
        })
    }
}
