//! CONNECT (section 3.1).

use std::fmt;

use bytes::Bytes;
use headwater_event::Text;

use super::header::{Header, Kind};
use super::names::{check_client_id, check_topic, check_user_name};
use super::properties::{
    MISPLACED, Property, Section, id, once, one_more, put_bytes, put_flag, put_pairs, put_text, put_u16, put_u32,
    read_each,
};
use super::publish::{PublishParts, PublishProperties};
use super::put::{Body, Put, TooLong, write};
use super::reader::Reader;
use super::{Fault, Qos, Reason, Version};

/// The name of both protocols that are served.
const NAME: &[u8] = b"MQTT";
/// The name that MQTT 3.1 had (level 3): known, so that such a client can be told why.
const NAME_31: &[u8] = b"MQIsdp";

/// The bits of the connect flags (section 3.1.2.3).
mod flag {
    pub const RESERVED: u8 = 0x01;
    pub const CLEAN_START: u8 = 0x02;
    pub const WILL: u8 = 0x04;
    pub const WILL_QOS_SHIFT: u8 = 3;
    pub const WILL_RETAIN: u8 = 0x20;
    pub const PASSWORD: u8 = 0x40;
    pub const USER_NAME: u8 = 0x80;
}

/// Who it is and what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// What the connection speaks.
    pub version: Version,
    /// Whether an old session is to be forgotten; in 3.1.1, where it's "clean session", also the new one at its end.
    pub clean_start: bool,
    /// Seconds in which at least one packet comes; 0 for no such promise.
    pub keep_alive: u16,
    /// May be empty; what that means is for the connection to say.
    pub client_id: Text,
    /// What to publish when it's gone.
    pub will: Option<Will>,
    /// Who it says it is.
    pub user_name: Option<Text>,
    /// By what it shows that.
    pub password: Option<Secret>,
    /// The defaults in 3.1.1.
    pub properties: ConnectProperties,
}

/// The properties of CONNECT (section 3.1.2.11), with their defaults where they're absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectProperties {
    /// Seconds that the session is to outlive the connection; `u32::MAX` is forever.
    pub session_expiry: u32,
    /// How many publications above QoS 0 the client takes at a time; never 0.
    pub receive_maximum: u16,
    /// The largest packet that it takes; never 0.
    pub maximum_packet_size: Option<u32>,
    /// The highest alias that it takes; 0 for none.
    pub topic_alias_maximum: u16,
    /// Whether it asks for response information in CONNACK.
    pub request_response_information: bool,
    /// Whether reasons in words and user properties may be sent elsewhere than in PUBLISH, CONNACK and DISCONNECT.
    pub request_problem_information: bool,
    /// In their order.
    pub user_properties: Vec<(Text, Text)>,
    /// The name of a method of authentication.
    pub authentication_method: Option<Text>,
    /// What the method wants to say; only with a method.
    pub authentication_data: Option<Secret>,
}

impl Default for ConnectProperties {
    fn default() -> Self {
        Self {
            session_expiry: 0,
            receive_maximum: u16::MAX,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: Vec::new(),
            authentication_method: None,
            authentication_data: None,
        }
    }
}

/// What to publish when a client is gone without goodbye.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Where it belongs.
    pub topic: Text,
    /// The bytes of it.
    pub payload: Bytes,
    /// How sure its delivery is.
    pub qos: Qos,
    /// Whether it is to be kept as its topic's latest.
    pub retain: bool,
    /// How many seconds to wait, in case the client comes back.
    pub delay: u32,
    /// Those of the publication.
    pub properties: Option<Box<PublishProperties>>,
}

/// Bytes that no log may show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Bytes);

impl Secret {
    /// Keeps bytes secret.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The shared bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Connect {
    pub(super) fn read(header: Header, reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let version = read_version(reader)?;
        Self::read_rest(header, reader, version).map_err(|fault| fault.in_version(Some(version)))
    }

    fn read_rest(header: Header, reader: &mut Reader<'_>, version: Version) -> Result<Self, Fault> {
        if version == Version::V5 && !header.is_minimal {
            return Err(Fault::malformed("the remaining length has more bytes than it needs"));
        }
        let flags = reader.byte()?;
        check_flags(flags, version)?;
        let keep_alive = reader.u16()?;
        let properties = match version {
            Version::V311 => ConnectProperties::default(),
            Version::V5 => ConnectProperties::read(reader)?,
        };
        let client_id = reader.text_with_nul()?;
        check_client_id(&client_id)?;
        let will = if flags & flag::WILL == 0 { None } else { Some(Will::read(flags, reader, version)?) };
        let user_name = if flags & flag::USER_NAME == 0 { None } else { Some(reader.text_with_nul()?) };
        if let Some(name) = &user_name {
            check_user_name(name)?;
        }
        let password = if flags & flag::PASSWORD == 0 { None } else { Some(Secret(reader.binary()?)) };
        reader.end()?;
        Ok(Self {
            version,
            clean_start: flags & flag::CLEAN_START != 0,
            keep_alive,
            client_id,
            will,
            user_name,
            password,
            properties,
        })
    }

    /// Appends it.
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        write(Kind::Connect, self, self.version, out)
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        let mut set = |bit, is_set| flags |= if is_set { bit } else { 0 };
        set(flag::CLEAN_START, self.clean_start);
        set(flag::USER_NAME, self.user_name.is_some());
        set(flag::PASSWORD, self.password.is_some());
        if let Some(will) = &self.will {
            set(flag::WILL, true);
            set(flag::WILL_RETAIN, will.retain);
            set(will.qos.bits() << flag::WILL_QOS_SHIFT, true);
        }
        flags
    }
}

/// The protocol's name and level (sections 3.1.2.1 and 3.1.2.2).
fn read_version(reader: &mut Reader<'_>) -> Result<Version, Fault> {
    let unsupported = |why, answer| {
        let fault = Fault::new(Reason::UNSUPPORTED_PROTOCOL_VERSION, why);
        Err(fault.in_version(answer))
    };
    let name = reader.binary()?;
    let level = reader.byte()?;
    match (&name[..], level) {
        (NAME, 4) => Ok(Version::V311),
        (NAME, 5) => Ok(Version::V5),
        (NAME_31, _) | (NAME, ..4) => {
            unsupported("MQTT 3.1.1 and 5.0 are served, none before them", Some(Version::V311))
        }
        (NAME, _) => unsupported("MQTT 3.1.1 and 5.0 are served, none after them", Some(Version::V5)),
        _ => unsupported("the protocol's name is not MQTT", None),
    }
}

fn check_flags(flags: u8, version: Version) -> Result<(), Fault> {
    if flags & flag::RESERVED != 0 {
        return Err(Fault::malformed("the reserved connect flag is set"));
    }
    let will_qos = flags >> flag::WILL_QOS_SHIFT & 0b11;
    if flags & flag::WILL == 0 && (will_qos != 0 || flags & flag::WILL_RETAIN != 0) {
        return Err(Fault::malformed("there are flags for a will, and no will"));
    }
    if will_qos == 3 {
        return Err(Fault::malformed("there is no QoS 3"));
    }
    if version == Version::V311 && flags & flag::USER_NAME == 0 && flags & flag::PASSWORD != 0 {
        return Err(Fault::malformed("there is a password, and no user name"));
    }
    Ok(())
}

impl ConnectProperties {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut session_expiry, mut receive_maximum, mut maximum_packet_size) = (None, None, None);
        let (mut topic_alias_maximum, mut response_information, mut problem_information) = (None, None, None);
        let (mut method, mut data, mut user_properties) = (None, None, Vec::new());
        read_each(reader, |property| match property {
            Property::SessionExpiry(seconds) => once(&mut session_expiry, seconds),
            Property::ReceiveMaximum(most) => once(&mut receive_maximum, most),
            Property::MaximumPacketSize(bytes) => once(&mut maximum_packet_size, bytes),
            Property::TopicAliasMaximum(most) => once(&mut topic_alias_maximum, most),
            Property::RequestResponseInfo(flag) => once(&mut response_information, flag),
            Property::RequestProblemInfo(flag) => once(&mut problem_information, flag),
            Property::User(name, value) => one_more(&mut user_properties, name, value),
            Property::AuthenticationMethod(text) => once(&mut method, text),
            Property::AuthenticationData(bytes) => once(&mut data, Secret(bytes)),
            _ => Err(MISPLACED),
        })?;
        if data.is_some() && method.is_none() {
            return Err(Fault::protocol("there is authentication data, and no method"));
        }
        let default = Self::default();
        Ok(Self {
            session_expiry: session_expiry.unwrap_or(default.session_expiry),
            receive_maximum: receive_maximum.unwrap_or(default.receive_maximum),
            maximum_packet_size,
            topic_alias_maximum: topic_alias_maximum.unwrap_or(default.topic_alias_maximum),
            request_response_information: response_information.unwrap_or(default.request_response_information),
            request_problem_information: problem_information.unwrap_or(default.request_problem_information),
            user_properties,
            authentication_method: method,
            authentication_data: data,
        })
    }
}

impl Section for ConnectProperties {
    fn put_fields(&self, put: &mut impl Put) {
        let default = Self::default();
        put_u32(
            put,
            id::SESSION_EXPIRY,
            (self.session_expiry != default.session_expiry).then_some(self.session_expiry),
        );
        let receive_maximum = (self.receive_maximum != default.receive_maximum).then_some(self.receive_maximum);
        put_u16(put, id::RECEIVE_MAXIMUM, receive_maximum);
        put_u32(put, id::MAXIMUM_PACKET_SIZE, self.maximum_packet_size);
        put_u16(put, id::TOPIC_ALIAS_MAXIMUM, (self.topic_alias_maximum != 0).then_some(self.topic_alias_maximum));
        put_flag(put, id::REQUEST_RESPONSE_INFO, self.request_response_information, false);
        put_flag(put, id::REQUEST_PROBLEM_INFO, self.request_problem_information, true);
        put_pairs(put, &self.user_properties);
        put_text(put, id::AUTHENTICATION_METHOD, self.authentication_method.as_ref());
        put_bytes(put, id::AUTHENTICATION_DATA, self.authentication_data.as_ref().map(Secret::as_bytes));
    }
}

impl Will {
    fn read(flags: u8, reader: &mut Reader<'_>, version: Version) -> Result<Self, Fault> {
        let (mut delay, mut properties) = (None, None::<Box<PublishProperties>>);
        if version == Version::V5 {
            read_each(reader, |property| match property {
                Property::WillDelay(seconds) => once(&mut delay, seconds),
                other => properties.get_or_insert_default().take(other),
            })?;
        }
        let topic = reader.text_with_nul()?;
        check_topic(&topic)?;
        Ok(Self {
            topic,
            payload: reader.binary()?,
            // The flags were checked before: never 3.
            qos: Qos::from_bits(flags >> flag::WILL_QOS_SHIFT & 0b11).unwrap_or_default(),
            retain: flags & flag::WILL_RETAIN != 0,
            delay: delay.unwrap_or(0),
            properties,
        })
    }
}

impl Section for Will {
    fn put_fields(&self, put: &mut impl Put) {
        put_u32(put, id::WILL_DELAY, (self.delay != 0).then_some(self.delay));
        if let Some(properties) = &self.properties {
            PublishParts::default().with(properties).put_properties(put);
        }
    }
}

impl Body for Connect {
    fn put(&self, version: Version, put: &mut impl Put) {
        put.prefixed(NAME);
        put.byte(version.level());
        put.byte(self.flags());
        put.u16(self.keep_alive);
        if version == Version::V5 {
            self.properties.put(put);
        }
        put.prefixed(self.client_id.as_bytes());
        if let Some(will) = &self.will {
            if version == Version::V5 {
                will.put(put);
            }
            put.prefixed(will.topic.as_bytes());
            put.prefixed(&will.payload);
        }
        if let Some(name) = &self.user_name {
            put.prefixed(name.as_bytes());
        }
        if let Some(password) = &self.password {
            put.prefixed(password.as_bytes());
        }
    }
}
