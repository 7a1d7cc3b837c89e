//! Handing events to groups of workers: a delivery, and what became of it.

use std::fmt;
use std::time::Duration;

use crate::clock::Time;
use crate::event::Recorded;
use crate::position::{Position, Seq};
use crate::text::Text;
use crate::topic::Filter;

/// The name of a group: workers with the same name share one cursor over the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(Text);

/// A group's name was empty, too long, or had control characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group's name is 1 to {max} bytes without control characters", max = GroupName::LEN_MAX)]
pub struct GroupNameError;

impl GroupName {
    /// The longest name in bytes; an MQTT session's group carries user and client id.
    pub const LEN_MAX: usize = 512;

    /// Checks a name.
    ///
    /// # Errors
    /// When it is empty, too long, or has control characters.
    pub fn new(name: impl Into<Text>) -> Result<Self, GroupNameError> {
        let name = name.into();
        if name.is_empty() || name.len() > Self::LEN_MAX || name.chars().any(char::is_control) {
            return Err(GroupNameError);
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a group that doesn't exist yet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the next event.
    Now,
    /// With the first event that the log still has.
    Oldest,
    /// After this one.
    After(Seq),
}

/// How long to wait before the next attempt: `min(cap, base * 2^(attempt - 1))`, of which a random half is taken off, so
/// that what failed together doesn't come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second attempt.
    pub base: Duration,
    /// At the most.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        // A short hiccup is over within 100 ms; half a minute keeps a broken dependency from being hammered.
        Self { base: Duration::from_millis(100), cap: Duration::from_secs(30) }
    }
}

/// What a group asks for. Filters and start count when the group is made; a later join replaces the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// Which events.
    pub filters: Vec<Filter>,
    /// Where a new group begins.
    pub start: Start,
    /// How many deliveries may be unsettled at once, over all members.
    pub in_flight_max: usize,
    /// How long a delivery belongs to a member that neither settles nor renews it.
    pub lease: Duration,
    /// After how many attempts an event becomes a dead letter; 0 = never.
    pub attempts_max: u32,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// Whether the member that joins is to be the group's only one: it takes the place of the one before, also of one that
    /// is silent in another process, and what that had out comes first and in its order. Those who join so agree among
    /// themselves on who does.
    pub alone: bool,
}

impl GroupOptions {
    /// The defaults for a group over these filters.
    #[must_use]
    pub fn new(filters: Vec<Filter>) -> Self {
        Self {
            filters,
            start: Start::Now,
            // Two full batches of 512: while one is worked on, the next is on its way.
            in_flight_max: 1_024,
            // Renewed by the worker's runtime every third of it, so only a dead or frozen worker loses one.
            lease: Duration::from_secs(30),
            attempts_max: 8,
            backoff: Backoff::default(),
            alone: false,
        }
    }
}

/// Which delivery: an event of a group's log and the attempt. A settlement of an earlier attempt is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// The event's sequence number.
    pub seq: Seq,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// One try to hand an event to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The event at its place.
    pub recorded: Recorded,
    /// Which try this is, from 1.
    pub attempt: u32,
}

impl Delivery {
    /// The name by which it is settled.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        Tag { seq: self.recorded.position.seq, attempt: self.attempt }
    }
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Its effect is committed; it never comes again.
    Done,
    /// It should come again, after this long (`None`: by the group's back-off); with the last attempt it becomes a dead
    /// letter with this reason.
    Retry {
        /// How long to wait.
        after: Option<Duration>,
        /// Why, for the one who reads the dead letter.
        why: String,
    },
    /// Trying again can't help.
    Dead {
        /// Why.
        why: String,
    },
}

/// An event that ran out of attempts in one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event at its place.
    pub recorded: Recorded,
    /// How often it was tried.
    pub attempts: u32,
    /// The last reason.
    pub why: String,
    /// When it was given up.
    pub at: Time,
}

/// How a group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStat {
    /// Which group.
    pub name: GroupName,
    /// What it wants.
    pub filters: Vec<Filter>,
    /// Everything up to here is settled.
    pub settled: Position,
    /// Deliveries that are out.
    pub in_flight: usize,
    /// Deliveries that wait for their next attempt.
    pub waiting_retry: usize,
    /// Dead letters kept.
    pub dead: usize,
    /// Dead letters that were forgotten because there were too many; their events are still in the log.
    pub dead_forgotten: u64,
    /// Members that are joined.
    pub members: usize,
}
