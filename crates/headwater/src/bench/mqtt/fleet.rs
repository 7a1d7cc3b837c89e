//! All links of a load on one thread: it waits for sockets, offers publications as there is room or as they are due, and
//! counts what comes.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::{Events, Interest, Poll, Token};

use super::super::load::nanos;
use super::link::{Ask, Link, Publisher, Subscriber};
use super::tally::Sum;
use super::wire::{Template, Version};

/// What is read at once, in bytes.
const READ_LEN: usize = 256 * 1_024;
/// How long a thread sleeps between two looks at the clock, at a rate; the poll itself knows milliseconds only.
const RATE_STEP: Duration = Duration::from_micros(100);
/// How long nothing may come while something is expected, before it counts as lost and the load goes on. The servers that
/// drop what has no room do so at once, and tell nobody.
const LOST_AFTER: Duration = Duration::from_secs(2);
/// How long nothing may come before the load gives up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The links.
pub struct Fleet {
    poll: Poll,
    events: Events,
    pub links: Vec<Link>,
    buffer: Vec<u8>,
    begin: Instant,
    pub sum: Sum,
    /// Which links publish, by the publishers' order.
    publishers: Vec<usize>,
    /// How many subscribers hear each publisher.
    fans: Vec<u64>,
    /// Links that had more to read than one turn allows.
    hungry: Vec<usize>,
    /// Whether subscribers must have heard what is under way, beside the server's answer.
    pub heard_counts: bool,
    progress: (u64, u64),
}

/// What a publisher is to be.
#[derive(Clone, Debug)]
pub struct Publishing {
    pub topic: String,
    pub qos: u8,
    pub size: usize,
    pub window: u64,
    pub limit: u64,
}

impl Fleet {
    /// # Errors
    /// As the system says.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(4_096),
            links: Vec::new(),
            buffer: vec![0; READ_LEN],
            begin: Instant::now(),
            sum: Sum::new(),
            publishers: Vec::new(),
            fans: Vec::new(),
            hungry: Vec::new(),
            heard_counts: true,
            progress: (0, 0),
        })
    }

    pub fn now(&self) -> u64 {
        nanos(self.begin.elapsed())
    }

    /// A link that hears the publishers in `hears`, which may come later.
    ///
    /// # Errors
    /// When the server doesn't let it in.
    pub fn subscribe(&mut self, ask: &Ask, hears: std::ops::Range<u32>) -> anyhow::Result<usize> {
        let mut link = Link::open(ask)?;
        for at in hears.clone() {
            let at = at as usize;
            if self.fans.len() <= at {
                self.fans.resize(at + 1, 0);
            }
            self.fans[at] += 1;
        }
        link.subscriber = Some(Subscriber::new(hears));
        self.add(link)
    }

    /// A link that publishes, after all that hear it have come.
    ///
    /// # Errors
    /// When the server doesn't let it in.
    pub fn publish(&mut self, ask: &Ask, publishing: &Publishing) -> anyhow::Result<usize> {
        let mut link = Link::open(ask)?;
        let at = self.publishers.len();
        let template = Template::new(ask.version, &publishing.topic, publishing.qos, publishing.size);
        let window = publishing.window.min(u64::from(link.receive_max));
        let mut publisher = Publisher::new(u32::try_from(at)?, template, publishing.qos, window);
        publisher.limit = publishing.limit;
        if self.fans.len() <= at {
            self.fans.resize(at + 1, 0);
        }
        publisher.asks_by_ping = publishing.qos == 0 && self.fans[at] == 0;
        link.publisher = Some(publisher);
        self.sum.accounted.resize(at + 1, 0);
        let place = self.add(link)?;
        self.publishers.push(place);
        Ok(place)
    }

    fn add(&mut self, mut link: Link) -> anyhow::Result<usize> {
        let place = self.links.len();
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut link.stream, Token(place), both)?;
        link.hear_unread(self.now(), &mut self.sum)?;
        self.links.push(link);
        // What is to be answered of it, and what else has come.
        self.hungry.push(place);
        Ok(place)
    }

    /// What each publisher has sent.
    pub fn sent(&self) -> Vec<u64> {
        self.publishers.iter().filter_map(|at| Some(self.links[*at].publisher.as_ref()?.sent)).collect()
    }

    /// Offers for so long, at a rate over all publishers or as there is room; gives how many were due and never sent.
    ///
    /// # Errors
    /// When a connection breaks.
    pub fn run(&mut self, duration: Duration, rate: Option<f64>) -> anyhow::Result<u64> {
        let begin = self.now();
        let end = begin.saturating_add(nanos(duration));
        self.begin_anew();
        while self.now() < end {
            match rate {
                None => self.offer_room()?,
                Some(rate) => self.offer_due(begin, rate)?,
            }
            self.turn(if rate.is_some() { Duration::ZERO } else { Duration::from_millis(20) })?;
        }
        Ok(rate.map_or(0, |rate| self.unsent(begin, end, rate)))
    }

    /// Offers as there is room until `is_done`; it is asked once a turn.
    ///
    /// # Errors
    /// When a connection breaks.
    pub fn run_until(&mut self, mut is_done: impl FnMut(&Self) -> bool) -> anyhow::Result<()> {
        self.begin_anew();
        while !is_done(self) {
            self.offer_room()?;
            self.turn(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Waits, without offering, until all is answered and heard; gives how many deliveries never came.
    ///
    /// # Errors
    /// When a connection breaks.
    pub fn settle(&mut self, time_max: Duration) -> anyhow::Result<u64> {
        let end = self.now().saturating_add(nanos(time_max));
        while !self.is_settled() && self.now() < end {
            self.turn(Duration::from_millis(20))?;
        }
        Ok(self.missing())
    }

    fn is_settled(&self) -> bool {
        let all_answered = self.publishers.iter().filter_map(|at| self.links[*at].publisher.as_ref());
        let mut all_answered = all_answered.filter(|one| one.qos > 0 || one.asks_by_ping);
        all_answered.all(|one| one.answered == one.sent) && self.missing() == 0
    }

    /// Deliveries that may still come.
    pub fn missing(&self) -> u64 {
        let sent = self.sent();
        self.links.iter().filter_map(|link| Some(link.subscriber.as_ref()?.missing(&sent))).sum()
    }

    fn begin_anew(&mut self) {
        for at in &self.publishers {
            if let Some(publisher) = &mut self.links[*at].publisher {
                publisher.taken = 0;
            }
        }
        self.progress = (self.sum.progress(), self.now());
    }

    /// How many more publications of this one may be under way.
    fn room(&self, at: usize) -> u64 {
        let link = &self.links[self.publishers[at]];
        let Some(publisher) = &link.publisher else { return 0 };
        let mut room = publisher.room().min(link.staging_room());
        if self.heard_counts && self.fans[at] > 0 {
            let heard = self.sum.accounted[at] / self.fans[at];
            room = room.min(publisher.window.saturating_sub(publisher.sent.saturating_sub(heard)));
        }
        room
    }

    fn offer_room(&mut self) -> anyhow::Result<()> {
        let now = self.now();
        for at in 0..self.publishers.len() {
            let room = self.room(at);
            // A few at a time cost a system call each; unless nothing else is under way, they wait for company.
            let link = &mut self.links[self.publishers[at]];
            let Some(publisher) = &link.publisher else { continue };
            let worth_it = (publisher.window / 4).min(link.staging_room() / 2).max(1);
            if room >= worth_it || (room > 0 && room == publisher.limit - publisher.sent) {
                link.publish(room, |_| now);
                link.flush().context("a publisher's connection fails")?;
            }
        }
        Ok(())
    }

    fn interval(&self, rate: f64) -> f64 {
        self.publishers.len() as f64 * 1e9 / rate
    }

    /// When the n-th publication of this stretch is due. The publishers take turns.
    fn due_at(&self, at: usize, number: u64, begin: u64, interval: f64) -> f64 {
        begin as f64 + interval * (at as f64 / self.publishers.len() as f64 + number as f64)
    }

    fn due(&self, at: usize, now: u64, begin: u64, rate: f64) -> u64 {
        let interval = self.interval(rate);
        let elapsed = now as f64 - self.due_at(at, 0, begin, interval);
        if elapsed < 0.0 { 0 } else { (elapsed / interval) as u64 + 1 }
    }

    fn offer_due(&mut self, begin: u64, rate: f64) -> anyhow::Result<()> {
        let now = self.now();
        let interval = self.interval(rate);
        for at in 0..self.publishers.len() {
            let taken = self.links[self.publishers[at]].publisher.as_ref().map_or(0, |one| one.taken);
            let count = self.due(at, now, begin, rate).saturating_sub(taken).min(self.room(at));
            if count > 0 {
                let first = self.due_at(at, taken, begin, interval);
                let link = &mut self.links[self.publishers[at]];
                link.publish(count, |i| (first + i as f64 * interval) as u64);
                link.flush().context("a publisher's connection fails")?;
            }
        }
        Ok(())
    }

    fn unsent(&self, begin: u64, end: u64, rate: f64) -> u64 {
        let taken = |at: usize| self.links[self.publishers[at]].publisher.as_ref().map_or(0, |one| one.taken);
        (0..self.publishers.len()).map(|at| self.due(at, end - 1, begin, rate).saturating_sub(taken(at))).sum()
    }

    /// Waits for sockets, reads and writes.
    fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        let wait = if self.hungry.is_empty() { wait } else { Duration::ZERO };
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        if self.events.is_empty() && self.hungry.is_empty() && wait.is_zero() {
            std::thread::sleep(RATE_STEP);
        }
        let now = self.now();
        let mut ready = std::mem::take(&mut self.hungry);
        ready.extend(self.events.iter().map(|event| event.token().0));
        for place in ready {
            let link = &mut self.links[place];
            if link.is_over {
                continue;
            }
            let mut is_done = true;
            if link.is_reading {
                is_done = link.read(&mut self.buffer, now, &mut self.sum).context("a connection breaks")?;
            }
            link.flush().context("a connection breaks")?;
            if !is_done {
                self.hungry.push(place);
            }
        }
        self.look_at_progress(now)
    }

    /// Whoever dropped what it had no room for doesn't say so: after a while without any progress the load goes on.
    fn look_at_progress(&mut self, now: u64) -> anyhow::Result<()> {
        if self.sum.progress() != self.progress.0 {
            self.progress = (self.sum.progress(), now);
            return Ok(());
        }
        let silent = now - self.progress.1;
        if silent > nanos(LOST_AFTER) && self.heard_counts {
            for (at, place) in self.publishers.iter().enumerate() {
                let sent = self.links[*place].publisher.as_ref().map_or(0, |one| one.sent);
                self.sum.accounted[at] = self.sum.accounted[at].max(sent * self.fans[at]);
            }
        }
        let waits = self.publishers.iter().filter_map(|at| self.links[*at].publisher.as_ref());
        let waits = waits.filter(|one| one.qos > 0 || one.asks_by_ping).any(|one| one.answered < one.sent);
        if silent > nanos(SILENCE_MAX) && waits {
            bail!("the server has answered nothing for {} s", SILENCE_MAX.as_secs());
        }
        Ok(())
    }

    /// Lets a link that stalled read again.
    pub fn resume(&mut self, place: usize) {
        self.links[place].is_reading = true;
        self.hungry.push(place);
    }
}

/// A client of this load.
pub fn ask(addr: std::net::SocketAddr, version: Version, client: String) -> Ask {
    Ask { addr, version, client, is_clean: true, filter: None }
}
