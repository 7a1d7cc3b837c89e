//! Why a WebSocket connection ends: the codes of RFC 6455 section 7.4, and what breaks the protocol.

use super::frame::CONTROL_LEN_MAX;

/// A close code of RFC 6455 section 7.4.1, or one of an application.
pub type CloseCode = u16;

/// All was said.
pub const NORMAL: CloseCode = 1000;
/// The server goes down.
pub const GOING_AWAY: CloseCode = 1001;
/// The bytes break RFC 6455.
pub const PROTOCOL_ERROR: CloseCode = 1002;
/// A kind of message that this end doesn't take.
pub const UNSUPPORTED: CloseCode = 1003;
/// A text was not UTF-8.
pub const NOT_UTF8: CloseCode = 1007;
/// What was sent breaks a rule of this end (a time limit, say).
pub const POLICY: CloseCode = 1008;
/// A message over the limit.
pub const TOO_LARGE: CloseCode = 1009;
/// Something went wrong on this side.
pub const INTERNAL: CloseCode = 1011;
/// Come again later.
pub const TRY_AGAIN_LATER: CloseCode = 1013;

/// What the other end said when it closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Its code; `None` when the frame was empty.
    pub code: Option<CloseCode>,
}

/// Bytes that break the protocol or its limits: the connection is failed (RFC 6455 section 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Against RFC 6455; the text names the rule.
    #[error("{0}")]
    Protocol(&'static str),
    /// A text or a close reason that is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A message over the limit.
    #[error("a message has at most {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
}

impl Fault {
    /// The close code that tells the other end.
    #[must_use]
    pub const fn code(self) -> CloseCode {
        match self {
            Self::Protocol(_) => PROTOCOL_ERROR,
            Self::NotUtf8 => NOT_UTF8,
            Self::TooLarge { .. } => TOO_LARGE,
        }
    }
}

/// Reads the payload of a close frame (RFC 6455 section 5.5.1).
///
/// # Errors
/// For one byte alone, a code that must not be sent, and a reason that is not UTF-8.
pub fn read_close(payload: &[u8]) -> Result<Closing, Fault> {
    match payload {
        [] => Ok(Closing { code: None }),
        [_] => Err(Fault::Protocol("a close payload has no or at least two bytes (5.5.1)")),
        [high, low, reason @ ..] => {
            let code = CloseCode::from_be_bytes([*high, *low]);
            if !may_be_sent(code) {
                return Err(Fault::Protocol("this close code must not be sent (7.4)"));
            }
            std::str::from_utf8(reason).map_err(|_| Fault::NotUtf8)?;
            Ok(Closing { code: Some(code) })
        }
    }
}

/// Which codes may stand in a frame: those of section 7.4.1 and the IANA registry that aren't for local use, and 3000 to
/// 4999 (section 7.4.2).
const fn may_be_sent(code: CloseCode) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The payload of a close frame: the code and as much of the reason as a control frame holds.
#[must_use]
pub fn close_payload(code: CloseCode, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(CONTROL_LEN_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_taken() {
        for code in [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999] {
            assert_eq!(read_close(&close_payload(code, "bye")), Ok(Closing { code: Some(code) }));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
            assert!(matches!(read_close(&close_payload(code, "")), Err(Fault::Protocol(_))), "{code}");
        }
    }

    #[test]
    fn a_payload_of_one_byte_and_a_reason_that_is_no_text_are_faults() {
        assert_eq!(read_close(b""), Ok(Closing { code: None }));
        assert!(matches!(read_close(b"\x03"), Err(Fault::Protocol(_))));
        assert_eq!(read_close(b"\x03\xe8\xff"), Err(Fault::NotUtf8));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let payload = close_payload(NORMAL, &"ü".repeat(100));
        assert!(payload.len() <= CONTROL_LEN_MAX);
        assert!(read_close(&payload).is_ok());
    }
}
