//! RabbitMQ: persistent messages into one durable log of its own (a quorum queue or a classic one), with confirms, over
//! AMQP 0-9-1. A minimal client with nothing between it and the socket, so that the peer is measured and not a library.

use std::io::Write;
use std::net::TcpStream;

use anyhow::{Context, bail};

use super::{Dialect, Reply, Verdict, read_until};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const FRAME_END: u8 = 0xCE;
/// Type, channel number, size.
const HEAD_LEN: usize = 7;

const START: (u16, u16) = (10, 10);
const START_OK: (u16, u16) = (10, 11);
const TUNE: (u16, u16) = (10, 30);
const TUNE_OK: (u16, u16) = (10, 31);
const OPEN: (u16, u16) = (10, 40);
const OPEN_OK: (u16, u16) = (10, 41);
const LINE_OPEN: (u16, u16) = (20, 10);
const LINE_OPEN_OK: (u16, u16) = (20, 11);
const DECLARE: (u16, u16) = (50, 10);
const DECLARE_OK: (u16, u16) = (50, 11);
const SELECT: (u16, u16) = (85, 10);
const SELECT_OK: (u16, u16) = (85, 11);
const PUBLISH: (u16, u16) = (60, 40);
const ACK: (u16, u16) = (60, 80);
const NACK: (u16, u16) = (60, 120);

/// What of RabbitMQ keeps the events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Flushed to disk before the confirm.
    Quorum,
    /// The default kind of RabbitMQ 3.
    Classic,
}

/// A client that publishes with confirms.
#[derive(Debug)]
pub struct Amqp {
    kind: Kind,
    /// The first number that has no confirm yet.
    next: u64,
}

impl Amqp {
    pub fn new(kind: Kind) -> Self {
        Self { kind, next: 1 }
    }

    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Quorum => "bench-quorum",
            Kind::Classic => "bench-classic",
        }
    }

    fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Quorum => "quorum",
            Kind::Classic => "classic",
        }
    }

    fn declare(&self) -> Vec<u8> {
        let mut table = short("x-queue-type");
        table.push(b'S');
        table.extend(long(self.type_name().as_bytes()));
        let mut arguments = vec![0, 0];
        arguments.extend(short(self.name()));
        arguments.push(0b10); // durable
        arguments.extend(long(&table));
        arguments
    }
}

impl Dialect for Amqp {
    fn open(&mut self, stream: &mut TcpStream) -> anyhow::Result<u64> {
        let mut read = Vec::new();
        let mut start_ok = long(b"");
        start_ok.extend(short("PLAIN"));
        start_ok.extend(long(b"\0guest\0guest"));
        start_ok.extend(short("en_US"));
        let mut open = short("/");
        open.extend([0, 0]);

        stream.write_all(b"AMQP\0\0\x09\x01")?;
        expect(stream, &mut read, START)?;
        stream.write_all(&method(0, START_OK, &start_ok))?;
        let tune = expect(stream, &mut read, TUNE)?;
        // As the server proposes, but no heartbeat (the last two bytes): no run is long.
        let proposal = tune.get(..6).context("a short Tune")?;
        stream.write_all(&method(0, TUNE_OK, &[proposal, &[0, 0]].concat()))?;
        stream.write_all(&method(0, OPEN, &open))?;
        expect(stream, &mut read, OPEN_OK)?;
        for (number, arguments, answer) in
            [(LINE_OPEN, vec![0], LINE_OPEN_OK), (DECLARE, self.declare(), DECLARE_OK), (SELECT, vec![0], SELECT_OK)]
        {
            stream.write_all(&method(1, number, &arguments))?;
            expect(stream, &mut read, answer)?;
        }
        Ok(1)
    }

    fn encode(&self, payload: &[u8], out: &mut Vec<u8>) {
        let mut arguments = vec![0, 0, 0];
        arguments.extend(short(self.name()));
        arguments.push(0);
        out.extend(method(1, PUBLISH, &arguments));

        let mut header = vec![0, 60, 0, 0];
        header.extend((payload.len() as u64).to_be_bytes());
        header.extend([0x10, 0, 2]); // one property: delivery mode 2, persistent
        out.extend(frame(HEADER, 1, &header));
        out.extend(frame(BODY, 1, payload));
    }

    fn replies(&mut self, bytes: &[u8], replies: &mut Vec<Reply>) -> anyhow::Result<usize> {
        let mut rest = bytes;
        while let Some(len) = frame_len(rest) {
            let verdict = match (rest[0], number(rest)) {
                (METHOD, ACK) => Verdict::Accepted,
                (METHOD, NACK) => Verdict::Refused,
                (METHOD, other) => bail!("RabbitMQ answers with method {other:?}"),
                _ => {
                    rest = &rest[len..];
                    continue;
                }
            };
            let tag = rest.get(HEAD_LEN + 4..HEAD_LEN + 13).context("a short confirm")?;
            let last = u64::from_be_bytes(*tag.first_chunk().context("a short confirm")?);
            let several = tag[8] & 1 == 1;
            // Single confirms may come out of order; several at once cover all before them.
            let first = if several { self.next.min(last) } else { last };
            replies.extend((first..=last).map(|number| Reply { number, verdict }));
            if several || last == self.next {
                self.next = last + 1;
            }
            rest = &rest[len..];
        }
        Ok(bytes.len() - rest.len())
    }
}

fn short(text: &str) -> Vec<u8> {
    let mut out = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
    out.extend_from_slice(text.as_bytes());
    out
}

fn long(bytes: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}

fn frame(kind: u8, line: u16, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(line.to_be_bytes());
    out.extend(long(body));
    out.push(FRAME_END);
    out
}

fn method(line: u16, (class, method): (u16, u16), arguments: &[u8]) -> Vec<u8> {
    frame(METHOD, line, &[&class.to_be_bytes(), &method.to_be_bytes(), arguments].concat())
}

/// The length of the whole frame at the front.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    let size = u32::from_be_bytes(*bytes.get(3..)?.first_chunk()?);
    let len = HEAD_LEN + size as usize + 1;
    (bytes.len() >= len).then_some(len)
}

/// Class and method of the frame at the front.
fn number(frame: &[u8]) -> (u16, u16) {
    let at = |at: usize| frame.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_be_bytes(*bytes));
    (at(HEAD_LEN), at(HEAD_LEN + 2))
}

/// The arguments of the next frame, which must be this method.
fn expect(stream: &mut TcpStream, read: &mut Vec<u8>, wanted: (u16, u16)) -> anyhow::Result<Vec<u8>> {
    let frame = read_until(stream, read, frame_len)?;
    if number(&frame) != wanted {
        bail!("RabbitMQ answers with {:?} in place of {wanted:?}: {}", number(&frame), String::from_utf8_lossy(&frame));
    }
    Ok(frame[HEAD_LEN + 4..frame.len() - 1].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confirm(of: (u16, u16), tag: u64, several: bool) -> Vec<u8> {
        let mut arguments = tag.to_be_bytes().to_vec();
        arguments.push(u8::from(several));
        method(1, of, &arguments)
    }

    #[test]
    fn a_confirm_of_several_answers_all_before_it() {
        let bytes = [confirm(ACK, 1, false), confirm(ACK, 4, true), confirm(NACK, 5, false)].concat();
        for cut in 0..=bytes.len() {
            let (mut amqp, mut replies) = (Amqp::new(Kind::Quorum), Vec::new());
            let taken = amqp.replies(&bytes[..cut], &mut replies).unwrap();
            amqp.replies(&bytes[taken..], &mut replies).unwrap();
            let numbers: Vec<_> = replies.iter().map(|reply| reply.number).collect();
            assert_eq!(numbers, [1, 2, 3, 4, 5], "cut at {cut}");
            assert_eq!(replies[4].verdict, Verdict::Refused);
        }
    }
}
