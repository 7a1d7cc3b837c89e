//! The edges over real sockets.
#![allow(clippy::unwrap_used, reason = "what fails in a test is told by its place")]

mod accept;
mod frames;
mod guarded;
mod http;
mod memory;
mod mqtt;
mod presence;
mod socketio;
mod socketio_suites;
mod tls;
mod ws;
