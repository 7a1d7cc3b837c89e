//! One watching connection: its socket, its places in what became durable, and the edge's own frames between.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use headwater_event::{Filter, Position, Principal, Refusal};

use crate::access::Allowed;
use crate::drive::{Driven, Tally};
use crate::encode::{Encode, Sink};
use crate::hub::Core;
use crate::reading::{Before, Reading, Work};
use crate::slab::Slab;
use crate::subscription::{Place, Subscription};
use crate::watch::{From, Watch, WatchError, WatchId};
use crate::window::Window;

/// How many rounds of writing and reading one poll does before it lets others have the thread.
const ROUNDS_MAX: u32 = 32;

/// What an edge wants for a connection.
#[derive(Clone, Default)]
pub struct OutletSettings {
    /// How often a sign of life is written when nothing else was, and its spelling.
    pub beat: Option<(Duration, Arc<dyn Encode>)>,
    /// After how long without a word from the client ([`Outlet::heard`]) the connection ends.
    pub silence_max: Option<Duration>,
    /// How many bytes of the edge's own frames may wait for the socket; 0 takes [`OutletSettings::OWN_BYTES_MAX`].
    pub own_bytes_max: usize,
    /// How many deliveries may be under way without an acknowledgement, of those that the client has to acknowledge.
    /// 0 is for protocols that have none: nothing is counted then.
    pub window: usize,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The edge asked for it; all its own frames have been written.
    Asked,
    /// The watcher was too slow, and its watch says to disconnect then.
    Behind,
    /// A right was taken back.
    NotAllowed,
    /// A person sent it away.
    Dismissed,
    /// The client has been silent for too long.
    Silent,
    /// The log can't be read.
    Unavailable,
    /// The socket failed.
    Io(io::ErrorKind),
}

/// One watching connection, seen from the hub. Dropping the last reference ends its watches.
///
/// It costs a few hundred bytes, whatever its watcher misses: there is no list of events in it.
pub struct Outlet {
    pub(crate) core: Arc<Core>,
    /// Itself, for the rings' lists.
    me: Weak<Self>,
    who: Principal,
    pub(crate) sink: Box<dyn Sink>,
    beat: Option<Arc<dyn Encode>>,
    beat_ticks: u32,
    silence_ticks: u32,
    own_bytes_max: u32,
    shard: u32,
    /// The tick when the client was last heard.
    heard: AtomicU32,
    state: Mutex<State>,
}

/// What changes while an outlet lives. Whoever holds it may take a ring's lock, never the other way round.
pub(crate) struct State {
    pub(crate) subscriptions: Slab<Subscription>,
    /// The last subscription's turn.
    turn: u32,
    /// What must be written before anything else: the rest of a frame that the socket has a part of.
    pub(crate) front: Bytes,
    /// The edge's own frames, and gaps.
    pub(crate) own: VecDeque<Bytes>,
    pub(crate) own_bytes: usize,
    /// The connection's task, when it waits in `poll_drive`.
    waker: Option<Waker>,
    /// Which subscription reads from the log: one at a time, so that a connection with many watches that are all behind
    /// needs no more memory than one.
    pub(crate) reader: Option<WatchId>,
    /// The reader's read that is on its way.
    pub(crate) work: Option<Work>,
    /// The tick of the last write.
    pub(crate) wrote: u32,
    /// The socket takes nothing until it says so.
    pub(crate) is_blocked: bool,
    /// Some subscription may have something to write that no ring will call for.
    pub(crate) is_due: bool,
    pub(crate) closing: Option<Closed>,
    /// What was written and not yet counted.
    pub(crate) tally: Tally,
    /// What is under way without an acknowledgement, where a protocol has them.
    pub(crate) window: Option<Box<Window>>,
    /// Filters that this connection watches by groups, to be asked for when rights change.
    pub(crate) shares: Vec<Filter>,
}

impl Outlet {
    pub(crate) fn open(core: &Arc<Core>, who: Principal, sink: Box<dyn Sink>, settings: OutletSettings) -> Arc<Self> {
        let own_bytes_max =
            if settings.own_bytes_max == 0 { OutletSettings::OWN_BYTES_MAX } else { settings.own_bytes_max };
        let now = core.tick.load(Ordering::Acquire);
        let number = core.outlets.fetch_add(1, Ordering::Relaxed);
        let (beat_ticks, beat) = match settings.beat {
            Some((every, encoder)) => (core.ticks(every).max(1), Some(encoder)),
            None => (0, None),
        };
        let outlet = Arc::new_cyclic(|me| Self {
            core: Arc::clone(core),
            me: Weak::clone(me),
            who,
            sink,
            beat,
            beat_ticks,
            silence_ticks: settings.silence_max.map_or(0, |max| core.ticks(max).max(1)),
            own_bytes_max: u32::try_from(own_bytes_max).unwrap_or(u32::MAX),
            shard: u32::try_from(number % core.shards.len()).unwrap_or(0),
            heard: AtomicU32::new(now),
            state: Mutex::new(State::new(now, settings.window)),
        });
        core.wheel.insert(Arc::downgrade(&outlet), now, outlet.next_tick(now, now));
        outlet
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
    /// "subscribe". `answer` is told the position after which the watch begins; it must not call this outlet.
    ///
    /// # Errors
    /// As [`Outlet::watch`].
    // Async, as an engine on another machine will have to be asked where its log stands.
    #[expect(clippy::unused_async)]
    pub async fn watch_after(
        &self,
        watch: Watch,
        answer: impl FnOnce(WatchId, Position) -> Bytes,
    ) -> Result<WatchId, WatchError> {
        let allowed = self.core.admission.access().may_watch(&self.who, &watch.filter)?;
        if watch.sticky && watch.from != From::Now {
            return Err(Refusal::Malformed("the latest states come only with what happens now".into()).into());
        }
        if (watch.is_only_states && !watch.sticky) || (watch.is_only_again && watch.again.is_empty()) {
            return Err(Refusal::Malformed("there is nothing to be told by this watch".into()).into());
        }
        let after = self.begin_after(watch.from)?;
        let id = self.subscribe(&allowed, &watch, after, answer)?;
        // Rights may have been taken back, and everybody rechecked, between the first look and the entry into the list.
        if let Err(refusal) = self.core.admission.access().may_watch(&self.who, &watch.filter) {
            self.unwatch(id);
            return Err(refusal.into());
        }
        Ok(id)
    }

    /// The position after which a watch begins.
    fn begin_after(&self, from: From) -> Result<Position, WatchError> {
        let gate = &self.core.gate;
        let after = match from {
            From::Now => return Ok(gate.head()),
            From::Oldest => gate.oldest(),
            From::After(position) => position,
        };
        // Opening a tail says at once what can't be had.
        gate.tail(after)?;
        Ok(after)
    }

    /// Only a filter that was [`Allowed`] gets here.
    fn subscribe(
        &self,
        allowed: &Allowed,
        watch: &Watch,
        after: Position,
        answer: impl FnOnce(WatchId, Position) -> Bytes,
    ) -> Result<WatchId, WatchError> {
        let mut state = self.lock();
        if state.closing.is_some() {
            return Err(Refusal::Unavailable.into());
        }
        if state.subscriptions.len() >= self.core.fanout.watches_max {
            return Err(Refusal::Malformed("too many watches on one connection".into()).into());
        }
        state.turn = state.turn.wrapping_add(1);
        let turn = state.turn;
        let ring = self.core.rings.enter(allowed.filter(), &watch.encoder);
        let slot = state.subscriptions.insert(Subscription {
            id: WatchId { slot: 0, turn },
            member: 0,
            ring: Arc::clone(&ring),
            entered: ring.end(),
            behind: watch.behind,
            seen: watch.again.first().map_or(after.seq, |first| first.saturating_sub(1)),
            place: match watch {
                Watch { sticky: true, .. } => Place::Reading(Box::new(Reading::states(watch.is_only_states))),
                Watch { again, .. } if !again.is_empty() => {
                    let before = Before { up_to: after.seq, again: again.clone() };
                    Place::Reading(Box::new(Reading::events_again(before, watch.is_only_again)))
                }
                _ => Place::Joining,
            },
        });
        let id = WatchId { slot, turn };
        let member = ring.enter(self.shard as usize, Weak::clone(&self.me), id);
        if let Some(subscription) = state.subscriptions.get_mut(slot) {
            subscription.member = member;
            subscription.id = id;
        }
        state.push_own(answer(id, after));
        state.is_due = true;
        state.wake();
        self.core.metrics.watchers.fetch_add(1, Ordering::Relaxed);
        Ok(id)
    }

    /// Ends one watch; does nothing when it has ended already. A frame that was begun is still written, and what is under
    /// way stays so until the client has acknowledged it; another watch may [adopt](Outlet::adopt) it.
    pub fn unwatch(&self, id: WatchId) {
        let mut state = self.lock();
        if state.subscriptions.get(id.slot).is_some_and(|subscription| subscription.is(id))
            && let Some(subscription) = state.subscriptions.remove(id.slot)
        {
            if state.reader == Some(id) {
                state.reader = None;
                state.work = None;
                // Others may have waited for their turn to read.
                state.is_due = true;
                state.wake();
            }
            self.end(&subscription);
        }
    }

    /// Writes a frame of the edge's own, in order with other such frames, as soon as the frame that is being written ends.
    ///
    /// # Errors
    /// When too much of this kind waits already.
    pub fn send(&self, frame: Bytes) -> Result<(), OutletFull> {
        let mut state = self.lock();
        if state.own_bytes + frame.len() > self.own_bytes_max as usize {
            return Err(OutletFull);
        }
        state.push_own(frame);
        state.wake();
        Ok(())
    }

    /// This connection watches these filters by groups too: when rights change they are asked for as well.
    pub fn shares(&self, filters: Vec<Filter>) {
        self.lock().shares = filters;
    }

    /// The client gave a sign of life.
    pub fn heard(&self) {
        self.heard.store(self.core.tick.load(Ordering::Relaxed), Ordering::Relaxed);
    }

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
        for _ in 0..ROUNDS_MAX {
            let driven = {
                let mut state = self.lock();
                state.remember(cx.waker());
                self.drive(&mut state)
            };
            match driven {
                Driven::Blocked => match writable(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => self.lock().unblock(),
                    Poll::Ready(Err(error)) => self.close_as(Closed::Io(error.kind())),
                },
                Driven::Work(id, work) => {
                    if self.poll_work(id, work, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Driven::Idle => return Poll::Pending,
                Driven::Busy => {}
                Driven::Closed(closed) => {
                    self.close_as(closed);
                    return Poll::Ready(closed);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Asks again whether the login holds and every watch is allowed; ends the connection when one isn't. Gives whether it did.
    pub(crate) fn recheck(&self) -> bool {
        let filters: Vec<_> = {
            let state = self.lock();
            (0..state.subscriptions.end())
                .filter_map(|slot| state.subscriptions.get(slot))
                .map(|subscription| subscription.ring.filter().clone())
                .chain(state.shares.iter().cloned())
                .collect()
        };
        let access = self.core.admission.access();
        let is_revoked =
            !access.stands(&self.who) || filters.iter().any(|filter| access.may_watch(&self.who, filter).is_err());
        if is_revoked {
            self.close_as(Closed::NotAllowed);
        }
        is_revoked
    }

    /// The wheel has come round to this outlet; gives the tick when it has to be looked at next.
    pub(crate) fn tick(&self, now: u32) -> Option<u32> {
        if self.silence_ticks > 0 && now.wrapping_sub(self.heard.load(Ordering::Relaxed)) >= self.silence_ticks {
            self.close_as(Closed::Silent);
        }
        let mut state = self.lock();
        if state.closing.is_some() {
            return None;
        }
        // A socket that takes nothing needs no sign of life: it hasn't read the last one.
        if let Some(encoder) = &self.beat
            && !state.is_blocked
            && now.wrapping_sub(state.wrote) >= self.beat_ticks
        {
            let mut frame = Vec::new();
            encoder.beat(&mut frame);
            state.push_own(frame.into());
            state.wrote = now;
            state.wake();
        }
        Some(self.next_tick(now, state.wrote))
    }

    fn next_tick(&self, now: u32, wrote: u32) -> u32 {
        let ahead = |since: u32, ticks: u32| match ticks {
            0 => u32::MAX / 4,
            ticks => since.wrapping_add(ticks).wrapping_sub(now),
        };
        let beat = ahead(wrote, self.beat_ticks);
        let silence = ahead(self.heard.load(Ordering::Relaxed), self.silence_ticks);
        now.wrapping_add(beat.min(silence))
    }

    /// Ends all watches; the first reason given stays.
    pub(crate) fn close_as(&self, closed: Closed) {
        let mut state = self.lock();
        state.closing.get_or_insert(closed);
        state.reader = None;
        state.work = None;
        let State { subscriptions, window, .. } = &mut *state;
        for subscription in subscriptions.drain() {
            if let Some(window) = window {
                window.end(subscription.id, subscription.standing());
            }
            self.end(&subscription);
        }
        state.wake();
    }

    pub(crate) fn end(&self, subscription: &Subscription) {
        subscription.ring.leave(self.shard as usize, subscription.member);
        self.core.rings.leave(&subscription.ring);
        self.core.metrics.watchers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(now: u32, window: usize) -> Self {
        Self {
            window: (window > 0).then(|| Box::new(Window::new(window))),
            shares: Vec::new(),
            subscriptions: Slab::new(),
            turn: 0,
            front: Bytes::new(),
            own: VecDeque::new(),
            own_bytes: 0,
            waker: None,
            reader: None,
            work: None,
            wrote: now,
            is_blocked: false,
            is_due: false,
            closing: None,
            tally: Tally::default(),
        }
    }

    /// Adds a frame to those that are written at the next end of a frame.
    pub(crate) fn push_own(&mut self, frame: Bytes) {
        if !frame.is_empty() {
            self.own_bytes += frame.len();
            self.own.push_back(frame);
        }
    }

    /// The socket takes bytes again. Nobody called for this outlet's subscriptions meanwhile, so all are looked at.
    const fn unblock(&mut self) {
        self.is_blocked = false;
        self.is_due = true;
    }

    fn remember(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            None => self.waker = Some(waker.clone()),
        }
    }

    pub(crate) fn wake(&self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An idle watcher of one filter holds these, two words in lists, and the edge's sink.
    #[test]
    fn an_idle_watcher_holds_few_bytes() {
        let counts = 2 * size_of::<usize>();
        let lists = size_of::<Weak<Outlet>>() + size_of::<(Weak<Outlet>, WatchId)>();
        let held = counts + size_of::<Outlet>() + size_of::<Subscription>() + size_of::<usize>() + lists;
        assert!(held <= 512, "{held} bytes");
    }
}
