//! What a handler publishes.

use bytes::Bytes;
use headwater_event::{Headers, Topic};
use serde::Serialize;

use crate::body::{self, Body};
use crate::failure::Failure;

/// The largest payload that leaves a service, as of every edge: 1 MiB. Larger ones would be refused only after the commit.
pub const PAYLOAD_LEN_MAX: usize = 1 << 20;

/// An event that leaves with the commit of the handler that published it, or not at all.
///
/// It gets its id from the kit: one that follows from its cause, so that what is sent again after a crash is the same event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub(crate) topic: Topic,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
    pub(crate) sticky: bool,
}

impl Outgoing {
    /// A value as JSON.
    ///
    /// # Errors
    /// `Dead` when the topic is none, or the value can't be written as JSON.
    pub fn json<T: Serialize + ?Sized>(topic: &str, value: &T) -> Result<Self, Failure> {
        Self::body(topic, body::json(value)?)
    }

    /// A body as it is.
    ///
    /// # Errors
    /// `Dead` when the topic is none, or the content type can't stand in a header.
    pub fn body(topic: &str, body: Body) -> Result<Self, Failure> {
        Self::bytes(topic, &body.content_type, body.bytes)
    }

    /// Bytes of this content type (none when empty).
    ///
    /// # Errors
    /// `Dead` when the topic is none, the content type can't stand in a header, or there are too many bytes.
    pub fn bytes(topic: &str, content_type: &str, bytes: impl Into<Bytes>) -> Result<Self, Failure> {
        let payload = bytes.into();
        if payload.len() > PAYLOAD_LEN_MAX {
            return Err(Failure::dead(format!(
                "an event for {topic} has {} bytes, {PAYLOAD_LEN_MAX} at the most",
                payload.len()
            )));
        }
        let headers = match content_type {
            "" => Headers::none(),
            kind => headers_of([(Headers::CONTENT_TYPE, kind)])?,
        };
        let topic = Topic::new(topic).map_err(|error| Failure::dead(format!("can't publish on {topic:?}: {error}")))?;
        Ok(Self { topic, headers, payload, sticky: false })
    }

    /// The end of a topic's latest state: sticky and empty.
    ///
    /// # Errors
    /// `Dead` when the topic is none.
    pub fn clear(topic: &str) -> Result<Self, Failure> {
        Ok(Self::bytes(topic, "", Bytes::new())?.sticky())
    }

    /// Becomes the topic's latest state, given first to every newcomer.
    #[must_use]
    pub fn sticky(mut self) -> Self {
        self.sticky = true;
        self
    }

    /// Carries these headers, too.
    ///
    /// # Errors
    /// `Dead` when one can't be a header, or they are too many.
    pub fn headers<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Failure> {
        let have = self.headers;
        let mut all: Vec<(&str, &str)> = have.iter().collect();
        for pair in pairs {
            all.push(pair);
        }
        self.headers = headers_of(all)?;
        Ok(self)
    }
}

pub(crate) fn headers_of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Headers, Failure> {
    Headers::from_pairs(pairs).map_err(|error| Failure::dead(format!("can't write the headers: {error}")))
}
