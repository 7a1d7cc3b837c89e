//! The control connection of the small fan-out servers: a length (4 bytes, big-endian) and the text that everyone gets.

use std::net::TcpStream;

use super::{Dialect, Reply};

/// Says what to send, and is never answered.
#[derive(Debug)]
pub struct Control;

impl Dialect for Control {
    fn open(&mut self, _stream: &mut TcpStream) -> anyhow::Result<u64> {
        Ok(0)
    }

    fn encode(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(payload);
    }

    fn is_answered(&self) -> bool {
        false
    }

    fn replies(&mut self, bytes: &[u8], _replies: &mut Vec<Reply>) -> anyhow::Result<usize> {
        Ok(bytes.len())
    }
}
