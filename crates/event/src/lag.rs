//! How far a group is behind: in events, and in the age of the first that it hasn't settled.

use crate::bus::{Bus, BusError};
use crate::clock::Time;
use crate::delivery::GroupStat;
use crate::position::Position;

/// How many batches are read to count what waits: in the embedded log a MiB, which takes a millisecond from memory. What is
/// further behind is told as a bound.
const READS_MAX: usize = 4;

/// How far a group is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Events that it wants and hasn't settled, those that are in work included; places of the log where not all of it could
    /// be looked at.
    pub events: u64,
    /// Whether that is the very number, and not a bound above it.
    pub is_exact: bool,
    /// When the first of them happened, where that is known.
    pub since: Option<Time>,
}

impl Lag {
    /// Nothing waits.
    pub const NONE: Self = Self { events: 0, is_exact: true, since: None };
}

/// Reads a log from where the group stands: what is found there tells the age, and if the reading comes to the end of the log,
/// the number too.
pub(crate) async fn read<B: Bus + ?Sized>(bus: &B, group: &GroupStat) -> Result<Lag, BusError> {
    let head = bus.head();
    let places = head.seq.saturating_sub(group.settled.seq);
    if places == 0 {
        return Ok(Lag::NONE);
    }
    let after = Position::new(head.epoch, group.settled.seq.max(bus.oldest().seq));
    let wanted = |topic: &str| group.filters.iter().any(|filter| filter.matches(topic));
    let mut tail = bus.tail(after)?;
    let (mut events, mut since, mut up_to) = (0, None, after.seq);
    for _ in 0..READS_MAX {
        // The places that were passed over as nobody wanted them are no lag.
        let Some(batch) = tail.next_now(&wanted).await? else { return Ok(Lag { events, is_exact: true, since }) };
        events += batch.events.len() as u64;
        since = since.or_else(|| batch.events.first().map(|recorded| recorded.event.at));
        up_to = batch.up_to;
        if up_to >= head.seq {
            return Ok(Lag { events, is_exact: true, since });
        }
    }
    Ok(Lag { events: events + head.seq.saturating_sub(up_to), is_exact: false, since })
}
