//! The producer's name for an event, and the key by which a resent one is recognised.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use uuid::Uuid;

use crate::text::Text;

/// Who numbers events, where a protocol numbers them (the frame protocol's client id).
pub type ProducerId = Uuid;

/// The name of an event. Two events with one id are one event: the second is a resend.
///
/// How a resend is recognised follows from the kind: a `Numbered` one by the highest number that its producer has
/// stored (no window, no end), a producer's `Uuid` or `Text` by a window of recent ids (1,000,000 or 24 h by default),
/// and an `Own` one not at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventId {
    /// A UUID that the producer chose.
    Uuid(Uuid),
    /// A UUID (version 7) that Headwater gave, as the producer gave none: nobody can resend it, so nothing is remembered.
    Own(Uuid),
    /// The `number`-th event of one producer; numbers start at 1 and step by 1.
    Numbered {
        /// Who counts.
        producer: ProducerId,
        /// The count.
        number: u64,
    },
    /// Any other text that the producer chose, at most [`EventId::LEN_MAX`] bytes.
    Text(Text),
}

/// An id was empty, too long, or had control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event id is 1 to {max} bytes of text without control characters", max = EventId::LEN_MAX)]
pub struct IdError;

impl EventId {
    /// The longest id in bytes. Producers use UUIDs (36), ULIDs (26) and hashes (64, 128 in hex); 255 fits a length byte.
    pub const LEN_MAX: usize = 255;

    /// An id for an event to which its producer gave none, ordered by time (UUID version 7, RFC 9562 section 5.7).
    ///
    /// Whoever may have to append the same event once more chooses an id of the kinds that are remembered instead.
    #[must_use]
    pub fn generate() -> Self {
        Self::Own(Uuid::now_v7())
    }

    /// The id that a client wrote: a UUID in its canonical form is stored as one, the rest as text.
    ///
    /// A numbered id can't be written this way: only the edge that checks the numbers may make one.
    ///
    /// # Errors
    /// When it is empty, too long, or has control characters.
    pub fn from_text(text: Text) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > Self::LEN_MAX || text.chars().any(char::is_control) {
            return Err(IdError);
        }
        Ok(match canonical_uuid(&text) {
            Some(uuid) => Self::Uuid(uuid),
            None => Self::Text(text),
        })
    }

    /// A copy that keeps no read buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.detached()),
            other => other.clone(),
        }
    }
}

/// Only the lower-case form with hyphens: an id must come out as it went in.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    Uuid::try_parse(text).ok()
}

impl FromStr for EventId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::from_text(Text::from_utf8(Bytes::copy_from_slice(text.as_bytes())).map_err(|_| IdError)?)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) | Self::Own(uuid) => write!(f, "{uuid}"),
            Self::Numbered { producer, number } => write!(f, "{producer}/{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_out_as_it_went_in() {
        for text in
            ["a", "order-17", "018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a", "018F4E9A-6E1C-7D3B-9A52-0C6B1F2D3E4A", "ü"]
        {
            assert_eq!(text.parse::<EventId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_client_cannot_write_a_numbered_id() {
        let spelled = "018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a/7".parse::<EventId>().unwrap();
        assert!(matches!(spelled, EventId::Text(_)));
    }

    #[test]
    fn empty_long_and_control_characters_are_refused() {
        for text in [String::new(), "x".repeat(256), "a\nb".into(), "a\0".into(), "\u{7f}".into()] {
            assert_eq!(text.parse::<EventId>(), Err(IdError));
        }
    }
}
