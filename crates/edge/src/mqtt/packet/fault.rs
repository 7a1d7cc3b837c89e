//! What is wrong with what the other side sent.

use std::fmt;

use super::{Reason, Version};

/// Why nothing more is read from a connection.
///
/// One byte of it is the code that 5.0 has for it; 3.1.1 has no words and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// The code for CONNACK or DISCONNECT.
    pub reason: Reason,
    /// What it was, for whoever has to mend the sender. Never made of the sender's bytes.
    pub why: &'static str,
    /// In which protocol the sender would understand an answer; `None` while that isn't known, and then there is none
    /// to be given. For a protocol level that isn't served it's the nearer one of the two.
    pub version: Option<Version>,
}

impl Fault {
    pub(super) const fn new(reason: Reason, why: &'static str) -> Self {
        Self { reason, why, version: None }
    }

    /// The bytes can't be read as what they claim to be (section 4.13).
    pub(super) const fn malformed(why: &'static str) -> Self {
        Self::new(Reason::MALFORMED_PACKET, why)
    }

    /// They can be read, and aren't allowed (section 4.13).
    pub(super) const fn protocol(why: &'static str) -> Self {
        Self::new(Reason::PROTOCOL_ERROR, why)
    }

    pub(super) const fn in_version(mut self, version: Option<Version>) -> Self {
        if self.version.is_none() {
            self.version = version;
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.why)
    }
}
