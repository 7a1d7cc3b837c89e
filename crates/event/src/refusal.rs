//! The closed set of "no" that a client can hear; each edge spells it in its own protocol's words.

use std::time::Duration;

/// Why a client's request was not carried out. Nothing has happened, and nothing of the inside is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No identity, or one that could not be proved.
    #[error("authentication is needed")]
    NotAuthenticated,
    /// Known, but without the right.
    #[error("not allowed")]
    NotAllowed,
    /// What came is not what the protocol or the limits of names say; the text tells the client what to mend.
    #[error("{0}")]
    Malformed(String),
    /// More bytes than are taken; trying again can't help.
    #[error("too large: at most {max} bytes are taken")]
    TooLarge {
        /// The limit that was passed, in bytes.
        max: usize,
    },
    /// This client is over its rate; it may come again after the wait.
    #[error("too fast: try again in {} ms", wait.as_millis())]
    TooFast {
        /// When it can work.
        wait: Duration,
    },
    /// The hub has as much waiting as it may; it may come again after the wait.
    #[error("overloaded: try again in {} ms", wait.as_millis())]
    Full {
        /// When it may work.
        wait: Duration,
    },
    /// The number isn't the next one of its producer (another connection of the same client may be at work).
    #[error("out of order: number {expected} comes next")]
    OutOfOrder {
        /// The only number that can be taken now.
        expected: u64,
    },
    /// The log can't be written (disk full, I/O error, shutting down): nothing is acknowledged any more.
    #[error("unavailable: the event could not be stored")]
    Unavailable,
}

impl Refusal {
    /// The refusal's name on the wire and in metrics: the same word everywhere.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotAuthenticated => "not_authenticated",
            Self::NotAllowed => "not_allowed",
            Self::Malformed(_) => "malformed",
            Self::TooLarge { .. } => "too_large",
            Self::TooFast { .. } => "too_fast",
            Self::Full { .. } => "full",
            Self::OutOfOrder { .. } => "out_of_order",
            Self::Unavailable => "unavailable",
        }
    }

    /// After how long trying the same again can work; `None` when it can't.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooFast { wait } | Self::Full { wait } => Some(*wait),
            // A full disk or a failed sync needs a person; a client that asks twice a minute does no harm.
            Self::Unavailable => Some(Duration::from_secs(30)),
            _ => None,
        }
    }
}
