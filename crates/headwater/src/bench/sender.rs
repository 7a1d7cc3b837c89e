//! One connection of a load: what is under way on it, and the bytes that go out.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use mio::net::TcpStream;

use super::dialect::{Dialect, Reply, Verdict};

/// How many bytes of encoded events a connection holds at the most; more are staged in several writes.
const STAGED_BYTES_MAX: usize = 128 * 1_024;
/// How long a server may take for the handshake.
const OPEN_TIME_MAX: Duration = Duration::from_secs(30);

/// An event that was sent and is not answered yet.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    number: u64,
    /// When it was due (open loop) or sent (closed loop), in ns since the load began.
    since: u64,
}

/// A connection with its events under way.
pub struct Sender {
    pub stream: TcpStream,
    dialect: Box<dyn Dialect>,
    /// The same event again and again; only its number differs, where the dialect has one.
    template: Vec<u8>,
    event_len: usize,
    number_at: Option<usize>,
    is_answered: bool,
    /// What of the template is to be written: from, to.
    unwritten: (usize, usize),
    next_number: u64,
    under_way: VecDeque<UnderWay>,
    in_flight_max: usize,
    /// The beginning of an answer whose end hasn't come.
    unread: Vec<u8>,
    /// How many events were handed to this connection in the present phase.
    pub taken: u64,
}

impl Sender {
    /// Connects and does the dialect's handshake.
    ///
    /// # Errors
    /// When the server can't be reached or doesn't let us in.
    pub fn open(
        addr: SocketAddr,
        mut dialect: Box<dyn Dialect>,
        payload: &[u8],
        in_flight_max: usize,
    ) -> anyhow::Result<Self> {
        let mut stream = std::net::TcpStream::connect(addr).with_context(|| format!("can't reach {addr}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(OPEN_TIME_MAX))?;
        let next_number = dialect.open(&mut stream).with_context(|| format!("{addr} doesn't let us in"))?;
        stream.set_nonblocking(true)?;

        let mut template = Vec::new();
        dialect.encode(payload, &mut template);
        let event_len = template.len();
        let copies = in_flight_max.min(STAGED_BYTES_MAX / event_len).max(1);
        Ok(Self {
            stream: TcpStream::from_std(stream),
            number_at: dialect.number_at(),
            is_answered: dialect.is_answered(),
            dialect,
            template: template.repeat(copies),
            event_len,
            unwritten: (0, 0),
            next_number,
            under_way: VecDeque::with_capacity(in_flight_max.min(65_536)),
            in_flight_max,
            unread: Vec::new(),
            taken: 0,
        })
    }

    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// How many more events may be sent now. None while the socket is full: the template's bytes are still in use.
    pub fn room(&self) -> usize {
        if self.unwritten.0 < self.unwritten.1 {
            return 0;
        }
        (self.in_flight_max - self.under_way.len()).min(self.template.len() / self.event_len)
    }

    /// Takes another payload for the next events; only while there is `room()`.
    pub fn load(&mut self, payload: &[u8]) {
        self.template.clear();
        self.dialect.encode(payload, &mut self.template);
        self.event_len = self.template.len();
    }

    /// Sends `count` events, at most `room()`; `since(i)` tells when the i-th of them was due.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn send(&mut self, count: usize, since: impl Fn(u64) -> u64) -> io::Result<()> {
        for (i, number) in (0..count).zip(self.next_number..) {
            if let Some(at) = self.number_at {
                let at = i * self.event_len + at;
                self.dialect.write_number(number, &mut self.template[at..at + 8]);
            }
            if self.is_answered {
                self.under_way.push_back(UnderWay { number, since: since(i as u64) });
            }
        }
        self.next_number += count as u64;
        self.taken += count as u64;
        self.unwritten = (0, count * self.event_len);
        self.write()
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn write(&mut self) -> io::Result<()> {
        while self.unwritten.0 < self.unwritten.1 {
            match self.stream.write(&self.template[self.unwritten.0..self.unwritten.1]) {
                Ok(len) => self.unwritten.0 += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what came; `done` gets each answered event's verdict and when it was due.
    ///
    /// # Errors
    /// When the connection ends, or what comes is no answer.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        replies: &mut Vec<Reply>,
        mut done: impl FnMut(Verdict, u64),
    ) -> anyhow::Result<()> {
        loop {
            let begin = self.unread.len();
            buffer[..begin].copy_from_slice(&self.unread);
            let len = match self.stream.read(&mut buffer[begin..]) {
                Ok(0) => bail!("the server closed a connection with {} events under way", self.under_way.len()),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let bytes = &buffer[..begin + len];
            replies.clear();
            let taken = self.dialect.replies(bytes, replies)?;
            self.unread.clear();
            self.unread.extend_from_slice(&bytes[taken..]);
            for reply in replies.drain(..) {
                if reply.verdict == Verdict::RefusedNumberFree {
                    self.next_number = reply.number;
                }
                let Some(event) = take(&mut self.under_way, reply.number) else {
                    bail!("the server answers an event that isn't under way: {}", reply.number);
                };
                done(reply.verdict, event.since);
            }
            // Less than there was room for: the socket is empty, and the next event of the poll says when it isn't.
            if begin + len < buffer.len() {
                return Ok(());
            }
        }
    }
}

/// The oldest event under way with this number. Answers of one verdict come in order, so it's at the front or near it.
fn take(under_way: &mut VecDeque<UnderWay>, number: u64) -> Option<UnderWay> {
    if under_way.front().is_some_and(|event| event.number == number) {
        return under_way.pop_front();
    }
    let at = under_way.iter().position(|event| event.number == number)?;
    under_way.remove(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_events_with_one_number_the_older_is_answered_first() {
        let event = |number, since| UnderWay { number, since };
        // 7 waits for the disk; 8 was refused, and its number was taken again by a later one.
        let mut under_way = VecDeque::from([event(7, 1), event(8, 2), event(9, 3), event(8, 4)]);
        let mut since = |number| take(&mut under_way, number).map(|event| event.since);
        assert_eq!([since(8), since(9), since(7), since(8), since(8)], [Some(2), Some(3), Some(1), Some(4), None]);
    }
}
