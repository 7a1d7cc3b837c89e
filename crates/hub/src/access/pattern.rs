//! One line of a rule: a filter in which a whole level may be `{user}` or `{client}`.

use headwater_event::{Filter, TopicError};

use super::{is_closed_to_publishers, is_closed_to_watchers};

/// One level of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// This text.
    Text(Box<str>),
    /// `+`: any text.
    One,
    /// `{user}`: the name of who asks.
    User,
    /// `{client}`: the client id of who asks.
    Client,
}

/// A filter with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pub(super) levels: Vec<Level>,
    /// Whether `#` follows.
    pub(super) is_open: bool,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It is no filter.
    #[error("{0}")]
    Filter(#[from] TopicError),
    /// A placeholder beside other characters, or one that doesn't exist.
    #[error("{level:?}: a placeholder stands alone in its level, and there are two: {{user}} and {{client}}")]
    Placeholder {
        /// The level.
        level: String,
    },
    /// It begins with what no rule opens.
    #[error(
        "topics that begin with `$` belong to the hub: no rule opens them, but for `$SYS/` to watch, and `$auth/` as docs/access.md says"
    )]
    Reserved,
}

/// What a pattern is for: what it may name depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// To publish.
    Publishing,
    /// To watch.
    Watching,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: &str, purpose: For) -> Result<Self, PatternError> {
        Filter::new(text)?;
        let is_closed = match purpose {
            For::Publishing => is_closed_to_publishers(text),
            For::Watching => is_closed_to_watchers(text),
        };
        if is_closed {
            return Err(PatternError::Reserved);
        }
        let (text, is_open) = match text.strip_suffix('#') {
            None => (text, false),
            Some("") => return Ok(Self { levels: Vec::new(), is_open: true }),
            Some(before) => (before.strip_suffix('/').unwrap_or(before), true),
        };
        let levels = text.split('/').map(Level::new).collect::<Result<_, _>>()?;
        Ok(Self { levels, is_open })
    }

    /// Whether it names who asks.
    pub(super) fn names(&self, placeholder: &Level) -> bool {
        self.levels.contains(placeholder)
    }
}

impl Level {
    fn new(text: &str) -> Result<Self, PatternError> {
        match text {
            "+" => Ok(Self::One),
            "{user}" => Ok(Self::User),
            "{client}" => Ok(Self::Client),
            _ if text.contains(['{', '}']) => Err(PatternError::Placeholder { level: text.to_owned() }),
            _ => Ok(Self::Text(text.into())),
        }
    }
}

/// Whether a name can stand for a level of a topic: one that holds a wildcard or a `/` would mean more than itself
/// (CVE-2017-7650: a client id of `#` read everything).
pub(super) fn is_level(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| matches!(c, '+' | '#' | '/' | '$' | '{' | '}') || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_whole_levels() {
        let pattern = |text: &str| Pattern::new(text, For::Watching);
        let read = pattern("a/{user}/+/{client}/#").unwrap();
        assert_eq!(read.levels, [Level::Text("a".into()), Level::User, Level::One, Level::Client]);
        assert!(read.is_open);
        for text in ["a/dev-{user}", "a/{user", "{name}/a", "a/{}", "{user}{client}"] {
            assert!(matches!(pattern(text), Err(PatternError::Placeholder { .. })), "{text}");
        }
        assert!(matches!(pattern("a/#/b"), Err(PatternError::Filter(_))));
        assert_eq!(pattern("#").unwrap(), Pattern { levels: Vec::new(), is_open: true });
        assert_eq!(pattern("a//").unwrap().levels.len(), 3);
    }

    #[test]
    fn no_rule_names_what_is_reserved() {
        for text in ["$SYS/#", "$share/g/a", "$audit/#", "$"] {
            assert_eq!(Pattern::new(text, For::Publishing), Err(PatternError::Reserved), "{text}");
        }
        assert!(Pattern::new("$SYS/#", For::Watching).is_ok());
        for text in ["$share/g/a", "$audit/#", "$SYS", "$"] {
            assert_eq!(Pattern::new(text, For::Watching), Err(PatternError::Reserved), "{text}");
        }
    }

    #[test]
    fn a_name_that_means_more_than_itself_is_no_level() {
        for name in ["", "+", "#", "a/b", "$SYS", "a$", "a\0", "a\u{85}", "a\n", "{user}"] {
            assert!(!is_level(name), "{name:?}");
        }
        assert!(is_level("device-1.example.com") && is_level("Zoë"));
    }
}
