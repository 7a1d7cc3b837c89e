//! Moments as alerts write them: ISO 8601 in, the form of `Date.toISOString` out.

use headwater_event::{Time, json};

/// The last moment that four digits of a year can spell: 9999-12-31T23:59:59.999999Z.
pub const LAST: Time = Time(253_402_300_799_999_999);

/// The longest text that is looked at: a date, a time with nine digits of a second, and an offset take 35 bytes.
const LEN_MAX: usize = 40;

/// A moment in the extended form of ISO 8601: a date, or a date and a time with or without seconds and their fraction,
/// and `Z`, an offset, or nothing, which means UTC. `None` for everything else, and for moments before 1970 or after 9999.
pub fn parse(text: &str) -> Option<Time> {
    if text.len() > LEN_MAX || !text.is_ascii() {
        return None;
    }
    let (date, rest) = text.split_at_checked(10)?;
    let days = days_of(date)?;
    let (seconds, micros, offset) = match rest.strip_prefix('T') {
        None if rest.is_empty() => (0, 0, 0),
        None => return None,
        Some(rest) => {
            let (time, offset) = split_offset(rest)?;
            let (seconds, micros) = time_of(time)?;
            (seconds, micros, offset)
        }
    };
    let all = days.checked_mul(86_400)?.checked_add(seconds)?.checked_sub(offset)?;
    let time = Time(u64::try_from(all).ok()?.checked_mul(1_000_000)?.checked_add(micros)?);
    (time <= LAST).then_some(time)
}

/// `2026-11-21T07:15:00.000Z`: with milliseconds, as JavaScript writes it, so that existing clients read what they know.
pub fn spelt(time: Time) -> String {
    let mut out = Vec::with_capacity(27);
    json::write_time(time, &mut out);
    // The last three of the six digits are left out.
    let mut text = String::from_utf8_lossy(&out).into_owned();
    text.truncate(text.len().saturating_sub(4));
    text.push('Z');
    text
}

/// `2026-11-21T07:15:00-00:00`: CAP 1.2 has no `Z`, and writes UTC with a minus (section 3.3.2).
pub fn spelt_cap(time: Time) -> String {
    let mut text = spelt(time);
    text.truncate(19);
    text.push_str("-00:00");
    text
}

/// Exactly so many digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    let good = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok())?
}

/// Days since 1970-01-01, of `YYYY-MM-DD`.
fn days_of(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if parts.next().is_some() || day < 1 || day > last {
        return None;
    }
    // Counted from March, so that the leap day comes last: 719,468 days lie between 0000-03-01 and 1970-01-01.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468)
}

/// The time of day and the seconds that its zone is ahead of UTC.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix('Z') {
        return Some((time, 0));
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, 0)) };
    let (time, offset) = text.split_at(at);
    let (sign, offset) = offset.split_at(1);
    let (hours, minutes) = match offset.split_once(':') {
        Some(pair) => pair,
        None if offset.len() == 4 => offset.split_at(2),
        None => (offset, "00"),
    };
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let ahead = hours * 3_600 + minutes * 60;
    Some((time, if sign == "-" { -ahead } else { ahead }))
}

/// Seconds and microseconds of a day, of `HH:MM`, `HH:MM:SS` or `HH:MM:SS.f`; digits beyond the sixth are cut.
fn time_of(time: &str) -> Option<(i64, u64)> {
    let mut parts = time.split(':');
    let (hours, minutes, seconds) =
        (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, parts.next().unwrap_or("00"));
    if parts.next().is_some() {
        return None;
    }
    let (seconds, micros) = match seconds.split_once(['.', ',']) {
        None => (digits(seconds, 2)?, 0),
        Some((seconds, fraction)) => {
            if !(1..=9).contains(&fraction.len()) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            (digits(seconds, 2)?, format!("{fraction:0<6.6}").parse().ok()?)
        }
    };
    // A leap second is the moment that follows it.
    (hours < 24 && minutes < 60 && seconds <= 60).then_some((hours * 3_600 + minutes * 60 + seconds, micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_names_its_moment() {
        for (text, spelling) in [
            ("2026-11-21T07:15:00Z", "2026-11-21T07:15:00.000Z"),
            ("2026-11-21T07:15:00.1239999Z", "2026-11-21T07:15:00.123Z"),
            ("2026-11-21T07:15:00,5Z", "2026-11-21T07:15:00.500Z"),
            ("2026-11-21T07:15Z", "2026-11-21T07:15:00.000Z"),
            ("2026-11-21T07:15:00", "2026-11-21T07:15:00.000Z"),
            ("2026-11-21", "2026-11-21T00:00:00.000Z"),
            ("2026-11-21T07:15:00+02:00", "2026-11-21T05:15:00.000Z"),
            ("2026-11-21T07:15:00-0330", "2026-11-21T10:45:00.000Z"),
            ("2026-11-21T00:15:00+02", "2026-11-20T22:15:00.000Z"),
            ("2024-02-29T23:59:60Z", "2024-03-01T00:00:00.000Z"),
            ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(spelt(parse(text).unwrap_or_else(|| panic!("{text}"))), spelling, "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "now",
            "1795245300",
            "2026-13-01T00:00:00Z",
            "2026-00-01",
            "2026-02-29",
            "2100-02-29",
            "2026-11-31",
            "2026-11-21 07:15:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T07:60:00Z",
            "2026-11-21T07:15:61Z",
            "2026-11-21T07:15:00.Z",
            "2026-11-21T07:15:00.1234567890Z",
            "2026-11-21T07:15:00+24:00",
            "2026-11-21T",
            "2026-11-21T07",
            "2026-11-21T07:15:00ZZ",
            "2026-11-21T07:15:00+",
            "+026-11-21",
            "-026-11-21T07:15:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "2026-11-21T7:15:00Z",
            "２０２６-11-21T07:15:00Z",
            "2026-11-21T07:15:00Z\n",
            "2026-1-021",
            "0000-01-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn cap_writes_utc_with_a_minus() {
        assert_eq!(spelt_cap(parse("2026-11-21T07:15:00.9Z").unwrap()), "2026-11-21T07:15:00-00:00");
    }
}
