//! A hub with a Socket.IO edge on a real listener, and the echoing namespaces that the official suites speak to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_edge::accept::{AcceptSettings, Listener, Stop};
use headwater_edge::http::{ServeSettings, serve};
use headwater_edge::socketio::{Deed, Emit, Front, Namespace, Namespaces, Said, Settings, Welcome};
use headwater_event::Recorded;
use headwater_hub::Hub;
use serde_json::value::RawValue;
use tokio::io::BufReader;
use tokio::net::TcpStream;

use super::client::Socket;
use crate::http::support::{Answer, Client};
use crate::memory::Memory;

/// The suites' server pings this often.
pub const PING: Duration = Duration::from_millis(300);

/// And waits so long for an answer.
pub const PONG: Duration = Duration::from_millis(200);

pub struct Place {
    pub addr: SocketAddr,
    pub front: Front,
    pub stop: Stop,
}

impl Place {
    /// Bare Engine.IO. No pings come amid a test, however busy the machine is.
    pub fn engine() -> Self {
        Self::engine_with(Settings::default())
    }

    /// The same with the suite's heartbeat.
    pub fn heartbeat() -> Self {
        Self::engine_with(suite())
    }

    fn engine_with(settings: Settings) -> Self {
        Self::with(Memory::new(), Settings { is_engine_echo: true, ..settings }, Namespaces::new())
    }

    /// What the suite for Socket.IO wants.
    pub fn echo() -> Self {
        Self::echo_with(Settings::default())
    }

    pub fn echo_with(settings: Settings) -> Self {
        Self::with(Memory::new(), settings, Namespaces::new().with(Echo("/")).with(Echo("/custom")))
    }

    pub fn with(bus: Arc<Memory>, settings: Settings, namespaces: Namespaces) -> Self {
        let hub = Hub::start(bus, headwater_hub::Settings::default());
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), AcceptSettings::default()).unwrap();
        let (addr, stop) = (listener.local_addr(), Stop::default());
        let front = Front::new(hub.clone(), settings, namespaces);
        let serving = ServeSettings { socketio: Some(front.clone()), ..ServeSettings::default() };
        tokio::spawn(serve(listener, hub, serving, stop.listen()));
        Self { addr, front, stop }
    }

    pub fn path(&self) -> &str {
        &self.front.settings().path
    }

    pub async fn http(&self) -> Client {
        Client { reader: BufReader::new(TcpStream::connect(self.addr).await.unwrap()) }
    }

    /// A request on a connection of its own; `query` follows `EIO=4&`.
    pub async fn ask(&self, method: &str, query: &str, body: &str) -> Answer {
        let target = format!("{}/?EIO=4&{query}", self.path());
        self.http().await.ask(method, &target, &[], body.as_bytes()).await
    }

    /// Begins a session with a poll; gives its id.
    pub async fn poller(&self) -> String {
        let answer = self.ask("GET", "transport=polling", "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let opened: serde_json::Value = serde_json::from_str(answer.text().strip_prefix('0').unwrap()).unwrap();
        opened["sid"].as_str().unwrap().to_owned()
    }

    pub async fn poll(&self, sid: &str) -> Answer {
        self.ask("GET", &format!("transport=polling&sid={sid}"), "").await
    }

    pub async fn post(&self, sid: &str, body: &str) -> Answer {
        self.ask("POST", &format!("transport=polling&sid={sid}"), body).await
    }

    /// A WebSocket that has taken its handshake.
    pub async fn socket(&self) -> Socket {
        let mut socket = self.bare_socket("").await;
        assert!(socket.text().await.starts_with('0'));
        socket
    }

    /// A WebSocket before its first frame; `more` is added to the query.
    pub async fn bare_socket(&self, more: &str) -> Socket {
        let target = format!("{}/?EIO=4&transport=websocket{more}", self.path());
        Socket::open(self.addr, &target).await.unwrap_or_else(|refused| panic!("{refused}"))
    }

    /// A WebSocket in `/`; gives the answer to its CONNECT too.
    pub async fn connected(&self, auth: &str) -> (Socket, serde_json::Value) {
        let mut socket = self.socket().await;
        socket.say(&format!("40{auth}")).await;
        let answer = socket.text().await;
        let answer = serde_json::from_str(answer.strip_prefix("40").unwrap_or_else(|| panic!("{answer}"))).unwrap();
        (socket, answer)
    }
}

/// As the suites want it.
pub fn suite() -> Settings {
    Settings { ping_every: PING, pong_max: PONG, ..Settings::default() }
}

/// A namespace that gives back what it gets.
pub struct Echo(pub &'static str);

impl Namespace for Echo {
    fn name(&self) -> &str {
        self.0
    }

    fn takes_logins(&self) -> bool {
        false
    }

    fn welcome(&self, auth: &RawValue) -> Welcome {
        Welcome { emits: vec![Emit { arguments: format!("\"auth\",{auth}"), ..Emit::default() }], watch: None }
    }

    fn on(&self, said: &Said<'_>) -> Vec<Deed> {
        let arguments: Vec<_> = said.arguments.iter().map(|argument| argument.get()).collect();
        let binary = said.packet.binary.clone();
        match said.name {
            "message" => {
                let arguments = [&["\"message-back\""], &arguments[..]].concat().join(",");
                vec![Deed::Emit(Emit { arguments, binary, id: None })]
            }
            "message-with-ack" => vec![Deed::Ack(arguments.join(","), binary)],
            _ => Vec::new(),
        }
    }

    fn spell(&self, _: &Recorded, _: bool, _: &mut Vec<u8>) {}
}
