//! Carries bytes between an encrypted connection and the socket that was lent to an edge, and the ends of both ways.

use std::cell::RefCell;
use std::io::{self, BufRead, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::Connection;
use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep};

use super::handshake::Bare;

/// How much is read at once from either side, in bytes: some full records, about what a socket's buffer gives at once.
const READ_LEN: usize = 64 * 1_024;

/// How many turns one poll takes before it lets other connections have the thread.
const TURNS_MAX: u32 = 16;

/// How long what an edge left behind may take to reach the client, when the edge has ended: as long as a drain may take
/// by default, less what the edges themselves take for their farewells.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a client may take to end its side after that. Closing at once could take back what is still on its way.
const LINGER_TIME_MAX: Duration = Duration::from_secs(1);

thread_local! {
    /// Where all pumps of this thread read to and decrypt to. Each uses up what it read before another one reads.
    static ROOM: RefCell<Room> = RefCell::new(Room { read: vec![0; READ_LEN], plain: Vec::new() });
}

struct Room {
    read: Vec<u8>,
    plain: Vec<u8>,
}

/// One of the two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// The side that speaks has said that it's done; what it said is still passed on.
    Ending,
    /// The side that hears knows it.
    Closed,
}

/// What carries one connection's bytes. An idle one holds no buffer of its own.
pub(crate) struct Pump {
    outer: TcpStream,
    inner: UnixStream,
    session: Box<Connection>,
    /// Decrypted bytes that the edge has not taken, from `held_from` on: at most what one read gave. While there are some,
    /// nothing more is read from the client, so it waits in its own socket buffer.
    held: Vec<u8>,
    held_from: usize,
    /// From the client to the edge.
    way_in: Way,
    /// From the edge to the client.
    way_out: Way,
    /// The edge takes nothing any more: what still comes is dropped as it is.
    is_deaf: bool,
    /// Since when the edge is gone, as a time when this must be over.
    leaving: Option<Pin<Box<Sleep>>>,
}

impl Pump {
    /// Between these two, when the handshake is over.
    pub(crate) fn new(outer: TcpStream, inner: UnixStream, session: Connection) -> io::Result<Self> {
        let mut session = Box::new(session);
        // Never more waits in here than one read of the edge's bytes, as nothing is read while something waits.
        session.set_buffer_limit(None);
        // The client's first words may have come with the end of its handshake.
        let mut held = Vec::new();
        let is_closed = decrypt(&mut session, &[], &mut held)?;
        let way_in = if is_closed { Way::Ending } else { Way::Open };
        let way_out = Way::Open;
        Ok(Self { outer, inner, session, held, held_from: 0, way_in, way_out, is_deaf: false, leaving: None })
    }

    /// The edge has ended: what it wrote is still delivered, and then the connection ends, in bounded time.
    pub(crate) fn leave(&mut self) {
        self.is_deaf = true;
        // An edge that closed its way out and ended later has lingered already.
        let time_max = if self.way_out == Way::Closed { LINGER_TIME_MAX } else { LEAVE_TIME_MAX };
        self.leaving = Some(Box::pin(sleep(time_max)));
    }

    /// Carries what there is to carry; ready when the connection has ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS_MAX {
            let Ok(has_moved) = self.turn(cx) else { return Poll::Ready(()) };
            if self.is_over(cx) {
                return Poll::Ready(());
            }
            if !has_moved {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let has_said = self.say(cx)?;
        let has_heard = self.hear(cx)?;
        Ok(has_said || has_heard)
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let is_late = self.leaving.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready());
        is_late || (self.way_in == Way::Closed && self.way_out == Way::Closed)
    }

    /// From the edge to the client. An error ends the connection.
    fn say(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut has_moved = self.flush(cx)?;
        if self.session.wants_write() {
            return Ok(has_moved);
        }
        match self.way_out {
            Way::Open => {
                if self.inner.poll_read_ready(cx)?.is_pending() {
                    return Ok(has_moved);
                }
                self.encrypt()?;
                self.flush(cx)?;
                has_moved = true;
            }
            Way::Ending => {
                // It fails when the client is gone already, and then there's nobody to tell.
                let _ = SockRef::from(&self.outer).shutdown(Shutdown::Write);
                self.way_out = Way::Closed;
                if let Some(leaving) = &mut self.leaving {
                    leaving.as_mut().reset(Instant::now() + LINGER_TIME_MAX);
                }
                has_moved = true;
            }
            Way::Closed => {}
        }
        Ok(has_moved)
    }

    /// Takes what the edge wrote, or its end.
    fn encrypt(&mut self) -> io::Result<()> {
        ROOM.with_borrow_mut(|room| match self.inner.try_read(&mut room.read) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            // An edge that goes without having read all makes it an error; what it wrote came before that.
            Ok(0) | Err(_) => {
                self.session.send_close_notify();
                self.way_out = Way::Ending;
                Ok(())
            }
            Ok(len) => self.session.writer().write_all(&room.read[..len]),
        })
    }

    /// Writes encrypted bytes while the client's socket takes them.
    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut has_written = false;
        while self.session.wants_write() {
            if self.outer.poll_write_ready(cx)?.is_pending() {
                break;
            }
            match self.session.write_tls(&mut Bare(&self.outer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => has_written |= other? > 0,
            }
        }
        Ok(has_written)
    }

    /// From the client to the edge. An error ends the connection.
    fn hear(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut has_moved = self.pass_on(cx)?;
        if !self.held.is_empty() {
            return Ok(has_moved);
        }
        match self.way_in {
            Way::Open => {
                if self.outer.poll_read_ready(cx)?.is_pending() {
                    return Ok(has_moved);
                }
                self.read()?;
                has_moved = true;
            }
            Way::Ending => {
                let _ = SockRef::from(&self.inner).shutdown(Shutdown::Write);
                self.way_in = Way::Closed;
                has_moved = true;
            }
            Way::Closed => {}
        }
        Ok(has_moved)
    }

    /// Takes what the client wrote, or its end, and hands it to the edge as far as the edge takes it.
    fn read(&mut self) -> io::Result<()> {
        ROOM.with_borrow_mut(|room| {
            let len = match self.outer.try_read(&mut room.read) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                other => other?,
            };
            if self.is_deaf {
                self.way_in = if len == 0 { Way::Closed } else { Way::Open };
                return Ok(());
            }
            room.plain.clear();
            // A client that goes without its last word is taken at its word all the same: every protocol in here has lengths
            // of its own, and shows what was cut.
            let decrypted = decrypt(&mut self.session, &room.read[..len], &mut room.plain);
            let is_closed = match decrypted {
                Ok(is_closed) => is_closed || len == 0,
                Err(error) => {
                    // The alert that tells why; who doesn't take it now doesn't get it.
                    let _ = self.session.write_tls(&mut Bare(&self.outer));
                    return Err(error);
                }
            };
            if is_closed {
                self.way_in = Way::Ending;
            }
            let taken = self.offer(&room.plain);
            if !self.is_deaf {
                self.held.extend_from_slice(&room.plain[taken..]);
            }
            Ok(())
        })
    }

    /// Hands bytes to the edge; gives how many it took.
    fn offer(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.inner.try_write(&bytes[taken..]) {
                Ok(len) => taken += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.is_deaf = true;
                    break;
                }
            }
        }
        taken
    }

    /// Hands the edge what it didn't take before.
    fn pass_on(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut has_moved = false;
        while !self.held.is_empty() {
            if !self.is_deaf && self.inner.poll_write_ready(cx)?.is_pending() {
                break;
            }
            let held = std::mem::take(&mut self.held);
            let taken = if self.is_deaf { held.len() } else { self.offer(&held[self.held_from..]) };
            has_moved |= taken > 0;
            self.held_from += taken;
            if self.is_deaf || self.held_from >= held.len() {
                // Given back, not kept: most clients never get here again.
                self.held_from = 0;
            } else {
                self.held = held;
            }
        }
        Ok(has_moved)
    }
}

/// Decrypts what has come and appends it; gives whether the client has said its last word.
fn decrypt(session: &mut Connection, mut bytes: &[u8], plain: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        if !bytes.is_empty() {
            session.read_tls(&mut bytes)?;
        }
        let state = session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut reader = session.reader();
        loop {
            match reader.fill_buf() {
                Ok([]) => break,
                Ok(chunk) => {
                    plain.extend_from_slice(chunk);
                    let len = chunk.len();
                    reader.consume(len);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if state.peer_has_closed() || bytes.is_empty() {
            return Ok(state.peer_has_closed());
        }
    }
}
