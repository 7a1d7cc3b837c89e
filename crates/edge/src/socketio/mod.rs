//! Socket.IO version 5 on Engine.IO version 4, server side: WebSocket and long polling, on the hub's fan-out.
//!
//! A session is spelled as a WebSocket's frames whatever way it takes, so that what is told to many is encoded once; a
//! poll gets them respelled as a payload.

mod connection;
pub mod engine;
mod entering;
mod feed;
mod front;
mod hearing;
mod namespaces;
pub mod packet;
mod polling;
mod probing;
mod request;
mod session;
mod settings;
mod spelling;
mod topics;
mod way;

pub use connection::Connection;
pub use feed::{Feed, Naming, Respelling, Rooming};
pub use front::{Counts, Front};
pub use namespaces::{Deed, Emit, Namespace, Namespaces, Said, Welcome, Wish};
pub(crate) use polling::{From, Gone, answer, begins};
pub(crate) use probing::upgrade;
pub(crate) use request::is_upgrade;
pub use settings::Settings;
pub use topics::Topics;
