//! Topics and filters as NATS subjects and back.
//!
//! `hw.e.` stands before what is only an event, `hw.s.` before what is its topic's latest state, so that the server's last
//! message of a subject is that state. Levels are tokens; what a token can't hold is written as `%` and two hexadecimal
//! digits a byte, and an empty level as `%`.

use headwater_event::{Filter, GroupName, Topic};

use crate::dotted;
use crate::local::covered::without_covered;

/// What a token can't hold.
const SPECIAL: &[char] = &['.', '*', '>', ' '];

/// Everything.
pub(super) const ALL: &str = "hw.>";
/// All latest states.
pub(super) const STATES: &str = "hw.s.";
/// Before what processes tell each other and no stream keeps.
pub(super) const TALK: &str = "hwt.";
/// Before dead letters.
pub(super) const DEAD: &str = "hwd.";
/// Before letters to be tried again.
pub(super) const AGAIN: &str = "hwa.";

const EVENTS: &str = "hw.e.";

/// Where an event is published.
pub(super) fn of_topic(topic: &Topic, sticky: bool) -> String {
    let mut subject = String::from(if sticky { STATES } else { EVENTS });
    dotted::write_levels(topic.as_str(), SPECIAL, &mut subject);
    subject
}

/// Where something is told that nobody keeps.
pub(super) fn of_talk(topic: &Topic) -> String {
    let mut subject = String::from(TALK);
    dotted::write_levels(topic.as_str(), SPECIAL, &mut subject);
    subject
}

/// The topic of what is told.
pub(super) fn told(subject: &str) -> Option<Topic> {
    topic_of(subject.strip_prefix(TALK)?)
}

/// The topic of a subject, and whether it's sticky; `None` when it's none of ours.
pub(super) fn topic(subject: &str) -> Option<(Topic, bool)> {
    let (rest, sticky) = match subject.strip_prefix(STATES) {
        Some(rest) => (rest, true),
        None => (subject.strip_prefix(EVENTS)?, false),
    };
    Some((topic_of(rest)?, sticky))
}

fn topic_of(levels: &str) -> Option<Topic> {
    let levels: Option<Vec<String>> = levels.split('.').map(dotted::level).collect();
    Topic::new(levels?.join("/")).ok()
}

/// The subjects of a filter below a prefix, which together want no subject twice. More may come than the filter wants:
/// `#` is no wildcard for `$` there.
pub(super) fn of_filter(filter: &Filter, prefix: &str) -> Vec<String> {
    let text = filter.as_str();
    let (levels, has_rest) = match text.strip_suffix("/#") {
        Some(levels) => (levels, true),
        None if text == "#" => return vec![format!("{prefix}>")],
        None => (text, false),
    };
    let mut subject = String::from(prefix);
    dotted::write_levels(levels, SPECIAL, &mut subject);
    if has_rest { vec![format!("{subject}.>"), subject] } else { vec![subject] }
}

/// The subjects of a group; all there are where its filters want something twice, which the server takes for a fault.
pub(super) fn of_filters(filters: &[Filter]) -> Vec<String> {
    let filters = without_covered(filters);
    let subjects: Vec<_> = filters.into_iter().flat_map(|filter| of_filter(filter, "hw.*.")).collect();
    let overlap = |at: usize, one: &String| subjects[..at].iter().any(|other| do_overlap(one, other));
    let any = subjects.iter().enumerate().any(|(at, one)| overlap(at, one));
    if any || subjects.is_empty() { vec![ALL.to_owned()] } else { subjects }
}

/// Whether some subject matches both.
fn do_overlap(one: &str, other: &str) -> bool {
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(one), Some(other)) if one == "*" || other == "*" || one == other => {}
            _ => return false,
        }
    }
}

/// A group's name as a token, which is a consumer's name too.
pub(super) fn group(name: &GroupName) -> String {
    dotted::word(name.as_str(), b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_come_back_as_they_went_in() {
        for text in ["a", "a/b", "/", "a//b", "$SYS/x", "a.b/c d", "100%/*>", "ü/€"] {
            for sticky in [true, false] {
                let topic_of: Topic = text.parse().unwrap();
                assert_eq!(topic(&of_topic(&topic_of, sticky)), Some((topic_of, sticky)), "{text}");
            }
            let said: Topic = text.parse().unwrap();
            assert_eq!((told(&of_talk(&said)), topic(&of_talk(&said))), (Some(said), None), "{text}");
        }
        assert_eq!(topic("hw.x.a"), None);
        assert_eq!(topic("hw.e.a%Z"), None);
    }

    #[test]
    fn filters_are_subjects_that_want_nothing_twice() {
        let of = |filters: &[&str]| of_filters(&filters.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>());
        assert_eq!(of(&["a/+/b"]), ["hw.*.a.*.b"]);
        assert_eq!(of(&["a/#"]), ["hw.*.a.>", "hw.*.a"]);
        assert_eq!(of(&["#"]), ["hw.*.>"]);
        assert_eq!(of(&["g/+", "g/a", "other/#"]), ["hw.*.g.*", "hw.*.other.>", "hw.*.other"]);
        assert_eq!(of(&["a/+", "+/b"]), [ALL], "a/b is wanted by both");
        assert_eq!(of(&["+", "#"]), ["hw.*.>"]);
    }
}
