//! Typed bodies: one explicit call reads or writes JSON or CBOR.

use bytes::Bytes;
use headwater_event::{Event, Headers};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The content type of JSON (RFC 8259).
pub const JSON: &str = "application/json";
/// The content type of CBOR (RFC 8949).
pub const CBOR: &str = "application/cbor";

/// How deep a CBOR body may be nested: as deep as serde_json lets JSON be.
const DEPTH_MAX: usize = 128;

/// Bytes and what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The content type.
    pub content_type: String,
    /// The bytes.
    pub bytes: Bytes,
}

/// What an event's body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Cbor,
}

impl Format {
    /// By the content type; without one, or with one that says nothing about the form, it's JSON.
    pub(crate) fn of(headers: &Headers) -> Self {
        headers.get(Headers::CONTENT_TYPE).map_or(Self::Json, Self::named)
    }

    fn named(content_type: &str) -> Self {
        let kind = content_type.split(';').next().unwrap_or("").trim();
        // `application/cbor`, and what is built on it (`application/vnd.x+cbor`, RFC 6839).
        let kind = kind.to_ascii_lowercase();
        if kind == CBOR || kind.ends_with("+cbor") { Self::Cbor } else { Self::Json }
    }
}

/// Reads the body of an event as JSON, or as CBOR where its content type says so.
///
/// # Errors
/// `Dead`, with the field named, when the body is not what is wanted.
pub fn read<T: DeserializeOwned>(event: &Event) -> Result<T, Failure> {
    match Format::of(&event.headers) {
        Format::Json => {
            let mut reader = serde_json::Deserializer::from_slice(&event.payload);
            let value = serde_path_to_error::deserialize(&mut reader)
                .map_err(|error| unreadable("JSON", &error.path().to_string(), &error.inner().to_string()))?;
            reader.end().map_err(|error| unreadable("JSON", ".", &error.to_string()))?;
            Ok(value)
        }
        Format::Cbor => {
            let mut rest = &event.payload[..];
            // Into a tree first: the depth is bounded there, and the way to a wrong field can then be told.
            let tree: ciborium::Value = ciborium::de::from_reader_with_recursion_limit(&mut rest, DEPTH_MAX)
                .map_err(|error| unreadable("CBOR", ".", &error.to_string()))?;
            if !rest.is_empty() {
                return Err(unreadable("CBOR", ".", "there are bytes behind the end"));
            }
            tree.deserialized().map_err(|error| match field_of::<T>(&tree) {
                Some((field, why)) => unreadable("CBOR", &field, &why),
                None => unreadable("CBOR", ".", &error.to_string()),
            })
        }
    }
}

/// Where a tree is not what is wanted; CBOR's reader doesn't tell, so the same is asked of its JSON.
fn field_of<T: DeserializeOwned>(tree: &ciborium::Value) -> Option<(String, String)> {
    let json = serde_json::to_value(tree).ok()?;
    let error = serde_path_to_error::deserialize::<_, T>(json).err()?;
    Some((error.path().to_string(), error.inner().to_string()))
}

fn unreadable(format: &str, field: &str, why: &str) -> Failure {
    match field {
        "." | "" => Failure::dead(format!("the body can't be read as {format}: {why}")),
        field => Failure::dead(format!("the body can't be read as {format}: {field}: {why}")),
    }
}

/// A value as JSON.
///
/// # Errors
/// `Dead` when it can't be written so (a map whose keys aren't text).
pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Body, Failure> {
    let bytes =
        serde_json::to_vec(value).map_err(|error| Failure::dead(format!("can't be written as JSON: {error}")))?;
    Ok(Body { content_type: JSON.into(), bytes: bytes.into() })
}

/// A value as CBOR.
///
/// # Errors
/// `Dead` when it can't be written so.
pub fn cbor<T: Serialize + ?Sized>(value: &T) -> Result<Body, Failure> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes)
        .map_err(|error| Failure::dead(format!("can't be written as CBOR: {error}")))?;
    Ok(Body { content_type: CBOR.into(), bytes: bytes.into() })
}

/// A value in the format of this event, for answers.
///
/// # Errors
/// `Dead` when it can't be written so.
pub fn like<T: Serialize + ?Sized>(event: &Event, value: &T) -> Result<Body, Failure> {
    match Format::of(&event.headers) {
        Format::Json => json(value),
        Format::Cbor => cbor(value),
    }
}

impl Body {
    /// The same in another format; what is neither JSON nor CBOR stays as it is.
    pub(crate) fn into_format(self, wanted: Format) -> Result<Self, Failure> {
        match (self.content_type.as_str(), wanted) {
            (JSON, Format::Cbor) => {
                let value: serde_json::Value = serde_json::from_slice(&self.bytes)
                    .map_err(|error| Failure::dead(format!("the answer is no JSON: {error}")))?;
                cbor(&value)
            }
            (CBOR, Format::Json) => {
                let value: ciborium::Value = ciborium::de::from_reader_with_recursion_limit(&self.bytes[..], DEPTH_MAX)
                    .map_err(|error| Failure::dead(format!("the answer is no CBOR: {error}")))?;
                json(&value)
            }
            _ => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use headwater_event::{EventId, Time, Topic};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Order {
        id: u64,
        items: Vec<Item>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Item {
        count: u32,
    }

    fn event(body: Body) -> Event {
        Event {
            id: EventId::generate(),
            topic: Topic::new("t").unwrap(),
            headers: Headers::from_pairs([(Headers::CONTENT_TYPE, body.content_type.as_str())]).unwrap(),
            payload: body.bytes,
            at: Time(0),
        }
    }

    fn order() -> Order {
        Order { id: 7, items: vec![Item { count: 1 }, Item { count: 2 }] }
    }

    #[test]
    fn a_body_reads_back_in_both_formats_and_in_each_others() {
        for body in [json(&order()).unwrap(), cbor(&order()).unwrap()] {
            assert_eq!(read::<Order>(&event(body.clone())).unwrap(), order());
            for format in [Format::Json, Format::Cbor] {
                let other = body.clone().into_format(format).unwrap();
                assert_eq!(read::<Order>(&event(other)).unwrap(), order());
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_given_up_with_the_field_named() {
        #[derive(Serialize)]
        struct Wrong {
            id: u64,
            items: Vec<WrongItem>,
        }
        #[derive(Serialize)]
        struct WrongItem {
            count: &'static str,
        }
        let wrong = Wrong { id: 7, items: vec![WrongItem { count: "many" }] };
        for body in [json(&wrong).unwrap(), cbor(&wrong).unwrap()] {
            let Err(Failure::Dead { why }) = read::<Order>(&event(body)) else { panic!("it was read") };
            assert!(why.contains("items[0].count"), "{why}");
        }
        let missing = Body { content_type: JSON.into(), bytes: Bytes::from_static(b"{\"id\":7}") };
        let Err(Failure::Dead { why }) = read::<Order>(&event(missing)) else { panic!("it was read") };
        assert!(why.contains("items"), "{why}");
    }

    #[test]
    fn hostile_bodies_are_refused() {
        let deep = vec![0x81; 100_000];
        let long = vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let trailing = [cbor(&order()).unwrap().bytes.to_vec(), vec![0]].concat();
        for bytes in [deep, long, trailing, vec![], vec![0xff]] {
            let body = Body { content_type: CBOR.into(), bytes: bytes.into() };
            assert!(matches!(read::<Order>(&event(body)), Err(Failure::Dead { .. })));
        }
        for text in ["", "{", "null", "{\"id\":7,\"items\":[]} x", &"[".repeat(100_000)] {
            let body = Body { content_type: JSON.into(), bytes: Bytes::copy_from_slice(text.as_bytes()) };
            assert!(matches!(read::<Order>(&event(body)), Err(Failure::Dead { .. })), "{text:.20}");
        }
    }

    #[test]
    fn the_content_type_says_the_format() {
        for (text, format) in [
            ("application/json", Format::Json),
            ("text/plain; charset=utf-8", Format::Json),
            ("application/CBOR", Format::Cbor),
            ("application/vnd.shop+cbor; v=1", Format::Cbor),
        ] {
            assert_eq!(Format::named(text), format, "{text}");
        }
    }
}
