//! PUBLISH (section 3.3): read and written on the hot path, so nothing is copied and nothing allocated but for properties.

use bytes::Bytes;
use headwater_event::Text;

use super::header::{Header, Kind, Sender};
use super::names::check_topic;
use super::properties::{
    MISPLACED, Pairs, Property, id, once, one_more, put_byte, put_bytes, put_pairs, put_u16, put_u32, put_varint,
    read_each,
};
use super::put::{Length, Put, TooLong, head};
use super::reader::Reader;
use super::{Fault, Qos, Version};

/// A publication, from a client or to one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// Whether it may have been sent before.
    pub dup: bool,
    /// How sure its delivery is.
    pub qos: Qos,
    /// Whether it is to be kept as its topic's latest; to a client: whether it was.
    pub retain: bool,
    /// Where it belongs; empty in 5.0 when an alias says it.
    pub topic: Text,
    /// 0 at QoS 0, and never 0 above.
    pub packet_id: u16,
    /// `None` in 3.1.1 and where there are none.
    pub properties: Option<Box<PublishProperties>>,
    /// The bytes of it.
    pub payload: Bytes,
}

/// The properties of a publication, and of a will but for its delay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties {
    /// What the payload is; to be passed on as it came, also when it says what is meant anyway.
    pub payload_format: Option<PayloadFormat>,
    /// Seconds until it isn't worth delivering any more.
    pub message_expiry: Option<u32>,
    /// Stands for the topic, from now on or since it was said; never 0. A will has none.
    pub topic_alias: Option<u16>,
    /// Where an answer is wanted: a topic without wildcards.
    pub response_topic: Option<Text>,
    /// By what the asker knows the answer again.
    pub correlation_data: Option<Bytes>,
    /// In their order.
    pub user_properties: Vec<(Text, Text)>,
    /// Which subscriptions it is delivered for; only to a client.
    pub subscription_ids: Vec<u32>,
    /// The payload's type: any text.
    pub content_type: Option<Text>,
}

/// What a payload is (section 3.3.2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadFormat {
    /// 0: bytes of any kind.
    Bytes,
    /// 1: UTF-8 text.
    Text,
}

impl PayloadFormat {
    pub(super) const fn from_flag(is_text: bool) -> Self {
        if is_text { Self::Text } else { Self::Bytes }
    }

    /// As it is on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Bytes => 0,
            Self::Text => 1,
        }
    }
}

impl PublishProperties {
    fn read(reader: &mut Reader<'_>, sender: Sender) -> Result<Option<Box<Self>>, Fault> {
        let mut properties = None::<Box<Self>>;
        read_each(reader, |property| {
            let properties = properties.get_or_insert_default();
            match property {
                Property::TopicAlias(alias) => once(&mut properties.topic_alias, alias),
                Property::SubscriptionId(id) => properties.take_subscription_id(id, sender),
                other => properties.take(other),
            }
        })?;
        Ok(properties)
    }

    /// Takes what a will may have too.
    pub(super) fn take(&mut self, property: Property) -> Result<(), Fault> {
        match property {
            Property::PayloadFormat(format) => once(&mut self.payload_format, format),
            Property::MessageExpiry(seconds) => once(&mut self.message_expiry, seconds),
            Property::ContentType(text) => once(&mut self.content_type, text),
            Property::ResponseTopic(topic) => {
                check_topic(&topic)?;
                once(&mut self.response_topic, topic)
            }
            Property::CorrelationData(bytes) => once(&mut self.correlation_data, bytes),
            Property::User(name, value) => one_more(&mut self.user_properties, name, value),
            _ => Err(MISPLACED),
        }
    }

    fn take_subscription_id(&mut self, id: u32, sender: Sender) -> Result<(), Fault> {
        if sender == Sender::Client {
            return Err(Fault::protocol("a client's publication has no subscription identifier"));
        }
        self.subscription_ids.push(id);
        Ok(())
    }
}

impl Publish {
    #[inline]
    pub(super) fn read(
        header: Header,
        reader: &mut Reader<'_>,
        version: Version,
        sender: Sender,
    ) -> Result<Self, Fault> {
        // The header was judged before: never 3.
        let qos = Qos::from_bits(header.flags >> 1 & 0b11).unwrap_or_default();
        let topic = reader.text_with_nul()?;
        let packet_id = if qos == Qos::AtMostOnce { 0 } else { reader.packet_id()? };
        let properties = match version {
            Version::V311 => None,
            Version::V5 => PublishProperties::read(reader, sender)?,
        };
        let has_alias = properties.as_ref().is_some_and(|properties| properties.topic_alias.is_some());
        match (topic.as_bytes().is_empty(), version) {
            (true, Version::V5) if has_alias => {}
            (true, Version::V5) => return Err(Fault::protocol("a publication has neither a topic nor an alias")),
            _ => check_topic(&topic)?,
        }
        Ok(Self {
            dup: header.flags & 0b1000 != 0,
            qos,
            retain: header.flags & 1 != 0,
            topic,
            packet_id,
            properties,
            payload: reader.rest(),
        })
    }

    /// Whether the payload is what its format says it is; a server may refuse it with 0x99 otherwise.
    #[must_use]
    pub fn is_payload_as_said(&self) -> bool {
        let format = self.properties.as_ref().and_then(|properties| properties.payload_format);
        format != Some(PayloadFormat::Text) || std::str::from_utf8(&self.payload).is_ok()
    }

    /// What is to be written.
    #[must_use]
    pub fn parts(&self) -> PublishParts<'_> {
        let parts = PublishParts {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id: self.packet_id,
            payload: &self.payload,
            ..PublishParts::default()
        };
        match &self.properties {
            Some(properties) => parts.with(properties),
            None => parts,
        }
    }

    /// Appends it.
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        encode_publish(version, &self.parts(), out).map(drop)
    }
}

/// A publication to be written, wherever its parts are kept. In 3.1.1 the properties are left out.
#[derive(Clone, Copy, Default)]
pub struct PublishParts<'a> {
    /// See [`Publish::dup`].
    pub dup: bool,
    /// See [`Publish::qos`].
    pub qos: Qos,
    /// See [`Publish::retain`].
    pub retain: bool,
    /// See [`Publish::topic`].
    pub topic: &'a str,
    /// See [`Publish::packet_id`]; left out at QoS 0.
    pub packet_id: u16,
    /// See [`PublishProperties::payload_format`].
    pub payload_format: Option<PayloadFormat>,
    /// See [`PublishProperties::message_expiry`].
    pub message_expiry: Option<u32>,
    /// See [`PublishProperties::topic_alias`].
    pub topic_alias: Option<u16>,
    /// See [`PublishProperties::response_topic`].
    pub response_topic: Option<&'a str>,
    /// See [`PublishProperties::correlation_data`].
    pub correlation_data: Option<&'a [u8]>,
    /// See [`PublishProperties::user_properties`].
    pub user_properties: Option<&'a dyn Pairs>,
    /// See [`PublishProperties::subscription_ids`].
    pub subscription_ids: &'a [u32],
    /// See [`PublishProperties::content_type`].
    pub content_type: Option<&'a str>,
    /// See [`Publish::payload`].
    pub payload: &'a [u8],
}

impl<'a> PublishParts<'a> {
    /// The same with these properties.
    #[must_use]
    pub fn with(self, properties: &'a PublishProperties) -> Self {
        Self {
            payload_format: properties.payload_format,
            message_expiry: properties.message_expiry,
            topic_alias: properties.topic_alias,
            response_topic: properties.response_topic.as_deref(),
            correlation_data: properties.correlation_data.as_deref(),
            user_properties: Some(&properties.user_properties),
            subscription_ids: &properties.subscription_ids,
            content_type: properties.content_type.as_deref(),
            ..self
        }
    }

    fn first_byte(&self) -> u8 {
        Kind::Publish.first_byte() | u8::from(self.dup) << 3 | self.qos.bits() << 1 | u8::from(self.retain)
    }

    pub(super) fn put_properties(&self, put: &mut impl Put) {
        put_byte(put, id::PAYLOAD_FORMAT, self.payload_format.map(PayloadFormat::byte));
        put_u32(put, id::MESSAGE_EXPIRY, self.message_expiry);
        put_u16(put, id::TOPIC_ALIAS, self.topic_alias);
        put_bytes(put, id::RESPONSE_TOPIC, self.response_topic.map(str::as_bytes));
        put_bytes(put, id::CORRELATION_DATA, self.correlation_data);
        if let Some(pairs) = self.user_properties {
            put_pairs(put, pairs);
        }
        for subscription_id in self.subscription_ids {
            put_varint(put, id::SUBSCRIPTION_ID, *subscription_id);
        }
        put_bytes(put, id::CONTENT_TYPE, self.content_type.map(str::as_bytes));
    }

    /// The lengths of the properties and of all that stands behind the fixed header.
    fn measure(&self, version: Version) -> Result<(u32, u32), TooLong> {
        let properties = match version {
            Version::V311 => Length::default(),
            Version::V5 => Length::of(|length| self.put_properties(length)),
        };
        let properties_len = properties.checked()?;
        let whole = Length::of(|length| {
            length.prefixed(self.topic.as_bytes());
            if self.qos != Qos::AtMostOnce {
                length.u16(self.packet_id);
            }
            if version == Version::V5 {
                length.varint(properties_len);
            }
            length.skip(properties_len as usize);
            length.raw(self.payload);
        });
        Ok((properties_len, whole.checked()?))
    }
}

/// Appends a PUBLISH with its payload, and says where in `out` its packet id is (at QoS 0: would be), so that bytes
/// written once can be sent to many.
///
/// # Errors
/// When it can't be written; then nothing was appended.
#[inline]
pub fn encode_publish(version: Version, parts: &PublishParts<'_>, out: &mut Vec<u8>) -> Result<usize, TooLong> {
    let (properties_len, len) = parts.measure(version)?;
    head(parts.first_byte(), len, out);
    out.prefixed(parts.topic.as_bytes());
    let packet_id_at = out.len();
    if parts.qos != Qos::AtMostOnce {
        out.u16(parts.packet_id);
    }
    if version == Version::V5 {
        out.varint(properties_len);
        if properties_len > 0 {
            parts.put_properties(out);
        }
    }
    out.raw(parts.payload);
    Ok(packet_id_at)
}

/// How many bytes [`encode_publish`] would append: what a client's maximum packet size is compared with.
///
/// # Errors
/// When it can't be written.
pub fn publish_len(version: Version, parts: &PublishParts<'_>) -> Result<usize, TooLong> {
    let (_, len) = parts.measure(version)?;
    Ok(1 + super::varint::len(len) + len as usize)
}
