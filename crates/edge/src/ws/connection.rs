//! One client's WebSocket: a small future that reads requests, and lets the hub write to the socket.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_event::{Later, Principal};
use headwater_hub::{Closed, Hub, Outlet, OutletSettings};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::answers::Answers;
use super::close::{self, CloseCode, Closing};
use super::decoder::{Decoder, Said};
use super::frame::{Opcode, write_frame};
use super::reply;
use super::request::{self, Asked, Reference, Request, malformed};
use super::settings::Settings;
use super::socket::Socket;
use super::spelling::JsonFrames;
use super::watches::{Begun, Watches};
use crate::accept::Stopping;

/// How much is read at once, in bytes: about what a socket's buffer holds. There is one such buffer a thread.
const READ_LEN: usize = 64 << 10;

/// How many turns one poll takes before it lets other connections have the thread.
const TURNS_MAX: u32 = 16;

/// How long the last frame may take to be written, and the client to end the connection after it.
const FAREWELL: Duration = Duration::from_secs(2);

thread_local! {
    /// Where all connections of this thread read to. Each uses up what it read before another one reads.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
}

/// A client's connection; as a future it ends with the connection.
#[must_use = "a connection lives while its future is polled"]
pub struct Connection {
    socket: Socket,
    hub: Arc<Hub>,
    outlet: Arc<Outlet>,
    settings: Arc<Settings>,
    decoder: Decoder,
    watches: Watches,
    /// Resolves when the program ends; `None` once that was heard.
    stopping: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    phase: Phase,
    /// What a connection needs only while something is unfinished: an idle one costs a pointer here.
    open: Option<Box<Unfinished>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The close frame is on its way out; the client isn't heard any more.
    Closing,
    /// All is written; the client is to end the connection. (Closing it first, with bytes unread, would reset it, and
    /// the close frame could get lost on its way.)
    Lingering,
}

#[derive(Default)]
struct Unfinished {
    answers: Answers,
    /// A subscription that is beginning; until it has, nothing more is heard.
    beginning: Option<Later<'static, Begun>>,
    /// An answer that found no room: the client doesn't read. Until it has, nothing more is heard.
    held: Option<Bytes>,
    /// Bytes that were read and not yet heard, from `heard_to` on.
    unread: Vec<u8>,
    heard_to: usize,
    /// When the message that has begun must be whole, or the farewell be over.
    deadline: Option<Pin<Box<Sleep>>>,
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
enum Turn {
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
        stream: TcpStream,
        answer: Vec<u8>,
        leftover: &[u8],
        hub: &Arc<Hub>,
        who: Principal,
        settings: &Arc<Settings>,
        mut stopping: Stopping,
    ) -> Self {
        // Frames are small and wait for nobody; it fails only on a socket that is broken, which shows at the first write.
        let _ = stream.set_nodelay(true);
        let socket = Socket(Arc::new(stream));
        let beat = Some((settings.ping_every, JsonFrames::shared()));
        let out = OutletSettings { beat, silence_max: Some(settings.silence_max), ..OutletSettings::default() };
        let outlet = hub.outlet(who, Box::new(socket.clone()), out);
        let mut first = answer;
        reply::welcome(hub.head(), hub.limits().payload_max, settings, &mut first);
        let mut connection = Self {
            socket,
            hub: Arc::clone(hub),
            outlet,
            settings: Arc::clone(settings),
            decoder: Decoder::new(settings.message_len_max),
            watches: Watches::default(),
            stopping: Some(Box::pin(async move { stopping.requested().await })),
            phase: Phase::Open,
            open: None,
        };
        connection.say(first.into());
        if !leftover.is_empty() {
            connection.unfinished().unread = leftover.to_vec();
        }
        connection
    }

    fn unfinished(&mut self) -> &mut Unfinished {
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
        if self.phase == Phase::Open && self.is_stopping(cx) {
            self.close(close::GOING_AWAY, "the hub is shutting down");
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
            if closed != Closed::Asked {
                return Turn::Over;
            }
            self.socket.end_writing();
            self.phase = Phase::Lingering;
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

    /// Hears as much as may be heard now; gives how many bytes that was.
    fn hear(&mut self, input: &mut [u8]) -> usize {
        let (mut at, mut is_message_done) = (0, false);
        while self.phase == Phase::Open && !self.must_wait() {
            match self.decoder.next(&mut input[at..]) {
                Ok((used, None)) => {
                    at += used;
                    break;
                }
                Ok((used, Some(said))) => {
                    at += used;
                    is_message_done |= matches!(said, Said::Text(_) | Said::Binary(_));
                    self.take(said);
                }
                Err(fault) => self.close(fault.code(), &fault.to_string()),
            }
        }
        if self.phase == Phase::Open {
            self.set_deadline(is_message_done);
        }
        at
    }

    /// Time runs for a client that is amid a message, unless it's the hub that makes it wait.
    fn set_deadline(&mut self, is_message_done: bool) {
        if !self.decoder.is_amid() || self.must_wait() {
            if let Some(open) = &mut self.open {
                open.deadline = None;
            }
            return;
        }
        let time_max = self.settings.message_time_max;
        let open = self.unfinished();
        if is_message_done || open.deadline.is_none() {
            open.deadline = Some(Box::pin(sleep(time_max)));
        }
    }

    fn take(&mut self, said: Said<'_>) {
        match said {
            Said::Text(text) => self.take_request(request::read(&text)),
            Said::Binary(_) => self.refuse(None, &malformed("a frame is JSON in a text message, not a binary one")),
            Said::Ping(bytes) => self.pong(&bytes),
            Said::Pong => {}
            Said::Close(closing) => self.close_back(&closing),
        }
    }

    fn take_request(&mut self, asked: Asked) {
        let reference = asked.reference;
        match asked.request {
            Ok(Request::Subscribe(subscribe)) => {
                let max = self.settings.subscriptions_max;
                match self.watches.begin(&self.outlet, reference, subscribe, max) {
                    Ok(beginning) => self.unfinished().beginning = Some(beginning),
                    Err(why) => self.say(why),
                }
            }
            Ok(Request::Unsubscribe(filter)) => {
                let answer = self.watches.end(&self.outlet, reference.as_ref(), &filter);
                self.say(answer);
            }
            Ok(Request::Publish(publish)) => {
                let open = self.open.get_or_insert_default();
                open.answers.publish(&self.hub, &self.outlet, reference, *publish);
            }
            Ok(Request::Ping) => self.say(reply::pong(reference.as_ref())),
            Err(refusal) => self.refuse(reference.as_ref(), &refusal),
        }
    }

    fn refuse(&mut self, reference: Option<&Reference>, refusal: &headwater_event::Refusal) {
        let mut out = Vec::new();
        reply::refused(reference, refusal, &mut out);
        self.say(out.into());
    }

    fn pong(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        write_frame(Opcode::Pong, bytes, &mut out);
        self.say(out.into());
    }

    /// Whether the client has to wait before it is heard again.
    fn must_wait(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            open.held.is_some() || open.beginning.is_some() || open.answers.len() >= self.settings.in_flight_max
        })
    }

    /// Hands a frame to the outlet, or holds it until there's room. Nothing is said while one is held.
    fn say(&mut self, frame: Bytes) {
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

    /// Closes from this side (RFC 6455 section 7.1.2).
    fn close(&mut self, code: CloseCode, reason: &str) {
        self.end_with(&close::close_payload(code, reason));
    }

    /// Answers a close with its own code (section 5.5.1).
    fn close_back(&mut self, closing: &Closing) {
        let payload = closing.code.map(|code| close::close_payload(code, "")).unwrap_or_default();
        self.end_with(&payload);
    }

    fn end_with(&mut self, payload: &[u8]) {
        let mut frame = Vec::new();
        write_frame(Opcode::Close, payload, &mut frame);
        // Without room the client doesn't read, and can't be told.
        let _ = self.outlet.send(frame.into());
        self.outlet.close();
        self.phase = Phase::Closing;
        let deadline = Some(Box::pin(sleep(FAREWELL)));
        self.open = Some(Box::new(Unfinished { deadline, ..Unfinished::default() }));
    }

    fn is_stopping(&mut self, cx: &mut Context<'_>) -> bool {
        let is_stopping = self.stopping.as_mut().is_some_and(|stopping| stopping.as_mut().poll(cx).is_ready());
        if is_stopping {
            self.stopping = None;
        }
        is_stopping
    }

    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.open.as_mut().and_then(|open| open.deadline.as_mut());
        deadline.is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
    }

    /// Reads and passes over what still comes, until the client ends the connection.
    fn linger(&mut self, cx: &mut Context<'_>) -> Turn {
        match self.socket.0.poll_read_ready(cx) {
            Poll::Pending => Turn::Wait,
            Poll::Ready(Err(_)) => Turn::Over,
            Poll::Ready(Ok(())) => SCRATCH.with_borrow_mut(|scratch| match self.socket.0.try_read(scratch) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Turn::Again,
                Ok(0) | Err(_) => Turn::Over,
                Ok(_) => Turn::Again,
            }),
        }
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
