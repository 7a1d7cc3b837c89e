//! A connected pair of local sockets, one end of which an edge takes for its client's.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Local;

use tokio::net::{TcpStream, UnixStream};

/// Gives the edge's end and ours.
///
/// The edge's end is a local socket in the type of a TCP one. To the system both are connected byte streams, and reading,
/// writing, readiness, half-closing and dropping are the same calls; what it can't do are TCP's own options and names:
/// `set_nodelay` and `peer_addr` fail. A test goes through all of it.
///
/// # Errors
/// When the process has no file descriptors left.
pub(crate) fn lend() -> io::Result<(TcpStream, UnixStream)> {
    let (edge, ours) = Local::pair()?;
    edge.set_nonblocking(true)?;
    ours.set_nonblocking(true)?;
    let edge = std::net::TcpStream::from(OwnedFd::from(edge));
    Ok((TcpStream::from_std(edge)?, UnixStream::from_std(ours)?))
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, IoSlice};
    use std::net::Shutdown;

    use socket2::SockRef;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_lent_socket_does_all_that_edges_ask_of_one() {
        let (mut edge, mut ours) = lend().unwrap();
        let mut bytes = [0; 16];
        assert_eq!(edge.try_read(&mut bytes).unwrap_err().kind(), ErrorKind::WouldBlock);
        ours.write_all(b"in").await.unwrap();
        edge.readable().await.unwrap();
        assert_eq!(edge.peek(&mut bytes).await.unwrap(), 2);
        assert_eq!(edge.try_read(&mut bytes).unwrap(), 2);
        edge.writable().await.unwrap();
        assert_eq!(edge.try_write_vectored(&[IoSlice::new(b"o"), IoSlice::new(b"ut")]).unwrap(), 3);
        assert_eq!(ours.read(&mut bytes).await.unwrap(), 3);
        // Closing the writing side, by both ways that edges have.
        edge.shutdown().await.unwrap();
        let _ = SockRef::from(&edge).shutdown(Shutdown::Write);
        assert_eq!(ours.read(&mut bytes).await.unwrap(), 0);
        ours.write_all(b"late").await.unwrap();
        assert_eq!(edge.read(&mut bytes).await.unwrap(), 4);
        drop(ours);
        assert_eq!(edge.read(&mut bytes).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_does_not_read_blocks_the_writer_and_who_is_gone_fails_it() {
        let (edge, ours) = lend().unwrap();
        let mut taken = 0;
        while let Ok(len) = edge.try_write(&[0; 4_096]) {
            taken += len;
            assert!(taken < 64 << 20, "a local socket takes without end");
        }
        assert_eq!(edge.try_write(&[0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(ours);
        edge.writable().await.unwrap();
        assert_eq!(edge.try_write(&[0]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
