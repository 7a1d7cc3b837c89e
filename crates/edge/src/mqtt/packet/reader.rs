//! The body of one packet, read from front to end.

use bytes::Bytes;
use headwater_event::Text;

use super::varint::{self, Varint};
use super::{Fault, Reason};

/// What is left of a packet, or of the properties in it. What it gives are slices of the read buffer.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
    end: usize,
}

const CUT: Fault = Fault::malformed("the packet ends too early");

impl<'a> Reader<'a> {
    /// The caller says where the body stands, and has seen that it is all there.
    pub(super) fn new(bytes: &'a Bytes, at: usize, end: usize) -> Self {
        debug_assert!(at <= end && end <= bytes.len());
        Self { bytes, at, end }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.at == self.end
    }

    /// Goes over the next `len` bytes and says where they begin.
    #[inline]
    fn pass(&mut self, len: usize) -> Result<usize, Fault> {
        if self.end - self.at < len {
            return Err(CUT);
        }
        let at = self.at;
        self.at += len;
        Ok(at)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        let at = self.pass(1)?;
        Ok(self.bytes[at])
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        let at = self.pass(2)?;
        Ok(u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        let high = self.u16()?;
        Ok(u32::from(high) << 16 | u32::from(self.u16()?))
    }

    /// A number of one to four bytes, in its shortest form ([MQTT-1.5.5-1]).
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u32, Fault> {
        match varint::read(&self.bytes[self.at..self.end]) {
            Varint::Whole { value, len, is_minimal: true } => {
                self.at += len;
                Ok(value)
            }
            Varint::Whole { .. } => Err(Fault::malformed("a variable byte integer has more bytes than it needs")),
            Varint::Cut => Err(CUT),
            Varint::TooLong => Err(Fault::malformed("a variable byte integer has more than four bytes")),
        }
    }

    /// Bytes behind a length of two bytes (section 1.5.6).
    #[inline]
    pub(super) fn binary(&mut self) -> Result<Bytes, Fault> {
        let len = usize::from(self.u16()?);
        let at = self.pass(len)?;
        Ok(self.bytes.slice(at..at + len))
    }

    /// Text that is UTF-8, without U+0000 (section 1.5.4). UTF-8 as Rust knows it has no surrogates either.
    pub(super) fn text(&mut self) -> Result<Text, Fault> {
        let text = self.text_with_nul()?;
        if text.as_bytes().contains(&0) {
            return Err(NUL);
        }
        Ok(text)
    }

    /// As [`Self::text`]; the caller looks for U+0000 in the same pass in which it looks for more.
    #[inline]
    pub(super) fn text_with_nul(&mut self) -> Result<Text, Fault> {
        Text::from_utf8(self.binary()?).map_err(|_| Fault::malformed("a text is not UTF-8"))
    }

    /// A reader of the next `len` bytes alone.
    #[inline]
    pub(super) fn section(&mut self, len: u32) -> Result<Self, Fault> {
        let len = len as usize;
        let at = self.pass(len)?;
        Ok(Self { bytes: self.bytes, at, end: at + len })
    }

    /// All that is left.
    #[inline]
    pub(super) fn rest(&mut self) -> Bytes {
        let at = self.at;
        self.at = self.end;
        self.bytes.slice(at..self.end)
    }

    /// An id that isn't 0 ([MQTT-2.2.1-3]).
    #[inline]
    pub(super) fn packet_id(&mut self) -> Result<u16, Fault> {
        match self.u16()? {
            0 => Err(Fault::protocol("packet id 0")),
            id => Ok(id),
        }
    }

    /// One of these reasons.
    pub(super) fn reason(&mut self, allowed: &[Reason]) -> Result<Reason, Fault> {
        match Reason::from_byte(self.byte()?) {
            Some(reason) if allowed.contains(&reason) => Ok(reason),
            _ => Err(Fault::malformed("a packet of this type doesn't have this reason code")),
        }
    }

    /// Checks that nothing is left over.
    #[inline]
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { Err(Fault::malformed("bytes are left over behind the packet's end")) }
    }
}

pub(super) const NUL: Fault = Fault::malformed("a text has the character U+0000");
