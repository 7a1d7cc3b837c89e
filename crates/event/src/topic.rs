//! Where an event belongs, and what somebody wants: topics and filters, with the rules of MQTT 5.0 section 4.7.

use std::fmt;
use std::str::FromStr;

use crate::text::Text;

/// The longest topic or filter in bytes: four times what AWS and Azure take, and small beside any payload limit.
pub const TOPIC_LEN_MAX: usize = 1_024;

/// The most levels of a topic or filter: matching costs a step a level, so a topic of slashes must not be a weapon.
pub const TOPIC_LEVELS_MAX: usize = 128;

/// What is wrong with a topic or filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Nothing there.
    #[error("a topic has at least one character")]
    Empty,
    /// Over [`TOPIC_LEN_MAX`].
    #[error("a topic has at most {TOPIC_LEN_MAX} bytes")]
    TooLong,
    /// Over [`TOPIC_LEVELS_MAX`].
    #[error("a topic has at most {TOPIC_LEVELS_MAX} levels")]
    TooDeep,
    /// U+0000 to U+001F, U+007F to U+009F.
    #[error("a topic has no control characters")]
    ControlCharacter,
    /// `+` or `#` where an event is to be published.
    #[error("an event's topic has no wildcards")]
    Wildcard,
    /// `+` beside other characters in its level.
    #[error("`+` stands alone in its level")]
    PlusNotAlone,
    /// `#` beside other characters, or not in the last level.
    #[error("`#` stands alone in the last level")]
    HashNotLast,
    /// The bytes were not UTF-8.
    #[error("a topic is UTF-8 text")]
    NotUtf8,
}

/// Where an event belongs: levels parted by `/`, no wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Text);

impl Topic {
    /// Checks the text of a topic.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn new(text: impl Into<Text>) -> Result<Self, TopicError> {
        let text = text.into();
        check_text(&text)?;
        if text.as_bytes().iter().any(|b| matches!(b, b'+' | b'#')) {
            return Err(TopicError::Wildcard);
        }
        Ok(Self(text))
    }

    /// The topic as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The shared text.
    #[must_use]
    pub const fn text(&self) -> &Text {
        &self.0
    }

    /// A copy that keeps no read buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }
}

/// What somebody wants: a topic in which `+` stands for one level and a last `#` for all the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter(Text);

impl Filter {
    /// Checks the text of a filter.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn new(text: impl Into<Text>) -> Result<Self, TopicError> {
        let text = text.into();
        check_text(&text)?;
        let levels = text.split('/').count();
        for (at, level) in text.split('/').enumerate() {
            if level.contains('#') && (level != "#" || at + 1 != levels) {
                return Err(TopicError::HashNotLast);
            }
            if level.contains('+') && level != "+" {
                return Err(TopicError::PlusNotAlone);
            }
        }
        Ok(Self(text))
    }

    /// The filter as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether this filter names one topic alone.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.0.as_bytes().iter().any(|b| matches!(b, b'+' | b'#'))
    }

    /// The part before the first wildcard level, without its last `/`; every matching topic starts with it.
    #[must_use]
    pub fn fixed_prefix(&self) -> &str {
        let text = self.as_str();
        match text.find(['+', '#']) {
            None => text,
            Some(at) => text[..at].strip_suffix('/').unwrap_or(&text[..at]),
        }
    }

    /// Whether an event of this topic is wanted (MQTT 5.0 section 4.7).
    ///
    /// `a/#` matches `a` too; a wildcard in the first level matches no topic that starts with `$`.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        let filter = self.as_str();
        if topic.starts_with('$') && filter.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.split('/');
        for wanted in filter.split('/') {
            match (wanted, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (wanted, Some(level)) if wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

fn check_text(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > TOPIC_LEN_MAX {
        return Err(TopicError::TooLong);
    }
    if text.bytes().filter(|b| *b == b'/').count() >= TOPIC_LEVELS_MAX {
        return Err(TopicError::TooDeep);
    }
    if text.chars().any(char::is_control) {
        return Err(TopicError::ControlCharacter);
    }
    Ok(())
}

impl From<&Topic> for Filter {
    /// The filter that wants just this topic.
    fn from(topic: &Topic) -> Self {
        Self(topic.0.clone())
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::new(text)
    }
}

impl FromStr for Filter {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        Self::new(text)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(filter: &str, topic: &str) -> bool {
        Filter::new(filter).unwrap().matches(topic)
    }

    #[test]
    fn filters_match_as_the_specification_says() {
        for (filter, topic) in [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking"),
            ("sport/#", "sport"),
            ("#", "a"),
            ("#", "/a"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("sport/+", "sport/"),
            ("+/tennis/#", "sport/tennis"),
            ("$SYS/#", "$SYS/a"),
            ("$SYS/monitor/+", "$SYS/monitor/Clients"),
            ("a//b", "a//b"),
        ] {
            assert!(matches(filter, topic), "{filter} should match {topic}");
        }
        for (filter, topic) in [
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("#", "$SYS/a"),
            ("+/monitor/Clients", "$SYS/monitor/Clients"),
            ("a/b", "a/b/"),
            ("a/#", "ab"),
        ] {
            assert!(!matches(filter, topic), "{filter} should not match {topic}");
        }
    }

    #[test]
    fn what_is_no_topic_is_refused() {
        assert_eq!(Topic::new(""), Err(TopicError::Empty));
        assert_eq!(Topic::new("a/+"), Err(TopicError::Wildcard));
        assert_eq!(Topic::new("a\0b"), Err(TopicError::ControlCharacter));
        assert_eq!(Topic::new("a\u{85}b"), Err(TopicError::ControlCharacter));
        assert_eq!(Topic::new("x".repeat(1_025)), Err(TopicError::TooLong));
        assert!(Topic::new("x".repeat(1_024)).is_ok());
        assert_eq!(Topic::new("/".repeat(128)), Err(TopicError::TooDeep));
        assert!(Topic::new("/".repeat(127)).is_ok());
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in ["a#", "#/a", "a/#/b", "##", "a/b#"] {
            assert_eq!(Filter::new(text), Err(TopicError::HashNotLast), "{text}");
        }
        for text in ["a+", "+a/b", "++"] {
            assert_eq!(Filter::new(text), Err(TopicError::PlusNotAlone), "{text}");
        }
    }

    /// The plainest matcher that could be right: by recursion over two slices of levels.
    fn oracle(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            ([], []) => true,
            (["#"], _) => true,
            (["+", filter @ ..], [_, topic @ ..]) => oracle(filter, topic),
            ([wanted, filter @ ..], [level, topic @ ..]) => wanted == level && oracle(filter, topic),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn matching_agrees_with_the_oracle(
            filter in "(a|b|\\+|)(/(a|b|\\+|)){0,3}(/#)?",
            topic in "(a|b|\\$|)(/(a|b|)){0,4}",
        ) {
            if filter.is_empty() || topic.is_empty() {
                return Ok(());
            }
            let parts: Vec<&str> = filter.split('/').collect();
            let levels: Vec<&str> = topic.split('/').collect();
            let hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
            prop_assert_eq!(matches(&filter, &topic), oracle(&parts, &levels) && !hidden);
        }

        #[test]
        fn every_match_starts_with_the_fixed_prefix(
            filter in "(a|b|\\+)(/(a|b|\\+)){0,3}(/#)?",
            topic in "(a|b)(/(a|b)){0,4}",
        ) {
            let filter = Filter::new(filter).unwrap();
            if filter.matches(&topic) {
                prop_assert!(topic.starts_with(filter.fixed_prefix()));
            }
        }
    }
}
