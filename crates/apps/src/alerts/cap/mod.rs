//! CAP 1.2 (OASIS Common Alerting Protocol): alerts in XML, in and out.

mod area;
mod read;
mod write;
mod xml;

use headwater_event::Time;
use serde::{Deserialize, Serialize};

pub use read::{BODY_MAX, read};
pub use write::{Written, write};

use super::lane::Lane;

/// The namespace of CAP 1.2.
pub const NAMESPACE: &str = "urn:oasis:names:tc:emergency:cap:1.2";

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something new.
    Alert,
    /// A new version of what it refers to.
    Update,
    /// The end of what it refers to.
    Cancel,
}

/// A message, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Sender, identifier and moment: what others refer to it by.
    pub identity: String,
    /// How it's meant.
    pub lane: Lane,
    /// What it is.
    pub kind: Kind,
    /// The identities of those that it refers to.
    pub references: Vec<String>,
    /// One for each area.
    pub pieces: Vec<Piece>,
}

/// What a message says of one area: one raw event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// The area's name.
    pub location: String,
    /// The type of event.
    pub kind: String,
    /// When it was sent, as its sender wrote it.
    pub sent: String,
    /// When it ends, in microseconds since 1970.
    pub ends: u64,
    /// How it's meant.
    pub lane: Lane,
    /// What is to be done about it.
    pub stage: Stage,
    /// The message's identity.
    pub identity: String,
    /// Of which messages this is a new version.
    pub revises: Vec<String>,
    /// What else it says.
    pub info: Info,
}

impl Piece {
    /// When it ends.
    pub const fn end(&self) -> Time {
        Time(self.ends)
    }
}

/// What is to be done about it; these are never taken for one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Prepare: it may come (`urgency` Future).
    PreAlert,
    /// Act.
    Alert,
    /// Nothing any more (`responseType` AllClear).
    AllClear,
}

/// What a message says beside where, what and when; kept, and told again in CAP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// `category`, one of CAP's.
    pub category: String,
    /// `urgency`, one of CAP's.
    pub urgency: String,
    /// `severity`, one of CAP's.
    pub severity: String,
    /// `certainty`, one of CAP's.
    pub certainty: String,
    /// One line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub headline: String,
    /// What happens.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instruction: String,
    /// Each a closed line of `latitude,longitude`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub polygons: Vec<String>,
    /// Each `latitude,longitude radius`, the radius in kilometres.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub circles: Vec<String>,
    /// Codes of the area: name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub geocodes: Vec<(String, String)>,
}

impl Info {
    /// What is said of a report that came in JSON and says nothing of these.
    pub fn unknown() -> Self {
        Self {
            category: "Other".into(),
            urgency: "Immediate".into(),
            severity: "Unknown".into(),
            certainty: "Unknown".into(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;
