//! What a watcher asks for.

use std::fmt;
use std::sync::Arc;

use headwater_event::{BusError, Filter, Position, Refusal, Seq};

use crate::encode::Encode;

/// Where a watcher begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With what happens from now on.
    Now,
    /// With the oldest event that the log still has.
    Oldest,
    /// After this position: what it missed comes first.
    After(Position),
}

/// What is done with a watcher that is too slow, so that the ring no longer has what it needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBehind {
    /// It gets what it missed from the log, as fast as it takes it.
    CatchUp,
    /// It is told which range it missed, and goes on with what happens now.
    Gap,
    /// Its connection ends.
    Disconnect,
}

/// A wish to be told what happens.
#[derive(Clone)]
pub struct Watch {
    /// What is wanted.
    pub filter: Filter,
    /// Where to begin.
    pub from: From,
    /// Whether the latest state of each topic comes first; only together with [`From::Now`].
    pub sticky: bool,
    /// The spelling.
    pub encoder: Arc<dyn Encode>,
    /// What to do when the watcher is too slow.
    pub behind: WhenBehind,
    /// Events before `from` that an earlier connection of this client was given and didn't acknowledge, ascending: they
    /// come first, spelled by [`Encode::again`]; only together with [`From::After`].
    pub again: Vec<Seq>,
    /// Nothing but the latest states is told; then the watch ends by itself. Only together with `sticky`.
    pub is_only_states: bool,
    /// Nothing but what stands in `again` is told; then the watch ends by itself.
    pub is_only_again: bool,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("filter", &self.filter)
            .field("from", &self.from)
            .field("sticky", &self.sticky)
            .field("encoder", &self.encoder.name())
            .field("behind", &self.behind)
            .finish()
    }
}

/// Names one watch of one outlet; never used twice on the same outlet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchId {
    pub(crate) slot: u32,
    pub(crate) turn: u32,
}

/// Why a watch could not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Not allowed, malformed, too many, or the log can't be read.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// What comes after the position was freed by retention.
    #[error("gone: the log begins after {oldest}")]
    Gone {
        /// The earliest position that one can still begin after.
        oldest: Position,
    },
    /// The position is of another log, or lies ahead of this one.
    #[error("no such position in this log (it stands at {head})")]
    NoSuchPosition {
        /// Where this log stands.
        head: Position,
    },
}

impl std::convert::From<BusError> for WatchError {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Gone { oldest } => Self::Gone { oldest },
            BusError::NoSuchPosition { head } => Self::NoSuchPosition { head },
            _ => Self::Refusal(Refusal::Unavailable),
        }
    }
}
