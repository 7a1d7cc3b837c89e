//! The notes that a bridge keeps in our own log: which of the broker's packets are which of our events, and what it has
//! subscribed to. Each is durable together with the events that it speaks of.

use bytes::Bytes;
use headwater_event::{Event, EventId, Filter, Headers, Publication, Recorded, Time, Topic};

/// How many notes of batches are kept, each over the one of so many batches before: with at least one event in each, all that
/// a broker may have out to us at once.
pub(super) const SLOTS: u64 = 128;

/// The first word of each note: a later form would have another one.
const FORM: &str = "1";

/// An event that came under a packet id and may come again under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The batch that it became durable with.
    pub batch: u64,
    pub packet_id: u16,
    /// Of all that a second copy would have in common with it.
    pub digest: u64,
    /// Its number in the session: with the session it makes the event's id.
    pub number: u64,
    pub standing: Standing,
}

/// How an acknowledgement of ours stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not written on this connection.
    Open,
    /// Noted before this connection, on which it didn't come again so far: whether the broker has read our acknowledgement is
    /// unknown.
    Before,
    /// Written on this connection, as the how-manieth.
    Written(u64),
    /// Written on this connection, and the broker has read it: it can't come again, unless the broker forgets that.
    Read,
    /// The broker has read it, and that was before this connection.
    Past,
}

impl Standing {
    /// Whether the broker may have given the packet id to something else.
    pub(super) const fn is_free(self) -> bool {
        matches!(self, Self::Read | Self::Past)
    }
}

/// What is written with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Which session with the broker, drawn at random when the broker had none for us.
    pub session: u128,
    pub batch: u64,
    /// The next number.
    pub next: u64,
    /// The broker was seen to use a packet id again at once.
    pub reuses: bool,
    pub entries: Vec<Entry>,
}

impl Record {
    pub(super) fn note(&self, bridge: &str) -> Option<Publication> {
        let Self { session, batch, next, reuses, entries } = self;
        let mut text = format!("{FORM} {session:032x} {batch} {next} {}\n", u8::from(*reuses));
        for entry in entries {
            text.push_str(&format!("{} {:016x} {}\n", entry.packet_id, entry.digest, entry.number));
        }
        note(&format!("$bridge/{bridge}/came/{}", batch % SLOTS), text)
    }

    /// What was written, if it can be read.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(payload).ok()?.lines();
        let mut words = lines.next()?.split(' ');
        if words.next()? != FORM {
            return None;
        }
        let session = u128::from_str_radix(words.next()?, 16).ok()?;
        let (batch, next) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let reuses = words.next()? == "1";
        let entry = |line: &str| {
            let mut words = line.split(' ');
            Some(Entry {
                batch,
                packet_id: words.next()?.parse().ok()?,
                digest: u64::from_str_radix(words.next()?, 16).ok()?,
                number: words.next()?.parse().ok()?,
                standing: Standing::Before,
            })
        };
        let entries = lines.map(entry).collect::<Option<Vec<_>>>()?;
        Some(Self { session, batch, next, reuses, entries })
    }
}

/// What is subscribed to in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subscribed {
    pub session: u128,
    /// Each with its QoS.
    pub filters: Vec<(String, u8)>,
}

impl Subscribed {
    pub(super) fn note(&self, bridge: &str) -> Option<Publication> {
        let mut text = format!("{FORM} {:032x}\n", self.session);
        for (filter, qos) in &self.filters {
            text.push_str(&format!("{qos} {filter}\n"));
        }
        note(&format!("$bridge/{bridge}/subscribed"), text)
    }

    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        // A filter has no control characters, so it stays in its line.
        let mut lines = std::str::from_utf8(payload).ok()?.split('\n').filter(|line| !line.is_empty());
        let session = u128::from_str_radix(lines.next()?.strip_prefix(FORM)?.strip_prefix(' ')?, 16).ok()?;
        let filter = |line: &str| {
            let (qos, filter) = line.split_once(' ')?;
            Some((filter.to_owned(), qos.parse().ok()?))
        };
        Some(Self { session, filters: lines.map(filter).collect::<Option<Vec<_>>>()? })
    }
}

/// The filter of all notes of a bridge.
pub(super) fn all_of(bridge: &str) -> Option<Filter> {
    Filter::new(format!("$bridge/{bridge}/#")).ok()
}

/// What was noted, put together: the notes of the latest session, oldest batch first.
pub(super) fn recalled(notes: &[Recorded]) -> (Vec<Record>, Option<Subscribed>) {
    let mut records: Vec<Record> = Vec::new();
    let mut subscribed = None;
    for recorded in notes {
        let event = &recorded.event;
        if event.topic.as_str().ends_with("/subscribed") {
            subscribed = Subscribed::read(&event.payload);
        } else {
            records.extend(Record::read(&event.payload));
        }
    }
    // Batches count on from one session to the next, so the highest is the latest.
    records.sort_by_key(|record| record.batch);
    if let Some(latest) = records.last() {
        let (session, batch) = (latest.session, latest.batch);
        records.retain(|record| record.session == session && record.batch + SLOTS > batch);
        subscribed = subscribed.filter(|subscribed| subscribed.session == session);
    }
    (records, subscribed)
}

fn note(topic: &str, text: String) -> Option<Publication> {
    let event = Event {
        id: EventId::generate(),
        topic: Topic::new(topic).ok()?,
        headers: Headers::none(),
        payload: Bytes::from(text),
        at: Time(0),
    };
    Some(Publication { event, sticky: true })
}

#[cfg(test)]
mod tests {
    use headwater_event::Position;
    use proptest::prelude::*;

    use super::*;

    fn record(session: u128, batch: u64, packets: &[u16]) -> Record {
        let entry = |packet_id: &u16| Entry {
            batch,
            packet_id: *packet_id,
            digest: u64::MAX - u64::from(*packet_id),
            number: batch * 100 + u64::from(*packet_id),
            standing: Standing::Before,
        };
        Record { session, batch, next: 7, reuses: batch % 2 == 1, entries: packets.iter().map(entry).collect() }
    }

    fn kept(note: Option<Publication>) -> Recorded {
        let Publication { event, sticky } = note.unwrap();
        Recorded { position: Position::new(1, 1), event, sticky }
    }

    #[test]
    fn notes_come_back_as_they_were_written() {
        let written = record(5 << 90, 63, &[1, 65_535]);
        let note = written.note("b").unwrap();
        assert_eq!(note.event.topic.as_str(), "$bridge/b/came/63");
        assert_eq!(Record::read(&note.event.payload), Some(written));
        let filters = vec![("a b/+/#".to_owned(), 1), ("c".to_owned(), 0)];
        let subscribed = Subscribed { session: 3, filters };
        let note = subscribed.note("b").unwrap();
        assert_eq!(Subscribed::read(&note.event.payload), Some(subscribed));
    }

    #[test]
    fn only_the_latest_session_is_recalled_and_of_it_what_may_come_again() {
        let subscribed = Subscribed { session: 2, filters: vec![] };
        let mut notes: Vec<Recorded> =
            (1..=SLOTS + 6).map(|batch| kept(record(2, batch, &[batch as u16]).note("b"))).collect();
        notes.push(kept(record(1, 0, &[9]).note("b")));
        notes.push(kept(subscribed.note("b")));
        let (records, is_subscribed) = recalled(&notes);
        assert_eq!(records.iter().map(|record| record.batch).collect::<Vec<_>>(), (7..=SLOTS + 6).collect::<Vec<_>>());
        assert_eq!(is_subscribed, Some(subscribed));
        notes.push(kept(record(3, SLOTS + 7, &[]).note("b")));
        let (records, is_subscribed) = recalled(&notes);
        assert_eq!((records.len(), is_subscribed), (1, None));
    }

    proptest! {
        #[test]
        fn anything_else_is_no_note(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = (Record::read(&bytes), Subscribed::read(&bytes));
        }
    }
}
