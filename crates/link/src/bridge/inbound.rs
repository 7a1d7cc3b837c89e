//! The way in: what the broker has sent, made durable in batches, and acknowledged in its order.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use headwater_event::{Later, Publication, Receipts, Refusal};
use tokio::time::Instant;

use super::home::Home;
use super::intake::{Intake, Judged, Side};
use super::record::Entry;
use super::settings::BridgeSettings;
use super::told::{Counts, Told, Way};
use crate::mqtt::packet::Publish;
use crate::mqtt::wire::Wire;
use crate::mqtt::write::write_puback;

/// How many publications are heard before the first of them is durable: the next batch is there while one is being written.
const HEARD_MAX: usize = 256;

/// The same in bytes; beyond that nothing is read.
const HEARD_BYTES_MAX: usize = 8 << 20;

/// How many become durable at once: half of what may be heard, so that the other half is on its way meanwhile.
const BATCH_MAX: usize = HEARD_MAX / 2;

/// How long to wait when our own log can't take anything.
const UNAVAILABLE_WAIT: Duration = Duration::from_secs(1);

/// A publication as it came, and on which connection.
struct Heard {
    publish: Box<Publish>,
    generation: u64,
    /// Whether the broker had a packet id free then, for all that we know.
    has_freed: bool,
}

/// What the broker is to be told when something is done.
#[derive(Clone, Copy)]
struct Answer {
    generation: u64,
    packet_id: u16,
}

/// An event that is to be made durable.
struct Taken {
    publication: Publication,
    entry: Option<Entry>,
    answer: Answer,
}

/// On its way to the disk.
struct Appending {
    later: Later<'static, Result<Receipts, Refusal>>,
    batch: u64,
    taken: Vec<Taken>,
}

/// The way in.
pub(super) struct Inbound {
    settings: Arc<BridgeSettings>,
    home: Arc<dyn Home>,
    told: Arc<Told>,
    intake: Intake,
    heard: VecDeque<Heard>,
    heard_bytes: usize,
    /// To be made durable next, in order; more than one where a batch had to be taken apart.
    batches: VecDeque<Vec<Taken>>,
    appending: Option<Appending>,
    /// Nothing is tried before.
    pause_until: Option<Instant>,
    /// Counts connections: packet ids of an earlier one mean nothing any more.
    generation: u64,
    /// The ping after which the broker has read so many of our acknowledgements, once it's answered.
    asked: Option<(u64, u64)>,
    /// How many acknowledgements need no more asking.
    settled: u64,
}

impl Inbound {
    pub(super) fn new(settings: Arc<BridgeSettings>, home: Arc<dyn Home>, told: Arc<Told>, intake: Intake) -> Self {
        Self {
            settings,
            home,
            told,
            intake,
            heard: VecDeque::new(),
            heard_bytes: 0,
            batches: VecDeque::new(),
            appending: None,
            pause_until: None,
            generation: 0,
            asked: None,
            settled: 0,
        }
    }

    pub(super) const fn intake(&mut self) -> &mut Intake {
        &mut self.intake
    }

    /// A new connection stands.
    pub(super) fn begin(&mut self, is_present: bool, side: &Side) {
        if is_present {
            // What was not acknowledged comes again.
            self.heard.retain(|heard| heard.publish.packet_id == 0);
            self.heard_bytes = self.heard.iter().map(|heard| heard.publish.payload.len()).sum();
        } else {
            // Nothing comes again, and what is here belongs to the session that was.
            while !self.heard.is_empty() {
                self.judge(side);
            }
            self.batches.iter_mut().flatten().for_each(|taken| taken.entry = None);
        }
        self.generation += 1;
        self.asked = None;
        self.settled = self.intake.written();
        self.intake.begin_connection();
    }

    /// Takes a publication in, without a wait.
    pub(super) fn hear(&mut self, publish: Box<Publish>) {
        self.heard_bytes += publish.payload.len();
        let has_freed = self.intake.has_freed();
        self.heard.push_back(Heard { publish, generation: self.generation, has_freed });
    }

    /// Whether nothing more should be read for now.
    pub(super) fn is_full(&self) -> bool {
        self.heard.len() >= HEARD_MAX || self.heard_bytes >= HEARD_BYTES_MAX
    }

    /// When to look again though nothing has happened.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.pause_until.filter(|_| self.appending.is_none())
    }

    /// Begins to make durable what has come, if nothing is on its way; acknowledges what needs no disk.
    pub(super) fn pump(&mut self, side: &Side, wire: &mut Wire) {
        if self.pause_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        self.pause_until = None;
        while self.appending.is_none() {
            if self.batches.is_empty() && !self.heard.is_empty() {
                for answer in self.judge(side) {
                    self.acknowledge(answer, wire);
                }
            }
            let Some(batch) = self.batches.pop_front() else { break };
            self.append(batch, wire);
            if self.pause_until.is_some() {
                break;
            }
        }
        self.ask(wire);
    }

    /// Makes a batch of what was heard; gives those that need only an answer, and come before all of it.
    fn judge(&mut self, side: &Side) -> Vec<Answer> {
        let (mut batch, mut answers) = (Vec::new(), Vec::new());
        let now = self.home.now();
        while batch.len() < BATCH_MAX {
            let Some(Heard { publish, generation, has_freed }) = self.heard.front() else { break };
            let answer = Answer { generation: *generation, packet_id: publish.packet_id };
            let judged = self.intake.judge(publish, *has_freed, &self.settings, side, now);
            let judged = match judged {
                Judged::Take(publication, entry) => self.permitted(*publication, entry),
                other => Err(other),
            };
            match judged {
                Ok((publication, entry)) => batch.push(Taken { publication, entry, answer }),
                Err(_) if !batch.is_empty() => break, // Answers keep their order: it's looked at anew with the next batch.
                Err(other) => {
                    self.pass_over(&other, &publish_topic(self.heard.front()));
                    answers.push(answer);
                }
            }
            self.drop_front();
        }
        if !batch.is_empty() {
            self.batches.push_back(batch);
        }
        answers
    }

    fn drop_front(&mut self) {
        if let Some(heard) = self.heard.pop_front() {
            self.heard_bytes -= heard.publish.payload.len();
        }
    }

    /// What the gate would say to one alone; a batch is refused as a whole.
    fn permitted(
        &mut self,
        publication: Publication,
        entry: Option<Entry>,
    ) -> Result<(Publication, Option<Entry>), Judged> {
        let size = publication.event.payload.len();
        let refusal = if size > self.home.payload_max() {
            Some(Refusal::TooLarge { max: self.home.payload_max() })
        } else {
            self.home.may_publish(&publication.event.topic).err()
        };
        match refusal {
            None => Ok((publication, entry)),
            Some(refusal) => {
                if let Some(entry) = entry {
                    self.intake.forget(entry.number);
                }
                Err(Judged::Refused(refusal.to_string()))
            }
        }
    }

    fn pass_over(&self, judged: &Judged, topic: &str) {
        let name = &self.settings.name;
        match judged {
            Judged::Returning => {
                Counts::add(&self.told.counts.returning, 1);
                tracing::debug!("bridge {name}: an event of `{topic}` was here before, or has passed too many bridges");
            }
            Judged::Refused(why) => self.refuse(topic, why),
            Judged::Unwanted | Judged::Take(..) => {}
        }
    }

    fn refuse(&self, topic: &str, why: &str) {
        let count = &self.told.counts.refused_here;
        // The first is told aloud; a thousand more of them are a figure.
        if count.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            let name = &self.settings.name;
            tracing::warn!(
                "bridge {name}: an event of `{topic}` is not taken: {why} (further ones are counted in /metrics)"
            );
        }
        Counts::add(count, 1);
    }

    fn append(&mut self, batch: Vec<Taken>, wire: &mut Wire) {
        let record = self.intake.record(batch.iter().filter_map(|taken| taken.entry).collect());
        // Its topic is made of the bridge's name, which was checked.
        let Some(note) = record.note(&self.settings.name) else { return };
        let events = batch.iter().map(|taken| taken.publication.clone()).collect();
        match self.home.publish(events, note) {
            Ok(later) => self.appending = Some(Appending { later, batch: record.batch, taken: batch }),
            Err(refusal) => {
                self.intake.not_written(record.batch);
                self.refused(batch, &refusal, wire);
            }
        }
    }

    /// The gate said no at once.
    fn refused(&mut self, mut batch: Vec<Taken>, refusal: &Refusal, wire: &mut Wire) {
        let wait = match refusal {
            Refusal::Full { wait } | Refusal::TooFast { wait } => Some((*wait).max(Duration::from_millis(1))),
            Refusal::Unavailable => Some(UNAVAILABLE_WAIT),
            _ => None,
        };
        if let Some(wait) = wait {
            // Nothing more is read meanwhile, so the broker keeps it. Half as many fit sooner.
            self.pause_until = Some(Instant::now() + wait);
            let rest = batch.split_off(batch.len().div_ceil(2));
            for part in [rest, batch] {
                if !part.is_empty() {
                    self.batches.push_front(part);
                }
            }
            return;
        }
        // Rights have changed since they were asked: one by one, then.
        if batch.len() > 1 {
            batch.into_iter().rev().for_each(|taken| self.batches.push_front(vec![taken]));
            return;
        }
        for Taken { publication, entry, answer } in batch {
            if let Some(entry) = entry {
                self.intake.forget(entry.number);
            }
            self.refuse(publication.event.topic.as_str(), &refusal.to_string());
            self.acknowledge(answer, wire);
        }
    }

    /// Waits until what is on its way to the disk is there, or isn't.
    pub(super) async fn appended(&mut self) -> Result<Receipts, Refusal> {
        match &mut self.appending {
            Some(appending) => appending.later.as_mut().await,
            None => pending().await,
        }
    }

    /// It is.
    pub(super) fn settle(&mut self, result: Result<Receipts, Refusal>, wire: Option<&mut Wire>) {
        let Some(Appending { batch, taken, .. }) = self.appending.take() else { return };
        match result {
            Ok(receipts) => {
                // The note behind them counts as one more, and is never a duplicate.
                let duplicates = receipts.duplicates.len();
                Counts::add(&self.told.counts.duplicates, duplicates);
                Counts::add(&self.told.counts.taken, taken.len().saturating_sub(duplicates));
                if let Some(wire) = wire {
                    for taken in taken {
                        self.acknowledge(taken.answer, wire);
                    }
                }
                self.told.hindered(Way::In, None);
            }
            Err(refusal) => {
                // It may or may not be stored: the same ids again tell.
                let why = format!("what came in can't be stored here: {refusal}");
                if self.told.hindered(Way::In, Some(why.clone())) {
                    tracing::warn!("bridge {}: {why}", self.settings.name);
                }
                self.intake.not_written(batch);
                self.batches.push_front(taken);
                self.pause_until = Some(Instant::now() + UNAVAILABLE_WAIT);
            }
        }
    }

    fn acknowledge(&mut self, answer: Answer, wire: &mut Wire) {
        if answer.generation == self.generation && answer.packet_id != 0 {
            self.intake.acknowledged(answer.packet_id);
            write_puback(answer.packet_id, &mut wire.out);
        }
    }

    /// Asks whether the broker has read what was acknowledged.
    fn ask(&mut self, wire: &mut Wire) {
        if self.asked.is_none() && self.intake.written() > self.settled {
            self.asked = Some((wire.ping(), self.intake.written()));
        }
    }

    /// A ping was answered.
    pub(super) fn pong(&mut self, wire: &Wire) {
        if let Some((_, written)) = self.asked.take_if(|(ping, _)| *ping <= wire.pongs) {
            self.settled = written;
            self.intake.confirm(written);
        }
    }
}

fn publish_topic(heard: Option<&Heard>) -> String {
    heard.map(|heard| heard.publish.topic.to_string()).unwrap_or_default()
}
