//! A WebSocket client that can also misbehave; it shares no code with the edge.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ws::client::frame;

/// How long a test waits for what must come; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    Text(String),
    Binary(Vec<u8>),
    Pong,
    /// A close frame, or the connection's end without one.
    End,
}

pub struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Socket {
    /// Connects, or gives the whole answer of a server that refuses.
    pub async fn open(addr: SocketAddr, target: &str) -> Result<Self, String> {
        Self::open_with(addr, target, "").await
    }

    pub async fn open_with(addr: SocketAddr, target: &str, headers: &str) -> Result<Self, String> {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: hub.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut socket = Self { stream, read: Vec::new() };
        loop {
            if let Some(at) = socket.read.windows(4).position(|four| four == b"\r\n\r\n")
                && socket.read.starts_with(b"HTTP/1.1 101 ")
            {
                socket.read.drain(..at + 4);
                return Ok(socket);
            }
            // A refusal's body is one JSON object; the server may keep the connection for another request.
            if socket.read.ends_with(b"}") || !socket.more().await {
                return Err(String::from_utf8_lossy(&socket.read).into_owned());
            }
        }
    }

    pub async fn say(&mut self, text: &str) {
        self.send(&frame(0x81, text.as_bytes())).await;
    }

    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        self.send(&frame(0x82, bytes)).await;
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // The other side may have closed already; what it said is read all the same.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next message of whatever kind.
    pub async fn came(&mut self) -> Came {
        loop {
            if let Some((came, used)) = parse(&self.read) {
                self.read.drain(..used);
                return came;
            }
            if !self.more().await {
                return Came::End;
            }
        }
    }

    /// The next text.
    pub async fn text(&mut self) -> String {
        match self.came().await {
            Came::Text(text) => text,
            other => panic!("expected a text, got {other:?}"),
        }
    }

    /// The next text that is no ping; pings are answered.
    pub async fn talk(&mut self) -> String {
        loop {
            match self.text().await {
                ping if ping == "2" => self.say("3").await,
                text => return text,
            }
        }
    }

    /// What comes next is the end, whatever was said before it.
    pub async fn ends(&mut self) {
        while self.came().await != Came::End {}
    }

    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await.expect("the server says nothing");
        read.is_ok_and(|len| len > 0)
    }
}

fn parse(bytes: &[u8]) -> Option<(Came, usize)> {
    let (&[first, short], rest) = bytes.split_first_chunk::<2>()?;
    assert!(first & 0x80 != 0 && short & 0x80 == 0, "a server's frame is whole and unmasked");
    let (len, at) = match short {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(at..at + len)?.to_vec();
    let came = match first & 0x0F {
        1 => Came::Text(String::from_utf8(payload).unwrap()),
        2 => Came::Binary(payload),
        8 => Came::End,
        10 => Came::Pong,
        other => panic!("opcode {other}"),
    };
    Some((came, at + len))
}
