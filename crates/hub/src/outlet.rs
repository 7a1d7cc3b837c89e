//! One watching connection: its socket, its places in what became durable, and the edge's own frames between.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes};
use headwater_event::{Position, Principal, Refusal};

use crate::encode::{Encode, Sink};
use crate::hub::Core;
use crate::reading::{Next, Reading, Work};
use crate::slab::Slab;
use crate::subscription::Subscription;
use crate::watch::{From, Watch, WatchError, WatchId};

/// How many writes and reads one poll does before it lets others have the thread.
const STEPS_MAX: u32 = 32;

/// How many slices one write takes: beyond that the copying of their list costs more than a second write.
const SLICES_MAX: usize = 32;

/// What an edge wants for a connection.
#[derive(Clone, Default)]
pub struct OutletSettings {
    /// How often a sign of life is written when nothing else was, and its spelling.
    pub beat: Option<(Duration, Arc<dyn Encode>)>,
    /// After how long without a word from the client ([`Outlet::heard`]) the connection ends.
    pub silence_max: Option<Duration>,
    /// How many bytes of the edge's own frames may wait for the socket; 0 takes [`OutletSettings::OWN_BYTES_MAX`].
    pub own_bytes_max: usize,
}

impl OutletSettings {
    /// 64 KiB: answers and pongs of a client that doesn't read them; it has to read before it asks for more.
    pub const OWN_BYTES_MAX: usize = 64 << 10;
}

/// The edge's own frames have no more room: the client doesn't read what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client doesn't read its answers")]
pub struct OutletFull;

/// Why an outlet has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The edge asked for it; all its own frames have been written.
    Asked,
    /// The watcher was too slow, and its watch says to disconnect then.
    Behind,
    /// A right was taken back.
    NotAllowed,
    /// The client has been silent for too long.
    Silent,
    /// The log can't be read.
    Unavailable,
    /// The socket failed.
    Io(io::ErrorKind),
}

/// One watching connection, seen from the hub. Dropping the last reference ends its watches.
pub struct Outlet {
    core: Arc<Core>,
    who: Principal,
    sink: Box<dyn Sink>,
    own_bytes_max: usize,
    state: Mutex<State>,
}

struct State {
    subscriptions: Slab<Subscription>,
    /// The next subscription's turn.
    turn: u32,
    /// What must be written before anything else: the rest of a frame that the socket has a part of, or a gap's frame.
    front: Bytes,
    /// The edge's own frames.
    own: VecDeque<Bytes>,
    own_bytes: usize,
    /// The connection's task, when it waits in `poll_drive`.
    waker: Option<Waker>,
    /// The socket takes nothing until it says so.
    is_blocked: bool,
    closing: Option<Closed>,
}

/// What a drive came to.
enum Driven {
    Blocked,
    Work(Vec<(u32, u32, Work)>),
    Idle,
    Closed(Closed),
}

enum Wrote {
    Took(usize),
    Blocked,
}

impl Outlet {
    pub(crate) fn open(core: &Arc<Core>, who: Principal, sink: Box<dyn Sink>, settings: OutletSettings) -> Arc<Self> {
        let own_bytes_max =
            if settings.own_bytes_max == 0 { OutletSettings::OWN_BYTES_MAX } else { settings.own_bytes_max };
        let state = State {
            subscriptions: Slab::new(),
            turn: 0,
            front: Bytes::new(),
            own: VecDeque::new(),
            own_bytes: 0,
            waker: None,
            is_blocked: false,
            closing: None,
        };
        Arc::new(Self { core: Arc::clone(core), who, sink, own_bytes_max, state: Mutex::new(state) })
    }

    /// Begins to watch. Whatever is acknowledged after this has returned will be told.
    ///
    /// # Errors
    /// `NotAllowed`; `Malformed` when this outlet has as many watches as it may, or for `sticky` without
    /// [`From::Now`]; `Gone` and `NoSuchPosition` where `from` can't be read from.
    pub async fn watch(&self, watch: Watch) -> Result<WatchId, WatchError> {
        self.watch_after(watch, |_, _| Bytes::new()).await
    }

    /// As [`Outlet::watch`], with a frame of the edge that is written before the first of this watch: the answer to
    /// "subscribe". It's told the position after which the watch begins.
    ///
    /// # Errors
    /// As [`Outlet::watch`]; `Full` when the edge's own frames have no more room.
    #[allow(clippy::unused_async)]
    pub async fn watch_after(
        &self,
        watch: Watch,
        answer: impl FnOnce(WatchId, Position) -> Bytes,
    ) -> Result<WatchId, WatchError> {
        let allowed = self.core.admission.access().may_watch(&self.who, &watch.filter)?;
        if watch.sticky && watch.from != From::Now {
            return Err(Refusal::Malformed("the latest states come only with what happens now".into()).into());
        }
        let head = self.core.gate.head();
        let after = match watch.from {
            From::Now => head,
            From::Oldest => self.core.gate.oldest(),
            From::After(position) => position,
        };
        if after != head {
            // Says at once what can't be had.
            self.core.gate.tail(after)?;
        }
        let id = {
            let mut state = self.lock();
            if state.subscriptions.len() >= self.core.fanout.watches_max {
                return Err(Refusal::Malformed("too many watches on one connection".into()).into());
            }
            state.turn = state.turn.wrapping_add(1);
            let turn = state.turn;
            let slot = state.subscriptions.insert(Subscription {
                turn,
                filter: allowed.filter().clone(),
                encoder: watch.encoder,
                behind: watch.behind,
                seen: after.seq,
                reading: Box::new(if watch.sticky { Reading::states() } else { Reading::events() }),
                work: None,
            });
            let id = WatchId { slot, turn };
            let frame = answer(id, after);
            if !frame.is_empty() {
                state.own_bytes += frame.len();
                state.own.push_back(frame);
            }
            state.wake();
            id
        };
        self.core.metrics.watchers.fetch_add(1, Ordering::Relaxed);
        Ok(id)
    }

    /// Ends one watch; does nothing when it has ended already.
    pub fn unwatch(&self, id: WatchId) {
        let mut state = self.lock();
        if state.subscriptions.get(id.slot).is_some_and(|subscription| subscription.turn == id.turn) {
            state.subscriptions.remove(id.slot);
            self.core.metrics.watchers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Writes a frame of the edge's own, in order with other such frames, as soon as the frame that is being written ends.
    ///
    /// # Errors
    /// When too much of this kind waits already.
    pub fn send(&self, frame: Bytes) -> Result<(), OutletFull> {
        let mut state = self.lock();
        if state.own_bytes + frame.len() > self.own_bytes_max {
            return Err(OutletFull);
        }
        if !frame.is_empty() {
            state.own_bytes += frame.len();
            state.own.push_back(frame);
            state.wake();
        }
        Ok(())
    }

    /// The client gave a sign of life.
    pub fn heard(&self) {}

    /// Ends all watches; `poll_drive` gives [`Closed::Asked`] when the edge's own frames have been written. How long it
    /// waits for that is the edge's choice.
    pub fn close(&self) {
        self.close_as(Closed::Asked);
    }

    /// Who is at the other end.
    #[must_use]
    pub const fn who(&self) -> &Principal {
        &self.who
    }

    /// Does what can be done for this connection, and is called by the connection's own task beside its reading: writes
    /// while the socket takes it, reads from the log for a watcher that is behind. `writable` waits for the socket.
    pub fn poll_drive(
        &self,
        cx: &mut Context<'_>,
        writable: &mut dyn FnMut(&mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<Closed> {
        for _ in 0..STEPS_MAX {
            let driven = {
                let mut state = self.lock();
                state.remember(cx.waker());
                self.drive(&mut state)
            };
            match driven {
                Driven::Blocked => match writable(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => self.lock().is_blocked = false,
                    Poll::Ready(Err(error)) => self.close_as(Closed::Io(error.kind())),
                },
                Driven::Work(works) => {
                    if !self.poll_works(works, cx) {
                        return Poll::Pending;
                    }
                }
                Driven::Idle => return Poll::Pending,
                Driven::Closed(closed) => return Poll::Ready(closed),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_works(&self, works: Vec<(u32, u32, Work)>, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        for (slot, turn, mut work) in works {
            let polled = work.as_mut().poll(cx);
            let mut state = self.lock();
            let Some(subscription) = state.subscriptions.get_mut(slot).filter(|s| s.turn == turn) else { continue };
            match polled {
                Poll::Pending => subscription.work = Some(work),
                Poll::Ready(done) => {
                    any = true;
                    match subscription.reading.take(done, &mut subscription.seen) {
                        Next::More | Next::AtHead => {}
                        Next::Gone(_) | Next::Failed(_) => state.closing = Some(Closed::Unavailable),
                    }
                }
            }
        }
        any
    }
}

impl Outlet {
    /// Writes what there is while the socket takes it.
    fn drive(&self, state: &mut State) -> Driven {
        if let Some(closed) = &state.closing
            && (*closed != Closed::Asked || (state.front.is_empty() && state.own.is_empty()))
        {
            return Driven::Closed(closed.clone());
        }
        if state.is_blocked {
            return Driven::Blocked;
        }
        while !state.front.is_empty() || !state.own.is_empty() {
            if let Wrote::Blocked = self.write(state, &[]) {
                return self.blocked_or_closed(state);
            }
        }
        if state.closing.is_some() {
            return Driven::Closed(Closed::Asked);
        }
        let mut works = Vec::new();
        for slot in 0..state.subscriptions.end() {
            let Some(mut subscription) = state.subscriptions.take_out(slot) else { continue };
            let is_blocked = self.drive_one(state, &mut subscription);
            if !is_blocked {
                let Subscription { reading, filter, seen, work, turn, .. } = &mut subscription;
                let work = work.take().unwrap_or_else(|| reading.read(&self.core.gate, filter, *seen));
                works.push((slot, *turn, work));
            }
            state.subscriptions.put_back(slot, subscription);
            if is_blocked {
                for (slot, turn, work) in works {
                    if let Some(subscription) = state.subscriptions.get_mut(slot).filter(|s| s.turn == turn) {
                        subscription.work = Some(work);
                    }
                }
                return self.blocked_or_closed(state);
            }
        }
        if works.is_empty() { Driven::Idle } else { Driven::Work(works) }
    }

    fn blocked_or_closed(&self, state: &State) -> Driven {
        match &state.closing {
            Some(closed) if *closed != Closed::Asked => Driven::Closed(closed.clone()),
            _ => Driven::Blocked,
        }
    }

    /// Writes pages of one subscription; `true` when the socket takes no more.
    fn drive_one(&self, state: &mut State, subscription: &mut Subscription) -> bool {
        let epoch = self.core.gate.head().epoch;
        let Subscription { reading, filter, encoder, seen, .. } = subscription;
        loop {
            let Some(bytes) = reading.bytes() else {
                if reading.turn_page(filter, &**encoder, epoch, seen) {
                    continue;
                }
                return false;
            };
            match self.write(state, &[bytes]) {
                Wrote::Took(bytes) => {
                    let frames = reading.took(bytes, seen);
                    self.core.metrics.deliveries.fetch_add(frames as u64, Ordering::Relaxed);
                }
                Wrote::Blocked => {
                    state.front = reading.give_up(seen);
                    subscription.work = None;
                    return true;
                }
            }
        }
    }

    /// One write: the front, the edge's own frames, then `data`. Gives how many bytes of `data` were taken.
    fn write(&self, state: &mut State, data: &[Bytes]) -> Wrote {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let own = std::iter::once(&state.front).chain(&state.own);
        for piece in own.chain(data).filter(|piece| !piece.is_empty()).take(SLICES_MAX) {
            slices[count] = IoSlice::new(piece);
            count += 1;
        }
        let taken = match self.sink.try_write(&slices[..count]) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            other => other,
        };
        match taken {
            Ok(taken) => {
                self.core.metrics.delivered_bytes.fetch_add(taken as u64, Ordering::Relaxed);
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

    fn close_as(&self, closed: Closed) {
        let mut state = self.lock();
        if state.closing.is_some() {
            return;
        }
        let ended = state.subscriptions.drain().count();
        self.core.metrics.watchers.fetch_sub(ended as u64, Ordering::Relaxed);
        state.closing = Some(closed);
        state.wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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

    fn remember(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            None => self.waker = Some(waker.clone()),
        }
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.close_as(Closed::Asked);
    }
}
