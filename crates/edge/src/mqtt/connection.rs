//! One client's connection after its CONNECT: a small future that hears packets, and lets the hub write to the socket.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use headwater_event::{Later, Text, Topic};
use headwater_hub::{Closed, Outlet, Present};
use tokio::time::Sleep;

use super::front::Front;
use super::owed::Owed;
use super::packet::{Decoder, Version};
use super::seats::Claim;
use super::session::Session;
use super::shares::Share;
use super::subscribing::Begun;
use super::wills::Will;
use super::wire::Wire;
use crate::accept::Stopping;

/// How much is read at once, in bytes: about what a socket's buffer holds. There is one such buffer a thread.
pub(super) const READ_LEN: usize = 64 << 10;

/// How many turns one poll takes before it lets other connections have the thread.
const TURNS_MAX: u32 = 16;

thread_local! {
    /// Where all connections of this thread read to. Each uses up what it read before another one reads.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_LEN]);
}

/// A client's connection.
pub(super) struct Connection {
    pub(super) wire: Wire,
    pub(super) front: Front,
    pub(super) outlet: Arc<Outlet>,
    pub(super) claim: Claim,
    pub(super) decoder: Decoder,
    /// What was read and isn't a whole packet yet, or has to wait; empty mostly, and then without memory.
    pub(super) buffer: BytesMut,
    pub(super) about: Box<About>,
    pub(super) phase: Phase,
    /// What a connection needs only while something is unfinished: an idle one costs a pointer here.
    pub(super) open: Option<Box<Unfinished>>,
    pub(super) stopping: Stopping,
    /// Others can see that it is here, and send it away.
    pub(super) _present: Present,
}

/// What stays the same, or is seldom looked at.
pub(super) struct About {
    pub(super) version: Version,
    pub(super) session: Session,
    pub(super) will: Option<Box<Will>>,
    /// The client wants reasons in words (MQTT 5.0 section 3.1.2.11.7).
    pub(super) wants_reasons: bool,
    /// Packets above this size can't be sent to it; 0 sets no limit.
    pub(super) packet_len_max: u32,
    /// The session's expiry was 0 at the CONNECT: then DISCONNECT can't change it (section 3.14.2.2.2).
    pub(super) is_expiry_fixed: bool,
    /// Topics that the client gave numbers to, from 1.
    pub(super) aliases: Vec<Option<Topic>>,
    /// This client's mark on publications that it may not want to get back, once there was such a one.
    pub(super) mark: Option<Text>,
    /// It has a subscription that leaves its own publications out, so all of them are marked.
    pub(super) is_marking: bool,
    /// It asked to be told what events are to the hub: their names, when they came, the attempt.
    pub(super) is_told: bool,
    /// Its parts in shared subscriptions, by filter as it was written.
    pub(super) shares: Vec<(Text, Share)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The last packet is on its way out; the client isn't heard any more.
    Closing,
    /// All is written; it's for the client to end the connection.
    Written,
}

#[derive(Default)]
pub(super) struct Unfinished {
    pub(super) owed: Owed,
    /// Subscriptions that are beginning; until they have, nothing more is heard.
    pub(super) beginning: Option<Later<'static, Begun>>,
    /// An answer that found no room: the client doesn't read. Until it has, nothing more is heard.
    pub(super) held: Option<Bytes>,
    /// Those who watch are behind with what isn't kept: until there is room, nothing more is heard.
    pub(super) room: Option<Later<'static, ()>>,
    /// Acknowledgements since the session was saved, and the saving under way.
    pub(super) unsaved: u32,
    pub(super) saving: Option<Later<'static, ()>>,
    /// The farewell has to be over then.
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
}

impl Unfinished {
    fn is_finished(&self) -> bool {
        self.owed.is_empty()
            && self.beginning.is_none()
            && self.held.is_none()
            && self.room.is_none()
            && self.unsaved == 0
            && self.saving.is_none()
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
    pub(super) fn unfinished(&mut self) -> &mut Unfinished {
        self.open.get_or_insert_default()
    }

    /// One round: what the client said, what it waits for, what the hub has for it.
    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        if self.is_overdue(cx) {
            return Turn::Over;
        }
        if self.phase == Phase::Open && self.claim.is_superseded() {
            self.give_way();
            return Turn::Again;
        }
        let mut turn = match self.phase {
            Phase::Open => self.serve(cx),
            Phase::Closing => Turn::Wait,
            Phase::Written => return Turn::Over,
        };
        if turn == Turn::Over {
            return Turn::Over;
        }
        let socket = &self.wire.socket.0;
        if let Poll::Ready(closed) = self.outlet.poll_drive(cx, &mut |cx| socket.poll_write_ready(cx)) {
            return self.ended(closed);
        }
        self.about.shares.iter().for_each(|(_, share)| share.look_again());
        if self.say_held() {
            turn = Turn::Again;
        }
        turn
    }

    /// What an open connection does beside being written to.
    fn serve(&mut self, cx: &mut Context<'_>) -> Turn {
        let answered = self.poll_owed(cx);
        if self.stopping.poll_requested(cx).is_ready() {
            // Nothing more is heard; what was heard is answered.
            if self.open.as_ref().is_none_or(|open| open.owed.is_empty()) {
                self.outlet.close();
            }
            return if answered { Turn::Again } else { Turn::Wait };
        }
        let begun = self.poll_beginning(cx);
        self.poll_waiting(cx);
        let turn = if self.hear_rest() { Turn::Again } else { self.poll_read(cx) };
        if self.open.as_ref().is_some_and(|open| open.is_finished()) {
            self.open = None;
        }
        match turn {
            Turn::Wait if answered || begun => Turn::Again,
            turn => turn,
        }
    }

    /// Says what has become of publications and the like; `true` when there was something to say.
    fn poll_owed(&mut self, cx: &mut Context<'_>) -> bool {
        let version = self.about.version;
        let Some(open) = self.open.as_mut().filter(|open| open.held.is_none()) else { return false };
        let mut out = Vec::new();
        let settled = open.owed.settle(cx, version, &mut out);
        settled.undone.iter().for_each(|id| {
            self.about.session.open.remove(id);
        });
        if settled.is_hopeless && self.phase == Phase::Open {
            self.close_for_want_of_words();
        }
        if out.is_empty() {
            return false;
        }
        // It was the hub that the client waited for, so its silence meanwhile doesn't count.
        self.outlet.heard();
        self.say(out);
        true
    }

    /// Polls what hearing waits for beside answers.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) {
        let Some(open) = &mut self.open else { return };
        if open.room.as_mut().is_some_and(|room| room.as_mut().poll(cx).is_ready()) {
            open.room = None;
        }
        if open.saving.as_mut().is_some_and(|saving| saving.as_mut().poll(cx).is_ready()) {
            open.saving = None;
            if open.unsaved > 0 {
                self.save_progress();
            }
        }
    }

    /// Hears what was read earlier and had to wait; `true` when there was something to be heard.
    fn hear_rest(&mut self) -> bool {
        if self.must_wait() || (self.buffer.is_empty() && !self.decoder.holds_packets()) {
            return false;
        }
        let before = (self.buffer.len(), self.decoder.holds_packets());
        self.hear();
        before != (self.buffer.len(), self.decoder.holds_packets())
    }

    /// Reads from the socket and hears.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Turn {
        if self.must_wait() || self.phase != Phase::Open {
            return Turn::Wait;
        }
        match self.wire.socket.0.poll_read_ready(cx) {
            Poll::Pending => return Turn::Wait,
            Poll::Ready(Err(_)) => return Turn::Over,
            Poll::Ready(Ok(())) => {}
        }
        SCRATCH.with_borrow_mut(|scratch| match self.wire.socket.0.try_read(scratch) {
            Ok(0) => Turn::Over,
            Ok(len) => {
                self.outlet.heard();
                match self.wire.take(&mut scratch[..len], &mut self.buffer) {
                    Ok(answers) => {
                        if !answers.is_empty() {
                            self.say_raw(answers.into());
                        }
                        self.hear();
                    }
                    Err(last_words) => self.end_with_frame(last_words),
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
        let settings = &self.front.settings;
        self.open.as_ref().is_some_and(|open| {
            open.held.is_some()
                || open.beginning.is_some()
                || open.room.is_some()
                || open.owed.events() > usize::from(settings.in_flight_max)
                || open.owed.bytes() > settings.in_flight_bytes_max
        })
    }

    /// Hands packets to the outlet, or holds them until there's room. Nothing is said while some are held.
    pub(super) fn say(&mut self, packets: Vec<u8>) {
        let bytes = self.wire.frame(packets);
        self.say_raw(bytes);
    }

    fn say_raw(&mut self, bytes: Bytes) {
        if let Some(held) = self.open.as_mut().and_then(|open| open.held.take()) {
            self.unfinished().held = Some([&held[..], &bytes[..]].concat().into());
        } else if self.outlet.send(bytes.clone()).is_err() {
            self.unfinished().held = Some(bytes);
        }
    }

    /// Tries again with what found no room.
    fn say_held(&mut self) -> bool {
        let Some(open) = &mut self.open else { return false };
        let Some(bytes) = open.held.take() else { return false };
        if self.outlet.send(bytes.clone()).is_ok() {
            return true;
        }
        open.held = Some(bytes);
        false
    }

    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.open.as_mut().and_then(|open| open.deadline.as_mut());
        deadline.is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
    }

    /// The outlet has ended.
    fn ended(&mut self, closed: Closed) -> Turn {
        if self.phase == Phase::Open {
            self.say_why(closed);
        }
        if !matches!(closed, Closed::Io(_)) {
            self.wire.socket.end_writing();
            self.phase = Phase::Written;
        }
        Turn::Over
    }
}

/// A connection at work; gives it back when nothing more can be said or heard.
pub(super) struct Talk(Option<Box<Connection>>);

impl Talk {
    pub(super) const fn new(connection: Box<Connection>) -> Self {
        Self(Some(connection))
    }
}

impl Future for Talk {
    type Output = Box<Connection>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Box<Connection>> {
        for _ in 0..TURNS_MAX {
            let turn = self.0.as_mut().map(|connection| connection.turn(cx));
            match turn {
                Some(Turn::Again) => {}
                Some(Turn::Wait) => return Poll::Pending,
                Some(Turn::Over) => {
                    if let Some(connection) = self.0.take() {
                        return Poll::Ready(connection);
                    }
                }
                // It was given back already, and who polls again waits in vain.
                None => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
