//! Topics as servers spell them whose levels are parted by dots: `/` is `.`, `+` is `*`; what a level can't hold there is
//! written as `%` and two hexadecimal digits, and an empty level as `%`.

use std::fmt::Write as _;

/// Appends the levels of a topic or a filter; `special` are the characters, beside `%`, that a level can't hold.
pub(crate) fn write_levels(levels: &str, special: &[char], out: &mut String) {
    for (at, level) in levels.split('/').enumerate() {
        if at > 0 {
            out.push('.');
        }
        match level {
            "" => out.push('%'),
            "+" => out.push('*'),
            "#" => out.push('#'),
            level => level.chars().for_each(|c| match c {
                // Writing to a String can't fail.
                c if c == '%' || special.contains(&c) => drop(write!(out, "%{:02X}", u32::from(c))),
                c => out.push(c),
            }),
        }
    }
}

/// A level as it was; `None` when it can't have been written here.
pub(crate) fn level(word: &str) -> Option<String> {
    if word == "%" {
        return Some(String::new());
    }
    let mut parts = word.split('%');
    let mut level = parts.next()?.to_owned();
    for part in parts {
        let code = part.get(..2)?;
        level.push(char::from(u8::from_str_radix(code, 16).ok().filter(u8::is_ascii)?));
        level.push_str(&part[2..]);
    }
    Some(level)
}

/// A name as one word of letters, digits, `-`, `_` and these further bytes.
pub(crate) fn word(name: &str, further: &[u8]) -> String {
    let mut word = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || further.contains(&byte) {
            word.push(char::from(byte));
        } else {
            let _ = write!(word, "%{byte:02X}");
        }
    }
    word
}
