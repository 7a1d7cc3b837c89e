//! AUTH (section 3.15), 5.0 only.

use headwater_event::Text;

use super::connect::Secret;
use super::header::{Kind, Sender};
use super::properties::{Explanation, Property, Section, id, once, put_bytes, put_text, read_each};
use super::put::{Body, Put, TooLong, write};
use super::reader::Reader;
use super::{Fault, Reason, Version};

/// One step of an authentication that needs more than one (section 4.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// From a client 0x18 or 0x19, from a server 0x00 or 0x18.
    pub reason: Reason,
    /// The name of the method, the same in all steps. Absent only from a server's plain "success".
    pub method: Option<Text>,
    /// What the method wants to say.
    pub data: Option<Secret>,
    /// Why, in words.
    pub explanation: Option<Box<Explanation>>,
}

impl Auth {
    pub(super) fn read(reader: &mut Reader<'_>, sender: Sender) -> Result<Self, Fault> {
        let mut auth = Self { reason: Reason::SUCCESS, method: None, data: None, explanation: None };
        let allowed: &[Reason] = match sender {
            Sender::Client => &[Reason::CONTINUE_AUTHENTICATION, Reason::RE_AUTHENTICATE],
            Sender::Server => &[Reason::SUCCESS, Reason::CONTINUE_AUTHENTICATION],
        };
        if reader.is_empty() {
            return match sender {
                Sender::Client => Err(Fault::protocol("only a server says that an authentication is through")),
                Sender::Server => Ok(auth),
            };
        }
        auth.reason = reader.reason(allowed)?;
        read_each(reader, |property| match property {
            Property::AuthenticationMethod(text) => once(&mut auth.method, text),
            Property::AuthenticationData(bytes) => once(&mut auth.data, Secret::new(bytes)),
            other => auth.explanation.get_or_insert_default().take(other),
        })?;
        reader.end()?;
        if auth.method.is_none() {
            return Err(Fault::protocol("AUTH names no authentication method"));
        }
        Ok(auth)
    }

    /// Appends it.
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        write(Kind::Auth, self, Version::V5, out)
    }
}

impl Section for Auth {
    fn put_fields(&self, put: &mut impl Put) {
        put_text(put, id::AUTHENTICATION_METHOD, self.method.as_ref());
        put_bytes(put, id::AUTHENTICATION_DATA, self.data.as_ref().map(Secret::as_bytes));
        self.explanation.put_fields(put);
    }
}

impl Body for Auth {
    fn put(&self, _: Version, put: &mut impl Put) {
        if self.reason != Reason::SUCCESS || self.len() > 0 {
            put.byte(self.reason.byte());
            Section::put(self, put);
        }
    }
}
