//! Properties (section 2.2.2): each with its type, in the packets that may have it, once.

use bytes::Bytes;
use headwater_event::Text;

use super::put::{Length, Put};
use super::reader::Reader;
use super::{Fault, PayloadFormat, Qos, Reason};

/// The most user properties of one packet. Two empty texts take 5 bytes on the wire and 64 in memory, so a packet of
/// 1 MiB could grow to 13; an event's headers hold fewer than 2,400 of the shortest, and real ones a dozen.
pub const USER_PROPERTIES_MAX: usize = 1_024;

/// Identifiers (table 2-4).
pub(super) mod id {
    pub const PAYLOAD_FORMAT: u8 = 0x01;
    pub const MESSAGE_EXPIRY: u8 = 0x02;
    pub const CONTENT_TYPE: u8 = 0x03;
    pub const RESPONSE_TOPIC: u8 = 0x08;
    pub const CORRELATION_DATA: u8 = 0x09;
    pub const SUBSCRIPTION_ID: u8 = 0x0B;
    pub const SESSION_EXPIRY: u8 = 0x11;
    pub const ASSIGNED_CLIENT_ID: u8 = 0x12;
    pub const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub const AUTHENTICATION_METHOD: u8 = 0x15;
    pub const AUTHENTICATION_DATA: u8 = 0x16;
    pub const REQUEST_PROBLEM_INFO: u8 = 0x17;
    pub const WILL_DELAY: u8 = 0x18;
    pub const REQUEST_RESPONSE_INFO: u8 = 0x19;
    pub const RESPONSE_INFORMATION: u8 = 0x1A;
    pub const SERVER_REFERENCE: u8 = 0x1C;
    pub const REASON_STRING: u8 = 0x1F;
    pub const RECEIVE_MAXIMUM: u8 = 0x21;
    pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub const TOPIC_ALIAS: u8 = 0x23;
    pub const MAXIMUM_QOS: u8 = 0x24;
    pub const RETAIN_AVAILABLE: u8 = 0x25;
    pub const USER_PROPERTY: u8 = 0x26;
    pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub const WILDCARDS_AVAILABLE: u8 = 0x28;
    pub const SUBSCRIPTION_IDS_AVAILABLE: u8 = 0x29;
    pub const SHARED_AVAILABLE: u8 = 0x2A;
}

/// One property; its value keeps the rules that hold in every packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Property {
    PayloadFormat(PayloadFormat),
    MessageExpiry(u32),
    ContentType(Text),
    ResponseTopic(Text),
    CorrelationData(Bytes),
    /// Never 0.
    SubscriptionId(u32),
    SessionExpiry(u32),
    AssignedClientId(Text),
    ServerKeepAlive(u16),
    AuthenticationMethod(Text),
    AuthenticationData(Bytes),
    RequestProblemInfo(bool),
    WillDelay(u32),
    RequestResponseInfo(bool),
    ResponseInformation(Text),
    ServerReference(Text),
    ReasonString(Text),
    /// Never 0.
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    /// Never 0.
    TopicAlias(u16),
    /// 0 or 1.
    MaximumQos(Qos),
    RetainAvailable(bool),
    User(Text, Text),
    /// Never 0.
    MaximumPacketSize(u32),
    WildcardsAvailable(bool),
    SubscriptionIdsAvailable(bool),
    SharedAvailable(bool),
}

impl Property {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        // Every identifier there is fits one byte; a longer one is an unknown one.
        let id = u8::try_from(reader.varint()?).unwrap_or(u8::MAX);
        Ok(match id {
            id::PAYLOAD_FORMAT => Self::PayloadFormat(PayloadFormat::from_flag(flag(reader)?)),
            id::MESSAGE_EXPIRY => Self::MessageExpiry(reader.u32()?),
            id::CONTENT_TYPE => Self::ContentType(reader.text()?),
            id::RESPONSE_TOPIC => Self::ResponseTopic(reader.text_with_nul()?),
            id::CORRELATION_DATA => Self::CorrelationData(reader.binary()?),
            id::SUBSCRIPTION_ID => Self::SubscriptionId(above_zero(reader.varint()?, ZERO_SUBSCRIPTION_ID)?),
            id::SESSION_EXPIRY => Self::SessionExpiry(reader.u32()?),
            id::ASSIGNED_CLIENT_ID => Self::AssignedClientId(reader.text()?),
            id::SERVER_KEEP_ALIVE => Self::ServerKeepAlive(reader.u16()?),
            id::AUTHENTICATION_METHOD => Self::AuthenticationMethod(reader.text()?),
            id::AUTHENTICATION_DATA => Self::AuthenticationData(reader.binary()?),
            id::REQUEST_PROBLEM_INFO => Self::RequestProblemInfo(flag(reader)?),
            id::WILL_DELAY => Self::WillDelay(reader.u32()?),
            id::REQUEST_RESPONSE_INFO => Self::RequestResponseInfo(flag(reader)?),
            id::RESPONSE_INFORMATION => Self::ResponseInformation(reader.text()?),
            id::SERVER_REFERENCE => Self::ServerReference(reader.text()?),
            id::REASON_STRING => Self::ReasonString(reader.text()?),
            id::RECEIVE_MAXIMUM => Self::ReceiveMaximum(above_zero(reader.u16()?, ZERO_RECEIVE_MAXIMUM)?),
            id::TOPIC_ALIAS_MAXIMUM => Self::TopicAliasMaximum(reader.u16()?),
            id::TOPIC_ALIAS => Self::TopicAlias(above_zero(reader.u16()?, ZERO_TOPIC_ALIAS)?),
            id::MAXIMUM_QOS => Self::MaximumQos(if flag(reader)? { Qos::AtLeastOnce } else { Qos::AtMostOnce }),
            id::RETAIN_AVAILABLE => Self::RetainAvailable(flag(reader)?),
            id::USER_PROPERTY => Self::User(reader.text()?, reader.text()?),
            id::MAXIMUM_PACKET_SIZE => Self::MaximumPacketSize(above_zero(reader.u32()?, ZERO_PACKET_SIZE)?),
            id::WILDCARDS_AVAILABLE => Self::WildcardsAvailable(flag(reader)?),
            id::SUBSCRIPTION_IDS_AVAILABLE => Self::SubscriptionIdsAvailable(flag(reader)?),
            id::SHARED_AVAILABLE => Self::SharedAvailable(flag(reader)?),
            _ => return Err(Fault::malformed("a property that the specification doesn't have")),
        })
    }
}

const ZERO_SUBSCRIPTION_ID: Fault = Fault::protocol("subscription identifier 0");
const ZERO_RECEIVE_MAXIMUM: Fault = Fault::protocol("receive maximum 0");
const ZERO_PACKET_SIZE: Fault = Fault::protocol("maximum packet size 0");
const ZERO_TOPIC_ALIAS: Fault = Fault::new(Reason::TOPIC_ALIAS_INVALID, "topic alias 0");

/// What a packet answers to a property that it doesn't have ([MQTT-2.2.2.2]).
pub(super) const MISPLACED: Fault = Fault::malformed("a packet of this type doesn't have this property");

fn flag(reader: &mut Reader<'_>) -> Result<bool, Fault> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Fault::protocol("a property that is 0 or 1 has another value")),
    }
}

fn above_zero<N: Default + PartialEq>(number: N, fault: Fault) -> Result<N, Fault> {
    if number == N::default() { Err(fault) } else { Ok(number) }
}

/// Reads a packet's properties, their length first, and hands each to `take`.
pub(super) fn read_each(
    reader: &mut Reader<'_>,
    mut take: impl FnMut(Property) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let len = reader.varint()?;
    let mut section = reader.section(len)?;
    while !section.is_empty() {
        take(Property::read(&mut section)?)?;
    }
    Ok(())
}

/// Takes a property that may stand there once.
pub(super) fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::protocol("a property that may stand there once does so twice")),
    }
}

/// Takes a user property, in order.
pub(super) fn one_more(pairs: &mut Vec<(Text, Text)>, name: Text, value: Text) -> Result<(), Fault> {
    if pairs.len() == USER_PROPERTIES_MAX {
        return Err(Fault::new(Reason::QUOTA_EXCEEDED, "a packet has at most 1,024 user properties"));
    }
    pairs.push((name, value));
    Ok(())
}

/// User properties, wherever they are kept: MQTT names and values of any text, in their order.
pub trait Pairs {
    /// Calls `put` for each name and value.
    fn each(&self, put: &mut dyn FnMut(&str, &str));
}

impl Pairs for [(Text, Text)] {
    fn each(&self, put: &mut dyn FnMut(&str, &str)) {
        for (name, value) in self {
            put(name, value);
        }
    }
}

impl Pairs for Vec<(Text, Text)> {
    fn each(&self, put: &mut dyn FnMut(&str, &str)) {
        self[..].each(put);
    }
}

impl Pairs for headwater_event::Headers {
    fn each(&self, put: &mut dyn FnMut(&str, &str)) {
        for (name, value) in self.iter() {
            put(name, value);
        }
    }
}

/// The properties of a packet, to be written.
pub(super) trait Section {
    fn put_fields(&self, put: &mut impl Put);

    /// How long they are, without their length.
    fn len(&self) -> u32 {
        Length::of(|length| self.put_fields(length)).capped()
    }

    /// Writes them behind their length.
    fn put(&self, put: &mut impl Put) {
        put.varint(self.len());
        self.put_fields(put);
    }
}

pub(super) fn put_byte(put: &mut impl Put, id: u8, value: Option<u8>) {
    if let Some(value) = value {
        put.byte(id);
        put.byte(value);
    }
}

/// Writes a flag that isn't what it is when nothing is said.
pub(super) fn put_flag(put: &mut impl Put, id: u8, value: bool, default: bool) {
    put_byte(put, id, (value != default).then_some(u8::from(value)));
}

pub(super) fn put_u16(put: &mut impl Put, id: u8, value: Option<u16>) {
    if let Some(value) = value {
        put.byte(id);
        put.u16(value);
    }
}

pub(super) fn put_u32(put: &mut impl Put, id: u8, value: Option<u32>) {
    if let Some(value) = value {
        put.byte(id);
        put.u32(value);
    }
}

pub(super) fn put_varint(put: &mut impl Put, id: u8, value: u32) {
    put.byte(id);
    put.varint(value);
}

pub(super) fn put_bytes(put: &mut impl Put, id: u8, value: Option<&[u8]>) {
    if let Some(value) = value {
        put.byte(id);
        put.prefixed(value);
    }
}

pub(super) fn put_text(put: &mut impl Put, id: u8, value: Option<&Text>) {
    put_bytes(put, id, value.map(Text::as_bytes));
}

pub(super) fn put_pairs(put: &mut impl Put, pairs: &(impl Pairs + ?Sized)) {
    pairs.each(&mut |name, value| {
        put.byte(id::USER_PROPERTY);
        put.prefixed(name.as_bytes());
        put.prefixed(value.as_bytes());
    });
}

/// What most answers may say beside their code: why, for people, and what the two sides agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// For people and logs; not for programs.
    pub reason_string: Option<Text>,
    /// In their order.
    pub user_properties: Vec<(Text, Text)>,
}

impl Explanation {
    /// Reads the properties of a packet that has none but these.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut explanation = Self::default();
        read_each(reader, |property| explanation.take(property))?;
        Ok(explanation)
    }

    /// Takes one of these, and refuses any other.
    pub(super) fn take(&mut self, property: Property) -> Result<(), Fault> {
        match property {
            Property::ReasonString(text) => once(&mut self.reason_string, text),
            Property::User(name, value) => one_more(&mut self.user_properties, name, value),
            _ => Err(MISPLACED),
        }
    }

    /// Nothing where nothing was said, so that most packets cost no allocation.
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl Section for Explanation {
    fn put_fields(&self, put: &mut impl Put) {
        put_text(put, id::REASON_STRING, self.reason_string.as_ref());
        put_pairs(put, &self.user_properties);
    }
}

impl Section for Option<Box<Explanation>> {
    fn put_fields(&self, put: &mut impl Put) {
        if let Some(explanation) = self {
            explanation.put_fields(put);
        }
    }
}
