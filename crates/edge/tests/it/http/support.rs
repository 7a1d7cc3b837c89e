//! A hub behind a real listener, and as little of an HTTP client as the tests need: it shares no code with the edge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_edge::accept::{AcceptCounts, AcceptSettings, Listener, Stop};
use headwater_edge::http::{ServeSettings, serve};
use headwater_hub::{Hub, Settings};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::memory::Memory;

/// How long anything may take before the test calls it hung. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Place {
    pub addr: SocketAddr,
    pub hub: Arc<Hub>,
    pub bus: Arc<Memory>,
    pub counts: Arc<AcceptCounts>,
    pub stop: Stop,
    pub running: JoinHandle<usize>,
}

pub fn place() -> Place {
    place_with(Memory::new(), Settings::default(), |_| {})
}

pub fn place_with(bus: Arc<Memory>, settings: Settings, change: impl FnOnce(&mut ServeSettings)) -> Place {
    let hub = Hub::start(bus.clone(), settings);
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), AcceptSettings::default()).unwrap();
    let (addr, counts, stop) = (listener.local_addr(), listener.counts(), Stop::default());
    let mut serving = ServeSettings { listeners: vec![("http", listener.counts())], ..ServeSettings::default() };
    change(&mut serving);
    let running = tokio::spawn(serve(listener, hub.clone(), serving, stop.listen()));
    Place { addr, hub, bus, counts, stop, running }
}

impl Place {
    pub async fn client(&self) -> Client {
        Client { reader: BufReader::new(TcpStream::connect(self.addr).await.unwrap()) }
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.client().await.ask("GET", target, &[], b"").await
    }

    pub async fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.client().await.ask("POST", target, headers, body).await
    }

    /// Sends bytes as they are, and gives all that comes back until the other side closes.
    pub async fn exchange(&self, bytes: &[u8]) -> String {
        let mut client = self.client().await;
        client.write(bytes).await;
        client.rest().await
    }

    /// How many events the log has.
    pub fn stored(&self) -> u64 {
        self.hub.head().seq
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks that this is a problem document of this status, and gives it.
    #[track_caller]
    pub fn problem(&self, status: u16) -> serde_json::Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}

pub struct Client {
    pub reader: BufReader<TcpStream>,
}

impl Client {
    pub async fn write(&mut self, bytes: &[u8]) {
        // The other side may have answered and closed already; what it said is read all the same.
        let _ = self.reader.get_mut().write_all(bytes).await;
    }

    /// Closes the sending side.
    pub async fn finish(&mut self) {
        let _ = self.reader.get_mut().shutdown().await;
    }

    pub async fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: hub.test\r\n");
        if method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        self.write(&[head.as_bytes(), b"\r\n", body].concat()).await;
        self.answer(method == "HEAD").await
    }

    pub async fn answer(&mut self, is_head: bool) -> Answer {
        timeout(PATIENCE, self.read_answer(is_head)).await.expect("no answer")
    }

    async fn read_answer(&mut self, is_head: bool) -> Answer {
        let (status, headers) = self.head().await;
        let mut answer = Answer { status, headers, body: Vec::new() };
        if is_head || matches!(status, 204 | 304) {
            return answer;
        }
        if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                answer.body.extend(chunk);
            }
        } else {
            let len = answer.header("content-length").expect("a length").parse().unwrap();
            answer.body.resize(len, 0);
            self.reader.read_exact(&mut answer.body).await.unwrap();
        }
        answer
    }

    pub async fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let status = self.line().await;
        let status = status.split(' ').nth(1).unwrap_or_else(|| panic!("no status: {status:?}")).parse().unwrap();
        let mut headers = Vec::new();
        loop {
            match self.line().await.split_once(':') {
                Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
                None => return (status, headers),
            }
        }
    }

    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let len = usize::from_str_radix(&self.line().await, 16).expect("a chunk's length");
        let mut chunk = vec![0; len];
        self.reader.read_exact(&mut chunk).await.unwrap();
        self.line().await;
        (len > 0).then_some(chunk)
    }

    /// A line without its end.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        let len = timeout(PATIENCE, self.reader.read_line(&mut line)).await.expect("no line").unwrap_or(0);
        assert!(len > 0, "the connection was closed");
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// Everything until the other side closes.
    pub async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, self.reader.read_to_end(&mut rest)).await.expect("no end");
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub kind: String,
    pub id: Option<String>,
    pub data: String,
}

impl Sent {
    pub fn payload(&self) -> String {
        let event: serde_json::Value = serde_json::from_str(&self.data).unwrap();
        event["payload"].as_str().unwrap().to_owned()
    }
}

/// A watcher by server-sent events.
pub struct Watcher {
    pub client: Client,
    pub headers: Vec<(String, String)>,
    /// As a browser keeps it.
    pub last_id: Option<String>,
    pub retry: Option<u64>,
}

impl Watcher {
    pub async fn open(place: &Place, query: &str, headers: &str) -> Self {
        Self::open_on(place.client().await, query, headers).await
    }

    pub async fn open_on(mut client: Client, query: &str, headers: &str) -> Self {
        client.write(format!("GET /v1/live?{query} HTTP/1.1\r\nHost: hub.test\r\n{headers}\r\n").as_bytes()).await;
        let (status, headers) = client.head().await;
        assert_eq!(status, 200, "{headers:?}");
        Self { client, headers, last_id: None, retry: None }
    }

    /// The next block of lines: an event with data, or an id alone; comments and `retry` are passed over.
    pub async fn block(&mut self) -> Sent {
        let mut sent = Sent::default();
        loop {
            let line = self.client.line().await;
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() && sent != Sent::default() => {
                    self.last_id = sent.id.clone().or(self.last_id.take());
                    return sent;
                }
                "event" => value.clone_into(&mut sent.kind),
                "id" => sent.id = Some(value.to_owned()),
                "data" => sent.data += value,
                "retry" => self.retry = value.parse().ok(),
                _ => {}
            }
        }
    }

    /// The next event with data, as a page gets it.
    pub async fn next(&mut self) -> Sent {
        loop {
            let sent = self.block().await;
            if !sent.data.is_empty() {
                return sent;
            }
        }
    }
}
