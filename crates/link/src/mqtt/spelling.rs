//! An event as an MQTT 5 publication and back.
//!
//! The names are those that Headwater's own MQTT edge reads and writes (`docs/mqtt.md`), so that over a Headwater an event
//! is the same on both sides: `event-id` is the producer's name for it, `content-type` and what only MQTT knows
//! (`mqtt-...`) are properties of their own, all other headers are user properties in their order. `event-time` is the
//! link's: when the hub took the event, in microseconds since 1970. It stands right behind the id, and says that the rest
//! was written by a link and means what it says.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD as BASE64;
use bytes::Bytes;
use headwater_event::{Event, EventId, Headers, Publication, Text, Time, Topic};
use uuid::Uuid;

use super::names;
use super::packet::{Properties, Publish};

/// The producer's name for the event.
const EVENT_ID: &str = "event-id";
/// When the hub took it.
const EVENT_TIME: &str = "event-time";
/// What a Headwater says of an event, before all that its producer wrote: attempt, time and id, parted by spaces.
const TOLD: &str = "headwater-told";
const FORMAT: &str = "mqtt-payload-format";
const EXPIRY: &str = "mqtt-expiry";
const RESPONSE_TOPIC: &str = "mqtt-response-topic";
const CORRELATION: &str = "mqtt-correlation-data";
/// Begins everything that only MQTT knows.
const OURS: &str = "mqtt-";
/// Begins the name of a user property that would be taken for something else.
const USER: &str = "mqtt-user-";

/// What came from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Came {
    pub event: Event,
    pub sticky: bool,
    /// The producer named it: only then is a copy known for what it is.
    pub is_named: bool,
    /// How often it was tried before, as far as one can see.
    pub tried: u32,
}

/// The publication of an event.
pub(super) fn publish(publication: &Publication) -> Publish {
    let Publication { event, sticky } = publication;
    let mut properties = properties(&event.headers);
    let stamps = [(EVENT_ID, event.id.to_string()), (EVENT_TIME, event.at.as_micros().to_string())];
    let stamps = stamps.map(|(name, value)| (Text::from_static(name), Text::from(value)));
    properties.user.splice(0..0, stamps);
    Publish {
        qos: 1,
        is_retained: *sticky,
        topic: names::of_topic(&event.topic),
        properties,
        payload: event.payload.clone(),
        ..Publish::default()
    }
}

/// The event of a publication that belongs to this topic.
pub(super) fn came(publish: &Publish, topic: Topic, now: Time) -> Came {
    let mut user = publish.properties.user.iter().peekable();
    let told = user.next_if(|(name, _)| name.as_str() == TOLD).and_then(|(_, value)| read_told(value));
    let attempt = told.as_ref().map(|(attempt, ..)| *attempt);
    let (mut id, mut at) = (None, None);
    let named = user.peek().filter(|(name, _)| name.as_str() == EVENT_ID).map(|(_, value)| value.clone());
    let mut rest = user.clone();
    rest.next();
    if let Some(text) = &named
        && let Some((_, time)) = rest.next_if(|(name, _)| name.as_str() == EVENT_TIME)
    {
        (id, at) = (event_id(text), time.parse().ok().map(Time));
        user = rest;
    }
    let is_ours = at.is_some();
    if id.is_none() {
        let all = &publish.properties.user;
        id = all.iter().find(|(name, _)| name.as_str() == EVENT_ID).and_then(|(_, text)| event_id(text));
    }
    if let Some((_, told_at, told_id)) = told {
        id = Some(id.filter(|_| is_ours).unwrap_or(told_id));
        at = Some(at.unwrap_or(told_at));
    }
    let is_named = id.is_some();
    let event = Event {
        // On a broker every id is a producer's: the process that gave it may have to send the event again.
        id: id.unwrap_or_else(|| EventId::Uuid(Uuid::now_v7())),
        topic: topic.detached(),
        headers: headers(&publish.properties, user, is_ours),
        payload: Bytes::copy_from_slice(&publish.payload),
        at: at.unwrap_or(now),
    };
    let tried = attempt.map_or(u32::from(publish.is_again), |attempt| attempt.saturating_sub(1));
    Came { event, sticky: publish.is_retained, is_named, tried }
}

/// Attempt, time and id.
fn read_told(text: &Text) -> Option<(u32, Time, EventId)> {
    let (attempt, rest) = text.split_once(' ')?;
    let (time, id) = rest.split_once(' ')?;
    Some((attempt.parse().ok()?, Time(time.parse().ok()?), event_id(&id.into())?))
}

/// An id as it was written; a number of a producer, too, which only a link may write.
pub(super) fn event_id(text: &Text) -> Option<EventId> {
    let numbered = text.split_once('/').and_then(|(producer, number)| {
        let (producer, number) = (Uuid::try_parse(producer).ok()?, number.parse().ok()?);
        let id = EventId::Numbered { producer, number };
        (id.to_string() == text.as_str()).then_some(id)
    });
    numbered.or_else(|| EventId::from_text(text.detached()).ok())
}

/// Headers as properties: what has a property of its own there, and the rest in their order.
pub(crate) fn properties(headers: &Headers) -> Properties {
    let mut properties = Properties::default();
    for (name, value) in headers.iter() {
        let Properties { format, expiry, response_topic, correlation, content_type, user } = &mut properties;
        let is_taken = match name {
            FORMAT if format.is_none() => fill(format, value.parse().ok().filter(|format| *format < 2)),
            EXPIRY if expiry.is_none() => fill(expiry, value.parse().ok()),
            RESPONSE_TOPIC if response_topic.is_none() && Topic::new(value).is_ok() => {
                fill(response_topic, Some(value.into()))
            }
            CORRELATION if correlation.is_none() => fill(correlation, BASE64.decode(value).ok().map(Bytes::from)),
            Headers::CONTENT_TYPE if content_type.is_none() => fill(content_type, Some(value.into())),
            _ => false,
        };
        if !is_taken {
            user.push((name.into(), value.into()));
        }
    }
    properties
}

fn fill<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

/// Properties as headers; `is_ours` when a link wrote them, which needs no name changed. What the limits of headers don't
/// allow is left out from the end: a broker that others use may carry more than a hub takes.
pub(crate) fn headers<'a>(
    properties: &Properties,
    user: impl Iterator<Item = &'a (Text, Text)>,
    is_ours: bool,
) -> Headers {
    let mut pairs: Vec<(String, String)> = Vec::new();
    if let Some(format) = properties.format {
        pairs.push((FORMAT.into(), format.to_string()));
    }
    if let Some(expiry) = properties.expiry {
        pairs.push((EXPIRY.into(), expiry.to_string()));
    }
    if let Some(topic) = &properties.response_topic {
        pairs.push((RESPONSE_TOPIC.into(), topic.to_string()));
    }
    if let Some(data) = &properties.correlation {
        pairs.push((CORRELATION.into(), BASE64.encode(data)));
    }
    if let Some(kind) = &properties.content_type {
        pairs.push((Headers::CONTENT_TYPE.into(), kind.to_string()));
    }
    for (name, value) in user {
        let name = if is_ours || is_plain(name) { name.to_string() } else { format!("{USER}{name}") };
        if !name.is_empty() && name.len() <= Headers::NAME_LEN_MAX && !name.chars().any(char::is_control) {
            pairs.push((name, value.to_string()));
        }
    }
    loop {
        let borrowed = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        match Headers::from_pairs(borrowed) {
            Ok(headers) => return headers,
            Err(_) if pairs.is_empty() => return Headers::none(),
            Err(_) => pairs.truncate(pairs.len() - 1),
        }
    }
}

/// Whether a user property of this name comes back under it.
fn is_plain(name: &str) -> bool {
    let begins_ours = name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS));
    !name.is_empty() && !begins_ours && !name.eq_ignore_ascii_case(Headers::CONTENT_TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(id: &str, pairs: &[(&str, &str)]) -> Publication {
        let event = Event {
            id: id.parse().unwrap(),
            topic: "a/b".parse().unwrap(),
            headers: Headers::from_pairs(pairs.iter().copied()).unwrap(),
            payload: Bytes::from_static(b"x"),
            at: Time(1_700_000_000_000_001),
        };
        Publication { event, sticky: true }
    }

    #[test]
    fn an_event_comes_back_as_it_went_in() {
        let pairs = [
            ("mqtt-payload-format", "1"),
            ("mqtt-expiry", "60"),
            ("mqtt-response-topic", "answer/here"),
            ("mqtt-correlation-data", "AP8H"),
            ("content-type", "text/plain"),
            ("event-id", "the client's own"),
            ("mqtt-qos", "2"),
            ("x", "1"),
            ("x", "2"),
            ("mqtt-expiry", "soon"),
        ];
        for pairs in [&pairs[..], &[], &pairs[4..8]] {
            let publication = publication("order-17", pairs);
            let came = came(&publish(&publication), publication.event.topic.clone(), Time(5));
            assert_eq!(came.event, publication.event);
            assert!(came.sticky && came.is_named);
        }
    }

    #[test]
    fn what_others_publish_keeps_its_id_and_its_names() {
        let user = [("x", "1"), ("event-id", "theirs"), ("mqtt-qos", "9"), ("a\nb", "no name")];
        let user = user.map(|(name, value)| (Text::from(name), Text::from(value))).to_vec();
        let plain = Publish {
            is_again: true,
            topic: "a".into(),
            properties: Properties { user, content_type: Some("text/plain".into()), ..Properties::default() },
            ..Publish::default()
        };
        let came = came(&plain, "a".parse().unwrap(), Time(5));
        assert_eq!((came.event.id.to_string().as_str(), came.is_named, came.tried), ("theirs", true, 1));
        assert_eq!(came.event.at, Time(5));
        let headers: Vec<_> = came.event.headers.iter().collect();
        let wanted = [("content-type", "text/plain"), ("x", "1"), ("event-id", "theirs"), ("mqtt-user-mqtt-qos", "9")];
        assert_eq!(headers, wanted);
    }

    #[test]
    fn what_nobody_named_gets_a_name_of_its_own() {
        let came = came(&Publish { topic: "a".into(), ..Publish::default() }, "a".parse().unwrap(), Time(5));
        assert!(!came.is_named && matches!(came.event.id, EventId::Uuid(_)));
        assert_eq!(came.tried, 0);
    }

    #[test]
    fn what_a_headwater_tells_names_the_events_of_other_protocols() {
        let told = |user: &[(&str, &str)]| {
            let user = user.iter().map(|(name, value)| (Text::from(*name), Text::from(*value))).collect();
            let properties = Properties { user, ..Properties::default() };
            let publish = Publish { topic: "a".into(), properties, ..Publish::default() };
            came(&publish, "a".parse().unwrap(), Time(5))
        };
        let by_http = told(&[("headwater-told", "3 77 order 17"), ("x", "1")]);
        assert_eq!((by_http.event.id.to_string().as_str(), by_http.event.at), ("order 17", Time(77)));
        assert_eq!((by_http.is_named, by_http.tried), (true, 2));
        assert_eq!(by_http.event.headers.iter().collect::<Vec<_>>(), [("x", "1")]);
        // A link wrote this one: its own time counts.
        let by_link = told(&[("headwater-told", "1 77 a"), ("event-id", "a"), ("event-time", "70")]);
        assert_eq!((by_link.event.at, by_link.event.headers.is_empty(), by_link.tried), (Time(70), true, 0));
        let by_client = told(&[("headwater-told", "1 77 a"), ("event-id", "a")]);
        assert_eq!((by_client.event.at, by_client.event.headers.get("event-id")), (Time(77), Some("a")));
        assert!(!told(&[("headwater-told", "x")]).is_named);
    }

    #[test]
    fn a_numbered_id_survives() {
        let id = EventId::Numbered { producer: Uuid::from_u128(7), number: 3 };
        assert_eq!(event_id(&id.to_string().into()), Some(id));
        assert!(matches!(event_id(&"a/3".into()), Some(EventId::Text(_))));
    }
}
