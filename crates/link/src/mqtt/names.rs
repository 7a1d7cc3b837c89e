//! What Headwater's topics, filters and groups are called on a broker that others use too.
//!
//! Below [`OURS`] stands what only Headwater's processes read: dead letters, letters that are to be tried again, markers,
//! and the topics that a broker would not take from a client, those that begin with `$`.

use std::fmt::Write as _;

use headwater_event::{Filter, GroupName, Text, Topic};

/// The first level of everything that only Headwater's processes read.
pub(super) const OURS: &str = "_headwater/";

/// Before a topic that can't stand on the broker under its own name.
const RESERVED: &str = "_headwater/reserved/";
/// Before the dead letters of a group, which are retained.
const DEAD: &str = "_headwater/dead/";
/// Before what a group is to be given once more.
const AGAIN: &str = "_headwater/again/";
/// Before what a process says to itself, to know how far it has read: among the letters, as what comes by one subscription
/// comes in order, and by two it may not. No group's share is called so.
const MARK: &str = "_headwater/dead/~/";
/// Before what processes tell each other and nobody keeps. A Headwater takes it for itself and shows it to no client.
const TALK: &str = "_headwater/talk/";

/// All dead letters.
pub(super) const ALL_DEAD: &str = "_headwater/dead/#";

/// The longest name of a share on the broker: what is longer ends in a hash, as some brokers keep names short.
const SHARE_LEN_MAX: usize = 100;
/// How much of a longer name stays readable.
const SHARE_READABLE_LEN: usize = 80;

/// What a name on the broker means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An event of this topic.
    Event(Topic),
    /// A dead letter.
    Dead,
    /// A letter to be tried again.
    Again,
    /// What a process said to itself.
    Mark,
    /// Not a topic of Headwater's: too long, too deep, control characters.
    Nothing,
}

/// A topic's name on the broker.
pub(super) fn of_topic(topic: &Topic) -> Text {
    if is_reserved(topic.as_str()) { format!("{RESERVED}{topic}").into() } else { topic.text().clone() }
}

/// A filter's name on the broker.
pub(super) fn of_filter(filter: &Filter) -> String {
    if is_reserved(filter.as_str()) { format!("{RESERVED}{filter}") } else { filter.to_string() }
}

/// Where something is told that nobody keeps.
pub(super) fn talk(topic: &Topic) -> Text {
    format!("{TALK}{topic}").into()
}

/// Where it's heard.
pub(super) fn talk_filter(filter: &Filter) -> String {
    format!("{TALK}{filter}")
}

/// The topic of what is told, or kept as its state, under its name there or, from a Headwater, under its own.
pub(super) fn told(name: &Text) -> Option<Topic> {
    let topic = name.strip_prefix(TALK).or_else(|| name.strip_prefix(RESERVED)).unwrap_or(name.as_str());
    Topic::new(topic).ok()
}

fn is_reserved(text: &str) -> bool {
    text.starts_with('$') || text.starts_with(OURS)
}

/// What a topic on the broker is to us.
pub(super) fn meaning(name: &Text) -> Meaning {
    let topic = |text: Text| Topic::new(text).map_or(Meaning::Nothing, Meaning::Event);
    match name.strip_prefix(OURS) {
        None => topic(name.clone()),
        Some(_) => match name.strip_prefix(RESERVED) {
            Some(rest) => topic(rest.into()),
            None if name.starts_with(MARK) => Meaning::Mark,
            None if name.starts_with(DEAD) => Meaning::Dead,
            None if name.starts_with(AGAIN) => Meaning::Again,
            None => Meaning::Nothing,
        },
    }
}

/// Where a process of this id says something to itself.
pub(super) fn mark(client_id: &str) -> Text {
    format!("{MARK}{client_id}").into()
}

/// Where a dead letter of a group is kept.
pub(super) fn dead(group: &GroupName, key: &str) -> Text {
    format!("{DEAD}{}/{key}", share(group)).into()
}

/// Where a group is given something once more.
pub(super) fn again(group: &GroupName) -> Text {
    format!("{AGAIN}{}", share(group)).into()
}

/// The filter of a shared subscription.
pub(super) fn shared(group: &GroupName, filter: &str) -> String {
    format!("$share/{}/{filter}", share(group))
}

/// A group's name as the name of a share, which has no `/`, `+` and `#` (MQTT 5.0 section 4.8.2): what isn't a letter, a
/// digit, `-`, `.` or `_` is written as `%` and two hexadecimal digits a byte.
pub(super) fn share(group: &GroupName) -> String {
    let mut name = String::new();
    for byte in group.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            name.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    if name.len() > SHARE_LEN_MAX {
        name.truncate(SHARE_READABLE_LEN);
        let _ = write!(name, "~{:016x}", fnv(group.as_str().as_bytes()));
    }
    name
}

/// FNV-1a: the same in every version and on every machine, as a name must be.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupName {
        GroupName::new(name).unwrap()
    }

    #[test]
    fn topics_come_back_as_they_went_in() {
        for text in ["a/b", "$SYS/x", "_headwater/dead/x", "_headwater/reserved/$SYS", "_headwaterx", "ü/€"] {
            let topic: Topic = text.parse().unwrap();
            assert_eq!(meaning(&of_topic(&topic)), Meaning::Event(topic), "{text}");
        }
        assert_eq!(of_topic(&"$SYS/x".parse().unwrap()).as_str(), "_headwater/reserved/$SYS/x");
        assert_eq!(meaning(&dead(&group("g"), "k")), Meaning::Dead);
        assert_eq!(meaning(&again(&group("g"))), Meaning::Again);
        assert_eq!(meaning(&mark("me")), Meaning::Mark);
        assert_eq!(meaning(&"_headwater/else".into()), Meaning::Nothing);
        let beat: Topic = "$SYS/nodes/a".parse().unwrap();
        assert_eq!(meaning(&talk(&beat)), Meaning::Nothing, "who follows the events doesn't take it for one");
        assert_eq!((told(&talk(&beat)), told(beat.text())), (Some(beat.clone()), Some(beat)));
        assert_eq!(meaning(&"a\u{1}".into()), Meaning::Nothing);
    }

    #[test]
    fn a_share_is_named_without_what_a_share_may_not_have() {
        assert_eq!(share(&group("service/order")), "service%2Forder");
        assert_eq!(share(&group("a+b#c%d")), "a%2Bb%23c%25d");
        let long = |end: char| share(&group(&format!("{}{end}", "x".repeat(400))));
        assert_eq!(long('a').len(), SHARE_READABLE_LEN + 17);
        assert_ne!(long('a'), long('b'));
        assert_eq!(shared(&group("g"), "a/#"), "$share/g/a/#");
    }
}
