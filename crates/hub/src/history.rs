//! The past of a filter, page by page, straight from the log.

use headwater_event::{Filter, Position, Recorded, Refusal, Tail};

use crate::access::Allowed;
use crate::gate::Gate;
use crate::publish::refusal_of;
use crate::watch::{From, WatchError};

/// Reads what the log held when the reading began, and ends there.
pub struct History {
    tail: Box<dyn Tail>,
    filter: Filter,
    end: Position,
}

impl History {
    pub(crate) fn begin(gate: &Gate, allowed: &Allowed, from: From) -> Result<Self, WatchError> {
        let end = gate.head();
        let after = match from {
            From::Now => end,
            From::Oldest => gate.oldest(),
            From::After(position) => position,
        };
        Ok(Self { tail: gate.tail(after)?, filter: allowed.filter().clone(), end })
    }

    /// The next events, in order; `None` at the end. A page holds what one read of the log gives, so it is bounded in
    /// bytes, and it may be empty.
    ///
    /// # Errors
    /// `Unavailable` when the log can't be read, or when retention has overtaken the reading.
    pub async fn next(&mut self) -> Result<Option<Vec<Recorded>>, Refusal> {
        if self.tail.position().seq >= self.end.seq {
            return Ok(None);
        }
        let filter = &self.filter;
        let Some(batch) = self.tail.next_now(&|topic| filter.matches(topic)).await.map_err(refusal_of)? else {
            return Ok(None);
        };
        let mut events = batch.events;
        // Whatever came after the beginning is not history: a reading must end even while events pour in.
        events.retain(|recorded| recorded.position.seq <= self.end.seq);
        Ok(Some(events))
    }

    /// How far it has read.
    #[must_use]
    pub fn position(&self) -> Position {
        self.tail.position()
    }

    /// Where it will end: the head of the log when it began.
    #[must_use]
    pub const fn end(&self) -> Position {
        self.end
    }
}
