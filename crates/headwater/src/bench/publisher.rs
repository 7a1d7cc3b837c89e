//! Who publishes while a crowd watches: marked events at a rate, or as fast as the crowd gets them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use mio::{Events, Interest, Poll, Token};

use super::crowd::Shared;
use super::dialect::alerts::Alerts;
use super::dialect::control::Control;
use super::dialect::frames::Frames;
use super::dialect::http::Http;
use super::dialect::websocket::WebSocket;
use super::dialect::{Dialect, Reply, Verdict};
use super::load::nanos;
use super::mark::Mark;
use super::sender::Sender;

/// How events get in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Way {
    /// Headwater's frame protocol
    Frames,
    /// Headwater's HTTP
    Http,
    /// Headwater's WebSocket
    Ws,
    /// Public alerts, by HTTP
    Alerts,
    /// The control connection of a small server
    Control,
}

impl Way {
    fn dialect(self, topic: &str) -> Box<dyn Dialect> {
        match self {
            Self::Frames => Box::new(Frames::new()),
            Self::Http => Box::new(Http::new(topic)),
            Self::Ws => Box::new(WebSocket::new(topic)),
            Self::Alerts => Box::new(Alerts::new(0)),
            Self::Control => Box::new(Control),
        }
    }
}

/// How long nothing may come to anybody before the run is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A look at the clock while nothing is due.
const STEP: Duration = Duration::from_micros(200);

/// A connection that publishes.
pub struct Publisher<'a> {
    shared: &'a Shared,
    sender: Sender,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    replies: Vec<Reply>,
    size: usize,
    pub published: u64,
    pub refused: u64,
}

impl<'a> Publisher<'a> {
    /// Connects.
    ///
    /// # Errors
    /// When the server can't be reached or doesn't let us in.
    pub fn open(shared: &'a Shared, way: Way, addr: SocketAddr, topic: &str, size: usize) -> anyhow::Result<Self> {
        let mut sender = Sender::open(addr, way.dialect(topic), &Mark { since: 0, number: 0 }.payload(size), 4_096)?;
        let poll = Poll::new()?;
        poll.registry().register(&mut sender.stream, Token(0), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            shared,
            sender,
            poll,
            events: Events::with_capacity(4),
            buffer: vec![0; 64 * 1_024],
            replies: Vec::new(),
            size,
            published: 0,
            refused: 0,
        })
    }

    /// Publishes at a rate for a time. An event that is late is marked with when it was due.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn at_rate(&mut self, per_second: f64, duration: Duration) -> anyhow::Result<()> {
        let begin = self.shared.now();
        let mut count = 0_u64;
        loop {
            let due = begin + (count as f64 * 1e9 / per_second) as u64;
            if due >= begin + nanos(duration) {
                return Ok(());
            }
            let early = Duration::from_nanos(due.saturating_sub(self.shared.now()));
            if !early.is_zero() || self.sender.room() == 0 {
                self.turn(early.min(STEP))?;
                continue;
            }
            self.publish(due)?;
            count += 1;
        }
    }

    /// Publishes for a time, the next event whenever all but `window` have come to every one of `watchers`.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes any more.
    pub fn saturated(&mut self, window: u64, watchers: usize, duration: Duration) -> anyhow::Result<()> {
        let (begin, first) = (Instant::now(), self.published);
        let before = self.shared.deliveries.load(Ordering::Relaxed);
        let (mut last, mut last_change) = (before, Instant::now());
        while begin.elapsed() < duration {
            let deliveries = self.shared.deliveries.load(Ordering::Relaxed);
            if deliveries != last {
                (last, last_change) = (deliveries, Instant::now());
            }
            if last_change.elapsed() > SILENCE_MAX {
                bail!("nothing has come to any watcher for {} s", SILENCE_MAX.as_secs());
            }
            let living = watchers.saturating_sub(self.shared.over.load(Ordering::Relaxed)).max(1) as u64;
            let come = (deliveries - before) / living;
            if self.published - first < come + window && self.sender.room() > 0 {
                self.publish(self.shared.now())?;
            } else {
                self.turn(STEP)?;
            }
        }
        Ok(())
    }

    fn publish(&mut self, since: u64) -> anyhow::Result<()> {
        let mark = Mark { since, number: self.published };
        self.sender.load(&mark.payload(self.size));
        self.sender.send(1, |_| since)?;
        self.published += 1;
        Ok(())
    }

    /// Reads answers, or waits for `step` when there are none.
    fn turn(&mut self, step: Duration) -> anyhow::Result<()> {
        self.shared.check()?;
        self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
        if self.events.is_empty() {
            thread::sleep(step);
            return Ok(());
        }
        self.sender.write()?;
        let refused = &mut self.refused;
        self.sender.read(&mut self.buffer, &mut self.replies, |verdict, _| {
            *refused += u64::from(verdict != Verdict::Accepted);
        })
    }

    /// Waits until `watchers` have got all that was published, or nothing comes any more; returns whether they have.
    ///
    /// # Errors
    /// When the connection breaks, or an event was refused.
    pub fn settle(&mut self, expected: u64, time_max: Duration) -> anyhow::Result<bool> {
        let begin = Instant::now();
        while self.shared.deliveries.load(Ordering::Relaxed) < expected {
            if begin.elapsed() > time_max {
                return Ok(false);
            }
            if self.sender.under_way() == 0 {
                // Nothing is owed to this connection, which the server may end meanwhile, as it is idle.
                self.shared.check()?;
                thread::sleep(STEP);
            } else {
                self.turn(STEP)?;
            }
        }
        ensure!(self.refused == 0, "the server refused {} of {} events", self.refused, self.published);
        Ok(true)
    }
}
