//! What can be set of a service.

use std::time::Duration;

use headwater_event::{Backoff, Start};

/// What can be set of a service; all of it has a default.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// How many deliveries share a commit at the most.
    pub batch_max: usize,
    /// How many deliveries a worker holds at once, with those that wait for an earlier one of their key.
    pub in_flight_max: usize,
    /// How many batches are worked on side by side on PostgreSQL, events of one key always in the same; 1 without
    /// [`key_of`](crate::Service::key_of). Where handlers of different keys change the same rows, 1 is faster: they'd wait for
    /// each other's commits, or lock each other out. SQLite has one writer, so always one.
    pub lanes: usize,
    /// After how many attempts an event becomes a dead letter.
    pub attempts_max: u32,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// How long an event waits for what it was too early for, before it becomes a dead letter.
    pub early_wait_max: Duration,
    /// How long ids of handled events are remembered.
    pub inbox_keep: Duration,
    /// How long one call of a handler may take.
    pub handler_time_max: Duration,
    /// For how long a delivery belongs to this worker without a word from it; it gives one every third of it.
    pub lease: Duration,
    /// Where a service begins that never ran before.
    pub start: Start,
    /// Into how many parts the events of a service with [`key_of`](crate::Service::key_of) are sorted on PostgreSQL: so many
    /// processes may share its work, and events of one key keep their order over all of them. It belongs to the store; see
    /// `docs/services.md` before changing it.
    pub partitions: u32,
    /// On PostgreSQL: for how long a process may be silent before others take its work.
    pub hold: Duration,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            // A commit costs what some five handlers cost; at 64 it's lost in them, and at 0.1 ms each they wait 6 ms.
            batch_max: 64,
            // Batches under way, one ahead for each lane, and as many again held for order.
            in_flight_max: 1_024,
            // Twice the cores of a small server: while one waits for the commit, another one works.
            lanes: 4,
            attempts_max: 8,
            backoff: Backoff::default(),
            // A cause is under way for milliseconds; a minute covers a restart of who sends it.
            early_wait_max: Duration::from_secs(60),
            // A week: longer than any weekend for which a service was down between a commit and its settlement.
            inbox_keep: Duration::from_secs(7 * 24 * 60 * 60),
            // The others of the store wait meanwhile.
            handler_time_max: Duration::from_secs(10),
            lease: Duration::from_secs(30),
            start: Start::Oldest,
            // 1, 2, 3, 4, 6, 8 and 12 processes get the same share, and they're few enough to be asked for in one statement.
            partitions: 24,
            // Two words of life may be lost on the way; and with the look behind it, others have its work within 5 s.
            hold: Duration::from_secs(3),
        }
    }
}
