//! One client's session, whatever way it takes: its pulse, its namespaces, and what waits to be said.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use headwater_event::{Filter, Principal};
use headwater_hub::{Arrival, Closed, Outlet, OutletSettings, Present, WatchId};
use tokio::time::Instant;

use super::front::Shared;
use super::packet::Packet;
use super::way::{Way, WaySink};
use crate::ws::{Opcode, close, write_frame};

/// How many bytes of answers may wait beside the longest packet.
const OWN_BYTES_MORE: usize = 64 << 10;

/// One client's session.
pub(super) struct Session {
    pub(super) sid: Box<str>,
    pub(super) shared: Arc<Shared>,
    pub(super) way: Arc<Way>,
    /// Who opened it; a namespace's `auth` may say another.
    pub(super) who: Principal,
    pub(super) peer: SocketAddr,
    /// Its library keeps no offsets.
    pub(super) tells_offset_apart: AtomicBool,
    /// Since the client is in a namespace.
    pub(super) outlet: OnceLock<Arc<Outlet>>,
    present: OnceLock<Present>,
    state: Mutex<State>,
}

/// Why a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client said so, or is gone.
    Client,
    /// It broke a rule.
    Fault(&'static str),
    /// It didn't answer a ping.
    Silent,
    /// The program ends; when to come back, in milliseconds.
    GoingAway(u32),
    /// A right was taken back, or somebody sent it away; or the log can't be read.
    SentAway(&'static str),
}

pub(super) struct State {
    opened: Instant,
    /// When the next ping is due, or was.
    ping_at: Instant,
    is_pinged: bool,
    pub(super) was_connected: bool,
    pub(super) is_polling: bool,
    pub(super) is_posting: bool,
    pub(super) is_probing: bool,
    pub(super) ended: Option<End>,
    /// Whoever waits with a poll or a post.
    wakers: [Option<Waker>; 2],
    /// What found no room: the client doesn't read. Until it has, nothing more is heard.
    held: VecDeque<Bytes>,
    pub(super) joined: Vec<Joined>,
    /// An event whose attachments are coming.
    pub(super) partial: Option<Box<Partial>>,
}

/// A namespace that this client is in.
pub(super) struct Joined {
    /// Its place in the table.
    pub(super) at: usize,
    /// Its watches.
    pub(super) watches: Vec<(Filter, WatchId)>,
}

pub(super) struct Partial {
    pub(super) packet: Packet,
    /// How long it is by now.
    pub(super) len: usize,
}

impl Session {
    pub(super) fn new(shared: &Arc<Shared>, sid: Box<str>, way: Way, who: Principal, peer: SocketAddr) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            opened: now,
            ping_at: now + shared.settings.ping_every,
            is_pinged: false,
            was_connected: false,
            is_polling: false,
            is_posting: false,
            is_probing: false,
            ended: None,
            wakers: [None, None],
            held: VecDeque::new(),
            joined: Vec::new(),
            partial: None,
        };
        Arc::new(Self {
            sid,
            shared: Arc::clone(shared),
            way: Arc::new(way),
            who,
            peer,
            tells_offset_apart: AtomicBool::new(false),
            outlet: OnceLock::new(),
            present: OnceLock::new(),
            state: Mutex::new(state),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outlet of a client that has said who it is; `None` when it is somebody else already.
    pub(super) fn outlet_for(self: &Arc<Self>, who: &Principal) -> Option<&Arc<Outlet>> {
        let outlet = self.outlet.get_or_init(|| {
            let own_bytes_max = self.shared.settings.payload_max + OWN_BYTES_MORE;
            let settings = OutletSettings { own_bytes_max, ..OutletSettings::default() };
            self.shared.hub.outlet(who.clone(), Box::new(WaySink(Arc::clone(&self.way))), settings)
        });
        if outlet.who() != who {
            return None;
        }
        self.present.get_or_init(|| {
            let arrival = Arrival { protocol: "socketio", peer: self.peer, who, client: None };
            self.shared.hub.presence().enter(arrival, outlet)
        });
        // Who ended meanwhile ends here.
        let mut state = self.lock();
        if state.ended.is_some() {
            outlet.close();
        }
        // A poll that waited from before there was an outlet has to leave its waker there: nobody else drives it.
        state.wake();
        drop(state);
        self.way.wake();
        Some(outlet)
    }

    /// Says a frame, or frames that belong together; what finds no room is held.
    pub(super) fn say(&self, frame: Bytes) {
        let Some(outlet) = self.outlet.get() else {
            if self.way.say(&frame).is_err() {
                self.end(End::Fault("the client doesn't read its answers"));
            }
            return;
        };
        let mut state = self.lock();
        if !state.held.is_empty() || outlet.send(frame.clone()).is_err() {
            state.held.push_back(frame);
        }
        state.wake();
    }

    /// Tries again with what found no room; `true` when nothing is held any more.
    pub(super) fn say_held(&self) -> bool {
        let mut state = self.lock();
        let Some(outlet) = self.outlet.get().filter(|_| !state.held.is_empty()) else { return state.held.is_empty() };
        while let Some(frame) = state.held.pop_front() {
            if outlet.send(frame.clone()).is_err() {
                state.held.push_front(frame);
                return false;
            }
        }
        state.wake();
        true
    }

    /// Whether something found no room.
    pub(super) fn is_holding(&self) -> bool {
        !self.lock().held.is_empty()
    }

    /// Waits until the session has ended.
    pub(super) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.ended.is_some() {
            return Poll::Ready(());
        }
        state.wakers[1] = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Waits until a poll is there, or the session has ended.
    pub(super) fn poll_polled(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_polling || state.ended.is_some() {
            return Poll::Ready(());
        }
        state.wakers[1] = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Waits until nothing is held, or the session has ended.
    pub(super) fn poll_said(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.say_held() {
            return Poll::Ready(());
        }
        let mut state = self.lock();
        if state.ended.is_some() {
            return Poll::Ready(());
        }
        state.wakers[1] = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Writes what can be written; ready when the session is over and all was said.
    pub(super) fn poll_drive(&self, cx: &mut Context<'_>) -> Poll<()> {
        // What is kept goes first, also when the outlet has nothing to write behind it.
        let flushed = self.way.poll_flush(cx);
        let Some(outlet) = self.outlet.get() else { return flushed };
        let Poll::Ready(closed) = outlet.poll_drive(cx, &mut |cx| self.way.poll_writable(cx)) else {
            return Poll::Pending;
        };
        let end = match closed {
            Closed::Asked => End::Client,
            Closed::Dismissed => End::SentAway("disconnected by an administrator"),
            Closed::NotAllowed => End::SentAway("a right was taken back"),
            Closed::Behind => End::SentAway("too slow"),
            Closed::Unavailable => End::SentAway("the log can't be read"),
            Closed::Silent | Closed::Io(_) => End::Silent,
        };
        if let End::SentAway(why) = end {
            outlet.last_words(&closing(close::POLICY, why));
        }
        self.end(end);
        Poll::Ready(())
    }

    /// Leaves a waker for what concerns a poll.
    pub(super) fn wait_with_poll(&self, cx: &Context<'_>) {
        self.lock().wakers[0] = Some(cx.waker().clone());
    }

    /// The client answered a ping.
    pub(super) fn pong(&self) {
        let mut state = self.lock();
        state.is_pinged = false;
        state.ping_at = Instant::now() + self.shared.settings.ping_every;
    }

    /// Whether the answer to a ping is missing for too long, whenever the wheel comes round.
    pub(super) fn is_overdue(&self) -> bool {
        Instant::now() >= self.lock().ping_at + self.shared.settings.pong_max
    }

    /// Pings, or ends what has been silent for too long; gives when to be looked at next.
    pub(super) fn tick(&self, now: Instant) -> Option<Instant> {
        let settings = &self.shared.settings;
        let mut state = self.lock();
        if state.ended.is_some() {
            return None;
        }
        if state.is_pinged && now >= state.ping_at + settings.pong_max {
            drop(state);
            self.end(End::Silent);
            return None;
        }
        let connect_by = state.opened + settings.connect_timeout;
        let must_connect = !state.was_connected && !settings.is_engine_echo;
        if must_connect && now >= connect_by {
            drop(state);
            self.end(End::Fault("no namespace was entered in time"));
            return None;
        }
        let is_due = !state.is_pinged && now >= state.ping_at;
        if is_due {
            state.is_pinged = true;
            // After a stall of the whole machine nobody pays for pings that we sent too late.
            if now > state.ping_at + settings.pong_max / 4 {
                state.ping_at = now;
            }
        }
        let due = if state.is_pinged { state.ping_at + settings.pong_max } else { state.ping_at };
        let next = due.min(now + settings.ping_every);
        drop(state);
        if is_due {
            self.ping();
        }
        Some(if must_connect { next.min(connect_by) } else { next })
    }

    /// Not by `say`: a ping that finds no room isn't held, as whoever doesn't read doesn't answer either.
    fn ping(&self) {
        let mut frame = Vec::new();
        write_frame(Opcode::Text, b"2", &mut frame);
        match self.outlet.get() {
            Some(outlet) => drop(outlet.send(frame.into())),
            None => drop(self.way.say(&frame)),
        }
        self.lock().wake();
    }

    /// Ends the session; the first reason counts.
    pub(super) fn end(&self, end: End) {
        {
            let mut state = self.lock();
            if state.ended.is_some() {
                return;
            }
            state.ended = Some(end);
            state.held.clear();
            state.partial = None;
        }
        self.shared.ended(self, end);
        let last = match end {
            End::Client => closing(close::NORMAL, ""),
            End::Fault(why) | End::SentAway(why) => closing(close::POLICY, why),
            End::Silent => closing(close::POLICY, "ping timeout"),
            End::GoingAway(ms) => closing(close::GOING_AWAY, &format!("the hub is shutting down; retry in {ms} ms")),
        };
        match self.outlet.get() {
            Some(outlet) => {
                // Without room the client doesn't read, and can't be told.
                let _ = outlet.send(last.into());
                outlet.close();
            }
            None => {
                let _ = self.way.say(&last);
                self.way.close();
            }
        }
        self.lock().wake();
    }

    /// What a poll of a session that has ended is told last.
    pub(super) fn last_packet(&self) -> Option<&'static [u8]> {
        self.lock().ended.map(|end| if end == End::Client { b"6".as_slice() } else { b"1" })
    }
}

impl State {
    /// Wakes whoever waits with a request.
    pub(super) fn wake(&mut self) {
        for waker in self.wakers.iter_mut().filter_map(Option::take) {
            waker.wake();
        }
    }
}

fn closing(code: u16, why: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(Opcode::Close, &close::close_payload(code, why), &mut frame);
    frame
}
