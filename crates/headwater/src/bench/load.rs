//! A load: connections on a few threads that offer events and count the answers, at a rate or as fast as answers come.
//!
//! At a rate, an event's latency counts from the moment when it was due, not from when the generator came to send it:
//! a server that stalls is charged for all who would have come meanwhile (no coordinated omission).

use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::{Events, Interest, Poll, Token};

use super::dialect::{Dialect, Reply, Verdict};
use super::sender::Sender;
use super::tally::{SLICE, Slice, Tally, add_slices};

/// What is read at once. Answers are small; this is thousands of them.
const READ_LEN: usize = 256 * 1_024;
/// How long answers are waited for after the last event.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(15);
/// How long a server may be silent while events are under way. The worst peer took eight seconds in an overload.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long a thread sleeps between two looks at the clock, at a rate. The poll itself knows milliseconds only.
const RATE_STEP: Duration = Duration::from_micros(100);

/// A stretch of a load.
#[derive(Clone, Debug)]
pub struct Phase {
    pub duration: Duration,
    /// Events per second over all connections; `None`: as fast as answers come.
    pub rate: Option<f64>,
}

/// What to offer.
#[derive(Clone, Debug)]
pub struct Load {
    pub addr: SocketAddr,
    pub connections: usize,
    pub in_flight: usize,
    pub size: usize,
    pub threads: usize,
    pub phases: Vec<Phase>,
    /// Ends the load after so many events.
    pub count: Option<u64>,
    /// What takes longer counts as slow on the timeline.
    pub slow: Duration,
}

/// What a load came to.
pub struct Outcome {
    /// One for each phase.
    pub phases: Vec<Tally>,
    /// All phases, slice by slice.
    pub timeline: Vec<Slice>,
    /// From the first event to the last answer.
    pub took: Duration,
}

/// What a load shows while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    pub accepted: AtomicU64,
    pub refused: AtomicU64,
    /// The load has begun: every connection is open.
    pub begun: AtomicBool,
    /// Which phase it is in.
    pub phase: AtomicU64,
}

/// Runs the load to its end.
///
/// # Errors
/// When a connection can't be opened or breaks.
pub fn run(
    load: &Load,
    progress: &Progress,
    mut dialect: impl FnMut(usize) -> Box<dyn Dialect>,
) -> anyhow::Result<Outcome> {
    let threads = load.threads.clamp(1, load.connections.max(1));
    let mut shares: Vec<Vec<Box<dyn Dialect>>> = (0..threads).map(|_| Vec::new()).collect();
    (0..load.connections).for_each(|i| shares[i % threads].push(dialect(i)));
    let open = Barrier::new(threads);
    let begin = std::sync::OnceLock::new();
    let failed = AtomicBool::new(false);
    let results = thread::scope(|scope| {
        let mut running = Vec::new();
        for (at, share) in shares.into_iter().enumerate() {
            let (open, begin, failed) = (&open, &begin, &failed);
            running.push(scope.spawn(move || {
                let worker = Worker::open(load, share, progress, failed);
                failed.fetch_or(worker.is_err(), Ordering::Relaxed);
                open.wait();
                let mut worker = worker?;
                if failed.load(Ordering::Relaxed) {
                    bail!("another thread of the load has failed");
                }
                progress.begun.store(true, Ordering::Relaxed);
                let done = worker.run(*begin.get_or_init(Instant::now), at == 0);
                failed.fetch_or(done.is_err(), Ordering::Relaxed);
                done.map(|()| worker)
            }));
        }
        running.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    sum(load, results.into_iter().map(|result| result.unwrap_or_else(|_| bail!("a thread of the load panicked"))))
}

fn sum<'a>(load: &Load, results: impl Iterator<Item = anyhow::Result<Worker<'a>>>) -> anyhow::Result<Outcome> {
    let mut outcome =
        Outcome { phases: vec![Tally::new(); load.phases.len()], timeline: Vec::new(), took: Duration::ZERO };
    for worker in results {
        let worker = worker?;
        for (sum, tally) in outcome.phases.iter_mut().zip(&worker.tallies) {
            sum.add(tally);
        }
        add_slices(&mut outcome.timeline, &worker.timeline);
        outcome.took = outcome.took.max(Duration::from_nanos(worker.last_answer));
    }
    Ok(outcome)
}

/// One thread of a load.
struct Worker<'a> {
    load: &'a Load,
    progress: &'a Progress,
    failed: &'a AtomicBool,
    poll: Poll,
    senders: Vec<Sender>,
    buffer: Vec<u8>,
    replies: Vec<Reply>,
    /// When each phase begins and the last ends, in ns since the load began.
    bounds: Vec<u64>,
    phase: usize,
    tallies: Vec<Tally>,
    timeline: Vec<Slice>,
    /// How many events this thread may still send.
    left: u64,
    last_answer: u64,
}

impl<'a> Worker<'a> {
    fn open(
        load: &'a Load,
        dialects: Vec<Box<dyn Dialect>>,
        progress: &'a Progress,
        failed: &'a AtomicBool,
    ) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let payload: Vec<u8> = b"headwater bench ".iter().copied().cycle().take(load.size).collect();
        let share = dialects.len() as u64;
        let mut senders = Vec::with_capacity(dialects.len());
        for (token, dialect) in dialects.into_iter().enumerate() {
            let mut sender = Sender::open(load.addr, dialect, &payload, load.in_flight)?;
            poll.registry().register(&mut sender.stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
            senders.push(sender);
        }
        let mut bounds = vec![0];
        for phase in &load.phases {
            bounds.push(bounds[bounds.len() - 1] + nanos(phase.duration));
        }
        // The whole count lands on the threads in the proportion of their connections; what doesn't divide is cut off.
        let left = load.count.map_or(u64::MAX, |count| count * share / load.connections as u64);
        Ok(Self {
            load,
            progress,
            failed,
            poll,
            senders,
            buffer: vec![0; READ_LEN],
            replies: Vec::new(),
            bounds,
            phase: 0,
            tallies: vec![Tally::new(); load.phases.len()],
            timeline: Vec::new(),
            left,
            last_answer: 0,
        })
    }

    fn run(&mut self, begin: Instant, tells_phase: bool) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(self.senders.len().max(16));
        let now = || nanos(begin.elapsed());
        loop {
            if self.failed.load(Ordering::Relaxed) {
                bail!("another thread of the load has failed");
            }
            let over = !self.advance(now())?;
            if tells_phase {
                self.progress.phase.store(self.phase as u64, Ordering::Relaxed);
            }
            if over && self.is_drained(now()) {
                self.count_unanswered();
                return Ok(());
            }
            if now() > self.last_answer + nanos(SILENCE_MAX) && self.senders.iter().any(|sender| sender.under_way() > 0)
            {
                bail!("the server has answered nothing for {} s", SILENCE_MAX.as_secs());
            }
            let rate = if over { None } else { self.load.phases[self.phase].rate };
            if !over {
                for at in 0..self.senders.len() {
                    self.offer(at, now())?;
                }
            }
            match rate {
                Some(_) => {
                    self.poll.poll(&mut events, Some(Duration::ZERO)).or_else(if_interrupted)?;
                    if events.is_empty() {
                        thread::sleep(RATE_STEP);
                    }
                }
                None => self.poll.poll(&mut events, Some(Duration::from_millis(20))).or_else(if_interrupted)?,
            }
            for event in &events {
                let Token(at) = event.token();
                if event.is_writable() {
                    self.senders[at].write()?;
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read(at, now())?;
                }
                if !over && rate.is_none() {
                    self.offer(at, now())?;
                }
            }
        }
    }

    /// Moves on to the phase of this moment; false when all are over.
    fn advance(&mut self, now: u64) -> anyhow::Result<bool> {
        while self.phase < self.load.phases.len() && now >= self.bounds[self.phase + 1] {
            self.end_phase()?;
            self.phase += 1;
        }
        Ok(self.phase < self.load.phases.len() && self.left > 0)
    }

    /// At a rate, what was due since the last look is still sent; what has no room is given up and counted.
    fn end_phase(&mut self) -> anyhow::Result<()> {
        for at in 0..self.senders.len() {
            if let Some(interval) = self.interval(self.phase) {
                self.offer(at, u64::MAX)?;
                let due = self.due(at, interval, u64::MAX);
                let unsent = due.saturating_sub(self.senders[at].taken);
                self.tallies[self.phase].unsent += unsent;
                self.tallies[self.phase].offered += unsent;
            }
            self.senders[at].taken = 0;
        }
        Ok(())
    }

    /// Time between two events of one connection in ns; `None` in a closed loop.
    fn interval(&self, phase: usize) -> Option<f64> {
        let rate = self.load.phases.get(phase)?.rate?;
        Some(self.load.connections as f64 * 1e9 / rate)
    }

    /// How many events are due on a connection by now. The connections take turns: each begins a bit after the last. What
    /// would be due at the very end of a phase belongs to the next.
    fn due(&self, at: usize, interval: f64, now: u64) -> u64 {
        let (begin, end) = (self.bounds[self.phase], self.bounds[self.phase + 1]);
        if begin == end {
            return 0;
        }
        let now = now.min(end - 1);
        let elapsed = now.saturating_sub(begin) as f64 - self.offset(at, interval);
        if elapsed < 0.0 { 0 } else { (elapsed / interval) as u64 + 1 }
    }

    fn offset(&self, at: usize, interval: f64) -> f64 {
        interval * at as f64 / self.senders.len() as f64
    }

    fn offer(&mut self, at: usize, now: u64) -> anyhow::Result<()> {
        let room = self.senders[at].room().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(());
        }
        let phase_begin = self.bounds[self.phase];
        let count = match self.interval(self.phase) {
            None => {
                self.senders[at].send(room, |_| now)?;
                room
            }
            Some(interval) => {
                let taken = self.senders[at].taken;
                let due = self.due(at, interval, now).saturating_sub(taken);
                let count = room.min(usize::try_from(due).unwrap_or(usize::MAX));
                if count == 0 {
                    return Ok(());
                }
                let first = phase_begin as f64 + self.offset(at, interval);
                self.senders[at].send(count, |i| (first + (taken + i) as f64 * interval) as u64)?;
                count
            }
        };
        self.tallies[self.phase].offered += count as u64;
        self.left -= count as u64;
        Ok(())
    }

    fn read(&mut self, at: usize, now: u64) -> anyhow::Result<()> {
        let slice_at = usize::try_from(now / nanos(SLICE)).unwrap_or(usize::MAX);
        if self.timeline.len() <= slice_at {
            self.timeline.resize(slice_at + 1, Slice::default());
        }
        let slice = &mut self.timeline[slice_at];
        let (tallies, bounds, slow) = (&mut self.tallies, &self.bounds, nanos(self.load.slow));
        let mut phase = self.phase.min(tallies.len() - 1);
        let (mut accepted, mut refused) = (0, 0);
        self.senders[at].read(&mut self.buffer, &mut self.replies, |verdict, since| {
            while since < bounds[phase] {
                phase -= 1;
            }
            while phase + 1 < tallies.len() && since >= bounds[phase + 1] {
                phase += 1;
            }
            let latency = now.saturating_sub(since);
            if verdict == Verdict::Accepted {
                tallies[phase].latencies.record(latency);
                tallies[phase].accepted += 1;
                slice.slow += u64::from(latency > slow);
                slice.worst_ns = slice.worst_ns.max(latency);
                accepted += 1;
            } else {
                tallies[phase].refusals.record(latency);
                tallies[phase].refused += 1;
                refused += 1;
            }
        })?;
        slice.accepted += accepted;
        slice.refused += refused;
        if accepted + refused > 0 {
            self.last_answer = now;
        }
        self.progress.accepted.fetch_add(accepted, Ordering::Relaxed);
        self.progress.refused.fetch_add(refused, Ordering::Relaxed);
        Ok(())
    }

    fn is_drained(&self, now: u64) -> bool {
        let end = if self.left == 0 { self.last_answer } else { self.bounds[self.bounds.len() - 1] };
        self.senders.iter().all(|sender| sender.under_way() == 0) || now > end + nanos(DRAIN_TIME_MAX)
    }

    fn count_unanswered(&mut self) {
        let left: usize = self.senders.iter().map(Sender::under_way).sum();
        if let Some(last) = self.tallies.last_mut() {
            last.unanswered += left as u64;
        }
    }
}

fn if_interrupted(error: std::io::Error) -> anyhow::Result<()> {
    if error.kind() == std::io::ErrorKind::Interrupted { Ok(()) } else { Err(error).context("the poll fails") }
}

/// Whole nanoseconds; a load is shorter than 584 years.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
