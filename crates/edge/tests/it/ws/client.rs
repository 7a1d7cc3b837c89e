//! A hub with a WebSocket edge on a real socket, and a client that can also misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_edge::accept::{Connection, Stop};
use headwater_edge::ws::{Settings, serve_ws};
use headwater_event::{Clock, Principal, Time};
use headwater_hub::{FanoutSettings, Hub};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::memory::Memory;

/// How long a test waits for what must come; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// 2026-11-21T07:15:00Z: the time of every event.
pub const NOW: Time = Time(1_795_245_300_000_000);

/// A hub that listens.
pub struct Place {
    pub addr: SocketAddr,
    pub hub: Arc<Hub>,
    pub bus: Arc<Memory>,
    pub stop: Stop,
}

impl Place {
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        Self::over(Memory::new(), settings).await
    }

    pub async fn over(bus: Arc<Memory>, settings: Settings) -> Self {
        let fanout = FanoutSettings { tick: Duration::from_millis(10), ..FanoutSettings::default() };
        let clock = Clock::manual(NOW);
        let hub = Hub::start(bus.clone(), headwater_hub::Settings { fanout, clock, ..Default::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (serving, settings, stop) = (hub.clone(), Arc::new(settings), Stop::default());
        let stopping = stop.listen();
        tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let connection = Connection { stream, peer, tls: None, stopping: stopping.clone() };
                tokio::spawn(take(connection, serving.clone(), settings.clone()));
            }
        });
        Self { addr, hub, bus, stop }
    }

    /// A connected client that has taken its welcome.
    pub async fn client(&self) -> Client {
        let mut client = Client::connect(self.addr, b"").await;
        assert_eq!(client.json().await["op"], "welcome");
        client
    }
}

async fn take(mut connection: Connection, hub: Arc<Hub>, settings: Arc<Settings>) {
    let mut read = Vec::new();
    loop {
        if connection.stream.read_buf(&mut read).await.unwrap() == 0 {
            return;
        }
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(end) = request.parse(&read).unwrap() {
            let who = Principal::anonymous();
            return serve_ws(connection, &request, &read[end..], &hub, who, &settings).await;
        }
    }
}

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The code; 0 when there was none.
    Close(u16),
}

/// A client.
pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    /// Connects, and sends `behind` together with the request.
    pub async fn connect(addr: SocketAddr, behind: &[u8]) -> Self {
        let (client, answer) = Self::knock(addr, "", behind).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        client
    }

    /// Asks with further headers; gives the head of the answer, whatever it is.
    pub async fn knock(addr: SocketAddr, headers: &str, behind: &[u8]) -> (Self, String) {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
        );
        stream.write_all(&[request.as_bytes(), behind].concat()).await.unwrap();
        let mut client = Self { stream, read: Vec::new() };
        let end = loop {
            if let Some(at) = client.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(client.more().await, "no answer to the handshake");
        };
        let head = client.read.drain(..end).collect();
        (client, String::from_utf8(head).unwrap())
    }

    /// Sends one text message.
    pub async fn say(&mut self, text: &str) {
        self.send(&frame(0x81, text.as_bytes())).await;
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends bytes that nobody may read; `false` when they could not all be sent in this time (some may have been).
    pub async fn send_within(&mut self, bytes: &[u8], time: Duration) -> bool {
        timeout(time, self.stream.write_all(bytes)).await.is_ok()
    }

    /// Asks, and gives the next text.
    pub async fn ask(&mut self, text: &str) -> Value {
        self.say(text).await;
        self.json().await
    }

    /// The next text, as JSON.
    pub async fn json(&mut self) -> Value {
        loop {
            match self.frame().await {
                Some(Frame::Text(text)) => return serde_json::from_str(&text).unwrap(),
                Some(Frame::Ping(_)) => {}
                other => panic!("expected a text, got {other:?}"),
            }
        }
    }

    /// The next frame; `None` when the server has ended the connection.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, used)) = parse(&self.read) {
                self.read.drain(..used);
                return Some(frame);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The code of the close frame that comes now, and then the end.
    pub async fn closed(&mut self) -> u16 {
        let code = loop {
            match self.frame().await {
                Some(Frame::Close(code)) => break code,
                Some(Frame::Ping(_)) => {}
                other => panic!("expected a close frame, got {other:?}"),
            }
        };
        assert_eq!(self.frame().await, None);
        code
    }

    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await.expect("the server says nothing");
        read.is_ok_and(|len| len > 0)
    }
}

/// A masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(len @ 0..126) => frame.push(0x80 | len as u8),
        Ok(len) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&len.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    frame
}

fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&[first, short], rest) = bytes.split_first_chunk::<2>()?;
    assert!(first & 0x80 != 0 && short & 0x80 == 0, "a server's frame is whole and unmasked");
    let (len, at) = match short {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(at..at + len)?.to_vec();
    let frame = match first & 0x0F {
        1 => Frame::Text(String::from_utf8(payload).unwrap()),
        8 => Frame::Close(payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code))),
        9 => Frame::Ping(payload),
        10 => Frame::Pong(payload),
        other => panic!("opcode {other}"),
    };
    Some((frame, at + len))
}
