//! What the processes over one engine tell each other at this moment, and nobody keeps: that they are there.

use crate::bus::{BusError, Later};
use crate::event::Event;

/// One process's place among those that talk over an engine. Best effort on purpose: what is told while the engine is away,
/// or faster than others listen, is lost, and whoever talks says it again a moment later.
pub trait Talk: Send {
    /// Tells an event to all who listen now, oneself perhaps too; never waits.
    ///
    /// # Errors
    /// `Closed`, or `Unable` when it is told faster than the engine takes it.
    fn tell(&mut self, event: Event) -> Result<(), BusError>;

    /// The next event that somebody tells; waits for it. Dropping the future loses nothing. An engine may bring what is kept as
    /// the latest state of the same topics among them.
    ///
    /// # Errors
    /// `Closed`; `Unable` once, where this process may tell and not listen. Then nothing more comes.
    fn hear(&mut self) -> Later<'_, Result<Event, BusError>>;

    /// Whether somebody else keeps as state, and watches over, what is told here: a Headwater does so for those that are
    /// connected to it.
    fn is_kept(&self) -> bool;

    /// Leaves: what was told goes out.
    fn leave(self: Box<Self>) -> Later<'static, ()>;
}
