//! WebSocket (RFC 6455), server side: a codec of our own, and the hub's JSON frames over it.
//!
//! The codec knows no hub: [`handshake`], [`decoder`] and [`frame`] serve every protocol that rides on a WebSocket.

mod answers;
pub mod close;
pub(crate) mod connection;
pub mod decoder;
mod farewell;
pub mod frame;
pub mod handshake;
mod hearing;
pub mod mask;
pub mod origin;
pub mod present;
mod reply;
pub mod request;
pub mod settings;
pub(crate) mod socket;
pub mod spelling;
pub mod strict;
#[cfg(test)]
mod testing;
pub mod upgrade;
pub mod utf8;
mod watches;

pub use close::{CloseCode, Closing, Fault};
pub use connection::Connection;
pub use decoder::{Decoder, Said};
pub use frame::{Opcode, write_frame, write_frame_with};
pub use origin::Origins;
pub use present::Present;
pub use settings::Settings;
pub use spelling::JsonFrames;
pub use upgrade::{NotUpgraded, Refused, serve_ws, upgrade};
