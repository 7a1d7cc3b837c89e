//! One watch of one outlet: its ring, and how far its watcher has come.

use std::sync::Arc;

use headwater_event::Seq;

use crate::reading::Reading;
use crate::ring::Ring;
use crate::watch::{WatchId, WhenBehind};

/// A watch at work. There is one for each watcher, so it's small: a place and a few numbers, never a list of events.
pub(crate) struct Subscription {
    /// Its own name.
    pub(crate) id: WatchId,
    /// Its place among those whom the ring calls.
    pub(crate) member: u32,
    pub(crate) ring: Arc<Ring>,
    pub(crate) behind: WhenBehind,
    /// Everything wanted up to here was given to the socket, or is in the outlet's front.
    pub(crate) seen: Seq,
    /// Where the ring ended when this watch began.
    pub(crate) entered: u64,
    pub(crate) place: Place,
}

/// Where the next bytes come from.
pub(crate) enum Place {
    /// From the ring, at this offset; always the beginning of a frame.
    Live(u64),
    /// From the ring, as soon as it has everything up to `seen`.
    Joining,
    /// From the log.
    Reading(Box<Reading>),
}

/// How far a watcher has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Everything wanted up to here was given to the socket, on this connection or an earlier one...
    pub up_to: Seq,
    /// ...but for these, which an earlier connection was given without an acknowledgement, and this one wasn't yet.
    pub again: Vec<Seq>,
    /// Latest states are still to be told.
    pub has_states: bool,
}

impl Subscription {
    pub(crate) fn standing(&self) -> Standing {
        let (seen, mut standing) = (self.seen, Standing { up_to: self.seen, ..Standing::default() });
        if let Place::Reading(reading) = &self.place {
            standing.has_states = reading.has_states();
            if let Some(before) = reading.before() {
                standing.up_to = before.up_to.max(seen);
                standing.again = before.again.iter().copied().filter(|seq| *seq > seen).collect();
            }
        }
        standing
    }

    pub(crate) fn is(&self, id: WatchId) -> bool {
        self.id == id
    }
}
