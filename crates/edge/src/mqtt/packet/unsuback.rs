//! UNSUBACK (section 3.11).

use super::header::Kind;
use super::properties::{Explanation, Section};
use super::put::{Body, Put, TooLong, write};
use super::reader::Reader;
use super::{Fault, Reason, Version};

/// Table 3-9.
const REASONS: &[Reason] = &[
    Reason::SUCCESS,
    Reason::NO_SUBSCRIPTION_EXISTED,
    Reason::UNSPECIFIED_ERROR,
    Reason::IMPLEMENTATION_SPECIFIC_ERROR,
    Reason::NOT_AUTHORIZED,
    Reason::TOPIC_FILTER_INVALID,
    Reason::PACKET_ID_IN_USE,
];

/// Answers UNSUBSCRIBE, in 5.0 filter by filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// Of the UNSUBSCRIBE.
    pub packet_id: u16,
    /// In the order of the filters; empty in 3.1.1, which has no place for them.
    pub reasons: Vec<Reason>,
    /// `None` in 3.1.1 and where nothing is said.
    pub explanation: Option<Box<Explanation>>,
}

impl UnsubAck {
    pub(super) fn read(reader: &mut Reader<'_>, version: Version) -> Result<Self, Fault> {
        let packet_id = reader.packet_id()?;
        if version == Version::V311 {
            reader.end()?;
            return Ok(Self { packet_id, reasons: Vec::new(), explanation: None });
        }
        let explanation = Explanation::read(reader)?.boxed();
        let mut reasons = Vec::new();
        while !reader.is_empty() {
            reasons.push(reader.reason(REASONS)?);
        }
        if reasons.is_empty() {
            return Err(Fault::protocol("UNSUBACK answers no filter"));
        }
        Ok(Self { packet_id, reasons, explanation })
    }

    /// Appends it.
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        write(Kind::UnsubAck, self, version, out)
    }
}

impl Body for UnsubAck {
    fn put(&self, version: Version, put: &mut impl Put) {
        put.u16(self.packet_id);
        if version == Version::V311 {
            return;
        }
        self.explanation.put(put);
        for reason in &self.reasons {
            put.byte(reason.byte());
        }
    }
}
