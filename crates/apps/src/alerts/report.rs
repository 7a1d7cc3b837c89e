//! What a source says in JSON: `{location, type, timestamp, duration}`.

use headwater_event::Time;
use serde::Deserialize;

use super::moment;
use super::place;

/// The longest body in bytes: four fields of at most some hundred bytes, and room for what a source sends beside them.
pub const BODY_MAX: usize = 16 * 1_024;

/// The longest duration in minutes: ten years. What lasts longer is not an alert but a state of things, or a wrong unit.
pub const DURATION_MAX: f64 = 5_256_000.0;

/// A report: at this place, from then on, until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where.
    pub location: String,
    /// What: the source's own word.
    pub kind: String,
    /// When it was sent, as the source wrote it.
    pub sent: String,
    /// When it ends.
    pub ends: Time,
}

/// The body as it comes. Further fields are passed over: existing sources send some.
#[derive(Deserialize)]
struct Body {
    location: String,
    r#type: String,
    timestamp: String,
    duration: f64,
}

impl Report {
    /// Reads a body.
    ///
    /// # Errors
    /// A sentence that names the field and what it should be.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        if body.len() > BODY_MAX {
            return Err(format!("the body has at most {BODY_MAX} bytes"));
        }
        // An array of four would be read as one too.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err("the body is no JSON object".to_owned());
        }
        let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        for (field, text) in [("location", &body.location), ("type", &body.r#type)] {
            if !place::is_name(text) {
                return Err(format!("{field}: 1 to {} bytes of text in one line", place::LEN_MAX));
            }
        }
        let sent = moment::parse(&body.timestamp);
        let sent = sent.ok_or("timestamp: a moment in ISO 8601, as 2026-11-21T07:15:00Z")?;
        // Neither NaN nor infinity is above zero and within the bound.
        if !(body.duration > 0.0 && body.duration <= DURATION_MAX) {
            return Err(format!("duration: minutes, more than 0 and at most {DURATION_MAX}"));
        }
        let ends = end_of(sent, body.duration).ok_or("duration: ends beyond the year 9999")?;
        Ok(Self { location: body.location, kind: body.r#type, sent: body.timestamp, ends })
    }

    /// The content by which a report that comes twice is recognised: equal for equal reports and no others, as none of the
    /// parts has a line end in it.
    pub fn content(&self) -> String {
        format!("{}\n{}\n{}", self.kind, self.sent, self.ends.as_micros())
    }
}

/// So many minutes later, to the microsecond.
fn end_of(sent: Time, minutes: f64) -> Option<Time> {
    // Below 2^53 by the bound on the minutes, so nothing is lost.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let micros = (minutes * 60e6).round() as u64;
    let ends = Time(sent.as_micros().checked_add(micros)?);
    (ends <= moment::LAST).then_some(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(duration: &str) -> String {
        format!(r#"{{"location":"Haifa","type":"Rockets","timestamp":"2026-11-21T07:15:00Z","duration":{duration}}}"#)
    }

    #[test]
    fn a_report_ends_its_duration_after_its_timestamp() {
        for (duration, ends) in
            [("10", "07:25:00.000"), ("0.5", "07:15:30.000"), ("1e2", "08:55:00.000"), ("1.0", "07:16:00.000")]
        {
            let report = Report::read(body(duration).as_bytes()).unwrap();
            assert_eq!(moment::spelt(report.ends), format!("2026-11-21T{ends}Z"));
            assert_eq!((report.location.as_str(), report.kind.as_str()), ("Haifa", "Rockets"));
            assert_eq!(report.sent, "2026-11-21T07:15:00Z");
        }
    }

    #[test]
    fn what_is_not_a_report_is_refused_with_the_field_that_is_wrong() {
        let good = body("10");
        let without = |field: &str| good.replace(&format!("\"{field}\""), "\"other\"");
        let with = |from: &str, to: &str| good.replace(from, to);
        let cases = [
            ("", "object"),
            ("null", "object"),
            ("[\"Haifa\",\"Rockets\",\"2026-11-21T07:15:00Z\",10]", "object"),
            ("\"text\"", "object"),
            ("{", "EOF"),
            ("{}", "location"),
            (&without("location"), "location"),
            (&without("type"), "type"),
            (&without("timestamp"), "timestamp"),
            (&without("duration"), "duration"),
            (&with("\"Haifa\"", "7"), "string"),
            (&with("\"Haifa\"", "null"), "string"),
            (&with("\"Haifa\"", "\"\""), "location"),
            (&with("\"Haifa\"", "\"  \""), "location"),
            (&with("\"Haifa\"", "\"a\\nb\""), "location"),
            (&with("\"Haifa\"", "\"a\\u0000b\""), "location"),
            (&with("\"Haifa\"", "\"\\ud800\""), "hex escape"),
            (&with("Haifa", &"x".repeat(301)), "location"),
            (&with("\"Rockets\"", "[\"Rockets\"]"), "string"),
            (&with("2026-11-21T07:15:00Z", "yesterday"), "timestamp"),
            (&with("\"2026-11-21T07:15:00Z\"", "1795245300000"), "string"),
            (&body("0"), "duration"),
            (&body("-0"), "duration"),
            (&body("-5"), "duration"),
            (&body("\"10\""), "f64"),
            (&body("true"), "f64"),
            (&body("null"), "f64"),
            (&body("NaN"), ""),
            (&body("Infinity"), ""),
            (&body("1e999"), "range"),
            (&body("1e300"), "duration"),
            (&body("5256001"), "duration"),
            (&body("010"), ""),
            (&with("}", ",\"duration\":20}"), "duplicate"),
            (&format!("{good} {good}"), "trailing"),
            (&format!("{good},"), "trailing"),
            (&good[..good.len() - 1], "EOF"),
            (&with("}", &format!(",\"x\":{}}}", "[".repeat(500))), "expected"),
            (&with("}", &format!(",\"x\":\"{}\"}}", "x".repeat(BODY_MAX))), "bytes"),
        ];
        for (text, word) in cases {
            let error = Report::read(text.as_bytes()).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(Report::read(b"{\"location\":\"\xff\"}").is_err());
        assert!(Report::read(&good.replace("2026", "9999").replace(":10", ":5000000").into_bytes()).is_err());
    }

    #[test]
    fn further_fields_are_passed_over() {
        let text = body("10").replace('}', ",\"severity\":3,\"nested\":{\"a\":[1]}}");
        assert!(Report::read(text.as_bytes()).is_ok());
    }

    #[test]
    fn equal_reports_and_no_others_have_equal_content() {
        let one = Report::read(body("10").as_bytes()).unwrap();
        let same = Report::read(body("10.0").as_bytes()).unwrap();
        let other = Report::read(body("11").as_bytes()).unwrap();
        assert_eq!(one.content(), same.content());
        assert_ne!(one.content(), other.content());
    }
}
