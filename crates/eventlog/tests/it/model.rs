//! The plainest model of a log, a scenario that uses all of it, and what must hold after any crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_event::{Bus, BusError, Clock, EventId, Filter, ProducerId, Publication, Time};
use headwater_eventlog::testing::TestDisk;
use headwater_eventlog::{EventLog, OpenError, OpenOptions};

use crate::kit::{all, event, numbered, sticky};

/// One step of a scenario.
#[derive(Clone, Debug)]
pub enum Step {
    Append(Vec<Publication>),
    UseUp(u64),
    Checkpoint,
    FillAhead,
    Free,
}

/// Who numbers its events in scenarios.
pub const PRODUCER: u128 = 5;

/// What was asked of a log, in order, and how much of it was acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Appends and used-up numbers.
    asked: Vec<Step>,
    acknowledged: usize,
}

/// What a log must hold after some of what was asked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    payloads: Vec<Vec<u8>>,
    ids: Vec<EventId>,
    sticky: BTreeMap<String, Vec<u8>>,
    number: u64,
}

impl Model {
    fn expected(&self, steps: usize) -> Expected {
        let mut expected = Expected::default();
        for step in &self.asked[..steps] {
            match step {
                Step::Append(batch) => batch.iter().for_each(|publication| expected.take(publication)),
                Step::UseUp(number) => expected.number = *number,
                Step::Checkpoint | Step::FillAhead | Step::Free => {}
            }
        }
        expected
    }

    /// Checks a log that was opened after a crash: nothing acknowledged is lost, nothing is invented, the order is kept.
    /// Then sends everything again, as clients do that got no answer: nothing comes twice.
    pub async fn check(&self, log: &EventLog, what: &str) {
        let (least, most) = (self.expected(self.acknowledged), self.expected(self.asked.len()));
        let freed = usize::try_from(log.oldest().seq).unwrap();
        let events = all(log).await;
        let payloads: Vec<_> = events.iter().map(|recorded| recorded.event.payload.to_vec()).collect();
        let count = freed + payloads.len();
        let is_one_of_two = count == least.payloads.len() || count == most.payloads.len();
        assert!(is_one_of_two, "{what}: {count} events, {} acknowledged", least.payloads.len());
        assert_eq!(payloads, most.payloads[freed..count], "{what}");
        let seqs: Vec<_> = events.iter().map(|recorded| recorded.position.seq).collect();
        assert_eq!(seqs, (freed as u64 + 1..=count as u64).collect::<Vec<_>>(), "{what}");
        let number = log.last_number(ProducerId::from_u128(PRODUCER)).await.unwrap();
        assert!(number == least.number || number == most.number, "{what}: number {number}");
        let expected = if count == most.payloads.len() && number == most.number { &most } else { &least };
        assert_eq!(number, expected.number, "{what}: all or nothing of one append");
        assert_eq!(latest(log).await, expected.sticky, "{what}");
        self.send_again(log, what).await;
    }

    async fn send_again(&self, log: &EventLog, what: &str) {
        for step in &self.asked {
            match step {
                Step::Append(batch) => drop(log.append(batch.clone()).await.expect(what)),
                Step::UseUp(number) => log.use_up(ProducerId::from_u128(PRODUCER), *number).await.expect(what),
                Step::Checkpoint | Step::FillAhead | Step::Free => {}
            }
        }
        let (most, freed) = (self.expected(self.asked.len()), usize::try_from(log.oldest().seq).unwrap());
        let ids: Vec<_> = all(log).await.into_iter().map(|recorded| recorded.event.id).collect();
        assert_eq!(ids, most.ids[freed..], "{what}, sent again");
        assert_eq!(latest(log).await, most.sticky, "{what}, sent again");
    }
}

impl Expected {
    fn take(&mut self, publication: &Publication) {
        let event = &publication.event;
        match event.id {
            EventId::Numbered { number, .. } if number <= self.number => return,
            EventId::Numbered { number, .. } => self.number = number,
            _ if self.ids.contains(&event.id) => return,
            _ => {}
        }
        self.ids.push(event.id.clone());
        self.payloads.push(event.payload.to_vec());
        if publication.sticky {
            if event.payload.is_empty() {
                self.sticky.remove(event.topic.as_str());
            } else {
                self.sticky.insert(event.topic.as_str().into(), event.payload.to_vec());
            }
        }
    }
}

async fn latest(log: &EventLog) -> BTreeMap<String, Vec<u8>> {
    let (filter, mut after, mut found) = (Filter::new("#").unwrap(), None, BTreeMap::new());
    loop {
        let page = log.latest(&filter, after.as_ref(), 3).await.unwrap();
        for recorded in page.events {
            found.insert(recorded.event.topic.as_str().into(), recorded.event.payload.to_vec());
        }
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// The options of a log whose every step a test owns.
pub fn options(disk: &TestDisk) -> OpenOptions {
    let mut options = OpenOptions::new("/nowhere");
    options.disk = Some(Arc::new(disk.clone()));
    options.clock = Clock::manual(Time(2_000_000));
    options.threads = false;
    options.ahead_bytes = 24 << 10;
    options.retain_bytes = Some(150 << 10);
    options
}

pub fn open_on(disk: &TestDisk) -> Result<EventLog, OpenError> {
    EventLog::open(options(disk))
}

/// Runs a scenario until something fails, and says what was asked and acknowledged.
pub async fn run(disk: &TestDisk, steps: &[Step]) -> Model {
    let mut model = Model::default();
    let Ok(log) = open_on(disk) else { return model };
    for step in steps {
        if do_step(&log, step, &mut model).await.is_err() {
            break;
        }
    }
    model
}

pub async fn do_step(log: &EventLog, step: &Step, model: &mut Model) -> Result<(), BusError> {
    match step {
        Step::Append(batch) => {
            model.asked.push(step.clone());
            log.append(batch.clone()).await?;
            model.acknowledged = model.asked.len();
        }
        Step::UseUp(number) => {
            model.asked.push(step.clone());
            log.use_up(ProducerId::from_u128(PRODUCER), *number).await?;
            model.acknowledged = model.asked.len();
        }
        Step::Checkpoint => log.checkpoint()?,
        Step::FillAhead => log.fill_ahead().map_err(|error| BusError::Storage(error.to_string()))?,
        Step::Free => drop(log.free()?),
    }
    Ok(())
}

/// A scenario that meets everything: batches within a page and over many, sticky states that change and end, resent
/// events, numbers used up, zeros ahead, checkpoints, and retention that carries sticky events forward.
pub fn scenario() -> Vec<Step> {
    let (mut steps, mut number) = (Vec::new(), 0);
    for round in 0..5_usize {
        let id = |what: &str| format!("{what}{round}");
        let text = |len: usize| format!("{round}:{}", "abcdefg".repeat(len / 7));
        let mut batch = vec![event(&id("a"), "t", &text(60)), sticky(&id("b"), &format!("s/{round}"), &text(150))];
        if round > 0 {
            batch.push(event(&format!("a{}", round - 1), "t", "resent"));
        }
        steps.push(Step::Append(batch));
        number += 1;
        let mut counted = numbered(PRODUCER, number);
        counted.event.payload = text(30).into();
        steps.push(Step::Append(vec![counted]));
        steps.push(Step::Append(vec![event(&id("c"), "big", &text(70_000)), event(&id("d"), "t", &text(5_000))]));
        number += 1;
        steps.push(Step::UseUp(number));
        match round {
            1 => steps.push(Step::FillAhead),
            2 => steps.push(Step::Checkpoint),
            3 => steps.push(Step::Append(vec![sticky("end", "s/1", ""), sticky("new", "s/2", "newer")])),
            4 => steps.push(Step::Free),
            _ => {}
        }
    }
    steps.push(Step::Append(vec![event("last", "t", "last")]));
    steps
}
