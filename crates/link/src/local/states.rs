//! The latest state of each sticky topic, as far as a broker has told them.

use std::collections::BTreeMap;
use std::ops::Bound;

use headwater_event::{BusError, Filter, Position, Recorded, Seq, StickyPage, Topic, TopicPage};

/// How many bytes the states may take in all: a state for each of 200,000 devices at half a kilobyte fits twice.
const BYTES_MAX: usize = 256 << 20;

/// What a state costs beside its bytes.
const OVERHEAD: usize = 256;

struct State {
    recorded: Recorded,
    is_stale: bool,
}

/// The states, by topic.
#[derive(Default)]
pub(crate) struct States {
    by_topic: BTreeMap<Topic, State>,
    bytes: usize,
    /// Some did not fit: what is here is not all.
    is_over: bool,
}

fn cost(recorded: &Recorded) -> usize {
    OVERHEAD
        + recorded.event.topic.as_str().len()
        + recorded.event.headers.as_stored().len()
        + recorded.event.payload.len()
}

impl States {
    /// Takes a sticky event, unless a later one of its topic is here.
    pub(crate) fn put(&mut self, recorded: &Recorded) {
        let topic = &recorded.event.topic;
        if self.by_topic.get(topic).is_some_and(|state| state.recorded.position.seq > recorded.position.seq) {
            return;
        }
        if let Some(before) = self.by_topic.remove(topic) {
            self.bytes -= cost(&before.recorded);
        }
        if recorded.event.payload.is_empty() {
            return;
        }
        if self.bytes + cost(recorded) > BYTES_MAX {
            self.is_over = true;
            return;
        }
        self.bytes += cost(recorded);
        self.by_topic.insert(topic.clone(), State { recorded: recorded.clone(), is_stale: false });
    }

    /// The state of a topic.
    pub(crate) fn get(&self, topic: &Topic) -> Option<&Recorded> {
        self.by_topic.get(topic).map(|state| &state.recorded)
    }

    /// The broker is about to tell all states anew: what it doesn't tell was ended meanwhile.
    pub(crate) fn begin_anew(&mut self) {
        self.is_over = false;
        self.by_topic.values_mut().for_each(|state| state.is_stale = true);
    }

    /// The broker has told this state again.
    pub(crate) fn confirm(&mut self, topic: &Topic) {
        if let Some(state) = self.by_topic.get_mut(topic) {
            state.is_stale = false;
        }
    }

    /// The broker has told all.
    pub(crate) fn end_anew(&mut self) {
        let bytes = &mut self.bytes;
        self.by_topic.retain(|_, state| {
            if state.is_stale {
                *bytes -= cost(&state.recorded);
            }
            !state.is_stale
        });
    }

    fn check(&self) -> Result<(), BusError> {
        if self.is_over {
            return Err(BusError::Unable("keep the latest states of so many topics in memory"));
        }
        Ok(())
    }

    /// As [`headwater_event::Bus::latest`].
    pub(crate) fn page(
        &self,
        filter: &Filter,
        after: Option<&Topic>,
        limit: usize,
        as_of: Position,
    ) -> Result<StickyPage, BusError> {
        self.check()?;
        let mut page = StickyPage { events: Vec::new(), as_of, next: None };
        let prefix = filter.fixed_prefix();
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_str()));
        for (topic, state) in self.from(prefix, from) {
            if !topic.as_str().starts_with(prefix) {
                break;
            }
            if !filter.matches(topic.as_str()) {
                continue;
            }
            if page.events.len() == limit {
                page.next = page.events.last().map(|recorded| recorded.event.topic.clone());
                break;
            }
            page.events.push(state.recorded.clone());
        }
        Ok(page)
    }

    /// As [`headwater_event::Bus::topics`].
    pub(crate) fn topics(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<TopicPage, BusError> {
        self.check()?;
        let mut page = TopicPage::default();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for (topic, state) in self.from(prefix, from) {
            if !topic.as_str().starts_with(prefix) {
                break;
            }
            if topic.as_str().starts_with('$') && !prefix.starts_with('$') {
                continue;
            }
            if page.topics.len() == limit {
                page.next = page.topics.last().map(|(topic, _)| topic.clone());
                break;
            }
            page.topics.push((topic.clone(), state.recorded.position.seq));
        }
        Ok(page)
    }

    /// The states in their order from the first that may begin with `prefix` and lies behind `after`.
    fn from<'a>(&'a self, prefix: &str, after: Bound<&str>) -> impl Iterator<Item = (&'a Topic, &'a State)> {
        let begins = match after {
            Bound::Excluded(after) if after >= prefix => Bound::Excluded(after.to_owned()),
            _ => Bound::Included(prefix.to_owned()),
        };
        // A text that is no topic has a place in the order all the same, but none in a map of topics.
        let first = match &begins {
            Bound::Excluded(text) | Bound::Included(text) => Topic::new(text.as_str()).ok(),
            Bound::Unbounded => None,
        };
        let range = match first {
            Some(topic) => self.by_topic.range((Bound::Included(topic), Bound::Unbounded)),
            None => self.by_topic.range::<Topic, _>(..),
        };
        range.skip_while(move |(topic, _)| match &begins {
            Bound::Excluded(text) => topic.as_str() <= text.as_str(),
            Bound::Included(text) => topic.as_str() < text.as_str(),
            Bound::Unbounded => false,
        })
    }

    /// The sequence number of a topic's state.
    pub(crate) fn seq_of(&self, topic: &Topic) -> Option<Seq> {
        self.get(topic).map(|recorded| recorded.position.seq)
    }
}
