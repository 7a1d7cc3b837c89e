//! One connection of the yardstick: reads runs of messages, writes runs of answers.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

use super::batch::{Batch, Run};

const HELLO_LEN: usize = 22;
const HEAD_LEN: usize = 12;
const ACK: u8 = 0x06;

/// A connection.
#[derive(Debug)]
pub struct Client {
    pub stream: TcpStream,
    pub generation: u64,
    greeted: bool,
    /// The beginning of a message whose end hasn't come.
    unread: Vec<u8>,
    last: u64,
    /// Answers that the socket hasn't taken yet.
    pub out: Vec<u8>,
}

impl Client {
    pub fn new(stream: TcpStream, generation: u64) -> Self {
        Self { stream, generation, greeted: false, unread: Vec::new(), last: 0, out: Vec::new() }
    }

    /// Reads what came into the open batch; false when the connection is over.
    pub fn read(
        &mut self,
        at: usize,
        buffer: &mut [u8],
        payload_max: u32,
        mut add: impl FnMut(&mut dyn FnMut(&mut Batch)),
    ) -> bool {
        loop {
            let begin = self.unread.len();
            buffer[..begin].copy_from_slice(&self.unread);
            let len = match self.stream.read(&mut buffer[begin..]) {
                Ok(0) => return false,
                Ok(len) => begin + len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return false,
            };
            let Some(mut taken) = self.greet(&buffer[..len], payload_max) else { return false };
            if let Some((messages_len, count)) = self.messages(&buffer[taken..len], payload_max) {
                if count > 0 {
                    let run = Run { client: at, generation: self.generation, first: self.last + 1, count };
                    self.last += count;
                    let bytes = &buffer[taken..taken + messages_len];
                    add(&mut |batch| {
                        batch.bytes.extend_from_slice(bytes);
                        batch.runs.push(run);
                    });
                }
                taken += messages_len;
            } else {
                return false;
            }
            self.unread.clear();
            self.unread.extend_from_slice(&buffer[taken..len]);
            if len < buffer.len() {
                return true;
            }
        }
    }

    /// Takes a HELLO, where one is due. The yardstick remembers nobody: every client begins at 1.
    fn greet(&mut self, bytes: &[u8], payload_max: u32) -> Option<usize> {
        if self.greeted || bytes.len() < HELLO_LEN {
            return Some(0);
        }
        if !bytes.starts_with(b"HWF1") || bytes[20..22] != [0, 0] {
            return None;
        }
        self.greeted = true;
        self.out.extend_from_slice(b"HWF1\0");
        self.out.extend_from_slice(&payload_max.to_be_bytes());
        self.out.extend_from_slice(&0_u64.to_be_bytes());
        self.write().then_some(HELLO_LEN)
    }

    /// Length and number of the whole messages at the front; `None` for one that breaks the protocol.
    fn messages(&self, bytes: &[u8], payload_max: u32) -> Option<(usize, u64)> {
        let (mut at, mut count) = (0, 0);
        while self.greeted && bytes.len() - at >= HEAD_LEN {
            let len = u32::from_be_bytes(*bytes[at..].first_chunk()?);
            let number = u64::from_be_bytes(*bytes[at + 4..].first_chunk()?);
            if len > payload_max || number != self.last + 1 + count {
                return None;
            }
            let end = at + HEAD_LEN + len as usize;
            if bytes.len() < end {
                break;
            }
            at = end;
            count += 1;
        }
        Some((at, count))
    }

    /// Appends the answers to a run whose first message has this place in the log.
    pub fn answer(&mut self, run: &Run, log_first: u64) {
        self.out.reserve(usize::try_from(run.count * 17).unwrap_or(0));
        for i in 0..run.count {
            let mut ack = [ACK; 17];
            ack[1..9].copy_from_slice(&(run.first + i).to_be_bytes());
            ack[9..].copy_from_slice(&(log_first + i).to_be_bytes());
            self.out.extend_from_slice(&ack);
        }
    }

    /// Writes what the socket takes; false when the connection is over.
    pub fn write(&mut self) -> bool {
        let mut written = 0;
        while written < self.out.len() {
            match self.stream.write(&self.out[written..]) {
                Ok(len) => written += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.out.drain(..written);
        true
    }
}
