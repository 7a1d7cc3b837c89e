//! TLS in front of the edges: the handshake, and bytes between the encrypted connection and a socket that an edge owns.
//!
//! An edge wants the bare socket, as the hub's fan-out writes to it without a buffer in between. So TLS ends before the
//! edge begins: the accept loop shakes hands, gives the edge one end of a connected pair of local sockets, and a [`Pump`]
//! carries bytes between the other end and the encrypted connection (docs/decisions/tls.md). Who doesn't use TLS pays
//! nothing for it.

mod doors;
mod handshake;
mod lend;
mod material;
mod originate;
mod peer;
mod pump;

pub use doors::{Spoken, Tls, TlsSettings};
pub(crate) use handshake::{Shaken, Unshaken, shake};
pub use material::{Asked, TlsError, TlsMaterial};
pub use originate::{Trust, originate};
pub use peer::TlsPeer;
pub(crate) use pump::Pump;
