//! Topics and filters as routing keys, and what exchanges and queues are called.
//!
//! Levels are words: `/` is `.`, `+` is `*`, `#` is `#`. What a word can't hold is written as `%` and two hexadecimal digits,
//! and an empty level as `%`. A routing key has at most 255 bytes: a topic that needs more is routed by [`LONG`], which
//! everybody is bound to who wants more than one topic, and told apart by those who get it.

use std::time::Duration;

use headwater_event::{Filter, GroupName, Topic};

use crate::dotted;

/// The longest routing key, and the longest name of a queue.
pub(super) const KEY_LEN_MAX: usize = 255;

/// The key of all topics whose own would be too long.
pub(super) const LONG: &str = "%long";

/// What a word can't hold.
const SPECIAL: &[char] = &['.', '*', '#'];

/// How much of a queue's name a group's name may take; the rest is for ours.
const GROUP_LEN_MAX: usize = 180;

/// How long an installation's name (`?name=`) may be.
const NAME_LEN_MAX: usize = 40;

/// What an installation calls its things on a server that it shares with others.
#[derive(Clone, Debug)]
pub(super) struct Names(String);

impl Names {
    /// `None` when the name can't be one.
    pub(super) fn new(name: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        ((1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(fits)).then(|| Self(name.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic exchange that every event goes through.
    pub(super) fn exchange(&self) -> &str {
        &self.0
    }

    /// The topic exchange of what nobody keeps.
    pub(super) fn talk(&self) -> String {
        format!("{}.talk", self.0)
    }

    /// The queue of a group; one of a long name goes by its number.
    pub(super) fn queue(&self, group: &GroupName, number: u64) -> String {
        self.of_group("group", group, number)
    }

    /// The place of the one that is alone in a group.
    pub(super) fn place(&self, group: &GroupName, number: u64) -> String {
        self.of_group("alone", group, number)
    }

    fn of_group(&self, kind: &str, group: &GroupName, number: u64) -> String {
        let token = dotted::word(group.as_str(), b"/");
        match token.len() {
            ..=GROUP_LEN_MAX => format!("{}.{kind}.{token}", self.0),
            _ => format!("{}.{kind}.%{number}", self.0),
        }
    }

    /// The exchange and the queue of one of the waits.
    pub(super) fn waits(&self, wait: Duration) -> String {
        format!("{}.wait.{}s", self.0, wait.as_secs())
    }
}

/// The key that a topic's events are published with.
pub(super) fn of_topic(topic: &Topic) -> String {
    let key = words(topic.as_str());
    if key.len() > KEY_LEN_MAX { LONG.to_owned() } else { key }
}

/// The topic of a key, for what others publish; `None` when it's none.
pub(super) fn topic(key: &str) -> Option<Topic> {
    let levels: Option<Vec<String>> = key.split('.').map(dotted::level).collect();
    Topic::new(levels?.join("/")).ok()
}

/// The keys that a queue is bound with for these filters. More may come than they want: `#` and `*` are wildcards for `$`
/// there, too.
pub(super) fn of_filters<'a>(filters: impl IntoIterator<Item = &'a Filter>) -> Vec<String> {
    let (mut keys, mut any_long) = (Vec::new(), false);
    for filter in filters {
        let key = words(filter.as_str());
        any_long |= key.len() > KEY_LEN_MAX || filter.as_str().contains(['+', '#']);
        if key.len() <= KEY_LEN_MAX {
            keys.push(key);
        }
    }
    // `#` alone has all there is.
    if any_long && !keys.iter().any(|key| key == "#") {
        keys.push(LONG.to_owned());
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn words(levels: &str) -> String {
    let mut key = String::with_capacity(levels.len());
    dotted::write_levels(levels, SPECIAL, &mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(filters: &[&str]) -> Vec<String> {
        of_filters(&filters.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn topics_come_back_as_they_went_in() {
        for text in ["a", "a/b", "/", "a//b", "$SYS/x", "a.b/c d", "100%/*x", "ü/€", "a#b"] {
            let Ok(topic_of) = text.parse::<Topic>() else { continue };
            assert_eq!(topic(&of_topic(&topic_of)), Some(topic_of), "{text}");
        }
        assert_eq!(of_topic(&"a.b/*/c".parse().unwrap()), "a%2Eb.%2A.c");
        assert_eq!(topic("a%Z"), None);
        assert_eq!(topic("a.%C3"), None);
    }

    #[test]
    fn filters_are_keys_with_wildcards_of_their_own() {
        assert_eq!(keys(&["a/b"]), ["a.b"]);
        assert_eq!(keys(&["a/+/c"]), [LONG, "a.*.c"]);
        assert_eq!(keys(&["a/#", "+"]), [LONG, "*", "a.#"].map(str::to_owned));
        assert_eq!(keys(&["#", "a/+"]), ["#", "a.*"]);
        assert_eq!(keys(&["a.b/*"]), ["a%2Eb.%2A"]);
    }

    #[test]
    fn what_is_too_long_for_a_key_is_routed_to_all_who_may_want_it() {
        let long = format!("{}/x", "l".repeat(300));
        assert_eq!(of_topic(&long.parse().unwrap()), LONG);
        assert_eq!(keys(&[&long]), [LONG]);
        assert_eq!(topic(LONG), None, "it says no topic");
    }

    #[test]
    fn every_group_has_a_queue_of_its_own() {
        let names = Names::new("hw").unwrap();
        let queue = |name: &str| names.queue(&GroupName::new(name).unwrap(), 7);
        assert_eq!(queue("service/a"), "hw.group.service/a");
        assert_ne!(queue("a.b"), queue("a%2Eb"));
        assert_eq!(queue(&"x".repeat(500)), "hw.group.%7");
        assert_eq!(names.place(&GroupName::new("service/a").unwrap(), 7), "hw.alone.service/a");
        assert!(Names::new("a.b").is_none() && Names::new("").is_none());
    }
}
