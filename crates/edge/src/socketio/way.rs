//! The way to a client: a WebSocket, or a buffer that polls empty; one can become the other in the middle of a frame.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use headwater_hub::Sink;

use super::engine::{frame_at, write_payload};
use crate::ws::socket::Socket;

/// How many bytes of whole frames wait for a poll before the hub has to wait: a round trip at 1 MB/s and 60 ms.
const POLLED_MAX: usize = 64 << 10;

/// How much is taken at once beyond that.
const PIECE_LEN: usize = 64 << 10;

/// How many bytes of our own may wait before a client is in a namespace: the handshake, answers to its packets and pings.
const EARLY_MAX: usize = 16 << 10;

/// The way to one client.
#[derive(Default)]
pub(super) struct Way(Mutex<State>);

#[derive(Default)]
struct State {
    /// `None` while the client polls.
    socket: Option<Socket>,
    /// Frames for a poll; or, when there is a socket, what must be written before all else.
    kept: Vec<u8>,
    /// How many of these bytes are whole frames.
    whole: usize,
    /// Who drives this client's outlet, and waits.
    driver: Option<Waker>,
    /// A poll that waits for a whole frame.
    poller: Option<Waker>,
    is_closed: bool,
}

/// The hub's end of it.
pub(super) struct WaySink(pub(super) Arc<Way>);

/// There is no room for what we say: the client doesn't read.
#[derive(Debug)]
pub(super) struct Full;

impl Way {
    pub(super) fn over(socket: Socket) -> Self {
        Self(Mutex::new(State { socket: Some(socket), ..State::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a whole frame of our own while there is no outlet.
    pub(super) fn say(&self, frame: &[u8]) -> Result<(), Full> {
        let mut state = self.lock();
        if state.kept.len() + frame.len() > EARLY_MAX {
            return Err(Full);
        }
        state.kept.extend_from_slice(frame);
        state.count();
        state.wake();
        Ok(())
    }

    /// No more will be said. For a client without an outlet; others close theirs.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.wake();
    }

    /// Writes what is kept for the socket; ready when the way is closed and all is written, or broken.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        match &mut state.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        let Some(socket) = state.socket.clone() else {
            return if state.is_closed { Poll::Ready(()) } else { Poll::Pending };
        };
        loop {
            match state.flush(&socket) {
                Ok(true) if state.is_closed => return Poll::Ready(()),
                Ok(true) => return Poll::Pending,
                Ok(false) => match socket.0.poll_write_ready(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                },
                Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Waits until the hub can write again.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        match &state.socket {
            Some(socket) => socket.0.poll_write_ready(cx),
            None if state.whole < POLLED_MAX => Poll::Ready(Ok(())),
            None => {
                state.driver = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Leaves the waker of a poll. A shard of the hub writes without anybody's help, and then nobody else would wake it.
    pub(super) fn wait_with_poll(&self, cx: &Context<'_>) {
        let mut state = self.lock();
        match &mut state.poller {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Takes what waits for a poll, as a payload; empty when there is nothing.
    pub(super) fn take_payload(&self) -> Vec<u8> {
        let mut state = self.lock();
        let mut payload = Vec::new();
        if state.socket.is_none() && state.whole > 0 {
            let used = write_payload(&state.kept, &mut payload);
            state.kept.drain(..used);
            state.count();
            if state.kept.is_empty() {
                state.kept = Vec::new();
            }
            state.wake();
        }
        payload
    }

    /// From here on all goes over this socket, first what no poll has fetched.
    pub(super) fn upgrade(&self, socket: Socket) {
        let mut state = self.lock();
        state.socket = Some(socket);
        state.wake();
    }

    /// Has whoever drives this client look again.
    pub(super) fn wake(&self) {
        self.lock().wake();
    }

    pub(super) fn is_polled(&self) -> bool {
        self.lock().socket.is_none()
    }
}

impl State {
    /// Counts the whole frames anew.
    fn count(&mut self) {
        self.whole = 0;
        self.count_on();
    }

    fn count_on(&mut self) {
        if self.socket.is_some() {
            return;
        }
        while let Some((_, _, to)) = frame_at(&self.kept, self.whole) {
            self.whole = to;
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.driver.take() {
            waker.wake();
        }
    }

    /// Writes what is kept; `false` when the socket takes no more.
    fn flush(&mut self, socket: &Socket) -> io::Result<bool> {
        while !self.kept.is_empty() {
            match socket.try_write(&[IoSlice::new(&self.kept)]) {
                Ok(len) => drop(self.kept.drain(..len)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if self.kept.capacity() > 0 {
            (self.kept, self.whole) = (Vec::new(), 0);
        }
        Ok(true)
    }
}

impl Sink for WaySink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if let Some(socket) = &state.socket {
            if state.kept.is_empty() {
                return socket.try_write(slices);
            }
            let socket = socket.clone();
            if !state.flush(&socket)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            return socket.try_write(slices);
        }
        if state.whole >= POLLED_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut taken = 0;
        for slice in slices {
            let len = slice.len().min(PIECE_LEN - taken);
            state.kept.extend_from_slice(&slice[..len]);
            taken += len;
            if taken == PIECE_LEN {
                break;
            }
        }
        state.count_on();
        if state.whole > 0
            && let Some(waker) = state.poller.take()
        {
            waker.wake();
        }
        Ok(taken)
    }
}
