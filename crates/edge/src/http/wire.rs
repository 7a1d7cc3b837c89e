//! The socket as hyper sees it: what we have read already comes first, and a request that must not be served never comes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::framing::Framing;
use super::handover::Handover;

/// What stands in place of a head that must not be served: no grammar of HTTP has it anywhere, so hyper answers 400 and
/// closes, after it has answered the requests before.
const POISON: &[u8] = b"\0";

/// A socket under hyper.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    replay: Bytes,
    framing: Framing,
    is_poisoned: bool,
    stalled_max: Duration,
    /// Runs while the client takes nothing of what we have to say.
    stalled: Option<Pin<Box<Sleep>>>,
    handover: Arc<Handover>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, replay: Bytes, stalled_max: Duration, handover: Arc<Handover>) -> Self {
        Self { stream, replay, framing: Framing::default(), is_poisoned: false, stalled_max, stalled: None, handover }
    }

    /// The bare socket.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.replay.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let len = self.replay.len().min(buf.remaining());
        buf.put_slice(&self.replay[..len]);
        self.replay.advance(len);
        Poll::Ready(Ok(()))
    }

    /// A client that takes nothing holds memory and a place; it may do so for a while only.
    fn watch_stall<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled_max = self.stalled_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stalled_max)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Wire {
    /// Looks, without taking anything, whether the client has gone: hyper doesn't read while a request waits for its
    /// answer, and comes by here each time that it has nothing else to do.
    fn watch_end(&self, cx: &mut Context<'_>) {
        if !self.handover.watches_end() {
            return;
        }
        let mut byte = [0];
        let has_ended = match self.stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => true,
            // A further request waits behind this one.
            Poll::Ready(Ok(_)) | Poll::Pending => false,
        };
        if has_ended {
            self.handover.gone();
            cx.waker().wake_by_ref();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_poisoned {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(this.poll_bytes(cx, buf))?;
        if let Err((good, _)) = this.framing.follow(&buf.filled()[before..]) {
            this.is_poisoned = true;
            // At least one byte of the bad head is dropped here, so there is room.
            buf.set_filled(before + good);
            buf.put_slice(POISON);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.handover.is_wanted() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.watch_stall(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.handover.is_wanted() {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.watch_stall(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.watch_end(cx);
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
