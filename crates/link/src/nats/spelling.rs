//! An event as a JetStream message and back.
//!
//! `Nats-Msg-Id` is the event's id, by which the server knows copies. `Hw-Time` is when the hub took it, `Hw-Headers` its
//! headers in the form in which they are stored, in base64: NATS keeps no order among headers of different names.

use async_nats::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD as BASE64;
use bytes::Bytes;
use headwater_event::{DeadLetter, Epoch, Event, EventId, Headers, Position, Recorded, Seq, Text, Time, Topic};

use super::subjects;

const ID: &str = "Nats-Msg-Id";
const TIME: &str = "Hw-Time";
const HEADERS: &str = "Hw-Headers";
const CONTENT_TYPE: &str = "Content-Type";
const EVENT: &str = "Hw-Event";
const TOPIC: &str = "Hw-Topic";
const STICKY: &str = "Hw-Sticky";
const SEQ: &str = "Hw-Seq";
const ATTEMPTS: &str = "Hw-Attempts";
const DIED: &str = "Hw-Died";
const WHY: &str = "Hw-Why";

/// How much of a reason is kept, in bytes.
const WHY_LEN_MAX: usize = 4 << 10;

/// The headers of an event's message.
pub(super) fn headers(event: &Event) -> HeaderMap {
    let mut map = common(event);
    map.insert(ID, event.id.to_string());
    map
}

fn common(event: &Event) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert(TIME, event.at.as_micros().to_string());
    if !event.headers.is_empty() {
        map.insert(HEADERS, BASE64.encode(event.headers.as_stored()));
        // For those who read the stream without us.
        if let Some(kind) = event.headers.get(Headers::CONTENT_TYPE).filter(|kind| !kind.contains(['\r', '\n'])) {
            map.insert(CONTENT_TYPE, kind);
        }
    }
    map
}

/// The event of a message that stands at a place; `None` when it is none of ours.
pub(super) fn recorded(message: &async_nats::Message, position: Position, now: Time) -> Option<Recorded> {
    let (topic, sticky) = subjects::topic(&message.subject)?;
    Some(Recorded { position, event: event(message, topic, position, now), sticky })
}

/// The event of a message that nobody keeps.
pub(super) fn told(message: &async_nats::Message, position: Position, now: Time) -> Option<Event> {
    Some(event(message, subjects::told(&message.subject)?, position, now))
}

fn event(message: &async_nats::Message, topic: Topic, position: Position, now: Time) -> Event {
    let get = |name| message.headers.as_ref().and_then(|map| map.get(name)).map(|value| value.as_str());
    let id = get(ID).and_then(id_of);
    Event {
        // A place is a name as good as any: the same after every redelivery.
        id: id.unwrap_or_else(|| EventId::Text(format!("nats/{}/{}", position.epoch, position.seq).into())),
        topic,
        headers: stored_headers(get(HEADERS), get(CONTENT_TYPE)),
        payload: Bytes::copy_from_slice(&message.payload),
        at: get(TIME).and_then(|time| time.parse().ok()).map_or(now, Time),
    }
}

fn id_of(text: &str) -> Option<EventId> {
    EventId::from_text(Text::from(text)).ok()
}

fn stored_headers(stored: Option<&str>, content_type: Option<&str>) -> Headers {
    let stored = stored.and_then(|text| BASE64.decode(text).ok());
    let stored = stored.and_then(|bytes| Headers::from_stored(bytes.into()).ok());
    stored.unwrap_or_else(|| {
        let pairs = content_type.map(|kind| (Headers::CONTENT_TYPE, kind));
        Headers::from_pairs(pairs).unwrap_or_default()
    })
}

/// The headers of a dead letter's message.
pub(super) fn letter_headers(letter: &DeadLetter) -> HeaderMap {
    let Recorded { position, event, sticky } = &letter.recorded;
    let mut map = common(event);
    let why = &letter.why[..letter.why.floor_char_boundary(WHY_LEN_MAX)];
    map.insert(EVENT, event.id.to_string());
    map.insert(TOPIC, BASE64.encode(event.topic.as_str()));
    map.insert(STICKY, u8::from(*sticky).to_string());
    map.insert(SEQ, position.seq.to_string());
    map.insert(ATTEMPTS, letter.attempts.to_string());
    map.insert(DIED, letter.at.as_micros().to_string());
    map.insert(WHY, BASE64.encode(why));
    map
}

/// The letter of a message; `None` when it is none.
pub(super) fn letter(headers: &HeaderMap, payload: &Bytes, epoch: Epoch) -> Option<DeadLetter> {
    let get = |name| headers.get(name).map(|value| value.as_str());
    let number = |name| get(name)?.parse::<u64>().ok();
    let text = |name| String::from_utf8(BASE64.decode(get(name)?).ok()?).ok();
    let seq: Seq = number(SEQ)?;
    let event = Event {
        id: id_of(get(EVENT)?)?,
        topic: text(TOPIC)?.parse().ok()?,
        headers: stored_headers(get(HEADERS), None),
        payload: payload.clone(),
        at: Time(number(TIME)?),
    };
    let recorded = Recorded { position: Position::new(epoch, seq), event, sticky: number(STICKY)? == 1 };
    let attempts = u32::try_from(number(ATTEMPTS)?).ok()?;
    Some(DeadLetter { recorded, attempts, why: text(WHY)?, at: Time(number(DIED)?) })
}
