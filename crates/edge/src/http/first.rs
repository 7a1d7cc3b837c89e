//! The first request's head of a connection, read by ourselves: it decides who gets the socket.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::framing::{Body, Fault, read_head};
use super::limits::Limits;
use super::problem::Problem;

/// How much is read at once, in bytes: most heads fit.
const PIECE_LEN: usize = 2_048;

/// A good first head, and what came behind it.
#[derive(Debug)]
pub(super) struct First {
    /// All that has been read.
    pub(super) bytes: Vec<u8>,
    /// Where the head ends.
    pub(super) head_len: usize,
    /// Whether anything of the same request follows the head.
    pub(super) has_body: bool,
}

/// How a connection ended before its first good head.
#[derive(Debug)]
pub(super) enum Ended {
    /// The client said nothing, or left.
    Silent,
    /// It gets this as the last words.
    Answer(Problem),
}

/// Reads the first head. Until its first byte a connection costs no memory of ours, and until its end at most
/// [`Limits::HEAD_LEN_MAX`], whatever it claims.
pub(super) async fn read_first(stream: &TcpStream, limits: &Limits) -> Result<First, Ended> {
    let mut bytes = Vec::new();
    let mut until = Instant::now() + limits.first_byte;
    loop {
        let seen = bytes.len();
        match timeout_at(until, poll_fn(|cx| poll_more(stream, &mut bytes, cx))).await {
            Ok(Ok(1..)) if seen == 0 => until = Instant::now() + limits.head,
            Ok(Ok(1..)) => {}
            _ if seen == 0 => return Err(Ended::Silent),
            Ok(Ok(0)) => return Err(Ended::Answer(Fault::Grammar.into())),
            Ok(Err(_)) => return Err(Ended::Silent),
            Err(_) => return Err(Ended::Answer(too_slow("the request's head", limits.head))),
        }
        if let Some(first) = judge(&mut bytes, seen).map_err(|fault| Ended::Answer(fault.into()))? {
            return Ok(first);
        }
    }
}

/// Appends what has come. It is read to the stack first, so that the buffer holds nothing but what a client really sent.
fn poll_more(stream: &TcpStream, bytes: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let mut piece = [0; PIECE_LEN];
        let max = PIECE_LEN.min(Limits::HEAD_LEN_MAX - bytes.len());
        match stream.try_read(&mut piece[..max]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(len) => {
                bytes.extend_from_slice(&piece[..len]);
                return Poll::Ready(Ok(len));
            }
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// Looks at what has come; `seen` bytes of it have been looked at before.
fn judge(bytes: &mut Vec<u8>, seen: usize) -> Result<Option<First>, Fault> {
    // The first bytes show what is no HTTP. After that only a line's end can end the head, and reading it anew with each
    // byte that drips in would cost the square of its length.
    let is_worth_it = seen == 0 || bytes[seen..].contains(&b'\n') || bytes.len() >= Limits::HEAD_LEN_MAX;
    let Some(head) = (if is_worth_it { read_head(bytes)? } else { None }) else { return Ok(None) };
    let has_body = head.body != Body::Bytes(0);
    Ok(Some(First { bytes: std::mem::take(bytes), head_len: head.len, has_body }))
}

/// 408: what did not come in time.
pub(super) fn too_slow(what: &str, max: Duration) -> Problem {
    let detail = format!("{what} did not come within {max:?}");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail)
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooLong => {
                Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", fault.to_string())
            }
            Fault::Grammar | Fault::Host | Fault::Length => Self::malformed(fault.to_string()),
        }
    }
}
