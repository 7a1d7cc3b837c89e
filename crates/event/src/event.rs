//! Something that happened.

use bytes::Bytes;

use crate::clock::Time;
use crate::headers::Headers;
use crate::id::EventId;
use crate::position::Position;
use crate::topic::Topic;

/// Something that happened; never changed once it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The producer's name for it; one id is one event.
    pub id: EventId,
    /// Where it belongs.
    pub topic: Topic,
    /// What travels beside the payload.
    pub headers: Headers,
    /// The producer's bytes; nobody on the way looks into them.
    pub payload: Bytes,
    /// When the hub took it.
    pub at: Time,
}

/// An event on its way to the log, with what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// What happened.
    pub event: Event,
    /// Whether it becomes the topic's latest state, given first to every newcomer; with an empty payload it ends that
    /// state instead.
    pub sticky: bool,
}

/// An event that is on disk, at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Where it stands.
    pub position: Position,
    /// What happened.
    pub event: Event,
    /// Whether it was published as the topic's latest state.
    pub sticky: bool,
}

impl Event {
    /// A copy that keeps no read buffer alive; for what is held longer than a moment.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            id: self.id.detached(),
            topic: self.topic.detached(),
            headers: self.headers.detached(),
            payload: Bytes::copy_from_slice(&self.payload),
            at: self.at,
        }
    }
}
