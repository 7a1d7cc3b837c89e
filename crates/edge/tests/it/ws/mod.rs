//! The hub's WebSocket edge over real sockets.

mod client;
mod page;
mod protocol;
mod publishing;
mod watching;
