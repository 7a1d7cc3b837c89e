//! The way out: a group over the log, whose deliveries the broker settles by acknowledging them.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use headwater_event::{
    BusError, Delivery, Event, GroupName, GroupOptions, Headers, Member, Refusal, Seq, Settlement, Start, Tag, Text,
    Time,
};

use super::home::Home;
use super::intake::Side;
use super::settings::{BridgeSettings, group_name};
use super::stamps::{self, Stamps, is_stamp};
use super::told::{Counts, Told, Way};
use crate::mqtt::packet::{Dialect, Properties, Publish, meaning};
use crate::mqtt::spelling;
use crate::mqtt::wire::Wire;
use crate::mqtt::write::write_publish;

/// How many events may be under way to the broker: it says itself how many it takes, in MQTT 5.
const IN_FLIGHT_MAX: usize = 128;

/// What only Headwater's MQTT edge knows of an event: the QoS that it came with, and by whom. Neither goes with it.
const NOT_SENT: &[&str] = &["mqtt-qos", "mqtt-from", "event-id", "event-time"];

/// Begins the name of a header that was a user property of a name that means something else here.
const USER: &str = "mqtt-user-";

/// How long what is sent may wait for its acknowledgement until somebody else may send it: nobody else does, so this is only
/// for a process that was frozen. It is renewed while we live.
const LEASE: std::time::Duration = std::time::Duration::from_secs(60);

/// An event that is under way.
struct Sending {
    delivery: Delivery,
    packet_id: u16,
}

/// An event that is to be sent.
struct Waiting {
    delivery: Delivery,
    /// It was sent under this packet id, on a connection that broke.
    sent_as: Option<u16>,
}

/// What is sent of an event.
enum Spelled {
    Send(Box<Publish>),
    Returning,
    Expired,
    Dead(String),
}

/// The way out.
pub(super) struct Outbound {
    settings: Arc<BridgeSettings>,
    home: Arc<dyn Home>,
    told: Arc<Told>,
    member: Option<Box<dyn Member>>,
    waiting: VecDeque<Waiting>,
    sending: VecDeque<Sending>,
    settled: Vec<(Tag, Settlement)>,
    last_id: u16,
    window: usize,
    packet_len_max: usize,
}

impl Outbound {
    pub(super) fn new(settings: Arc<BridgeSettings>, home: Arc<dyn Home>, told: Arc<Told>) -> Self {
        Self {
            settings,
            home,
            told,
            member: None,
            waiting: VecDeque::new(),
            sending: VecDeque::new(),
            settled: Vec::new(),
            last_id: 0,
            window: IN_FLIGHT_MAX,
            packet_len_max: usize::MAX,
        }
    }

    /// Whether there is something to send, and nobody who fetches it yet.
    pub(super) fn is_to_join(&self) -> bool {
        self.member.is_none() && !self.settings.outgoing.is_empty()
    }

    /// Whether the bridge may still watch what it sends; what it holds is given back if not.
    ///
    /// # Errors
    /// Which filter it may not watch, in words.
    pub(super) fn check_rights(&mut self) -> Result<(), String> {
        for filter in self.settings.local_filters() {
            if self.home.may_watch(&filter).is_err() {
                self.give_back();
                return Err(format!("the rules don't let `bridge/{}` watch `{filter}`", self.settings.name));
            }
        }
        Ok(())
    }

    fn give_back(&mut self) {
        self.flush();
        self.member = None;
        self.waiting.clear();
        // What is under way may be acknowledged or not: it comes again from the log.
        self.sending.clear();
    }

    /// Becomes the group's one member. A group whose filters are no longer those of the settings is made anew, from where
    /// the old one stood.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) async fn join(&mut self) -> Result<(), String> {
        self.check_rights()?;
        let filters = self.settings.local_filters();
        // The name was checked.
        let Some(group) = group_name(&self.settings.name) else { return Ok(()) };
        let start = self.begin(&group).await.map_err(|refusal| format!("its group can't be changed: {refusal}"))?;
        let options = GroupOptions {
            start,
            in_flight_max: IN_FLIGHT_MAX,
            lease: LEASE,
            // What the broker never takes is told by its reason; what it doesn't answer is sent for as long as it takes.
            attempts_max: 0,
            ..GroupOptions::new(filters.clone())
        };
        let member = self.home.join(&filters, &group, options).await;
        self.member = Some(member.map_err(|refusal| format!("its group can't be joined: {refusal}"))?);
        Ok(())
    }

    async fn begin(&mut self, group: &GroupName) -> Result<Start, Refusal> {
        let new = if self.settings.from_oldest { Start::Oldest } else { Start::Now };
        let Some(standing) = self.home.standing(group) else { return Ok(new) };
        let (mut before, mut now) = (standing.filters, self.settings.local_filters());
        before.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        now.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        if before == now {
            return Ok(new);
        }
        let (name, seq) = (&self.settings.name, standing.settled.seq);
        tracing::info!("bridge {name}: what it sends has changed; it goes on behind event {seq} by the new filters");
        if standing.dead > 0 {
            tracing::warn!("bridge {name}: {} dead letters of the old filters are forgotten", standing.dead);
        }
        self.home.end_group(group).await?;
        Ok(Start::After(seq))
    }

    /// A new connection stands: what was not acknowledged is sent again, first.
    pub(super) fn begin_connection(&mut self, is_present: bool, receive_maximum: u16, packet_len_max: u32) {
        while let Some(Sending { delivery, packet_id }) = self.sending.pop_back() {
            self.waiting.push_front(Waiting { delivery, sent_as: is_present.then_some(packet_id) });
        }
        if !is_present {
            self.waiting.iter_mut().for_each(|waiting| waiting.sent_as = None);
        }
        self.window = usize::from(receive_maximum).min(IN_FLIGHT_MAX);
        self.packet_len_max = packet_len_max as usize;
    }

    /// The next deliveries, as many as there is room for.
    pub(super) async fn next(&mut self) -> Result<Vec<Delivery>, BusError> {
        let room = IN_FLIGHT_MAX.saturating_sub(self.waiting.len() + self.sending.len());
        match &mut self.member {
            Some(member) if room > 0 => member.next(room).await,
            _ => pending().await,
        }
    }

    /// Takes them up.
    pub(super) fn take(&mut self, result: Result<Vec<Delivery>, BusError>) {
        match result {
            Ok(deliveries) => {
                for delivery in deliveries {
                    // A lease that ran out while this process stood still: it is here already, by its earlier attempt.
                    if let Some(held) = self.held(delivery.recorded.position.seq) {
                        *held = delivery;
                    } else {
                        self.waiting.push_back(Waiting { delivery, sent_as: None });
                    }
                }
            }
            Err(BusError::Gone { oldest }) => {
                let name = &self.settings.name;
                tracing::error!(
                    "bridge {name}: retention has freed events that were not sent; it goes on after {oldest}"
                );
            }
            Err(error) => {
                self.told.hindered(Way::Out, Some(format!("its group can't be read: {error}")));
                self.give_back();
            }
        }
    }

    fn held(&mut self, seq: Seq) -> Option<&mut Delivery> {
        let waiting = self.waiting.iter_mut().map(|waiting| &mut waiting.delivery);
        let mut all = waiting.chain(self.sending.iter_mut().map(|sending| &mut sending.delivery));
        all.find(|delivery| delivery.recorded.position.seq == seq)
    }

    /// Writes what waits, as far as there is room.
    pub(super) fn send(&mut self, side: &Side, dialect: Dialect, wire: &mut Wire) {
        let now = self.home.now();
        while self.sending.len() < self.window && wire.has_room() {
            let Some(Waiting { delivery, sent_as }) = self.waiting.pop_front() else { break };
            let tag = delivery.tag();
            match spell(&delivery, &self.settings, side, now) {
                Spelled::Send(mut publish) => {
                    if publish.qos > 0 {
                        publish.packet_id = sent_as.unwrap_or_else(|| self.next_id());
                        publish.is_again = sent_as.is_some();
                    }
                    let len = write_publish(&publish, dialect, &mut wire.out);
                    if len > self.packet_len_max {
                        wire.out.truncate(wire.out.len() - len);
                        let why =
                            format!("it has {len} bytes, and the broker takes {} at the most", self.packet_len_max);
                        self.die(tag, why);
                    } else if publish.qos > 0 {
                        self.sending.push_back(Sending { delivery, packet_id: publish.packet_id });
                    } else {
                        Counts::add(&self.told.counts.sent, 1);
                        self.settled.push((tag, Settlement::Done));
                    }
                }
                Spelled::Returning => {
                    Counts::add(&self.told.counts.returning, 1);
                    self.settled.push((tag, Settlement::Done));
                }
                Spelled::Expired => {
                    Counts::add(&self.told.counts.expired, 1);
                    self.settled.push((tag, Settlement::Done));
                }
                Spelled::Dead(why) => self.die(tag, why),
            }
        }
        self.flush();
    }

    /// The broker has an event, or refuses it.
    pub(super) fn acknowledged(&mut self, packet_id: u16, reason: u8) {
        let Some(at) = self.sending.iter().position(|sending| sending.packet_id == packet_id) else { return };
        let Some(Sending { delivery, .. }) = self.sending.remove(at) else { return };
        let tag = delivery.tag();
        if reason < 0x80 {
            Counts::add(&self.told.counts.sent, 1);
            self.settled.push((tag, Settlement::Done));
        } else if is_passing(reason) {
            let why = format!("the broker says: {}", meaning(reason));
            self.settled.push((tag, Settlement::Retry { after: None, why }));
        } else {
            self.die(tag, format!("the broker refuses it: {}", meaning(reason)));
        }
    }

    fn die(&mut self, tag: Tag, why: String) {
        let count = &self.told.counts.refused_there;
        if count.load(Ordering::Relaxed) == 0 {
            let name = &self.settings.name;
            tracing::warn!("bridge {name}: event {} is a dead letter: {why} (`headwater dead` lists them)", tag.seq);
        }
        Counts::add(count, 1);
        self.settled.push((tag, Settlement::Dead { why }));
    }

    /// Tells the log what became of deliveries. It takes effect with the call, and nobody here waits for the disk: what it
    /// had not yet kept at a crash is sent once more.
    fn flush(&mut self) {
        if let Some(member) = self.member.as_mut().filter(|_| !self.settled.is_empty()) {
            drop(member.settle(std::mem::take(&mut self.settled)));
        }
        self.settled.clear();
    }

    /// Says that we are still at it.
    pub(super) fn renew(&mut self) {
        let Some(member) = &mut self.member else { return };
        let waiting = self.waiting.iter().map(|waiting| waiting.delivery.tag());
        let tags: Vec<Tag> = waiting.chain(self.sending.iter().map(|sending| sending.delivery.tag())).collect();
        member.renew(&tags);
    }

    /// How often.
    pub(super) const fn renew_every() -> std::time::Duration {
        // A third of the lease, as every worker does.
        std::time::Duration::from_secs(LEASE.as_secs() / 3)
    }

    fn next_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            let id = self.last_id;
            let is_taken = self.sending.iter().any(|sending| sending.packet_id == id)
                || self.waiting.iter().any(|waiting| waiting.sent_as == Some(id));
            if !is_taken {
                return id;
            }
        }
    }
}

/// Whether a refusal is about the moment and not about the event.
const fn is_passing(reason: u8) -> bool {
    // An unspecified error, an implementation's own, too busy, over a quota.
    matches!(reason, 0x80 | 0x83 | 0x89 | 0x97)
}

fn spell(delivery: &Delivery, settings: &BridgeSettings, side: &Side, now: Time) -> Spelled {
    let event = &delivery.recorded.event;
    let stamps = Stamps::of(event);
    let was_there = stamps.origin.is_some() && stamps.origin == side.remote;
    if was_there || stamps.via.as_deref() == Some(&settings.name) || stamps.hops >= settings.hops_max {
        return Spelled::Returning;
    }
    let mapped = settings.outgoing.iter().find_map(|mapping| Some((mapping.to_remote(event.topic.as_str())?, mapping)));
    let (topic, qos) = match mapped {
        Some((Ok(topic), mapping)) => (topic, mapping.qos()),
        Some((Err(error), _)) => return Spelled::Dead(format!("its topic can't be one on the other side: {error}")),
        // The group had other filters when this was handed out.
        None => return Spelled::Returning,
    };
    if topic.as_str().starts_with('$') {
        return Spelled::Dead(format!("`{topic}` belongs to the broker itself"));
    }
    let mut properties = properties(event, &stamps, side);
    if let Some(expiry) = &mut properties.expiry {
        let waited = u32::try_from(now.since(event.at).as_secs()).unwrap_or(u32::MAX);
        match expiry.checked_sub(waited).filter(|left| *left > 0) {
            Some(left) => *expiry = left,
            None => return Spelled::Expired,
        }
    }
    Spelled::Send(Box::new(Publish {
        qos,
        is_retained: delivery.recorded.sticky,
        topic: topic.text().clone(),
        properties,
        payload: event.payload.clone(),
        ..Publish::default()
    }))
}

/// The event's headers as they came in, behind its name and what bridges say of it.
fn properties(event: &Event, stamps: &Stamps, side: &Side) -> Properties {
    let mut properties = spelling::properties(&event.headers);
    properties.user.retain(|(name, _)| !is_stamp(name) && !NOT_SENT.contains(&name.as_str()));
    for (name, _) in &mut properties.user {
        if let Some(plain) = name.as_str().strip_prefix(USER).filter(|plain| !plain.is_empty()) {
            *name = Text::from(plain);
        }
    }
    let ours = [
        ("event-id", event.id.to_string()),
        (stamps::ORIGIN, stamps.origin.unwrap_or(side.own).to_string()),
        (stamps::HOPS, stamps.hops.saturating_add(1).to_string()),
    ];
    properties.user.splice(0..0, ours.into_iter().map(|(name, value)| (Text::from_static(name), Text::from(value))));
    debug_assert!(Headers::LEN_MAX < usize::from(u16::MAX), "each fits behind a length of two bytes");
    properties
}
