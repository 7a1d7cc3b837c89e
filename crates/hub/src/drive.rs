//! How bytes get from a watcher's place to its socket: from the ring when it's near, from the log when it's behind.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use headwater_event::{Position, Seq};

use crate::metrics::Metrics;
use crate::outlet::{Closed, Outlet, State};
use crate::reading::{Next, Reading, Work};
use crate::ring::{Gather, Placed};
use crate::subscription::{Place, Subscription};
use crate::watch::{WatchId, WhenBehind};

/// How many slices one write takes: the front, some own frames, and the blocks of one gathering.
const SLICES_MAX: usize = 32;

/// How many writes in a row one subscription gets before the others of its connection or shard have their turn.
const WRITES_IN_A_ROW: u32 = 16;

/// What a drive came to.
pub(crate) enum Driven {
    /// The socket takes no more.
    Blocked,
    /// The log is to be read, outside of the lock.
    Work(WatchId, Work),
    /// Nothing is to be done until somebody calls.
    Idle,
    /// There is more to write.
    Busy,
    Closed(Closed),
}

/// What one write came to.
enum Wrote {
    /// So many bytes of the data.
    Took(usize),
    Blocked,
}

/// How one subscription stands after its turn.
enum Stand {
    /// It has all there is, or waits for the ring.
    Idle,
    /// The log must be read for it.
    Wanting,
    /// There is more, but others come first.
    Busy,
    /// There is more, once the client has acknowledged what it has.
    Starved,
    Blocked,
}

/// What was written, on its way to the metrics: two shards that add to one count for each delivery would wait for each
/// other's cache line, so many are added at once.
#[derive(Default)]
pub(crate) struct Tally {
    frames: u64,
    bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
    }

    pub(crate) fn count(self, metrics: &Metrics) {
        if self.bytes > 0 {
            metrics.deliveries.fetch_add(self.frames, Ordering::Relaxed);
            metrics.delivered_bytes.fetch_add(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Outlet {
    /// A ring has grown: writes what one subscription has not seen. Called by the shard for one watcher after the other,
    /// with what it gathered for the last one.
    pub(crate) fn push(&self, id: WatchId, gather: &mut Gather) -> Tally {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.is_blocked || state.closing.is_some() {
            return Tally::default();
        }
        let Some(mut subscription) = state.subscriptions.take_out(id.slot) else { return Tally::default() };
        let mut stand = Stand::Idle;
        if subscription.is(id) && !matches!(subscription.place, Place::Reading(_)) {
            stand = self.follow(state, &mut subscription, gather);
        }
        state.subscriptions.put_back(id.slot, subscription);
        if self.has_failed(state) || !matches!(stand, Stand::Idle | Stand::Starved) {
            // The rest is for the connection's own task: to wait for the socket, or to read from the log.
            state.is_due = true;
            state.wake();
        }
        std::mem::take(&mut state.tally)
    }

    /// Writes what there is while the socket takes it; called by the connection's own task.
    pub(crate) fn drive(&self, state: &mut State) -> Driven {
        let driven = self.drive_uncounted(state);
        std::mem::take(&mut state.tally).count(&self.core.metrics);
        driven
    }

    fn drive_uncounted(&self, state: &mut State) -> Driven {
        if let Some(closed) = state.closing
            && (closed != Closed::Asked || (state.front.is_empty() && state.own.is_empty()))
        {
            return Driven::Closed(closed);
        }
        if state.is_blocked {
            return self.blocked(state);
        }
        while !state.front.is_empty() || !state.own.is_empty() {
            if let Wrote::Blocked = self.write(state, &[], 0) {
                return self.blocked(state);
            }
        }
        if let Some(closed) = state.closing {
            return Driven::Closed(closed);
        }
        if state.is_due {
            state.is_due = false;
            let stand = self.drive_all(state);
            if self.has_failed(state) || matches!(stand, Stand::Blocked) {
                state.is_due = true;
                return self.blocked(state);
            }
            state.is_due |= matches!(stand, Stand::Busy);
        }
        match (state.reader, state.work.take()) {
            (Some(id), Some(work)) => Driven::Work(id, work),
            _ if state.is_due => Driven::Busy,
            _ => Driven::Idle,
        }
    }

    /// Gives every subscription its turn, and begins a read for the one that is the reader, or becomes it.
    fn drive_all(&self, state: &mut State) -> Stand {
        let mut gather = Gather::default();
        let mut is_busy = false;
        for slot in 0..state.subscriptions.end() {
            let Some(mut subscription) = state.subscriptions.take_out(slot) else { continue };
            let mut stand = self.drive_one(state, &mut subscription, &mut gather);
            let id = subscription.id;
            match &mut subscription.place {
                Place::Reading(reading) if reading.is_over() => {
                    state.subscriptions.put_back(slot, subscription);
                    is_busy = true;
                    if state.reader == Some(id) {
                        state.reader = None;
                        state.work = None;
                    }
                    if let Some(subscription) = state.subscriptions.remove(slot) {
                        self.end(&subscription);
                    }
                    continue;
                }
                Place::Reading(reading) if matches!(stand, Stand::Wanting) => {
                    if *state.reader.get_or_insert(id) == id && state.work.is_none() {
                        state.work = Some(reading.read(&self.core.gate, subscription.ring.filter(), subscription.seen));
                    }
                    stand = Stand::Idle;
                }
                Place::Reading(_) if matches!(stand, Stand::Starved) && state.reader == Some(id) => {
                    // Others need not wait for this client's acknowledgements.
                    state.reader = None;
                    state.work = None;
                    is_busy = true;
                }
                Place::Reading(_) => {}
                Place::Live(_) | Place::Joining if state.reader == Some(id) => {
                    // It's done; another one that was passed over before may have its turn.
                    state.reader = None;
                    is_busy = true;
                }
                Place::Live(_) | Place::Joining => {}
            }
            state.subscriptions.put_back(slot, subscription);
            if let Stand::Blocked = stand {
                return Stand::Blocked;
            }
            is_busy |= matches!(stand, Stand::Busy);
        }
        if is_busy { Stand::Busy } else { Stand::Idle }
    }

    fn drive_one(&self, state: &mut State, subscription: &mut Subscription, gather: &mut Gather) -> Stand {
        if matches!(subscription.place, Place::Reading(_)) {
            let stand = self.write_pages(state, subscription);
            let is_over = matches!(&subscription.place, Place::Reading(reading) if reading.is_over());
            if is_over || !matches!(stand, Stand::Idle) {
                return stand;
            }
        }
        self.follow(state, subscription, gather)
    }

    /// Writes from the ring, from the subscription's place to the end.
    fn follow(&self, state: &mut State, subscription: &mut Subscription, gather: &mut Gather) -> Stand {
        for _ in 0..WRITES_IN_A_ROW {
            let cursor = match subscription.place {
                Place::Reading(_) => return Stand::Wanting,
                Place::Live(cursor) => cursor,
                Place::Joining => match self.place(subscription) {
                    Placed::At(cursor) => cursor,
                    Placed::NotYet => return Stand::Idle,
                    Placed::Behind => {
                        subscription.place = Place::Reading(Box::new(Reading::events()));
                        return Stand::Wanting;
                    }
                },
            };
            subscription.place = Place::Live(cursor);
            if cursor == subscription.ring.end() {
                // The rest of a frame, or a gap, may still be to be written.
                let is_written = state.front.is_empty() && state.own.is_empty();
                return if is_written { Stand::Idle } else { Stand::Busy };
            }
            if !subscription.ring.gather(cursor, gather) {
                self.fall_behind(state, subscription);
                if state.closing.is_some() {
                    return Stand::Blocked;
                }
                continue;
            }
            let (fresh, aged) = gather.fresh(&self.core.clock);
            if fresh == 0 {
                // It has to be encoded anew, which is done by whoever reads from the log.
                subscription.place = Place::Reading(Box::new(Reading::aged(aged.unwrap_or(subscription.seen))));
                continue;
            }
            let let_through = state.window.as_ref().map_or(usize::MAX, |window| gather.let_through(window)).min(fresh);
            if let_through == 0 {
                return self.starved(state);
            }
            match self.write(state, gather.pieces(), let_through) {
                Wrote::Blocked => return Stand::Blocked,
                Wrote::Took(0) => {}
                Wrote::Took(taken) => {
                    let id = subscription.id;
                    let advance = gather.advance(taken, |seq| state.sent(seq, id));
                    subscription.place = Place::Live(advance.cursor);
                    subscription.seen = advance.seen.unwrap_or(subscription.seen);
                    // The data begins where the front and the own frames end, so the front is empty here.
                    state.front = advance.front;
                    state.tally.frames += advance.frames as u64;
                }
            }
        }
        Stand::Busy
    }

    fn place(&self, subscription: &Subscription) -> Placed {
        let up_to = self.core.up_to.load(Ordering::Acquire);
        subscription.ring.place_after(subscription.seen, up_to, subscription.entered)
    }

    /// The ring no longer has what this watcher needs next.
    fn fall_behind(&self, state: &mut State, subscription: &mut Subscription) {
        self.core.metrics.lagging.fetch_add(1, Ordering::Relaxed);
        match subscription.behind {
            WhenBehind::CatchUp => subscription.place = Place::Reading(Box::new(Reading::events())),
            WhenBehind::Disconnect => state.closing = Some(Closed::Behind),
            WhenBehind::Gap => {
                let (end, last) = subscription.ring.now();
                self.tell_gap(state, subscription, last);
                subscription.place = Place::Live(end);
            }
        }
    }

    fn tell_gap(&self, state: &mut State, subscription: &mut Subscription, up_to: u64) {
        let epoch = self.core.gate.head().epoch;
        let ring = &subscription.ring;
        let mut frame = Vec::new();
        let (after, up_to) = (subscription.seen, up_to.max(subscription.seen));
        ring.encoder().gap(ring.filter(), Position::new(epoch, after), Position::new(epoch, up_to), &mut frame);
        state.push_own(frame.into());
        subscription.seen = up_to;
        self.core.metrics.gaps.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes pages that were read from the log. `Idle` when the ring can take over.
    fn write_pages(&self, state: &mut State, subscription: &mut Subscription) -> Stand {
        let (epoch, clock) = (self.core.gate.head().epoch, &self.core.clock);
        for _ in 0..WRITES_IN_A_ROW {
            let placed = self.place(subscription);
            let Subscription { id, place, ring, seen, .. } = subscription;
            let Place::Reading(reading) = place else { return Stand::Idle };
            if reading.is_over() {
                return Stand::Idle;
            }
            if reading.may_leave(*seen)
                && let Placed::At(cursor) = placed
            {
                *place = Place::Live(cursor);
                return Stand::Idle;
            }
            reading.refresh(clock);
            let Some(bytes) = reading.bytes() else {
                if reading.turn_page(ring.filter(), ring.encoder(), epoch, clock, seen) {
                    continue;
                }
                if reading.may_leave(*seen) && matches!(self.place(subscription), Placed::At(_)) {
                    continue;
                }
                return Stand::Wanting;
            };
            let let_through = state.window.as_ref().map_or(usize::MAX, |window| reading.let_through(window));
            if let_through == 0 {
                reading.lighten();
                return self.starved(state);
            }
            match self.write(state, &[bytes], let_through) {
                Wrote::Took(0) => {}
                Wrote::Took(bytes) => {
                    let (rest, frames) = reading.took(bytes, seen, |seq| state.sent(seq, *id));
                    state.front = rest;
                    state.tally.frames += frames as u64;
                }
                Wrote::Blocked => return Stand::Blocked,
            }
        }
        Stand::Busy
    }

    /// Polls a read without holding the lock: it may take as long as the disk.
    pub(crate) fn poll_work(&self, id: WatchId, mut work: Work, cx: &mut Context<'_>) -> Poll<()> {
        let polled = work.as_mut().poll(cx);
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(mut subscription) = state.subscriptions.take_out(id.slot) else { return Poll::Ready(()) };
        let mut is_pending = false;
        if subscription.is(id) && state.reader == Some(id) {
            match polled {
                Poll::Pending => {
                    state.work = Some(work);
                    is_pending = true;
                }
                Poll::Ready(done) => {
                    self.take_read(state, &mut subscription, done);
                    state.is_due = true;
                }
            }
        }
        state.subscriptions.put_back(id.slot, subscription);
        if is_pending { Poll::Pending } else { Poll::Ready(()) }
    }

    fn take_read(&self, state: &mut State, subscription: &mut Subscription, done: crate::reading::Done) {
        let Place::Reading(reading) = &mut subscription.place else { return };
        match reading.take(done, &mut subscription.seen) {
            Next::More => {}
            Next::AtHead if reading.is_over() => {}
            Next::AtHead => subscription.place = Place::Joining,
            Next::Gone(oldest) => {
                let up_to = oldest.unwrap_or_else(|| self.core.gate.head());
                self.tell_gap(state, subscription, up_to.seq);
            }
            Next::Failed(error) => {
                tracing::warn!(%error, "a watcher's past can't be read from the log");
                state.closing = Some(Closed::Unavailable);
            }
        }
    }

    /// The client has to acknowledge something before it gets more; what is the edge's own is written all the same.
    fn starved(&self, state: &mut State) -> Stand {
        while !state.front.is_empty() || !state.own.is_empty() {
            if let Wrote::Blocked = self.write(state, &[], 0) {
                return Stand::Blocked;
            }
        }
        if let Some(window) = &mut state.window {
            window.is_starved = true;
        }
        Stand::Starved
    }

    /// One write: the front, the edge's own frames, then the first `len_max` bytes of `data`. Gives how many bytes of
    /// `data` were taken.
    fn write(&self, state: &mut State, data: &[Bytes], len_max: usize) -> Wrote {
        let taken = match self.write_to_sink(state, data, len_max) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            other => other,
        };
        match taken {
            Ok(taken) => {
                state.tally.bytes += taken as u64;
                state.wrote = self.core.tick.load(Ordering::Relaxed);
                Wrote::Took(state.took_own(taken))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Wrote::Took(0),
            Err(error) => {
                state.is_blocked = true;
                if error.kind() != io::ErrorKind::WouldBlock {
                    state.closing = Some(Closed::Io(error.kind()));
                }
                Wrote::Blocked
            }
        }
    }

    fn write_to_sink(&self, state: &State, data: &[Bytes], len_max: usize) -> io::Result<usize> {
        // Nearly always there is one piece and nothing before it.
        if let [one] = data
            && state.front.is_empty()
            && state.own.is_empty()
        {
            return self.sink.try_write(&[IoSlice::new(&one[..one.len().min(len_max)])]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let own = std::iter::once(&state.front).chain(&state.own);
        for piece in own.filter(|piece| !piece.is_empty()).take(SLICES_MAX) {
            slices[count] = IoSlice::new(piece);
            count += 1;
        }
        let mut left = len_max;
        for piece in data.iter().take(SLICES_MAX - count) {
            let piece = &piece[..piece.len().min(left)];
            if piece.is_empty() {
                break;
            }
            left -= piece.len();
            slices[count] = IoSlice::new(piece);
            count += 1;
        }
        self.sink.try_write(&slices[..count])
    }

    fn has_failed(&self, state: &State) -> bool {
        state.closing.is_some_and(|closed| closed != Closed::Asked)
    }

    /// The socket takes no more: what was read from the log and not written is given up, to be read again later. So a
    /// watcher that stalls costs no more than one that has nothing to get.
    fn blocked(&self, state: &mut State) -> Driven {
        state.work = None;
        if let Some(id) = state.reader
            && let Some(subscription) = state.subscriptions.get_mut(id.slot)
            && let Place::Reading(reading) = &mut subscription.place
        {
            let word = reading.give_up();
            state.push_own(word);
        }
        match state.closing {
            Some(closed) if self.has_failed(state) => Driven::Closed(closed),
            _ => Driven::Blocked,
        }
    }
}

impl State {
    /// A frame that the client has to acknowledge was given to the socket.
    fn sent(&mut self, seq: Seq, id: WatchId) {
        if let Some(window) = &mut self.window {
            window.sent(seq, Some(id));
        }
    }

    /// So many bytes were taken from the front, then from the own frames; gives how many went beyond both.
    fn took_own(&mut self, taken: usize) -> usize {
        let of_front = taken.min(self.front.len());
        self.front.advance(of_front);
        if self.front.is_empty() {
            self.front = Bytes::new();
        }
        let mut rest = taken - of_front;
        while rest > 0
            && let Some(frame) = self.own.front_mut()
        {
            let of_frame = rest.min(frame.len());
            rest -= of_frame;
            self.own_bytes -= of_frame;
            frame.advance(of_frame);
            if frame.is_empty() {
                self.own.pop_front();
            }
        }
        if self.own.is_empty() && self.own.capacity() > 0 {
            self.own = VecDeque::new();
        }
        rest
    }
}
