//! The numbers of one client: which are taken, which are durable, and the answers that are owed, in the order of the messages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_event::{
    Event, EventId, Headers, Later, Principal, ProducerId, Publication, Receipts, Refusal, Time, Topic,
};
use headwater_hub::{Hub, Room};

use super::decode::Item;
use super::refusal;
use super::wire::{ACK_LEN, Answer, Code};

/// How many bytes of answers are gathered for one write: 64 KiB are 3,855 ACKs.
pub const ANSWERS_LEN_MAX: usize = 64 * 1_024;

/// What is owed for one or more messages.
enum Owed {
    /// Consecutive numbers that went to the hub with one publish.
    Run { later: Later<'static, Result<Receipts, Refusal>>, first: u64, len: usize, bytes: usize },
    /// A number that is refused for good: the refusal is told once it's durable that the number is used up, so that the
    /// client is right to go on with the next one, whatever crashes between.
    UsedUp { later: Later<'static, Result<(), Refusal>>, seq: u64, code: Code },
    /// Nothing to wait for but the answers before it.
    Said(Answer),
}

/// One client's account.
pub struct Ledger {
    hub: Arc<Hub>,
    who: Principal,
    client: ProducerId,
    /// `intake/{client}`; every event shares its text.
    topic: Topic,
    /// The highest number that was handed to the hub; the one after it is taken next.
    last: u64,
    /// The highest number that is known to be durable.
    durable: u64,
    owed: VecDeque<Owed>,
    /// How many answers are owed, and how many payload bytes wait with them.
    owed_events: usize,
    owed_bytes: usize,
}

/// Consecutive messages on their way to one publish.
#[derive(Default)]
struct Run {
    batch: Vec<Publication>,
    first: u64,
    bytes: usize,
    /// What `Ledger::last` was before this run, to go back to when the hub refuses it.
    last_before: u64,
}

impl Run {
    fn goes_on_with(&self, seq: u64) -> bool {
        self.batch.is_empty() || self.first.checked_add(self.batch.len() as u64) == Some(seq)
    }
}

impl Ledger {
    /// An account whose highest durable number is `last`.
    pub fn new(hub: Arc<Hub>, who: Principal, client: ProducerId, topic: Topic, last: u64) -> Self {
        Self { hub, who, client, topic, last, durable: last, owed: VecDeque::new(), owed_events: 0, owed_bytes: 0 }
    }

    /// How many answers are owed.
    pub const fn owed_events(&self) -> usize {
        self.owed_events
    }

    /// How many payload bytes wait for their answers.
    pub const fn owed_bytes(&self) -> usize {
        self.owed_bytes
    }

    /// Judges what came and hands what may be taken to the hub: one publish for each run of consecutive numbers, which is
    /// one for all of it unless a client or the hub has trouble.
    pub fn take(&mut self, items: &mut Vec<Item>) {
        let mut room = self.hub.room();
        let mut run = Run { batch: Vec::with_capacity(items.len()), ..Run::default() };
        for item in items.drain(..) {
            match item {
                Item::Message { seq, payload } => {
                    if !run.goes_on_with(seq) {
                        self.hand_in(&mut run);
                    }
                    match self.verdict(seq, payload.len(), &mut room) {
                        None => self.add(&mut run, seq, payload),
                        Some(code) => {
                            self.hand_in(&mut run);
                            self.say(Answer::Nack { seq, code });
                        }
                    }
                }
                Item::TooLong { seq } | Item::Hopeless { seq } => {
                    self.hand_in(&mut run);
                    self.refuse_for_good(seq, Code::TooLong);
                }
            }
        }
        self.hand_in(&mut run);
    }

    /// Why a message of this number can't go to the hub now; `None` when it can, and then its place in the room is taken.
    fn verdict(&self, seq: u64, len: usize, room: &mut Room) -> Option<Code> {
        if seq == 0 {
            return Some(Code::Malformed);
        }
        if seq > self.last.saturating_add(1) {
            return Some(Code::OutOfOrder);
        }
        let len = len + self.topic.text().as_bytes().len();
        if room.events == 0 || room.bytes < len {
            // Nothing more of this chunk, even if something smaller would fit: what follows would be out of order.
            room.events = 0;
            return Some(Code::Overloaded);
        }
        room.events -= 1;
        room.bytes -= len;
        None
    }

    fn add(&mut self, run: &mut Run, seq: u64, payload: Bytes) {
        if run.batch.is_empty() {
            run.first = seq;
            run.last_before = self.last;
        }
        run.bytes += payload.len();
        run.batch.push(Publication {
            event: Event {
                id: EventId::Numbered { producer: self.client, number: seq },
                topic: self.topic.clone(),
                headers: Headers::none(),
                payload,
                at: Time::default(),
            },
            sticky: false,
        });
        // A known number goes to the log too: it alone knows where the original stands, and waits until that is durable.
        self.last = self.last.max(seq);
    }

    fn hand_in(&mut self, run: &mut Run) {
        if run.batch.is_empty() {
            return;
        }
        let Run { batch, first, bytes, last_before } = std::mem::take(run);
        let len = batch.len();
        match self.hub.publish(&self.who, batch) {
            Ok(later) => {
                self.owed_events += len;
                self.owed_bytes += bytes;
                self.owed.push_back(Owed::Run { later, first, len, bytes });
            }
            Err(refusal) => {
                self.last = last_before;
                self.refuse_run(first, len, refusal::code(&refusal));
            }
        }
    }

    /// The hub refused a whole run: for a final reason each number is used up, else they have to come again.
    fn refuse_run(&mut self, first: u64, len: usize, code: Code) {
        for seq in first..first + len as u64 {
            if code.is_final() {
                self.refuse_for_good(seq, code);
            } else if code == Code::Overloaded && seq > self.last.saturating_add(1) {
                self.say(Answer::Nack { seq, code: Code::OutOfOrder });
            } else {
                self.say(Answer::Nack { seq, code });
            }
        }
    }

    /// Refuses a message that can't be taken however often it comes.
    fn refuse_for_good(&mut self, seq: u64, code: Code) {
        if seq == 0 {
            return self.say(Answer::Nack { seq, code: Code::Malformed });
        }
        if seq <= self.last {
            // Resent, as its NACK was lost: the same answer, and the number is used up already.
            return self.say(Answer::Nack { seq, code });
        }
        if seq > self.last.saturating_add(1) {
            return self.say(Answer::Nack { seq, code: Code::OutOfOrder });
        }
        // Who may no longer write uses up nothing: it's a record in the log, however small.
        if let Err(refusal) = self.hub.may_publish(&self.who, &self.topic) {
            return self.say(Answer::Nack { seq, code: refusal::code(&refusal) });
        }
        match self.hub.use_up(&self.who, self.client, seq) {
            Ok(later) => {
                self.last = seq;
                self.owed_events += 1;
                self.owed.push_back(Owed::UsedUp { later, seq, code });
            }
            // The hub won't write for this client at all: then no number of it is ever durable, and the reason it gives
            // is the answer.
            Err(refusal) => self.say(Answer::Nack { seq, code: refusal::code(&refusal) }),
        }
    }

    fn say(&mut self, answer: Answer) {
        self.owed_events += 1;
        self.owed.push_back(Owed::Said(answer));
    }

    /// Writes to `out` what can be answered by now, in the order of the messages, until [`ANSWERS_LEN_MAX`] is reached.
    ///
    /// Only the first that waits is asked, and so only it can wake the task: the log completes in order too.
    pub fn settle(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) {
        while out.len() < ANSWERS_LEN_MAX {
            match self.owed.front_mut() {
                None => return,
                Some(Owed::Said(answer)) => {
                    answer.encode(out);
                    self.owed_events -= 1;
                }
                Some(Owed::Run { later, first, len, bytes }) => {
                    let Poll::Ready(receipts) = later.as_mut().poll(cx) else { return };
                    let (first, len) = (*first, *len);
                    self.owed_events -= len;
                    self.owed_bytes -= *bytes;
                    self.answer_run(first, len, receipts, out);
                }
                Some(Owed::UsedUp { later, seq, code }) => {
                    let Poll::Ready(used_up) = later.as_mut().poll(cx) else { return };
                    let (seq, code) = (*seq, *code);
                    self.owed_events -= 1;
                    self.answer_used_up(seq, code, used_up, out);
                }
            }
            self.owed.pop_front();
        }
    }

    fn answer_run(&mut self, first: u64, len: usize, receipts: Result<Receipts, Refusal>, out: &mut Vec<u8>) {
        match receipts {
            Ok(receipts) => {
                self.is_durable(first + len as u64 - 1);
                out.reserve(len * ACK_LEN);
                for (seq, receipt) in (first..).zip(receipts.iter()) {
                    Answer::Ack { seq, log_seq: receipt.position.seq }.encode(out);
                }
            }
            Err(refusal) => {
                let code = self.failed(&refusal);
                for seq in first..first + len as u64 {
                    Answer::Nack { seq, code }.encode(out);
                }
            }
        }
    }

    fn answer_used_up(&mut self, seq: u64, code: Code, used_up: Result<(), Refusal>, out: &mut Vec<u8>) {
        let code = match used_up {
            Ok(()) => {
                self.is_durable(seq);
                code
            }
            Err(refusal) => self.failed(&refusal),
        };
        Answer::Nack { seq, code }.encode(out);
    }

    fn is_durable(&mut self, seq: u64) {
        self.durable = self.durable.max(seq);
        self.last = self.last.max(seq);
    }

    /// What was taken didn't become durable: the client has to send again, from the first number that isn't.
    fn failed(&mut self, refusal: &Refusal) -> Code {
        self.last = self.durable;
        match refusal::code(refusal) {
            // A final code would use the number up, which isn't durable: say what the client may believe.
            code if code.is_final() => Code::StorageFailed,
            code => code,
        }
    }
}
