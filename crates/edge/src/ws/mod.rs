//! WebSocket (RFC 6455), server side: a codec of our own, and the hub's JSON frames over it.
//!
//! The codec knows no hub: [`handshake`], [`decoder`] and [`frame`] serve every protocol that rides on a WebSocket.

pub mod close;
pub mod decoder;
pub mod frame;
pub mod handshake;
pub mod mask;
#[cfg(test)]
mod testing;
pub mod utf8;

pub use close::{CloseCode, Closing, Fault};
pub use decoder::{Decoder, Said};
pub use frame::{Opcode, write_frame, write_frame_with};
