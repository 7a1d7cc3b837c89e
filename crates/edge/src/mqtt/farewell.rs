//! How a connection ends, from either side, and what is left when it has.

use std::time::Duration;

use bytes::Bytes;
use headwater_event::Text;
use headwater_hub::Closed;
use tokio::time::sleep;

use super::acknowledging::take_standings;
use super::connection::{About, Connection, Phase, Unfinished};
use super::front::Counts;
use super::keep;
use super::packet::{Disconnect, Explanation, Reason, Version};
use super::session::NEVER;
use super::subscribing::leave_group;

/// How long the last packet may take to be written, and the client to end the connection after it.
const FAREWELL: Duration = Duration::from_secs(2);

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
        if self.phase != Phase::Open {
            return;
        }
        // Without room the client doesn't read, and can't be told.
        let _ = self.outlet.send(last);
        let _ = self.outlet.send(self.wire.farewell());
        self.outlet.close();
        self.phase = Phase::Closing;
        self.limit_farewell();
    }

    /// What was owed is in the log's hands and will be stored; who is gone can't be told.
    fn limit_farewell(&mut self) {
        let deadline = Some(Box::pin(sleep(FAREWELL)));
        self.open = Some(Box::new(Unfinished { deadline, ..Unfinished::default() }));
    }

    /// All is written: from here on it's for the client to end the connection.
    pub(super) fn end_writing(&mut self) {
        self.wire.socket.end_writing();
        if self.phase == Phase::Open {
            // The outlet was closed by others: time begins to run here.
            self.limit_farewell();
        }
        self.phase = Phase::Lingering;
    }

    /// Others have ended the outlet: tells 5.0 why.
    pub(super) fn say_why(&self, closed: Closed) {
        let (reason, why) = match closed {
            Closed::Asked if self.claim.is_superseded() => {
                Counts::add(&self.front.counts.taken_over);
                (Reason::SESSION_TAKEN_OVER, "a newer connection of this client")
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
        let mut packet = Vec::new();
        let why = if self.about.wants_reasons { Some(why) } else { None };
        let mut disconnect = Disconnect::because(reason);
        disconnect.explanation =
            why.map(|why| Box::new(Explanation { reason_string: Some(Text::from(why)), ..Explanation::default() }));
        if disconnect.encode(Version::V5, &mut packet).is_err() {
            return Bytes::new();
        }
        self.wire.frame(packet)
    }

    /// What is left to do when nothing more can be said or heard: the session is saved or ended, the will is published or
    /// waits. Only then may a newer connection of this client begin.
    pub(super) async fn finish(self) {
        let Self { front, outlet, claim, about, .. } = self;
        let About { mut session, will, shares, .. } = *about;
        outlet.close();
        // Deliveries that are unsettled go to others before the session is said to have ended.
        drop(shares);
        let who = outlet.who().clone();
        let (is_kept, expiry_s) = (session.is_kept(), session.expiry_s);
        if let Some(will) = will {
            let lasts = if expiry_s == NEVER { Duration::MAX } else { Duration::from_secs(u64::from(expiry_s)) };
            let delay = will.delay.min(lasts);
            if delay.is_zero() {
                will.publish(&front.hub, &who).await;
            } else {
                front.wills.wait(&front, claim.key().clone(), who, will, delay);
            }
        }
        let note = if is_kept {
            take_standings(&mut session, &outlet);
            session.is_saved = true;
            keep::keep(&front.hub, &session, Some(front.hub.clock().now()))
        } else {
            session.groups().for_each(|subscription| leave_group(&front, subscription));
            if !session.is_saved {
                return;
            }
            keep::forget(&session.key)
        };
        let noted = match front.hub.note(vec![note]) {
            Ok(durable) => durable.await.map(drop),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = noted {
            tracing::warn!(%refusal, "a session could not be saved; it is as it was saved last");
        }
    }
}
