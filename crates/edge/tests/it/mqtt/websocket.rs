//! MQTT over WebSocket (MQTT 5.0 section 6).

use headwater_edge::mqtt::packet::{ConnAck, FromServer, Packet, Qos, Reason, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::client::{PATIENCE, hello, publication};
use super::place::Place;
use crate::ws::client::frame;

/// A browser's end of a WebSocket.
struct Web {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Web {
    /// Asks for a WebSocket with these subprotocols; gives it with the head of the answer.
    async fn open(place: &Place, protocols: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(place.http).await.unwrap();
        let request = format!(
            "GET /mqtt HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocols}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut web = Self { stream, read: Vec::new() };
        let end = loop {
            if let Some(at) = web.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(web.more().await, "no answer");
        };
        let head = String::from_utf8(web.read.drain(..end).collect()).unwrap();
        (web, head)
    }

    async fn more(&mut self) -> bool {
        timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await.expect("nothing comes").unwrap_or(0) > 0
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The opcode and payload of the next frame; `None` at the end.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let [first, len, rest @ ..] = &self.read[..]
                && *len < 126
                && rest.len() >= usize::from(*len)
            {
                let (first, len) = (*first, usize::from(*len));
                let payload = self.read[2..2 + len].to_vec();
                self.read.drain(..2 + len);
                return Some((first & 0x0F, payload));
            }
            if !self.more().await {
                return None;
            }
        }
    }
}

fn said(packets: &[Packet]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        packet.encode(Version::V5, &mut bytes).unwrap();
    }
    bytes
}

const MQTT: &str = "Sec-WebSocket-Protocol: mqtt\r\n";
const BINARY: u8 = 0x82;

#[tokio::test]
async fn the_subprotocol_is_mqtt() {
    let place = Place::new().await;
    for asked in [MQTT, "Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\n"] {
        let (_, head) = Web::open(&place, asked).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.to_ascii_lowercase().contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{head}");
    }
    for asked in ["", "Sec-WebSocket-Protocol: mqttv3.1\r\n"] {
        let (_, head) = Web::open(&place, asked).await;
        assert!(!head.starts_with("HTTP/1.1 101 "), "{asked:?}: {head}");
    }
}

#[tokio::test]
async fn packets_may_begin_in_one_frame_and_end_in_another() {
    let place = Place::new().await;
    let connect = Packet::Connect(Box::new(hello(Version::V5, "web")));
    let publish =
        headwater_edge::mqtt::packet::Publish { qos: Qos::AtLeastOnce, packet_id: 7, ..publication("a", "x") };
    let bytes = said(&[connect, Packet::Publish(publish), Packet::PingReq]);
    for step in [1, 5, bytes.len()] {
        let (mut web, _) = Web::open(&place, MQTT).await;
        for piece in bytes.chunks(step) {
            web.send(&frame(BINARY, piece)).await;
        }
        let mut heard = Vec::new();
        let mut decoder = headwater_edge::mqtt::packet::ClientDecoder::new(Version::V5, 1_000);
        let mut buffer = bytes::BytesMut::new();
        while heard.len() < 3 {
            let (opcode, payload) = web.frame().await.unwrap();
            assert_eq!(opcode, BINARY & 0x0F);
            buffer.extend_from_slice(&payload);
            while let Some(packet) = decoder.next(&mut buffer).unwrap() {
                heard.push(packet);
            }
        }
        assert!(matches!(&heard[0], FromServer::ConnAck(answer) if answer.reason == Reason::SUCCESS));
        assert!(matches!(&heard[1], FromServer::PubAck(ack) if ack.packet_id == 7));
        assert_eq!(heard[2], FromServer::PingResp);
    }
    assert_eq!(place.hub.head().seq, 3);
}

#[tokio::test]
async fn a_frame_that_is_not_binary_ends_the_connection() {
    let place = Place::new().await;
    let connect = said(&[Packet::Connect(Box::new(hello(Version::V5, "web")))]);
    // At once, and after a good CONNECT.
    for before in [None, Some(frame(BINARY, &connect))] {
        let (mut web, _) = Web::open(&place, MQTT).await;
        if let Some(connect) = &before {
            web.send(connect).await;
            assert_eq!(web.frame().await.unwrap().0, BINARY & 0x0F);
        }
        web.send(&frame(0x81, b"text")).await;
        match web.frame().await {
            None => {}
            Some((opcode, payload)) => {
                assert_eq!((opcode, &payload[..2]), (0x8, &1_003_u16.to_be_bytes()[..]), "unsupported data");
                assert_eq!(web.frame().await, None);
            }
        }
    }
}

#[tokio::test]
async fn a_refused_client_is_told_so_inside_the_websocket() {
    let place = Place::new().await;
    let (mut web, _) = Web::open(&place, MQTT).await;
    web.send(&frame(BINARY, b"\x10\x0d\0\x04MQTT\x06\x02\0\0\0\0\0")).await;
    let mut expected = Vec::new();
    ConnAck::because(Reason::UNSUPPORTED_PROTOCOL_VERSION).encode(Version::V5, &mut expected).unwrap();
    assert_eq!(web.frame().await, Some((BINARY & 0x0F, expected)));
    assert_eq!(web.frame().await.map(|(opcode, _)| opcode), Some(0x8));
}
