//! Fan-out of what just became durable: one task follows the log and fills the rings.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_event::{Batch, BusError, Event, Position, Recorded, Seq, Tail};

use crate::block::{Builder, FrameKind};
use crate::hub::Core;
use crate::index::Index;
use crate::ring::{BLOCK_BYTES, Ring};
use crate::rings::Change;
use crate::slab::Slab;

/// How long live waits after the log could not be read: a person has to look at the disk, so nothing is gained by haste.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Follows the log for all rings. Nobody else writes into a ring or knows the index, so neither needs a lock here.
pub(crate) struct Live {
    core: Arc<Core>,
    index: Index,
    rings: Slab<Wanting>,
    builder: Builder,
    /// The rings that got something in the present batch.
    touched: Vec<u32>,
    /// The most bytes that any ring may have got since the shards were seen to have written all.
    ahead: usize,
    /// The ring to be shrunk next, when all rings together have too much.
    shrink_next: u32,
}

/// What is spread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// What stands in the log.
    Kept,
    /// What is told once and kept nowhere.
    Passing,
}

struct Wanting {
    ring: Arc<Ring>,
    /// Indices of the events of the present batch that it wants.
    events: Vec<u32>,
}

impl Live {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            index: Index::default(),
            rings: Slab::new(),
            builder: Builder::default(),
            touched: Vec::new(),
            ahead: 0,
            shrink_next: 0,
        }
    }

    /// Runs until the engine closes.
    pub(crate) async fn run(mut self) {
        let core = Arc::clone(&self.core);
        let mut tail: Option<Box<dyn Tail>> = None;
        loop {
            // Before the changes: a ring that was made before these came gets them.
            let passing = core.passing.take();
            let changes = core.rings.take_changes();
            if (!changes.is_empty() || core.heeded.is_on()) && tail.is_none() {
                tail = self.follow_from_now();
            }
            let at = tail.as_ref().map_or_else(|| core.gate.head().seq, |tail| tail.position().seq);
            self.apply(changes, at);
            if !passing.is_empty() {
                self.spread_passing(passing, at);
                self.wait_for_shards().await;
            }
            if self.rings.len() == 0 && !core.heeded.is_on() {
                // Nobody watches: the log is not read, and the next watcher begins where it stands then.
                tail = None;
                core.rings.changed().await;
                continue;
            }
            let Some(following) = &mut tail else {
                tokio::time::sleep(RETRY_WAIT).await;
                tail = self.follow_from_now();
                continue;
            };
            let index = &self.index;
            let wanted = |topic: &str| index.wants(topic) || core.heeded.wants(topic);
            let read = tokio::select! {
                read = following.next(&wanted) => Some(read),
                () = core.rings.changed() => None,
                () = core.passing.came() => None,
            };
            match read {
                None => {}
                Some(Ok(batch)) => {
                    self.spread(&batch);
                    core.heeded.tell(&batch).await;
                    self.wait_for_shards().await;
                    // A log that is read from memory never waits, and neither must those who share this thread with it.
                    tokio::task::yield_now().await;
                }
                Some(Err(BusError::Closed)) => return,
                Some(Err(error)) => {
                    tracing::warn!(%error, "live can't read the log");
                    tokio::time::sleep(RETRY_WAIT).await;
                    tail = self.follow_from_now();
                }
            }
        }
    }

    /// Begins at the head. Rings that were filled before have a hole then: their watchers fall back to the log.
    fn follow_from_now(&mut self) -> Option<Box<dyn Tail>> {
        let head = self.core.gate.head();
        match self.core.gate.tail(head) {
            Ok(tail) => {
                self.core.up_to.store(head.seq, Ordering::Release);
                for at in 0..self.rings.end() {
                    if let Some(wanting) = self.rings.get(at) {
                        self.begin(&wanting.ring, head.seq);
                    }
                }
                Some(tail)
            }
            Err(error) => {
                tracing::warn!(%error, "live can't follow the log");
                None
            }
        }
    }

    fn begin(&self, ring: &Arc<Ring>, floor: Seq) {
        let freed = ring.begin(floor);
        self.core.metrics.ring_bytes.fetch_sub(freed as u64, Ordering::Relaxed);
        self.core.call(ring);
    }

    /// Takes in new rings and lets go of dropped ones. New ones are complete from `at` on.
    fn apply(&mut self, changes: Vec<Change>, at: Seq) {
        for change in changes {
            match change {
                Change::Made(ring) => {
                    self.begin(&ring, at);
                    let filter = ring.filter().clone();
                    let slot = self.rings.insert(Wanting { ring, events: Vec::new() });
                    self.index.insert(&filter, slot);
                }
                Change::Dropped(ring) => self.forget(&ring),
            }
        }
        self.core.metrics.rings.store(self.rings.len() as u64, Ordering::Relaxed);
    }

    fn forget(&mut self, ring: &Arc<Ring>) {
        // Among the few that share a filter, the one is found by what it is.
        let is_it = |slot: &&u32| self.rings.get(**slot).is_some_and(|wanting| Arc::ptr_eq(&wanting.ring, ring));
        let Some(slot) = self.index.rings_of(ring.filter()).iter().find(is_it).copied() else { return };
        self.index.remove(ring.filter(), slot);
        self.rings.remove(slot);
        let freed = ring.begin(0);
        self.core.metrics.ring_bytes.fetch_sub(freed as u64, Ordering::Relaxed);
    }

    /// Encodes a batch once for each ring that wants of it, then calls the shards.
    fn spread(&mut self, batch: &Batch) {
        self.spread_as(batch, Kind::Kept);
    }

    fn spread_as(&mut self, batch: &Batch, kind: Kind) {
        self.sort(batch);
        let mut touched = std::mem::take(&mut self.touched);
        let mut most = 0;
        for slot in &touched {
            most = most.max(self.fill(*slot, batch, kind));
        }
        self.ahead += most;
        self.keep_in_budget();
        // Watchers that join ask how far live is; only when the rings have everything up to there, it may say so.
        self.core.up_to.store(batch.up_to, Ordering::Release);
        for slot in touched.drain(..) {
            if let Some(wanting) = self.rings.get(slot) {
                self.core.call(&wanting.ring);
            }
        }
        self.touched = touched;
    }

    /// The same for what is kept nowhere; it stands in the rings behind the last event that live has read.
    fn spread_passing(&mut self, events: VecDeque<Event>, at: Seq) {
        let epoch = self.core.gate.head().epoch;
        let no_position = Position::new(epoch, 0);
        let events = events.into_iter().map(|event| Recorded { position: no_position, event, sticky: false }).collect();
        let batch = Batch { events, up_to: at };
        self.spread_as(&batch, Kind::Passing);
    }

    /// Notes at each ring which events of the batch it wants.
    fn sort(&mut self, batch: &Batch) {
        let mut found = Vec::new();
        let mut found_for = None;
        for (at, recorded) in batch.events.iter().enumerate() {
            let topic = &recorded.event.topic;
            // Events of one topic come in runs.
            if found_for != Some(topic) {
                found.clear();
                self.index.find(topic.as_str(), &mut found);
                found_for = Some(topic);
            }
            for slot in &found {
                let Some(wanting) = self.rings.get_mut(*slot) else { continue };
                if wanting.events.is_empty() {
                    self.touched.push(*slot);
                }
                wanting.events.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
    }

    /// Fills one ring; gives how many bytes it got.
    fn fill(&mut self, slot: u32, batch: &Batch, kind: Kind) -> usize {
        let Some(wanting) = self.rings.get_mut(slot) else { return 0 };
        let ring = &wanting.ring;
        // Several blocks a ring, whatever its budget: the newest always stays, so it must not be most of it.
        let block_bytes = BLOCK_BYTES.min(self.core.fanout.ring_bytes_max / 4);
        let mut filled = 0;
        let mut push = |builder: &mut Builder| {
            let Some(block) = builder.take_at(|| self.core.clock.now()) else { return };
            filled += block.cost();
            let (added, freed) = ring.push(block, self.core.fanout.ring_bytes_max);
            self.core.metrics.ring_bytes.fetch_add(added as u64, Ordering::Relaxed);
            self.core.metrics.ring_bytes.fetch_sub(freed as u64, Ordering::Relaxed);
        };
        for at in wanting.events.drain(..) {
            let Some(recorded) = batch.events.get(at as usize) else { continue };
            let encoder = ring.encoder();
            match kind {
                Kind::Kept => {
                    let kind = FrameKind::counted(encoder.is_acknowledged(recorded));
                    let seq = recorded.position.seq;
                    self.builder.frame_of(encoder.ages(recorded), seq, kind, |out| {
                        encoder.event(ring.filter(), recorded, out);
                    });
                }
                Kind::Passing => {
                    self.builder
                        .frame(batch.up_to, FrameKind::Passing, |out| encoder.passing(ring.filter(), recorded, out));
                }
            }
            if self.builder.len() >= block_bytes {
                push(&mut self.builder);
            }
        }
        push(&mut self.builder);
        // A burst must not leave its list with every ring for ever.
        wanting.events.shrink_to(64);
        filled
    }

    /// Lets the shards finish when half a ring's budget was filled since they had. What live hasn't read yet waits in the
    /// log for nothing; but if it ran ahead, watchers that read all they get would fall out of their ring, and each would
    /// have to read the log for itself. Shards never wait for a socket, so this ends.
    async fn wait_for_shards(&mut self) {
        if self.ahead < self.core.fanout.ring_bytes_max / 2 {
            return;
        }
        while self.core.calls.load(Ordering::Acquire) > 0 {
            self.core.all_written.notified().await;
        }
        self.ahead = 0;
    }

    /// When all rings together have too much, each in its turn lets go of its older half, down to seven eighths of what
    /// is allowed, so that this is rare.
    fn keep_in_budget(&mut self) {
        let max = self.core.fanout.rings_bytes_max as u64;
        let bytes = &self.core.metrics.ring_bytes;
        if bytes.load(Ordering::Relaxed) <= max {
            return;
        }
        let mut idle_turns = 0;
        while bytes.load(Ordering::Relaxed) > max / 8 * 7 && idle_turns <= self.rings.end() {
            self.shrink_next = if self.shrink_next + 1 >= self.rings.end() { 0 } else { self.shrink_next + 1 };
            let freed = self.rings.get(self.shrink_next).map_or(0, |wanting| wanting.ring.halve());
            bytes.fetch_sub(freed as u64, Ordering::Relaxed);
            idle_turns = if freed == 0 { idle_turns + 1 } else { 0 };
        }
    }
}
