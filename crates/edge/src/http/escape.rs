//! Percent-encoding, read strictly (RFC 3986 section 2.1).

/// Undoes percent-encoding; `None` for a `%` without two hexadecimal digits, or bytes that are not UTF-8.
///
/// A `+` stays a `+`, as it is a wildcard of filters; a space is written `%20`.
pub(super) fn unescape(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        bytes.push(digit(digits[0])? << 4 | digit(digits[1])?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_comes_out_and_what_is_broken_does_not() {
        for (text, plain) in [("a/b+c", "a/b+c"), ("%2Bx%2b", "+x+"), ("%C3%BC%20", "ü "), ("%00", "\0"), ("", "")] {
            assert_eq!(unescape(text).as_deref(), Some(plain));
        }
        for text in ["%", "%2", "%zz", "%+1", "%ff", "a%C3", "%%20"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }
}
