//! Engine.IO version 4: packets, the payloads that carry several of them over HTTP, and the handshake.

use std::io::Write;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::ws::Opcode;

/// What stands between the packets of a payload.
pub const SEPARATOR: u8 = 0x1e;

/// What a client said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// It goes.
    Close,
    /// A ping, which only a probe has; the text after it.
    Ping(&'a str),
    /// The answer to a ping.
    Pong,
    /// A text.
    Text(&'a str),
    /// Bytes.
    Binary(Bytes),
    /// The probe went well: from here on the WebSocket is the way.
    Upgrade,
    /// Nothing.
    Noop,
}

/// Bytes that are no packet of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);

/// Reads a packet that came as text.
///
/// # Errors
/// For everything that no client says.
pub fn read(text: &str) -> Result<Packet<'_>, Fault> {
    let rest = text.get(1..).unwrap_or_default();
    Ok(match (text.as_bytes().first(), rest) {
        (Some(b'1'), "") => Packet::Close,
        (Some(b'2'), rest) => Packet::Ping(rest),
        (Some(b'3'), "") => Packet::Pong,
        (Some(b'4'), rest) => Packet::Text(rest),
        (Some(b'5'), "") => Packet::Upgrade,
        (Some(b'6'), "") => Packet::Noop,
        _ => return Err(Fault("no Engine.IO packet")),
    })
}

/// Reads the packets of a payload, each as it is asked for.
pub fn read_payload(payload: &str) -> impl Iterator<Item = Result<Packet<'_>, Fault>> {
    payload.split(char::from(SEPARATOR)).map(|text| match text.strip_prefix('b') {
        Some(encoded) => match STANDARD.decode(encoded) {
            Ok(bytes) => Ok(Packet::Binary(bytes.into())),
            Err(_) => Err(Fault("what follows b is no base64")),
        },
        None => read(text),
    })
}

/// Appends whole frames of a server's WebSocket to a payload; gives how many bytes of `frames` that was.
///
/// What is said over HTTP is spelled as for a WebSocket first: so all who are told something share its bytes, whatever
/// way it takes, and a session that changes its way in the middle loses nothing.
pub fn write_payload(frames: &[u8], payload: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some((opcode, from, to)) = frame_at(frames, at) {
        let packet = &frames[from..to];
        at = to;
        if opcode.is_control() {
            continue;
        }
        if !payload.is_empty() {
            payload.push(SEPARATOR);
        }
        if opcode == Opcode::Binary {
            payload.push(b'b');
            payload.extend_from_slice(STANDARD.encode(packet).as_bytes());
        } else {
            payload.extend_from_slice(packet);
        }
    }
    at
}

/// The frame of a server that begins at `at`, when it is whole: what it is, and where its payload begins and ends.
pub fn frame_at(frames: &[u8], at: usize) -> Option<(Opcode, usize, usize)> {
    let rest = frames.get(at..)?;
    let opcode = match rest.first()? & 0x0f {
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        _ => Opcode::Pong,
    };
    let (len, head) = match *rest.get(1)? {
        126 => (usize::from(u16::from_be_bytes(*rest.get(2..4)?.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*rest.get(2..10)?.first_chunk()?)).ok()?, 10),
        len => (usize::from(len), 2),
    };
    let (from, to) = (at + head, at.checked_add(head)?.checked_add(len)?);
    (to <= frames.len()).then_some((opcode, from, to))
}

/// Appends the packet that opens a session.
pub fn write_open(sid: &str, can_upgrade: bool, every: Duration, pong: Duration, max: usize, out: &mut Vec<u8>) {
    let upgrades = if can_upgrade { "\"websocket\"" } else { "" };
    // Writing into a Vec can't fail.
    let _ = write!(
        out,
        "0{{\"sid\":\"{sid}\",\"upgrades\":[{upgrades}],\"pingInterval\":{},\"pingTimeout\":{},\"maxPayload\":{max}}}",
        every.as_millis(),
        pong.as_millis()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::write_frame;

    #[test]
    fn a_payload_is_read_packet_by_packet() {
        let packets: Vec<_> = read_payload("4hello\u{1e}bAQIDBA==\u{1e}3").collect();
        assert_eq!(packets, [Ok(Packet::Text("hello")), Ok(Packet::Binary([1, 2, 3, 4][..].into())), Ok(Packet::Pong)]);
        for bad in ["", "abc", "9", "0{}", "1x", "3probe", "4a\u{1e}", "b!", "é", "\u{1e}", "6:4hello"] {
            assert!(read_payload(bad).any(|packet| packet.is_err()), "{bad:?}");
        }
    }

    #[test]
    fn frames_become_a_payload_whole_ones_only() {
        let mut frames = Vec::new();
        write_frame(Opcode::Text, b"4a", &mut frames);
        write_frame(Opcode::Binary, &[1, 2, 3, 4], &mut frames);
        write_frame(Opcode::Ping, b"", &mut frames);
        write_frame(Opcode::Text, &[b'4'; 300], &mut frames);
        let whole = frames.len();
        write_frame(Opcode::Text, &[b'x'; 70_000], &mut frames);
        let expected = [b"4a\x1ebAQIDBA==\x1e".as_slice(), &[b'4'; 300]].concat();
        for cut in [whole, whole + 1, whole + 9, frames.len() - 1] {
            let mut payload = Vec::new();
            assert_eq!(write_payload(&frames[..cut], &mut payload), whole);
            assert_eq!(payload, expected);
        }
        assert_eq!(write_payload(&frames, &mut Vec::new()), frames.len());
    }
}
