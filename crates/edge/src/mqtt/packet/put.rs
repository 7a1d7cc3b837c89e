//! Writing a packet: its body is gone through twice, once for its length and once for its bytes.

use super::{Kind, Version, varint};

/// It can't be said in MQTT: a text or a binary over 65,535 bytes, or a packet over 268,435,460.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text has at most 65,535 bytes in MQTT, and a packet at most 268,435,455 behind its head")]
pub struct TooLong;

/// Where the parts of a body go.
pub(super) trait Put {
    fn raw(&mut self, bytes: &[u8]);
    fn prefixed(&mut self, bytes: &[u8]);

    #[inline]
    fn byte(&mut self, byte: u8) {
        self.raw(&[byte]);
    }

    #[inline]
    fn u16(&mut self, number: u16) {
        self.raw(&number.to_be_bytes());
    }

    #[inline]
    fn u32(&mut self, number: u32) {
        self.raw(&number.to_be_bytes());
    }

    #[inline]
    fn varint(&mut self, number: u32) {
        let (bytes, len) = varint::bytes(number);
        self.raw(&bytes[..len]);
    }
}

impl Put for Vec<u8> {
    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn prefixed(&mut self, bytes: &[u8]) {
        // Fits: measured before anything is written.
        self.u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        self.raw(bytes);
    }
}

/// How long a body is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Length {
    bytes: usize,
    is_too_long: bool,
}

impl Length {
    /// Measures what `write` puts.
    #[inline]
    pub(super) fn of(write: impl FnOnce(&mut Self)) -> Self {
        let mut length = Self::default();
        write(&mut length);
        length
    }

    /// Counts bytes that were measured before.
    #[inline]
    pub(super) fn skip(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// # Errors
    /// When one of the parts, or the whole, has no place behind its length.
    #[inline]
    pub(super) fn checked(self) -> Result<u32, TooLong> {
        match u32::try_from(self.bytes) {
            Ok(len) if len <= varint::MAX && !self.is_too_long => Ok(len),
            _ => Err(TooLong),
        }
    }

    /// The length as a variable byte integer would say it; the largest when it couldn't. Who measures the whole packet
    /// has put the same parts into its own length, and refuses there.
    #[inline]
    pub(super) fn capped(self) -> u32 {
        self.checked().unwrap_or(varint::MAX)
    }
}

impl Put for Length {
    #[inline]
    fn raw(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len());
    }

    #[inline]
    fn prefixed(&mut self, bytes: &[u8]) {
        self.is_too_long |= bytes.len() > usize::from(u16::MAX);
        self.bytes = self.bytes.saturating_add(2 + bytes.len());
    }
}

/// What stands behind a fixed header.
pub(super) trait Body {
    fn put(&self, version: Version, put: &mut impl Put);
}

/// Appends a packet.
///
/// # Errors
/// When it can't be said; then nothing was appended.
pub(super) fn write(kind: Kind, body: &impl Body, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
    let len = Length::of(|length| body.put(version, length)).checked()?;
    head(kind.first_byte(), len, out);
    body.put(version, out);
    Ok(())
}

/// Appends a fixed header and makes room for what follows.
#[inline]
pub(super) fn head(first: u8, len: u32, out: &mut Vec<u8>) {
    out.reserve(1 + varint::LEN_MAX + len as usize);
    out.push(first);
    out.varint(len);
}
