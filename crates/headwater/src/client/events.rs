//! Reads server-sent events out of an answer's body (WHATWG HTML section 9.2.6).

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// The longest line that is taken: a payload of the largest size a hub takes, escaped, fits many times over.
const LINE_MAX: usize = 512 * 1024 * 1024;

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Its kind; empty for a plain one.
    pub kind: String,
    /// Its data, lines joined.
    pub data: String,
}

/// What has been read and not been handed out.
#[derive(Debug)]
pub struct ServerSentEvents {
    body: Incoming,
    parser: Parser,
}

/// The parser alone: bytes in, events out, wherever the bytes were cut.
#[derive(Debug, Default)]
struct Parser {
    waiting: BytesMut,
    /// How much of `waiting` has been looked at and holds no line end.
    seen: usize,
    event: Sent,
    any: bool,
    last_id: Option<String>,
}

impl ServerSentEvents {
    /// Reads from an answer whose head has come.
    pub fn new(body: Incoming) -> Self {
        Self { body, parser: Parser::default() }
    }

    /// The last id that was sent: the position to go on after.
    pub fn last_id(&self) -> Option<&str> {
        self.parser.last_id.as_deref()
    }

    /// An event that has come already, if there is one.
    pub fn at_hand(&mut self) -> Option<Sent> {
        self.parser.next()
    }

    /// Waits for more bytes; `false` when the hub has ended the answer.
    ///
    /// # Errors
    /// When the connection breaks, or a line has no end.
    pub async fn more(&mut self) -> anyhow::Result<bool> {
        loop {
            let Some(frame) = self.body.frame().await else { return Ok(false) };
            if let Ok(bytes) = frame?.into_data() {
                self.parser.put(&bytes)?;
                return Ok(true);
            }
        }
    }
}

impl Parser {
    fn put(&mut self, bytes: &Bytes) -> io::Result<()> {
        if self.waiting.len() + bytes.len() > LINE_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the hub sent a line without an end"));
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    fn next(&mut self) -> Option<Sent> {
        let mut from = 0;
        let found = loop {
            let at = from.max(self.seen);
            let Some(end) = self.waiting[at..].iter().position(|byte| *byte == b'\n').map(|end| at + end) else {
                break None;
            };
            let line = String::from_utf8_lossy(&self.waiting[from..end]).into_owned();
            from = end + 1;
            if let Some(event) = self.line(line.trim_end_matches('\r')) {
                break Some(event);
            }
        };
        self.waiting.advance(from);
        self.seen = if found.is_some() { 0 } else { self.waiting.len() };
        found
    }

    fn line(&mut self, line: &str) -> Option<Sent> {
        if line.is_empty() {
            let any = std::mem::take(&mut self.any);
            let event = std::mem::take(&mut self.event);
            return any.then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.kind),
            "id" => self.last_id = Some(value.to_owned()),
            "data" => {
                if self.any {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.any = true;
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_wherever_the_bytes_were_cut() {
        let bytes = b": hello\n\nid: 7:1\ndata: one\n\nevent: gap\r\nid: 7:9\r\ndata: a\r\ndata:b\r\n\r\ndata: cut";
        let plain = |kind: &str, data: &str| Sent { kind: kind.into(), data: data.into() };
        for size in 1..=bytes.len() {
            let mut parser = Parser::default();
            let mut seen = Vec::new();
            for piece in bytes.chunks(size) {
                parser.put(&Bytes::copy_from_slice(piece)).unwrap();
                seen.extend(std::iter::from_fn(|| parser.next()));
            }
            assert_eq!(seen, [plain("", "one"), plain("gap", "a\nb")], "pieces of {size}");
            assert_eq!(parser.last_id.as_deref(), Some("7:9"));
        }
    }
}
