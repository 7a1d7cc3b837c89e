//! What is wrong with the settings: all of it at once, each with its place and, where there is one, a proposal.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was written: `headwater.toml line 3`, `HEADWATER_HTTP`, `--http`.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What may have been meant.
    pub proposal: Option<String>,
}

/// All that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Adds one.
    pub fn add(&mut self, place: impl Into<String>, what: impl Into<String>, proposal: Option<String>) {
        self.0.push(Fault { place: place.into(), what: what.into(), proposal });
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings can't be used:")?;
        for fault in &self.0 {
            write!(f, "\n  {}: {}", fault.place, fault.what)?;
            if let Some(proposal) = &fault.proposal {
                write!(f, " (did you mean {proposal}?)")?;
            }
        }
        Ok(())
    }
}
