//! One connection of a load: what it publishes, what it hears, and the bytes between.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use anyhow::Context;
use mio::net::TcpStream;

use super::tally::Sum;
use super::wire::{self, Mark, Template, Version};

/// How many encoded bytes wait for a socket at the most.
const STAGED_LEN_MAX: usize = 128 * 1_024;
/// Reads of one connection before the others have their turn.
const READS_IN_TURN: usize = 4;
/// How long a server may take to let a client in.
const OPEN_TIME_MAX: Duration = Duration::from_secs(30);

/// Who a client is, and where.
#[derive(Clone, Debug)]
pub struct Ask {
    pub addr: SocketAddr,
    pub version: Version,
    pub client: String,
    /// Whether its session ends with its connection.
    pub is_clean: bool,
    /// What it subscribes to, at which QoS.
    pub filter: Option<(String, u8)>,
}

/// A connection.
pub struct Link {
    pub stream: TcpStream,
    version: Version,
    /// The beginning of a packet whose end hasn't come.
    unread: Vec<u8>,
    out: Vec<u8>,
    out_at: usize,
    pub publisher: Option<Publisher>,
    pub subscriber: Option<Subscriber>,
    /// Whether it reads; one that stalls doesn't.
    pub is_reading: bool,
    pub is_over: bool,
    /// Whether the server knew its session.
    pub had_session: bool,
    /// How many publications the server lets it have under way.
    pub receive_max: u16,
}

/// What a link publishes.
pub struct Publisher {
    /// Its place among the publishers.
    pub at: u32,
    pub template: Template,
    pub qos: u8,
    pub window: u64,
    pub sent: u64,
    /// Answered: PUBACK or PUBCOMP; with QoS 0, what lies before a PINGREQ that was answered.
    pub answered: u64,
    /// With QoS 0 and nobody to hear it: how much had been sent at each PINGREQ under way.
    pub pings: VecDeque<u64>,
    pub asks_by_ping: bool,
    /// How many it sends in all.
    pub limit: u64,
    /// How many it took in the present stretch, for a rate.
    pub taken: u64,
    last_id: u16,
    /// When each under way was due, by packet id.
    since: Vec<u64>,
}

/// What a link hears.
pub struct Subscriber {
    /// Whose events it hears.
    pub hears: Range<u32>,
    /// The next number that it should hear of each.
    next: Vec<u64>,
    /// Whether its latencies count with the others'.
    pub is_timed: bool,
    pub delivered: u64,
}

impl Publisher {
    pub fn new(at: u32, template: Template, qos: u8, window: u64) -> Self {
        let places = usize::try_from(window).unwrap_or(usize::MAX).clamp(64, 65_536).next_power_of_two();
        Self {
            at,
            template,
            qos,
            window,
            sent: 0,
            answered: 0,
            pings: VecDeque::new(),
            asks_by_ping: false,
            limit: u64::MAX,
            taken: 0,
            last_id: 0,
            since: vec![0; if qos > 0 { places } else { 0 }],
        }
    }

    fn place(&mut self, id: u16) -> Option<&mut u64> {
        let mask = self.since.len().wrapping_sub(1);
        self.since.get_mut(usize::from(id) & mask)
    }

    /// How many may be sent now, as far as their answers go.
    pub fn room(&self) -> u64 {
        let room = if self.qos > 0 || self.asks_by_ping {
            self.window.saturating_sub(self.sent - self.answered)
        } else {
            u64::MAX
        };
        room.min(self.limit - self.sent)
    }
}

impl Subscriber {
    pub fn new(hears: Range<u32>) -> Self {
        let next = vec![0; hears.len()];
        Self { hears, next, is_timed: true, delivered: 0 }
    }
}

impl Link {
    /// Connects, and subscribes where it is asked to; waits for both to be answered.
    ///
    /// # Errors
    /// When the server can't be reached or says no.
    pub fn open(ask: &Ask) -> anyhow::Result<Self> {
        let addr = ask.addr;
        let mut stream = std::net::TcpStream::connect(addr).with_context(|| format!("can't reach {addr}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(OPEN_TIME_MAX))?;
        let mut link = Self {
            stream: TcpStream::from_std(stream.try_clone()?),
            version: ask.version,
            unread: Vec::new(),
            out: Vec::new(),
            out_at: 0,
            publisher: None,
            subscriber: None,
            is_reading: true,
            is_over: false,
            had_session: false,
            receive_max: u16::MAX,
        };
        link.greet(&mut stream, ask).with_context(|| format!("{addr} doesn't let {} in", ask.client))?;
        stream.set_nonblocking(true)?;
        link.stream = TcpStream::from_std(stream);
        Ok(link)
    }

    fn greet(&mut self, stream: &mut std::net::TcpStream, ask: &Ask) -> anyhow::Result<()> {
        let mut out = Vec::new();
        wire::put_connect(ask.version, &ask.client, ask.is_clean, &mut out);
        stream.write_all(&out)?;
        self.wait_for(stream, wire::CONNACK)?;
        let Some(packet) = wire::take(&self.unread)? else { return Ok(()) };
        (self.had_session, self.receive_max) = wire::connack(ask.version, packet)?;
        self.unread.drain(..packet.len);
        if let Some((filter, qos)) = &ask.filter {
            out.clear();
            wire::put_subscribe(ask.version, filter, *qos, &mut out);
            stream.write_all(&out)?;
            self.wait_for(stream, wire::SUBACK)?;
            // What else has come stays; the answer itself says nothing more.
            let mut rest = Vec::new();
            let mut at = 0;
            while let Some(packet) = wire::take(&self.unread[at..])? {
                if packet.first != wire::SUBACK {
                    rest.extend_from_slice(&self.unread[at..at + packet.len]);
                } else if packet.body.last().is_some_and(|reason| *reason >= 0x80) {
                    anyhow::bail!("SUBACK says no");
                }
                at += packet.len;
            }
            rest.extend_from_slice(&self.unread[at..]);
            self.unread = rest;
        }
        Ok(())
    }

    /// Reads until a packet of this kind is whole.
    fn wait_for(&mut self, stream: &mut std::net::TcpStream, kind: u8) -> io::Result<()> {
        let mut piece = [0; 4_096];
        loop {
            let mut at = 0;
            while let Some(packet) = wire::take(&self.unread[at..])? {
                if packet.first & 0xF0 == kind & 0xF0 {
                    return Ok(());
                }
                at += packet.len;
            }
            match stream.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                len => self.unread.extend_from_slice(&piece[..len]),
            }
        }
    }

    /// How many copies of the publisher's packet still go into the staged bytes.
    pub fn staging_room(&self) -> u64 {
        let Some(publisher) = &self.publisher else { return 0 };
        match self.out.len() {
            0 => (STAGED_LEN_MAX / publisher.template.len()).max(1) as u64,
            len => (STAGED_LEN_MAX.saturating_sub(len) / publisher.template.len()) as u64,
        }
    }

    /// Stages so many publications; `since(i)` tells when the i-th of them was due.
    pub fn publish(&mut self, count: u64, since: impl Fn(u64) -> u64) {
        let Some(publisher) = &mut self.publisher else { return };
        for i in 0..count {
            let id = if publisher.last_id == u16::MAX { 1 } else { publisher.last_id + 1 };
            publisher.last_id = id;
            let mark = Mark { since: since(i), publisher: publisher.at, number: publisher.sent };
            if let Some(place) = publisher.place(id) {
                *place = mark.since;
            }
            publisher.template.put(id, mark, &mut self.out);
            publisher.sent += 1;
        }
        publisher.taken += count;
        if publisher.asks_by_ping && count > 0 {
            self.out.extend(wire::PINGREQ_PACKET);
            publisher.pings.push_back(publisher.sent);
        }
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.out_at < self.out.len() {
            match self.stream.write(&self.out[self.out_at..]) {
                Ok(len) => self.out_at += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.out_at = 0;
        Ok(())
    }

    /// Reads and counts what came; false when there is more.
    ///
    /// # Errors
    /// When the connection ends or isn't MQTT.
    pub fn read(&mut self, buffer: &mut [u8], now: u64, sum: &mut Sum) -> io::Result<bool> {
        for _ in 0..READS_IN_TURN {
            let begin = self.unread.len();
            buffer[..begin].copy_from_slice(&self.unread);
            let len = match self.stream.read(&mut buffer[begin..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => begin + len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let mut at = 0;
            while let Some(packet) = wire::take(&buffer[at..len])? {
                self.hear(packet, now, sum)?;
                at += packet.len;
            }
            self.unread.clear();
            self.unread.extend_from_slice(&buffer[at..len]);
            if len < buffer.len() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Counts whole packets that came with the server's first answers.
    ///
    /// # Errors
    /// When they aren't MQTT.
    pub fn hear_unread(&mut self, now: u64, sum: &mut Sum) -> io::Result<()> {
        let unread = std::mem::take(&mut self.unread);
        let mut at = 0;
        while let Some(packet) = wire::take(&unread[at..])? {
            self.hear(packet, now, sum)?;
            at += packet.len;
        }
        self.unread = unread[at..].to_vec();
        Ok(())
    }

    fn hear(&mut self, packet: wire::Packet<'_>, now: u64, sum: &mut Sum) -> io::Result<()> {
        match packet.first & 0xF0 {
            wire::PUBLISH => {
                let delivery = wire::delivery(self.version, packet)?;
                match delivery.qos {
                    0 => {}
                    1 => wire::put_ack(wire::PUBACK, delivery.id, &mut self.out),
                    _ => wire::put_ack(wire::PUBREC, delivery.id, &mut self.out),
                }
                if let (Some(subscriber), Some(mark)) = (&mut self.subscriber, delivery.mark) {
                    subscriber.hear(mark, now, sum);
                }
            }
            wire::PUBACK | wire::PUBCOMP => self.answered(packet, now, sum)?,
            wire::PUBREC => match wire::ack(packet)? {
                (_, true) => self.answered(packet, now, sum)?,
                (id, false) => wire::put_ack(wire::PUBREL, id, &mut self.out),
            },
            0x60 => wire::put_ack(wire::PUBCOMP, wire::ack(packet)?.0, &mut self.out),
            wire::PINGRESP => {
                if let Some(publisher) = &mut self.publisher
                    && let Some(sent) = publisher.pings.pop_front()
                {
                    sum.answered += sent - publisher.answered;
                    publisher.answered = sent;
                }
            }
            wire::DISCONNECT => {
                return Err(wire::broken(&format!(
                    "the server says DISCONNECT {:#04x}",
                    packet.body.first().unwrap_or(&0)
                )));
            }
            _ => {}
        }
        Ok(())
    }

    fn answered(&mut self, packet: wire::Packet<'_>, now: u64, sum: &mut Sum) -> io::Result<()> {
        let (id, is_refused) = wire::ack(packet)?;
        let Some(publisher) = &mut self.publisher else { return Ok(()) };
        publisher.answered += 1;
        sum.answered += 1;
        sum.refused += u64::from(is_refused);
        if let Some(since) = publisher.place(id) {
            sum.answer(now, *since);
        }
        Ok(())
    }
}

impl Subscriber {
    fn hear(&mut self, mark: Mark, now: u64, sum: &mut Sum) {
        let Some(at) = mark.publisher.checked_sub(self.hears.start) else { return };
        let Some(next) = self.next.get_mut(at as usize) else { return };
        if mark.number < *next {
            sum.repeated += 1;
            return;
        }
        let lost = mark.number - *next;
        *next = mark.number + 1;
        self.delivered += 1;
        sum.lost += lost;
        sum.account(mark.publisher, 1 + lost);
        sum.deliver(now, mark.since, self.is_timed);
    }

    /// How many of those that were sent it hasn't heard, by the last number of each publisher.
    pub fn missing(&self, sent: &[u64]) -> u64 {
        self.hears.clone().zip(&self.next).map(|(at, next)| sent[at as usize].saturating_sub(*next)).sum()
    }
}
