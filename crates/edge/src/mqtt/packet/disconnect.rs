//! DISCONNECT (section 3.14).

use headwater_event::Text;

use super::header::{Kind, Sender};
use super::properties::{Explanation, Property, Section, id, once, put_text, put_u32, read_each};
use super::put::{Body, Put, TooLong, write};
use super::reader::Reader;
use super::{Fault, Reason, Version};

/// What a client may say (table 3-13).
const FROM_CLIENT: &[Reason] = &[
    Reason::SUCCESS,
    Reason::DISCONNECT_WITH_WILL,
    Reason::UNSPECIFIED_ERROR,
    Reason::MALFORMED_PACKET,
    Reason::PROTOCOL_ERROR,
    Reason::IMPLEMENTATION_SPECIFIC_ERROR,
    Reason::TOPIC_NAME_INVALID,
    Reason::RECEIVE_MAXIMUM_EXCEEDED,
    Reason::TOPIC_ALIAS_INVALID,
    Reason::PACKET_TOO_LARGE,
    Reason::MESSAGE_RATE_TOO_HIGH,
    Reason::QUOTA_EXCEEDED,
    Reason::ADMINISTRATIVE_ACTION,
    Reason::PAYLOAD_FORMAT_INVALID,
];

/// What a server may say (table 3-13).
const FROM_SERVER: &[Reason] = &[
    Reason::SUCCESS,
    Reason::UNSPECIFIED_ERROR,
    Reason::MALFORMED_PACKET,
    Reason::PROTOCOL_ERROR,
    Reason::IMPLEMENTATION_SPECIFIC_ERROR,
    Reason::NOT_AUTHORIZED,
    Reason::SERVER_BUSY,
    Reason::SERVER_SHUTTING_DOWN,
    Reason::KEEP_ALIVE_TIMEOUT,
    Reason::SESSION_TAKEN_OVER,
    Reason::TOPIC_FILTER_INVALID,
    Reason::TOPIC_NAME_INVALID,
    Reason::RECEIVE_MAXIMUM_EXCEEDED,
    Reason::TOPIC_ALIAS_INVALID,
    Reason::PACKET_TOO_LARGE,
    Reason::MESSAGE_RATE_TOO_HIGH,
    Reason::QUOTA_EXCEEDED,
    Reason::ADMINISTRATIVE_ACTION,
    Reason::PAYLOAD_FORMAT_INVALID,
    Reason::RETAIN_NOT_SUPPORTED,
    Reason::QOS_NOT_SUPPORTED,
    Reason::USE_ANOTHER_SERVER,
    Reason::SERVER_MOVED,
    Reason::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
    Reason::CONNECTION_RATE_EXCEEDED,
    Reason::MAXIMUM_CONNECT_TIME,
    Reason::SUBSCRIPTION_IDS_NOT_SUPPORTED,
    Reason::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
];

/// The last packet of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Always success in 3.1.1, which has no other word.
    pub reason: Reason,
    /// How many seconds the session is to outlive the connection, in place of what CONNECT said. From a client only.
    pub session_expiry: Option<u32>,
    /// Where to go instead. From a server only.
    pub server_reference: Option<Text>,
    /// Why, in words.
    pub explanation: Option<Box<Explanation>>,
}

impl Disconnect {
    /// Says why and no more.
    #[must_use]
    pub const fn because(reason: Reason) -> Self {
        Self { reason, session_expiry: None, server_reference: None, explanation: None }
    }

    pub(super) fn read(reader: &mut Reader<'_>, version: Version, sender: Sender) -> Result<Self, Fault> {
        let mut disconnect = Self::because(Reason::SUCCESS);
        if version == Version::V311 || reader.is_empty() {
            reader.end()?;
            return Ok(disconnect);
        }
        disconnect.reason = reader.reason(match sender {
            Sender::Client => FROM_CLIENT,
            Sender::Server => FROM_SERVER,
        })?;
        if !reader.is_empty() {
            read_each(reader, |property| disconnect.take(property, sender))?;
        }
        reader.end()?;
        Ok(disconnect)
    }

    fn take(&mut self, property: Property, sender: Sender) -> Result<(), Fault> {
        match (property, sender) {
            (Property::SessionExpiry(seconds), Sender::Client) => once(&mut self.session_expiry, seconds),
            (Property::SessionExpiry(_), Sender::Server) => {
                Err(Fault::protocol("a server doesn't say how long a session lives when it goes"))
            }
            (Property::ServerReference(text), Sender::Server) => once(&mut self.server_reference, text),
            (property, _) => self.explanation.get_or_insert_default().take(property),
        }
    }

    /// Appends it; in 3.1.1 it says nothing but goodbye.
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        write(Kind::Disconnect, self, version, out)
    }
}

impl Section for Disconnect {
    fn put_fields(&self, put: &mut impl Put) {
        put_u32(put, id::SESSION_EXPIRY, self.session_expiry);
        put_text(put, id::SERVER_REFERENCE, self.server_reference.as_ref());
        self.explanation.put_fields(put);
    }
}

impl Body for Disconnect {
    fn put(&self, version: Version, put: &mut impl Put) {
        let has_words = self.len() > 0;
        if version == Version::V311 || (self.reason == Reason::SUCCESS && !has_words) {
            return;
        }
        put.byte(self.reason.byte());
        if has_words {
            Section::put(self, put);
        }
    }
}
