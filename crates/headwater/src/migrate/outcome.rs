//! What came of it, told on stdout: what was taken over, what of it was read back, what stays behind.

use std::io::Write;

use serde_json::json;

use super::groups::Taken;
use super::left::Left;
use super::sum::Sum;

/// What was taken over.
pub struct Outcome {
    /// Events, or latest states, that this run wrote.
    pub written: u64,
    /// Of what was read back.
    pub sum: Sum,
    pub kind: Kind,
}

/// How far the engine could take over.
pub enum Kind {
    /// All events of the log, groups, dead letters.
    All { events: u64, taken: Taken },
    /// The latest states alone; of so many topics it has later ones.
    States { later: u64, left: Left },
}

impl Outcome {
    /// Tells it.
    ///
    /// # Errors
    /// What stdout says.
    pub fn tell(&self, json: bool) -> anyhow::Result<()> {
        let (written, count, sum) = (self.written, self.sum.count(), self.sum.hex());
        let mut out = std::io::stdout().lock();
        let line = match &self.kind {
            Kind::All { events, taken: Taken { groups, letters } } if json => json!({
                "history": true, "events": events, "written": written, "read_back": count, "sha256": sum,
                "groups": groups, "dead_letters": letters, "later_there": 0,
            }),
            Kind::All { taken: Taken { groups, letters }, .. } => {
                writeln!(out, "{count} events are there and were read back, {written} of them written now")?;
                writeln!(out, "{groups} groups and {letters} dead letters were taken over")?;
                return Ok(writeln!(out, "sha256 {sum}")?);
            }
            Kind::States { later, left } if json => json!({
                "history": false, "events": left.events, "written": written, "read_back": count, "sha256": sum,
                "groups": 0, "dead_letters": 0, "later_there": later,
                "left_behind": {
                    "events": left.events, "groups": left.groups, "unfinished": left.unfinished,
                    "dead_letters": left.letters,
                },
            }),
            Kind::States { later, left } => {
                let Left { events, groups, unfinished, letters, .. } = left;
                writeln!(
                    out,
                    "{written} latest states are there; of {later} topics the engine has later ones, which stay"
                )?;
                writeln!(
                    out,
                    "verified: {count} states were read back over a second connection, and headers and payload compared"
                )?;
                writeln!(
                    out,
                    "not taken over, so not verified: the {events} events themselves, the places of {groups} groups with \
                     {unfinished} events to finish, {letters} dead letters: the engine keeps no history, and they stay in the log"
                )?;
                return Ok(writeln!(out, "sha256 {sum}")?);
            }
        };
        Ok(writeln!(out, "{line}")?)
    }
}
