//! A publication's properties as headers of its event, so that they outlive the connection and other edges see them too.
//!
//! What other protocols know has their name (`content-type`); what only MQTT knows begins with `mqtt-`. User properties
//! keep their own names and their order; one whose name means something else here is kept as `mqtt-user-NAME`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD as BASE64;
use headwater_event::{Event, Headers, Text};

use super::packet::{PayloadFormat, PublishProperties, Qos, Reason};

/// The quality of service of the publication, where it isn't 1; events of other edges have 1.
const QOS: &str = "mqtt-qos";
/// `1` when the publisher says that the payload is UTF-8, `0` when it says that it may not be (MQTT 5.0 section 3.3.2.3.2).
const FORMAT: &str = "mqtt-payload-format";
/// For how many seconds the event is worth delivering (section 3.3.2.3.3).
const EXPIRY: &str = "mqtt-expiry";
/// Where the answer is wanted (section 3.3.2.3.5).
const RESPONSE_TOPIC: &str = "mqtt-response-topic";
/// What the answer must carry (section 3.3.2.3.6), in base64.
const CORRELATION: &str = "mqtt-correlation-data";
/// Which client it came from, by a mark: written only for what a client may not want to get back.
const FROM: &str = "mqtt-from";
/// Begins the name of a user property that would be taken for something else.
const USER: &str = "mqtt-user-";
/// Begins everything that only MQTT knows.
const OURS: &str = "mqtt-";
/// The user property by which a publisher names its event: a resent one with the same id adds nothing.
pub(super) const EVENT_ID: &str = "event-id";

/// The user property of CONNECT by which another Headwater, or whoever else wants to know, asks to be told what events are to
/// this hub.
const TELL: &str = "headwater-tell";
/// The user property that stands first in what it is told: attempt, time in microseconds since 1970, and id, parted by spaces.
pub(super) const TOLD: &str = "headwater-told";
/// The user property of CONNACK by which it is told what an acknowledgement means here.
pub(super) const DURABILITY: &str = "headwater-durability";

/// The user property of CONNACK by which it is told which log this is: a bridge sends nothing back to where it began.
pub(super) const LOG: &str = "headwater-log";

/// Whether a client asks to be told what events are to the hub.
pub(super) fn asks_to_be_told(properties: &[(Text, Text)]) -> bool {
    properties.iter().any(|(name, value)| name.as_str() == TELL && value.as_str() == "event")
}

/// What an event is to the hub.
pub(super) fn told(attempt: u32, event: &Event) -> String {
    format!("{attempt} {} {}", event.at.as_micros(), event.id)
}

/// What an event's headers mean to MQTT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    Qos(Qos),
    Format(PayloadFormat),
    Expiry(u32),
    ResponseTopic(&'a str),
    Correlation(Vec<u8>),
    ContentType(&'a str),
    From(&'a str),
    User(&'a str, &'a str),
}

/// The headers of a publication.
///
/// # Errors
/// When the hub's limits on headers are passed.
pub(super) fn of_publication(
    qos: Qos,
    properties: Option<&PublishProperties>,
    from: Option<&Text>,
) -> Result<Headers, Reason> {
    if qos == Qos::AtLeastOnce && properties.is_none() && from.is_none() {
        return Ok(Headers::none());
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    match qos {
        Qos::AtMostOnce => pairs.push((QOS.into(), "0".into())),
        Qos::AtLeastOnce => {}
        Qos::ExactlyOnce => pairs.push((QOS.into(), "2".into())),
    }
    if let Some(properties) = properties {
        if let Some(format) = properties.payload_format {
            pairs.push((FORMAT.into(), format.byte().to_string()));
        }
        if let Some(seconds) = properties.message_expiry {
            pairs.push((EXPIRY.into(), seconds.to_string()));
        }
        if let Some(topic) = &properties.response_topic {
            pairs.push((RESPONSE_TOPIC.into(), topic.to_string()));
        }
        if let Some(data) = &properties.correlation_data {
            pairs.push((CORRELATION.into(), BASE64.encode(data)));
        }
        if let Some(kind) = &properties.content_type {
            pairs.push((Headers::CONTENT_TYPE.into(), kind.to_string()));
        }
        for (name, value) in &properties.user_properties {
            let name = if is_plain(name) { name.to_string() } else { format!("{USER}{name}") };
            pairs.push((name, value.to_string()));
        }
    }
    if let Some(from) = from {
        pairs.push((FROM.into(), from.to_string()));
    }
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Headers::from_pairs(pairs).map_err(|_| Reason::IMPLEMENTATION_SPECIFIC_ERROR)
}

/// Whether a user property of this name comes back under it.
fn is_plain(name: &str) -> bool {
    let begins_ours = name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS));
    !name.is_empty() && !begins_ours && !name.eq_ignore_ascii_case(Headers::CONTENT_TYPE)
}

/// What each header of an event means, in their order.
pub(super) fn meanings(headers: &Headers) -> impl Iterator<Item = Meaning<'_>> {
    headers.iter().map(|(name, value)| meaning(name, value))
}

fn meaning<'a>(name: &'a str, value: &'a str) -> Meaning<'a> {
    let known = match name {
        QOS => match value {
            "0" => Some(Meaning::Qos(Qos::AtMostOnce)),
            "2" => Some(Meaning::Qos(Qos::ExactlyOnce)),
            _ => None,
        },
        FORMAT => match value {
            "0" => Some(Meaning::Format(PayloadFormat::Bytes)),
            "1" => Some(Meaning::Format(PayloadFormat::Text)),
            _ => None,
        },
        EXPIRY => value.parse().ok().map(Meaning::Expiry),
        RESPONSE_TOPIC => Some(Meaning::ResponseTopic(value)),
        CORRELATION => BASE64.decode(value).ok().map(Meaning::Correlation),
        FROM => Some(Meaning::From(value)),
        _ if name.eq_ignore_ascii_case(Headers::CONTENT_TYPE) => Some(Meaning::ContentType(value)),
        _ => None,
    };
    // Events of other edges may have headers of these names that mean nothing here.
    known.unwrap_or_else(|| Meaning::User(name.strip_prefix(USER).unwrap_or(name), value))
}

/// The quality of service that an event was published with.
pub(super) fn qos_of(event: &Event) -> Qos {
    if event.headers.is_empty() {
        return Qos::AtLeastOnce;
    }
    match event.headers.get(QOS) {
        Some("0") => Qos::AtMostOnce,
        Some("2") => Qos::ExactlyOnce,
        _ => Qos::AtLeastOnce,
    }
}

/// Whether an event is worth delivering for some time only.
pub(super) fn has_expiry(event: &Event) -> bool {
    !event.headers.is_empty() && event.headers.get(EXPIRY).is_some()
}

/// Whether an event came from this connection.
pub(super) fn is_from(event: &Event, from: &Text) -> bool {
    !event.headers.is_empty() && event.headers.get(FROM) == Some(from.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_come_back_as_they_went_in() {
        let properties = PublishProperties {
            payload_format: Some(PayloadFormat::Text),
            message_expiry: Some(9),
            response_topic: Some("answer/here".into()),
            correlation_data: Some(bytes::Bytes::from_static(&[0, 255, 7])),
            content_type: Some("text/plain".into()),
            user_properties: ["b", "a", "b", "", "content-type", "MQTT-qos", "mqtt-user-x"]
                .map(|name| (name.into(), "v".into()))
                .into(),
            ..PublishProperties::default()
        };
        let headers = of_publication(Qos::ExactlyOnce, Some(&properties), Some(&"c1".into())).unwrap();
        let back: Vec<_> = meanings(&headers).collect();
        let user = |name| Meaning::User(name, "v");
        assert_eq!(
            back,
            [
                Meaning::Qos(Qos::ExactlyOnce),
                Meaning::Format(PayloadFormat::Text),
                Meaning::Expiry(9),
                Meaning::ResponseTopic("answer/here"),
                Meaning::Correlation(vec![0, 255, 7]),
                Meaning::ContentType("text/plain"),
                user("b"),
                user("a"),
                user("b"),
                user(""),
                user("content-type"),
                user("MQTT-qos"),
                user("mqtt-user-x"),
                Meaning::From("c1"),
            ]
        );
    }

    #[test]
    fn the_usual_publication_has_no_headers() {
        assert!(of_publication(Qos::AtLeastOnce, None, None).unwrap().is_empty());
    }

    #[test]
    fn headers_of_other_edges_that_look_like_ours_are_user_properties() {
        let headers = Headers::from_pairs([("mqtt-expiry", "soon"), ("mqtt-qos", "7"), ("x", "y")]).unwrap();
        let back: Vec<_> = meanings(&headers).collect();
        let user = |name, value| Meaning::User(name, value);
        assert_eq!(back, [user("mqtt-expiry", "soon"), user("mqtt-qos", "7"), user("x", "y")]);
    }
}
