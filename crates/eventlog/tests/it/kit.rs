//! What the tests share: events, logs in folders of their own, and reading all there is.

use bytes::Bytes;
use headwater_event::{Bus, Event, EventId, Headers, Position, ProducerId, Publication, Recorded, Time, Topic};
use headwater_eventlog::{EventLog, OpenOptions};

pub fn event(id: &str, topic: &str, payload: &str) -> Publication {
    let event = Event {
        id: id.parse().unwrap(),
        topic: Topic::new(topic).unwrap(),
        headers: Headers::none(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        at: Time(1_000_000),
    };
    Publication { event, sticky: false }
}

pub fn sticky(id: &str, topic: &str, payload: &str) -> Publication {
    Publication { sticky: true, ..event(id, topic, payload) }
}

pub fn numbered(producer: u128, number: u64) -> Publication {
    let mut publication = event("x", "t", "p");
    publication.event.id = EventId::Numbered { producer: ProducerId::from_u128(producer), number };
    publication
}

pub fn open(folder: &std::path::Path) -> EventLog {
    EventLog::open(OpenOptions::new(folder)).unwrap()
}

/// All events of a log, read by a tail from its oldest position.
pub async fn all(log: &dyn Bus) -> Vec<Recorded> {
    let mut tail = log.tail(log.oldest()).unwrap();
    let mut events = Vec::new();
    while let Some(batch) = tail.next_now(&|_| true).await.unwrap() {
        events.extend(batch.events);
    }
    assert_eq!(tail.position(), log.head());
    events
}

pub fn texts(events: &[Recorded]) -> Vec<String> {
    events.iter().map(|recorded| String::from_utf8_lossy(&recorded.event.payload).into_owned()).collect()
}

pub fn seqs(events: &[Recorded]) -> Vec<u64> {
    events.iter().map(|recorded| recorded.position.seq).collect()
}

pub fn at(log: &dyn Bus, seq: u64) -> Position {
    Position::new(log.head().epoch, seq)
}
