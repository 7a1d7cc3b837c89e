//! Which rings want a topic: asked for every event, so its cost must not grow with the number of filters.

use std::collections::HashMap;

use headwater_event::{Filter, Text};

/// Filters by what they match. Filters without wildcards are found by one look into a map, the others by a walk along
/// the topic's levels.
#[derive(Default)]
pub(crate) struct Index {
    exact: HashMap<Text, Vec<u32>>,
    root: Node,
    wildcards: usize,
}

#[derive(Default)]
struct Node {
    children: HashMap<Box<str>, Node>,
    plus: Option<Box<Node>>,
    /// Filters that end here.
    here: Vec<u32>,
    /// Filters whose `#` stands for everything from here on, this level's end included.
    rest: Vec<u32>,
}

impl Index {
    pub(crate) fn insert(&mut self, filter: &Filter, ring: u32) {
        if filter.is_exact() {
            self.exact.entry(Text::from(filter.as_str())).or_default().push(ring);
        } else {
            self.wildcards += 1;
            self.root.insert(filter.as_str(), ring);
        }
    }

    pub(crate) fn remove(&mut self, filter: &Filter, ring: u32) {
        if !filter.is_exact() {
            self.wildcards -= usize::from(self.root.remove(Some(filter.as_str()), ring));
        } else if let Some(rings) = self.exact.get_mut(filter.as_str().as_bytes()) {
            rings.retain(|other| *other != ring);
            if rings.is_empty() {
                self.exact.remove(filter.as_str().as_bytes());
            }
        }
    }

    /// Whether any ring wants this topic.
    pub(crate) fn wants(&self, topic: &str) -> bool {
        self.exact.contains_key(topic.as_bytes()) || self.walk(topic, &mut |_| true)
    }

    /// The rings of just this filter.
    pub(crate) fn rings_of(&self, filter: &Filter) -> &[u32] {
        if filter.is_exact() {
            return self.exact.get(filter.as_str().as_bytes()).map_or(&[], Vec::as_slice);
        }
        let mut node = &self.root;
        for level in filter.as_str().split('/') {
            let next = match level {
                "#" => return &node.rest,
                "+" => node.plus.as_deref(),
                _ => node.children.get(level),
            };
            let Some(next) = next else { return &[] };
            node = next;
        }
        &node.here
    }

    /// The rings that want this topic, each once.
    pub(crate) fn find(&self, topic: &str, found: &mut Vec<u32>) {
        if let Some(rings) = self.exact.get(topic.as_bytes()) {
            found.extend_from_slice(rings);
        }
        self.walk(topic, &mut |rings| {
            found.extend_from_slice(rings);
            false
        });
    }

    /// Shows all matching sets of rings until `enough` says so; gives whether it did.
    fn walk(&self, topic: &str, enough: &mut dyn FnMut(&[u32]) -> bool) -> bool {
        if self.wildcards == 0 {
            return false;
        }
        // MQTT 5.0 section 4.7.2: a wildcard in the first level doesn't match what starts with `$`.
        let is_hidden = topic.starts_with('$');
        self.root.walk(Some(topic), is_hidden, enough)
    }
}

impl Node {
    fn insert(&mut self, filter: &str, ring: u32) {
        let mut node = self;
        for level in filter.split('/') {
            node = match level {
                "#" => return node.rest.push(ring),
                "+" => node.plus.get_or_insert_default(),
                _ => node.children.entry(level.into()).or_default(),
            };
        }
        node.here.push(ring);
    }

    /// Takes a ring out and prunes what is left without use; gives whether it was there.
    fn remove(&mut self, filter: Option<&str>, ring: u32) -> bool {
        let Some(filter) = filter else { return take(&mut self.here, ring) };
        let (level, rest) = split(filter);
        match level {
            "#" => take(&mut self.rest, ring),
            "+" => {
                let Some(node) = &mut self.plus else { return false };
                let was_there = node.remove(rest, ring);
                if node.is_empty() {
                    self.plus = None;
                }
                was_there
            }
            _ => {
                let Some(node) = self.children.get_mut(level) else { return false };
                let was_there = node.remove(rest, ring);
                if node.is_empty() {
                    self.children.remove(level);
                }
                was_there
            }
        }
    }

    /// A step a level: no deeper than a topic may be, no wider than the filters that share its beginning.
    fn walk(&self, topic: Option<&str>, is_hidden: bool, enough: &mut dyn FnMut(&[u32]) -> bool) -> bool {
        if !is_hidden && !self.rest.is_empty() && enough(&self.rest) {
            return true;
        }
        let Some(topic) = topic else { return !self.here.is_empty() && enough(&self.here) };
        let (level, rest) = split(topic);
        if let Some(node) = &self.plus
            && !is_hidden
            && node.walk(rest, false, enough)
        {
            return true;
        }
        self.children.get(level).is_some_and(|node| node.walk(rest, false, enough))
    }

    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.plus.is_none() && self.here.is_empty() && self.rest.is_empty()
    }
}

/// The first level, and what follows its `/` if there is one.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (text, None),
    }
}

fn take(rings: &mut Vec<u32>, ring: u32) -> bool {
    let before = rings.len();
    rings.retain(|other| *other != ring);
    rings.len() < before
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn the_index_agrees_with_asking_every_filter(
            filters in prop::collection::vec("(a|b|\\+|\\$x|)(/(a|b|\\+|)){0,3}(/#)?|#", 1..12),
            gone in prop::collection::vec(any::<bool>(), 12),
            topic in "(a|b|\\$x|)(/(a|b|)){0,4}",
        ) {
            prop_assume!(!topic.is_empty());
            let filters: Vec<_> = filters.iter().filter_map(|text| Filter::new(text.as_str()).ok()).collect();
            let mut index = Index::default();
            for (ring, filter) in filters.iter().enumerate() {
                index.insert(filter, ring as u32);
            }
            for (ring, filter) in filters.iter().enumerate().filter(|(ring, _)| gone[*ring]) {
                index.remove(filter, ring as u32);
            }
            let expected: Vec<_> = filters
                .iter()
                .enumerate()
                .filter(|(ring, filter)| !gone[*ring] && filter.matches(&topic))
                .map(|(ring, _)| ring as u32)
                .collect();
            for (ring, filter) in filters.iter().enumerate() {
                prop_assert_eq!(index.rings_of(filter).contains(&(ring as u32)), !gone[ring]);
            }
            let mut found = Vec::new();
            index.find(&topic, &mut found);
            found.sort_unstable();
            prop_assert_eq!(index.wants(&topic), !expected.is_empty());
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn an_index_that_everybody_left_is_empty(filters in prop::collection::vec("(a|\\+)(/(a|\\+)){0,3}(/#)?", 1..12)) {
            let mut index = Index::default();
            for (ring, text) in filters.iter().enumerate() {
                index.insert(&Filter::new(text.as_str()).unwrap(), ring as u32);
            }
            for (ring, text) in filters.iter().enumerate() {
                index.remove(&Filter::new(text.as_str()).unwrap(), ring as u32);
            }
            prop_assert!(index.exact.is_empty() && index.root.is_empty());
            prop_assert_eq!(index.wildcards, 0);
        }
    }
}
