//! The socket as the hub writes to it.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::task::{Context, Poll};

use headwater_hub::Sink;
use socket2::SockRef;
use tokio::net::TcpStream;

/// A socket shared by the connection, which reads, and the hub's outlet, which writes.
#[derive(Clone, Debug)]
pub struct Socket(pub Arc<TcpStream>);

impl Socket {
    /// Says that nothing more will be written; what was written is still delivered.
    pub fn end_writing(&self) {
        // It fails when the other end is gone already, and then there's nobody to tell.
        let _ = SockRef::from(&*self.0).shutdown(Shutdown::Write);
    }
}

impl Socket {
    /// Reads what still comes and passes over it; ready with whether more may come.
    pub(crate) fn poll_pass_over(&self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<bool> {
        match self.0.poll_read_ready(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(false),
            Poll::Ready(Ok(())) => match self.0.try_read(scratch) {
                // It wasn't ready after all; asking again leaves a waker there.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Ready(true),
                Ok(0) | Err(_) => Poll::Ready(false),
                Ok(_) => Poll::Ready(true),
            },
        }
    }
}

impl Sink for Socket {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // `send` costs a tenth less than `writev`, and nearly always there is one.
            [one] => self.0.try_write(one),
            more => self.0.try_write_vectored(more),
        }
    }
}
