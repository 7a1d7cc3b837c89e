//! A session's WebSocket: a small future that reads packets, and lets the hub write to the socket.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_event::Later;
use headwater_hub::Sink as _;
use tokio::time::{Sleep, sleep};

use super::engine::{self, Fault, Packet};
use super::hearing::Heard;
use super::session::{End, Session};
use crate::ws::connection::SCRATCH;
use crate::ws::socket::Socket;
use crate::ws::{Decoder, Opcode, Said, write_frame};

/// How many turns one poll takes before it lets other connections have the thread.
const TURNS_MAX: u32 = 16;

/// How many publishes of one connection may wait for the disk; beyond that nothing more is read.
const IN_FLIGHT_MAX: usize = 1_000;

/// How long the last frame may take to be written, and the client to end the connection after it.
pub(super) const FAREWELL: Duration = Duration::from_secs(2);

/// How long a message may take from its first byte to its last.
const MESSAGE_TIME_MAX: Duration = Duration::from_secs(30);

/// A client's WebSocket; as a future it ends with the connection.
#[must_use = "a connection lives while its future is polled"]
pub struct Connection {
    pub(super) socket: Socket,
    pub(super) session: Arc<Session>,
    decoder: Decoder,
    pub(super) phase: Phase,
    /// Whether the session's way is this one, so that it ends with it.
    pub(super) is_its_way: bool,
    /// What a connection needs only while something is unfinished.
    pub(super) open: Option<Box<Unfinished>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The session's way is still over HTTP.
    Probing,
    Open,
    /// The last words are on their way.
    Closing,
    /// All is written; the client is to end the connection.
    Lingering,
}

#[derive(Default)]
pub(super) struct Unfinished {
    answers: VecDeque<Later<'static, ()>>,
    /// Until this is over, nothing more is heard.
    wait: Option<Later<'static, ()>>,
    /// Bytes that were read and not yet heard, from `heard_to` on.
    unread: Vec<u8>,
    heard_to: usize,
    /// When the message that has begun must be whole, or the probe or the farewell be over.
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
}

impl Unfinished {
    fn is_finished(&self) -> bool {
        self.answers.is_empty() && self.wait.is_none() && self.unread.is_empty() && self.deadline.is_none()
    }

    pub(super) fn until(after: Duration) -> Option<Box<Self>> {
        Some(Box::new(Self { deadline: Some(Box::pin(sleep(after))), ..Self::default() }))
    }
}

#[derive(PartialEq, Eq)]
enum Turn {
    Again,
    Wait,
    Over,
}

impl Connection {
    pub(super) fn new(socket: Socket, session: Arc<Session>, phase: Phase, leftover: &[u8]) -> Self {
        let decoder = Decoder::new(session.shared.settings.payload_max);
        let mut open = None;
        if phase == Phase::Probing {
            open = Unfinished::until(session.shared.settings.upgrade_timeout);
        }
        if !leftover.is_empty() {
            open.get_or_insert_default().unread = leftover.to_vec();
        }
        Self { socket, session, decoder, phase, is_its_way: phase == Phase::Open, open }
    }

    /// A few bytes, straight to the socket of a probe, whose buffer is empty; should it take none, the probe fails.
    pub(super) fn write(&self, bytes: &[u8]) {
        let _ = self.socket.try_write(&[IoSlice::new(bytes)]);
    }

    fn unfinished(&mut self) -> &mut Unfinished {
        self.open.get_or_insert_default()
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        let deadline = self.open.as_mut().and_then(|open| open.deadline.as_mut());
        if deadline.is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready()) {
            if self.phase != Phase::Open {
                return Turn::Over;
            }
            self.session.end(End::Fault("a message took too long"));
        }
        if self.phase == Phase::Open && self.session.lock().ended.is_some() {
            self.phase = Phase::Closing;
            self.open = Unfinished::until(FAREWELL);
        }
        let turn = match self.phase {
            Phase::Open => self.serve(cx),
            Phase::Probing => return self.serve(cx),
            Phase::Closing => Turn::Wait,
            Phase::Lingering => return self.linger(cx),
        };
        if turn == Turn::Over {
            return Turn::Over;
        }
        if self.session.poll_drive(cx).is_ready() {
            self.socket.end_writing();
            self.phase = Phase::Lingering;
            self.open = Unfinished::until(FAREWELL);
            return Turn::Again;
        }
        if self.phase == Phase::Open && self.session.is_holding() && self.session.say_held() {
            return Turn::Again;
        }
        turn
    }

    fn serve(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut has_moved = false;
        let is_holding = self.session.is_holding();
        if let Some(open) = self.open.as_mut().filter(|_| !is_holding) {
            if let Some(wait) = &mut open.wait
                && wait.as_mut().poll(cx).is_ready()
            {
                open.wait = None;
                has_moved = true;
            }
            while let Some(oldest) = open.answers.front_mut()
                && oldest.as_mut().poll(cx).is_ready()
            {
                open.answers.pop_front();
                has_moved = true;
            }
        }
        let turn = if self.hear_unread() { Turn::Again } else { self.read(cx) };
        if self.open.as_ref().is_some_and(|open| open.is_finished()) {
            self.open = None;
        }
        if turn == Turn::Wait && has_moved { Turn::Again } else { turn }
    }

    fn must_wait(&self) -> bool {
        let is_full = |open: &Unfinished| open.wait.is_some() || open.answers.len() >= IN_FLIGHT_MAX;
        self.open.as_deref().is_some_and(is_full) || self.phase == Phase::Open && self.session.is_holding()
    }

    fn is_hearing(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Probing)
    }

    fn hear_unread(&mut self) -> bool {
        if self.must_wait() {
            return false;
        }
        let Some(open) = self.open.as_mut().filter(|open| !open.unread.is_empty()) else { return false };
        let (mut unread, from) = (std::mem::take(&mut open.unread), std::mem::take(&mut open.heard_to));
        let heard_to = from + self.hear(&mut unread[from..]);
        if heard_to < unread.len() && self.is_hearing() {
            let open = self.unfinished();
            (open.unread, open.heard_to) = (unread, heard_to);
        }
        true
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Turn {
        if self.must_wait() || !self.is_hearing() {
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
                let heard_to = self.hear(&mut scratch[..len]);
                if heard_to < len && self.is_hearing() {
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
        while self.is_hearing() && !self.must_wait() && self.session.lock().ended.is_none() {
            match self.decoder.next(&mut input[at..]) {
                Ok((used, None)) => {
                    at += used;
                    break;
                }
                Ok((used, Some(said))) => {
                    at += used;
                    is_message_done |= matches!(said, Said::Text(_) | Said::Binary(_));
                    if let Err(fault) = self.take(said) {
                        self.fail(fault.0);
                    }
                }
                Err(_) => self.fail("no WebSocket frame, or too long a message"),
            }
        }
        if self.phase == Phase::Open {
            self.set_deadline(is_message_done);
        }
        at
    }

    fn fail(&mut self, why: &'static str) {
        if self.phase == Phase::Probing {
            // The session goes on over HTTP.
            self.end_probe();
            return;
        }
        self.session.end(End::Fault(why));
    }

    /// Time runs for a client that is amid a message, unless it's the hub that makes it wait.
    fn set_deadline(&mut self, is_message_done: bool) {
        if !self.decoder.is_amid() || self.must_wait() {
            if let Some(open) = &mut self.open {
                open.deadline = None;
            }
            return;
        }
        let open = self.unfinished();
        if is_message_done || open.deadline.is_none() {
            open.deadline = Some(Box::pin(sleep(MESSAGE_TIME_MAX)));
        }
    }

    fn take(&mut self, said: Said<'_>) -> Result<(), Fault> {
        let packet = match &said {
            Said::Text(text) => engine::read(text)?,
            Said::Binary(bytes) => Packet::Binary(Bytes::copy_from_slice(bytes)),
            Said::Ping(bytes) => {
                let mut out = Vec::new();
                write_frame(Opcode::Pong, bytes, &mut out);
                if self.phase == Phase::Probing {
                    self.write(&out);
                } else {
                    self.session.say(out.into());
                }
                return Ok(());
            }
            Said::Pong => return Ok(()),
            Said::Close(_) if self.phase == Phase::Probing => {
                self.end_probe();
                return Ok(());
            }
            Said::Close(_) => {
                self.session.end(End::Client);
                return Ok(());
            }
        };
        if self.phase == Phase::Probing {
            return self.take_probe(&packet);
        }
        match self.session.hear(packet)? {
            Heard::Done => {}
            Heard::Wait(wait) => self.unfinished().wait = Some(wait),
            Heard::Answer(answer) => self.unfinished().answers.push_back(answer),
        }
        Ok(())
    }

    /// Reads and passes over what still comes, until the client ends the connection.
    fn linger(&self, cx: &mut Context<'_>) -> Turn {
        match SCRATCH.with_borrow_mut(|scratch| self.socket.poll_pass_over(cx, scratch)) {
            Poll::Pending => Turn::Wait,
            Poll::Ready(true) => Turn::Again,
            Poll::Ready(false) => Turn::Over,
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

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_its_way {
            self.session.end(End::Client);
        } else if self.phase == Phase::Probing {
            self.session.lock().is_probing = false;
        }
    }
}
