//! The frame protocol, as docs/frames.md has it: HELLO, then messages, answered by ACK and NACK with their numbers.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{bail, ensure};

use super::{Dialect, Reply, Verdict};

const ACK: u8 = 0x06;
const NACK: u8 = 0x15;
const ACK_LEN: usize = 17;
const NACK_LEN: usize = 10;
/// NACK codes after which the number is asked for again: overloaded, storage failed.
const RESEND: [u8; 2] = [3, 5];

/// A client of the frame protocol.
#[derive(Debug)]
pub struct Frames {
    pub client: [u8; 16],
}

impl Frames {
    /// A client that nobody knows yet.
    pub fn new() -> Self {
        Self { client: *uuid::Uuid::new_v4().as_bytes() }
    }
}

impl Dialect for Frames {
    fn open(&mut self, stream: &mut TcpStream) -> anyhow::Result<u64> {
        let mut hello = b"HWF1".to_vec();
        hello.extend_from_slice(&self.client);
        hello.extend_from_slice(&[0, 0]);
        stream.write_all(&hello)?;
        let mut welcome = [0; 17];
        stream.read_exact(&mut welcome)?;
        ensure!(welcome.starts_with(b"HWF1"), "that is no WELCOME");
        ensure!(welcome[4] == 0, "the server refuses us with status {}", welcome[4]);
        Ok(number(&welcome[9..]) + 1)
    }

    fn encode(&self, payload: &[u8], out: &mut Vec<u8>) {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(payload);
    }

    fn number_at(&self) -> Option<usize> {
        Some(4)
    }

    fn replies(&mut self, bytes: &[u8], replies: &mut Vec<Reply>) -> anyhow::Result<usize> {
        let mut rest = bytes;
        loop {
            match rest.first() {
                Some(&ACK) if rest.len() >= ACK_LEN => {
                    replies.push(Reply { number: number(&rest[1..]), verdict: Verdict::Accepted });
                    rest = &rest[ACK_LEN..];
                }
                Some(&NACK) if rest.len() >= NACK_LEN => {
                    let free = RESEND.contains(&rest[9]);
                    let verdict = if free { Verdict::RefusedNumberFree } else { Verdict::Refused };
                    replies.push(Reply { number: number(&rest[1..]), verdict });
                    rest = &rest[NACK_LEN..];
                }
                Some(&(ACK | NACK)) | None => return Ok(bytes.len() - rest.len()),
                Some(other) => bail!("an answer begins with {other:#04x}"),
            }
        }
    }
}

/// The eight bytes at the front.
fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_from_whatever_pieces_come() {
        let mut bytes = vec![ACK];
        bytes.extend_from_slice(&7_u64.to_be_bytes());
        bytes.extend_from_slice(&99_u64.to_be_bytes());
        for code in [3, 4] {
            bytes.push(NACK);
            bytes.extend_from_slice(&8_u64.to_be_bytes());
            bytes.push(code);
        }
        let expected = [
            Reply { number: 7, verdict: Verdict::Accepted },
            Reply { number: 8, verdict: Verdict::RefusedNumberFree },
            Reply { number: 8, verdict: Verdict::Refused },
        ];
        for cut in 0..=bytes.len() {
            let (mut frames, mut replies) = (Frames::new(), Vec::new());
            let taken = frames.replies(&bytes[..cut], &mut replies).unwrap();
            let rest = frames.replies(&bytes[taken..], &mut replies).unwrap();
            assert_eq!((taken + rest, &replies[..]), (bytes.len(), &expected[..]), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        assert!(Frames::new().replies(&[1; 20], &mut Vec::new()).is_err());
    }
}
