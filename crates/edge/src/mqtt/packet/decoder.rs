//! Bytes into packets, from whatever pieces the network makes of them.
//!
//! The whole packets at the front of a read buffer leave it as one piece, of which each topic and payload is a slice: two
//! reference counts a PUBLISH, and no copy and no move of what follows.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::header::{Expected, Header, Sender};
use super::reader::Reader;
use super::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, Fault, FromServer, Kind, Packet, Publish, SubAck, Subscribe,
    UnsubAck, Unsubscribe, Version,
};

/// The largest packet that is taken from a client before it is known: room for a CONNECT with a will and a long token.
pub const PACKET_MAX_BEFORE_CONNECT: usize = 64 * 1_024;

/// What both sides' decoders share: whole packets off a buffer.
struct Frames {
    expected: Expected,
    /// Whole packets that have left the read buffer and were not read yet. Gives its memory back with the last one.
    run: Bytes,
}

impl Frames {
    const fn new(expected: Expected) -> Self {
        Self { expected, run: Bytes::new() }
    }

    /// The next whole packet's header, with the run beginning at that packet.
    #[inline]
    fn header(&mut self, buffer: &mut BytesMut) -> Result<Option<Header>, Fault> {
        if self.run.is_empty() {
            self.take_run(buffer)?;
        }
        Header::read(&self.run, &self.expected)
    }

    /// Moves the whole packets at the front out of the buffer. A bad header behind a good packet is left for later: what
    /// came before it still counts. (So is whatever follows the greeting, of which it depends what it may be.)
    fn take_run(&mut self, buffer: &mut BytesMut) -> Result<(), Fault> {
        let mut end = 0;
        loop {
            match Header::read(&buffer[end..], &self.expected) {
                Ok(Some(header)) if buffer.len() - end >= header.packet_len => end += header.packet_len,
                Ok(_) => break,
                Err(fault) if end == 0 => return Err(fault),
                Err(_) => break,
            }
        }
        if end > 0 {
            self.run = buffer.split_to(end).freeze();
        }
        Ok(())
    }

    /// Goes over the packet that was read.
    #[inline]
    fn pass(&mut self, header: Header) {
        if header.packet_len >= self.run.len() {
            self.run = Bytes::new();
        } else {
            self.run.advance(header.packet_len);
        }
    }
}

/// Reads what a client sends.
pub struct Decoder {
    frames: Frames,
}

impl Decoder {
    /// A connection that has said nothing yet: only CONNECT is taken, up to [`PACKET_MAX_BEFORE_CONNECT`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            frames: Frames::new(Expected {
                sender: Sender::Client,
                version: None,
                is_greeting: true,
                packet_max: PACKET_MAX_BEFORE_CONNECT,
            }),
        }
    }

    /// CONNECT was accepted: from now on any other packet is taken, up to `packet_max` bytes, its head included. To be
    /// called between CONNECT and the next call of [`Self::next`].
    pub const fn set(&mut self, version: Version, packet_max: usize) {
        self.frames.expected.version = Some(version);
        self.frames.expected.packet_max = packet_max;
        self.frames.expected.is_greeting = false;
    }

    /// Takes the next packet off the front of `buffer`; `None` when none has come whole.
    ///
    /// Whole packets leave the buffer several at a time, so who stops calling before it gives `None` must call again
    /// before waiting for more bytes.
    ///
    /// # Errors
    /// At the first byte that breaks a rule, even when the rest of the packet hasn't come. The connection is then to be
    /// closed: calling again makes no sense.
    #[inline]
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, Fault> {
        self.take(buffer).map_err(|fault| fault.in_version(self.frames.expected.version))
    }

    #[inline]
    fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, Fault> {
        let Some(header) = self.frames.header(buffer)? else { return Ok(None) };
        let packet = self.read(header)?;
        self.frames.pass(header);
        Ok(Some(packet))
    }

    #[inline]
    fn read(&self, header: Header) -> Result<Packet, Fault> {
        let mut reader = Reader::new(&self.frames.run, header.head_len, header.packet_len);
        let reader = &mut reader;
        let Some(version) = self.frames.expected.version else {
            return Ok(Packet::Connect(Box::new(Connect::read(header, reader)?)));
        };
        Ok(match header.kind {
            Kind::Publish => Packet::Publish(Publish::read(header, reader, version, Sender::Client)?),
            Kind::PubAck => Packet::PubAck(Ack::read(AckKind::PubAck, reader, version)?),
            Kind::PubRec => Packet::PubRec(Ack::read(AckKind::PubRec, reader, version)?),
            Kind::PubRel => Packet::PubRel(Ack::read(AckKind::PubRel, reader, version)?),
            Kind::PubComp => Packet::PubComp(Ack::read(AckKind::PubComp, reader, version)?),
            Kind::Subscribe => Packet::Subscribe(Subscribe::read(reader, version)?),
            Kind::Unsubscribe => Packet::Unsubscribe(Unsubscribe::read(reader, version)?),
            Kind::PingReq => Packet::PingReq,
            Kind::Disconnect => Packet::Disconnect(Disconnect::read(reader, version, Sender::Client)?),
            Kind::Auth => Packet::Auth(Auth::read(reader, Sender::Client)?),
            // Their place was judged with the header.
            Kind::Connect | Kind::ConnAck | Kind::SubAck | Kind::UnsubAck | Kind::PingResp => return Err(OUT_OF_PLACE),
        })
    }

    /// Whether whole packets are waiting in here, out of the buffer's sight.
    #[must_use]
    pub const fn holds_packets(&self) -> bool {
        !self.frames.run.is_empty()
    }
}

const OUT_OF_PLACE: Fault = Fault::protocol("a packet of this type has no place here");

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Decoder {
    /// Without the bytes: a password may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("expected", &self.frames.expected).finish_non_exhaustive()
    }
}

/// Reads what a server sends: for load generators, tests and bridges.
pub struct ClientDecoder {
    frames: Frames,
}

impl ClientDecoder {
    /// A connection on which CONNECT was sent: CONNACK comes first (in 5.0 AUTH may come before it). Packets up to
    /// `packet_max` bytes are taken.
    #[must_use]
    pub const fn new(version: Version, packet_max: usize) -> Self {
        Self {
            frames: Frames::new(Expected {
                sender: Sender::Server,
                version: Some(version),
                is_greeting: true,
                packet_max,
            }),
        }
    }

    /// Takes the next packet off the front of `buffer`; as [`Decoder::next`].
    ///
    /// # Errors
    /// As [`Decoder::next`].
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<FromServer>, Fault> {
        self.take(buffer).map_err(|fault| fault.in_version(self.frames.expected.version))
    }

    fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<FromServer>, Fault> {
        let Some(header) = self.frames.header(buffer)? else { return Ok(None) };
        let packet = self.read(header)?;
        self.frames.pass(header);
        self.frames.expected.is_greeting &= header.kind != Kind::ConnAck;
        Ok(Some(packet))
    }

    fn read(&self, header: Header) -> Result<FromServer, Fault> {
        let mut reader = Reader::new(&self.frames.run, header.head_len, header.packet_len);
        let reader = &mut reader;
        let version = self.frames.expected.version.unwrap_or(Version::V5);
        Ok(match header.kind {
            Kind::ConnAck => FromServer::ConnAck(Box::new(ConnAck::read(reader, version)?)),
            Kind::Publish => FromServer::Publish(Publish::read(header, reader, version, Sender::Server)?),
            Kind::PubAck => FromServer::PubAck(Ack::read(AckKind::PubAck, reader, version)?),
            Kind::PubRec => FromServer::PubRec(Ack::read(AckKind::PubRec, reader, version)?),
            Kind::PubRel => FromServer::PubRel(Ack::read(AckKind::PubRel, reader, version)?),
            Kind::PubComp => FromServer::PubComp(Ack::read(AckKind::PubComp, reader, version)?),
            Kind::SubAck => FromServer::SubAck(SubAck::read(reader, version)?),
            Kind::UnsubAck => FromServer::UnsubAck(UnsubAck::read(reader, version)?),
            Kind::PingResp => FromServer::PingResp,
            Kind::Disconnect => FromServer::Disconnect(Disconnect::read(reader, version, Sender::Server)?),
            Kind::Auth => FromServer::Auth(Auth::read(reader, Sender::Server)?),
            // Their place was judged with the header.
            Kind::Connect | Kind::Subscribe | Kind::Unsubscribe | Kind::PingReq => return Err(OUT_OF_PLACE),
        })
    }
}

impl fmt::Debug for ClientDecoder {
    /// Without the bytes, as those of [`Decoder`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientDecoder").field("expected", &self.frames.expected).finish_non_exhaustive()
    }
}
