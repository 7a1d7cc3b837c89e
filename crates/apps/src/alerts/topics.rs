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

use headwater_event::{Topic, TopicError};

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
