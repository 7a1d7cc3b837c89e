//! The clients' side: one folder a protocol, which translates and does nothing else.

pub mod accept;
pub mod frames;
pub mod http;
pub mod mqtt;
pub mod process;
pub mod socketio;
pub mod sse;
pub mod tls;
pub mod ws;
