//! Following what a process has in memory.

use std::sync::Arc;

use headwater_event::{Batch, BusError, Later, Position, Tail};

use super::ledger::Ledger;

/// A cursor over the ring of a ledger.
pub(crate) struct Follower {
    ledger: Arc<Ledger>,
    at: Position,
}

impl Follower {
    /// Begins after a position.
    ///
    /// # Errors
    /// As [`Ledger::follow_after`].
    pub(crate) fn begin(ledger: &Arc<Ledger>, after: Position) -> Result<Self, BusError> {
        ledger.follow_after(after)?;
        Ok(Self { ledger: Arc::clone(ledger), at: after })
    }

    fn read(&mut self, wanted: &(dyn Fn(&str) -> bool + Send + Sync)) -> Result<Option<Batch>, BusError> {
        let batch = self.ledger.read(self.at.seq, &|topic| wanted(topic))?;
        if let Some(batch) = &batch {
            self.at.seq = batch.up_to;
        }
        Ok(batch)
    }
}

impl Tail for Follower {
    fn next<'a>(&'a mut self, wanted: &'a (dyn Fn(&str) -> bool + Send + Sync)) -> Later<'a, Result<Batch, BusError>> {
        Box::pin(async move {
            let mut ear = self.ledger.listen();
            loop {
                if let Some(batch) = self.read(wanted)? {
                    return Ok(batch);
                }
                ear.rung().await;
            }
        })
    }

    fn next_now<'a>(
        &'a mut self,
        wanted: &'a (dyn Fn(&str) -> bool + Send + Sync),
    ) -> Later<'a, Result<Option<Batch>, BusError>> {
        Box::pin(std::future::ready(self.read(wanted)))
    }

    fn position(&self) -> Position {
        self.at
    }
}
