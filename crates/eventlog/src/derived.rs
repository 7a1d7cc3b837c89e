//! The seam between the log and the groups: what is folded from their records, and what they may ask of the log.
//!
//! The log stores the records of groups without looking inside them. It hands each one to [`Derived::fold`] once it is
//! durable, in the order of the log and never twice: while the program runs, and again when the log is opened (after
//! [`Derived::load`] gave back what the checkpoint kept).

use headwater_event::{BusError, Clock, Epoch, Later, Recorded, Seq, Tail, Time};

/// What is folded from the log's records of groups.
///
/// All calls come one at a time. They must not block on anything that waits for the log: `fold` runs in the commit.
pub(crate) trait Derived: Send {
    /// Takes a durable record of a group, just as it was appended; `seq` is the last event before it.
    fn fold(&mut self, record: &[u8], seq: Seq, at: Time);

    /// Appends the whole state for the checkpoint; what `load` reads.
    fn save(&self, out: &mut Vec<u8>);

    /// Takes the state back; called at most once, before any `fold`.
    ///
    /// # Errors
    /// When the bytes are not what `save` wrote (another version): the state must then be as before, and the log folds
    /// its records from the start.
    fn load(&mut self, saved: &[u8]) -> Result<(), LoadError>;

    /// Retention has freed all events up to and with this one: nobody can be given them any more. Called after `load`
    /// and the folds when the log is opened, and whenever retention goes on.
    fn freed(&mut self, up_to: Seq);
}

/// The saved state could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved state of groups can't be read")]
pub(crate) struct LoadError;

/// What groups may ask of the log.
pub(crate) trait Desk: Send + Sync {
    /// Which log this is.
    fn epoch(&self) -> Epoch;

    /// The last durable event.
    fn head(&self) -> Seq;

    /// All events up to and with this one are freed; 0 while nothing was.
    fn freed(&self) -> Seq;

    /// The log's clock.
    fn clock(&self) -> &Clock;

    /// Stores records of groups, in this order, all or none, in the order in which this function was called. When the
    /// future gives `Ok`, they are durable and [`Derived::fold`] has taken them.
    ///
    /// They ride along with the next sync, and appear nowhere as events. The call itself neither waits nor folds: the
    /// caller holds locks that [`Derived::fold`] takes, so that the order of the records is that of what they say.
    fn append(&self, records: Vec<Vec<u8>>) -> Later<'static, Result<(), BusError>>;

    /// The events at these places; `None` for what retention has freed.
    fn read(&self, seqs: Vec<Seq>) -> Later<'static, Result<Vec<Option<Recorded>>, BusError>>;

    /// Waits until an event after this one is durable; gives `Closed` when none will be.
    ///
    /// Holds nothing of the log meanwhile, so that any number of members may wait and be dropped.
    fn grown(&self, beyond: Seq) -> Later<'static, Result<(), BusError>>;

    /// A reader that begins after an event.
    ///
    /// # Errors
    /// As [`headwater_event::Bus::tail`].
    fn tail(&self, after: Seq) -> Result<Box<dyn Tail>, BusError>;
}
