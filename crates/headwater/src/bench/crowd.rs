//! Watchers by the thousand on a few threads, and what they were told.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::{Events, Interest, Poll, Token};

use super::load::nanos;
use super::tally::Latencies;
use super::watcher::{self, Told, Watcher, Wish};

/// What is read at once, in bytes.
const READ_LEN: usize = 256 * 1_024;
/// Reads of one watcher before the others get their turn: one that catches up must not hold up who is timed.
const READS_IN_TURN: usize = 4;
/// Parts of a run whose latencies are told apart.
pub const PARTS: usize = 4;

/// Who watches.
#[derive(Clone, Debug)]
pub struct CrowdSettings {
    pub wish: Wish,
    pub watchers: usize,
    pub threads: usize,
    /// The first so many can be told to stop reading.
    pub can_stall: usize,
}

/// What the crowd's threads and its owner share.
#[derive(Debug)]
pub struct Shared {
    pub begin: Instant,
    pub open: AtomicUsize,
    /// Events that came, over all watchers.
    pub deliveries: AtomicU64,
    /// Watchers whose connection has ended.
    pub over: AtomicUsize,
    /// Those who can stall do so.
    pub stalling: AtomicBool,
    /// Which part of the run it is.
    pub part: AtomicUsize,
    stop: AtomicBool,
    failed: Mutex<Option<anyhow::Error>>,
}

impl Shared {
    pub fn new() -> Self {
        Self {
            begin: Instant::now(),
            open: AtomicUsize::new(0),
            deliveries: AtomicU64::new(0),
            over: AtomicUsize::new(0),
            stalling: AtomicBool::new(false),
            part: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            failed: Mutex::new(None),
        }
    }

    pub fn now(&self) -> u64 {
        nanos(self.begin.elapsed())
    }

    /// An error of one of the threads, once.
    ///
    /// # Errors
    /// When there is one.
    pub fn check(&self) -> anyhow::Result<()> {
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn fail(&self, error: anyhow::Error) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// When events came to all.
#[derive(Clone)]
pub struct Arrivals {
    /// Time from due to each watcher that doesn't stall, by part of the run.
    pub each: Vec<Latencies>,
    /// By number: how many have it, when the last of them got it, when it was due, in which part.
    pub events: Vec<Arrival>,
    /// Of those that can stall: events, gap frames, numbers that never came.
    pub stalled: Stalled,
    /// The same of the others.
    pub others: Stalled,
}

/// How an event came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    pub watchers: usize,
    pub last: u64,
    pub since: u64,
    pub part: usize,
}

/// What a part of the crowd got.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stalled {
    pub events: u64,
    pub gaps: u64,
    pub lost: u64,
}

impl Arrivals {
    fn new() -> Self {
        Self {
            each: vec![Latencies::new(); PARTS],
            events: Vec::new(),
            stalled: Stalled::default(),
            others: Stalled::default(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.each.iter_mut().zip(&other.each).for_each(|(sum, each)| sum.add(each));
        if self.events.len() < other.events.len() {
            self.events.resize(other.events.len(), Arrival::default());
        }
        for (sum, event) in self.events.iter_mut().zip(&other.events).filter(|(_, event)| event.watchers > 0) {
            sum.watchers += event.watchers;
            sum.last = sum.last.max(event.last);
            (sum.since, sum.part) = (event.since, event.part);
        }
        for (sum, part) in [(&mut self.stalled, &other.stalled), (&mut self.others, &other.others)] {
            sum.events += part.events;
            sum.gaps += part.gaps;
            sum.lost += part.lost;
        }
    }

    /// Time from due to the last of `watchers`, of the events of one part that came to all.
    pub fn last(&self, part: usize, watchers: usize) -> Latencies {
        let mut latencies = Latencies::new();
        for event in self.events.iter().filter(|event| event.part == part && event.watchers >= watchers) {
            latencies.record(event.last.saturating_sub(event.since));
        }
        latencies
    }
}

/// Opens the crowd, runs `work` while it watches, and tells what came.
///
/// # Errors
/// When a watcher can't be opened, or `work` fails.
pub fn watch<T>(
    settings: &CrowdSettings,
    shared: &Shared,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Arrivals)> {
    let threads = settings.threads.clamp(1, settings.watchers.max(1));
    thread::scope(|scope| {
        let parts: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || part(settings, shared, thread, threads))).collect();
        let done = wait_until_open(settings, shared).and_then(|()| work());
        shared.stop.store(true, Ordering::Relaxed);
        let mut arrivals = Arrivals::new();
        for part in parts {
            match part.join() {
                Ok(Ok(part)) => arrivals.add(&part),
                Ok(Err(error)) => shared.fail(error),
                Err(_) => bail!("a thread of watchers panicked"),
            }
        }
        shared.check()?;
        Ok((done?, arrivals))
    })
}

fn wait_until_open(settings: &CrowdSettings, shared: &Shared) -> anyhow::Result<()> {
    while shared.open.load(Ordering::Relaxed) < settings.watchers {
        thread::sleep(Duration::from_millis(5));
        shared.check()?;
    }
    Ok(())
}

fn part(settings: &CrowdSettings, shared: &Shared, thread: usize, threads: usize) -> anyhow::Result<Arrivals> {
    let mut part =
        Part { poll: Poll::new()?, watchers: Vec::new(), buffer: vec![0; READ_LEN], arrivals: Arrivals::new() };
    for at in (thread..settings.watchers).step_by(threads) {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        if let Err(error) = part.open(at, settings) {
            shared.fail(error);
            break;
        }
        shared.open.fetch_add(1, Ordering::Relaxed);
    }
    part.run(shared).context("a watcher fails")?;
    Ok(part.finish())
}

/// One thread's share of the crowd.
struct Part {
    poll: Poll,
    watchers: Vec<(Watcher, bool)>,
    buffer: Vec<u8>,
    arrivals: Arrivals,
}

impl Part {
    fn open(&mut self, at: usize, settings: &CrowdSettings) -> anyhow::Result<()> {
        let (stream, read) = watcher::open(at, &settings.wish)?;
        let mut watcher = Watcher::new(stream, settings.wish.protocol, read);
        let token = Token(self.watchers.len());
        self.poll.registry().register(&mut watcher.stream, token, Interest::READABLE)?;
        self.watchers.push((watcher, at < settings.can_stall));
        Ok(())
    }

    fn run(&mut self, shared: &Shared) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(4_096);
        let mut was_stalling = false;
        // Watchers that had more to read than one turn allows.
        let mut hungry: Vec<usize> = Vec::new();
        while !shared.stop.load(Ordering::Relaxed) {
            let wait = if hungry.is_empty() { Duration::from_millis(20) } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            let stalling = shared.stalling.load(Ordering::Relaxed);
            let mut ready = std::mem::take(&mut hungry);
            ready.extend(events.iter().map(|event| event.token().0));
            if was_stalling && !stalling {
                // What came meanwhile was told by events that nobody looked at.
                ready.extend((0..self.watchers.len()).filter(|&at| self.watchers[at].1));
            }
            was_stalling = stalling;
            let before = self.arrivals.stalled.events + self.arrivals.others.events;
            for at in ready {
                let stalls = stalling && self.watchers[at].1;
                if !stalls && !self.read(at, shared) {
                    hungry.push(at);
                }
            }
            let came = self.arrivals.stalled.events + self.arrivals.others.events - before;
            shared.deliveries.fetch_add(came, Ordering::Relaxed);
        }
        Ok(())
    }

    /// False when there is more to read.
    fn read(&mut self, at: usize, shared: &Shared) -> bool {
        let (watcher, can_stall) = &mut self.watchers[at];
        if watcher.is_over {
            return true;
        }
        let part = shared.part.load(Ordering::Relaxed).min(PARTS - 1);
        let (arrivals, now, can_stall) = (&mut self.arrivals, shared.now(), *can_stall);
        let done = watcher.read(&mut self.buffer, READS_IN_TURN, |told| {
            let Told::Event(mark) = told else { return };
            if can_stall {
                arrivals.stalled.events += 1;
                return;
            }
            arrivals.others.events += 1;
            arrivals.each[part].record(now.saturating_sub(mark.since));
            let number = usize::try_from(mark.number).unwrap_or(usize::MAX).min(EVENTS_MAX - 1);
            if arrivals.events.len() <= number {
                arrivals.events.resize(number + 1, Arrival::default());
            }
            let event = &mut arrivals.events[number];
            event.watchers += 1;
            event.last = event.last.max(now);
            (event.since, event.part) = (mark.since, part);
        });
        // A broken connection is an ended one: the report says how many ended.
        watcher.is_over |= done.is_err();
        if watcher.is_over {
            shared.over.fetch_add(1, Ordering::Relaxed);
        }
        done.unwrap_or(true)
    }

    fn finish(mut self) -> Arrivals {
        for (watcher, can_stall) in &self.watchers {
            let sum = if *can_stall { &mut self.arrivals.stalled } else { &mut self.arrivals.others };
            sum.gaps += watcher.gaps;
            sum.lost += watcher.lost;
        }
        self.arrivals
    }
}

/// Events of one run whose arrival at the last watcher is told; later ones are told together. Bounds the table.
const EVENTS_MAX: usize = 4_000_000;
