//! A CloudEvent's attributes: which must be there, and what each may be (CloudEvents 1.0.2 sections 3 and 3.1).

use super::super::problem::Problem;

/// The version of the specification.
const SPEC_VERSION: &str = "1.0";

/// The name of the attribute that the payload's media type has here.
const DATA_CONTENT_TYPE: &str = "datacontenttype";

/// All attributes that an event came with, as text, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes(Vec<(String, String)>);

/// Those that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked<'a> {
    pub(super) id: &'a str,
    pub(super) source: &'a str,
    pub(super) kind: &'a str,
    pub(super) subject: Option<&'a str>,
}

impl Attributes {
    /// Adds one.
    ///
    /// # Errors
    /// For a name that no attribute may have, and for one that is there already.
    pub(super) fn add(&mut self, name: &str, value: String) -> Result<(), Problem> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(wrong(name, "an attribute's name has lower-case letters and digits alone"));
        }
        if self.get(name).is_some() {
            return Err(wrong(name, "stands here twice"));
        }
        if value.chars().any(char::is_control) {
            return Err(wrong(name, "has control characters"));
        }
        self.0.push((name.to_owned(), value));
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The media type of the data.
    pub(super) fn data_kind(&self) -> Option<&str> {
        self.get(DATA_CONTENT_TYPE)
    }

    /// Checks what the specification asks for.
    pub(super) fn checked(&self) -> Result<Checked<'_>, Problem> {
        let version = self.needed("specversion")?;
        if version != SPEC_VERSION {
            return Err(wrong("specversion", "version 1.0 is understood here"));
        }
        let source = self.needed("source")?;
        if source.contains(char::is_whitespace) {
            return Err(wrong("source", "is a URI reference, which has no spaces"));
        }
        if self.get("time").is_some_and(|time| !is_rfc3339(time)) {
            return Err(wrong("time", "is written as RFC 3339 says: 2026-11-21T07:15:00Z"));
        }
        for name in ["subject", "dataschema", DATA_CONTENT_TYPE] {
            if self.get(name) == Some("") {
                return Err(wrong(name, "is left out or has at least one character"));
            }
        }
        Ok(Checked { id: self.needed("id")?, source, kind: self.needed("type")?, subject: self.get("subject") })
    }

    fn needed(&self, name: &str) -> Result<&str, Problem> {
        self.get(name).filter(|value| !value.is_empty()).ok_or_else(|| wrong(name, "is needed"))
    }

    /// The headers of the event: the media type under its own name, the rest as binary mode names them.
    pub(super) fn headers(&self) -> Vec<(String, String)> {
        let own_name = |name: &str| match name {
            DATA_CONTENT_TYPE => "content-type".to_owned(),
            name => format!("ce-{name}"),
        };
        self.0.iter().map(|(name, value)| (own_name(name), value.clone())).collect()
    }
}

/// 400 about one attribute.
pub(super) fn wrong(name: &str, why: &str) -> Problem {
    Problem::malformed(format!("{name}: {why}")).with("attribute", name)
}

/// The shape of RFC 3339 section 5.6 and the range of each part; whether that day exists in that month isn't looked at.
fn is_rfc3339(text: &str) -> bool {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse::<u32>().ok())
    };
    let in_range = |from: usize, min: u32, max: u32| number(from, from + 2).is_some_and(|n| (min..=max).contains(&n));
    let at = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|byte| wanted.contains(byte));
    let is_moment = number(0, 4).is_some()
        && at(4, b"-")
        && in_range(5, 1, 12)
        && at(7, b"-")
        && in_range(8, 1, 31)
        && at(10, b"Tt ")
        && in_range(11, 0, 23)
        && at(13, b":")
        && in_range(14, 0, 59)
        && at(16, b":")
        && in_range(17, 0, 60);
    let Some(mut rest) = text.get(19..).filter(|_| is_moment) else { return false };
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == fraction.len() {
            return false;
        }
    }
    let zone = text.len() - rest.len();
    matches!(rest, "Z" | "z")
        || (rest.len() == 6
            && at(zone, b"+-")
            && in_range(zone + 1, 0, 23)
            && at(zone + 3, b":")
            && in_range(zone + 4, 0, 59))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        for time in
            ["1985-04-12T23:20:50.52Z", "1996-12-19T16:39:57-08:00", "1990-12-31T23:59:60Z", "2026-11-21t07:15:00z"]
        {
            assert!(is_rfc3339(time), "{time}");
        }
        for time in [
            "",
            "now",
            "2026-11-21",
            "2026-11-21T07:15:00",
            "2026-13-01T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T07:15:00.Z",
            "2026-11-21T07:15:00+0800",
            "2026-11-21T07:15:00Zx",
            "2026-1a-21T07:15:00Z",
            "+026-11-21T07:15:00Z",
            "2026-11-21T07:15:00+08:0ü",
        ] {
            assert!(!is_rfc3339(time), "{time}");
        }
    }
}
