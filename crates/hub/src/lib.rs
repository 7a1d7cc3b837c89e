//! What happens between a client and the bus: one way in, and fan-out to everyone who watches.
//!
//! The way in is [`Hub::publish`]: admission (who, may, size, rate, room), then the log, then a receipt. The way out is an
//! [`Outlet`]: a socket and its places in what became durable. This crate knows no engine (it is handed a
//! [`Bus`](headwater_event::Bus)) and no protocol (an edge hands it an [`Encode`] and a [`Sink`]).

pub mod access;
mod admission;
mod block;
mod drive;
pub mod encode;
mod gate;
mod heed;
pub mod history;
pub mod hub;
mod index;
pub mod inspect;
pub mod latency;
pub mod limits;
mod live;
pub mod metrics;
pub mod outlet;
mod overhear;
mod own;
mod pace;
mod passing;
pub mod presence;
mod publish;
pub mod pulse;
mod rate;
mod reading;
mod ring;
mod rings;
mod shard;
mod slab;
pub mod stream;
mod subscription;
pub mod watch;
mod wheel;
mod window;

pub use access::{Access, Ask, Credentials, Proof, RESERVED_PREFIXES, Secret, WATCHABLE_PREFIXES};
pub use admission::Room;
pub use encode::{Encode, Sink};
pub use history::History;
pub use hub::{FanoutSettings, Hub, Settings};
pub use limits::{Lane, Limits};
pub use metrics::Metrics;
pub use outlet::{Closed, Outlet, OutletFull, OutletSettings};
pub use presence::{Arrival, Bell, Exit, Presence, Present};
pub use pulse::{Rates, Second};
pub use stream::WatchStream;
pub use subscription::Standing;
pub use watch::{From, Watch, WatchError, WatchId, WhenBehind};
pub use window::{UnderWay, number_of};
