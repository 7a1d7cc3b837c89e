//! How a connection ends, from either side, and what is left when it has.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use headwater_event::{Seq, Text};
use headwater_hub::{Closed, Standing};
use tokio::time::{sleep, timeout};

use super::acknowledging::take_standings;
use super::connection::{About, Connection, Phase, Unfinished};
use super::front::Counts;
use super::greeting::takes;
use super::keep;
use super::packet::{Disconnect, Explanation, Reason, Version};
use super::session::{Leftover, NEVER, Session, Subscription};
use super::shares::Share;
use super::unsubscribing::leave_group;
use super::wire::Wire;

/// How much is passed over at once, in bytes.
const LINGER_READ_LEN: usize = 4 << 10;

/// How long the last packet may take to be written, and the client to end the connection after it.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the older of two connections is told.
const TAKEN_OVER: &str = "a newer connection of this client";

impl Connection {
    /// The client broke a rule: 5.0 is told which, and the connection ends (MQTT 5.0 section 4.13).
    pub(super) fn fail(&mut self, reason: Reason, why: &str) {
        if self.phase != Phase::Open {
            return;
        }
        Counts::add(&self.front.counts.faults);
        tracing::debug!(client = self.claim.key().client(), why, "an MQTT connection is ended");
        let bytes = self.disconnect(reason, why);
        self.end_with(bytes);
    }

    /// Something is to be refused for which 3.1.1 has no word: the connection ends, and the client will try again.
    pub(super) fn close_for_want_of_words(&mut self) {
        self.fail(Reason::UNSPECIFIED_ERROR, "refused");
    }

    /// The client says goodbye.
    pub(super) fn leave(&mut self) {
        self.end_with(Bytes::new());
    }

    /// Writes these bytes, what a WebSocket says at its end, and then nothing more.
    pub(super) fn end_with(&mut self, last: Bytes) {
        let farewell = self.wire.farewell();
        self.end_with_both(last, farewell);
    }

    /// The WebSocket itself ends here, by this frame.
    pub(super) fn end_with_frame(&mut self, last: Bytes) {
        self.end_with_both(last, Bytes::new());
    }

    fn end_with_both(&mut self, last: Bytes, farewell: Bytes) {
        if self.phase != Phase::Open {
            return;
        }
        // Without room the client doesn't read, and can't be told.
        let _ = self.outlet.send(last);
        let _ = self.outlet.send(farewell);
        self.outlet.close();
        self.phase = Phase::Closing;
        self.limit_farewell();
    }

    /// What was owed is in the log's hands and will be stored; who is gone can't be told.
    fn limit_farewell(&mut self) {
        let deadline = Some(Box::pin(sleep(FAREWELL)));
        self.open = Some(Box::new(Unfinished { deadline, ..Unfinished::default() }));
    }

    /// A newer connection of this client waits for its seat. Whoever doesn't read is given a moment and no more.
    pub(super) fn give_way(&mut self) {
        Counts::add(&self.front.counts.taken_over);
        let bytes = self.disconnect(Reason::SESSION_TAKEN_OVER, TAKEN_OVER);
        self.end_with(bytes);
    }

    /// Others have ended the outlet: tells 5.0 why.
    pub(super) fn say_why(&self, closed: Closed) {
        let (reason, why) = match closed {
            Closed::Asked if self.claim.is_superseded() => {
                Counts::add(&self.front.counts.taken_over);
                (Reason::SESSION_TAKEN_OVER, TAKEN_OVER)
            }
            Closed::Asked => (Reason::SERVER_SHUTTING_DOWN, "the hub is shutting down"),
            Closed::Silent => (Reason::KEEP_ALIVE_TIMEOUT, "nothing came for one and a half times the keep alive"),
            Closed::NotAllowed => (Reason::NOT_AUTHORIZED, "a right was taken back"),
            Closed::Dismissed => (Reason::ADMINISTRATIVE_ACTION, "sent away"),
            Closed::Behind | Closed::Unavailable => (Reason::UNSPECIFIED_ERROR, "the log can't be read"),
            Closed::Io(_) => return,
        };
        let last = [&self.disconnect(reason, why)[..], &self.wire.farewell()[..]].concat();
        self.outlet.last_words(&last);
    }

    /// DISCONNECT as it goes on the wire; 3.1.1 has none from a server.
    fn disconnect(&self, reason: Reason, why: &str) -> Bytes {
        if self.about.version == Version::V311 {
            return Bytes::new();
        }
        for why in [Some(why).filter(|_| self.about.wants_reasons), None] {
            let words = |why| Box::new(Explanation { reason_string: Some(Text::from(why)), ..Explanation::default() });
            let disconnect = Disconnect { explanation: why.map(words), ..Disconnect::because(reason) };
            let mut packet = Vec::new();
            if disconnect.encode(Version::V5, &mut packet).is_ok() && takes(self.about.packet_len_max, packet.len()) {
                return self.wire.frame(packet);
            }
        }
        Bytes::new()
    }

    /// What is left to do when nothing more can be said or heard: the session is saved or ended, the will is published or
    /// waits. Only then may a newer connection of this client begin. Gives the socket back where the client is still to
    /// end it.
    pub(super) async fn finish(self: Box<Self>) -> Option<Wire> {
        let Self { front, outlet, claim, about, wire, phase, .. } = *self;
        let lingering = (phase == Phase::Written).then_some(wire);
        let About { mut session, will, shares, .. } = *about;
        outlet.close();
        let who = outlet.who().clone();
        let (is_kept, expiry_s) = (session.is_kept(), session.expiry_s);
        let mut held = Vec::new();
        if is_kept {
            held = hold_back(&mut session, shares).await;
        } else {
            // Deliveries that are unsettled go to others before the session is said to have ended.
            drop(shares);
        }
        if let Some(will) = will {
            let lasts = if expiry_s == NEVER { Duration::MAX } else { Duration::from_secs(u64::from(expiry_s)) };
            let delay = will.delay.min(lasts);
            let goes_on = claim.is_elsewhere() == Some(false) && is_kept;
            if !delay.is_zero() && goes_on {
                // The client is back before the delay, on another edge.
            } else if delay.is_zero() || claim.is_elsewhere().is_some() {
                will.publish(&front, &who).await;
            } else {
                front.wills.wait(&front, claim.key().clone(), who, *will, delay);
            }
        }
        let note = if is_kept {
            take_standings(&mut session, &outlet);
            session.is_saved = true;
            keep::keep(&front.hub, &session, Some(front.hub.clock().now()))
        } else {
            session.groups().for_each(|subscription| leave_group(&front, subscription));
            if !session.is_saved {
                return lingering;
            }
            keep::forget(&session)
        };
        let mut notes = vec![note];
        if let (Some(elsewhere), Some(_)) = (&front.elsewhere, claim.is_elsewhere()) {
            notes.push(elsewhere.giving_up(claim.key(), claim.term()));
        }
        let noted = match front.hub.note(notes) {
            Ok(durable) => durable.await.map(drop),
            Err(refusal) => Err(refusal),
        };
        match noted {
            // What the session has from now on, the group needs to know no more.
            Ok(()) => {
                for (share, seqs) in held {
                    seqs.into_iter().for_each(|seq| share.settle(seq));
                    share.end().await;
                }
            }
            Err(refusal) => tracing::warn!(%refusal, "a session could not be saved; it is as it was saved last"),
        }
        lingering
    }
}

/// Deliveries of QoS 2 that were begun for shared subscriptions stay with the session: it goes on with them, and nobody else
/// gets them (MQTT 5.0 section 4.8.2). Gives which these are.
async fn hold_back(session: &mut Session, shares: Vec<(Text, Share)>) -> Vec<(Share, Vec<Seq>)> {
    let mut held = Vec::new();
    for (written, share) in shares {
        let seqs = share.hold().await;
        if let (Some(last), Ok(at)) = (seqs.last(), session.find(&written)) {
            let standing = Standing { up_to: *last, again: seqs.clone(), has_states: false };
            let of = Subscription { group: None, watch: None, standing, ..session.subscriptions[at].clone() };
            if session.add_leftover(Leftover { of, unsent: seqs.clone(), number: None }) {
                held.push((share, seqs));
            }
        }
    }
    held
}

/// Reads and passes over what still comes, until the client ends the connection. (Closing it first, with bytes unread,
/// would reset it, and the last packet could get lost on its way.)
pub(super) async fn linger(wire: Wire) {
    let rest = async {
        let mut passed = vec![0; LINGER_READ_LEN];
        loop {
            wire.socket.0.readable().await?;
            match wire.socket.0.try_read(&mut passed) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    // However it ends, all was said.
    let _ = timeout(FAREWELL, rest).await;
}
