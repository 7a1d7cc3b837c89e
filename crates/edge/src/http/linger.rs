//! How a connection is ended that the client may still be writing to.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a client may take to read our last words and go: a megabyte at a slow link's pace.
const LINGER: Duration = Duration::from_secs(2);

/// How much of what it still sends is read and dropped: a body that was refused for its length is on its way already.
const LINGER_BYTES_MAX: usize = 32 << 20;

/// Bytes that are dropped at once; they live on the stack for the length of one read.
const SCRAP_LEN: usize = 4_096;

/// Says what is left to say, and waits for the client to end the connection.
///
/// Closing a socket with unread bytes resets the connection, and the client might lose the answer that tells it why.
pub(super) async fn farewell(mut stream: TcpStream, words: &[u8]) {
    let ending = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match std::future::poll_fn(|cx| poll_discard(&stream, cx)).await? {
                0 => break,
                len => left = left.saturating_sub(len),
            }
        }
        io::Result::Ok(())
    };
    // A client that takes longer, or has gone, has nothing more to hear.
    let _ = timeout(LINGER, ending).await;
}

/// Reads and drops what has come; 0 at the end.
pub(crate) fn poll_discard(stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    loop {
        std::task::ready!(stream.poll_read_ready(cx))?;
        let mut scrap = [0; SCRAP_LEN];
        match stream.try_read(&mut scrap) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return Poll::Ready(other),
        }
    }
}
