//! Where the application's events lie.
//!
//! | topic | what |
//! |---|---|
//! | `alerts-raw/PLACE/report`, `/cap` | what sources sent, one event each |
//! | `alerts-raw/PLACE/silence`, `/acknowledge` | what the desk said |
//! | `alerts-raw/PLACE/end`, `alerts-raw/-/references` | what a CAP Update or Cancel ends |
//! | `alerts/PLACE/alert` | `open` and `close`; its latest state is the active alert |
//! | `alerts/PLACE/update`, `/all-clear`, `/pre-alert` | the other words, each on its own level |
//! | `alerts-exercise/..`, `alerts-test/..` | the same of exercises and tests |
//! | `alerts-silenced/..` | what would have been told but for a silence |
//! | `alerts-desk/PLACE/silenced`, `/acknowledged` | what the desk has done |

use headwater_event::{Filter, Topic, TopicError};

use super::place;

/// The first level of what comes in; the lane of its own on the way in goes by it.
pub const RAW: &str = "alerts-raw";

/// The last levels of what comes in.
pub mod raw {
    /// A report in JSON.
    pub const REPORT: &str = "report";
    /// One area of a CAP message.
    pub const CAP: &str = "cap";
    /// What a CAP Update or Cancel refers to.
    pub const REFERENCES: &str = "references";
    /// A CAP message is no longer in force at a place.
    pub const END: &str = "end";
    /// Nothing more is to be sent of a place.
    pub const SILENCE: &str = "silence";
    /// Somebody has taken note.
    pub const ACKNOWLEDGE: &str = "acknowledge";
}

/// The header that says who sent it.
pub const SOURCE: &str = "source";
/// The header of what came with an `Idempotency-Key`: its source tells two of a kind apart itself.
pub const KEYED: &str = "keyed";

/// `alerts-raw/PLACE/WHAT`.
///
/// # Errors
/// Not for a place that [`place::is_name`] takes.
pub fn raw(location: &str, what: &str) -> Result<Topic, TopicError> {
    Topic::new(format!("{RAW}/{}/{what}", place::level(location)))
}

/// The level of the place in any topic of the application.
pub fn place_of(topic: &str) -> Option<&str> {
    let mut levels = topic.split('/').skip(1);
    levels.next().filter(|level| !level.is_empty())
}

/// How a protocol that has names for events (Socket.IO) calls what is told on a topic; `None` for what it doesn't tell.
///
/// `alert` are the two words that existing clients know, `open` and `close`; all others have names of their own, which such
/// clients pass over.
pub fn event_name(topic: &str) -> Option<&'static str> {
    let mut levels = topic.split('/');
    let (root, stage) = (levels.next(), levels.nth(1));
    match (root, stage, levels.next()) {
        (Some("alerts"), Some("alert"), None) => Some("alert"),
        (Some("alerts"), Some("update"), None) => Some("alert-update"),
        (Some("alerts"), Some("all-clear"), None) => Some("all-clear"),
        (Some("alerts"), Some("pre-alert"), None) => Some("pre-alert"),
        _ => None,
    }
}

/// How a state is told to one who comes late: the active alert that a `close` speaks of is an `open` for them, as they
/// haven't heard of it. `None`: as it is.
pub fn told_late(payload: &[u8]) -> Option<Vec<u8>> {
    const CLOSE: &[u8] = b"{\"eventType\":\"close\"";
    let rest = payload.strip_prefix(CLOSE)?;
    Some([b"{\"eventType\":\"open\"".as_slice(), rest].concat())
}

/// What a room of this place hears; `None` for what is no place.
pub fn room(location: &str) -> Option<Filter> {
    if !place::is_name(location) {
        return None;
    }
    Filter::new(format!("alerts/{}/#", place::level(location))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_clients_hear_alert_and_everything_else_has_another_name() {
        for (topic, name) in [
            ("alerts/Haifa/alert", Some("alert")),
            ("alerts/Haifa/update", Some("alert-update")),
            ("alerts/Haifa/all-clear", Some("all-clear")),
            ("alerts/Haifa/pre-alert", Some("pre-alert")),
            ("alerts/Haifa/other", None),
            ("alerts/Haifa/alert/more", None),
            ("alerts/Haifa", None),
            ("alerts", None),
            ("alerts-test/Haifa/alert", None),
            ("alerts-raw/Haifa/report", None),
        ] {
            assert_eq!(event_name(topic), name, "{topic}");
        }
    }

    #[test]
    fn a_state_is_an_open_for_those_who_come_late() {
        let close = br#"{"eventType":"close","location":"Haifa"}"#;
        assert_eq!(told_late(close).unwrap(), br#"{"eventType":"open","location":"Haifa"}"#);
        for other in [&b"{\"eventType\":\"open\"}"[..], b"{\"eventType\":\"closed\"}", b"", b"{\"location\":\"close\"}"]
        {
            assert_eq!(told_late(other), None);
        }
    }

    #[test]
    fn a_room_is_of_one_place() {
        assert_eq!(room("a/b").unwrap().as_str(), "alerts/a%2Fb/#");
        assert_eq!(room("+").unwrap().as_str(), "alerts/%2B/#");
        assert_eq!(room(""), None);
    }
}
