//! The fixed header (section 2.1), judged from as few bytes as have come.

use super::varint::{self, Varint};
use super::{Fault, Qos, Reason, Version};

/// The type of a packet (section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1.
    Connect,
    /// 2.
    ConnAck,
    /// 3.
    Publish,
    /// 4.
    PubAck,
    /// 5.
    PubRec,
    /// 6.
    PubRel,
    /// 7.
    PubComp,
    /// 8.
    Subscribe,
    /// 9.
    SubAck,
    /// 10.
    Unsubscribe,
    /// 11.
    UnsubAck,
    /// 12.
    PingReq,
    /// 13.
    PingResp,
    /// 14.
    Disconnect,
    /// 15; reserved in 3.1.1.
    Auth,
}

impl Kind {
    const fn from_nibble(nibble: u8) -> Option<Self> {
        Some(match nibble {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The first byte of such a packet, with the flags that all but PUBLISH always have (section 2.1.3).
    #[must_use]
    pub const fn first_byte(self) -> u8 {
        (self as u8 + 1) << 4 | self.fixed_flags()
    }

    const fn fixed_flags(self) -> u8 {
        match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    const fn comes_from(self, sender: Sender) -> bool {
        match self {
            Self::Connect | Self::Subscribe | Self::Unsubscribe | Self::PingReq => matches!(sender, Sender::Client),
            Self::ConnAck | Self::SubAck | Self::UnsubAck | Self::PingResp => matches!(sender, Sender::Server),
            _ => true,
        }
    }

    /// The only length that the rest of such a packet has, where there is only one.
    const fn fixed_len(self, version: Option<Version>) -> Option<usize> {
        match (self, version) {
            (Self::PingReq | Self::PingResp, _) => Some(0),
            (Self::Disconnect, Some(Version::V311)) => Some(0),
            (
                Self::ConnAck | Self::PubAck | Self::PubRec | Self::PubRel | Self::PubComp | Self::UnsubAck,
                Some(Version::V311),
            ) => Some(2),
            _ => None,
        }
    }
}

/// Who sent what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// What may come next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub sender: Sender,
    /// `None` while a client hasn't said it.
    pub version: Option<Version>,
    /// Whether CONNECT (from a server: CONNACK) is still to come.
    pub is_greeting: bool,
    /// The largest packet in bytes, all of it.
    pub packet_max: usize,
}

/// A fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    pub flags: u8,
    /// Its own length.
    pub head_len: usize,
    /// The length of the whole packet.
    pub packet_len: usize,
    pub is_minimal: bool,
}

impl Header {
    /// Reads the header at the front; `None` while more bytes are needed.
    ///
    /// # Errors
    /// As soon as a byte rules the packet out, whatever is still to come.
    #[inline]
    pub(super) fn read(bytes: &[u8], expected: &Expected) -> Result<Option<Self>, Fault> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let kind = judge_first(first, expected)?;
        let (value, len, is_minimal) = match varint::read(rest) {
            Varint::Whole { value, len, is_minimal } => (value as usize, len, is_minimal),
            Varint::Cut => return Ok(None),
            Varint::TooLong => return Err(Fault::malformed("the remaining length has more than four bytes")),
        };
        if !is_minimal && expected.version == Some(Version::V5) {
            return Err(Fault::malformed("the remaining length has more bytes than it needs"));
        }
        if kind.fixed_len(expected.version).is_some_and(|fixed| fixed != value) {
            return Err(Fault::malformed("a packet of this type has another length"));
        }
        let (head_len, packet_len) = (1 + len, 1 + len + value);
        if packet_len > expected.packet_max {
            return Err(Fault::new(Reason::PACKET_TOO_LARGE, "the packet is larger than the maximum"));
        }
        Ok(Some(Self { kind, flags: first & 0x0F, head_len, packet_len, is_minimal }))
    }
}

#[inline]
fn judge_first(first: u8, expected: &Expected) -> Result<Kind, Fault> {
    let Some(kind) = Kind::from_nibble(first >> 4) else {
        return Err(Fault::malformed("packet type 0 is reserved"));
    };
    if kind == Kind::Auth && expected.version == Some(Version::V311) {
        return Err(Fault::malformed("packet type 15 is reserved in MQTT 3.1.1"));
    }
    if kind == Kind::Publish {
        judge_publish(first)?;
    } else if first & 0x0F != kind.fixed_flags() {
        return Err(Fault::malformed("a reserved flag of the fixed header has the wrong value"));
    }
    judge_place(kind, expected)?;
    Ok(kind)
}

#[inline]
fn judge_publish(first: u8) -> Result<(), Fault> {
    match Qos::from_bits(first >> 1 & 0b11) {
        None => Err(Fault::malformed("there is no QoS 3")),
        Some(Qos::AtMostOnce) if first & 0b1000 != 0 => Err(Fault::malformed("DUP is set at QoS 0")),
        Some(_) => Ok(()),
    }
}

#[inline]
fn judge_place(kind: Kind, expected: &Expected) -> Result<(), Fault> {
    if !kind.comes_from(expected.sender) {
        return Err(Fault::protocol("only the other side sends packets of this type"));
    }
    match (expected.sender, expected.is_greeting) {
        (Sender::Client, true) if kind != Kind::Connect => Err(Fault::protocol("CONNECT comes first")),
        (Sender::Client, false) if kind == Kind::Connect => Err(Fault::protocol("CONNECT comes once")),
        // An authentication may take some AUTH before it is through (section 4.12).
        (Sender::Server, true) if !matches!(kind, Kind::ConnAck | Kind::Auth) => {
            Err(Fault::protocol("CONNACK comes first"))
        }
        (Sender::Server, false) if kind == Kind::ConnAck => Err(Fault::protocol("CONNACK comes once")),
        (Sender::Server, _) if kind == Kind::Disconnect && expected.version == Some(Version::V311) => {
            Err(Fault::protocol("a server sends no DISCONNECT in MQTT 3.1.1"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Expected =
        Expected { sender: Sender::Client, version: Some(Version::V5), is_greeting: false, packet_max: 1_000 };

    fn reason(bytes: &[u8], expected: &Expected) -> Option<Reason> {
        Header::read(bytes, expected).err().map(|fault| fault.reason)
    }

    #[test]
    fn a_header_is_refused_before_its_body_has_come() {
        assert_eq!(reason(&[0x36], &OPEN), Some(Reason::MALFORMED_PACKET));
        assert_eq!(reason(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], &OPEN), Some(Reason::MALFORMED_PACKET));
        assert_eq!(reason(&[0x30, 0xE6, 0x07], &OPEN), Some(Reason::PACKET_TOO_LARGE));
        assert_eq!(reason(&[0xC0, 0x01], &OPEN), Some(Reason::MALFORMED_PACKET));
        assert_eq!(reason(&[0x20], &OPEN), Some(Reason::PROTOCOL_ERROR));
    }

    #[test]
    fn the_whole_packet_counts_against_the_maximum() {
        // 997 bytes behind a head of 3.
        let header = Header::read(&[0x30, 0xE5, 0x07], &OPEN).unwrap().unwrap();
        assert_eq!((header.head_len, header.packet_len), (3, 1_000));
    }

    #[test]
    fn a_longer_form_of_the_length_is_refused_where_the_specification_says_so() {
        assert_eq!(reason(&[0x30, 0x85, 0x00], &OPEN), Some(Reason::MALFORMED_PACKET));
        let older = Expected { version: Some(Version::V311), ..OPEN };
        assert!(Header::read(&[0x30, 0x85, 0x00], &older).unwrap().is_some());
    }

    #[test]
    fn first_bytes_are_those_of_table_2_1() {
        for (kind, first) in [
            (Kind::Connect, 0x10),
            (Kind::PubRel, 0x62),
            (Kind::Subscribe, 0x82),
            (Kind::Unsubscribe, 0xA2),
            (Kind::Auth, 0xF0),
        ] {
            assert_eq!(kind.first_byte(), first);
        }
    }
}
