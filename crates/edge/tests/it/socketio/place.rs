//! A hub over a real log with a Socket.IO edge, and as little of a client as the tests need: it shares no code with the edge.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater_edge::accept::{AcceptSettings, Listener, Stop};
use headwater_edge::http::{ServeSettings, serve};
use headwater_edge::socketio::{Feed, Front, Namespaces, Settings, Topics};
use headwater_event::{Event, EventId, Filter, Headers, Principal, Publication, Time, Topic};
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_hub::Hub;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for what must come; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Place {
    pub addr: SocketAddr,
    pub hub: Arc<Hub>,
    pub front: Front,
    pub stop: Stop,
}

/// Everybody in it is told what happens on `alerts/#`; rooms are places.
pub fn feed() -> Feed {
    Feed {
        name: "/".into(),
        filter: Filter::new("alerts/#").unwrap(),
        event: Arc::new(|topic: &Topic| topic.as_str().ends_with("/alert").then_some("alert")),
        state: Arc::new(|payload: &[u8]| (payload == b"{\"is\":\"close\"}").then(|| b"{\"is\":\"open\"}".to_vec())),
        room: Arc::new(|room: &str| Filter::new(format!("alerts/{room}/#")).ok()),
    }
}

impl Place {
    /// A hub over the log in this folder, which may be there already.
    pub fn at(folder: &Path, settings: Settings) -> Self {
        Self::over(folder, settings, headwater_hub::Settings::default())
    }

    pub fn over(folder: &Path, settings: Settings, hub_settings: headwater_hub::Settings) -> Self {
        let options = OpenOptions { ids_max: 10_000, ahead_bytes: 1 << 20, ..OpenOptions::new(folder) };
        let hub = Hub::start(Arc::new(EventLog::open(options).unwrap()), hub_settings);
        let namespaces = Namespaces::new().with(feed()).with(Topics::new("/hub"));
        let (front, stop) = (Front::new(hub.clone(), settings, namespaces), Stop::default());
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), AcceptSettings::default()).unwrap();
        let addr = listener.local_addr();
        let serving = ServeSettings { socketio: Some(front.clone()), ..ServeSettings::default() };
        tokio::spawn(serve(listener, hub.clone(), serving, stop.listen()));
        Self { addr, hub, front, stop }
    }

    pub async fn publish(&self, topic: &str, payload: impl Into<bytes::Bytes>, sticky: bool) {
        let event = Event {
            id: EventId::generate(),
            topic: Topic::new(topic).unwrap(),
            headers: Headers::none(),
            payload: payload.into(),
            at: Time::default(),
        };
        self.hub.publish(&Principal::anonymous(), vec![Publication { event, sticky }]).unwrap().await.unwrap();
    }

    /// A WebSocket whose session is open.
    pub async fn wire(&self) -> Wire {
        let mut wire = Wire::open(self.addr, "EIO=4&transport=websocket").await;
        assert!(wire.text().await.starts_with("0{"));
        wire
    }

    /// And that is in a namespace; what the server said to that.
    pub async fn connected(&self, said: &str) -> (Wire, Value) {
        let mut wire = self.wire().await;
        wire.say(said).await;
        let answer = wire.packet().await;
        assert!(answer.starts_with("40"), "{answer}");
        (wire, serde_json::from_str(&answer[answer.find('{').unwrap()..]).unwrap())
    }

    /// One HTTP request, on a connection of its own: the status, the head and the body.
    pub async fn ask(&self, method: &str, query: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let request = format!(
            "{method} /socket.io/?{query} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("an answer").unwrap();
        let text = String::from_utf8(read).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
    }

    /// A session that polls.
    pub async fn polled(&self) -> String {
        let (status, _, body) = self.ask("GET", "EIO=4&transport=polling", "").await;
        assert_eq!(status, 200);
        serde_json::from_str::<Value>(&body[1..]).unwrap()["sid"].as_str().unwrap().to_owned()
    }

    pub async fn poll(&self, sid: &str) -> (u16, String) {
        let (status, _, body) = self.ask("GET", &format!("EIO=4&transport=polling&sid={sid}"), "").await;
        (status, body)
    }

    pub async fn post(&self, sid: &str, body: &str) -> u16 {
        self.ask("POST", &format!("EIO=4&transport=polling&sid={sid}"), body).await.0
    }
}

/// A WebSocket, as a client sees it.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub async fn open(addr: SocketAddr, query: &str) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!(
            "GET /socket.io/?{query} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut wire = Self { stream, read: Vec::new() };
        while !wire.read.windows(4).any(|end| end == b"\r\n\r\n") {
            wire.more().await;
        }
        let end = wire.read.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(wire.read.drain(..end).collect()).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        wire
    }

    async fn more(&mut self) {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await.expect("more to come").unwrap();
        assert!(read > 0, "the connection has ended");
    }

    pub async fn say(&mut self, text: &str) {
        self.frame(0x81, text.as_bytes()).await;
    }

    pub async fn frame(&mut self, first: u8, payload: &[u8]) {
        self.try_frame(first, payload).await.unwrap();
    }

    pub async fn try_frame(&mut self, first: u8, payload: &[u8]) -> std::io::Result<()> {
        let mut frame = vec![first, 0xff];
        frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        match payload.len() {
            0..=125 => frame.splice(1.., [0x80 | payload.len() as u8]).for_each(drop),
            126..=65_535 => {
                let len = (payload.len() as u16).to_be_bytes();
                frame.splice(1.., [0xfe, len[0], len[1]]).for_each(drop);
            }
            _ => {}
        }
        // A mask of zeros changes nothing.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).await
    }

    /// The next frame: its opcode and payload.
    pub async fn next(&mut self) -> (u8, Vec<u8>) {
        loop {
            let read = &self.read;
            let whole = match read.get(1) {
                Some(126) if read.len() >= 4 => Some((4, usize::from(u16::from_be_bytes([read[2], read[3]])))),
                Some(127) if read.len() >= 10 => {
                    Some((10, u64::from_be_bytes(read[2..10].try_into().unwrap()) as usize))
                }
                Some(126 | 127) | None => None,
                Some(len) => Some((2, usize::from(*len))),
            };
            if let Some((head, len)) = whole.filter(|(head, len)| read.len() >= head + len) {
                let opcode = read[0] & 0x0f;
                let frame: Vec<u8> = self.read.drain(..head + len).collect();
                return (opcode, frame[head..].to_vec());
            }
            self.more().await;
        }
    }

    pub async fn text(&mut self) -> String {
        let (opcode, payload) = self.next().await;
        assert_eq!(opcode, 1, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    /// The next that is no ping.
    pub async fn packet(&mut self) -> String {
        loop {
            let text = self.text().await;
            if text != "2" {
                return text;
            }
            self.say("3").await;
        }
    }

    /// The close frame, passing over what comes before: its code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            let (opcode, payload) = self.next().await;
            if opcode == 8 {
                let code = payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                return (code, String::from_utf8_lossy(payload.get(2..).unwrap_or_default()).into_owned());
            }
        }
    }
}
