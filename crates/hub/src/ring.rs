//! The latest events of one filter, encoded once in one spelling, and who watches them.
//!
//! A ring is a byte log in memory: offsets count from its beginning and never go back, watchers are places in it, and the
//! oldest blocks leave when their bytes are over the budget. It knows of its watchers only whom to call when it grew.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use headwater_event::{Clock, Filter, Seq};

use crate::block::{Block, FrameKind};
use crate::encode::Encode;
use crate::outlet::Outlet;
use crate::slab::Slab;
use crate::watch::WatchId;
use crate::window::Window;

/// A block ends when it has so many bytes: with a few of them a write fills a socket's buffer.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;

/// How many bytes one write is offered. Sockets take a few hundred KiB at most, and one that is pulled holds this much.
const GATHER_BYTES: usize = 64 << 10;

/// How many blocks one write is offered: beyond that the list of slices costs more than a second write.
const GATHER_BLOCKS: usize = 24;

/// One filter in one spelling.
pub(crate) struct Ring {
    filter: Filter,
    encoder: Arc<dyn Encode>,
    kept: Mutex<Kept>,
    /// Where the bytes end; a copy of `kept.end`, so that a watcher at the end is told without the lock.
    end: AtomicU64,
    /// Whom to call, apart for each shard.
    members: Box<[Members]>,
}

/// What is kept of the byte log.
struct Kept {
    blocks: VecDeque<(u64, Block)>,
    /// The offset of the first byte that is kept.
    start: u64,
    end: u64,
    /// Every wanted event after this one is, or will be, in the ring. `None` until the ring was begun.
    floor: Option<Seq>,
    /// The last event told, or `floor` before the first.
    last: Seq,
    cost: usize,
}

/// The watchers of one shard.
struct Members {
    list: Mutex<Slab<Member>>,
    count: AtomicUsize,
    /// This ring stands in the shard's list of work.
    is_called: AtomicBool,
}

struct Member {
    outlet: Weak<Outlet>,
    id: WatchId,
}

/// Where a watcher that has seen everything up to some event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    At(u64),
    /// The ring no longer, or not yet, has what comes next.
    Behind,
    /// Events that the watcher has seen are still on their way into the ring.
    NotYet,
}

/// What stands in a ring from one place on; kept from watcher to watcher, as most of them stand at the same place.
#[derive(Default)]
pub(crate) struct Gather {
    ring: Option<Arc<Ring>>,
    from: u64,
    /// The ring's end when this was gathered.
    end: u64,
    blocks: Vec<(u64, Block)>,
    pieces: Vec<Bytes>,
    /// Some of it is right for a moment only.
    has_aging: bool,
}

/// How far a write has brought a watcher.
pub(crate) struct Advance {
    /// The next whole frame.
    pub(crate) cursor: u64,
    /// The last event of which the socket has at least a part.
    pub(crate) seen: Option<Seq>,
    /// The rest of the frame that the socket has a part of.
    pub(crate) front: Bytes,
    /// How many frames were ended, or will be by `front`.
    pub(crate) frames: usize,
}

impl Ring {
    pub(crate) fn new(filter: Filter, encoder: Arc<dyn Encode>, shards: usize) -> Self {
        let kept = Kept { blocks: VecDeque::new(), start: 0, end: 0, floor: None, last: 0, cost: 0 };
        let members = (0..shards).map(|_| Members {
            list: Mutex::new(Slab::new()),
            count: AtomicUsize::new(0),
            is_called: AtomicBool::new(false),
        });
        Self { filter, encoder, kept: Mutex::new(kept), end: AtomicU64::new(0), members: members.collect() }
    }

    pub(crate) const fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(crate) fn encoder(&self) -> &dyn Encode {
        &*self.encoder
    }

    /// From here on the ring gets every wanted event after `floor`. What it had before, if anything, is forgotten.
    /// Gives the bytes that it had cost.
    pub(crate) fn begin(&self, floor: Seq) -> usize {
        let mut kept = self.kept();
        let cost = std::mem::take(&mut kept.cost);
        kept.blocks.clear();
        // One beyond every place that a watcher can have, so that all of them know that they are behind.
        kept.end += u64::from(kept.floor.is_some());
        kept.start = kept.end;
        kept.floor = Some(floor);
        kept.last = floor;
        self.end.store(kept.end, Ordering::Release);
        cost
    }

    /// Adds a block and lets the oldest go; gives what was added to the memory held, and what was freed.
    pub(crate) fn push(&self, block: Block, bytes_max: usize) -> (usize, usize) {
        let Some(last) = block.frames().last() else { return (0, 0) };
        let mut kept = self.kept();
        let added = block.cost();
        kept.last = last.seq;
        kept.cost += added;
        let start = kept.end;
        kept.end += block.len() as u64;
        kept.blocks.push_back((start, block));
        let freed = kept.shrink(bytes_max);
        self.end.store(kept.end, Ordering::Release);
        (added, freed)
    }

    /// Lets go of the older half, because all rings together have too much; gives what was freed.
    pub(crate) fn halve(&self) -> usize {
        let mut kept = self.kept();
        let half = kept.cost / 2;
        kept.shrink(half)
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// The end, and the last event before it.
    pub(crate) fn now(&self) -> (u64, Seq) {
        let kept = self.kept();
        (kept.end, kept.last)
    }

    /// Where one goes on who has seen everything up to `seen`; `up_to` is how far live has come. What is kept nowhere and has
    /// come since the ring ended at `entered` is still to be told, unless an event that has been seen came after it.
    pub(crate) fn place_after(&self, seen: Seq, up_to: Seq, entered: u64) -> Placed {
        let kept = self.kept();
        match kept.floor {
            None => return Placed::NotYet,
            Some(floor) if floor > seen => return Placed::Behind,
            Some(_) if kept.last <= seen && up_to < seen => return Placed::NotYet,
            Some(_) => {}
        }
        let at = kept.blocks.partition_point(|(_, block)| block.frames().last().is_none_or(|last| last.seq <= seen));
        let (mut place, inside) = match kept.blocks.get(at) {
            None => (kept.end, 0),
            Some((start, block)) => {
                let inside = block.frames().partition_point(|frame| frame.seq <= seen);
                (start + block.start_of(inside) as u64, inside)
            }
        };
        for (nth, (start, block)) in kept.blocks.iter().enumerate().take(at + 1).rev() {
            let before = if nth == at { inside } else { block.frames().len() };
            for index in (0..before).rev() {
                let begins = start + block.start_of(index) as u64;
                if block.frames()[index].kind != FrameKind::Passing || begins < entered {
                    return Placed::At(place);
                }
                place = begins;
            }
        }
        Placed::At(place)
    }

    /// Collects what stands from `cursor` on, unless that is what was collected last. `false` when it's gone.
    pub(crate) fn gather(self: &Arc<Self>, cursor: u64, gather: &mut Gather) -> bool {
        let is_same = gather.ring.as_ref().is_some_and(|ring| Arc::ptr_eq(ring, self));
        if is_same && gather.from == cursor && gather.end == self.end() {
            return true;
        }
        gather.blocks.clear();
        gather.pieces.clear();
        gather.has_aging = false;
        let kept = self.kept();
        if cursor < kept.start {
            gather.ring = None;
            return false;
        }
        if !is_same {
            gather.ring = Some(Arc::clone(self));
        }
        gather.from = cursor;
        gather.end = kept.end;
        let first = kept.blocks.partition_point(|(start, block)| start + block.len() as u64 <= cursor);
        let mut bytes = 0;
        for (start, block) in kept.blocks.iter().skip(first).take(GATHER_BLOCKS) {
            let inside = usize::try_from(cursor.saturating_sub(*start)).unwrap_or(block.len());
            let piece = block.bytes().slice(inside..);
            bytes += piece.len();
            gather.has_aging |= block.has_aging();
            gather.pieces.push(piece);
            gather.blocks.push((*start, block.clone()));
            if bytes >= GATHER_BYTES {
                break;
            }
        }
        true
    }

    /// A watcher wants to be called when the ring grows; gives its place among those of its shard.
    pub(crate) fn enter(&self, shard: usize, outlet: Weak<Outlet>, id: WatchId) -> u32 {
        let members = &self.members[shard];
        let at = members.lock().insert(Member { outlet, id });
        members.count.fetch_add(1, Ordering::AcqRel);
        at
    }

    pub(crate) fn leave(&self, shard: usize, at: u32) {
        let members = &self.members[shard];
        let left = members.lock().remove(at);
        if left.is_some() {
            members.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether this shard has watchers here and doesn't know yet that it's called.
    pub(crate) fn call(&self, shard: usize) -> bool {
        let members = &self.members[shard];
        members.count.load(Ordering::Acquire) > 0 && !members.is_called.swap(true, Ordering::AcqRel)
    }

    /// The shard begins its work: from here on it must be called again.
    pub(crate) fn answer(&self, shard: usize) {
        self.members[shard].is_called.store(false, Ordering::Release);
    }

    /// Up to `max` watchers of a shard from place `at` on; gives the place to go on from, `None` at the end.
    pub(crate) fn some_members(
        &self,
        shard: usize,
        at: u32,
        max: usize,
        some: &mut Vec<(Arc<Outlet>, WatchId)>,
    ) -> Option<u32> {
        let list = self.members[shard].lock();
        for place in at..list.end() {
            if some.len() == max {
                return Some(place);
            }
            if let Some(member) = list.get(place)
                && let Some(outlet) = member.outlet.upgrade()
            {
                some.push((outlet, member.id));
            }
        }
        None
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn lock(&self) -> MutexGuard<'_, Slab<Member>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Lets the oldest blocks go until the budget holds; the newest stays whatever it costs, or nobody would get it.
    fn shrink(&mut self, bytes_max: usize) -> usize {
        let before = self.cost;
        while self.cost > bytes_max
            && self.blocks.len() > 1
            && let Some((start, block)) = self.blocks.pop_front()
        {
            self.cost -= block.cost();
            self.start = start + block.len() as u64;
            self.floor = block.frames().last().map(|frame| frame.seq).or(self.floor);
        }
        before - self.cost
    }
}

impl Gather {
    pub(crate) fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// How many bytes of the pieces are as right as when they were encoded, and the last event whose frame isn't any more.
    pub(crate) fn fresh(&self, clock: &Clock) -> (usize, Option<Seq>) {
        if !self.has_aging {
            return (usize::MAX, None);
        }
        let (mut fresh, mut aged) = (usize::MAX, None);
        for (start, block) in self.blocks.iter().filter(|(_, block)| block.has_aged(clock)) {
            let inside = usize::try_from(self.from.saturating_sub(*start)).unwrap_or(usize::MAX);
            for index in block.frames_within(inside)..block.frames().len() {
                let frame = block.frames()[index];
                if frame.ages {
                    let begins = (start + block.start_of(index) as u64).saturating_sub(self.from);
                    fresh = fresh.min(usize::try_from(begins).unwrap_or(usize::MAX));
                    aged = Some(frame.seq);
                }
            }
        }
        (fresh, aged)
    }

    /// How many bytes of the pieces the window lets through.
    pub(crate) fn let_through(&self, window: &Window) -> usize {
        let mut passage = window.passage();
        let mut end = self.from;
        for (start, block) in &self.blocks {
            let inside = usize::try_from(self.from.saturating_sub(*start)).unwrap_or(usize::MAX);
            for frame in &block.frames()[block.frames_within(inside)..] {
                if frame.kind == FrameKind::Counted && !passage.lets(frame.seq) {
                    return usize::try_from(end - self.from).unwrap_or(usize::MAX);
                }
                end = start + u64::from(frame.end);
            }
        }
        usize::try_from(end - self.from).unwrap_or(usize::MAX)
    }

    /// What it means that so many bytes of the pieces were taken; `sent` is told of each event among them that the client
    /// has to acknowledge.
    pub(crate) fn advance(&self, taken: usize, mut sent: impl FnMut(Seq)) -> Advance {
        let at = self.from + taken as u64;
        let mut advance = Advance { cursor: self.from, seen: None, front: Bytes::new(), frames: 0 };
        for (start, block) in &self.blocks {
            let end = start + block.len() as u64;
            if at <= *start {
                break;
            }
            let inside = |offset: u64| usize::try_from(offset.saturating_sub(*start)).unwrap_or(usize::MAX);
            let before = block.frames_within(inside(self.from));
            let mut within = block.frames_within(inside(at));
            advance.cursor = at.min(end);
            if let Some((index, rest)) = block.cut(inside(at)) {
                within = index + 1;
                advance.cursor = at + rest.len() as u64;
                advance.front = rest;
            }
            block.frames()[before..within]
                .iter()
                .filter(|frame| frame.kind == FrameKind::Counted)
                .for_each(|frame| sent(frame.seq));
            if within > before {
                advance.frames += within - before;
                advance.seen = Some(block.frames()[within - 1].seq);
            }
        }
        advance
    }
}
