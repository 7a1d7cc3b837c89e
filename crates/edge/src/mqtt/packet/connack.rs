//! CONNACK (section 3.2).

use headwater_event::Text;

use super::connect::Secret;
use super::header::Kind;
use super::properties::{
    Explanation, Property, Section, id, once, put_byte, put_bytes, put_flag, put_text, put_u16, put_u32, read_each,
};
use super::put::{Body, Put, TooLong, write};
use super::reader::Reader;
use super::{Fault, Qos, Reason, Version};

/// Table 3-1.
const REASONS: &[Reason] = &[
    Reason::SUCCESS,
    Reason::UNSPECIFIED_ERROR,
    Reason::MALFORMED_PACKET,
    Reason::PROTOCOL_ERROR,
    Reason::IMPLEMENTATION_SPECIFIC_ERROR,
    Reason::UNSUPPORTED_PROTOCOL_VERSION,
    Reason::CLIENT_ID_NOT_VALID,
    Reason::BAD_USER_NAME_OR_PASSWORD,
    Reason::NOT_AUTHORIZED,
    Reason::SERVER_UNAVAILABLE,
    Reason::SERVER_BUSY,
    Reason::BANNED,
    Reason::BAD_AUTHENTICATION_METHOD,
    Reason::TOPIC_NAME_INVALID,
    Reason::PACKET_TOO_LARGE,
    Reason::QUOTA_EXCEEDED,
    Reason::PAYLOAD_FORMAT_INVALID,
    Reason::RETAIN_NOT_SUPPORTED,
    Reason::QOS_NOT_SUPPORTED,
    Reason::USE_ANOTHER_SERVER,
    Reason::SERVER_MOVED,
    Reason::CONNECTION_RATE_EXCEEDED,
];

/// Answers CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server still has the client's session. Written as no with any "no" ([MQTT-3.2.2-6]).
    pub session_present: bool,
    /// Whether the connection is accepted.
    pub reason: Reason,
    /// The defaults in 3.1.1.
    pub properties: ConnAckProperties,
}

/// The properties of CONNACK (section 3.2.2.3), with their defaults where they're absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAckProperties {
    /// Seconds that the session outlives the connection, where that's not what the client asked for.
    pub session_expiry: Option<u32>,
    /// How many publications above QoS 0 the server takes at a time; never 0.
    pub receive_maximum: u16,
    /// The highest QoS that it takes.
    pub maximum_qos: Qos,
    /// Whether it keeps topics' latest.
    pub retain_available: bool,
    /// The largest packet that it takes; never 0.
    pub maximum_packet_size: Option<u32>,
    /// The client id that it gave to a client without one.
    pub assigned_client_id: Option<Text>,
    /// The highest alias that it takes; 0 for none.
    pub topic_alias_maximum: u16,
    /// Why, in words.
    pub explanation: Explanation,
    /// Whether filters may have wildcards.
    pub wildcards_available: bool,
    /// Whether subscriptions may have identifiers.
    pub subscription_ids_available: bool,
    /// Whether subscriptions may be shared.
    pub shared_available: bool,
    /// The keep alive to hold in place of the client's own, in seconds.
    pub server_keep_alive: Option<u16>,
    /// A base for response topics.
    pub response_information: Option<Text>,
    /// Where to go instead.
    pub server_reference: Option<Text>,
    /// The name of the method of authentication.
    pub authentication_method: Option<Text>,
    /// What the method wants to say.
    pub authentication_data: Option<Secret>,
}

impl Default for ConnAckProperties {
    fn default() -> Self {
        Self {
            session_expiry: None,
            receive_maximum: u16::MAX,
            maximum_qos: Qos::ExactlyOnce,
            retain_available: true,
            maximum_packet_size: None,
            assigned_client_id: None,
            topic_alias_maximum: 0,
            explanation: Explanation::default(),
            wildcards_available: true,
            subscription_ids_available: true,
            shared_available: true,
            server_keep_alive: None,
            response_information: None,
            server_reference: None,
            authentication_method: None,
            authentication_data: None,
        }
    }
}

impl ConnAck {
    /// A "no", or a "yes" that says no more.
    #[must_use]
    pub fn because(reason: Reason) -> Self {
        Self { session_present: false, reason, properties: ConnAckProperties::default() }
    }

    pub(super) fn read(reader: &mut Reader<'_>, version: Version) -> Result<Self, Fault> {
        let session_present = match reader.byte()? {
            0 => false,
            1 => true,
            _ => return Err(Fault::malformed("a reserved bit of the acknowledge flags is set")),
        };
        let (reason, properties) = match version {
            Version::V311 => {
                let reason = Reason::from_return_code(reader.byte()?);
                let reason = reason.ok_or(Fault::malformed("a return code that the specification doesn't have"))?;
                (reason, ConnAckProperties::default())
            }
            Version::V5 => (reader.reason(REASONS)?, ConnAckProperties::read(reader)?),
        };
        reader.end()?;
        if session_present && reason != Reason::SUCCESS {
            return Err(Fault::protocol("a session is present, and the connection is refused"));
        }
        Ok(Self { session_present, reason, properties })
    }

    /// Appends it. A reason that 3.1.1 has no return code for leaves a 3.1.1 client without CONNACK: nothing is
    /// appended, and the connection is to be closed (3.1.1, [MQTT-3.2.2-6]).
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        if version == Version::V311 && self.reason.to_return_code().is_none() {
            return Ok(());
        }
        write(Kind::ConnAck, self, version, out)
    }
}

impl Body for ConnAck {
    fn put(&self, version: Version, put: &mut impl Put) {
        put.byte(u8::from(self.session_present && self.reason == Reason::SUCCESS));
        match version {
            Version::V311 => put.byte(self.reason.to_return_code().unwrap_or(u8::MAX)),
            Version::V5 => {
                put.byte(self.reason.byte());
                self.properties.put(put);
            }
        }
    }
}

/// Properties of which it matters whether they were there.
#[derive(Default)]
struct Seen {
    receive_maximum: Option<u16>,
    maximum_qos: Option<Qos>,
    retain: Option<bool>,
    topic_alias_maximum: Option<u16>,
    wildcards: Option<bool>,
    subscription_ids: Option<bool>,
    shared: Option<bool>,
}

impl ConnAckProperties {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut properties, mut seen) = (Self::default(), Seen::default());
        read_each(reader, |property| properties.take(property, &mut seen))?;
        Ok(Self {
            receive_maximum: seen.receive_maximum.unwrap_or(properties.receive_maximum),
            maximum_qos: seen.maximum_qos.unwrap_or(properties.maximum_qos),
            retain_available: seen.retain.unwrap_or(true),
            topic_alias_maximum: seen.topic_alias_maximum.unwrap_or(0),
            wildcards_available: seen.wildcards.unwrap_or(true),
            subscription_ids_available: seen.subscription_ids.unwrap_or(true),
            shared_available: seen.shared.unwrap_or(true),
            ..properties
        })
    }

    fn take(&mut self, property: Property, seen: &mut Seen) -> Result<(), Fault> {
        match property {
            Property::SessionExpiry(seconds) => once(&mut self.session_expiry, seconds),
            Property::ReceiveMaximum(most) => once(&mut seen.receive_maximum, most),
            Property::MaximumQos(qos) => once(&mut seen.maximum_qos, qos),
            Property::RetainAvailable(flag) => once(&mut seen.retain, flag),
            Property::MaximumPacketSize(bytes) => once(&mut self.maximum_packet_size, bytes),
            Property::AssignedClientId(text) => once(&mut self.assigned_client_id, text),
            Property::TopicAliasMaximum(most) => once(&mut seen.topic_alias_maximum, most),
            Property::WildcardsAvailable(flag) => once(&mut seen.wildcards, flag),
            Property::SubscriptionIdsAvailable(flag) => once(&mut seen.subscription_ids, flag),
            Property::SharedAvailable(flag) => once(&mut seen.shared, flag),
            Property::ServerKeepAlive(seconds) => once(&mut self.server_keep_alive, seconds),
            Property::ResponseInformation(text) => once(&mut self.response_information, text),
            Property::ServerReference(text) => once(&mut self.server_reference, text),
            Property::AuthenticationMethod(text) => once(&mut self.authentication_method, text),
            Property::AuthenticationData(bytes) => once(&mut self.authentication_data, Secret::new(bytes)),
            other => self.explanation.take(other),
        }
    }
}

impl Section for ConnAckProperties {
    fn put_fields(&self, put: &mut impl Put) {
        put_u32(put, id::SESSION_EXPIRY, self.session_expiry);
        put_u16(put, id::RECEIVE_MAXIMUM, (self.receive_maximum != u16::MAX).then_some(self.receive_maximum));
        put_byte(put, id::MAXIMUM_QOS, (self.maximum_qos != Qos::ExactlyOnce).then_some(self.maximum_qos.bits()));
        put_flag(put, id::RETAIN_AVAILABLE, self.retain_available, true);
        put_u32(put, id::MAXIMUM_PACKET_SIZE, self.maximum_packet_size);
        put_text(put, id::ASSIGNED_CLIENT_ID, self.assigned_client_id.as_ref());
        put_u16(put, id::TOPIC_ALIAS_MAXIMUM, (self.topic_alias_maximum != 0).then_some(self.topic_alias_maximum));
        self.explanation.put_fields(put);
        put_flag(put, id::WILDCARDS_AVAILABLE, self.wildcards_available, true);
        put_flag(put, id::SUBSCRIPTION_IDS_AVAILABLE, self.subscription_ids_available, true);
        put_flag(put, id::SHARED_AVAILABLE, self.shared_available, true);
        put_u16(put, id::SERVER_KEEP_ALIVE, self.server_keep_alive);
        put_text(put, id::RESPONSE_INFORMATION, self.response_information.as_ref());
        put_text(put, id::SERVER_REFERENCE, self.server_reference.as_ref());
        put_text(put, id::AUTHENTICATION_METHOD, self.authentication_method.as_ref());
        put_bytes(put, id::AUTHENTICATION_DATA, self.authentication_data.as_ref().map(Secret::as_bytes));
    }
}
