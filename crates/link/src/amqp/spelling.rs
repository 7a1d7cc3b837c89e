//! An event as an AMQP message and back.
//!
//! `message-id` is the event's id, `content-type` its content type, and the routing key its topic, for those who read or
//! write without us. `hw-time` says that the hub wrote it; the other `hw-` headers then hold what a message has no place for.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_event::{Event, EventId, Headers, Publication, Text, Time, Topic};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use uuid::Uuid;

use super::names;
use super::packed::Letter;

const TOPIC: &str = "hw-topic";
const TIME: &str = "hw-time";
const HEADERS: &str = "hw-headers";
const STICKY: &str = "hw-sticky";
/// Which state of its topic it is: a later one has a higher number.
const VERSION: &str = "hw-version";
/// Which process published it, and as its how-manieth.
const BY: &str = "hw-by";
const NUMBER: &str = "hw-number";
/// A letter that is tried again, or a delivery that waited in a queue: its name, and when it's due.
const AGAIN: &str = "hw-again";
const DUE: &str = "hw-due";
/// How often the server has had a delivery back.
const RETURNED: &str = "x-delivery-count";

/// Kept on disk.
const PERSISTENT: u8 = 2;

/// Where a publication stands among those of its process, and its state among those of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub by: Uuid,
    pub number: u64,
    pub version: u64,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Came {
    pub event: Event,
    pub sticky: bool,
    pub is_named: bool,
    pub stamp: Option<Stamp>,
}

fn long(bytes: &[u8]) -> AMQPValue {
    AMQPValue::LongString(LongString::from(bytes))
}

fn number(number: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The properties of an event's message.
pub(super) fn properties(publication: &Publication, stamp: Stamp) -> BasicProperties {
    let event = &publication.event;
    let mut table = BTreeMap::from([
        (ShortString::from(TIME), number(event.at.as_micros())),
        (VERSION.into(), number(stamp.version)),
        (BY.into(), long(stamp.by.as_bytes())),
        (NUMBER.into(), number(stamp.number)),
        (TOPIC.into(), long(event.topic.as_str().as_bytes())),
        (STICKY.into(), AMQPValue::Boolean(publication.sticky)),
    ]);
    if !event.headers.is_empty() {
        table.insert(HEADERS.into(), long(event.headers.as_stored()));
    }
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_timestamp(event.at.as_micros() / 1_000_000)
        .with_headers(FieldTable::from(table));
    if let Ok(id) = ShortString::try_new(event.id.to_string()) {
        properties = properties.with_message_id(id);
    }
    if let Some(kind) = event.headers.get(Headers::CONTENT_TYPE)
        && let Ok(kind) = ShortString::try_new(kind)
    {
        properties = properties.with_content_type(kind);
    }
    properties
}

fn get<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

fn bytes<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a [u8]> {
    match get(properties, name)? {
        AMQPValue::LongString(text) => Some(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => Some(bytes.as_slice()),
        _ => None,
    }
}

fn integer(properties: &BasicProperties, name: &str) -> Option<u64> {
    match get(properties, name)? {
        AMQPValue::LongLongInt(number) => u64::try_from(*number).ok(),
        AMQPValue::LongInt(number) => u64::try_from(*number).ok(),
        AMQPValue::LongUInt(number) => Some(u64::from(*number)),
        AMQPValue::ShortInt(number) => u64::try_from(*number).ok(),
        AMQPValue::ShortUInt(number) => Some(u64::from(*number)),
        AMQPValue::ShortShortInt(number) => u64::try_from(*number).ok(),
        AMQPValue::ShortShortUInt(number) => Some(u64::from(*number)),
        _ => None,
    }
}

/// How often a delivery was out before, as far as the server knows.
pub(super) fn tried(delivery: &Delivery) -> u32 {
    match integer(&delivery.properties, RETURNED) {
        Some(count) => u32::try_from(count).unwrap_or(u32::MAX),
        None => u32::from(delivery.redelivered),
    }
}

/// The event of a message; `None` when its topic can't be one.
pub(super) fn came(delivery: &Delivery, now: Time) -> Option<Came> {
    let properties = &delivery.properties;
    let at = integer(properties, TIME);
    let topic = match bytes(properties, TOPIC).filter(|_| at.is_some()) {
        Some(bytes) => Topic::new(std::str::from_utf8(bytes).ok()?.to_owned()).ok()?,
        None => names::topic(delivery.routing_key.as_str())?,
    };
    let id = properties.message_id().as_ref().and_then(|id| EventId::from_text(Text::from(id.as_str())).ok());
    let headers = match at {
        Some(_) => stored(bytes(properties, HEADERS)),
        None => foreign(properties),
    };
    let stamp = || {
        let by = Uuid::from_slice(bytes(properties, BY)?).ok()?;
        Some(Stamp { by, number: integer(properties, NUMBER)?, version: integer(properties, VERSION)? })
    };
    let is_named = id.is_some();
    let event = Event {
        // The server gives none: who publishes without us and wants copies known gives one.
        id: id.unwrap_or_else(|| EventId::Uuid(Uuid::now_v7())),
        topic,
        headers,
        payload: Bytes::copy_from_slice(&delivery.data),
        at: at.map_or(now, Time),
    };
    let stamp = stamp().filter(|_| at.is_some());
    // Only what has a version can be a latest state.
    let sticky = stamp.is_some() && matches!(get(properties, STICKY), Some(AMQPValue::Boolean(true)));
    Some(Came { event, sticky, is_named, stamp })
}

fn stored(bytes: Option<&[u8]>) -> Headers {
    let bytes = bytes.map(Bytes::copy_from_slice).unwrap_or_default();
    Headers::from_stored(bytes).unwrap_or_default()
}

/// The headers that others wrote: the texts among them.
fn foreign(properties: &BasicProperties) -> Headers {
    let kind = properties.content_type().as_ref().map(|kind| (Headers::CONTENT_TYPE, kind.as_str()));
    let table = properties.headers().as_ref().map(FieldTable::inner);
    let texts = table.into_iter().flatten().filter_map(|(name, value)| match value {
        AMQPValue::LongString(text) if !name.as_str().starts_with("x-") => {
            Some((name.as_str(), std::str::from_utf8(text.as_bytes()).ok()?))
        }
        _ => None,
    });
    Headers::from_pairs(kind.into_iter().chain(texts)).unwrap_or_default()
}

/// Something that comes to a group once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Again {
    /// Its own name: the event's is taken.
    pub name: Uuid,
    /// When it's due, if it has to wait.
    pub due: Option<Time>,
    pub letter: Letter,
}

/// The properties and the payload of a message that comes again.
pub(super) fn again(again: &Again) -> (BasicProperties, Vec<u8>) {
    let mut table = BTreeMap::from([(ShortString::from(AGAIN), long(again.name.as_bytes()))]);
    if let Some(due) = again.due {
        table.insert(DUE.into(), number(due.as_micros()));
    }
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(FieldTable::from(table));
    (properties, again.letter.pack())
}

/// What comes again by this message; `None` when it's an event that comes for the first time, `Some(None)` when it can't be
/// read.
pub(super) fn read_again(delivery: &Delivery) -> Option<Option<Again>> {
    let name = bytes(&delivery.properties, AGAIN)?;
    let read = || {
        let due = integer(&delivery.properties, DUE).map(Time);
        Some(Again { name: Uuid::from_slice(name).ok()?, due, letter: Letter::unpack(&delivery.data)? })
    };
    Some(read())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(key: &str, properties: BasicProperties, data: &[u8]) -> Delivery {
        let mut delivery = Delivery::mock(1, "hw".into(), key.into(), false, data.to_vec());
        delivery.properties = properties;
        delivery
    }

    #[test]
    fn events_come_back_as_they_went_in() {
        let topic = "a.b/*/ü".parse().unwrap();
        let headers = Headers::from_pairs([("content-type", "a/b"), ("x", "1"), ("x", "")]).unwrap();
        for id in ["018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a", "order-17"] {
            let event = Event {
                id: id.parse().unwrap(),
                topic: Topic::clone(&topic),
                headers: headers.clone(),
                payload: Bytes::from_static(b"p\0"),
                at: Time(1_700_000_000_123_456),
            };
            let publication = Publication { event, sticky: true };
            let stamp = Stamp { by: Uuid::now_v7(), number: 3, version: 9 };
            let delivery = delivery("whatever", properties(&publication, stamp), b"p\0");
            let came = came(&delivery, Time(1)).unwrap();
            assert_eq!((came.event, came.sticky, came.is_named), (publication.event, true, true));
            assert_eq!(came.stamp, Some(stamp));
        }
    }

    #[test]
    fn what_others_publish_is_an_event_too() {
        let table = BTreeMap::from([
            (ShortString::from("kind"), long(b"x")),
            ("count".into(), number(3)),
            (TOPIC.into(), long(b"not/believed")),
        ]);
        let properties = BasicProperties::default().with_content_type("a/b".into()).with_headers(table.into());
        let came = came(&delivery("a%2Eb.c", properties, b"x"), Time(7)).unwrap();
        assert_eq!(
            (came.event.topic.as_str(), came.event.at, came.is_named, came.stamp),
            ("a.b/c", Time(7), false, None)
        );
        assert_eq!(came.event.headers.get("kind"), Some("x"));
        assert_eq!(came.event.headers.get("content-type"), Some("a/b"));
        assert!(super::came(&delivery("a.%Z", BasicProperties::default(), b""), Time(7)).is_none());
    }
}
