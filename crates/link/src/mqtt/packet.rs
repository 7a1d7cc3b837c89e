//! The packets of MQTT 5.0 and 3.1.1 that a client of ours sends and receives: as much of the protocols as a link needs, and
//! no more.
//!
//! Deliveries are asked for with QoS 1 at the most, so QoS 2 never comes; what isn't expected is a fault, never a guess.

use bytes::{Buf as _, Bytes, BytesMut};
use headwater_event::Text;

/// What is wrong with what the broker sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker broke the protocol: {0}")]
pub(crate) struct Fault(pub &'static str);

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// 5.0.
    V5,
    /// 3.1.1: no properties, and no word for "no" on a publication.
    V3,
    /// 3.1.1 of a client that says that it's a bridge (bit 7 of the protocol level, as mosquitto reads it): the broker then
    /// keeps the retain flag, and sends nothing back that came by it. Brokers that don't know it refuse the connection.
    V3Bridge,
}

impl Dialect {
    /// Whether packets have properties.
    pub(crate) const fn has_properties(self) -> bool {
        matches!(self, Self::V5)
    }
}

/// The properties of a publication that have a meaning to events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    pub format: Option<u8>,
    pub expiry: Option<u32>,
    pub response_topic: Option<Text>,
    pub correlation: Option<Bytes>,
    pub content_type: Option<Text>,
    pub user: Vec<(Text, Text)>,
}

/// A publication, in either direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Publish {
    pub is_again: bool,
    pub qos: u8,
    pub is_retained: bool,
    pub topic: Text,
    /// 0 with QoS 0.
    pub packet_id: u16,
    pub properties: Properties,
    pub payload: Bytes,
}

/// The broker's welcome, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnAck {
    pub is_session_present: bool,
    pub reason: u8,
    pub why: Option<String>,
    pub receive_maximum: u16,
    pub packet_len_max: u32,
    pub keep_alive_s: Option<u16>,
    pub has_shares: bool,
    pub has_retained: bool,
    pub user: Vec<(Text, Text)>,
}

/// What a broker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    ConnAck(Box<ConnAck>),
    Publish(Box<Publish>),
    PubAck { packet_id: u16, reason: u8 },
    SubAck { packet_id: u16, reasons: Vec<u8> },
    UnsubAck { packet_id: u16 },
    PingResp,
    Disconnect { reason: u8, why: Option<String> },
}

/// The first bytes' longest form: a kind and a length of four bytes.
const HEAD_LEN_MAX: usize = 5;

/// Takes the next whole packet off the front; `None` when more must come first.
///
/// # Errors
/// When the bytes are no packet that a broker may send to us.
pub(crate) fn next_packet(buffer: &mut BytesMut, len_max: usize, dialect: Dialect) -> Result<Option<Packet>, Fault> {
    let Some((head_len, body_len)) = head(buffer)? else { return Ok(None) };
    if head_len + body_len > len_max {
        return Err(Fault("a packet larger than we said we take"));
    }
    if buffer.len() < head_len + body_len {
        // Grows with what comes, never by what was announced.
        return Ok(None);
    }
    let kind = buffer[0];
    buffer.advance(head_len);
    let mut body = Cut(buffer.split_to(body_len).freeze());
    let packet = read_packet(kind, &mut body, dialect)?;
    if !body.0.is_empty() {
        return Err(Fault("bytes behind the end of a packet"));
    }
    Ok(Some(packet))
}

/// How long the first part is, and how long the rest.
fn head(buffer: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut len = 0;
    for at in 1..HEAD_LEN_MAX {
        let Some(byte) = buffer.get(at) else { return Ok(None) };
        len |= usize::from(byte & 0x7F) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            return Ok(Some((at + 1, len)));
        }
    }
    Err(Fault("a length of more than four bytes"))
}

fn read_packet(kind: u8, body: &mut Cut, dialect: Dialect) -> Result<Packet, Fault> {
    Ok(match kind {
        0x20 => Packet::ConnAck(Box::new(read_connack(body)?)),
        0x30..=0x3F => Packet::Publish(Box::new(read_publish(kind, body, dialect)?)),
        0x40 => {
            let packet_id = body.packet_id()?;
            let (reason, _) = read_end(body)?;
            Packet::PubAck { packet_id, reason }
        }
        0x90 => {
            let packet_id = body.packet_id()?;
            skip_properties(body, dialect)?;
            let reasons = std::mem::take(&mut body.0).to_vec();
            Packet::SubAck { packet_id, reasons }
        }
        0xB0 => {
            let packet_id = body.packet_id()?;
            skip_properties(body, dialect)?;
            body.0.clear();
            Packet::UnsubAck { packet_id }
        }
        0xD0 => Packet::PingResp,
        0xE0 => {
            let (reason, why) = read_end(body)?;
            Packet::Disconnect { reason, why }
        }
        _ => return Err(Fault("a kind of packet that was not asked for")),
    })
}

fn read_connack(body: &mut Cut) -> Result<ConnAck, Fault> {
    let flags = body.byte()?;
    let reason = body.byte()?;
    let mut answer = ConnAck {
        is_session_present: flags & 1 == 1,
        reason,
        why: None,
        receive_maximum: u16::MAX,
        packet_len_max: LEN_MAX,
        keep_alive_s: None,
        has_shares: true,
        has_retained: true,
        user: Vec::new(),
    };
    if body.0.is_empty() {
        // A broker of 3.1.1 refuses in two bytes.
        return Ok(answer);
    }
    let mut properties = body.properties()?;
    while !properties.0.is_empty() {
        match properties.byte()? {
            0x21 => answer.receive_maximum = properties.short()?.max(1),
            0x27 => answer.packet_len_max = properties.long()?.clamp(1, LEN_MAX),
            0x13 => answer.keep_alive_s = Some(properties.short()?),
            0x1F => answer.why = Some(properties.text()?.to_string()),
            0x26 => answer.user.push((properties.text()?, properties.text()?)),
            0x25 => answer.has_retained = properties.byte()? != 0,
            0x2A => answer.has_shares = properties.byte()? != 0,
            other => properties.skip(other)?,
        }
    }
    Ok(answer)
}

fn read_publish(kind: u8, body: &mut Cut, dialect: Dialect) -> Result<Publish, Fault> {
    let qos = kind >> 1 & 3;
    if qos > 1 {
        return Err(Fault("a delivery of a QoS that was not asked for"));
    }
    let topic = body.text()?;
    if topic.is_empty() {
        return Err(Fault("a delivery without a topic, though we take no aliases"));
    }
    let packet_id = if qos > 0 { body.packet_id()? } else { 0 };
    let mut properties = if dialect.has_properties() { body.properties()? } else { Cut(Bytes::new()) };
    let mut read = Properties::default();
    while !properties.0.is_empty() {
        match properties.byte()? {
            0x01 => read.format = Some(properties.byte()?),
            0x02 => read.expiry = Some(properties.long()?),
            0x03 => read.content_type = Some(properties.text()?),
            0x08 => read.response_topic = Some(properties.text()?),
            0x09 => read.correlation = Some(properties.bytes()?),
            0x26 => read.user.push((properties.text()?, properties.text()?)),
            other => properties.skip(other)?,
        }
    }
    Ok(Publish {
        is_again: kind & 8 != 0,
        qos,
        is_retained: kind & 1 != 0,
        topic,
        packet_id,
        properties: read,
        payload: std::mem::take(&mut body.0),
    })
}

/// A reason that may be left out, and the words that may come with it.
fn read_end(body: &mut Cut) -> Result<(u8, Option<String>), Fault> {
    if body.0.is_empty() {
        return Ok((0, None));
    }
    let reason = body.byte()?;
    let mut why = None;
    if !body.0.is_empty() {
        let mut properties = body.properties()?;
        while !properties.0.is_empty() {
            match properties.byte()? {
                0x1F => why = Some(properties.text()?.to_string()),
                other => properties.skip(other)?,
            }
        }
    }
    Ok((reason, why))
}

fn skip_properties(body: &mut Cut, dialect: Dialect) -> Result<(), Fault> {
    if dialect.has_properties() { body.properties().map(drop) } else { Ok(()) }
}

/// The longest packet that there can be.
pub(crate) const LEN_MAX: u32 = 268_435_455;

/// What is left of a packet.
struct Cut(Bytes);

const CUT: Fault = Fault("a packet that ends too early");

impl Cut {
    fn byte(&mut self) -> Result<u8, Fault> {
        self.0.try_get_u8().map_err(|_| CUT)
    }

    fn short(&mut self) -> Result<u16, Fault> {
        self.0.try_get_u16().map_err(|_| CUT)
    }

    fn long(&mut self) -> Result<u32, Fault> {
        self.0.try_get_u32().map_err(|_| CUT)
    }

    fn packet_id(&mut self) -> Result<u16, Fault> {
        match self.short()? {
            0 => Err(Fault("the packet id 0")),
            id => Ok(id),
        }
    }

    fn bytes(&mut self) -> Result<Bytes, Fault> {
        let len = usize::from(self.short()?);
        if self.0.len() < len { Err(CUT) } else { Ok(self.0.split_to(len)) }
    }

    fn text(&mut self) -> Result<Text, Fault> {
        Text::from_utf8(self.bytes()?).map_err(|_| Fault("text that is not UTF-8"))
    }

    fn varint(&mut self) -> Result<usize, Fault> {
        let mut value = 0;
        for at in 0..4 {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7F) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault("a number of more than four bytes"))
    }

    fn properties(&mut self) -> Result<Self, Fault> {
        let len = self.varint()?;
        if self.0.len() < len { Err(CUT) } else { Ok(Self(self.0.split_to(len))) }
    }

    /// Passes over a property that means nothing to us (section 2.2.2.2).
    fn skip(&mut self, property: u8) -> Result<(), Fault> {
        match property {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => self.byte().map(drop),
            0x13 | 0x21 | 0x22 | 0x23 => self.short().map(drop),
            0x02 | 0x11 | 0x18 | 0x27 => self.long().map(drop),
            0x0B => self.varint().map(drop),
            0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => self.bytes().map(drop),
            0x26 => self.bytes().and_then(|_| self.bytes()).map(drop),
            _ => Err(Fault("a property that there is not")),
        }
    }
}

/// The reason of a broker that ends a session's older connection.
pub(crate) const TAKEN_OVER: u8 = 0x8E;

/// What a reason code means, for the sentence that a person reads.
pub(crate) fn meaning(reason: u8) -> &'static str {
    match reason {
        0x80 => "an unspecified error",
        0x81 => "a malformed packet",
        0x82 => "a protocol error",
        0x84 | 0x01 => "the broker doesn't speak this version of MQTT",
        0x85 => "the client id is not valid",
        0x86 | 0x04 => "the user name or password is wrong",
        0x87 | 0x05 => "not authorised",
        0x88 => "the server is unavailable",
        0x89 => "the server is busy",
        0x8A => "banned",
        0x8B => "the server is shutting down",
        0x8D => "the keep alive ran out",
        0x8E => "another client took the session over",
        0x8F | 0x90 => "the topic is not valid",
        0x93 => "too many in flight",
        0x95 => "the packet is too large",
        0x97 => "the quota is exceeded",
        0x98 => "an administrator's action",
        0x99 => "the payload's format is not valid",
        0x9A => "retained messages are not supported",
        0x9B => "the QoS is not supported",
        0x9E => "shared subscriptions are not supported",
        0x9F => "too many connections",
        0xA2 => "wildcards are not supported",
        _ => "a reason without a name",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::write::write_publish;
    use super::*;

    fn publish() -> Publish {
        Publish {
            is_again: true,
            qos: 1,
            is_retained: true,
            topic: "a/b".into(),
            packet_id: 515,
            properties: Properties {
                format: Some(1),
                expiry: Some(60),
                response_topic: Some("answer".into()),
                correlation: Some(Bytes::from_static(&[0, 255])),
                content_type: Some("text/plain".into()),
                user: vec![("x".into(), "y".into()), ("x".into(), String::new().into())],
            },
            payload: Bytes::from_static(b"payload"),
        }
    }

    #[test]
    fn a_publication_comes_out_as_it_went_in() {
        let mut bytes = Vec::new();
        let len = write_publish(&publish(), Dialect::V5, &mut bytes);
        assert_eq!(len, bytes.len());
        let mut buffer = BytesMut::from(&bytes[..]);
        assert_eq!(next_packet(&mut buffer, 1_000, Dialect::V5), Ok(Some(Packet::Publish(Box::new(publish())))));
        assert!(buffer.is_empty());
    }

    #[test]
    fn packets_of_3_1_1_have_no_properties() {
        let mut bytes = Vec::new();
        write_publish(&publish(), Dialect::V3, &mut bytes);
        // Made by hand from section 3.3: DUP, QoS 1 and RETAIN; topic, packet id, payload.
        assert_eq!(bytes, b"\x3b\x0e\x00\x03a/b\x02\x03payload");
        let read = next_packet(&mut BytesMut::from(&bytes[..]), 1_000, Dialect::V3);
        let plain = Publish { properties: Properties::default(), ..publish() };
        assert_eq!(read, Ok(Some(Packet::Publish(Box::new(plain)))));
        let mut others = BytesMut::from(&b"\x20\x02\x01\x00\x90\x04\x00\x01\x01\x80\x40\x02\x00\x07\xd0\x00"[..]);
        let mut next = || next_packet(&mut others, 1_000, Dialect::V3);
        assert!(matches!(next(), Ok(Some(Packet::ConnAck(answer))) if answer.is_session_present && answer.reason == 0));
        assert_eq!(next(), Ok(Some(Packet::SubAck { packet_id: 1, reasons: vec![1, 0x80] })));
        assert_eq!(next(), Ok(Some(Packet::PubAck { packet_id: 7, reason: 0 })));
        assert_eq!(next(), Ok(Some(Packet::PingResp)));
        assert_eq!(next(), Ok(None));
    }

    #[test]
    fn a_packet_that_is_not_whole_is_waited_for_and_one_that_is_cut_inside_is_refused() {
        let mut bytes = Vec::new();
        write_publish(&publish(), Dialect::V5, &mut bytes);
        for len in 0..bytes.len() {
            let mut buffer = BytesMut::from(&bytes[..len]);
            assert_eq!(next_packet(&mut buffer, 1_000, Dialect::V5), Ok(None), "{len} bytes");
            // The same with a length that says that this was all.
            if len > 2 && len < bytes.len() - 7 {
                let mut cut = bytes[..len].to_vec();
                cut[1] = u8::try_from(len - 2).unwrap();
                assert!(
                    next_packet(&mut BytesMut::from(&cut[..]), 1_000, Dialect::V5).is_err(),
                    "{len} bytes and no more"
                );
            }
        }
    }

    #[test]
    fn what_a_broker_may_not_send_is_refused() {
        for (bytes, what) in [
            (&[0x34, 5, 0, 1, b'a', 0, 1, 0][..], "QoS 2"),
            (&[0x40, 2, 0, 0], "packet id 0"),
            (&[0x82, 2, 0, 1], "SUBSCRIBE"),
            (&[0xD0, 1, 0], "PINGRESP with a body"),
            (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1], "a length of five bytes"),
            (&[0x30, 3, 0, 0, 0], "no topic"),
            (&[0x30, 7, 0, 1, 0xFF, 3, 0x26, 0, 0], "no UTF-8"),
            (&[0x20, 4, 0, 0, 1, 0x7F], "no such property"),
        ] {
            assert!(next_packet(&mut BytesMut::from(bytes), 1_000, Dialect::V5).is_err(), "{what}");
        }
        let mut large = BytesMut::from(&[0x30, 0xFF, 0x7F][..]);
        assert!(next_packet(&mut large, 1_000, Dialect::V5).is_err(), "refused before its bytes came");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = next_packet(&mut buffer, 1_000, Dialect::V5) {}
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = next_packet(&mut buffer, 1_000, Dialect::V3) {}
        }
    }
}
