//! What an edge hands to the hub: its spelling of events, and a socket that takes the bytes.

use std::io::{self, IoSlice};

use headwater_event::{Filter, Position, Recorded, Text};

/// An edge's spelling of what watchers get.
///
/// An event is encoded once for each (filter, name, variant), whatever the number of watchers. Each call appends one whole frame
/// of the protocol, or nothing when the protocol has no word for it.
pub trait Encode: Send + Sync {
    /// Names the spelling: watchers of one filter with encoders of one name and variant share the
    /// same bytes.
    fn name(&self) -> &'static str;

    /// Tells encoders of one name apart whose bytes differ all the same; mostly there is nothing to tell.
    fn variant(&self) -> Option<&Text> {
        None
    }

    /// Something happened.
    fn event(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>);

    /// Something of which the client was told before, on an earlier connection, and which it didn't acknowledge.
    fn again(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        self.event(filter, recorded, out);
    }

    /// Something happened that is kept nowhere: it has no position, and who comes back can't be given it.
    fn passing(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>);

    /// Whether the client has to acknowledge the frame of this event (as [`event`](Encode::event) and
    /// [`state`](Encode::state) write it), under the number that [`number_of`](crate::number_of) gives it.
    fn is_acknowledged(&self, recorded: &Recorded) -> bool {
        let _ = recorded;
        false
    }

    /// Whether the frame of this event is right for a moment only, as one is that says how long the event is still good for.
    /// Who is told such an event later than others gets a frame of its own, encoded then.
    fn ages(&self, recorded: &Recorded) -> bool {
        let _ = recorded;
        false
    }

    /// The latest state of one topic, for a newcomer, before all that happens later.
    ///
    /// These come ordered by topic, not by position: a client that comes back must not name the position of one of them
    /// as the place to go on from (those that had not been sent yet would be missing). The position to keep is told by
    /// [`state_end`](Encode::state_end).
    fn state(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        self.event(filter, recorded, out);
    }

    /// All latest states have been told, as of this position: whoever goes on after it misses nothing.
    ///
    /// States that changed while they were being told are told as they are by then. On the same connection their changes
    /// don't come again; to a client that comes back with this very position they do.
    fn state_end(&self, filter: &Filter, as_of: Position, out: &mut Vec<u8>) {
        let _ = (filter, as_of, out);
    }

    /// What happened after `after`, up to and with `up_to`, will not be told.
    fn gap(&self, filter: &Filter, after: Position, up_to: Position, out: &mut Vec<u8>);

    /// A sign of life.
    fn beat(&self, out: &mut Vec<u8>);
}

/// A socket that takes what it can and never waits.
pub trait Sink: Send + Sync {
    /// Writes as much of these slices as can be taken at once. Nearly always there is one slice, and `send` costs less
    /// than `writev`.
    ///
    /// # Errors
    /// `WouldBlock` when nothing can be taken now; anything else ends the connection.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}
