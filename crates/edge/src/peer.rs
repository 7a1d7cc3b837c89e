//! Where a connection comes from.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpStream;

/// The other end's address; all zeros when it has gone already.
pub(crate) fn peer_of(stream: &TcpStream) -> SocketAddr {
    stream.peer_addr().unwrap_or_else(|_| (Ipv4Addr::UNSPECIFIED, 0).into())
}
