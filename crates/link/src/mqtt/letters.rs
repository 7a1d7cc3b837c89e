//! Dead letters on a broker: each is a retained message on a topic of its own, so that it survives this process, can be
//! listed by every other, and is forgotten by an empty one.
//!
//! What the event was stands in user properties before its own. A letter that is to be tried again is published to its
//! group's own topic, which every session of the group is subscribed to, and then cleared.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use headwater_event::{DeadLetter, Event, EventId, GroupName, Position, Recorded, Seq, Text, Time, Topic};
use uuid::Uuid;

use super::packet::Publish;
use super::{names, spelling};
use crate::local::desk::Burial;

/// How many letters of one group are kept; beyond, the oldest is forgotten. More are no list that a person reads.
pub(super) const LETTERS_MAX: usize = 10_000;

/// How much of a reason is kept, in bytes.
const WHY_LEN_MAX: usize = 4 << 10;

const ID: &str = "event-id";
const GROUP: &str = "headwater-group";
const EVENT: &str = "headwater-event";
const TOPIC: &str = "headwater-topic";
const TIME: &str = "headwater-time";
const STICKY: &str = "headwater-sticky";
const EMPTY: &str = "headwater-empty";
const ATTEMPTS: &str = "headwater-attempts";
const DIED: &str = "headwater-died";
const ORDER: &str = "headwater-order";
/// The last of ours; what follows is the event's own.
const WHY: &str = "headwater-why";

/// What a letter says, before it has a number here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub group: GroupName,
    pub event: Event,
    pub sticky: bool,
    pub attempts: u32,
    pub why: String,
    pub at: Time,
    /// Its number where it died: tells the order of those that were published at one moment.
    pub order: Seq,
    /// The letter's own name.
    pub id: Option<EventId>,
}

/// A letter as a publication.
pub(super) fn write(group: &GroupName, letter: &DeadLetter, topic: Text, is_retained: bool) -> Publish {
    let Recorded { position, event, sticky } = &letter.recorded;
    let mut why = letter.why.as_str();
    while why.len() > WHY_LEN_MAX {
        why = &why[..why.floor_char_boundary(WHY_LEN_MAX)];
    }
    let why: String = why.chars().filter(|c| *c != '\0').collect();
    let ours = [
        // A name of its own: the event's is taken, and a broker that knows copies would drop it.
        (ID, Uuid::now_v7().to_string()),
        (GROUP, group.to_string()),
        (EVENT, event.id.to_string()),
        (TOPIC, event.topic.to_string()),
        (TIME, event.at.as_micros().to_string()),
        (STICKY, u8::from(*sticky).to_string()),
        (EMPTY, u8::from(event.payload.is_empty()).to_string()),
        (ATTEMPTS, letter.attempts.to_string()),
        (DIED, letter.at.as_micros().to_string()),
        (ORDER, position.seq.to_string()),
        (WHY, why),
    ];
    let mut properties = spelling::properties(&event.headers);
    properties.expiry = None;
    properties.user.splice(0..0, ours.map(|(name, value)| (Text::from_static(name), Text::from(value))));
    // An empty retained message is none.
    let payload = if event.payload.is_empty() { Bytes::from_static(b" ") } else { event.payload.clone() };
    Publish { qos: 1, is_retained, topic, properties, payload, ..Publish::default() }
}

/// The publication that clears a retained one.
pub(super) fn clear(topic: Text) -> Publish {
    let mut publish = Publish { qos: 1, is_retained: true, topic, ..Publish::default() };
    publish.properties.user.push((Text::from_static(ID), Uuid::now_v7().to_string().into()));
    publish
}

/// What a publication says as a letter; `None` when it is none.
pub(super) fn read(publish: &Publish) -> Option<Written> {
    let user = &publish.properties.user;
    let end = user.iter().position(|(name, _)| name.as_str() == WHY)?;
    let value = |wanted: &str| user[..end].iter().find(|(name, _)| name.as_str() == wanted).map(|(_, value)| value);
    let number = |wanted: &str| value(wanted)?.parse::<u64>().ok();
    let is_empty = number(EMPTY)? == 1;
    let event = Event {
        id: spelling::event_id(value(EVENT)?)?,
        topic: Topic::new(value(TOPIC)?.detached()).ok()?,
        headers: spelling::headers(&publish.properties, user[end + 1..].iter(), true),
        payload: if is_empty { Bytes::new() } else { Bytes::copy_from_slice(&publish.payload) },
        at: Time(number(TIME)?),
    };
    Some(Written {
        group: GroupName::new(value(GROUP)?.detached()).ok()?,
        event,
        sticky: number(STICKY)? == 1,
        attempts: u32::try_from(number(ATTEMPTS)?).ok()?,
        why: user[end].1.to_string(),
        at: Time(number(DIED)?),
        order: number(ORDER)?,
        id: value(ID).and_then(spelling::event_id),
    })
}

/// A letter and where it's retained.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub letter: DeadLetter,
    pub topic: Text,
}

/// The letters that this process knows of.
#[derive(Default)]
pub(super) struct Letters {
    by_group: BTreeMap<GroupName, BTreeMap<Seq, Kept>>,
    by_topic: HashMap<Text, (GroupName, Seq)>,
    forgotten: HashMap<GroupName, u64>,
    /// While the broker tells all of them: they come in any order, and are numbered when all are there.
    told: Option<Vec<(Text, Written)>>,
    /// What was known before that: of these, those that aren't told are gone.
    before: HashSet<Text>,
    pub is_filled: bool,
}

impl Letters {
    /// The broker is about to tell all.
    pub(super) fn begin(&mut self) {
        self.told = Some(Vec::new());
        self.before = self.by_topic.keys().cloned().collect();
        self.is_filled = false;
    }

    /// The broker has told all: gives them to be numbered, in their order.
    pub(super) fn end(&mut self) -> Vec<(Text, Written)> {
        self.is_filled = true;
        let mut told = self.told.take().unwrap_or_default();
        told.sort_by_key(|(_, letter)| (letter.event.at, letter.order, letter.at));
        // What it didn't tell is no longer there; what died here meanwhile is.
        let mut gone = std::mem::take(&mut self.before);
        told.iter().for_each(|(topic, _)| {
            gone.remove(topic);
        });
        gone.iter().for_each(|topic| self.remove(topic));
        told
    }

    /// A retained letter came; gives it back to be numbered at once, if it's new and not told among all.
    pub(super) fn came(&mut self, topic: &Text, publish: &Publish) -> Option<Written> {
        if publish.payload.is_empty() {
            self.remove(topic);
            return None;
        }
        let written = read(publish)?;
        if let Some(told) = &mut self.told {
            // Bounded by what is kept on the broker, which the same bound holds for.
            told.push((topic.detached(), written));
            return None;
        }
        (!self.by_topic.contains_key(topic)).then_some(written)
    }

    /// Whether this letter is known.
    pub(super) fn knows(&self, topic: &Text) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// Keeps a letter; gives the topic of one that there's no room for any more.
    pub(super) fn put(&mut self, group: &GroupName, topic: Text, letter: DeadLetter) -> Option<Text> {
        let seq = letter.recorded.position.seq;
        let letters = self.by_group.entry(group.clone()).or_default();
        self.by_topic.insert(topic.clone(), (group.clone(), seq));
        if let Some(before) = letters.insert(seq, Kept { letter, topic: topic.clone() })
            && before.topic != topic
        {
            // The same event died twice: the later letter says more.
            self.by_topic.remove(&before.topic);
            return Some(before.topic);
        }
        if letters.len() <= LETTERS_MAX {
            return None;
        }
        let (_, oldest) = letters.pop_first()?;
        self.by_topic.remove(&oldest.topic);
        *self.forgotten.entry(group.clone()).or_default() += 1;
        Some(oldest.topic)
    }

    pub(super) fn remove(&mut self, topic: &Text) {
        let Some((group, seq)) = self.by_topic.remove(topic) else { return };
        if let Some(letters) = self.by_group.get_mut(&group) {
            letters.remove(&seq);
            if letters.is_empty() {
                self.by_group.remove(&group);
            }
        }
    }

    /// A page of a group's letters.
    pub(super) fn page(&self, group: &GroupName, after: Seq, limit: usize) -> Vec<DeadLetter> {
        let Some(letters) = self.by_group.get(group) else { return Vec::new() };
        let behind = letters.range(after.saturating_add(1)..);
        behind.take(limit).map(|(_, kept)| kept.letter.clone()).collect()
    }

    pub(super) fn get(&self, group: &GroupName, seq: Seq) -> Option<Kept> {
        self.by_group.get(group)?.get(&seq).cloned()
    }

    pub(super) fn all(&self, group: &GroupName) -> Vec<Kept> {
        self.by_group.get(group).map(|letters| letters.values().cloned().collect()).unwrap_or_default()
    }

    /// How many a group has, and how many were forgotten.
    pub(super) fn count(&self, group: &GroupName) -> (usize, u64) {
        let count = self.by_group.get(group).map_or(0, BTreeMap::len);
        (count, self.forgotten.get(group).copied().unwrap_or(0))
    }
}

/// The letter of an event that has died here.
pub(super) fn of_burial(burial: Burial) -> DeadLetter {
    let Burial { recorded, attempts, why, at } = burial;
    DeadLetter { recorded, attempts, why, at }
}

/// A letter that came from the broker, with its number here.
pub(super) fn numbered(written: Written, position: Position) -> DeadLetter {
    let Written { event, sticky, attempts, why, at, .. } = written;
    DeadLetter { recorded: Recorded { position, event, sticky }, attempts, why, at }
}

/// Where a new letter is kept: by the time of its death, so that a listing on the broker has an order.
pub(super) fn topic(group: &GroupName, at: Time) -> Text {
    names::dead(group, &format!("{:016x}-{}", at.as_micros(), Uuid::new_v4().simple()))
}

#[cfg(test)]
mod tests {
    use headwater_event::Headers;

    use super::*;

    fn letter(seq: Seq, payload: &'static [u8]) -> DeadLetter {
        let event = Event {
            id: format!("id-{seq}").parse().unwrap(),
            topic: "$g/x".parse().unwrap(),
            headers: Headers::from_pairs([("content-type", "a/b"), ("headwater-why", "x"), ("x", "")]).unwrap(),
            payload: Bytes::from_static(payload),
            at: Time(7),
        };
        let recorded = Recorded { position: Position::new(3, seq), event, sticky: true };
        DeadLetter { recorded, attempts: 4, why: "no such patient".into(), at: Time(9) }
    }

    #[test]
    fn a_letter_comes_back_as_it_went_in() {
        let group = GroupName::new("service/a").unwrap();
        for payload in [&b"x"[..], b"", b" "] {
            let letter = letter(5, payload);
            let publish = write(&group, &letter, topic(&group, letter.at), true);
            assert!(!publish.payload.is_empty());
            let written = read(&publish).unwrap();
            assert_eq!((&written.group, written.order), (&group, 5));
            assert_eq!(numbered(written, Position::new(3, 5)), letter);
        }
        assert_eq!(read(&Publish::default()), None);
    }

    #[test]
    fn what_is_told_in_any_order_is_numbered_by_age() {
        let group = GroupName::new("g").unwrap();
        let mut letters = Letters::default();
        letters.put(&group, "gone".into(), letter(1, b"x"));
        letters.begin();
        for seq in [3, 1, 2] {
            let topic = Text::from(format!("t/{seq}"));
            assert_eq!(letters.came(&topic, &write(&group, &letter(seq, b"x"), topic.clone(), true)), None);
        }
        letters.put(&group, "died meanwhile".into(), letter(9, b"x"));
        let told: Vec<_> = letters.end().into_iter().map(|(_, written)| written.order).collect();
        assert_eq!(told, [1, 2, 3]);
        let left: Vec<_> = letters.page(&group, 0, 9).iter().map(|letter| letter.recorded.position.seq).collect();
        assert_eq!(left, [9], "what was not told is not there");
    }

    #[test]
    fn no_more_letters_are_kept_than_a_person_reads() {
        let group = GroupName::new("g").unwrap();
        let mut letters = Letters::default();
        let mut cleared = Vec::new();
        for seq in 1..=LETTERS_MAX as Seq + 2 {
            cleared.extend(letters.put(&group, format!("t/{seq}").into(), letter(seq, b"x")));
        }
        assert_eq!(cleared, ["t/1".into(), "t/2".into()]);
        assert_eq!(letters.count(&group), (LETTERS_MAX, 2));
        assert_eq!(letters.page(&group, 5, 2).iter().map(|l| l.recorded.position.seq).collect::<Vec<_>>(), [6, 7]);
    }
}
