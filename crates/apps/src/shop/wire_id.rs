//! A name on the wire: a JSON string or a JSON number, whichever its producer prefers, and written back in the same form.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The longest name in bytes: a UUID has 36, a hash in hex 64 or 128.
pub const ID_LEN_MAX: usize = 128;

/// The name of an order or of a product. `17` and `"17"` name the same thing.
#[derive(Clone, Debug)]
pub struct WireId {
    text: String,
    is_number: bool,
}

/// A name was empty, too long, or had control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is a whole number, or 1 to {ID_LEN_MAX} bytes of text without control characters")]
pub struct WireIdError;

impl WireId {
    /// A name that is written as a string.
    ///
    /// # Errors
    /// When it is empty, too long, or has control characters.
    pub fn new(text: impl Into<String>) -> Result<Self, WireIdError> {
        let text = text.into();
        if text.is_empty() || text.len() > ID_LEN_MAX || text.chars().any(char::is_control) {
            return Err(WireIdError);
        }
        Ok(Self { text, is_number: false })
    }

    /// The text by which it is kept.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it can stand in a topic as one level.
    #[must_use]
    pub fn is_level(&self) -> bool {
        !self.text.contains(['/', '+', '#'])
    }
}

impl From<i64> for WireId {
    fn from(number: i64) -> Self {
        Self { text: number.to_string(), is_number: true }
    }
}

impl From<u64> for WireId {
    fn from(number: u64) -> Self {
        Self { text: number.to_string(), is_number: true }
    }
}

impl fmt::Display for WireId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for WireId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for WireId {}

impl Hash for WireId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Serialize for WireId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.is_number {
            return serializer.serialize_str(&self.text);
        }
        match (self.text.parse::<u64>(), self.text.parse::<i64>()) {
            (Ok(number), _) => serializer.serialize_u64(number),
            (_, Ok(number)) => serializer.serialize_i64(number),
            _ => serializer.serialize_str(&self.text),
        }
    }
}

impl<'de> Deserialize<'de> for WireId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl Visitor<'_> for Reading {
    type Value = WireId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id: a string or a whole number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<WireId, E> {
        WireId::new(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<WireId, E> {
        Ok(number.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<WireId, E> {
        Ok(number.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_and_a_number_name_the_same_and_come_out_as_they_went_in() {
        for text in ["17", "\"17\"", "-3", "\"a b\"", "18446744073709551615"] {
            let id: WireId = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&id).unwrap(), text);
        }
        assert_eq!(WireId::from(17_i64), WireId::new("17").unwrap());
        let long = format!("\"{}\"", "x".repeat(129));
        for text in ["null", "1.5", "\"\"", "\"a\\nb\"", "[1]", "{}", "true", long.as_str()] {
            assert!(serde_json::from_str::<WireId>(text).is_err(), "{text}");
        }
    }
}
