//! The bytes of the frame protocol: every frame with its lengths and codes, for both sides. All integers are big-endian.

use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use headwater_event::ProducerId;

/// The first bytes of both directions: protocol and version.
pub const MAGIC: [u8; 4] = *b"HWF1";
/// HELLO up to its token: magic, client id, token length.
pub const HELLO_HEAD_LEN: usize = 4 + 16 + 2;
/// The longest token in bytes: a JSON Web Token with a few claims has about 1 KiB; HELLO stays far below the 16 KiB that
/// a connection may cost before it's known.
pub const TOKEN_LEN_MAX: usize = 4 * 1_024;
/// WELCOME: magic, status, payload limit, last number.
pub const WELCOME_LEN: usize = 4 + 1 + 4 + 8;
/// MESSAGE up to its payload: length and number.
pub const MESSAGE_HEAD_LEN: usize = 4 + 8;
/// ACK: its byte, number, log sequence number.
pub const ACK_LEN: usize = 1 + 8 + 8;
/// NACK: its byte, number, code.
pub const NACK_LEN: usize = 1 + 8 + 1;
/// The longest payload that is skipped for a NACK, in bytes. Who claims more isn't speaking this protocol, or means harm.
pub const CLAIM_LEN_MAX: usize = 16 * 1_024 * 1_024;

const ACK: u8 = 0x06;
const NACK: u8 = 0x15;

/// Why a message was not taken, or (as a status of WELCOME) a connection was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The payload (or the token) is longer than is taken.
    TooLong = 1,
    /// This client may not write here.
    NotAllowed = 2,
    /// The hub has as much waiting as it may.
    Overloaded = 3,
    /// A number was left out.
    OutOfOrder = 4,
    /// The log can't be written.
    StorageFailed = 5,
    /// Not what the protocol says.
    Malformed = 6,
}

impl Code {
    /// The code of this byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::TooLong,
            2 => Self::NotAllowed,
            3 => Self::Overloaded,
            4 => Self::OutOfOrder,
            5 => Self::StorageFailed,
            6 => Self::Malformed,
            _ => return None,
        })
    }

    /// The byte of this code.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Whether the number is used up by this NACK: the client goes on with the next one, and sends this one no more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::TooLong | Self::NotAllowed | Self::Malformed)
    }

    /// What happened, for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::TooLong => "too long",
            Self::NotAllowed => "not allowed",
            Self::Overloaded => "overloaded",
            Self::OutOfOrder => "out of order",
            Self::StorageFailed => "storage failed",
            Self::Malformed => "malformed",
        }
    }
}

/// The client's first frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// Whose numbers follow.
    pub client: ProducerId,
    /// What proves it, `USER:PASSWORD` or a signed token; empty without.
    pub token: Bytes,
}

/// Without the token.
impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Hello {
    /// Writes the frame.
    ///
    /// # Panics
    /// Never: a token over [`TOKEN_LEN_MAX`] is cut, and the server refuses it.
    pub fn encode(&self, out: &mut impl BufMut) {
        let token = &self.token[..self.token.len().min(usize::from(u16::MAX))];
        out.put_slice(&MAGIC);
        out.put_slice(self.client.as_bytes());
        out.put_u16(token.len() as u16);
        out.put_slice(token);
    }
}

/// The server's first frame. A status other than 0 is its last one too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// 0, or the [`Code`] of the refusal.
    pub status: u8,
    /// The longest payload that is taken, in bytes.
    pub payload_max: u32,
    /// The highest durable number of this client id; 0 when there is none.
    pub last_seq: u64,
}

impl Welcome {
    /// Writes the frame.
    pub fn encode(&self, out: &mut impl BufMut) {
        out.put_slice(&MAGIC);
        out.put_u8(self.status);
        out.put_u32(self.payload_max);
        out.put_u64(self.last_seq);
    }

    /// Reads the frame; `None` when the magic is another's.
    #[must_use]
    pub fn decode(bytes: &[u8; WELCOME_LEN]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&MAGIC)?;
        Some(Self { status: rest.get_u8(), payload_max: rest.get_u32(), last_seq: rest.get_u64() })
    }
}

/// Writes the head of a MESSAGE; its payload, `len` bytes, follows.
pub fn encode_message_head(len: u32, seq: u64, out: &mut impl BufMut) {
    out.put_u32(len);
    out.put_u64(seq);
}

/// What the server says of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It's on disk.
    Ack {
        /// The message's number.
        seq: u64,
        /// Where it stands in the log.
        log_seq: u64,
    },
    /// It wasn't taken.
    Nack {
        /// The message's number.
        seq: u64,
        /// Why.
        code: Code,
    },
}

/// The server sent something that is no ACK and no NACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer begins with {0:#04x}, or has an unknown code")]
pub struct AnswerError(pub u8);

impl Answer {
    /// Writes the frame.
    pub fn encode(&self, out: &mut impl BufMut) {
        match *self {
            Self::Ack { seq, log_seq } => {
                // One copy of 17 bytes; three small ones cost three checks of the room, a million times a second.
                let mut frame = [0; ACK_LEN];
                frame[0] = ACK;
                frame[1..9].copy_from_slice(&seq.to_be_bytes());
                frame[9..].copy_from_slice(&log_seq.to_be_bytes());
                out.put_slice(&frame);
            }
            Self::Nack { seq, code } => {
                out.put_u8(NACK);
                out.put_u64(seq);
                out.put_u8(code.byte());
            }
        }
    }

    /// Takes the first answer off `bytes`; `None` when it has not come whole.
    ///
    /// # Errors
    /// When the bytes are no answer.
    pub fn decode(bytes: &mut impl Buf) -> Result<Option<Self>, AnswerError> {
        if !bytes.has_remaining() {
            return Ok(None);
        }
        let kind = bytes.chunk()[0];
        match kind {
            ACK if bytes.remaining() >= ACK_LEN => {
                bytes.advance(1);
                Ok(Some(Self::Ack { seq: bytes.get_u64(), log_seq: bytes.get_u64() }))
            }
            NACK if bytes.remaining() >= NACK_LEN => {
                bytes.advance(1);
                let seq = bytes.get_u64();
                let byte = bytes.get_u8();
                Ok(Some(Self::Nack { seq, code: Code::from_byte(byte).ok_or(AnswerError(byte))? }))
            }
            ACK | NACK => Ok(None),
            other => Err(AnswerError(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;

    #[test]
    fn answers_come_out_as_they_went_in_and_wait_for_their_last_byte() {
        for answer in [Answer::Ack { seq: 1, log_seq: u64::MAX }, Answer::Nack { seq: 7, code: Code::Overloaded }] {
            let mut bytes = BytesMut::new();
            answer.encode(&mut bytes);
            for len in 0..bytes.len() {
                assert_eq!(Answer::decode(&mut &bytes[..len]), Ok(None), "{answer:?} cut at {len}");
            }
            assert_eq!(Answer::decode(&mut bytes), Ok(Some(answer)));
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert_eq!(Answer::decode(&mut &b"HTTP/1.1"[..]), Err(AnswerError(b'H')));
        assert_eq!(Answer::decode(&mut &[NACK, 0, 0, 0, 0, 0, 0, 0, 1, 9][..]), Err(AnswerError(9)));
    }

    #[test]
    fn codes_keep_their_numbers() {
        for byte in 0..=u8::MAX {
            assert_eq!(Code::from_byte(byte).is_some(), (1..=6).contains(&byte));
            assert!(Code::from_byte(byte).is_none_or(|code| code.byte() == byte));
        }
        let is_final: Vec<u8> = (1..=6).filter(|byte| Code::from_byte(*byte).unwrap().is_final()).collect();
        assert_eq!(is_final, [1, 2, 6]);
    }
}
