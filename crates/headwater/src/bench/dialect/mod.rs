//! How events are handed to a server and how it answers: one file a protocol, ours and those of peers.
//!
//! A dialect encodes an event once; the sender repeats those bytes. So a generator that offers millions a second spends
//! its time in the kernel, as the server does, and not in making messages.

pub mod alerts;
pub mod amqp;
pub mod control;
pub mod frames;
pub mod get;
pub mod http;
pub mod nats;
pub mod redis;
pub mod websocket;

use std::io::{self, Read};
use std::net::TcpStream;

/// What a server said about one event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It has it, in the sense of its promise.
    Accepted,
    /// It doesn't want it.
    Refused,
    /// It doesn't want it, and the next event takes its number again.
    RefusedNumberFree,
}

/// An answer, by the number of the event on its connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reply {
    pub number: u64,
    pub verdict: Verdict,
}

/// One connection's language.
pub trait Dialect: Send {
    /// All that comes before the first event, on a blocking socket. Returns the number of the first event.
    ///
    /// # Errors
    /// When the server doesn't let us in.
    fn open(&mut self, stream: &mut TcpStream) -> anyhow::Result<u64>;

    /// Appends one event to `out`.
    fn encode(&self, payload: &[u8], out: &mut Vec<u8>);

    /// Where an encoded event carries its number (8 bytes), when it does.
    fn number_at(&self) -> Option<usize> {
        None
    }

    /// Writes an event's number to its place of 8 bytes.
    fn write_number(&self, number: u64, place: &mut [u8]) {
        place.copy_from_slice(&number.to_be_bytes());
    }

    /// Whether events are answered at all.
    fn is_answered(&self) -> bool {
        true
    }

    /// Takes the whole answers at the front of `bytes`; returns how many bytes that were.
    ///
    /// # Errors
    /// When it is no answer in this language, or one that ends the talk.
    fn replies(&mut self, bytes: &[u8], replies: &mut Vec<Reply>) -> anyhow::Result<usize>;
}

/// Answers that come in the order of the events: counts them.
#[derive(Debug, Default)]
pub struct InOrder {
    next: u64,
}

impl InOrder {
    fn reply(&mut self, verdict: Verdict) -> Reply {
        let number = self.next;
        self.next += 1;
        Reply { number, verdict }
    }
}

/// Reads until the talk's next part is whole, as `end` finds it, and returns that part. For handshakes only.
fn read_until(stream: &mut TcpStream, read: &mut Vec<u8>, end: impl Fn(&[u8]) -> Option<usize>) -> io::Result<Vec<u8>> {
    loop {
        if let Some(len) = end(read) {
            let rest = read.split_off(len);
            return Ok(std::mem::replace(read, rest));
        }
        let mut bytes = [0; 4_096];
        let len = stream.read(&mut bytes)?;
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        read.extend_from_slice(&bytes[..len]);
    }
}

/// Behind the next CRLF.
fn line_end(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n").map(|at| at + 2)
}

/// Behind an HTTP head.
fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}
