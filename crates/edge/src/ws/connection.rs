//! One client's WebSocket: a small future that reads requests, and lets the hub write to the socket.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_event::{Later, Principal};
use headwater_hub::{Arrival, Closed, Hub, Outlet, OutletSettings, Present};
use tokio::time::Sleep;

use super::answers::Answers;
use super::close;
use super::decoder::Decoder;
use super::present::Place;
use super::reply;
use super::settings::Settings;
use super::socket::Socket;
use super::spelling::JsonFrames;
use super::watches::{Begun, Watches};
use crate::accept;

/// How much is read at once, in bytes: about what a socket's buffer holds. There is one such buffer a thread.
const READ_LEN: usize = 64 << 10;

/// How many turns one poll takes before it lets other connections have the thread.
const TURNS_MAX: u32 = 16;

thread_local! {
    /// Where all connections of this thread read to. Each uses up what it read before another one reads.
    pub(crate) static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
}

/// A client's connection; as a future it ends with the connection.
#[must_use = "a connection lives while its future is polled"]
pub struct Connection {
    pub(super) socket: Socket,
    pub(super) hub: Arc<Hub>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) settings: Arc<Settings>,
    pub(super) decoder: Decoder,
    pub(super) watches: Watches,
    /// Whoever is here is told when the program ends.
    pub(super) _place: Place,
    /// And stands in the list of those who are connected.
    pub(super) _present: Present,
    pub(super) phase: Phase,
    /// What a connection needs only while something is unfinished: an idle one costs a pointer here.
    pub(super) open: Option<Box<Unfinished>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The close frame is on its way out; the client isn't heard any more.
    Closing,
    /// All is written; the client is to end the connection. (Closing it first, with bytes unread, would reset it, and
    /// the close frame could get lost on its way.)
    Lingering,
}

#[derive(Default)]
pub(super) struct Unfinished {
    pub(super) answers: Answers,
    /// A subscription that is beginning; until it has, nothing more is heard.
    pub(super) beginning: Option<Later<'static, Begun>>,
    /// An answer that found no room: the client doesn't read. Until it has, nothing more is heard.
    pub(super) held: Option<Bytes>,
    /// Bytes that were read and not yet heard, from `heard_to` on.
    pub(super) unread: Vec<u8>,
    pub(super) heard_to: usize,
    /// When the message that has begun must be whole, or the farewell be over.
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
}

impl Unfinished {
    fn is_finished(&self) -> bool {
        self.answers.is_empty()
            && self.beginning.is_none()
            && self.held.is_none()
            && self.unread.is_empty()
            && self.deadline.is_none()
    }
}

/// What a turn came to.
#[derive(PartialEq, Eq)]
pub(super) enum Turn {
    /// Something happened, so something else may be possible now.
    Again,
    /// Whatever is waited for will wake the task.
    Wait,
    /// The connection has ended.
    Over,
}

impl Connection {
    /// A connection whose handshake is answered with `answer`; `leftover` came behind the request.
    pub(super) fn open(
        connection: accept::Connection,
        answer: Vec<u8>,
        leftover: &[u8],
        hub: &Arc<Hub>,
        who: Principal,
        settings: &Arc<Settings>,
    ) -> Self {
        let accept::Connection { stream, peer, stopping, .. } = connection;
        let socket = Socket(Arc::new(stream));
        let beat = Some((settings.ping_every, JsonFrames::shared()));
        let out = OutletSettings { beat, silence_max: Some(settings.silence_max), ..OutletSettings::default() };
        let outlet = hub.outlet(who, Box::new(socket.clone()), out);
        let mut first = answer;
        reply::welcome(hub.head(), hub.limits().payload_max, settings, &mut first);
        let mut connection = Self {
            socket,
            hub: Arc::clone(hub),
            settings: Arc::clone(settings),
            decoder: Decoder::new(settings.message_len_max),
            watches: Watches::default(),
            _place: settings.present.enter(&outlet, stopping),
            _present: hub.presence().enter(Arrival { protocol: "ws", peer, who: outlet.who(), client: None }, &outlet),
            outlet,
            phase: Phase::Open,
            open: None,
        };
        connection.say(first.into());
        if !leftover.is_empty() {
            connection.unfinished().unread = leftover.to_vec();
        }
        connection
    }

    pub(super) fn unfinished(&mut self) -> &mut Unfinished {
        self.open.get_or_insert_default()
    }

    /// One round: what the client said, what it waits for, what the hub has for it.
    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        if self.is_overdue(cx) {
            if self.phase != Phase::Open {
                return Turn::Over;
            }
            self.close(close::POLICY, "a message took too long");
        }
        let mut turn = match self.phase {
            Phase::Open => self.serve(cx),
            Phase::Closing => Turn::Wait,
            Phase::Lingering => return self.linger(cx),
        };
        if turn == Turn::Over {
            return Turn::Over;
        }
        let socket = &self.socket.0;
        if let Poll::Ready(closed) = self.outlet.poll_drive(cx, &mut |cx| socket.poll_write_ready(cx)) {
            match closed {
                Closed::Asked => {}
                Closed::Dismissed => self.say_sent_away("disconnected by an administrator"),
                Closed::NotAllowed => self.say_sent_away("a right was taken back"),
                _ => return Turn::Over,
            }
            self.end_writing();
            return Turn::Again;
        }
        if self.say_held() {
            turn = Turn::Again;
        }
        turn
    }

    /// What an open connection does beside being written to.
    fn serve(&mut self, cx: &mut Context<'_>) -> Turn {
        let answered = self.poll_answers(cx);
        let begun = self.poll_beginning(cx);
        let turn = if self.poll_unread() { Turn::Again } else { self.poll_read(cx) };
        if self.open.as_ref().is_some_and(|open| open.is_finished()) {
            self.open = None;
        }
        match turn {
            Turn::Wait if answered || begun => Turn::Again,
            turn => turn,
        }
    }

    /// Says what has become of publishes; `true` when there was something to say.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(open) = &mut self.open else { return false };
        if open.held.is_some() {
            return false;
        }
        let mut out = Vec::new();
        if !open.answers.poll_piece(cx, &mut out) {
            return false;
        }
        // It was the hub that the client waited for, so its silence meanwhile doesn't count.
        self.outlet.heard();
        self.say(out.into());
        true
    }

    /// Goes on with a subscription that is beginning.
    fn poll_beginning(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(open) = &mut self.open else { return false };
        if open.held.is_some() {
            return false;
        }
        let Some(beginning) = &mut open.beginning else { return false };
        let Poll::Ready(begun) = beginning.as_mut().poll(cx) else { return false };
        open.beginning = None;
        match begun {
            Ok((filter, id)) => self.watches.keep(filter, id),
            Err(why) => self.say(why),
        }
        true
    }

    /// Hears what was read earlier and had to wait; `true` when there was something.
    fn poll_unread(&mut self) -> bool {
        if self.must_wait() {
            return false;
        }
        let Some(open) = self.open.as_mut().filter(|open| !open.unread.is_empty()) else { return false };
        let (mut unread, from) = (std::mem::take(&mut open.unread), std::mem::take(&mut open.heard_to));
        let heard_to = from + self.hear(&mut unread[from..]);
        if heard_to < unread.len() && self.phase == Phase::Open {
            let open = self.unfinished();
            (open.unread, open.heard_to) = (unread, heard_to);
        }
        true
    }

    /// Reads from the socket and hears.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Turn {
        if self.must_wait() || self.phase != Phase::Open {
            return Turn::Wait;
        }
        match self.socket.0.poll_read_ready(cx) {
            Poll::Pending => return Turn::Wait,
            Poll::Ready(Err(_)) => return Turn::Over,
            Poll::Ready(Ok(())) => {}
        }
        SCRATCH.with_borrow_mut(|scratch| match self.socket.0.try_read(scratch) {
            Ok(0) => Turn::Over,
            Ok(len) => {
                self.outlet.heard();
                let heard_to = self.hear(&mut scratch[..len]);
                if heard_to < len && self.phase == Phase::Open {
                    self.unfinished().unread = scratch[heard_to..len].to_vec();
                }
                Turn::Again
            }
            // It wasn't ready after all; asking again leaves a waker there.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Turn::Again,
            Err(_) => Turn::Over,
        })
    }

    /// Whether the client has to wait before it is heard again.
    pub(super) fn must_wait(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            open.held.is_some() || open.beginning.is_some() || open.answers.len() >= self.settings.in_flight_max
        })
    }

    /// Hands a frame to the outlet, or holds it until there's room. Nothing is said while one is held.
    pub(super) fn say(&mut self, frame: Bytes) {
        if self.outlet.send(frame.clone()).is_err() {
            self.unfinished().held = Some(frame);
        }
    }

    /// Tries again with the frame that found no room.
    fn say_held(&mut self) -> bool {
        let Some(open) = &mut self.open else { return false };
        let Some(frame) = open.held.take() else { return false };
        if self.outlet.send(frame.clone()).is_ok() {
            return true;
        }
        open.held = Some(frame);
        false
    }

    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.open.as_mut().and_then(|open| open.deadline.as_mut());
        deadline.is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS_MAX {
            match self.turn(cx) {
                Turn::Again => {}
                Turn::Wait => return Poll::Pending,
                Turn::Over => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
