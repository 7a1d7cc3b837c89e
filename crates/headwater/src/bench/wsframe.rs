//! As much of RFC 6455 as a load generator needs: frames of a server are read where they lie, without a copy.

/// What a server's frame holds.
pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The request that opens a WebSocket. The key is the one of RFC 6455: who opens ten thousand to measure needs no secret.
pub fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A frame of a server.
#[derive(Debug, Eq, PartialEq)]
pub struct Frame<'a> {
    pub opcode: u8,
    pub payload: &'a [u8],
}

/// The whole frame at the front with its length; `None` when it hasn't come whole. A server masks nothing.
pub fn take(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (head_len, payload_len) = match second & 0x7F {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        len => (2, usize::from(len)),
    };
    let end = payload_len.checked_add(head_len)?;
    let payload = bytes.get(head_len..end)?;
    Some((Frame { opcode: first & 0x0F, payload }, end))
}

/// Appends a client's text frame. The mask is zero, so that the payload can be written as it is.
pub fn encode_text(payload: &[u8], out: &mut Vec<u8>) {
    encode(TEXT, payload, out);
}

/// Appends a client's frame.
pub fn encode(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    const MASKED: u8 = 0x80;
    out.push(0x80 | opcode);
    head_len(payload.len(), MASKED, out);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// Appends a server's text frame.
pub fn encode_as_server(payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | TEXT);
    head_len(payload.len(), 0, out);
    out.extend_from_slice(payload);
}

fn head_len(len: usize, masked: u8, out: &mut Vec<u8>) {
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len), _) if len < 126 => out.push(masked | len),
        (_, Ok(len)) => {
            out.push(masked | 126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_come_back_whole_and_never_early() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; len];
            let mut bytes = Vec::new();
            encode_as_server(&payload, &mut bytes);
            let end = bytes.len();
            for cut in [0, 1, 2, 3, 4, 9, 10, end - 1] {
                assert!(take(&bytes[..cut.min(end - 1)]).is_none(), "{len} cut at {cut}");
            }
            bytes.push(0x81);
            assert_eq!(take(&bytes), Some((Frame { opcode: TEXT, payload: &payload }, end)));
        }
    }
}
