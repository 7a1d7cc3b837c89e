//! The first request's head of a connection, read by ourselves: it decides who gets the socket.

use std::io;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::framing::{Body, Fault, read_head};
use super::limits::Limits;
use super::problem::Problem;

/// The buffer begins with this many bytes, and doubles as more come: most heads fit.
const BUFFER_LEN: usize = 1_024;

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
    let until = Instant::now() + limits.first_byte;
    match timeout_at(until, stream.readable()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => return Err(Ended::Silent),
    }
    let mut bytes = Vec::with_capacity(BUFFER_LEN);
    let until = Instant::now() + limits.head;
    loop {
        let seen = bytes.len();
        match timeout_at(until, read_more(stream, &mut bytes)).await {
            Ok(Ok(0) | Err(_)) if seen == 0 => return Err(Ended::Silent),
            Ok(Ok(0)) => return Err(Ended::Answer(Fault::Grammar.into())),
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(Ended::Silent),
            Err(_) => return Err(Ended::Answer(too_slow("the request's head", limits.head))),
        }
        if let Some(first) = judge(&mut bytes, seen).map_err(|fault| Ended::Answer(fault.into()))? {
            return Ok(first);
        }
    }
}

async fn read_more(stream: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    if bytes.len() == bytes.capacity() {
        bytes.reserve_exact(bytes.len().min(Limits::HEAD_LEN_MAX - bytes.len()).max(1));
    }
    loop {
        stream.readable().await?;
        match stream.try_read_buf(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
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
    let detail = format!("{what} did not come within {} s", max.as_secs());
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
