//! The latest event of each sticky topic: where it stands, never what it holds.

use std::collections::BTreeMap;
use std::ops::Bound;

use headwater_event::{Filter, Seq, Text};

/// How many topics one page looks at. They're looked at while the commit waits, and 16,384 take a millisecond or two; a
/// page that wants few of many comes back short, with the topic to go on from.
pub(crate) const LOOKED_AT_MAX: usize = 16_384;

/// How many topics a glance looks at: some microseconds.
const GLANCED_AT_MAX: usize = 64;

/// Where a sticky event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StickyPlace {
    /// Its sequence number.
    pub seq: Seq,
    /// Where its record begins in the file; may be a copy that was carried forward.
    pub offset: u64,
}

/// The places of all sticky topics, ordered by topic.
#[derive(Default)]
pub(crate) struct Sticky(BTreeMap<Text, StickyPlace>);

/// Some places, ordered by topic.
pub(crate) struct StickyFound {
    pub places: Vec<StickyPlace>,
    /// The last topic that was looked at, when there may be more behind it.
    pub next: Option<Text>,
}

impl Sticky {
    /// Takes a sticky event; one without a payload ends the topic's state.
    pub(crate) fn set(&mut self, topic: &[u8], place: StickyPlace, empty: bool) {
        if empty {
            self.0.remove(topic);
        } else if let Some(known) = self.0.get_mut(topic) {
            *known = place;
        } else if let Ok(topic) = std::str::from_utf8(topic) {
            self.0.insert(Text::from(topic), place);
        }
    }

    /// Takes a copy that was carried forward: it counts only while its original is the latest.
    pub(crate) fn carry(&mut self, topic: &[u8], place: StickyPlace) {
        match self.0.get_mut(topic) {
            Some(known) if known.seq == place.seq => *known = place,
            Some(_) => {}
            // The original lay in what was freed before this log was read back.
            None => self.set(topic, place, false),
        }
    }

    /// Up to `limit` places of topics that the filter wants, beginning after `after`.
    pub(crate) fn find(&self, filter: &Filter, after: Option<&str>, limit: usize) -> StickyFound {
        let prefix = filter.fixed_prefix();
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.as_bytes()),
            _ => Bound::Included(prefix.as_bytes()),
        };
        let mut found = StickyFound { places: Vec::new(), next: None };
        let mut last = None;
        for (looked_at, (topic, place)) in self.0.range::<[u8], _>((from, Bound::Unbounded)).enumerate() {
            if !topic.starts_with(prefix) {
                return found;
            }
            if looked_at == LOOKED_AT_MAX || found.places.len() == limit {
                found.next = last.map(Text::detached);
                return found;
            }
            if filter.matches(topic) {
                found.places.push(*place);
            }
            last = Some(topic);
        }
        found
    }

    /// Whether there is certainly nothing that the filter wants: looks at a few topics and no more, so it may be asked where
    /// nobody may wait. Most of those who come find nothing.
    pub(crate) fn has_none(&self, filter: &Filter, after: Option<&str>) -> bool {
        let prefix = filter.fixed_prefix();
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.as_bytes()),
            _ => Bound::Included(prefix.as_bytes()),
        };
        let rest = self.0.range::<[u8], _>((from, Bound::Unbounded)).map(|(topic, _)| topic);
        let mut below = rest.take_while(|topic| topic.starts_with(prefix));
        let is_wanted = below.by_ref().take(GLANCED_AT_MAX).any(|topic| filter.matches(topic));
        !is_wanted && below.next().is_none()
    }

    /// Up to `limit` topics and one more (to tell whether there are any) that begin with this text, after `after`.
    pub(crate) fn below(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<(Text, StickyPlace)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after.as_bytes()),
            _ => Bound::Included(prefix.as_bytes()),
        };
        let rest = self.0.range::<[u8], _>((from, Bound::Unbounded));
        let below = rest.take_while(|(topic, _)| topic.as_bytes().starts_with(prefix.as_bytes()));
        below.take(limit.saturating_add(1)).map(|(topic, place)| (topic.detached(), *place)).collect()
    }

    /// Up to `limit` topics and places after this topic, for the checkpoint and for retention.
    pub(crate) fn slice(&self, after: Option<&Text>, limit: usize) -> Vec<(Text, StickyPlace)> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_bytes()));
        self.0.range::<[u8], _>((from, Bound::Unbounded)).take(limit).map(|(t, p)| (t.clone(), *p)).collect()
    }

    /// How many topics have a state.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sticky(topics: &[&str]) -> Sticky {
        let mut sticky = Sticky::default();
        for (at, topic) in topics.iter().enumerate() {
            sticky.set(topic.as_bytes(), StickyPlace { seq: at as u64 + 1, offset: 0 }, false);
        }
        sticky
    }

    fn seqs(found: &StickyFound) -> Vec<Seq> {
        found.places.iter().map(|place| place.seq).collect()
    }

    #[test]
    fn pages_go_through_all_wanted_topics_in_order() {
        let sticky = sticky(&["b/2", "a", "b/1", "b", "b/3/x", "bb", "$SYS/b"]);
        let filter = Filter::new("b/#").unwrap();
        let first = sticky.find(&filter, None, 2);
        assert_eq!(seqs(&first), [4, 3]);
        let next = first.next.unwrap();
        assert_eq!(next.as_str(), "b/1");
        let second = sticky.find(&filter, Some(&next), 2);
        assert_eq!(seqs(&second), [1, 5]);
        let third = sticky.find(&filter, second.next.as_deref(), 2);
        assert_eq!((seqs(&third), third.next), (vec![], None));
        assert_eq!(seqs(&sticky.find(&Filter::new("#").unwrap(), None, 99)), [2, 4, 3, 1, 5, 6]);
    }

    #[test]
    fn a_glance_says_none_only_where_there_is_none() {
        let few = sticky(&["a", "b/1", "b/2", "c"]);
        for (filter, is_none) in [
            ("b/3", true),
            ("b/+", false),
            ("b/+/x", true),
            ("d/#", true),
            ("#", false),
            ("b/2/#", false),
            ("bb", true),
        ] {
            let filter = Filter::new(filter).unwrap();
            assert_eq!(few.has_none(&filter, None), is_none, "{filter}");
            assert_eq!(few.find(&filter, None, 9).places.is_empty(), is_none, "{filter}");
        }
        assert!(few.has_none(&Filter::new("b/+").unwrap(), Some("b/2")));
        let names: Vec<String> = (0..200).map(|number| format!("b/{number}")).collect();
        let many = sticky(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(!many.has_none(&Filter::new("b/+/x").unwrap(), None), "a glance doesn't see all of them");
    }

    #[test]
    fn no_payload_ends_the_state_and_a_copy_never_revives_an_older_one() {
        let mut sticky = sticky(&["a", "b"]);
        sticky.set(b"a", StickyPlace { seq: 3, offset: 0 }, true);
        assert_eq!(sticky.len(), 1);
        sticky.carry(b"b", StickyPlace { seq: 2, offset: 99 });
        sticky.carry(b"b", StickyPlace { seq: 1, offset: 77 });
        assert_eq!(sticky.slice(None, 9)[0].1, StickyPlace { seq: 2, offset: 99 });
    }
}
