//! One client of the shop on a connection that stays open: places an order, waits until it's decided, places the next.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// What two products of a customer's order cost doesn't matter; that there are two does.
const BODY: &str = r#"{"items":[{"inventoryId":1,"count":1},{"inventoryId":2,"count":1}]}"#;
/// Answers are short; several never stand in one read, since a customer waits for each.
const READ_LEN: usize = 4_096;

/// One client.
pub struct Customer {
    stream: TcpStream,
    root: String,
    read: Vec<u8>,
    order: String,
    /// When its present order was placed.
    pub placed: Instant,
    has_begun: bool,
}

/// What an answer says.
pub enum Next {
    /// The order is durable.
    Acknowledged { order: String, took: Duration },
    /// It isn't decided yet.
    Unknown,
    /// It is.
    Decided { successful: bool },
}

impl Customer {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn open(addr: SocketAddr, root: &str) -> anyhow::Result<Self> {
        let stream = std::net::TcpStream::connect(addr).with_context(|| format!("can't reach {addr}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: TcpStream::from_std(stream),
            root: root.to_owned(),
            read: Vec::new(),
            order: String::new(),
            placed: Instant::now(),
            has_begun: false,
        })
    }

    /// Wants to be told when something comes.
    ///
    /// # Errors
    /// When the system says no.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE)
    }

    /// Places its first order, if it hasn't.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.has_begun, true) { Ok(()) } else { self.place() }
    }

    /// Places an order.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn place(&mut self) -> anyhow::Result<()> {
        self.placed = Instant::now();
        let head = format!(
            "POST {}/order HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
            self.root,
            BODY.len()
        );
        self.say(&head)
    }

    /// Asks for the status of its order.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn ask(&mut self) -> anyhow::Result<()> {
        let head = format!("GET {}/order/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.root, self.order);
        self.say(&head)
    }

    /// A request of a few hundred bytes always fits into an empty socket.
    fn say(&mut self, request: &str) -> anyhow::Result<()> {
        self.stream.write_all(request.as_bytes()).context("the shop takes no request")
    }

    /// The answer, once it's there.
    ///
    /// # Errors
    /// When the connection broke, or the answer is a refusal.
    pub fn read(&mut self) -> anyhow::Result<Option<Next>> {
        let mut buffer = [0; READ_LEN];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the shop closes the connection"),
                Ok(len) => self.read.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some((status, head_len, len)) = answer(&self.read)? else { return Ok(None) };
        let body = String::from_utf8_lossy(&self.read[head_len..len]).into_owned();
        self.read.drain(..len);
        match status {
            201 => {
                self.order = text_of(&body, "orderId").or_else(|| text_of(&body, "order_id")).context("no orderId")?;
                Ok(Some(Next::Acknowledged { order: self.order.clone(), took: self.placed.elapsed() }))
            }
            200 => Ok(Some(match text_of(&body, "order_status").context("no order_status")?.as_str() {
                "unknown" => Next::Unknown,
                word => Next::Decided { successful: word == "successful" },
            })),
            other => bail!("the shop answers {other}: {body}"),
        }
    }
}

/// Status, length of the head, and length of the whole answer at the front; `None` when it isn't whole.
fn answer(bytes: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_len) = head.parse(bytes).context("that is no HTTP answer")? else {
        return Ok(None);
    };
    let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let text = length.and_then(|header| std::str::from_utf8(header.value).ok());
    let body_len: usize = text.and_then(|text| text.parse().ok()).context("the answer doesn't tell its length")?;
    let len = head_len.saturating_add(body_len);
    Ok((bytes.len() >= len).then_some((head.code.unwrap_or(0), head_len, len)))
}

/// The value of a member that is a text without escapes, or a number.
pub fn text_of(body: &str, name: &str) -> Option<String> {
    let after = body.split_once(&format!("\"{name}\""))?.1.trim_start().strip_prefix(':')?.trim_start();
    match after.strip_prefix('"') {
        Some(text) => text.split_once('"').map(|(text, _)| text.to_owned()),
        None => after.split([',', '}']).next().map(|number| number.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_whole() {
        let bytes = b"HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\nabc";
        for cut in 0..bytes.len() {
            assert_eq!(answer(&bytes[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(answer(bytes).unwrap(), Some((201, bytes.len() - 3, bytes.len())));
    }

    #[test]
    fn members_are_found() {
        let body = r#"{"orderId": "a-1","n":17,"order_status":"unknown"}"#;
        assert_eq!(text_of(body, "orderId").as_deref(), Some("a-1"));
        assert_eq!(text_of(body, "n").as_deref(), Some("17"));
        assert_eq!(text_of(body, "status"), None);
    }
}
