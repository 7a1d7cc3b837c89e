//! What MQTT packets travel in: a bare socket, or the binary messages of a WebSocket (MQTT 5.0 section 6).

use bytes::{Bytes, BytesMut};

use crate::ws::close::{self, close_payload};
use crate::ws::decoder::{Decoder, Said};
use crate::ws::frame::{Opcode, write_frame};
use crate::ws::socket::Socket;

/// A client's socket, and what is spoken around its packets.
pub(super) struct Wire {
    pub(super) socket: Socket,
    /// Reads the frames of a WebSocket; `None` on a bare socket.
    frames: Option<Box<Frames>>,
}

struct Frames {
    decoder: Decoder,
    /// What came behind the request for the WebSocket.
    leftover: Vec<u8>,
}

impl Wire {
    pub(super) const fn bare(socket: Socket) -> Self {
        Self { socket, frames: None }
    }

    pub(super) fn framed(socket: Socket, message_len_max: usize, leftover: Vec<u8>) -> Self {
        let frames = Frames { decoder: Decoder::new(message_len_max), leftover };
        Self { socket, frames: Some(Box::new(frames)) }
    }

    /// What was read before this wire began.
    pub(super) fn take_leftover(&mut self) -> Vec<u8> {
        self.frames.as_mut().map(|frames| std::mem::take(&mut frames.leftover)).unwrap_or_default()
    }

    pub(super) const fn is_framed(&self) -> bool {
        self.frames.is_some()
    }

    /// Adds what was read to the packets' bytes. Gives what the WebSocket itself answers: pongs.
    ///
    /// # Errors
    /// The last words, when the WebSocket is to end here.
    pub(super) fn take(&mut self, read: &mut [u8], packets: &mut BytesMut) -> Result<Vec<u8>, Bytes> {
        let Some(frames) = &mut self.frames else {
            packets.extend_from_slice(read);
            return Ok(Vec::new());
        };
        let (mut at, mut answers) = (0, Vec::new());
        loop {
            let (used, said) = match frames.decoder.next(&mut read[at..]) {
                Ok(step) => step,
                Err(fault) => return Err(last_frame(&close_payload(fault.code(), &fault.to_string()))),
            };
            at += used;
            match said {
                None => return Ok(answers),
                // Packets may begin in one message and end in the next (section 6).
                Some(Said::Binary(bytes)) => packets.extend_from_slice(&bytes),
                Some(Said::Text(_)) => {
                    return Err(last_frame(&close_payload(close::UNSUPPORTED, "MQTT comes in binary messages")));
                }
                Some(Said::Ping(bytes)) => write_frame(Opcode::Pong, &bytes, &mut answers),
                Some(Said::Pong) => {}
                Some(Said::Close(closing)) => {
                    let payload = closing.code.map(|code| close_payload(code, "")).unwrap_or_default();
                    return Err(last_frame(&payload));
                }
            }
        }
    }

    /// Packets as they go on the wire.
    pub(super) fn frame(&self, packets: Vec<u8>) -> Bytes {
        if !self.is_framed() {
            return packets.into();
        }
        let mut out = Vec::with_capacity(packets.len() + 10);
        write_frame(Opcode::Binary, &packets, &mut out);
        out.into()
    }

    /// What ends the talk after the last packet.
    pub(super) fn farewell(&self) -> Bytes {
        if self.is_framed() { last_frame(&close_payload(close::NORMAL, "")) } else { Bytes::new() }
    }
}

fn last_frame(payload: &[u8]) -> Bytes {
    let mut frame = Vec::new();
    write_frame(Opcode::Close, payload, &mut frame);
    frame.into()
}
