//! How the console spells what it shows: events as far as the viewer may see them, moments, and what went wrong.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_edge::http::Problem;
use headwater_event::{BusError, Recorded, Time, json};
use serde_json::{Map, Value, json};

use super::rights::Rights;

/// How many bytes of a payload are shown; the whole is at `/v1/sticky` and `/v1/events`.
const SHOWN_MAX: usize = 4 * 1_024;

/// An answer that is JSON and out of date at once.
pub fn answer(value: &Value) -> Response {
    let mut response = value.to_string().into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A moment as RFC 3339.
pub fn moment(time: Time) -> String {
    let mut out = Vec::new();
    json::write_time(time, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// An event as this viewer may see it: to those who may see no payload, headers are hidden too, as they are a part of what
/// the producer said.
pub fn event(recorded: &Recorded, rights: Rights) -> Value {
    let event = &recorded.event;
    let mut shown = Map::new();
    shown.insert("seq".into(), recorded.position.seq.into());
    shown.insert("time".into(), moment(event.at).into());
    shown.insert("id".into(), event.id.to_string().into());
    shown.insert("topic".into(), event.topic.as_str().into());
    shown.insert("size".into(), event.payload.len().into());
    shown.insert("sticky".into(), recorded.sticky.into());
    if rights < Rights::Admin {
        shown.insert("hidden".into(), true.into());
        return shown.into();
    }
    let headers = event.headers.iter().map(|(name, value)| json!([name, value]));
    shown.insert("headers".into(), headers.collect());
    let (name, text, is_cut) = payload(&event.payload);
    shown.insert(name.into(), text.into());
    if is_cut {
        shown.insert("cut".into(), true.into());
    }
    shown.into()
}

/// The beginning of a payload, as text where the whole is text.
fn payload(bytes: &[u8]) -> (&'static str, String, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let shown = &text[..text.floor_char_boundary(SHOWN_MAX)];
            ("payload", shown.to_owned(), shown.len() < text.len())
        }
        Err(_) => ("payload_base64", STANDARD.encode(&bytes[..bytes.len().min(SHOWN_MAX)]), bytes.len() > SHOWN_MAX),
    }
}

/// What an engine's error means to who asked.
pub fn fault(error: BusError) -> Problem {
    match error {
        BusError::Gone { oldest } => {
            Problem::new(StatusCode::GONE, "gone", "retention has freed what was asked for").with("oldest", oldest)
        }
        BusError::Unable(what) => {
            Problem::new(StatusCode::NOT_IMPLEMENTED, "unable", format!("this engine can't {what}"))
        }
        error => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headwater_event::{Event, EventId, Headers, Position, Topic};

    use super::*;

    fn recorded(payload: impl Into<Bytes>) -> Recorded {
        Recorded {
            position: Position::new(7, 3),
            event: Event {
                id: EventId::generate(),
                topic: Topic::new("a").unwrap(),
                headers: Headers::from_pairs([("x", "secret header")]).unwrap(),
                payload: payload.into(),
                at: Time(0),
            },
            sticky: true,
        }
    }

    #[test]
    fn an_observer_sees_topic_and_size_and_nothing_that_the_producer_said() {
        let shown = event(&recorded("secret payload"), Rights::Observer);
        assert_eq!((&shown["topic"], &shown["size"], &shown["hidden"]), (&json!("a"), &json!(14), &json!(true)));
        assert!(!shown.to_string().contains("secret"), "{shown}");
        let shown = event(&recorded("secret payload"), Rights::Admin);
        assert_eq!(
            (&shown["payload"], &shown["headers"]),
            (&json!("secret payload"), &json!([["x", "secret header"]]))
        );
    }

    #[test]
    fn a_large_payload_is_cut_between_characters_and_bytes_come_as_base64() {
        let shown = event(&recorded("ü".repeat(SHOWN_MAX)), Rights::Admin);
        assert_eq!((shown["payload"].as_str().unwrap().len(), &shown["cut"]), (SHOWN_MAX, &json!(true)));
        let shown = event(&recorded(vec![0xff; SHOWN_MAX]), Rights::Admin);
        assert_eq!(
            (shown["payload_base64"].as_str().unwrap().len(), shown.get("cut")),
            (SHOWN_MAX.div_ceil(3) * 4, None)
        );
    }
}
