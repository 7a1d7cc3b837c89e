//! Structured and batched mode: events as JSON (CloudEvents JSON format 1.0.2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headwater_event::Event;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::problem::Problem;
use super::attributes::{Attributes, wrong};

/// Members of one event: attributes are few, and each is compared with those before it.
const MEMBERS_MAX: usize = 64;

/// The members of an object as they stand, so that `data` keeps its very bytes and a second member of a name is seen.
struct Members<'a>(Vec<(String, &'a RawValue)>);

/// One event.
pub(super) fn one(bytes: &[u8]) -> Result<Event, Problem> {
    event(parse(bytes)?)
}

/// Many events; one that is wrong refuses all, and says which it is.
pub(super) fn many(bytes: &[u8]) -> Result<Vec<Event>, Problem> {
    let events: Vec<Members<'_>> = parse(bytes)?;
    let numbered = events.into_iter().enumerate();
    numbered
        .map(|(at, members)| {
            event(members).map_err(|mut problem| {
                problem.detail = format!("event {at}: {}", problem.detail);
                problem.with("event", at)
            })
        })
        .collect()
}

fn parse<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| Problem::malformed(format!("no CloudEvent in JSON: {error}")))
}

fn event(Members(members): Members<'_>) -> Result<Event, Problem> {
    let mut attributes = Attributes::default();
    let (mut data, mut data_base64) = (None, None);
    for (name, value) in members {
        let twice = match name.as_str() {
            "data" => data.replace(value),
            "data_base64" => data_base64.replace(value),
            _ => {
                if let Some(text) = attribute(&name, value)? {
                    attributes.add(&name, text)?;
                }
                None
            }
        };
        if twice.is_some() {
            return Err(wrong(&name, "stands here twice"));
        }
    }
    let payload = match (data, data_base64) {
        (None, None) => Bytes::new(),
        (Some(data), None) => {
            if attributes.data_kind().is_none() {
                // JSON format section 3.1: without a word on it the data is JSON.
                attributes.add("datacontenttype", "application/json".to_owned())?;
            }
            payload(data, attributes.data_kind().unwrap_or_default())?
        }
        (None, Some(coded)) => {
            let coded: String = text(coded).ok_or_else(|| wrong("data_base64", "is a text"))?;
            STANDARD.decode(coded).map_err(|_| wrong("data_base64", "is not base64"))?.into()
        }
        (Some(_), Some(_)) => return Err(wrong("data", "stands beside data_base64; one of them can be")),
    };
    super::event(&attributes, payload)
}

/// An attribute's value as text; `None` for `null`, which is the same as leaving it out (section 2.2).
fn attribute(name: &str, value: &RawValue) -> Result<Option<String>, Problem> {
    let raw = value.get();
    match raw.as_bytes().first() {
        Some(b'"') => Ok(text(value)),
        Some(b't' | b'f') => Ok(Some(raw.to_owned())),
        Some(b'n') => Ok(None),
        // An integer of 32 bits (CloudEvents section 3.1).
        Some(b'-' | b'0'..=b'9') if raw.parse::<i32>().is_ok() => Ok(Some(raw.to_owned())),
        _ => Err(wrong(name, "is a text, a boolean or an integer of 32 bits")),
    }
}

/// What `data` stands for: JSON as it is written, or the text inside of a JSON text where the data is said to be no JSON.
fn payload(data: &RawValue, kind: &str) -> Result<Bytes, Problem> {
    let raw = data.get();
    if is_json(kind) {
        return Ok(Bytes::copy_from_slice(raw.as_bytes()));
    }
    match text(data) {
        Some(text) => Ok(text.into()),
        None if raw == "null" => Ok(Bytes::new()),
        None => Err(wrong("data", "is a text where datacontenttype is not JSON")),
    }
}

/// `*/json` and `*/*+json` (JSON format section 3.1).
fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.rsplit('/').next().is_some_and(|subtype| {
        subtype.eq_ignore_ascii_case("json")
            || subtype.rsplit_once('+').is_some_and(|(_, suffix)| suffix.eq_ignore_ascii_case("json"))
    })
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    if members.len() == MEMBERS_MAX {
                        return Err(serde::de::Error::custom(format_args!("more than {MEMBERS_MAX} members")));
                    }
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
