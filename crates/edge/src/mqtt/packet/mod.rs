//! MQTT 3.1.1 and 5.0 on the wire: a file a packet kind, read strictly, written in the shortest form, no I/O.
//!
//! What is read is a slice of the buffer that it came in; nothing is copied and nothing is reserved by a declared
//! length. The section numbers in the comments are those of MQTT 5.0 (OASIS, 2019) unless they say 3.1.1 (OASIS, 2014).

mod ack;
mod auth;
mod connack;
mod connect;
mod decoder;
mod disconnect;
mod fault;
mod header;
mod names;
mod ping;
mod properties;
mod publish;
mod put;
mod reader;
mod reason;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;
pub(super) mod varint;

#[cfg(test)]
mod tests;

pub use ack::{Ack, AckKind, encode_ack};
pub use auth::Auth;
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties, Secret, Will};
pub use decoder::{ClientDecoder, Decoder, PACKET_MAX_BEFORE_CONNECT};
pub use disconnect::Disconnect;
pub use fault::Fault;
pub use header::Kind;
pub use names::split_shared;
pub use ping::{encode_ping_req, encode_ping_resp};
pub use properties::{Explanation, Pairs, USER_PROPERTIES_MAX};
pub use publish::{PayloadFormat, Publish, PublishParts, PublishProperties, encode_publish, publish_len};
pub use put::TooLong;
pub use reason::Reason;
pub use suback::SubAck;
pub use subscribe::{FILTERS_MAX, RetainHandling, Subscribe, SubscribeOptions};
pub use unsuback::UnsubAck;
pub use unsubscribe::Unsubscribe;

/// Which of the two protocols a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1: protocol level 4.
    V311,
    /// MQTT 5.0: protocol level 5.
    V5,
}

impl Version {
    /// The level as CONNECT says it.
    #[must_use]
    pub const fn level(self) -> u8 {
        match self {
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }
}

/// How sure a delivery is (section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// QoS 0.
    #[default]
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
    /// QoS 2.
    ExactlyOnce,
}

impl Qos {
    /// From the two bits that it has everywhere; 3 is none.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// 0, 1 or 2.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
            Self::ExactlyOnce => 2,
        }
    }
}

/// What a client may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Opens the connection.
    Connect(Box<Connect>),
    /// Publishes.
    Publish(Publish),
    /// Answers a publication of QoS 1.
    PubAck(Ack),
    /// Answers a publication of QoS 2.
    PubRec(Ack),
    /// Answers PUBREC.
    PubRel(Ack),
    /// Answers PUBREL.
    PubComp(Ack),
    /// Wants filters.
    Subscribe(Subscribe),
    /// Wants filters no more.
    Unsubscribe(Unsubscribe),
    /// Is there.
    PingReq,
    /// Goes in good order.
    Disconnect(Disconnect),
    /// Goes on with an authentication (5.0 only).
    Auth(Auth),
}

impl Packet {
    /// Appends it as a client writes it.
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        match self {
            Self::Connect(connect) => connect.encode(out),
            Self::Publish(publish) => publish.encode(version, out),
            Self::PubAck(ack) => ack.encode(AckKind::PubAck, version, out),
            Self::PubRec(ack) => ack.encode(AckKind::PubRec, version, out),
            Self::PubRel(ack) => ack.encode(AckKind::PubRel, version, out),
            Self::PubComp(ack) => ack.encode(AckKind::PubComp, version, out),
            Self::Subscribe(subscribe) => subscribe.encode(version, out),
            Self::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
            Self::PingReq => {
                encode_ping_req(out);
                Ok(())
            }
            Self::Disconnect(disconnect) => disconnect.encode(version, out),
            Self::Auth(auth) => auth.encode(out),
        }
    }
}

/// What a server may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromServer {
    /// Answers CONNECT.
    ConnAck(Box<ConnAck>),
    /// Delivers.
    Publish(Publish),
    /// Answers a publication of QoS 1.
    PubAck(Ack),
    /// Answers a publication of QoS 2.
    PubRec(Ack),
    /// Answers PUBREC.
    PubRel(Ack),
    /// Answers PUBREL.
    PubComp(Ack),
    /// Answers SUBSCRIBE.
    SubAck(SubAck),
    /// Answers UNSUBSCRIBE.
    UnsubAck(UnsubAck),
    /// Answers PINGREQ.
    PingResp,
    /// Ends the connection and says why (5.0 only).
    Disconnect(Disconnect),
    /// Goes on with an authentication (5.0 only).
    Auth(Auth),
}

impl FromServer {
    /// Appends it as a server writes it.
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        match self {
            Self::ConnAck(connack) => connack.encode(version, out),
            Self::Publish(publish) => publish.encode(version, out),
            Self::PubAck(ack) => ack.encode(AckKind::PubAck, version, out),
            Self::PubRec(ack) => ack.encode(AckKind::PubRec, version, out),
            Self::PubRel(ack) => ack.encode(AckKind::PubRel, version, out),
            Self::PubComp(ack) => ack.encode(AckKind::PubComp, version, out),
            Self::SubAck(suback) => suback.encode(version, out),
            Self::UnsubAck(unsuback) => unsuback.encode(version, out),
            Self::PingResp => {
                encode_ping_resp(out);
                Ok(())
            }
            Self::Disconnect(disconnect) => disconnect.encode(version, out),
            Self::Auth(auth) => auth.encode(out),
        }
    }
}
