//! The latest events in memory, for those who follow: as much as fits.

use std::collections::VecDeque;

use headwater_event::{Batch, Recorded, Seq};

/// How many bytes of events are kept for followers: a watcher that stands still for some seconds under load goes on from
/// here; who is further behind is told that there is a gap.
const BYTES_MAX: usize = 32 << 20;

/// What an event costs beside its bytes.
const OVERHEAD: usize = 192;

/// What one read gives at the most.
const READ_BYTES_MAX: usize = 1 << 20;
const READ_EVENTS_MAX: usize = 1_024;

/// The events, in the order of their places.
pub(crate) struct Ring {
    events: VecDeque<Recorded>,
    bytes: usize,
    /// Everything after this place is here.
    from: Seq,
}

fn cost(recorded: &Recorded) -> usize {
    OVERHEAD
        + recorded.event.topic.as_str().len()
        + recorded.event.headers.as_stored().len()
        + recorded.event.payload.len()
}

impl Ring {
    pub(crate) const fn after(from: Seq) -> Self {
        Self { events: VecDeque::new(), bytes: 0, from }
    }

    /// The place behind which everything is here.
    pub(crate) const fn from(&self) -> Seq {
        self.from
    }

    pub(crate) fn push(&mut self, recorded: Recorded) {
        self.bytes += cost(&recorded);
        self.events.push_back(recorded);
        while self.bytes > BYTES_MAX && self.events.len() > 1 {
            if let Some(oldest) = self.events.pop_front() {
                self.bytes -= cost(&oldest);
                self.from = oldest.position.seq;
            }
        }
    }

    /// What follows a place, as far as `head`; `None` when the place lies before what is here.
    pub(crate) fn read(&self, after: Seq, head: Seq, wanted: &dyn Fn(&str) -> bool) -> Option<Batch> {
        if after < self.from {
            return None;
        }
        let begin = self.events.partition_point(|recorded| recorded.position.seq <= after);
        let (mut batch, mut bytes) = (Batch { events: Vec::new(), up_to: head }, 0);
        for (read, recorded) in self.events.range(begin..).enumerate() {
            if read == READ_EVENTS_MAX || bytes >= READ_BYTES_MAX {
                batch.up_to = recorded.position.seq - 1;
                break;
            }
            if wanted(recorded.event.topic.as_str()) {
                bytes += cost(recorded);
                batch.events.push(recorded.clone());
            }
        }
        Some(batch)
    }
}
