//! The answers that one client waits for: in the order of its publishes, however they end.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use headwater_event::{Event, EventId, Later, Publication, Receipts, Refusal, Time};
use headwater_hub::{Hub, Outlet};

use super::reply;
use super::request::{Publish, Reference};

/// How many bytes of answers are handed over at once: far below what an outlet lets wait, so that one piece always fits.
const PIECE_LEN: usize = 16 << 10;

/// The publishes that have no answer yet, oldest first.
#[derive(Default)]
pub struct Answers(VecDeque<Answer>);

struct Answer {
    reference: Option<Reference>,
    id: EventId,
    outcome: Outcome,
}

enum Outcome {
    Refused(Refusal),
    /// On its way to the disk.
    Coming(Later<'static, Result<Receipts, Refusal>>),
}

impl Answers {
    /// How many are waited for.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is waited for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Publishes; the answer will come in its turn, even when it is a refusal and is known at once.
    pub fn publish(&mut self, hub: &Hub, outlet: &Outlet, reference: Option<Reference>, publish: Publish) {
        let Publish { topic, id, headers, payload, sticky } = publish;
        let id = id.unwrap_or_else(EventId::generate);
        // The hub stamps the time.
        let event = Event { id: id.clone(), topic, headers, payload, at: Time::default() };
        let outcome = match hub.publish(outlet.who(), vec![Publication { event, sticky }]) {
            Ok(coming) => Outcome::Coming(coming),
            Err(refusal) => Outcome::Refused(refusal),
        };
        self.0.push_back(Answer { reference, id, outcome });
    }

    /// Appends the next answers that are ready, as many as one piece holds; `false` when there is none.
    ///
    /// Only the oldest is asked: one sync completes many publishes, and this way it wakes the connection once.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        while out.len() - before < PIECE_LEN
            && let Some(Answer { reference, id, outcome }) = self.0.front_mut()
        {
            let result = match outcome {
                Outcome::Refused(refusal) => Err(refusal.clone()),
                Outcome::Coming(coming) => match coming.as_mut().poll(cx) {
                    Poll::Ready(result) => result.map(|receipts| receipts.get(0)),
                    Poll::Pending => break,
                },
            };
            match result {
                Ok(receipt) => reply::ack(reference.as_ref(), id, receipt, out),
                Err(refusal) => reply::refused(reference.as_ref(), &refusal, out),
            }
            self.0.pop_front();
        }
        out.len() > before
    }
}
