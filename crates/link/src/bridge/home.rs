//! Our side of a bridge: the log behind its gate, as the bridge sees it.

use std::io;

use headwater_event::{
    Epoch, Filter, GroupName, GroupOptions, GroupStat, Later, Member, Publication, Receipts, Recorded, Refusal, Time,
    Topic,
};
use tokio::net::TcpStream;

/// What a bridge may do at home. Whoever implements it asks the same questions about rights as for any client.
pub trait Home: Send + Sync + 'static {
    /// Which log this is: by it a hub knows what it has said itself.
    fn log(&self) -> Epoch;

    /// What time it is.
    fn now(&self) -> Time;

    /// The largest payload that is taken.
    fn payload_max(&self) -> usize;

    /// Whether the bridge may publish to this topic now.
    ///
    /// # Errors
    /// `NotAllowed`.
    fn may_publish(&self, topic: &Topic) -> Result<(), Refusal>;

    /// Whether the bridge may watch this filter now.
    ///
    /// # Errors
    /// `NotAllowed`.
    fn may_watch(&self, filter: &Filter) -> Result<(), Refusal>;

    /// Makes events durable together with the bridge's own note, all or none.
    ///
    /// # Errors
    /// At once: why the batch isn't taken. Later: `Unavailable`, when it may or may not be stored.
    fn publish(
        &self,
        batch: Vec<Publication>,
        note: Publication,
    ) -> Result<Later<'static, Result<Receipts, Refusal>>, Refusal>;

    /// Makes a note durable.
    fn note(&self, note: Publication) -> Later<'static, Result<(), Refusal>>;

    /// All notes that this filter wants.
    fn recall(&self, filter: &Filter) -> Later<'_, Result<Vec<Recorded>, Refusal>>;

    /// Becomes a member of a group over these filters, if the bridge may watch them all.
    fn join(
        &self,
        filters: &[Filter],
        group: &GroupName,
        options: GroupOptions,
    ) -> Later<'_, Result<Box<dyn Member>, Refusal>>;

    /// How a group stands, if it is there.
    fn standing(&self, group: &GroupName) -> Option<GroupStat>;

    /// Ends a group.
    fn end_group(&self, group: &GroupName) -> Later<'_, Result<(), Refusal>>;

    /// Connects to the broker.
    fn dial(&self) -> Later<'_, io::Result<TcpStream>>;

    /// The password for the broker, read anew for each connection.
    ///
    /// # Errors
    /// Why it can't be read, without a word of what it is.
    fn password(&self) -> Result<Option<String>, String>;
}
