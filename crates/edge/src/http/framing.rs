//! Where one request ends and the next begins: judged before anyone else reads it.
//!
//! Two servers in a row that disagree on this can be made to see different requests in the same bytes (request
//! smuggling). RFC 9112 sections 3.2, 5.2 and 6.3 let a server be lenient in some of these cases; we refuse them all, on
//! every request of a connection and not only on the first.

use super::limits::Limits;

/// Why a request's head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not HTTP at all, or not by its grammar.
    #[error("this is no HTTP/1.1 request")]
    Grammar,
    /// Over [`Limits::HEAD_LEN_MAX`] bytes or [`Limits::HEADERS_MAX`] headers.
    #[error("a request's head has at most {} bytes and {} headers", Limits::HEAD_LEN_MAX, Limits::HEADERS_MAX)]
    TooLong,
    /// Without `Host`, or with two (RFC 9112 section 3.2).
    #[error("a request has one Host header")]
    Host,
    /// The body's length is told twice, in two ways, or in no number (RFC 9112 section 6.3).
    #[error("the length of the body must be told once")]
    Length,
}

/// How the body that follows a head is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes follow.
    Bytes(u64),
    /// Chunks follow (RFC 9112 section 7.1).
    Chunks,
}

/// What was found at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many bytes it has, with its empty line.
    pub len: usize,
    /// What follows it.
    pub body: Body,
}

/// Reads a head; `None` when it isn't whole yet.
pub fn read_head(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; Limits::HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= Limits::HEAD_LEN_MAX => {
            Ok(Some(Head { len, body: judge(&request)? }))
        }
        Ok(httparse::Status::Partial) if bytes.len() < Limits::HEAD_LEN_MAX => Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Err(Fault::TooLong),
        Err(_) => Err(Fault::Grammar),
    }
}

fn judge(request: &httparse::Request<'_, '_>) -> Result<Body, Fault> {
    let (mut hosts, mut length, mut coding) = (0, None, None);
    for header in request.headers.iter() {
        let seen = match header.name {
            name if name.eq_ignore_ascii_case("content-length") => length.replace(header.value),
            name if name.eq_ignore_ascii_case("transfer-encoding") => coding.replace(header.value),
            name if name.eq_ignore_ascii_case("host") => {
                hosts += 1;
                None
            }
            _ => None,
        };
        if seen.is_some() {
            return Err(Fault::Length);
        }
    }
    let is_1_1 = request.version == Some(1);
    if hosts > 1 || (is_1_1 && hosts == 0) {
        return Err(Fault::Host);
    }
    match (length, coding) {
        (None, None) => Ok(Body::Bytes(0)),
        (Some(length), None) => number(length).map(Body::Bytes).ok_or(Fault::Length),
        (None, Some(coding)) if is_1_1 && coding.eq_ignore_ascii_case(b"chunked") => Ok(Body::Chunks),
        _ => Err(Fault::Length),
    }
}

/// Digits alone: no sign, no list, no empty text.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Follows the bytes of a connection from request to request.
#[derive(Debug, Default)]
pub struct Framing {
    at: At,
}

#[derive(Debug)]
enum At {
    /// In a head, of which these bytes have come.
    Head(Vec<u8>),
    /// In a body, or in a chunk's data with its line end, with so many bytes to go.
    Data { left: u64, chunks: bool },
    /// In the line that tells a chunk's size: the digits so far, and whether they have ended.
    Size { size: u64, digits: u8, ended: bool },
    /// In the lines behind the last chunk; whether the present one has anything in it.
    Trailer { any: bool },
    /// Something is wrong that the next reader will refuse as well.
    Lost,
}

impl Default for At {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

/// A size of 16 digits fills 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

impl Framing {
    /// Looks at the bytes that came next.
    ///
    /// # Errors
    /// How many of these bytes lie before the head that must not be served, and what is wrong with it.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<(), (usize, Fault)> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let before = bytes.len() - rest.len();
            match self.step(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(fault) => {
                    self.at = At::Lost;
                    return Err((before, fault));
                }
            }
        }
        Ok(())
    }

    /// Takes at least one byte of these.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        match &mut self.at {
            At::Head(held) => {
                let (next, taken) = head_step(held, bytes)?;
                if let Some(next) = next {
                    self.at = next;
                }
                Ok(taken)
            }
            At::Data { left, chunks } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.at = if *chunks { At::size() } else { At::default() };
                }
                Ok(taken)
            }
            At::Size { .. } | At::Trailer { .. } => {
                self.line_step(bytes[0]);
                Ok(1)
            }
            At::Lost => Ok(bytes.len()),
        }
    }

    fn line_step(&mut self, byte: u8) {
        self.at = match (&self.at, byte) {
            (At::Size { size: 0, digits: 1.., .. }, b'\n') => At::Trailer { any: false },
            // The data of a chunk ends with a line end of its own.
            (At::Size { size, digits: 1.., .. }, b'\n') => match size.checked_add(2) {
                Some(left) => At::Data { left, chunks: true },
                None => At::Lost,
            },
            (At::Size { size, digits, ended: false }, _) if byte.is_ascii_hexdigit() && *digits < SIZE_DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                At::Size { size: size << 4 | u64::from(digit), digits: digits + 1, ended: false }
            }
            (At::Size { size, digits, .. }, b';' | b' ' | b'\t' | b'\r') => {
                At::Size { size: *size, digits: *digits, ended: true }
            }
            (At::Size { size, digits, ended: true }, _) => At::Size { size: *size, digits: *digits, ended: true },
            (At::Trailer { any: false }, b'\n') => At::default(),
            (At::Trailer { any }, b'\r') => At::Trailer { any: *any },
            (At::Trailer { .. }, _) => At::Trailer { any: byte != b'\n' },
            _ => At::Lost,
        };
    }
}

impl At {
    const fn size() -> Self {
        Self::Size { size: 0, digits: 0, ended: false }
    }
}

/// What comes next once the head is whole, and how many of the bytes belong to it.
fn head_step(held: &mut Vec<u8>, bytes: &[u8]) -> Result<(Option<At>, usize), Fault> {
    // Empty lines before a request are passed over (RFC 9112 section 2.2).
    if held.is_empty() && matches!(bytes[0], b'\r' | b'\n') {
        return Ok((None, 1));
    }
    let before = held.len();
    let head = if held.is_empty() {
        read_head(bytes)?
    } else {
        held.extend_from_slice(&bytes[..bytes.len().min(Limits::HEAD_LEN_MAX)]);
        // Reading a head anew with each byte that drips in would cost the square of its length.
        if bytes.contains(&b'\n') || held.len() >= Limits::HEAD_LEN_MAX { read_head(held)? } else { None }
    };
    let Some(Head { len, body }) = head else {
        if held.is_empty() {
            held.extend_from_slice(bytes);
        }
        return Ok((None, bytes.len()));
    };
    let next = match body {
        Body::Bytes(0) => At::default(),
        Body::Bytes(left) => At::Data { left, chunks: false },
        Body::Chunks => At::size(),
    };
    Ok((Some(next), len - before))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
        GET /b HTTP/1.1\r\nHost: h\r\n\r\n\r\n\
        POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: v\r\n\r\n\
        POST /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n";

    fn follow(bytes: &[u8], size: usize) -> Result<(), (usize, Fault)> {
        let mut framing = Framing::default();
        for (at, piece) in bytes.chunks(size).enumerate() {
            framing.follow(piece).map_err(|(good, fault)| (at * size + good, fault))?;
        }
        assert!(matches!(&framing.at, At::Head(held) if held.is_empty()), "{framing:?}");
        Ok(())
    }

    #[test]
    fn requests_are_followed_wherever_the_bytes_were_cut() {
        for size in 1..GOOD.len() {
            assert_eq!(follow(GOOD.as_bytes(), size), Ok(()), "pieces of {size}");
        }
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused_also_behind_good_requests() {
        for (head, fault) in [
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::Length),
            ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", Fault::Length),
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Fault::Length),
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n", Fault::Length),
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", Fault::Length),
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n", Fault::Length),
            ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551616\r\n\r\n", Fault::Length),
            ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Fault::Length),
            ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", Fault::Length),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::Length),
            ("GET / HTTP/1.1\r\n\r\n", Fault::Host),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Fault::Host),
            ("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", Fault::Grammar),
            ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", Fault::Grammar),
            ("GET /\r\n\r\n", Fault::Grammar),
        ] {
            let bytes = [GOOD, head].concat();
            assert_eq!(follow(bytes.as_bytes(), bytes.len()), Err((GOOD.len(), fault)), "{head}");
            for size in 1..40 {
                let found = follow(bytes.as_bytes(), size).expect_err(head);
                assert!(found.0 >= GOOD.len().saturating_sub(size) && found.1 == fault, "{head} by {size}: {found:?}");
            }
        }
    }

    #[test]
    fn a_head_is_bounded() {
        let long = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(Limits::HEAD_LEN_MAX));
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}", "X: y\r\n".repeat(Limits::HEADERS_MAX));
        for head in [long, many] {
            for size in [1, 1_000, head.len()] {
                let found = Framing::default();
                let mut found = head.as_bytes().chunks(size).scan(found, |framing, piece| Some(framing.follow(piece)));
                assert!(matches!(found.find(Result::is_err), Some(Err((_, Fault::TooLong)))), "by {size}");
            }
        }
    }
}
