//! The answers that are owed to a client, in the order of its packets (MQTT 5.0 section 4.6).

use std::collections::VecDeque;
use std::task::{Context, Poll};

use headwater_event::{Later, Receipts, Refusal};

use super::packet::{AckKind, Reason, Version, encode_ack};
use super::refusal;

/// How many bytes of answers are handed over at once: far below what an outlet lets wait, so that one piece always fits.
const PIECE_LEN: usize = 16 << 10;

/// What one publication of a batch gets when the batch is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing: QoS 0.
    None,
    /// PUBACK.
    Acknowledge(u16),
    /// PUBREC.
    Receive(u16),
}

enum Debt {
    /// Publications that went to the hub with one call.
    Published { durable: Later<'static, Result<Receipts, Refusal>>, answers: Vec<Answer>, bytes: usize },
    /// Packets that wait for the session to be saved.
    Noted { durable: Later<'static, Result<Receipts, Refusal>>, packets: Vec<u8> },
    /// Nothing to wait for but the answers before it.
    Said(Vec<u8>),
}

/// What is owed, oldest first.
#[derive(Default)]
pub(super) struct Owed {
    debts: VecDeque<Debt>,
    events: usize,
    acknowledgements: usize,
    bytes: usize,
}

/// What became of debts.
#[derive(Default)]
pub(super) struct Settled {
    /// QoS 2 publications that were not stored: their packet ids are free again.
    pub(super) undone: Vec<u16>,
    /// Something failed for which this protocol has no word: the connection must end, so that the client sends again.
    pub(super) is_hopeless: bool,
}

impl Owed {
    pub(super) fn is_empty(&self) -> bool {
        self.debts.is_empty()
    }

    /// How many publications wait for the disk.
    pub(super) const fn events(&self) -> usize {
        self.events
    }

    /// How many PUBACKs are owed.
    pub(super) const fn acknowledgements(&self) -> usize {
        self.acknowledgements
    }

    /// How many payload bytes wait with them.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn published(
        &mut self,
        durable: Later<'static, Result<Receipts, Refusal>>,
        answers: Vec<Answer>,
        bytes: usize,
    ) {
        self.events += answers.len();
        self.acknowledgements += acknowledged(&answers);
        self.bytes += bytes;
        self.debts.push_back(Debt::Published { durable, answers, bytes });
    }

    pub(super) fn noted(&mut self, durable: Later<'static, Result<Receipts, Refusal>>, packets: Vec<u8>) {
        self.debts.push_back(Debt::Noted { durable, packets });
    }

    pub(super) fn said(&mut self, packets: Vec<u8>) {
        if let Some(Debt::Said(before)) = self.debts.back_mut() {
            before.extend_from_slice(&packets);
        } else {
            self.debts.push_back(Debt::Said(packets));
        }
    }

    /// Appends what can be said by now, as much as one piece holds.
    ///
    /// Only the oldest is asked: one sync completes many publications, and this way it wakes the connection once.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>, version: Version, out: &mut Vec<u8>) -> Settled {
        let mut settled = Settled::default();
        while out.len() < PIECE_LEN
            && let Some(debt) = self.debts.front_mut()
        {
            match debt {
                Debt::Said(packets) => out.append(packets),
                Debt::Noted { durable, packets } => match durable.as_mut().poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(_)) => out.append(packets),
                    // Without the note the exchange can't go on; the client will come back to it.
                    Poll::Ready(Err(_)) => settled.is_hopeless = true,
                },
                Debt::Published { durable, answers, bytes } => {
                    let Poll::Ready(result) = durable.as_mut().poll(cx) else { break };
                    self.events -= answers.len();
                    self.acknowledgements -= acknowledged(answers);
                    self.bytes -= *bytes;
                    let reason = result.map_or_else(|refusal| refusal::reason(&refusal), |_| Reason::SUCCESS);
                    for answer in answers.iter() {
                        settled.answer(*answer, reason, version, out);
                    }
                }
            }
            self.debts.pop_front();
        }
        settled
    }
}

/// How many of these are PUBACKs. (What gets a PUBREC is counted by the session, until it's released.)
fn acknowledged(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| matches!(answer, Answer::Acknowledge(_))).count()
}

impl Settled {
    fn answer(&mut self, answer: Answer, reason: Reason, version: Version, out: &mut Vec<u8>) {
        let (kind, id) = match answer {
            Answer::None => return,
            Answer::Acknowledge(id) => (AckKind::PubAck, id),
            Answer::Receive(id) => (AckKind::PubRec, id),
        };
        let has_failed = reason.is_error();
        if has_failed && kind == AckKind::PubRec {
            self.undone.push(id);
        }
        if has_failed && version == Version::V311 {
            // It has no reason codes: an acknowledgement would be a lie, so there is none.
            self.is_hopeless = true;
            return;
        }
        encode_ack(kind, version, id, reason, out);
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::task::Waker;

    use super::*;

    fn receipts() -> Receipts {
        Receipts { epoch: 1, first: 1, len: 1, duplicates: Vec::new(), strays: Vec::new() }
    }

    fn settle(owed: &mut Owed, version: Version) -> (Vec<u8>, Settled) {
        let mut out = Vec::new();
        let settled = owed.settle(&mut Context::from_waker(Waker::noop()), version, &mut out);
        (out, settled)
    }

    #[test]
    fn what_came_first_is_answered_first_however_long_it_takes() {
        let mut owed = Owed::default();
        let (done, wait) = tokio::sync::oneshot::channel::<()>();
        let slow = async move {
            let _ = wait.await;
            Ok(receipts())
        };
        owed.published(Box::pin(slow), vec![Answer::None, Answer::Acknowledge(1)], 10);
        owed.published(Box::pin(ready(Ok(receipts()))), vec![Answer::Receive(2)], 10);
        owed.said(vec![0xD0, 0]);
        assert_eq!(settle(&mut owed, Version::V311).0, b"");
        assert_eq!((owed.events(), owed.acknowledgements(), owed.bytes()), (3, 1, 20));
        drop(done);
        assert_eq!(settle(&mut owed, Version::V311).0, [0x40, 2, 0, 1, 0x50, 2, 0, 2, 0xD0, 0]);
        assert!(owed.is_empty());
        assert_eq!((owed.events(), owed.acknowledgements(), owed.bytes()), (0, 0, 0));
    }

    #[test]
    fn what_could_not_be_stored_is_never_acknowledged() {
        for version in [Version::V311, Version::V5] {
            let mut owed = Owed::default();
            let failed = Box::pin(ready(Err(Refusal::Unavailable)));
            owed.published(failed, vec![Answer::Acknowledge(1), Answer::Receive(2)], 0);
            let (out, settled) = settle(&mut owed, version);
            assert_eq!(settled.undone, [2]);
            assert_eq!(settled.is_hopeless, version == Version::V311);
            let said: &[u8] = if version == Version::V5 { &[0x40, 3, 0, 1, 0x80, 0x50, 3, 0, 2, 0x80] } else { &[] };
            assert_eq!(out, said);
        }
    }
}
