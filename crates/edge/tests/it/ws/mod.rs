//! The hub's WebSocket edge over real sockets.

pub mod client;
mod page;
mod protocol;
mod publishing;
mod watching;
