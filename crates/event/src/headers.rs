//! What travels beside the payload: names and values, in the order in which the producer wrote them.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// Headers of an event, kept in the form in which the log stores them, so that reading an event copies nothing.
///
/// For each header: name length (u16, big-endian), name, value length (u32), value. Both are UTF-8 without control
/// characters in the name; names may repeat.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

/// What is wrong with a set of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadersError {
    /// Over [`Headers::LEN_MAX`] in all.
    #[error("headers have at most {max} bytes in all", max = Headers::LEN_MAX)]
    TooLong,
    /// An empty name, or one over [`Headers::NAME_LEN_MAX`] bytes or with control characters.
    #[error("a header's name is 1 to {max} bytes without control characters", max = Headers::NAME_LEN_MAX)]
    Name,
    /// The stored form is broken.
    #[error("headers are cut or not UTF-8")]
    Broken,
}

impl Headers {
    /// All headers together, in the stored form: what HTTP servers usually take, and bounded beside any payload.
    pub const LEN_MAX: usize = 16 * 1_024;
    /// One name, in bytes.
    pub const NAME_LEN_MAX: usize = 256;
    /// The `Content-Type` of the payload; an edge keeps it under this name.
    pub const CONTENT_TYPE: &'static str = "content-type";

    /// No headers; costs nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self(Bytes::new())
    }

    /// Headers from pairs of name and value.
    ///
    /// # Errors
    /// When a name is not allowed or the whole is too long.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, HeadersError> {
        let mut bytes = BytesMut::new();
        for (name, value) in pairs {
            if name.is_empty() || name.len() > Self::NAME_LEN_MAX || name.chars().any(char::is_control) {
                return Err(HeadersError::Name);
            }
            if bytes.len() + 6 + name.len() + value.len() > Self::LEN_MAX {
                return Err(HeadersError::TooLong);
            }
            // Both fit: checked against LEN_MAX just above.
            bytes.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
            bytes.put_slice(name.as_bytes());
            bytes.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
            bytes.put_slice(value.as_bytes());
        }
        Ok(Self(bytes.freeze()))
    }

    /// Headers as they were stored.
    ///
    /// # Errors
    /// When a length points beyond the end, or a text is not UTF-8.
    pub fn from_stored(bytes: Bytes) -> Result<Self, HeadersError> {
        if bytes.len() > Self::LEN_MAX {
            return Err(HeadersError::TooLong);
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            (_, rest) = split_first(rest).ok_or(HeadersError::Broken)?;
        }
        Ok(Self(bytes))
    }

    /// The stored form.
    #[must_use]
    pub const fn as_stored(&self) -> &Bytes {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs of name and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (pair, after) = split_first(rest)?;
            rest = after;
            Some(pair)
        })
    }

    /// The first value of this name; names are compared without regard to ASCII case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// A copy that keeps no read buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

/// The first pair and what follows it; `None` at the end and where the form is broken.
fn split_first(stored: &[u8]) -> Option<((&str, &str), &[u8])> {
    let (name_len, rest) = stored.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*name_len)))?;
    let (value_len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*value_len)).ok()?)?;
    Some(((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?), rest))
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order_and_repeat() {
        let pairs = [("content-type", "text/plain"), ("x", ""), ("x", "ü")];
        let headers = Headers::from_pairs(pairs).unwrap();
        assert_eq!(headers.iter().collect::<Vec<_>>(), pairs);
        assert_eq!(headers.get("Content-Type"), Some("text/plain"));
        assert_eq!(Headers::from_stored(headers.as_stored().clone()).unwrap(), headers);
    }

    #[test]
    fn a_cut_form_is_refused_at_every_place() {
        let headers = Headers::from_pairs([("name", "value"), ("n", "v")]).unwrap();
        let whole = headers.as_stored();
        let second = 2 + 4 + 4 + 5;
        for len in (1..whole.len()).filter(|len| *len != second) {
            assert_eq!(Headers::from_stored(whole.slice(..len)), Err(HeadersError::Broken), "cut at {len}");
        }
    }

    #[test]
    fn names_and_sizes_are_bounded() {
        assert_eq!(Headers::from_pairs([("", "v")]), Err(HeadersError::Name));
        assert_eq!(Headers::from_pairs([("a\r\nb", "v")]), Err(HeadersError::Name));
        let long = "x".repeat(Headers::LEN_MAX);
        assert_eq!(Headers::from_pairs([("a", long.as_str())]), Err(HeadersError::TooLong));
    }
}
