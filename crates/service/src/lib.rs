//! The kit for handlers: an event in, a transaction at hand, events out, each with exactly one effect.
//!
//! A [`Service`] is a name, some tables and plain functions. It joins the group `service/NAME` on a bus, and what its
//! functions change and publish is committed together with the note that the event was handled; so redelivery, resending and
//! `kill -9` change nothing twice and lose nothing. The state is in SQLite (nothing to install) or PostgreSQL, by one URL.
//!
//! In reading order: [`Tx`] is what a handler sees; `batch` is the story of one commit; `worker` carries deliveries from the
//! bus to it and what came of them back; [`store`] is the two engines below. `docs/services.md` begins from nothing.

mod batch;
pub mod body;
mod context;
mod crew;
mod duty;
mod effects;
mod failure;
mod group;
mod guard;
mod handler;
mod ids;
mod inbox;
mod late;
mod options;
mod outbox;
mod outgoing;
mod parked;
mod reply;
mod running;
mod schema;
mod service;
mod sorted;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod timers;
mod tx;
mod wire;
mod worker;

pub use body::Body;
pub use failure::Failure;
pub use options::ServiceOptions;
pub use outgoing::{Outgoing, PAYLOAD_LEN_MAX};
pub use running::{Running, StartError};
pub use service::Service;
pub use store::{Lease, Migration, Reader, Row, Statement, Store, StoreError, StoreUrl, Value};
pub use timers::Timer;
pub use tx::Tx;
