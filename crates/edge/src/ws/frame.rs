//! The head of a frame, read as a server and written as a server (RFC 6455 section 5.2).

use super::close::Fault;

/// The longest payload of a control frame in bytes (section 5.5).
pub const CONTROL_LEN_MAX: usize = 125;

/// The longest head that a client writes: 2 bytes, 8 of length, 4 of mask.
pub const CLIENT_HEAD_LEN_MAX: usize = 14;

/// What a frame is (section 5.2, "Opcode"); the others are reserved and refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message that was begun.
    Continuation,
    /// A text begins.
    Text,
    /// A binary message begins.
    Binary,
    /// The end.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping, or says "alive" unasked.
    Pong,
}

impl Opcode {
    const fn from_bits(bits: u8) -> Result<Self, Fault> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return Err(Fault::Protocol("reserved opcode (5.2)")),
        })
    }

    pub(super) const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Whether it is a control frame, which may stand between the fragments of a message (section 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The head of a client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whether it is the last fragment of its message.
    pub fin: bool,
    /// What it is.
    pub opcode: Opcode,
    /// How long the client says the payload is: not to be trusted with an allocation.
    pub len: u64,
    /// What to take off the payload.
    pub mask: [u8; 4],
}

/// Reads the head of a client's frame; gives it with its own length in bytes, or `None` while more bytes are needed.
///
/// # Errors
/// As soon as a byte breaks a rule of section 5, even when the rest of the head hasn't come.
pub fn read_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Fault> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    // No extension is ever agreed on, so all three bits must be 0 (5.2).
    if first & 0x70 != 0 {
        return Err(Fault::Protocol("reserved bits are set (5.2)"));
    }
    let (fin, opcode) = (first & 0x80 != 0, Opcode::from_bits(first & 0x0F)?);
    if opcode.is_control() && !fin {
        return Err(Fault::Protocol("a control frame must not be fragmented (5.5)"));
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    if second & 0x80 == 0 {
        return Err(Fault::Protocol("a client must mask its frames (5.1)"));
    }
    if opcode.is_control() && usize::from(second & 0x7F) > CONTROL_LEN_MAX {
        return Err(Fault::Protocol("a control frame has at most 125 bytes (5.5)"));
    }
    let Some((len, at)) = read_len(second & 0x7F, bytes)? else { return Ok(None) };
    let Some(mask) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) else { return Ok(None) };
    Ok(Some((Head { fin, opcode, len, mask: *mask }, at + 4)))
}

/// The payload's length and where the mask begins.
fn read_len(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, Fault> {
    let rest = &bytes[2..];
    let (len, least, at) = match short {
        126 => match rest.first_chunk::<2>() {
            Some(long) => (u64::from(u16::from_be_bytes(*long)), 126, 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(long) => (u64::from_be_bytes(*long), 0x1_0000, 10),
            None => return Ok(None),
        },
        short => return Ok(Some((u64::from(short), 2))),
    };
    if len >> 63 != 0 {
        return Err(Fault::Protocol("the highest bit of a length must be 0 (5.2)"));
    }
    if len < least {
        return Err(Fault::Protocol("a length must have its shortest form (5.2)"));
    }
    Ok(Some((len, at)))
}

/// The longest head that a server writes: 2 bytes and 8 of length, no mask (section 5.1).
const SERVER_HEAD_LEN_MAX: usize = 10;

/// A server's frame head in its shortest form, and how many of the bytes count.
fn head_bytes(opcode: Opcode, len: usize) -> ([u8; SERVER_HEAD_LEN_MAX], usize) {
    let mut head = [0; SERVER_HEAD_LEN_MAX];
    head[0] = 0x80 | opcode.bits();
    let (short, used) = if let Ok(len @ 0..=125) = u8::try_from(len) {
        (len, 2)
    } else if let Ok(len) = u16::try_from(len) {
        head[2..4].copy_from_slice(&len.to_be_bytes());
        (126, 4)
    } else {
        head[2..10].copy_from_slice(&(len as u64).to_be_bytes());
        (127, 10)
    };
    head[1] = short;
    (head, used)
}

/// Appends a whole frame: unmasked and in one piece, as a server writes it.
pub fn write_frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let (head, used) = head_bytes(opcode, payload.len());
    out.reserve(used + payload.len());
    out.extend_from_slice(&head[..used]);
    out.extend_from_slice(payload);
}

/// Appends a frame whose payload `write` appends: for what knows its length only once it's written.
///
/// Four bytes are left for the head, which is right for 126 to 65,535 bytes, as most events have; else the payload moves.
pub fn write_frame_with(opcode: Opcode, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    const GUESS: usize = 4;
    let start = out.len();
    out.extend_from_slice(&[0; GUESS]);
    write(out);
    let end = out.len();
    let (head, used) = head_bytes(opcode, end - start - GUESS);
    if used > GUESS {
        out.resize(end + used - GUESS, 0);
    }
    if used != GUESS {
        out.copy_within(start + GUESS..end, start + used);
        out.truncate(end + used - GUESS);
    }
    out[start..start + used].copy_from_slice(&head[..used]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_shortest_head_however_it_was_written() {
        for (len, head) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xFF, 0xFF]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let payload = vec![b'x'; len];
            let mut at_once = b"before".to_vec();
            write_frame(Opcode::Text, &payload, &mut at_once);
            let mut with = b"before".to_vec();
            write_frame_with(Opcode::Text, &mut with, |out| out.extend_from_slice(&payload));
            assert_eq!(at_once, [b"before", head, &payload].concat(), "{len}");
            assert_eq!(with, at_once, "{len}");
        }
    }

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let whole = [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];
        for len in 0..whole.len() {
            assert_eq!(read_head(&whole[..len]), Ok(None), "{len}");
        }
        let head = Head { fin: true, opcode: Opcode::Binary, len: 65_536, mask: [1, 2, 3, 4] };
        assert_eq!(read_head(&whole), Ok(Some((head, CLIENT_HEAD_LEN_MAX))));
    }

    #[test]
    fn what_section_5_forbids_is_a_fault_as_early_as_it_can_be_seen() {
        for (bytes, rule) in [
            (&[0xC1][..], "5.2"),
            (&[0xA1], "5.2"),
            (&[0x91], "5.2"),
            (&[0x83], "5.2"),
            (&[0x8B], "5.2"),
            (&[0x09], "5.5"),
            (&[0x81, 0x05], "5.1"),
            (&[0x89, 0xFE], "5.5"),
            (&[0x81, 0xFE, 0, 125], "5.2"),
            (&[0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], "5.2"),
            (&[0x81, 0xFF, 0x80, 0, 0, 0, 0, 1, 0, 0], "5.2"),
        ] {
            let fault = read_head(bytes).unwrap_err();
            assert!(matches!(fault, Fault::Protocol(text) if text.contains(rule)), "{bytes:x?} {fault:?}");
        }
    }
}
