//! Other engines behind the seam of the bus: events are kept by what a team runs already.
//!
//! [`open`] is the one way in; what comes out is a [`Bus`](headwater_event::Bus) like the embedded log, which declares in
//! its [`Abilities`](headwater_event::Abilities) what it can't do. `docs/engines.md` has the table.

mod address;
#[cfg(feature = "engines")]
mod amqp;
pub mod bridge;
#[cfg(feature = "engines")]
mod dotted;
mod local;
mod mqtt;
#[cfg(feature = "engines")]
mod nats;
mod open;
#[cfg(feature = "engines")]
mod version;

pub use mqtt::Mqtt;
pub use open::{Engine, LinkError, Options, open};
