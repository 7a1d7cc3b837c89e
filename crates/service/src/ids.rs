//! Ids of outgoing events: they follow from their cause, so what happens again gives the same event and not a second one.

use std::hash::Hasher as _;

use headwater_event::{Event, EventId, Time};
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use uuid::Uuid;

/// What caused an event, in 16 bytes, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) mark: [u8; 16],
    /// Milliseconds since 1970: ids of events that follow from one another stand near one another in every index.
    pub(crate) millis: u64,
}

/// Makes ids with the store's own key: nobody outside can choose two causes whose ids collide.
#[derive(Clone)]
pub(crate) struct Namer(SipHasher24);

impl Namer {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher24::new_with_key(key))
    }

    /// An event as a cause.
    pub(crate) fn event(&self, service: &str, event: &Event) -> Cause {
        let millis = match &event.id {
            // Version 7 begins with its milliseconds, and so do the ids made here.
            EventId::Uuid(uuid) | EventId::Own(uuid) if matches!(uuid.get_version_num(), 7 | 8) => millis_of(uuid),
            _ => event.at.as_micros() / 1_000,
        };
        Cause { mark: self.hash(&[b"event", service.as_bytes(), &crate::inbox::id_bytes(&event.id)]), millis }
    }

    /// Something named as a cause: a timer that was set, the seed.
    pub(crate) fn named(&self, what: &[&[u8]], at: Time) -> Cause {
        Cause { mark: self.hash(what), millis: at.as_micros() / 1_000 }
    }

    /// The `ordinal`-th event that follows from a cause: a UUID of version 8 (RFC 9562 section 5.8) that begins with the cause's time.
    pub(crate) fn id(&self, cause: &Cause, ordinal: u32) -> EventId {
        let hash = self.hash(&[&cause.mark, &ordinal.to_be_bytes()]);
        let mut bytes = hash;
        bytes[..6].copy_from_slice(&cause.millis.to_be_bytes()[2..]);
        bytes[6] = 0x80 | (bytes[6] & 0x0F);
        bytes[8] = 0x80 | (bytes[8] & 0x3F);
        EventId::Uuid(Uuid::from_bytes(bytes))
    }

    /// Parts are told apart by their lengths.
    fn hash(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = self.0;
        for part in parts {
            hasher.write(&(part.len() as u64).to_be_bytes());
            hasher.write(part);
        }
        hasher.finish128().as_bytes()
    }
}

fn millis_of(uuid: &Uuid) -> u64 {
    let bytes = uuid.as_bytes();
    let mut millis = [0; 8];
    millis[2..].copy_from_slice(&bytes[..6]);
    u64::from_be_bytes(millis)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headwater_event::{Headers, Topic};

    use super::*;

    fn event(id: &str) -> Event {
        Event {
            id: id.parse().unwrap(),
            topic: Topic::new("t").unwrap(),
            headers: Headers::none(),
            payload: Bytes::new(),
            at: Time(5_000_000),
        }
    }

    fn uuid(id: &EventId) -> Uuid {
        match id {
            EventId::Uuid(uuid) => *uuid,
            other => panic!("{other} is no UUID"),
        }
    }

    #[test]
    fn an_id_follows_from_cause_service_and_place() {
        let namer = Namer::new(&[7; 16]);
        let cause = namer.event("order", &event("018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a"));
        assert_eq!(namer.id(&cause, 0), namer.id(&cause, 0));
        let others = [
            namer.id(&cause, 1),
            namer.id(&namer.event("stock", &event("018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a")), 0),
            namer.id(&namer.event("order", &event("018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4b")), 0),
            Namer::new(&[8; 16]).id(&cause, 0),
        ];
        assert!(others.iter().all(|other| *other != namer.id(&cause, 0)));
        assert_eq!(uuid(&namer.id(&cause, 0)).get_version_num(), 8);
    }

    #[test]
    fn an_id_begins_with_the_time_of_the_first_cause() {
        let namer = Namer::new(&[7; 16]);
        let first = namer.event("order", &event("018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a"));
        let mut second = event("x");
        second.id = namer.id(&first, 0);
        assert_eq!(namer.event("stock", &second).millis, 0x018f_4e9a_6e1c);
        assert_eq!(namer.event("stock", &event("order-17")).millis, 5_000);
    }
}
