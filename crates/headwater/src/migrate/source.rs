//! What is taken over: the log of a hub that doesn't run, held for as long as it's read.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use anyhow::{Context, bail};
use headwater_event::{
    Bus, BusError, DeadLetter, Epoch, Filter, GroupName, GroupStat, Position, Recorded, Seq, Tail, Topic,
};
use headwater_eventlog::{EventLog, LogReader, OpenError, OpenOptions};

/// How many states, groups, letters or topics one page has.
const PAGE: usize = 512;

/// A log that nobody else has open.
pub struct Source {
    log: Arc<EventLog>,
}

impl Source {
    /// Takes the log in a data folder; nothing is made where there's none.
    ///
    /// # Errors
    /// When a hub has it, there is none, or it can't be read.
    pub fn open(options: &OpenOptions) -> anyhow::Result<Self> {
        LogReader::open(&options.folder)?;
        // Nothing is appended, and nothing is freed while it's read.
        let options = OpenOptions { threads: false, retain_bytes: None, retain_age: None, ..options.clone() };
        match EventLog::open(options) {
            Ok(log) => Ok(Self { log: Arc::new(log) }),
            Err(error @ OpenError::Locked { .. }) => {
                bail!("{error}: stop the hub first, as what it takes meanwhile would be left behind")
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Which log it is.
    pub fn epoch(&self) -> Epoch {
        self.log.head().epoch
    }

    /// Its last event.
    pub fn head(&self) -> Seq {
        self.log.head().seq
    }

    /// Retention has freed all up to here.
    pub fn freed(&self) -> Seq {
        self.log.oldest().seq
    }

    /// All that is to be taken over, in its order: first the states whose events retention has freed, by their topics, then
    /// every event of the log.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn events(&self) -> anyhow::Result<Events> {
        let states = self.states().await?;
        let tail = self.log.tail(self.log.oldest())?;
        Ok(Events { carried: (self.freed() > 0).then_some(states), freed: self.freed(), tail, ahead: VecDeque::new() })
    }

    /// All states, by their topics.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn states(&self) -> anyhow::Result<States> {
        let bus: Arc<dyn Bus> = self.log.clone();
        States::of(bus, &Self::reserved(&*self.log).await?)
    }

    /// The first levels that `#` passes over.
    async fn reserved(bus: &dyn Bus) -> anyhow::Result<BTreeSet<String>> {
        let mut levels = BTreeSet::new();
        let mut after: Option<Topic> = None;
        loop {
            let page = bus.topics("$", after.as_ref().map(Topic::as_str), PAGE).await?;
            let first = |topic: &Topic| topic.as_str().split('/').next().unwrap_or_default().to_owned();
            levels.extend(page.topics.iter().map(|(topic, _)| first(topic)));
            after = page.next;
            if after.is_none() {
                return Ok(levels);
            }
        }
    }

    /// The groups, by name.
    pub fn groups(&self) -> Vec<GroupStat> {
        let mut groups: Vec<GroupStat> = Vec::new();
        loop {
            let page = self.log.groups(groups.last().map(|group| &group.name), PAGE);
            if page.is_empty() {
                return groups;
            }
            groups.extend(page);
        }
    }

    /// A page of a group's dead letters; an empty one is the end.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn letters(&self, group: &GroupName, after: Seq) -> anyhow::Result<Vec<DeadLetter>> {
        Ok(self.log.dead_letters(group, after, PAGE).await?)
    }

    /// How many events each group has not settled yet, dead letters aside; a few may be among them that it has settled
    /// out of turn.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn unfinished(&self) -> anyhow::Result<Vec<(GroupStat, u64)>> {
        let mut groups: Vec<(GroupStat, u64)> = self.groups().into_iter().map(|group| (group, 0)).collect();
        let Some(from) = groups.iter().map(|(group, _)| group.settled).min_by_key(|at| at.seq) else {
            return Ok(groups);
        };
        let mut tail = self.log.tail(from)?;
        while let Some(batch) = tail.next_now(&|_| true).await? {
            for recorded in &batch.events {
                for (group, count) in &mut groups {
                    let topic = recorded.event.topic.as_str();
                    let is_later = recorded.position.seq > group.settled.seq;
                    *count += u64::from(is_later && group.filters.iter().any(|filter| filter.matches(topic)));
                }
            }
        }
        Ok(groups)
    }

    /// Lets the log go in good order.
    ///
    /// # Errors
    /// When its checkpoint can't be written.
    pub fn close(&self) -> anyhow::Result<()> {
        self.log.close().context("can't close the log")
    }
}

/// All that is to be taken over, one after the other.
pub struct Events {
    carried: Option<States>,
    freed: Seq,
    tail: Box<dyn Tail>,
    ahead: VecDeque<Recorded>,
}

impl Events {
    /// The next one; `None` at the end.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn next(&mut self) -> Result<Option<Recorded>, BusError> {
        while let Some(states) = &mut self.carried {
            match states.next().await? {
                Some(state) if state.position.seq <= self.freed => return Ok(Some(state)),
                // Its event comes in its turn.
                Some(_) => {}
                None => self.carried = None,
            }
        }
        while self.ahead.is_empty() {
            match self.tail.next_now(&|_| true).await? {
                Some(batch) => self.ahead.extend(batch.events),
                None => return Ok(None),
            }
        }
        Ok(self.ahead.pop_front())
    }
}

/// The states of an engine, one after the other.
pub struct States {
    bus: Arc<dyn Bus>,
    filters: VecDeque<Filter>,
    after: Option<Topic>,
    ahead: VecDeque<Recorded>,
}

impl States {
    /// Those below these reserved first levels, and all that aren't reserved.
    ///
    /// # Errors
    /// When a level is no filter's.
    pub fn of(bus: Arc<dyn Bus>, reserved: &BTreeSet<String>) -> anyhow::Result<Self> {
        let texts = std::iter::once("#".to_owned()).chain(reserved.iter().map(|level| format!("{level}/#")));
        let filters = texts.map(Filter::new).collect::<Result<_, _>>()?;
        Ok(Self { bus, filters, after: None, ahead: VecDeque::new() })
    }

    /// The states of the same topics elsewhere.
    pub fn elsewhere(&self, bus: Arc<dyn Bus>) -> Self {
        Self { bus, filters: self.filters.clone(), after: None, ahead: VecDeque::new() }
    }

    /// The next one; `None` at the end.
    ///
    /// # Errors
    /// When they can't be read.
    pub async fn next(&mut self) -> Result<Option<Recorded>, BusError> {
        while self.ahead.is_empty() {
            let Some(filter) = self.filters.front() else { return Ok(None) };
            let page = self.bus.latest(filter, self.after.as_ref(), PAGE).await?;
            self.ahead.extend(page.events);
            self.after = page.next;
            if self.after.is_none() {
                self.filters.pop_front();
            }
        }
        Ok(self.ahead.pop_front())
    }
}

/// The same event at another place.
pub fn moved(letter: DeadLetter, position: Position) -> DeadLetter {
    DeadLetter { recorded: Recorded { position, ..letter.recorded }, ..letter }
}
