//! What came from the broker as events of ours, and which of it has come before.
//!
//! A publication that says what event it is (MQTT 5: a Headwater, or whoever wrote `event-id`) keeps that name, and the log
//! knows a copy. For the rest there is the packet id: a publication without the DUP flag is new for certain; one with it is
//! the event that came under this packet id in this session, if it looks the same, and the broker can't have given the number
//! to another meanwhile: as it has not read our acknowledgement yet, or as it was seen to count on rather than to use again
//! what is free. (The latter is for a broker that crashed and forgot what it had read.)

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use headwater_event::{Epoch, Event, EventId, Headers, Publication, Recorded, Text, Time};
use siphasher::sip::SipHasher13;
use uuid::Uuid;

use super::record::{self, Entry, Record, SLOTS, Standing, Subscribed};
use super::settings::BridgeSettings;
use super::stamps::{self, Stamps, is_stamp};
use crate::mqtt::packet::Publish;
use crate::mqtt::spelling;

/// The producer's name for an event.
const EVENT_ID: &str = "event-id";
/// What an engine's link writes beside it.
const EVENT_TIME: &str = "event-time";
/// What a Headwater says of an event that it is asked about: attempt, time and id.
const TOLD: &str = "headwater-told";

/// How many packets are remembered in memory: there are no more ids for them.
const ENTRIES_MAX: usize = 65_535;

/// What becomes of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is this event; with what is to be remembered of its packet id.
    Take(Box<Publication>, Option<Entry>),
    /// It was here before it came, or has come too far.
    Returning,
    /// It can't be an event here.
    Refused(String),
    /// Nobody wants it: a subscription of before.
    Unwanted,
}

/// Knows events by their packets.
pub(super) struct Intake {
    session: u128,
    /// The number of the latest batch, over all sessions.
    batch: u64,
    next: u64,
    reuses: bool,
    /// The broker was seen to pass over a packet id that was free.
    counts_on: bool,
    /// Some packet id was used on this connection and is free again.
    has_freed: bool,
    /// How many acknowledgements were written.
    written: u64,
    /// By their numbers.
    entries: BTreeMap<u64, Entry>,
    /// The latest number that came by each packet id.
    latest: HashMap<u16, u64>,
    /// Some are left of which it's unknown whether the broker needs them.
    has_before: bool,
    subscribed: Option<Subscribed>,
}

impl Intake {
    /// As far as it was noted.
    pub(super) fn recalled(notes: &[Recorded]) -> Self {
        let (records, subscribed) = record::recalled(notes);
        let mut intake = Self {
            session: 0,
            batch: 0,
            next: 0,
            reuses: false,
            counts_on: false,
            has_freed: false,
            written: 0,
            entries: BTreeMap::new(),
            latest: HashMap::new(),
            has_before: true,
            subscribed,
        };
        for record in records {
            (intake.session, intake.batch, intake.next) = (record.session, record.batch, record.next);
            intake.reuses |= record.reuses;
            intake.entries.extend(record.entries.into_iter().map(|entry| (entry.number, entry)));
        }
        intake.latest = intake.entries.values().map(|entry| (entry.packet_id, entry.number)).collect();
        intake
    }

    /// The broker knew no session of ours: what came before can't come again. Gives the note of that, which must be durable
    /// before anything of the new session is taken.
    pub(super) fn begin_session(&mut self) -> Record {
        self.session = Uuid::new_v4().as_u128();
        (self.next, self.reuses, self.subscribed) = (0, false, None);
        (self.counts_on, self.has_freed) = (false, false);
        self.entries.clear();
        self.latest.clear();
        self.record(Vec::new())
    }

    /// What the broker has subscribed us to, as far as we know.
    pub(super) fn subscribed(&self) -> &[(String, u8)] {
        self.subscribed.as_ref().map_or(&[], |subscribed| &subscribed.filters)
    }

    /// From now on it is this; to be noted.
    pub(super) fn subscribe(&mut self, filters: Vec<(String, u8)>) -> &Subscribed {
        self.subscribed.insert(Subscribed { session: self.session, filters })
    }

    /// The record of the next batch. It stands in the place of an older one, so what of that may still come again is written
    /// once more.
    pub(super) fn record(&mut self, mut entries: Vec<Entry>) -> Record {
        self.batch += 1;
        let batch = self.batch;
        for entry in &mut entries {
            entry.batch = batch;
            if let Some(known) = self.entries.get_mut(&entry.number) {
                known.batch = batch;
            }
        }
        for known in self.entries.values_mut().filter(|known| !known.standing.is_free()) {
            if known.batch + SLOTS <= batch {
                known.batch = batch;
                entries.push(*known);
            }
        }
        self.entries.retain(|_, entry| !entry.standing.is_free() || entry.batch + SLOTS > batch);
        while self.entries.len() > ENTRIES_MAX {
            self.entries.pop_first();
        }
        Record { session: self.session, batch: self.batch, next: self.next, reuses: self.reuses, entries }
    }

    /// The record of a batch was not written, for all that we know.
    pub(super) fn not_written(&mut self, batch: u64) {
        for entry in self.entries.values_mut().filter(|entry| entry.batch == batch) {
            entry.batch = batch.saturating_sub(SLOTS);
        }
    }

    /// This one was not taken after all.
    pub(super) fn forget(&mut self, number: u64) {
        self.entries.remove(&number);
    }

    /// A new connection: what was written on an earlier one, the broker has read or never will.
    pub(super) fn begin_connection(&mut self) {
        for entry in self.entries.values_mut() {
            entry.standing = if entry.standing.is_free() { Standing::Past } else { Standing::Before };
        }
        (self.has_before, self.has_freed) = (true, false);
    }

    /// The acknowledgement of what came by this packet id is written.
    pub(super) fn acknowledged(&mut self, packet_id: u16) {
        self.written += 1;
        let written = self.written;
        if let Some(entry) = self.known(packet_id).filter(|entry| !entry.standing.is_free()) {
            entry.standing = Standing::Written(written);
        }
    }

    /// What came last by a packet id.
    fn known(&mut self, packet_id: u16) -> Option<&mut Entry> {
        self.entries.get_mut(self.latest.get(&packet_id)?)
    }

    /// How many acknowledgements were written.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// The broker has read so many of the acknowledgements.
    pub(super) fn confirm(&mut self, written: u64) {
        for entry in self.entries.values_mut() {
            if matches!(entry.standing, Standing::Written(number) if number <= written) {
                entry.standing = Standing::Read;
                self.has_freed = true;
            }
        }
    }

    /// Something came that never came before. What comes again comes before all that is new (MQTT 5, 4.6), so what hasn't come
    /// again by now was read. And who uses a packet id twice on one connection doesn't count on. (On another one it proves
    /// nothing: a broker that was killed begins again where it had saved.)
    fn came_new(&mut self, packet_id: u16) {
        if std::mem::take(&mut self.has_before) {
            for entry in self.entries.values_mut().filter(|entry| entry.standing == Standing::Before) {
                entry.standing = Standing::Past;
            }
        }
        self.reuses |= self.known(packet_id).is_some_and(|known| known.standing != Standing::Past);
    }

    /// Whether the broker is known to have a packet id free, now that something is heard.
    pub(super) const fn has_freed(&self) -> bool {
        self.has_freed
    }

    /// What this publication is; `has_freed` as it was when it was heard.
    pub(super) fn judge(
        &mut self,
        publish: &Publish,
        has_freed: bool,
        settings: &BridgeSettings,
        home: &Side,
        now: Time,
    ) -> Judged {
        if publish.packet_id > 0 && !publish.is_again {
            self.came_new(publish.packet_id);
        }
        let Some(topic) = settings.incoming.iter().find_map(|mapping| mapping.to_local(&publish.topic)) else {
            return Judged::Unwanted;
        };
        let topic = match topic {
            Ok(topic) => topic,
            Err(error) => return Judged::Refused(error.to_string()),
        };
        let stamps = Stamps::among(&publish.properties.user);
        if stamps.origin == Some(home.own) || stamps.hops >= settings.hops_max {
            return Judged::Returning;
        }
        let user = &publish.properties.user;
        let told = user.first().filter(|(name, _)| name.as_str() == TOLD);
        let told = told.and_then(|(_, told)| EventId::from_text(Text::from(told.splitn(3, ' ').nth(2)?)).ok());
        let named = user.iter().find(|(name, _)| name.as_str() == EVENT_ID).map(|(_, id)| id.detached());
        let (id, entry) = match told.or_else(|| named.and_then(|id| EventId::from_text(id).ok())) {
            Some(id) => (id, None),
            None => self.id_of(publish, has_freed),
        };
        let event =
            Event { id, topic, headers: headers(publish, &stamps, settings, home), payload: payload(publish), at: now };
        Judged::Take(Box::new(Publication { event, sticky: publish.is_retained }), entry)
    }

    /// The id of what nobody named.
    fn id_of(&mut self, publish: &Publish, has_freed: bool) -> (EventId, Option<Entry>) {
        let packet_id = publish.packet_id;
        if packet_id == 0 {
            return (EventId::Uuid(Uuid::now_v7()), None);
        }
        let digest = digest(publish);
        let (counts_on, reuses) = (self.counts_on, self.reuses);
        match self.known(packet_id) {
            Some(known) => {
                let is_still_its = !known.standing.is_free() || counts_on;
                if publish.is_again && known.digest == digest && is_still_its && !reuses {
                    known.standing = Standing::Open;
                    let known = *known;
                    return (self.id(known.number), Some(known));
                }
            }
            None => self.counts_on |= has_freed && self.has_freed && !publish.is_again,
        }
        let number = self.next;
        self.next += 1;
        let entry = Entry { batch: u64::MAX - SLOTS, packet_id, digest, number, standing: Standing::Open };
        self.entries.insert(number, entry);
        self.latest.insert(packet_id, number);
        (self.id(number), Some(entry))
    }

    fn id(&self, number: u64) -> EventId {
        // The session is a random UUID; its last 62 bits are free.
        EventId::Uuid(Uuid::from_u128(self.session ^ u128::from(number & (u64::MAX >> 2))))
    }
}

/// Which logs stand on the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    /// Ours.
    pub own: Epoch,
    /// The other one's, where it is a Headwater that said so.
    pub remote: Option<Epoch>,
}

fn payload(publish: &Publish) -> Bytes {
    // A copy keeps no read buffer alive.
    Bytes::copy_from_slice(&publish.payload)
}

/// Its headers, with our stamps first: what is too much is left out from the end.
fn headers(publish: &Publish, stamps: &Stamps, settings: &BridgeSettings, home: &Side) -> Headers {
    // What a plain broker says began with us, as far as other hubs are concerned.
    let origin = stamps.origin.or(home.remote).unwrap_or(home.own);
    let ours = [
        (stamps::ORIGIN, origin.to_string()),
        // This is a bridge, too: whoever fetches from hub to hub would otherwise have come no way.
        (stamps::HOPS, stamps.hops.saturating_add(1).to_string()),
        (stamps::VIA, settings.name.clone()),
    ];
    let ours: Vec<(Text, Text)> =
        ours.into_iter().map(|(name, value)| (Text::from_static(name), Text::from(value))).collect();
    let passed_on =
        |(name, _): &&(Text, Text)| !is_stamp(name) && ![TOLD, EVENT_ID, EVENT_TIME].contains(&name.as_str());
    let user = ours.iter().chain(publish.properties.user.iter().filter(passed_on));
    spelling::headers(&publish.properties, user, false)
}

/// Of all that a copy has in common: not the DUP flag, and not what is left of its time.
fn digest(publish: &Publish) -> u64 {
    let mut hasher = SipHasher13::new();
    publish.topic.as_bytes().hash(&mut hasher);
    publish.is_retained.hash(&mut hasher);
    publish.payload[..].hash(&mut hasher);
    let properties = &publish.properties;
    properties.format.hash(&mut hasher);
    properties.correlation.as_deref().hash(&mut hasher);
    for text in [&properties.response_topic, &properties.content_type] {
        text.as_ref().map(Text::as_bytes).hash(&mut hasher);
    }
    for (name, value) in &properties.user {
        (name.as_bytes(), value.as_bytes()).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::settings::{HOPS_MAX, Mapping, Version};
    use super::*;

    const SIDE: Side = Side { own: 7, remote: None };

    fn settings() -> BridgeSettings {
        BridgeSettings {
            name: "b".into(),
            place: "mqtt://b:1883".into(),
            version: Version::V5,
            client_id: "c".into(),
            user: None,
            outgoing: vec![],
            incoming: vec![Mapping::new("#", "far/", "", 1).unwrap()],
            hops_max: HOPS_MAX,
            from_oldest: false,
        }
    }

    fn publish(packet_id: u16, is_again: bool, payload: &'static str) -> Publish {
        Publish {
            packet_id,
            is_again,
            qos: u8::from(packet_id > 0),
            topic: "a".into(),
            payload: payload.into(),
            ..Publish::default()
        }
    }

    fn id(intake: &mut Intake, publish: &Publish) -> EventId {
        let has_freed = intake.has_freed();
        match intake.judge(publish, has_freed, &settings(), &SIDE, Time(1)) {
            Judged::Take(publication, _) => publication.event.id,
            other => panic!("{other:?}"),
        }
    }

    fn fresh() -> (Intake, Vec<Recorded>) {
        let mut intake = Intake::recalled(&[]);
        let first = intake.begin_session();
        (intake, vec![kept(&first)])
    }

    fn kept(record: &Record) -> Recorded {
        let Publication { event, sticky } = record.note("b").unwrap();
        Recorded { position: headwater_event::Position::new(1, 1), event, sticky }
    }

    /// The broker has read the acknowledgements of these.
    fn read_up_to_now(intake: &mut Intake, packet_ids: std::ops::RangeInclusive<u16>) {
        packet_ids.rev().for_each(|packet_id| intake.acknowledged(packet_id));
        intake.confirm(intake.written());
    }

    #[test]
    fn what_waits_for_its_acknowledgement_since_an_earlier_connection_is_known_whatever_the_broker_has_read_of_this_one()
     {
        let (mut intake, mut notes) = fresh();
        let events = [1, 2, 3].map(|packet_id| id(&mut intake, &publish(packet_id, false, "x")));
        let entries = intake.entries.values().copied().collect();
        notes.push(kept(&intake.record(entries)));
        for mut intake in [intake, Intake::recalled(&notes)] {
            intake.begin_connection();
            assert_eq!(id(&mut intake, &publish(1, true, "x")), events[0]);
            read_up_to_now(&mut intake, 1..=1);
            assert_eq!(id(&mut intake, &publish(2, true, "x")), events[1]);
            // Something new: 3 would have come before it, so the broker has no need of it.
            id(&mut intake, &publish(4, false, "x"));
            intake.begin_connection();
            assert_eq!(id(&mut intake, &publish(2, true, "x")), events[1]);
            intake.counts_on = false;
            assert_ne!(id(&mut intake, &publish(3, true, "x")), events[2]);
        }
    }

    #[test]
    fn a_broker_that_was_killed_and_begins_again_where_it_had_saved_brings_nothing_twice() {
        let (mut intake, _) = fresh();
        let old = [1, 2].map(|packet_id| id(&mut intake, &publish(packet_id, false, "old")));
        intake.record(intake.entries.values().copied().collect());
        read_up_to_now(&mut intake, 1..=2);
        intake.begin_connection();
        let new = [1, 2].map(|packet_id| id(&mut intake, &publish(packet_id, false, "new")));
        assert!(!new.iter().any(|new| old.contains(new)));
        intake.record(intake.entries.values().copied().collect());
        intake.begin_connection();
        assert_eq!([1, 2].map(|packet_id| id(&mut intake, &publish(packet_id, true, "new"))), new);
        // One that gives a packet id twice on one connection does so always.
        id(&mut intake, &publish(2, false, "newer"));
        intake.begin_connection();
        assert_ne!(id(&mut intake, &publish(1, true, "new")), new[0]);
    }

    #[test]
    fn a_packet_id_that_something_else_had_meanwhile_is_not_free() {
        let (mut intake, _) = fresh();
        id(&mut intake, &publish(1, false, "x"));
        read_up_to_now(&mut intake, 1..=1);
        let refused = Publish { topic: "a\u{1}".into(), ..publish(1, false, "x") };
        assert!(matches!(intake.judge(&refused, true, &settings(), &SIDE, Time(1)), Judged::Refused(_)));
        assert!(intake.reuses);
    }

    #[test]
    fn what_the_broker_may_send_again_is_known_after_a_crash_however_many_batches_ago_it_came() {
        let (mut intake, first) = fresh();
        let mut slots = std::collections::HashMap::from([(0, first)]);
        let mut events = Vec::new();
        for number in 0..SLOTS * 3 {
            let came = id(&mut intake, &publish(number as u16 + 1, false, "x"));
            events.push(came);
            let own: Vec<Entry> = intake.entries.values().filter(|entry| entry.number == number).copied().collect();
            // Some of them are not written at the first try.
            if number % 5 == 0 {
                let lost = intake.record(own.clone());
                intake.not_written(lost.batch);
            }
            let record = intake.record(own);
            slots.insert(record.batch % SLOTS, vec![kept(&record)]);
        }
        let notes: Vec<Recorded> = slots.into_values().flatten().collect();
        let mut again = Intake::recalled(&notes);
        again.begin_connection();
        for (number, event) in events.iter().enumerate() {
            assert_eq!(id(&mut again, &publish(number as u16 + 1, true, "x")), *event, "{number}");
        }
    }

    #[test]
    fn a_copy_is_known_after_a_crash_of_ours_and_nothing_else_is_taken_for_one() {
        let (mut intake, mut notes) = fresh();
        let first = id(&mut intake, &publish(1, false, "x"));
        let second = id(&mut intake, &publish(2, false, "x"));
        assert_ne!(first, second, "the same words twice are two events");
        let entries = intake.entries.values().copied().collect();
        notes.push(kept(&intake.record(entries)));
        let mut again = Intake::recalled(&notes);
        assert_eq!(id(&mut again, &publish(2, true, "x")), second);
        assert_eq!(id(&mut again, &publish(1, true, "x")), first);
        let others = [id(&mut again, &publish(3, true, "x")), id(&mut again, &publish(1, true, "y"))];
        assert!(!others.contains(&first) && !others.contains(&second));
        // Numbers go on where they stood.
        assert_ne!(others[0], others[1]);
    }

    #[test]
    fn a_packet_id_that_may_have_been_given_anew_proves_nothing() {
        let (mut intake, _) = fresh();
        let first = id(&mut intake, &publish(1, false, "on"));
        intake.record(intake.entries.values().copied().collect());
        read_up_to_now(&mut intake, 1..=1);
        assert_ne!(id(&mut intake, &publish(1, true, "on")), first, "the broker had read the acknowledgement");
        let (mut intake, _) = fresh();
        let first = id(&mut intake, &publish(1, false, "on"));
        let second = id(&mut intake, &publish(1, false, "off"));
        let third = id(&mut intake, &publish(1, true, "off"));
        assert_ne!(first, second);
        assert_ne!(second, third, "this broker gives a number again at once: it may be another one");
    }

    #[test]
    fn a_broker_that_counts_on_and_forgot_what_it_had_read_brings_nothing_twice() {
        let (mut intake, _) = fresh();
        let first = id(&mut intake, &publish(1, false, "on"));
        intake.record(intake.entries.values().copied().collect());
        read_up_to_now(&mut intake, 1..=1);
        // It could have used 1 again.
        id(&mut intake, &publish(2, false, "on"));
        assert_eq!(id(&mut intake, &publish(1, true, "on")), first);
        assert_ne!(id(&mut intake, &publish(1, true, "off")), first);
    }

    #[test]
    fn a_new_session_has_nothing_to_do_with_the_old_one() {
        let (mut intake, _) = fresh();
        let first = id(&mut intake, &publish(1, false, "x"));
        intake.begin_session();
        assert_ne!(id(&mut intake, &publish(1, true, "x")), first);
    }

    #[test]
    fn packets_are_remembered_until_the_broker_knows_and_no_more_of_them_than_there_are_ids() {
        let (mut intake, _) = fresh();
        for packet_id in 1..=65_535 {
            id(&mut intake, &publish(packet_id, false, "x"));
        }
        intake.record(intake.entries.values().copied().collect());
        read_up_to_now(&mut intake, 1..=65_535);
        id(&mut intake, &publish(1, false, "x"));
        intake.record(Vec::new());
        assert_eq!(intake.entries.len(), 65_535);
        (0..=SLOTS).for_each(|_| drop(intake.record(Vec::new())));
        assert_eq!(intake.entries.len(), 1);
    }

    #[test]
    fn a_name_that_was_given_is_kept() {
        let mut intake = fresh().0;
        let named = |pairs: &[(&str, &str)]| {
            let user = pairs.iter().map(|(name, value)| (Text::from(*name), Text::from(*value))).collect();
            Publish {
                properties: crate::mqtt::packet::Properties { user, ..Default::default() },
                ..publish(1, false, "x")
            }
        };
        assert_eq!(id(&mut intake, &named(&[("x", "1"), ("event-id", "order-17")])).to_string(), "order-17");
        let told = named(&[("headwater-told", "1 77 order 18"), ("event-id", "order-17")]);
        assert_eq!(id(&mut intake, &told).to_string(), "order 18");
        let numbered = named(&[("headwater-told", "1 77 018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a/3")]);
        assert!(matches!(id(&mut intake, &numbered), EventId::Text(_)), "only the edge that checks numbers makes one");
        let broken = named(&[("headwater-told", "1"), ("event-id", "")]);
        assert!(matches!(id(&mut intake, &broken), EventId::Uuid(_)));
    }

    #[test]
    fn what_was_here_or_came_too_far_is_not_taken_and_the_rest_is_stamped() {
        let mut intake = fresh().0;
        let mut judge = |origin: &str, hops: &str, side: &Side| {
            let user = [("headwater-origin", origin), ("headwater-hops", hops), ("headwater-via", "x"), ("y", "1")];
            let user = user.map(|(name, value)| (Text::from(name), Text::from(value))).to_vec();
            let properties = crate::mqtt::packet::Properties { user, ..Default::default() };
            let publish = Publish { properties, ..publish(1, false, "x") };
            intake.judge(&publish, false, &settings(), side, Time(1))
        };
        assert_eq!(judge("7", "1", &SIDE), Judged::Returning, "it began here");
        assert_eq!(judge("8", "8", &SIDE), Judged::Returning, "it passed eight, and this would be the ninth");
        assert_eq!(judge("8", "many", &SIDE), Judged::Returning);
        let taken = |judged: Judged| match judged {
            Judged::Take(publication, _) => {
                let headers = publication.event.headers;
                headers.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
            }
            other => panic!("{other:?}"),
        };
        let stamps =
            |origin: u32, hops: u32| format!("headwater-origin={origin} headwater-hops={hops} headwater-via=b y=1");
        assert_eq!(taken(judge("8", "7", &SIDE)), stamps(8, 8));
        assert_eq!(taken(judge("?", "0", &SIDE)), stamps(7, 1), "a plain broker's events began with us");
        assert_eq!(taken(judge("?", "0", &Side { remote: Some(9), ..SIDE })), stamps(9, 1));
    }
}
