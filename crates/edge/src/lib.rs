//! The clients' side: one folder a protocol, which translates and does nothing else.

pub mod accept;
pub mod ws;
