//! Which texts may be topics, filters, client ids and user names (sections 4.7, 4.8.2, 3.1.3).
//!
//! Control characters are refused in all of them: the specification calls them unwise, and a name with a line break in it
//! can become two lines of another protocol further on.

use headwater_event::Text;
use headwater_event::topic::{TOPIC_LEN_MAX, TOPIC_LEVELS_MAX};

use super::reader::NUL;
use super::{Fault, Reason};

/// What begins a shared subscription (section 4.8.2).
const SHARE: &str = "$share";

/// The group and the filter of a shared subscription: `$share/group/filter`. `None` for any other filter.
///
/// For a filter out of a decoded packet both are there and neither is empty.
#[must_use]
pub fn split_shared(filter: &str) -> Option<(&str, &str)> {
    filter.strip_prefix(SHARE)?.strip_prefix('/')?.split_once('/')
}

/// What one pass over a name finds.
#[derive(Debug, Default)]
struct Found {
    slashes: usize,
    control: bool,
    nul: bool,
    wildcard: bool,
}

impl Found {
    #[inline]
    fn of(text: &[u8]) -> Self {
        let mut found = Self::default();
        let mut last = 0;
        for &byte in text {
            found.slashes += usize::from(byte == b'/');
            found.wildcard |= matches!(byte, b'+' | b'#');
            found.nul |= byte == 0;
            // U+0080 to U+009F are 0xC2 and the code itself; in text that is UTF-8 nothing else begins with 0xC2.
            found.control |= byte < 0x20 || byte == 0x7F || (last == 0xC2 && byte < 0xA0);
            last = byte;
        }
        found
    }
}

/// Whether a name may have something that a rule is about. One test without a branch, so that sixteen bytes are looked at
/// at a time; most names are through after it.
#[inline]
fn is_plain(name: &[u8]) -> bool {
    // Fewer bytes than levels are allowed: the slashes needn't be counted.
    name.len() < TOPIC_LEVELS_MAX
        && !name.iter().fold(false, |odd, &byte| {
            odd | (byte < 0x20) | (byte == b'+') | (byte == b'#') | (byte == 0x7F) | (byte == 0xC2)
        })
}

/// The topic of a publication or a will, and the response topic: at least one character, no wildcards.
#[inline]
pub(super) fn check_topic(topic: &Text) -> Result<(), Fault> {
    let bytes = topic.as_bytes();
    if bytes.is_empty() {
        return Err(bad_topic("a topic has at least one character"));
    }
    if is_plain(bytes) {
        return Ok(());
    }
    check_odd_topic(bytes)
}

fn check_odd_topic(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.len() > TOPIC_LEN_MAX {
        return Err(bad_topic("a topic has at most 1,024 bytes"));
    }
    let found = Found::of(bytes);
    if found.nul {
        return Err(NUL);
    }
    if found.control {
        return Err(bad_topic("a topic has no control characters"));
    }
    if found.wildcard {
        return Err(bad_topic("a topic to publish to has no wildcards"));
    }
    if found.slashes >= TOPIC_LEVELS_MAX {
        return Err(bad_topic("a topic has at most 128 levels"));
    }
    Ok(())
}

const fn bad_topic(why: &'static str) -> Fault {
    Fault::new(Reason::TOPIC_NAME_INVALID, why)
}

/// A filter of SUBSCRIBE or UNSUBSCRIBE, shared or not.
pub(super) fn check_filter(filter: &Text) -> Result<(), Fault> {
    if is_plain(filter.as_bytes()) && !matches!(filter.as_bytes().first(), None | Some(b'$')) {
        return Ok(());
    }
    let found = Found::of(filter.as_bytes());
    if found.nul {
        return Err(NUL);
    }
    if found.control {
        return Err(bad_filter("a filter has no control characters"));
    }
    let text = filter.as_str();
    match text.strip_prefix(SHARE) {
        Some("") => Err(bad_filter("a shared subscription names a group and a filter")),
        Some(rest) if rest.starts_with('/') => check_shared(&rest[1..]),
        _ => check_plain_filter(text, found.wildcard),
    }
}

fn check_shared(rest: &str) -> Result<(), Fault> {
    let Some((group, filter)) = rest.split_once('/') else {
        return Err(bad_filter("a shared subscription names a group and a filter"));
    };
    if group.is_empty() || group.contains(['+', '#']) {
        return Err(bad_filter("a group's name has at least one character, and no wildcards"));
    }
    check_plain_filter(filter, true)
}

fn check_plain_filter(filter: &str, has_wildcards: bool) -> Result<(), Fault> {
    if filter.is_empty() {
        return Err(bad_filter("a filter has at least one character"));
    }
    if filter.len() > TOPIC_LEN_MAX {
        return Err(bad_filter("a filter has at most 1,024 bytes"));
    }
    if filter.bytes().filter(|byte| *byte == b'/').count() >= TOPIC_LEVELS_MAX {
        return Err(bad_filter("a filter has at most 128 levels"));
    }
    if !has_wildcards {
        return Ok(());
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.len() > 1 && level.contains(['+', '#']) {
            return Err(bad_filter("a wildcard stands alone in its level"));
        }
        if level == "#" && levels.peek().is_some() {
            return Err(bad_filter("# stands in the last level"));
        }
    }
    Ok(())
}

const fn bad_filter(why: &'static str) -> Fault {
    Fault::new(Reason::TOPIC_FILTER_INVALID, why)
}

/// A client id; whether it may be empty is for the connection to say.
pub(super) fn check_client_id(id: &Text) -> Result<(), Fault> {
    check_controls(id, Fault::new(Reason::CLIENT_ID_NOT_VALID, "a client id has no control characters"))
}

/// A user name.
pub(super) fn check_user_name(name: &Text) -> Result<(), Fault> {
    check_controls(name, Fault::new(Reason::BAD_USER_NAME_OR_PASSWORD, "a user name has no control characters"))
}

fn check_controls(text: &Text, fault: Fault) -> Result<(), Fault> {
    if is_plain(text.as_bytes()) {
        return Ok(());
    }
    match Found::of(text.as_bytes()) {
        Found { nul: true, .. } => Err(NUL),
        Found { control: true, .. } => Err(fault),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use headwater_event::topic::{Filter, Topic};
    use proptest::prelude::*;

    use super::*;

    fn topic(text: &str) -> Result<(), Reason> {
        check_topic(&Text::from(text)).map_err(|fault| fault.reason)
    }

    fn filter(text: &str) -> Result<(), Reason> {
        check_filter(&Text::from(text)).map_err(|fault| fault.reason)
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        for text in
            ["", "a/+", "#", "a\u{1}", "a\n", "\u{7f}", "\u{80}", "a\u{9f}b", &"x".repeat(1_025), &"/".repeat(128)]
        {
            assert_eq!(topic(text), Err(Reason::TOPIC_NAME_INVALID), "{text:?}");
        }
        assert_eq!(topic("a\0b"), Err(Reason::MALFORMED_PACKET));
        for text in ["/", "a b", "\u{a0}", "ÿ", "\u{feff}a", &"x".repeat(1_024), &"/".repeat(127)] {
            assert_eq!(topic(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let invalid = [
            "",
            "a+",
            "+a",
            "a#",
            "#/a",
            "a/#/b",
            "##",
            "a\r",
            "$share",
            "$share/",
            "$share/g",
            "$share/g/",
            "$share//a",
            "$share/+/a",
            "$share/#/a",
            "$share/a+b/a",
            "$share/g/a#",
        ];
        for text in invalid {
            assert_eq!(filter(text), Err(Reason::TOPIC_FILTER_INVALID), "{text:?}");
        }
        assert_eq!(filter("a\0"), Err(Reason::MALFORMED_PACKET));
        for text in ["#", "+", "+/+", "/", "a/#", "+/a/#", "$share/g/#", "$share/g//", "$shared/a", "$SYS/#"] {
            assert_eq!(filter(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn a_shared_filter_has_the_limits_of_any_filter_behind_its_group() {
        assert_eq!(filter(&format!("$share/g/{}", "x".repeat(1_024))), Ok(()));
        assert_eq!(filter(&format!("$share/g/{}", "x".repeat(1_025))), Err(Reason::TOPIC_FILTER_INVALID));
        assert_eq!(filter(&format!("$share/g/{}", "/".repeat(128))), Err(Reason::TOPIC_FILTER_INVALID));
    }

    #[test]
    fn a_shared_filter_is_split_into_group_and_filter() {
        assert_eq!(split_shared("$share/g/a/b"), Some(("g", "a/b")));
        assert_eq!(split_shared("$share/g//b"), Some(("g", "/b")));
        for text in ["$share", "$share/g", "$shared/g/a", "a/$share/b"] {
            assert_eq!(split_shared(text), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]
        #[test]
        fn a_name_is_taken_exactly_when_the_hub_takes_it(text in "[a/+#$\u{0}\u{1}\u{1f} \u{7f}\u{80}\u{9f}\u{a0}éÂ]{0,6}") {
            prop_assert_eq!(topic(&text).is_ok(), Topic::new(text.as_str()).is_ok());
            if !text.starts_with(SHARE) {
                prop_assert_eq!(filter(&text).is_ok(), Filter::new(text.as_str()).is_ok());
            }
        }
    }
}
