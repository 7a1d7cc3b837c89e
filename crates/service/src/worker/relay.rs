//! What is committed goes to the bus: one append at a time, in the order of the commits, of all that waits.
//!
//! One at a time keeps the order also when an append fails, and gathers what is committed meanwhile for the next one. The ids
//! stand in the rows, so what is sent again after a failure or a crash is the same event.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use headwater_event::{Backoff, Bus, BusError, Later, Receipts, Time};

use crate::batch::wait;
use crate::outbox::{RowId, Sealed};

/// How many events one append takes, if a single row hasn't more.
const EVENTS_PER_APPEND_MAX: usize = 4_096;

/// How many rows may wait for the bus before no more batches are begun.
const ROWS_WAITING_MAX: usize = 256;

/// The wait after an append that failed.
const AGAIN: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(5) };

type Append = Later<'static, Result<Receipts, BusError>>;

/// Rows on their way.
#[derive(Default)]
pub(super) struct Relay {
    waiting: VecDeque<Sealed>,
    sending: Vec<Sealed>,
    append: Option<Append>,
    /// On the bus, and still in the store.
    sent: Vec<RowId>,
    /// All rows that this worker knows.
    known: HashSet<RowId>,
    /// Those of them that are deleted, and that a look which began before may still have seen.
    deleted: Vec<RowId>,
    failures: u32,
    not_before: Option<Time>,
}

impl Relay {
    /// Takes what a commit brought, or what an earlier worker left.
    pub(super) fn take(&mut self, rows: Vec<Sealed>) {
        for row in rows {
            if self.known.insert(row.id) {
                self.waiting.push_back(row);
            }
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < ROWS_WAITING_MAX
    }

    /// Whether all that is known is on the bus.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.append.is_none()
    }

    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Begins an append when there's something and none is under way.
    pub(super) fn begin(&mut self, bus: &dyn Bus, now: Time) {
        if self.append.is_some() || self.not_before.is_some_and(|at| now < at) {
            return;
        }
        let mut events = 0;
        while let Some(row) = self.waiting.front() {
            if events > 0 && events + row.events.len() > EVENTS_PER_APPEND_MAX {
                break;
            }
            events += row.events.len();
            self.sending.extend(self.waiting.pop_front());
        }
        if !self.sending.is_empty() {
            let batch = self.sending.iter().flat_map(|row| row.events.iter().cloned()).collect();
            self.append = Some(bus.append(batch));
        }
    }

    /// Waits for the append that is under way; for ever when there's none.
    pub(super) async fn ended(&mut self) -> Result<Receipts, BusError> {
        match &mut self.append {
            Some(append) => append.await,
            None => std::future::pending().await,
        }
    }

    /// Notes how it ended.
    pub(super) fn note(&mut self, result: &Result<Receipts, BusError>, now: Time) {
        self.append = None;
        match result {
            Ok(_) => {
                self.failures = 0;
                self.not_before = None;
                self.sent.extend(self.sending.drain(..).map(|row| row.id));
            }
            Err(_) => {
                self.failures = self.failures.saturating_add(1);
                self.not_before = Some(now.plus(wait(AGAIN, self.failures)));
                // Back to where they were; nothing has overtaken them.
                for row in self.sending.drain(..).rev() {
                    self.waiting.push_front(row);
                }
            }
        }
    }

    /// When it's tried again.
    pub(super) fn next_moment(&self) -> Option<Time> {
        self.not_before.filter(|_| self.append.is_none() && !self.waiting.is_empty())
    }

    /// Rows to be deleted with the next commit.
    pub(super) fn take_sent(&mut self) -> Vec<RowId> {
        std::mem::take(&mut self.sent)
    }

    pub(super) fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Whether rows of other lives are among them: somebody waits for these to be gone.
    pub(super) fn has_sent_of_others(&self, life: i64) -> bool {
        self.sent.iter().any(|row| row.worker[..8] != life.to_be_bytes())
    }

    /// The commit that deletes them went well, or it didn't.
    pub(super) fn deleted(&mut self, rows: Vec<RowId>, is_good: bool) {
        match is_good {
            true => self.deleted.extend(rows),
            false => self.sent.extend(rows),
        }
    }

    /// No look is under way: whatever begins now sees no deleted row any more.
    pub(super) fn forget_deleted(&mut self) {
        for row in self.deleted.drain(..) {
            self.known.remove(&row);
        }
    }
}
