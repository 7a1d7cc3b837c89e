//! The edges behind TLS: requests, server-sent events, WebSocket; and plain text beside it.

use std::sync::Arc;

use headwater_edge::accept::{AcceptSettings, Listener, Stop};
use headwater_edge::http::{ServeSettings, serve};
use headwater_edge::tls::{Spoken, Tls, TlsSettings, Trust, originate};
use headwater_event::Clock;
use headwater_hub::presence::Search;
use headwater_hub::{Hub, Settings};
use tokio::io::BufReader;
use tokio::net::TcpStream;

use super::authority::Authority;
use crate::http::support::{Client, Watcher};
use crate::memory::Memory;

/// An HTTP edge with a plain and an encrypted address.
struct Hubs {
    plain: std::net::SocketAddr,
    encrypted: std::net::SocketAddr,
    authority: Authority,
    hub: Arc<Hub>,
    stop: Stop,
    running: tokio::task::JoinHandle<usize>,
}

fn hubs() -> Hubs {
    let authority = Authority::new();
    let tls = Tls::new(&authority.server(), TlsSettings::default()).unwrap();
    let bind = || Listener::bind("127.0.0.1:0".parse().unwrap(), AcceptSettings::default()).unwrap();
    let (plain, encrypted) = (bind(), bind().with_tls(tls, Spoken::Http));
    let addresses = (plain.local_addr(), encrypted.local_addr());
    let hub = Hub::start(Memory::new(), Settings::default());
    let stop = Stop::default();
    let both = plain.beside(encrypted);
    let running = tokio::spawn(serve(both, hub.clone(), ServeSettings::default(), stop.listen()));
    Hubs { plain: addresses.0, encrypted: addresses.1, authority, hub, stop, running }
}

impl Hubs {
    async fn client(&self, host: &str) -> std::io::Result<Client> {
        let trust = Trust::new(self.authority.pem.as_bytes(), None, Clock::system()).unwrap();
        let socket = TcpStream::connect(self.encrypted).await.unwrap();
        Ok(Client { reader: BufReader::new(originate(socket, host, &trust).await?) })
    }
}

#[tokio::test]
async fn what_is_published_encrypted_is_watched_encrypted_and_plain() {
    let hubs = hubs();
    let mut encrypted = Watcher::open_on(hubs.client("localhost").await.unwrap(), "filter=a/%2B", "").await;
    let plain = Client { reader: BufReader::new(TcpStream::connect(hubs.plain).await.unwrap()) };
    let mut plain = Watcher::open_on(plain, "filter=a/%2B", "").await;
    let mut publisher = hubs.client("localhost").await.unwrap();
    for number in 0..100 {
        let payload = format!("{number} {}", "x".repeat(number * 100));
        let answer = publisher.ask("POST", "/v1/events/a/b", &[], payload.as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(encrypted.next().await.payload(), payload);
        assert_eq!(plain.next().await.payload(), payload);
    }
    // Who is connected is known by its own address, and not by the local socket's.
    let from = hubs.hub.presence().page(Search::default(), 0, 10).found;
    assert_eq!(from.len(), 2);
    assert!(from.iter().all(|one| one.peer.ip().is_loopback() && one.peer.port() > 0), "{from:?}");
    hubs.stop.request();
    assert_eq!(encrypted.client.rest().await, "");
    drop((encrypted, plain, publisher));
    assert_eq!(hubs.running.await.unwrap(), 0);
}

#[tokio::test]
async fn a_websocket_works_inside() {
    let hubs = hubs();
    let mut client = hubs.client("localhost").await.unwrap();
    let request = "GET /v1/ws HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write(request.as_bytes()).await;
    assert_eq!(client.head().await.0, 101);
    client.write(&crate::ws::client::frame(0x81, br#"{"op":"ping"}"#)).await;
    client.write(&crate::ws::client::frame(0x88, &[0x03, 0xE8])).await;
    let heard = client.rest().await;
    assert!(heard.contains("welcome") && heard.contains("pong"), "{heard}");
}

#[tokio::test]
async fn a_client_that_wants_another_host_does_not_talk_to_this_one() {
    let hubs = hubs();
    let error = hubs.client("hub.example.com").await.err().expect("the certificate names another host");
    assert!(error.to_string().contains("hub.example.com"), "{error}");
}
