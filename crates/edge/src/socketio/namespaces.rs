//! What an application lays down for its clients: namespaces, what they are told, and what they may say.

use std::sync::Arc;

use bytes::Bytes;
use headwater_event::{Filter, Publication, Recorded, Refusal};
use headwater_hub::{Encode, From, WhenBehind};
use serde_json::value::RawValue;

use super::packet::Packet;
use super::spelling::{Offset, Spelling};

/// One namespace, for all its clients.
pub trait Namespace: Send + Sync + 'static {
    /// `/`, or another name with a slash before it.
    fn name(&self) -> &str;

    /// Whether `auth` says who a client is. Else it is whoever opened the connection, and `auth` is the namespace's own.
    fn takes_logins(&self) -> bool {
        true
    }

    /// What a newcomer gets; `auth` is what it showed, a JSON object.
    fn welcome(&self, auth: &RawValue) -> Welcome;

    /// Whether a client that comes back is told what it missed. Only for a namespace whose clients watch one filter, that
    /// of their welcome: an offset says how far one watch has come.
    fn recovers(&self) -> bool {
        false
    }

    /// Whether clients whose library keeps no offsets get it in a packet of its own behind each event (`position`), so that
    /// handlers that were written for the event's arguments alone get these and nothing more.
    fn tells_offset_apart(&self) -> bool {
        false
    }

    /// What is done about an event of a client.
    fn on(&self, said: &Said<'_>) -> Vec<Deed>;

    /// A client answered an event of ours.
    fn on_ack(&self, id: u64, arguments: &[Box<RawValue>]) {
        let _ = (id, arguments);
    }

    /// Appends an event's name and its arguments, as JSON with commas between; nothing when clients aren't told of it.
    fn spell(&self, recorded: &Recorded, is_state: bool, out: &mut Vec<u8>);
}

/// What a newcomer gets.
#[derive(Debug, Default)]
pub struct Welcome {
    /// Events for it alone.
    pub emits: Vec<Emit>,
    /// What it is told from now on.
    pub watch: Option<Wish>,
}

/// An event for one client.
#[derive(Clone, Debug, Default)]
pub struct Emit {
    /// The name and the arguments, as JSON with commas between: `"auth",{}`.
    pub arguments: String,
    /// What is attached.
    pub binary: Vec<Bytes>,
    /// Under which number the client is asked to answer.
    pub id: Option<u64>,
}

/// Something that a client is to be told.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What.
    pub filter: Filter,
    /// From where on.
    pub from: From,
    /// Whether the latest states come first.
    pub sticky: bool,
    /// Whether they are all.
    pub is_only_states: bool,
    /// What is done when the client is too slow.
    pub behind: WhenBehind,
}

impl Wish {
    /// What happens on this filter from now on.
    #[must_use]
    pub const fn now(filter: Filter, sticky: bool) -> Self {
        Self { filter, from: From::Now, sticky, is_only_states: false, behind: WhenBehind::CatchUp }
    }

    /// The latest states of this filter alone.
    #[must_use]
    pub fn states(filter: Filter) -> Self {
        Self { is_only_states: true, ..Self::now(filter, true) }
    }
}

/// An event of a client.
#[derive(Debug)]
pub struct Said<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its arguments.
    pub arguments: &'a [Box<RawValue>],
    /// The whole packet, with what is attached.
    pub packet: &'a Packet,
}

/// What is done about an event.
#[derive(Debug)]
pub enum Deed {
    /// This client is told something.
    Emit(Emit),
    /// The event is acknowledged with these arguments (JSON with commas between), if the client asked for it.
    Ack(String, Vec<Bytes>),
    /// Something is made known; the acknowledgement comes when it is durable.
    Publish(Box<Publication>),
    /// This client is told more; the acknowledgement comes when that has begun.
    Watch(Wish),
    /// This client is told less.
    Unwatch(Filter),
    /// Nothing, and this is why.
    Refuse(Refusal),
}

/// All namespaces of one server.
#[derive(Clone, Default)]
pub struct Namespaces(Vec<Entry>);

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) namespace: Arc<dyn Namespace>,
    /// How what happens is told.
    pub(super) spelling: Arc<dyn Encode>,
    /// How it's told to those whose library keeps no offsets.
    pub(super) apart: Arc<dyn Encode>,
    /// How latest states are told beside that: without an offset.
    pub(super) beside: Arc<dyn Encode>,
}

impl Namespaces {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// And this one. The first of a name counts.
    #[must_use]
    pub fn with(mut self, namespace: impl Namespace) -> Self {
        let namespace: Arc<dyn Namespace> = Arc::new(namespace);
        let spelling = Spelling::shared(&namespace, Offset::Last);
        let apart = if namespace.tells_offset_apart() {
            Spelling::shared(&namespace, Offset::Apart)
        } else {
            Arc::clone(&spelling)
        };
        let beside = Spelling::shared(&namespace, Offset::None);
        self.0.push(Entry { namespace, spelling, apart, beside });
        self
    }

    /// The place of the one with this name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|entry| entry.namespace.name() == name)
    }

    /// The one at this place.
    pub(super) fn at(&self, at: usize) -> &Entry {
        &self.0[at]
    }

    pub(super) fn name(&self, at: usize) -> &str {
        self.0[at].namespace.name()
    }
}

impl std::fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|entry| entry.namespace.name())).finish()
    }
}
