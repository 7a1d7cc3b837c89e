//! Sizes and durations as people write them: `1 MiB`, `60 s`.

use std::time::Duration;

/// Bytes by the name of their unit; the first that divides a size evenly is used to print it.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Microseconds by the name of their unit.
const SPANS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Reads a size: a whole number and a unit, or a whole number of bytes.
///
/// # Errors
/// With a sentence that says how one is written.
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, &SIZES, Some("B"))
        .ok_or_else(|| format!("{text:?} is no size; write one as \"1 MiB\", \"64 KiB\" or \"512 B\""))
}

/// Reads a duration: a whole number and a unit, or a bare 0.
///
/// # Errors
/// With a sentence that says how one is written.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    parse(text, &SPANS, None).map(Duration::from_micros).ok_or_else(|| {
        format!("{text:?} is no duration; write one as \"60 s\", \"500 ms\", \"5 min\", \"24 h\" or \"7 d\"")
    })
}

/// Writes a size so that it reads back as it was.
pub fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES, "0 B")
}

/// Writes a duration so that it reads back as it was (to the microsecond).
pub fn show_span(span: Duration) -> String {
    show(u64::try_from(span.as_micros()).unwrap_or(u64::MAX), &SPANS, "0 s")
}

fn parse(text: &str, units: &[(&str, u64)], bare: Option<&str>) -> Option<u64> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let number: u64 = digits.replace('_', "").parse().ok()?;
    let unit = match (unit.trim(), bare) {
        ("", _) if number == 0 => return Some(0),
        ("", Some(bare)) => bare,
        (unit, _) => unit,
    };
    let exact = units.iter().find(|(name, _)| *name == unit);
    let (_, factor) = exact.or_else(|| units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)))?;
    number.checked_mul(*factor)
}

fn show(number: u64, units: &[(&str, u64)], zero: &str) -> String {
    if number == 0 {
        return zero.to_owned();
    }
    let fits = units.iter().find(|(_, factor)| number.is_multiple_of(*factor));
    fits.map_or_else(|| number.to_string(), |(name, factor)| format!("{} {name}", number / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1 MiB", 1 << 20),
            ("1MiB", 1 << 20),
            ("1 mib", 1 << 20),
            ("2 MB", 2_000_000),
            ("512", 512),
            ("1_000 B", 1_000),
            ("0", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5 MiB", "1 MiB x", "1 s", "99999999 TiB", "18446744073709551616"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_need_their_unit() {
        for (text, micros) in [("60 s", 60_000_000), ("500ms", 500_000), ("0", 0), ("24 h", 86_400_000_000)] {
            assert_eq!(parse_span(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in ["", "60", "s", "1 week", "-1 s", "1 MiB"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for number in [0, 1, 999, 1_000, 1_024, 65_536, 1_000_000, 60_000_000, 3_600_000_001, u64::MAX] {
            assert_eq!(parse_size(&show_size(number)), Ok(number));
            let span = Duration::from_micros(number);
            assert_eq!(parse_span(&show_span(span)), Ok(span));
        }
    }
}
