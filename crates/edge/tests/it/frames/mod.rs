//! The frame protocol over real sockets, with a disk that the test holds in its hand.

mod access;
mod bus;
mod client;
mod hello;
mod numbers;
mod page;
mod pressure;
mod takeover;

use std::net::SocketAddr;
use std::sync::Arc;

use headwater_edge::accept::{AcceptSettings, Listener, Stop};
use headwater_edge::frames::{self, FrameSettings};
use headwater_hub::{Hub, Settings};

use bus::ScriptedBus;
use client::Client;

/// An edge in front of a hub in front of a scripted bus.
pub struct Edge {
    pub bus: Arc<ScriptedBus>,
    pub addr: SocketAddr,
    pub hub: Arc<Hub>,
    stop: Stop,
}

impl Edge {
    pub async fn start() -> Self {
        Self::with(FrameSettings::default(), Settings::default()).await
    }

    pub async fn with(frames: FrameSettings, settings: Settings) -> Self {
        let bus = ScriptedBus::new();
        let hub = Hub::start(bus.clone(), settings);
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), AcceptSettings::default()).unwrap();
        let (addr, stop) = (listener.local_addr(), Stop::default());
        tokio::spawn(frames::serve(listener, hub.clone(), frames, stop.listen()));
        Self { bus, addr, hub, stop }
    }

    pub fn drain(&self) {
        self.stop.request();
    }

    /// A client with this id that has heard WELCOME.
    pub async fn client(&self, id: u128) -> Client {
        let mut client = Client::connect(self.addr).await;
        client.hello(id).await;
        client
    }
}
