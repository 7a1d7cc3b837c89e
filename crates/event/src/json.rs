//! An event as one line of JSON: the same spelling in exports, histories and live feeds.
//!
//! `{"seq","time","id","topic","headers","payload"}`; the time is RFC 3339 in UTC with microseconds, and
//! `"payload_base64"` stands in place of `payload` where the bytes are not UTF-8.

use std::collections::HashMap;
use std::io::Write;

use crate::clock::Time;
use crate::event::Recorded;
use crate::headers::Headers;

/// The last moment that RFC 3339 can spell: 9999-12-31T23:59:59.999999Z. Later ones are written as this one.
const TIME_LAST: Time = Time(253_402_300_799_999_999);

/// From this many headers on repeated names are found by a map: comparing each with each would let 16 KiB of tiny
/// headers cost milliseconds.
const HEADERS_COMPARED_MAX: usize = 16;

/// Appends the event as one JSON object, without a line end.
pub fn write_event(recorded: &Recorded, out: &mut Vec<u8>) {
    let event = &recorded.event;
    out.reserve(160 + event.topic.as_str().len() + event.headers.as_stored().len() + event.payload.len());
    // Writing into a Vec can't fail.
    let _ = write!(out, "{{\"seq\":{},\"time\":\"", recorded.position.seq);
    write_time(event.at, out);
    out.extend_from_slice(b"\",\"id\":\"");
    let start = out.len();
    let _ = write!(out, "{}", event.id);
    if out[start..].iter().any(|byte| needs_escape(*byte)) {
        let id = out.split_off(start);
        escape_into(&id, out);
    }
    out.extend_from_slice(b"\",\"topic\":");
    write_str(event.topic.as_str(), out);
    out.extend_from_slice(b",\"headers\":");
    write_headers(&event.headers, out);
    match std::str::from_utf8(&event.payload) {
        Ok(text) => {
            out.extend_from_slice(b",\"payload\":");
            write_str(text, out);
        }
        Err(_) => {
            out.extend_from_slice(b",\"payload_base64\":\"");
            write_base64(&event.payload, out);
            out.push(b'"');
        }
    }
    out.push(b'}');
}

/// Appends headers as one JSON object; a name that repeats has an array of its values, in their order.
pub fn write_headers(headers: &Headers, out: &mut Vec<u8>) {
    out.push(b'{');
    let pairs: Vec<(&str, &str)> = headers.iter().collect();
    if pairs.len() < HEADERS_COMPARED_MAX {
        for (at, (name, _)) in pairs.iter().enumerate() {
            if pairs[..at].iter().all(|(before, _)| before != name) {
                let values = pairs[at..].iter().filter(|(other, _)| other == name).map(|(_, value)| *value);
                write_header(name, values.collect(), out);
            }
        }
    } else {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut grouped: Vec<(&str, Vec<&str>)> = Vec::new();
        for (name, value) in pairs {
            let at = *places.entry(name).or_insert(grouped.len());
            if at == grouped.len() {
                grouped.push((name, Vec::new()));
            }
            grouped[at].1.push(value);
        }
        for (name, values) in grouped {
            write_header(name, values, out);
        }
    }
    out.push(b'}');
}

fn write_header(name: &str, values: Vec<&str>, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_str(name, out);
    out.push(b':');
    let many = values.len() > 1;
    if many {
        out.push(b'[');
    }
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_str(value, out);
    }
    if many {
        out.push(b']');
    }
}

/// Appends a JSON string with its quotes (RFC 8259 section 7).
pub fn write_str(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape_into(text.as_bytes(), out);
    out.push(b'"');
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Copies runs of plain bytes whole; most texts are one run.
fn escape_into(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = text.iter().position(|byte| needs_escape(*byte)) {
        out.extend_from_slice(&text[..at]);
        match text[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
        text = &text[at + 1..];
    }
    out.extend_from_slice(text);
}

/// Appends a moment as RFC 3339 in UTC with microseconds: `2026-11-21T07:15:00.000000Z`.
pub fn write_time(time: Time, out: &mut Vec<u8>) {
    let micros = time.min(TIME_LAST).as_micros();
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let of_day = seconds % 86_400;
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z");
}

/// Year, month and day of a day number since 1970-01-01, by counting from March so that the leap day comes last.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01; an era has 400 years of 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Appends bytes in base64 with the standard alphabet and padding (RFC 4648 section 4).
pub fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let word = (u32::from(three[0]) << 16)
            | (u32::from(three.get(1).copied().unwrap_or(0)) << 8)
            | u32::from(three.get(2).copied().unwrap_or(0));
        for at in 0..4 {
            let sextet = (word >> (18 - 6 * at)) & 63;
            out.push(if at <= three.len() { ALPHABET[sextet as usize] } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::Event;
    use crate::position::Position;
    use crate::topic::Topic;

    fn recorded(payload: &'static [u8], headers: Headers) -> Recorded {
        Recorded {
            position: Position::new(9, 42),
            event: Event {
                id: "say \"hi\"".parse().unwrap(),
                topic: Topic::new("a/ü\\b").unwrap(),
                headers,
                payload: Bytes::from_static(payload),
                at: Time(1_795_245_300_000_007),
            },
            sticky: false,
        }
    }

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_is_one_object_on_one_line() {
        let headers = Headers::from_pairs([("content-type", "text/plain"), ("x", "1"), ("x", "2")]).unwrap();
        assert_eq!(
            text(|out| write_event(&recorded(b"line\nend\x01", headers), out)),
            r#"{"seq":42,"time":"2026-11-21T07:15:00.000007Z","id":"say \"hi\"","topic":"a/ü\\b","headers":{"content-type":"text/plain","x":["1","2"]},"payload":"line\nend\u0001"}"#
        );
    }

    #[test]
    fn bytes_that_are_not_text_come_as_base64() {
        let line = text(|out| write_event(&recorded(b"\xff\x00", Headers::none()), out));
        assert!(line.ends_with(r#""headers":{},"payload_base64":"/wA="}"#), "{line}");
    }

    #[test]
    fn base64_pads_as_the_specification_shows() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
        {
            assert_eq!(text(|out| write_base64(plain.as_bytes(), out)), coded);
        }
    }

    #[test]
    fn times_know_leap_years_and_end_with_the_year_9999() {
        for (micros, spelled) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_709_251_199_999_999, "2024-02-29T23:59:59.999999Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(text(|out| write_time(Time(micros), out)), spelled);
        }
    }

    #[test]
    fn many_headers_group_as_few_do() {
        let names: Vec<String> = (0..40).map(|n| format!("h{}", n % 20)).collect();
        let headers = Headers::from_pairs(names.iter().map(|name| (name.as_str(), "v"))).unwrap();
        let line = text(|out| write_headers(&headers, out));
        assert!(line.starts_with(r#"{"h0":["v","v"],"h1":["v","v"]"#), "{line}");
        assert_eq!(line.matches("[\"v\",\"v\"]").count(), 20);
    }
}
