//! What ran out of time in the store: it goes back to the bus, on a topic of the service's own, and becomes a dead letter of
//! its group when it comes from there.
//!
//! So dead letters are in one place whatever the engine, with their reason, and can be revived like all others. The event
//! leaves the store by the outbox: between the two it can't be lost.

use std::fmt::Write as _;

use bytes::Bytes;
use headwater_event::headers::HeadersError;
use headwater_event::{Event, EventId, Headers, Publication, Text, Time, Topic};
use uuid::Uuid;

use crate::inbox;
use crate::timers::Due;

/// Begins the headers that say what it was; all others are the event's own.
const OURS: &str = "late-";
const WHY: &str = "late-why";
const ATTEMPTS: &str = "late-attempts";
/// Of an event: where it belongs, its id for people and as the inbox has it, and when it was taken.
const TOPIC: &str = "late-topic";
const ID: &str = "late-id";
const ID_BYTES: &str = "late-id-bytes";
const AT: &str = "late-at";
/// Of a timer.
const TIMER: &str = "late-timer";
const KEY: &str = "late-key";
const DUE: &str = "late-due";
const ORIGIN: &str = "late-origin";

/// The longest reason that travels in a header, in bytes.
const WHY_LEN_MAX: usize = 1_024;

/// The topic of a service.
pub(crate) fn topic(service: &str) -> String {
    format!("service/{service}/late")
}

pub(crate) fn never_came(waits_for: &str) -> String {
    format!("what it waits for never came: {waits_for}")
}

/// What ran out of time, and why it is given up.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) what: What,
    pub(crate) why: String,
    attempts: u32,
}

#[derive(Debug)]
pub(crate) enum What {
    Event(Event),
    Timer(Due),
}

impl Late {
    pub(crate) fn event(event: &Event, why: String, attempts: u32) -> Self {
        Self { what: What::Event(event.clone()), why, attempts }
    }

    pub(crate) fn timer(due: Due, why: String, attempts: u32) -> Self {
        Self { what: What::Timer(due), why, attempts }
    }

    /// What it's about.
    pub(crate) fn key(&self, context: &crate::batch::Context) -> Option<Box<str>> {
        match &self.what {
            What::Event(event) => context.key_of(event),
            What::Timer(due) => Some(due.key.as_str().into()),
        }
    }

    /// The same with another reason: it was tried again, and failed again.
    pub(crate) fn once_more(self, why: String, attempts: u32) -> Self {
        Self { what: self.what, why, attempts }
    }

    /// The event that says so: the payload is the original's, so that who reads the dead letter sees it.
    pub(crate) fn publication(self, topic: &str, id: EventId, now: Time) -> Result<Publication, HeadersError> {
        let mut why = self.why;
        while why.len() > WHY_LEN_MAX {
            why.pop();
        }
        let mut pairs = vec![(WHY, why), (ATTEMPTS, self.attempts.to_string())];
        let (payload, own) = match self.what {
            What::Event(event) => {
                pairs.push((TOPIC, event.topic.to_string()));
                pairs.push((ID, event.id.to_string()));
                pairs.push((ID_BYTES, hex(&inbox::id_bytes(&event.id))));
                pairs.push((AT, event.at.as_micros().to_string()));
                (event.payload, event.headers)
            }
            What::Timer(due) => {
                pairs.push((TIMER, due.name));
                pairs.push((KEY, due.key));
                pairs.push((DUE, due.due.as_micros().to_string()));
                pairs.push((ORIGIN, hex(&due.origin)));
                (due.payload.into(), Headers::none())
            }
        };
        let ours = pairs.iter().map(|(name, value)| (*name, value.as_str()));
        // Beside the longest headers that an event can have there is no room: then those of the event are lost, which is
        // better than the event.
        let headers = match Headers::from_pairs(ours.clone().chain(own.iter())) {
            Err(HeadersError::TooLong) => Headers::from_pairs(ours)?,
            headers => headers?,
        };
        // The service's name was checked, so its topic is one.
        let topic = Topic::new(topic).map_err(|_| HeadersError::Broken)?;
        Ok(Publication { event: Event { id, topic, headers, payload, at: now }, sticky: false })
    }
}

/// Reads it back, when it comes from the bus. Whoever may publish on the topic could have written it, so all is checked.
pub(crate) fn read(event: &Event) -> Result<Late, String> {
    let get = |name: &str| event.headers.get(name).ok_or_else(|| format!("the header {name} is missing"));
    let number = |name: &str| get(name)?.parse::<u64>().map_err(|_| format!("the header {name} is no number"));
    let bytes = |name: &str| unhex(get(name)?).ok_or_else(|| format!("the header {name} is no hex"));
    let why = get(WHY)?.to_owned();
    let attempts = u32::try_from(number(ATTEMPTS)?).unwrap_or(u32::MAX);
    let what = match event.headers.get(TIMER) {
        Some(name) => What::Timer(Due {
            name: name.to_owned(),
            key: get(KEY)?.to_owned(),
            due: Time(number(DUE)?),
            attempts,
            origin: bytes(ORIGIN)?.try_into().map_err(|_| format!("the header {ORIGIN} has not 16 bytes"))?,
            payload: event.payload.to_vec(),
        }),
        None => {
            let own = event.headers.iter().filter(|(name, _)| !name.starts_with(OURS));
            What::Event(Event {
                id: id_of(&bytes(ID_BYTES)?).ok_or_else(|| format!("the header {ID_BYTES} is no id"))?,
                topic: Topic::new(get(TOPIC)?).map_err(|error| format!("the header {TOPIC}: {error}"))?,
                headers: Headers::from_pairs(own).map_err(|error| error.to_string())?,
                payload: event.payload.clone(),
                at: Time(number(AT)?),
            })
        }
    };
    Ok(Late { what, why, attempts })
}

/// An id as the inbox spells it.
fn id_of(bytes: &[u8]) -> Option<EventId> {
    let (kind, rest) = bytes.split_first()?;
    match kind {
        0 => Some(EventId::Uuid(Uuid::from_slice(rest).ok()?)),
        1 => {
            let (producer, number) = rest.split_at_checked(16)?;
            let number = u64::from_be_bytes(number.try_into().ok()?);
            Some(EventId::Numbered { producer: Uuid::from_slice(producer).ok()?, number })
        }
        2 => Some(EventId::Text(Text::from_utf8(Bytes::copy_from_slice(rest)).ok()?)),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_as_it_was() {
        let ids = [
            EventId::generate(),
            EventId::Numbered { producer: Uuid::from_u128(7), number: 3 },
            "order-17".parse().unwrap(),
        ];
        for id in ids {
            let event = Event {
                id,
                topic: Topic::new("order/order-send").unwrap(),
                headers: Headers::from_pairs([("content-type", "text/plain"), ("x", "y")]).unwrap(),
                payload: Bytes::from_static(b"payload"),
                at: Time(1_234),
            };
            let late = Late::event(&event, "because".into(), 3);
            let sent = late.publication("service/order/late", EventId::generate(), Time(9)).unwrap();
            let back = read(&sent.event).unwrap();
            assert_eq!((back.why.as_str(), back.attempts), ("because", 3));
            let What::Event(back) = back.what else { panic!("no event") };
            // An id that Headwater gave is one that could be sent again from now on.
            assert_eq!(back.id.to_string(), event.id.to_string());
            assert_eq!(Event { id: event.id.clone(), ..back }, event);
        }
    }

    #[test]
    fn what_others_write_there_is_refused_with_a_reason() {
        let event = |pairs: &[(&str, &str)]| Event {
            id: EventId::generate(),
            topic: Topic::new("service/order/late").unwrap(),
            headers: Headers::from_pairs(pairs.iter().copied()).unwrap(),
            payload: Bytes::new(),
            at: Time(0),
        };
        let good = [(WHY, "x"), (ATTEMPTS, "1"), (TOPIC, "t"), (ID_BYTES, "0261"), (AT, "5")];
        assert!(read(&event(&good)).is_ok());
        for at in 0..good.len() {
            for wrong in ["#", "", "zz", "02ff", "ä1"] {
                let mut pairs = good;
                pairs[at].1 = wrong;
                // Any text is a reason, and many are topics.
                if !matches!(pairs[at].0, WHY | TOPIC) {
                    assert!(read(&event(&pairs)).is_err(), "{:?}", pairs[at]);
                }
            }
            let mut pairs = good.to_vec();
            pairs.remove(at);
            assert!(read(&event(&pairs)).is_err(), "without {}", good[at].0);
        }
    }
}
