//! A location as one level of a topic, and back.

use std::fmt::Write as _;

/// The longest name of a location in bytes: with each of them escaped the topic is still below its limit of 1,024. Names of
/// cities have some dozens; lists of counties that are longer belong into several areas.
pub const LEN_MAX: usize = 300;

/// What stands in a topic where a location does, when an event is of none.
pub const NOWHERE: &str = "-";

/// Whether this can be a location, or the type of an alert: some text in one line.
pub fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LEN_MAX && !text.chars().any(char::is_control)
}

/// The location as one level: `/`, `+`, `#` and `%` are written as `%XX`, all else as it is.
pub fn level(location: &str) -> String {
    if location == NOWHERE {
        return "%2D".to_owned();
    }
    let mut level = String::with_capacity(location.len());
    for letter in location.chars() {
        match letter {
            '/' | '+' | '#' | '%' => {
                // Writing into a String can't fail.
                let _ = write!(level, "%{:02X}", u32::from(letter));
            }
            other => level.push(other),
        }
    }
    level
}

/// The location that a level names; `None` when [`level`] would not have written it so.
pub fn location(level: &str) -> Option<String> {
    let mut text = String::with_capacity(level.len());
    let mut parts = level.split('%');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        text.push(char::from(u8::from_str_radix(code, 16).ok()?));
        text.push_str(rest);
    }
    (is_name(&text) && self::level(&text) == level).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_location_has_a_level_of_its_own_and_comes_back() {
        for (text, written) in [
            ("Haifa", "Haifa"),
            ("Tel Aviv - Yafo", "Tel Aviv - Yafo"),
            ("חיפה", "חיפה"),
            ("a/b", "a%2Fb"),
            ("+", "%2B"),
            ("#", "%23"),
            ("100 %", "100 %25"),
            ("%2F", "%252F"),
            ("-", "%2D"),
            ("$SYS", "$SYS"),
        ] {
            assert_eq!(level(text), written);
            assert_eq!(location(written).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_level_that_is_written_otherwise_is_nobodys() {
        for level in ["", " ", "-", "%", "%2", "%2f", "%41", "%zz", "%+1", "a+b", "%0A", "%C3%A4"] {
            assert_eq!(location(level), None, "{level}");
        }
        assert!(!is_name(&"x".repeat(LEN_MAX + 1)) && !is_name("a\nb") && is_name("ü"));
    }
}
