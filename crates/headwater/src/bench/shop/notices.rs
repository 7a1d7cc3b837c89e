//! The completion notices of all orders, over one WebSocket.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::customer::text_of;
use crate::bench::dialect::websocket::upgrade;
use crate::bench::wsframe;

/// Notices that came before their acknowledgement was read: no more than there are clients, and what others order beside.
const KEPT_MAX: usize = 10_000;
const READ_LEN: usize = 64 * 1_024;

/// The notices.
pub struct Notices {
    stream: TcpStream,
    read: Vec<u8>,
    kept: HashMap<String, bool>,
}

impl Notices {
    /// Begins to listen.
    ///
    /// # Errors
    /// When there is no WebSocket there.
    pub fn open(addr: SocketAddr, registry: &Registry, token: Token) -> anyhow::Result<Self> {
        let mut stream = std::net::TcpStream::connect(addr)?;
        let read = upgrade(&mut stream, "/v1/ws")?;
        let mut ask = Vec::new();
        wsframe::encode_text(br#"{"op":"subscribe","filter":"shop/order/+","sticky":false}"#, &mut ask);
        stream.write_all(&ask)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE)?;
        Ok(Self { stream, read, kept: HashMap::new() })
    }

    /// Which orders are decided, and whether they are successful.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn read(&mut self) -> anyhow::Result<Vec<(String, bool)>> {
        let mut buffer = vec![0; READ_LEN];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("the hub closes the WebSocket"),
                Ok(len) => self.read.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the WebSocket broke"),
            }
        }
        let (mut at, mut decided) = (0, Vec::new());
        while let Some((frame, len)) = wsframe::take(&self.read[at..]) {
            match frame.opcode {
                wsframe::TEXT => decided.extend(notice(&String::from_utf8_lossy(frame.payload))),
                wsframe::CLOSE => bail!("the hub closes: {}", String::from_utf8_lossy(frame.payload)),
                _ => {}
            }
            at += len;
        }
        self.read.drain(..at);
        Ok(decided)
    }

    /// A notice for which nobody waits yet.
    pub fn keep(&mut self, order: String, successful: bool) {
        if self.kept.len() < KEPT_MAX {
            self.kept.insert(order, successful);
        }
    }

    /// Whether an order's notice came before its acknowledgement.
    pub fn came_already(&mut self, order: &str) -> Option<bool> {
        self.kept.remove(order)
    }
}

/// The order and its end, if the frame tells of one.
fn notice(frame: &str) -> Option<(String, bool)> {
    let plain = frame.replace("\\\"", "\"");
    let status = text_of(&plain, "order_status")?;
    Some((text_of(&plain, "orderId")?, status == "successful"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_names_its_order_and_its_end() {
        let frame = r#"{"op":"event","event":{"topic":"shop/order/a","payload":"{\"orderId\":\"a\",\"order_status\":\"successful\"}"}}"#;
        assert_eq!(notice(frame), Some(("a".to_owned(), true)));
        assert_eq!(notice(r#"{"op":"event","event":{"topic":"shop/order/a","payload":""}}"#), None);
    }
}
