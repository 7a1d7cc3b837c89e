//! SUBACK (section 3.9).

use super::header::Kind;
use super::properties::{Explanation, Section};
use super::put::{Body, Put, TooLong, write};
use super::reader::Reader;
use super::{Fault, Reason, Version};

/// Table 3-8.
const REASONS: &[Reason] = &[
    Reason::SUCCESS,
    Reason::GRANTED_QOS_1,
    Reason::GRANTED_QOS_2,
    Reason::UNSPECIFIED_ERROR,
    Reason::IMPLEMENTATION_SPECIFIC_ERROR,
    Reason::NOT_AUTHORIZED,
    Reason::TOPIC_FILTER_INVALID,
    Reason::PACKET_ID_IN_USE,
    Reason::QUOTA_EXCEEDED,
    Reason::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
    Reason::SUBSCRIPTION_IDS_NOT_SUPPORTED,
    Reason::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
];

/// 3.1.1, section 3.9.3: 0x80 is its one "no".
const REASONS_V311: &[Reason] =
    &[Reason::SUCCESS, Reason::GRANTED_QOS_1, Reason::GRANTED_QOS_2, Reason::UNSPECIFIED_ERROR];

/// Answers SUBSCRIBE, filter by filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// Of the SUBSCRIBE.
    pub packet_id: u16,
    /// The QoS that was granted, or why not; in the order of the filters.
    pub reasons: Vec<Reason>,
    /// `None` in 3.1.1 and where nothing is said.
    pub explanation: Option<Box<Explanation>>,
}

impl SubAck {
    pub(super) fn read(reader: &mut Reader<'_>, version: Version) -> Result<Self, Fault> {
        let packet_id = reader.packet_id()?;
        let (explanation, allowed) = match version {
            Version::V311 => (None, REASONS_V311),
            Version::V5 => (Explanation::read(reader)?.boxed(), REASONS),
        };
        let mut reasons = Vec::new();
        while !reader.is_empty() {
            reasons.push(reader.reason(allowed)?);
        }
        if reasons.is_empty() {
            return Err(Fault::protocol("SUBACK answers no filter"));
        }
        Ok(Self { packet_id, reasons, explanation })
    }

    /// Appends it. In 3.1.1 every "no" is 0x80.
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        write(Kind::SubAck, self, version, out)
    }
}

impl Body for SubAck {
    fn put(&self, version: Version, put: &mut impl Put) {
        put.u16(self.packet_id);
        if version == Version::V5 {
            self.explanation.put(put);
        }
        for reason in &self.reasons {
            let is_plain_no = version == Version::V311 && reason.is_error();
            put.byte(if is_plain_no { Reason::UNSPECIFIED_ERROR.byte() } else { reason.byte() });
        }
    }
}
