//! A hub with an MQTT edge on a real socket, over a real log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_edge::accept::{AcceptSettings, Listener, Stop};
use headwater_edge::http::{self, ServeSettings};
use headwater_edge::mqtt::{self, Front, MqttSettings};
use headwater_event::{Clock, Principal, Time};
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_hub::{Access, Ask, FanoutSettings, Hub};

use tokio::time::timeout;

use super::client::{Client, PATIENCE, hello};
use headwater_edge::mqtt::packet::{ConnAck, Connect, Reason, Version};

/// 2026-11-21T07:15:00Z: when every test begins. Its own clock stands still unless the test moves it.
const NOW: Time = Time(1_795_245_300_000_000);

/// A hub that listens.
pub struct Place {
    pub addr: SocketAddr,
    /// The HTTP listener, with MQTT over WebSocket at `/mqtt`.
    pub http: SocketAddr,
    pub hub: Arc<Hub>,
    pub clock: Clock,
    pub stop: Stop,
    log: Arc<EventLog>,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    pub async fn new() -> Self {
        Self::with(MqttSettings::default(), Access::open()).await
    }

    /// Nobody may publish or watch what begins with `secret`.
    pub async fn with_secrets() -> Self {
        let rule = |_: &Principal, ask: Ask<'_>| match ask {
            Ask::Publish(topic) => !topic.as_str().starts_with("secret"),
            Ask::Watch(filter) => !filter.as_str().starts_with("secret"),
        };
        Self::with(MqttSettings::default(), Access::by(rule)).await
    }

    pub async fn with(settings: MqttSettings, access: Access) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(NOW));
        let options = OpenOptions {
            clock: clock.clone(),
            ids_max: 1_000,
            // A test writes some hundred events, and many tests run at once.
            ahead_bytes: 1 << 20,
            ..OpenOptions::new(folder.path())
        };
        let log = Arc::new(EventLog::open(options).unwrap());
        let place = Self::over(log, clock, access, |hub| Front::new(hub, settings)).await;
        Self { _folder: Some(folder), ..place }
    }

    /// Two edges over one log, in which a client may come to either.
    pub async fn pair() -> (Self, Self) {
        let front = |home| move |hub| Front::beside_others(hub, MqttSettings::default(), home);
        let first = Self::new().await;
        let one = Self::over(first.log.clone(), first.clock.clone(), Access::open(), front("one")).await;
        let other = Self::over(first.log.clone(), first.clock.clone(), Access::open(), front("other")).await;
        (Self { _folder: first._folder, ..one }, other)
    }

    async fn over(log: Arc<EventLog>, clock: Clock, access: Access, front: impl Fn(Arc<Hub>) -> Front) -> Self {
        let fanout = FanoutSettings { tick: Duration::from_millis(10), ..FanoutSettings::default() };
        let hub_settings = headwater_hub::Settings { fanout, access, clock: clock.clone(), ..Default::default() };
        let hub = Hub::start(log.clone(), hub_settings);
        let (front, stop) = (front(hub.clone()), Stop::default());
        let bind = || Listener::bind("127.0.0.1:0".parse().unwrap(), AcceptSettings::default()).unwrap();
        let (bare, web) = (bind(), bind());
        let (addr, http) = (bare.local_addr(), web.local_addr());
        mqtt::start(&front, &stop.listen()).await.unwrap();
        let serving = ServeSettings { mqtt: Some(front.clone()), ..ServeSettings::default() };
        tokio::spawn(mqtt::serve(bare, front, stop.listen()));
        tokio::spawn(http::serve(web, hub.clone(), serving, stop.listen()));
        Self { addr, http, hub, clock, stop, log, _folder: None }
    }

    /// A client that begins afresh and leaves nothing behind.
    pub async fn client(&self, version: Version, id: &str) -> Client {
        let (client, answer) = self.connect(&hello(version, id)).await;
        assert_eq!((answer.reason, answer.session_present), (Reason::SUCCESS, false));
        client
    }

    /// A client whose session is kept for an hour; and whether there was one.
    pub async fn kept(&self, version: Version, id: &str) -> (Client, bool) {
        let mut connect = hello(version, id);
        connect.clean_start = false;
        if version == Version::V5 {
            connect.properties.session_expiry = 3_600;
        }
        let (client, answer) = self.connect(&connect).await;
        assert_eq!(answer.reason, Reason::SUCCESS);
        (client, answer.session_present)
    }

    /// Says this CONNECT, and gives what is answered.
    pub async fn connect(&self, connect: &Connect) -> (Client, ConnAck) {
        let mut client = Client::open(self.addr, connect.version).await;
        let mut bytes = Vec::new();
        connect.encode(&mut bytes).unwrap();
        client.send(&bytes).await;
        let answer = client.connack().await;
        (client, answer)
    }

    /// Waits until no client is connected and all sessions are saved; needed where the clock is moved.
    pub async fn all_have_left(&self) {
        self.all_but(0).await;
    }

    /// The same with so many clients that stay.
    pub async fn all_but(&self, staying: usize) {
        let left = async {
            while self.hub.presence().len() > staying {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, left).await.expect("a client stays");
    }

    /// A connection on which nothing was said.
    pub async fn open(&self, version: Version) -> Client {
        Client::open(self.addr, version).await
    }
}
