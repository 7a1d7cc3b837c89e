//! The handshake, before anything of an edge exists: in time, in its turn, and with a bound on what a client may send.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::{Connection, ServerConnection};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::doors::{Spoken, Tls};
use super::lend::lend;
use super::peer::TlsPeer;
use super::pump::Pump;

/// How much a client may send before it's our turn to answer, in bytes. A hello with a post-quantum key has less than 2 KiB,
/// a chain of three client certificates about 5; with what is read ahead and the session itself, a handshake that stops at
/// its worst moment holds less than 16 KiB (a test measures it).
const FLIGHT_LEN_MAX: usize = 8 * 1_024;

/// How much is read at once, in bytes: a usual hello, and what rustls makes room for at a time.
const PIECE_LEN: usize = 4 * 1_024;

/// The first byte of a TLS record that holds a part of a handshake (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 0x16;

/// How long a client that speaks plain text may take to read that it shouldn't, and go.
const PLAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// How much of what it still sends is read and dropped meanwhile: closing with bytes unread would take the answer back.
const PLAIN_LEN_MAX: usize = 64 * 1_024;

/// What a client hears that speaks HTTP where HTTPS is spoken.
const PLAIN_HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\n\
    Content-Length: 117\r\nConnection: close\r\n\r\n\
    {\"type\":\"about:blank\",\"status\":400,\"title\":\"Bad Request\",\"detail\":\"this port speaks TLS: write the address as https\"}";

/// A connection whose handshake is over.
pub(crate) struct Shaken {
    /// What the edge takes for its client's socket.
    pub(crate) edge: TcpStream,
    /// What carries the bytes.
    pub(crate) pump: Pump,
    /// Who is there.
    pub(crate) peer: Arc<TlsPeer>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unshaken {
    /// There are too many handshakes.
    #[error("too many handshakes at once")]
    Crowded,
    /// The client went before it said anything: it only looked whether somebody is there.
    #[error("the client went")]
    Gone,
    /// It doesn't speak TLS.
    #[error("plain text where TLS is spoken")]
    Plain,
    /// It took too long.
    #[error("the handshake took too long")]
    Slow,
    /// It was refused, or refused us, or broke off.
    #[error("{0}")]
    Failed(String),
}

impl Unshaken {
    fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Shakes hands with a client, and lends an edge a socket for it.
pub(crate) async fn shake(stream: TcpStream, tls: &Tls, spoken: Spoken) -> Result<Shaken, Unshaken> {
    let _place = tls.begin().ok_or(Unshaken::Crowded)?;
    let session = match timeout(tls.time_max(), greet(&stream, tls, spoken)).await {
        Ok(Ok(session)) => session,
        Ok(Err(Unshaken::Plain)) => {
            Box::pin(refuse_plain(stream, spoken)).await;
            return Err(Unshaken::Plain);
        }
        Ok(Err(why)) => return Err(why),
        Err(_elapsed) => return Err(Unshaken::Slow),
    };
    let peer = Arc::new(TlsPeer::from_chain(session.peer_certificates()));
    let (edge, ours) = lend().map_err(Unshaken::failed)?;
    let pump = Pump::new(stream, ours, Connection::Server(*session)).map_err(Unshaken::failed)?;
    Ok(Shaken { edge, pump, peer })
}

async fn greet(stream: &TcpStream, tls: &Tls, spoken: Spoken) -> Result<Box<ServerConnection>, Unshaken> {
    // Nothing is spent on who says nothing.
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1..) if first[0] == HANDSHAKE_RECORD => {}
        Ok(1..) => return Err(Unshaken::Plain),
        Ok(0) | Err(_) => return Err(Unshaken::Gone),
    }
    // In a box, as the future would hold it several times.
    let mut session = Box::new(ServerConnection::new(tls.config(spoken)).map_err(Unshaken::failed)?);
    let mut left = FLIGHT_LEN_MAX;
    while session.is_handshaking() {
        if left == 0 {
            return Err(Unshaken::Failed("the handshake is too long".into()));
        }
        stream.readable().await.map_err(Unshaken::failed)?;
        let read = {
            let _turn = tls.compute().await;
            step(stream, &mut session)
        };
        left = if session.wants_write() { FLIGHT_LEN_MAX } else { left.saturating_sub(*read.as_ref().unwrap_or(&0)) };
        // What goes wrong has an alert as its last word, and the client learns from it what it was.
        let flushed = flush(stream, &mut session).await;
        read?;
        flushed.map_err(Unshaken::failed)?;
    }
    Ok(session)
}

/// Reads once and computes what follows from it; gives how much was read.
fn step(stream: &TcpStream, session: &mut ServerConnection) -> Result<usize, Unshaken> {
    // By way of the stack: rustls makes room in the session before it knows whether anything has come.
    let mut piece = [0; PIECE_LEN];
    let len = match stream.try_read(&mut piece) {
        Ok(0) => return Err(Unshaken::Failed("the client broke off".into())),
        Ok(len) => len,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
        Err(error) => return Err(Unshaken::failed(error)),
    };
    let mut bytes = &piece[..len];
    while !bytes.is_empty() {
        // Nothing is read any more after a client's last word.
        if session.read_tls(&mut bytes).map_err(Unshaken::failed)? == 0 {
            return Err(Unshaken::Failed("the client broke off".into()));
        }
        session.process_new_packets().map_err(Unshaken::failed)?;
    }
    Ok(len)
}

async fn flush(stream: &TcpStream, session: &mut ServerConnection) -> io::Result<()> {
    while session.wants_write() {
        stream.writable().await?;
        match session.write_tls(&mut Bare(stream)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// Says in the client's own words what is wrong, where that is cheap, and closes.
async fn refuse_plain(mut stream: TcpStream, spoken: Spoken) {
    let refusing = async {
        let mut first = [0];
        stream.peek(&mut first).await?;
        if spoken == Spoken::Http && first[0].is_ascii_uppercase() {
            stream.write_all(PLAIN_HTTP_ANSWER).await?;
        }
        stream.shutdown().await?;
        let mut left = PLAIN_LEN_MAX;
        while left > 0 {
            stream.readable().await?;
            let mut scrap = [0; 1_024];
            match stream.try_read(&mut scrap) {
                Ok(0) => break,
                Ok(len) => left = left.saturating_sub(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        io::Result::Ok(())
    };
    // Who takes longer has nothing more to hear.
    let _ = timeout(PLAIN_TIME_MAX, refusing).await;
}

/// A socket for rustls, which reads and writes what is there now.
pub(super) struct Bare<'a>(pub(super) &'a TcpStream);

impl Read for Bare<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

impl Write for Bare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside its buffer and the session, so many bytes are what a client that says nothing costs.
    #[test]
    fn a_handshake_that_waits_holds_few_bytes() {
        fn size<F: Future>(_: impl Fn(TcpStream, &'static Tls, Spoken) -> F) -> usize {
            size_of::<F>()
        }
        let len = size(shake);
        assert!(len <= 1_024, "{len} bytes");
    }

    #[test]
    fn the_answer_to_plain_http_has_the_length_that_it_says() {
        let text = std::str::from_utf8(PLAIN_HTTP_ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        assert!(body.ends_with("https\"}"));
    }
}
