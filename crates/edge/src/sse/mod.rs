//! Server-sent events (WHATWG HTML section 9.2) on the bare socket: `GET /v1/live`.
//!
//! The answer has no length and no chunks: it ends with the connection. Between the head and the end the hub alone writes
//! to the socket, so an idle watcher costs a socket, a small task and its place in the hub.

mod ask;
mod spelling;
mod watcher;

pub use ask::Ask;
pub use spelling::ServerSent;
pub use watcher::{Refused, Watcher};
