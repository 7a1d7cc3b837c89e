//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): one form, four types.

use super::header::Kind;
use super::properties::{Explanation, Section};
use super::put::{Body, Put, TooLong, head, write};
use super::reader::Reader;
use super::{Fault, Reason, Version};

/// Which of the four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckKind {
    /// Ends QoS 1.
    PubAck,
    /// QoS 2: received.
    PubRec,
    /// QoS 2: release.
    PubRel,
    /// QoS 2: complete.
    PubComp,
}

impl AckKind {
    const fn kind(self) -> Kind {
        match self {
            Self::PubAck => Kind::PubAck,
            Self::PubRec => Kind::PubRec,
            Self::PubRel => Kind::PubRel,
            Self::PubComp => Kind::PubComp,
        }
    }

    /// Tables 3-4 to 3-7.
    const fn reasons(self) -> &'static [Reason] {
        match self {
            Self::PubAck | Self::PubRec => &[
                Reason::SUCCESS,
                Reason::NO_MATCHING_SUBSCRIBERS,
                Reason::UNSPECIFIED_ERROR,
                Reason::IMPLEMENTATION_SPECIFIC_ERROR,
                Reason::NOT_AUTHORIZED,
                Reason::TOPIC_NAME_INVALID,
                Reason::PACKET_ID_IN_USE,
                Reason::QUOTA_EXCEEDED,
                Reason::PAYLOAD_FORMAT_INVALID,
            ],
            Self::PubRel | Self::PubComp => &[Reason::SUCCESS, Reason::PACKET_ID_NOT_FOUND],
        }
    }
}

/// An answer to a publication, or to an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Of the publication.
    pub packet_id: u16,
    /// Always success in 3.1.1, which has no other word.
    pub reason: Reason,
    /// `None` in 3.1.1 and where nothing is said.
    pub explanation: Option<Box<Explanation>>,
}

impl Ack {
    /// All is well.
    #[must_use]
    pub const fn success(packet_id: u16) -> Self {
        Self { packet_id, reason: Reason::SUCCESS, explanation: None }
    }

    #[inline]
    pub(super) fn read(kind: AckKind, reader: &mut Reader<'_>, version: Version) -> Result<Self, Fault> {
        let mut ack = Self::success(reader.packet_id()?);
        if version == Version::V5 && !reader.is_empty() {
            ack.reason = reader.reason(kind.reasons())?;
            if !reader.is_empty() {
                ack.explanation = Explanation::read(reader)?.boxed();
            }
        }
        reader.end()?;
        Ok(ack)
    }

    /// Appends it.
    ///
    /// # Errors
    /// When it can't be written; then nothing was appended.
    pub fn encode(&self, kind: AckKind, version: Version, out: &mut Vec<u8>) -> Result<(), TooLong> {
        write(kind.kind(), self, version, out)
    }
}

impl Body for Ack {
    fn put(&self, version: Version, put: &mut impl Put) {
        put.u16(self.packet_id);
        let has_words = self.explanation.len() > 0;
        if version == Version::V311 || (self.reason == Reason::SUCCESS && !has_words) {
            return;
        }
        put.byte(self.reason.byte());
        if has_words {
            self.explanation.put(put);
        }
    }
}

/// Appends an acknowledgement that says nothing but its reason, which is left out where that is "success" or the
/// protocol has no place for it.
#[inline]
pub fn encode_ack(kind: AckKind, version: Version, packet_id: u16, reason: Reason, out: &mut Vec<u8>) {
    let with_reason = version == Version::V5 && reason != Reason::SUCCESS;
    head(kind.kind().first_byte(), 2 + u32::from(with_reason), out);
    out.u16(packet_id);
    if with_reason {
        out.byte(reason.byte());
    }
}
