//! Events by the WebSocket edge, as docs/websocket.md has it: one `publish` frame an event, each answered.

use std::io::Write;
use std::net::TcpStream;

use anyhow::{bail, ensure};

use super::{Dialect, InOrder, Reply, Verdict, head_end, read_until};
use crate::bench::wsframe;

/// A client that publishes.
#[derive(Debug)]
pub struct WebSocket {
    topic: String,
    in_order: InOrder,
}

impl WebSocket {
    pub fn new(topic: &str) -> Self {
        Self { topic: topic.to_owned(), in_order: InOrder::default() }
    }
}

/// Opens a WebSocket at `path`; returns what the server sent behind its head.
///
/// # Errors
/// When the server doesn't switch protocols.
pub fn upgrade(stream: &mut TcpStream, path: &str) -> anyhow::Result<Vec<u8>> {
    stream.write_all(wsframe::request(path).as_bytes())?;
    let mut read = Vec::new();
    let head = read_until(stream, &mut read, head_end)?;
    ensure!(head.starts_with(b"HTTP/1.1 101"), "no WebSocket there: {}", String::from_utf8_lossy(&head));
    Ok(read)
}

impl Dialect for WebSocket {
    fn open(&mut self, stream: &mut TcpStream) -> anyhow::Result<u64> {
        // What comes behind the head is the welcome, which answers nothing.
        let mut read = upgrade(stream, "/v1/ws")?;
        read_until(stream, &mut read, |bytes| wsframe::take(bytes).map(|(_, len)| len))?;
        Ok(0)
    }

    fn encode(&self, payload: &[u8], out: &mut Vec<u8>) {
        let text = format!(
            r#"{{"op":"publish","ref":1,"topic":"{}","payload":"{}"}}"#,
            self.topic,
            String::from_utf8_lossy(payload)
        );
        wsframe::encode_text(text.as_bytes(), out);
    }

    fn replies(&mut self, bytes: &[u8], replies: &mut Vec<Reply>) -> anyhow::Result<usize> {
        let mut rest = bytes;
        while let Some((frame, len)) = wsframe::take(rest) {
            match frame.opcode {
                wsframe::TEXT => {
                    replies.extend(verdict(frame.payload)?.map(|verdict| self.in_order.reply(verdict)));
                }
                wsframe::CLOSE => bail!("the server closes: {}", String::from_utf8_lossy(frame.payload)),
                _ => {}
            }
            rest = &rest[len..];
        }
        Ok(bytes.len() - rest.len())
    }
}

/// `None` for what is no answer: the welcome.
fn verdict(answer: &[u8]) -> anyhow::Result<Option<Verdict>> {
    let has = |text: &str| memchr::memmem::find(answer, text.as_bytes()).is_some();
    if has(r#""op":"ack""#) {
        return Ok(Some(Verdict::Accepted));
    }
    if has("retry_after_ms") {
        return Ok(Some(Verdict::Refused));
    }
    if has(r#""op":"error""#) {
        bail!("the server answers {}", String::from_utf8_lossy(answer));
    }
    Ok(None)
}
