//! What a client asks for: one JSON object a text message, read without leniency.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headwater_event::{EventId, Filter, Headers, Position, Refusal, Text, Topic};
use headwater_hub::{From, WhenBehind};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::strict::{HeaderPairs, Strict};

/// The longest `ref` in bytes of JSON: a UUID with its quotes is 38.
pub const REF_LEN_MAX: usize = 64;

/// The longest sentence about a fault, in bytes: it may quote the client, who may have sent a megabyte.
const SENTENCE_LEN_MAX: usize = 240;

/// A client's own mark on a request, given back with the answer: a string or a whole number, as JSON.
pub type Reference = Box<str>;

/// A request and the mark on it.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// Given back with the answer.
    pub reference: Option<Reference>,
    /// What is wanted, or why it can't be understood.
    pub request: Result<Request, Refusal>,
}

/// What a client can ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// To be told what happens.
    Subscribe(Subscribe),
    /// To be told no longer.
    Unsubscribe(Filter),
    /// To make something known.
    Publish(Box<Publish>),
    /// Whether anybody is there.
    Ping,
}

/// `subscribe`.
#[derive(Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// What is wanted.
    pub filter: Filter,
    /// Where to begin.
    pub from: From,
    /// Whether the latest states come first.
    pub sticky: bool,
    /// What to do when this client is too slow.
    pub behind: WhenBehind,
}

/// `publish`.
#[derive(Debug, PartialEq, Eq)]
pub struct Publish {
    /// Where it belongs.
    pub topic: Topic,
    /// The client's name for it.
    pub id: Option<EventId>,
    /// What travels beside the payload.
    pub headers: Headers,
    /// The bytes.
    pub payload: Bytes,
    /// Whether it becomes the topic's latest state.
    pub sticky: bool,
}

/// All members that any request may have, as they were written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(default, deserialize_with = "present")]
    op: Option<String>,
    #[serde(default, rename = "ref", borrow, deserialize_with = "present")]
    reference: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    filter: Option<String>,
    #[serde(default, deserialize_with = "present")]
    from: Option<String>,
    #[serde(default, deserialize_with = "present")]
    behind: Option<String>,
    #[serde(default, deserialize_with = "present")]
    sticky: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    topic: Option<String>,
    #[serde(default, deserialize_with = "present")]
    payload: Option<String>,
    #[serde(default, deserialize_with = "present")]
    payload_base64: Option<String>,
    #[serde(default, borrow, deserialize_with = "present")]
    json: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    headers: Option<HeaderPairs>,
}

/// A member that is there has a value of its type; `null` is none.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads one text message.
#[must_use]
pub fn read(text: &str) -> Asked {
    match Written::read(text) {
        Ok(written) => match written.mark() {
            Ok(reference) => Asked { reference, request: written.into_request() },
            Err(refusal) => Asked { reference: None, request: Err(refusal) },
        },
        Err(refusal) => Asked { reference: only_mark(text), request: Err(refusal) },
    }
}

/// The mark alone, of a request that can't be understood otherwise, so that the client can match the error.
fn only_mark(text: &str) -> Option<Reference> {
    #[derive(Deserialize)]
    struct Marked<'a> {
        #[serde(rename = "ref", borrow)]
        reference: &'a RawValue,
    }
    let marked: Marked<'_> = serde_json::from_str(text).ok()?;
    check_mark(marked.reference).ok()
}

fn check_mark(raw: &RawValue) -> Result<Reference, Refusal> {
    let text = raw.get();
    let is_text = text.starts_with('"') && serde_json::from_str::<Strict>(text).is_ok();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if text.len() > REF_LEN_MAX || !(is_text || is_number) {
        return Err(malformed(format!("`ref` is a string or a whole number of at most {REF_LEN_MAX} bytes")));
    }
    Ok(text.into())
}

impl<'a> Written<'a> {
    fn read(text: &'a str) -> Result<Self, Refusal> {
        // Without this an array of values would be taken for an object's members in their order.
        if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
            return Err(malformed("a frame is one JSON object"));
        }
        serde_json::from_str(text).map_err(|error| malformed(format!("not a frame: {error}")))
    }

    fn mark(&self) -> Result<Option<Reference>, Refusal> {
        self.reference.map(check_mark).transpose()
    }

    fn into_request(mut self) -> Result<Request, Refusal> {
        let Some(op) = self.op.take() else { return Err(malformed("`op` is missing")) };
        match op.as_str() {
            "subscribe" => self.only("subscribe", &["filter", "from", "sticky", "behind"])?.subscribe(),
            "unsubscribe" => self.only("unsubscribe", &["filter"])?.unsubscribe(),
            "publish" => {
                let members = ["topic", "payload", "payload_base64", "json", "id", "headers", "sticky"];
                self.only("publish", &members)?.publish()
            }
            "ping" => self.only("ping", &[]).map(|_| Request::Ping),
            "hello" => Err(malformed("`hello` is kept for authentication, which is not set up here")),
            _ => Err(malformed("unknown `op`: subscribe, unsubscribe, publish and ping are known")),
        }
    }

    /// Refuses members that mean something only elsewhere: a client that sends them expects what won't happen.
    fn only(self, op: &str, allowed: &[&str]) -> Result<Self, Refusal> {
        let given = [
            ("filter", self.filter.is_some()),
            ("from", self.from.is_some()),
            ("behind", self.behind.is_some()),
            ("sticky", self.sticky.is_some()),
            ("topic", self.topic.is_some()),
            ("payload", self.payload.is_some()),
            ("payload_base64", self.payload_base64.is_some()),
            ("json", self.json.is_some()),
            ("id", self.id.is_some()),
            ("headers", self.headers.is_some()),
        ];
        match given.iter().find(|(name, is_given)| *is_given && !allowed.contains(name)) {
            Some((name, _)) => Err(malformed(format!("`{name}` means nothing in {op}"))),
            None => Ok(self),
        }
    }

    fn subscribe(self) -> Result<Request, Refusal> {
        let filter = read_filter(self.filter)?;
        let from = match self.from.as_deref() {
            None => From::Now,
            Some("start") => From::Oldest,
            Some(text) => From::After(text.parse::<Position>().map_err(malformed)?),
        };
        if self.sticky == Some(true) && from != From::Now {
            return Err(malformed("`sticky` begins with the present states, so it can't be joined with `from`"));
        }
        let behind = match self.behind.as_deref() {
            None | Some("catch_up") => WhenBehind::CatchUp,
            Some("gap") => WhenBehind::Gap,
            Some("disconnect") => WhenBehind::Disconnect,
            Some(_) => return Err(malformed("`behind` is catch_up, gap or disconnect")),
        };
        let sticky = self.sticky.unwrap_or(from == From::Now);
        Ok(Request::Subscribe(Subscribe { filter, from, sticky, behind }))
    }

    fn unsubscribe(self) -> Result<Request, Refusal> {
        read_filter(self.filter).map(Request::Unsubscribe)
    }

    fn publish(self) -> Result<Request, Refusal> {
        let topic = self.topic.ok_or_else(|| malformed("`topic` is missing"))?;
        let headers = self.headers.unwrap_or_default().0;
        let mut pairs: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        if self.json.is_some() && !pairs.iter().any(|(name, _)| name.eq_ignore_ascii_case(Headers::CONTENT_TYPE)) {
            pairs.push((Headers::CONTENT_TYPE, "application/json"));
        }
        Ok(Request::Publish(Box::new(Publish {
            topic: Topic::new(topic).map_err(malformed)?,
            id: self.id.map(|id| EventId::from_text(Text::from(id))).transpose().map_err(malformed)?,
            headers: Headers::from_pairs(pairs).map_err(malformed)?,
            payload: read_payload(self.payload, self.payload_base64, self.json)?,
            sticky: self.sticky.unwrap_or(false),
        })))
    }
}

fn read_filter(filter: Option<String>) -> Result<Filter, Refusal> {
    Filter::new(filter.ok_or_else(|| malformed("`filter` is missing"))?).map_err(malformed)
}

fn read_payload(text: Option<String>, base64: Option<String>, json: Option<&RawValue>) -> Result<Bytes, Refusal> {
    match (text, base64, json) {
        (Some(text), None, None) => Ok(Bytes::from(text)),
        (None, Some(base64), None) => STANDARD
            .decode(base64)
            .map(Bytes::from)
            .map_err(|_| malformed("`payload_base64` is base64 with the standard alphabet and padding")),
        (None, None, Some(json)) => {
            serde_json::from_str::<Strict>(json.get()).map_err(|error| malformed(format!("`json`: {error}")))?;
            Ok(Bytes::copy_from_slice(json.get().as_bytes()))
        }
        _ => Err(malformed("an event has one of `payload`, `payload_base64` and `json`")),
    }
}

/// The refusal of a request that can't be understood.
pub fn malformed(why: impl ToString) -> Refusal {
    let mut why = why.to_string();
    if why.len() > SENTENCE_LEN_MAX {
        let mut end = SENTENCE_LEN_MAX;
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        why.truncate(end);
        why.push('…');
    }
    Refusal::Malformed(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> Request {
        read(text).request.unwrap_or_else(|refusal| panic!("{text}: {refusal}"))
    }

    fn why(text: &str) -> String {
        match read(text).request {
            Err(Refusal::Malformed(why)) => why,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn publish(text: &str) -> Publish {
        match good(text) {
            Request::Publish(publish) => *publish,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_newcomer_gets_the_latest_states_unless_it_says_where_to_begin() {
        let filter = Filter::new("a/#").unwrap();
        let subscribe = |text: &str| match good(text) {
            Request::Subscribe(subscribe) => subscribe,
            other => panic!("{other:?}"),
        };
        let plain = Subscribe { filter, from: From::Now, sticky: true, behind: WhenBehind::CatchUp };
        assert_eq!(subscribe(r#"{"op":"subscribe","filter":"a/#"}"#), plain);
        let back = subscribe(r#"{"op":"subscribe","filter":"a/#","from":"7:3","behind":"gap"}"#);
        let from = From::After(Position::new(7, 3));
        assert_eq!(back, Subscribe { from, sticky: false, behind: WhenBehind::Gap, ..plain });
    }

    #[test]
    fn a_payload_is_text_or_bytes_or_json_as_it_was_written() {
        assert_eq!(publish(r#"{"op":"publish","topic":"t","payload":"\u00fc"}"#).payload, "ü");
        assert_eq!(publish(r#"{"op":"publish","topic":"t","payload_base64":"/wA="}"#).payload, &b"\xff\0"[..]);
        let json = publish(r#"{"op":"publish","topic":"t","json":{"b":1.0,"a":[ null ]}}"#);
        assert_eq!(json.payload, r#"{"b":1.0,"a":[ null ]}"#);
        assert_eq!(json.headers.get("content-type"), Some("application/json"));
        assert_eq!(publish(r#"{"op":"publish","topic":"t","json":null}"#).payload, "null");
        let own = publish(r#"{"op":"publish","topic":"t","json":1,"headers":{"Content-Type":"x"}}"#);
        assert_eq!(own.headers.iter().count(), 1);
    }

    #[test]
    fn the_mark_comes_back_as_it_was_written() {
        for mark in ["17", r#""a\"b""#, r#""""#] {
            let asked = read(&format!(r#"{{"op":"ping","ref":{mark}}}"#));
            assert_eq!(asked.reference.as_deref(), Some(mark));
            assert_eq!(asked.request, Ok(Request::Ping));
        }
        for mark in ["-1", "1.5", "null", "[1]", "true", r#""\ud800""#, &format!("\"{}\"", "x".repeat(63))] {
            assert!(why(&format!(r#"{{"op":"ping","ref":{mark}}}"#)).contains("ref"), "{mark}");
        }
    }

    #[test]
    fn an_error_carries_the_mark_where_it_can_be_found() {
        for text in [r#"{"op":"fly","ref":5}"#, r#"{"ref":5,"op":"publish","topic":3}"#, r#"{"ref":5,"x":[{}]}"#] {
            let asked = read(text);
            assert_eq!(asked.reference.as_deref(), Some("5"), "{text}");
            assert!(asked.request.is_err());
        }
        assert_eq!(read(r#"{"ref":5,"ref":6}"#).reference, None);
    }

    #[test]
    fn what_is_no_request_is_refused_with_a_sentence() {
        for (text, part) in [
            ("", "one JSON object"),
            (r#"["subscribe"]"#, "one JSON object"),
            ("{}", "`op` is missing"),
            (r#"{"op":"ping"} {}"#, "trailing"),
            (r#"{"op":"ping","op":"ping"}"#, "duplicate"),
            (r#"{"op":"ping","opp":1}"#, "unknown field `opp`"),
            (r#"{"op":"fly"}"#, "unknown `op`"),
            (r#"{"op":"hello","ref":1}"#, "authentication"),
            (r#"{"op":1}"#, "expected a string"),
            (r#"{"op":"ping","filter":"a"}"#, "`filter` means nothing in ping"),
            (r#"{"op":"subscribe"}"#, "`filter` is missing"),
            (r#"{"op":"subscribe","filter":"a","from":null}"#, "expected a string"),
            (r#"{"op":"subscribe","filter":"a","from":"7"}"#, "EPOCH:SEQ"),
            (r#"{"op":"subscribe","filter":"a","from":"7:3","sticky":true}"#, "`sticky`"),
            (r#"{"op":"subscribe","filter":"a","behind":"wait"}"#, "`behind`"),
            (r#"{"op":"subscribe","filter":"a/#/b"}"#, "last level"),
            (r#"{"op":"publish","topic":"a/+","payload":""}"#, "wildcards"),
            (r#"{"op":"publish","topic":"a"}"#, "one of `payload`"),
            (r#"{"op":"publish","topic":"a","payload":"","json":1}"#, "one of `payload`"),
            (r#"{"op":"publish","topic":"a","payload_base64":"AA"}"#, "base64"),
            (r#"{"op":"publish","topic":"a","json":{"k":1,"k":2}}"#, "twice"),
            (r#"{"op":"publish","topic":"a","json":1e999}"#, "number out of range"),
            (r#"{"op":"publish","topic":"a","payload":"","id":""}"#, "event id"),
            (r#"{"op":"publish","topic":"a","payload":"","headers":{"":"x"}}"#, "header"),
        ] {
            assert!(why(text).contains(part), "{text}: {}", why(text));
        }
        let deep = format!(r#"{{"op":"publish","topic":"a","json":{}1{}}}"#, "[".repeat(9_999), "]".repeat(9_999));
        assert!(why(&deep).contains("recursion limit"), "{}", why(&deep));
    }

    #[test]
    fn a_sentence_quotes_no_more_than_a_line() {
        let long = format!(r#"{{"{}":1}}"#, "ü".repeat(100_000));
        assert!(why(&long).len() < 300);
    }
}
