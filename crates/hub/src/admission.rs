//! The one gate on the way in: who, may, size, rate, room. What it lets through is a [`Pass`]; nothing else is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headwater_event::{Event, Principal, ProducerId, Publication, Refusal, Topic};

use crate::access::{Access, is_of_logins, is_reserved};
use crate::limits::{Lane, Limits};
use crate::pace::Pace;
use crate::rate::Rates;

/// When a refused client may come again: by then the log has synced a few times, or it is overloaded for longer than a
/// client should notice.
const FULL_WAIT: Duration = Duration::from_millis(50);

/// Decides on everything that wants in.
pub(crate) struct Admission {
    limits: Limits,
    access: Access,
    rates: Rates<Principal>,
    pace: Pace,
    waiting: Arc<Waiting>,
    /// What is on its way in the lane.
    in_lane: Arc<Waiting>,
}

/// What is on its way to the disk.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

/// How much may be admitted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Events.
    pub events: usize,
    /// Bytes of payloads, topics and headers.
    pub bytes: usize,
}

/// A share of the room, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    waiting: Arc<Waiting>,
    events: usize,
    bytes: usize,
    /// A share of another room, given back with this one.
    _beside: Option<Box<Permit>>,
}

/// Events that were admitted, with their share of the room. Only this file makes one.
#[derive(Debug)]
pub(crate) struct Pass {
    batch: Vec<Publication>,
    permit: Permit,
}

/// Events that may be told to those who watch now. Only this file makes one.
#[derive(Debug)]
pub(crate) struct PassingPass {
    events: Vec<Event>,
}

/// A number that may be used up. Only this file makes one.
#[derive(Debug)]
pub(crate) struct UsePass {
    producer: ProducerId,
    number: u64,
    permit: Permit,
}

impl Admission {
    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn new(limits: Limits, access: Access) -> Self {
        let rates = Rates::new(limits.rate_events_per_s, limits.rate_burst_events);
        let pace = Pace::new(limits.waiting_events_max);
        Self { limits, access, rates, pace, waiting: Arc::default(), in_lane: Arc::default() }
    }

    /// What can be told before a payload has been read. Takes nothing: the answer may be another one a moment later.
    pub(crate) fn precheck(&self, who: &Principal, topic: &Topic, payload_len: usize) -> Result<(), Refusal> {
        self.access.may_publish(who, topic)?;
        self.check_size(payload_len)?;
        if let Some(lane) = self.lane_of(topic) {
            let room = self.in_lane.room(lane.events_max, lane.bytes_max);
            let has_room = room.events > 0 && room.bytes >= payload_len;
            return if has_room { Ok(()) } else { Err(Refusal::Full { wait: FULL_WAIT }) };
        }
        self.rates.check(who)?;
        let room = self.room();
        if room.events == 0 || room.bytes < payload_len {
            self.pace.full();
            return Err(Refusal::Full { wait: FULL_WAIT });
        }
        Ok(())
    }

    /// Lets a batch in, all or none.
    pub(crate) fn admit(&self, who: &Principal, batch: Vec<Publication>) -> Result<Pass, Refusal> {
        let (mut bytes, mut answers_logins) = (0, false);
        let mut checked: Option<&Topic> = None;
        for publication in &batch {
            let event = &publication.event;
            self.check_size(event.payload.len())?;
            // A batch is mostly of one topic: the rule is asked once for a run of them.
            if checked != Some(&event.topic) {
                self.access.may_publish(who, &event.topic)?;
                answers_logins |= is_of_logins(event.topic.as_str());
                checked = Some(&event.topic);
            }
            bytes += event.payload.len() + event.topic.text().as_bytes().len() + event.headers.as_stored().len();
        }
        let lane = batch.first().and_then(|first| self.lane_of(&first.event.topic));
        let lane = lane.filter(|_| batch.iter().all(|publication| self.lane_of(&publication.event.topic).is_some()));
        let permit = if let Some(lane) = lane {
            enter(&self.in_lane, lane.events_max, lane.bytes_max, batch.len(), bytes)?
        } else {
            // The room before the rate: a client that is refused because others fill the log has not used up its own rate.
            let permit = self.enter(batch.len(), bytes)?;
            self.rates.take(who, batch.len())?;
            permit
        };
        if answers_logins {
            self.access.hear(batch.iter().map(|publication| &publication.event));
        }
        Ok(Pass { batch, permit })
    }

    /// Lets events be told to those who watch now; the disk has nothing to do with them.
    pub(crate) fn admit_passing(
        &self,
        who: &Principal,
        events: Vec<Event>,
        has_room: bool,
    ) -> Result<PassingPass, Refusal> {
        let mut checked: Option<&Topic> = None;
        let mut answers_logins = false;
        for event in &events {
            self.check_size(event.payload.len())?;
            if checked != Some(&event.topic) {
                self.access.may_publish(who, &event.topic)?;
                answers_logins |= is_of_logins(event.topic.as_str());
                checked = Some(&event.topic);
            }
        }
        if !has_room {
            return Err(Refusal::Full { wait: FULL_WAIT });
        }
        self.rates.take(who, events.len())?;
        if answers_logins {
            self.access.hear(events.iter());
        }
        Ok(PassingPass { events })
    }

    /// Lets the hub's own events be told; those of clients' topics are left out.
    pub(crate) fn admit_own_passing(&self, mut events: Vec<Event>) -> PassingPass {
        events.retain(|event| is_reserved(event.topic.as_str()));
        PassingPass { events }
    }

    /// Lets in what the hub itself has to keep, on topics that are closed to clients. Nobody is refused here, as each part
    /// of the hub waits for its own word before it says the next; the room that it takes is counted.
    ///
    /// # Errors
    /// `NotAllowed` for any other topic: those are the clients', and enter by [`Admission::admit`].
    pub(crate) fn admit_own(&self, batch: Vec<Publication>) -> Result<Pass, Refusal> {
        let mut bytes = 0;
        for publication in &batch {
            let event = &publication.event;
            if !is_reserved(event.topic.as_str()) {
                return Err(Refusal::NotAllowed);
            }
            bytes += event.payload.len() + event.topic.as_str().len() + event.headers.as_stored().len();
        }
        let events = batch.len();
        self.waiting.events.fetch_add(events, Ordering::AcqRel);
        self.waiting.bytes.fetch_add(bytes, Ordering::AcqRel);
        Ok(Pass { batch, permit: Permit::new(&self.waiting, events, bytes) })
    }

    /// Lets a number be used up: it costs a record in the log, as an event without bytes.
    pub(crate) fn admit_use(&self, producer: ProducerId, number: u64) -> Result<UsePass, Refusal> {
        Ok(UsePass { producer, number, permit: self.enter(1, 0)? })
    }

    /// How much may be admitted now, beside the lane.
    pub(crate) fn room(&self) -> Room {
        let (events_max, bytes_max) = (self.limits.waiting_events_max, self.limits.waiting_bytes_max);
        self.waiting.room(self.pace.of(events_max), self.pace.of(bytes_max))
    }

    /// The lane, if this topic travels in it.
    fn lane_of(&self, topic: &Topic) -> Option<&Lane> {
        self.limits.lane.as_ref().filter(|lane| topic.as_str().starts_with(&lane.prefix))
    }

    pub(crate) const fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(crate) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    pub(crate) const fn access(&self) -> &Access {
        &self.access
    }

    fn check_size(&self, payload_len: usize) -> Result<(), Refusal> {
        if payload_len > self.limits.payload_max {
            return Err(Refusal::TooLarge { max: self.limits.payload_max });
        }
        Ok(())
    }

    fn enter(&self, events: usize, bytes: usize) -> Result<Permit, Refusal> {
        enter(&self.waiting, self.limits.waiting_events_max, self.limits.waiting_bytes_max, events, bytes)
    }
}

/// Takes a share of a room: one addition a batch for each count, taken back when it was one too many.
fn enter(
    waiting: &Arc<Waiting>,
    events_max: usize,
    bytes_max: usize,
    events: usize,
    bytes: usize,
) -> Result<Permit, Refusal> {
    if bytes > bytes_max {
        // Would never fit, however long one waits.
        return Err(Refusal::TooLarge { max: bytes_max });
    }
    if events > events_max {
        return Err(Refusal::Malformed(format!("a batch has at most {events_max} events")));
    }
    waiting.events.fetch_add(events, Ordering::AcqRel);
    waiting.bytes.fetch_add(bytes, Ordering::AcqRel);
    // From here on the drop of the permit takes back what was added, also when the answer is no.
    let permit = Permit::new(waiting, events, bytes);
    if waiting.events() > events_max || waiting.bytes() > bytes_max {
        return Err(Refusal::Full { wait: FULL_WAIT });
    }
    Ok(permit)
}

impl Waiting {
    /// How much fits beside what is on its way.
    fn room(&self, events_max: usize, bytes_max: usize) -> Room {
        Room { events: events_max.saturating_sub(self.events()), bytes: bytes_max.saturating_sub(self.bytes()) }
    }

    /// Events on their way to the disk.
    pub(crate) fn events(&self) -> usize {
        self.events.load(Ordering::Acquire)
    }

    /// Bytes on their way to the disk.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }
}

impl Permit {
    /// Stands for what was added to the counts of this room.
    fn new(waiting: &Arc<Waiting>, events: usize, bytes: usize) -> Self {
        Self { waiting: Arc::clone(waiting), events, bytes, _beside: None }
    }

    /// How many events it stands for.
    pub(crate) const fn events(&self) -> usize {
        self.events
    }

    /// How many bytes they have.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.waiting.events.fetch_sub(self.events, Ordering::AcqRel);
        self.waiting.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Pass {
    /// This and what the hub itself adds to it, as one batch.
    pub(crate) fn and(mut self, own: Self) -> Self {
        let Self { batch, permit } = own;
        self.batch.extend(batch);
        self.permit._beside = Some(Box::new(permit));
        self
    }

    /// The events as they were admitted, to be stamped before they enter.
    pub(crate) fn publications(&mut self) -> impl Iterator<Item = &mut Publication> {
        self.batch.iter_mut()
    }

    pub(crate) fn redeem(self) -> (Vec<Publication>, Permit) {
        (self.batch, self.permit)
    }
}

impl PassingPass {
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn events(&mut self) -> impl Iterator<Item = &mut Event> {
        self.events.iter_mut()
    }

    /// Leaves out what others take.
    pub(crate) fn keep(&mut self, is_kept: impl FnMut(&Event) -> bool) {
        self.events.retain(is_kept);
    }

    pub(crate) fn redeem(self) -> Vec<Event> {
        self.events
    }
}

impl UsePass {
    pub(crate) fn redeem(self) -> (ProducerId, u64, Permit) {
        (self.producer, self.number, self.permit)
    }
}
