//! An MQTT client that says what a test wants, right or wrong.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_edge::mqtt::packet::{
    Ack, AckKind, ClientDecoder, ConnAck, Connect, ConnectProperties, Disconnect, FromServer, Packet, Publish,
    PublishProperties, Qos, Reason, Subscribe, SubscribeOptions, Unsubscribe, Version, Will, encode_ack,
};
use headwater_event::Text;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for what must come; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The largest packet that this client takes.
const PACKET_MAX: usize = 4 << 20;

pub const BOTH: [Version; 2] = [Version::V311, Version::V5];

pub const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

/// A CONNECT that begins afresh and leaves nothing behind.
pub fn hello(version: Version, id: &str) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 0,
        client_id: Text::from(id),
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

pub fn will(topic: &str, payload: &str) -> Will {
    Will {
        topic: Text::from(topic),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        qos: Qos::AtLeastOnce,
        retain: false,
        delay: 0,
        properties: None,
    }
}

/// A publication without packet id, to be changed by the test.
pub fn publication(topic: &str, payload: &str) -> Publish {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    Publish { topic: Text::from(topic), payload, ..Publish::default() }
}

pub fn with_properties(topic: &str, payload: &str, properties: PublishProperties) -> Publish {
    Publish { properties: Some(Box::new(properties)), ..publication(topic, payload) }
}

pub fn options(qos: Qos) -> SubscribeOptions {
    SubscribeOptions { qos, ..SubscribeOptions::default() }
}

/// A client's end of a connection.
pub struct Client {
    stream: TcpStream,
    decoder: ClientDecoder,
    buffer: BytesMut,
    version: Version,
    /// What came while something else was waited for.
    early: VecDeque<FromServer>,
    last_id: u16,
}

impl Client {
    pub async fn open(addr: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        Self {
            stream,
            decoder: ClientDecoder::new(version, PACKET_MAX),
            buffer: BytesMut::new(),
            version,
            early: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Sends bytes as they are. What the server doesn't want to read any more may get lost.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn say(&mut self, packet: &Packet) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).unwrap();
        self.send(&bytes).await;
    }

    /// A packet id that this client hasn't used.
    pub const fn fresh_id(&mut self) -> u16 {
        self.last_id += 1;
        self.last_id
    }

    /// The next packet; `None` when the server has ended the connection.
    pub async fn next_or_end(&mut self) -> Option<FromServer> {
        if let Some(early) = self.early.pop_front() {
            return Some(early);
        }
        self.read().await
    }

    async fn read(&mut self) -> Option<FromServer> {
        loop {
            if let Some(packet) = self.decoder.next(&mut self.buffer).expect("a server's good packet") {
                return Some(packet);
            }
            match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.expect("nothing comes") {
                Ok(0) | Err(_) => {
                    assert!(self.buffer.is_empty(), "the server's last packet is cut: {:?}", self.buffer);
                    return None;
                }
                Ok(_) => {}
            }
        }
    }

    pub async fn next(&mut self) -> FromServer {
        self.next_or_end().await.expect("the server has ended the connection")
    }

    /// The next packet that `wanted` makes something of; others are kept for later, in order.
    pub async fn wait_for<T>(&mut self, wanted: impl Fn(&FromServer) -> Option<T>) -> T {
        let at = self.early.iter().position(|packet| wanted(packet).is_some());
        if let Some(found) = at.and_then(|at| self.early.remove(at)) {
            return wanted(&found).expect("it was wanted a moment ago");
        }
        loop {
            let packet = self.read().await.expect("the server has ended the connection");
            match wanted(&packet) {
                Some(found) => return found,
                None => self.early.push_back(packet),
            }
        }
    }

    pub async fn connack(&mut self) -> ConnAck {
        match self.next().await {
            FromServer::ConnAck(answer) => *answer,
            other => panic!("{other:?} for CONNACK"),
        }
    }

    /// The next packet must be a delivery. It isn't acknowledged.
    pub async fn delivery(&mut self) -> Publish {
        match self.next().await {
            FromServer::Publish(publish) => publish,
            other => panic!("{other:?} for a delivery"),
        }
    }

    /// The next packet must be a delivery; it is acknowledged as its QoS wants it, to the end.
    pub async fn take(&mut self) -> Publish {
        let publish = self.delivery().await;
        self.settle(&publish).await;
        publish
    }

    /// Acknowledges a delivery as its QoS wants it, to the end.
    pub async fn settle(&mut self, publish: &Publish) {
        let id = publish.packet_id;
        match publish.qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => self.ack(AckKind::PubAck, id).await,
            Qos::ExactlyOnce => {
                self.ack(AckKind::PubRec, id).await;
                self.wait_for(|packet| (*packet == FromServer::PubRel(Ack::success(id))).then_some(())).await;
                self.ack(AckKind::PubComp, id).await;
            }
        }
    }

    /// The payloads of the next deliveries, which are acknowledged.
    pub async fn payloads(&mut self, count: usize) -> Vec<String> {
        let mut payloads = Vec::new();
        for _ in 0..count {
            payloads.push(text(&self.take().await));
        }
        payloads
    }

    pub async fn ack(&mut self, kind: AckKind, id: u16) {
        self.ack_with(kind, id, Reason::SUCCESS).await;
    }

    pub async fn ack_with(&mut self, kind: AckKind, id: u16, reason: Reason) {
        let mut bytes = Vec::new();
        encode_ack(kind, self.version, id, reason, &mut bytes);
        self.send(&bytes).await;
    }

    /// Publishes at this QoS, to the end of the exchange; gives the reason of PUBACK or PUBREC.
    pub async fn publish_as(&mut self, publish: Publish, qos: Qos) -> Reason {
        let id = if qos == Qos::AtMostOnce { 0 } else { self.fresh_id() };
        self.say(&Packet::Publish(Publish { qos, packet_id: id, ..publish })).await;
        match qos {
            Qos::AtMostOnce => Reason::SUCCESS,
            Qos::AtLeastOnce => self.answer(AckKind::PubAck, id).await,
            Qos::ExactlyOnce => {
                let reason = self.answer(AckKind::PubRec, id).await;
                if !reason.is_error() {
                    self.ack(AckKind::PubRel, id).await;
                    assert_eq!(self.answer(AckKind::PubComp, id).await, Reason::SUCCESS);
                }
                reason
            }
        }
    }

    /// Publishes at QoS 1 and waits for the acknowledgement: then it is in the log.
    pub async fn publish(&mut self, topic: &str, payload: &str) {
        let reason = self.publish_as(publication(topic, payload), Qos::AtLeastOnce).await;
        assert_eq!(reason, Reason::SUCCESS);
    }

    /// The same, retained.
    pub async fn retain(&mut self, topic: &str, payload: &str) {
        let publish = Publish { retain: true, ..publication(topic, payload) };
        assert_eq!(self.publish_as(publish, Qos::AtLeastOnce).await, Reason::SUCCESS);
    }

    /// Waits for the acknowledgement of this kind and id.
    pub async fn answer(&mut self, kind: AckKind, id: u16) -> Reason {
        self.wait_for(|packet| match (kind, packet) {
            (AckKind::PubAck, FromServer::PubAck(ack))
            | (AckKind::PubRec, FromServer::PubRec(ack))
            | (AckKind::PubRel, FromServer::PubRel(ack))
            | (AckKind::PubComp, FromServer::PubComp(ack))
                if ack.packet_id == id =>
            {
                Some(ack.reason)
            }
            _ => None,
        })
        .await
    }

    /// Subscribes and waits for the answer.
    pub async fn subscribe(&mut self, filter: &str, qos: Qos) -> Reason {
        self.subscribe_with(filter, options(qos), None).await
    }

    pub async fn subscribe_with(&mut self, filter: &str, options: SubscribeOptions, id: Option<u32>) -> Reason {
        self.subscribe_all(&[(filter, options)], id).await[0]
    }

    pub async fn subscribe_all(&mut self, filters: &[(&str, SubscribeOptions)], id: Option<u32>) -> Vec<Reason> {
        let packet_id = self.fresh_id();
        let filters = filters.iter().map(|(filter, options)| (Text::from(*filter), *options)).collect();
        self.say(&Packet::Subscribe(Subscribe { packet_id, id, filters, user_properties: Vec::new() })).await;
        self.wait_for(|packet| match packet {
            FromServer::SubAck(answer) if answer.packet_id == packet_id => Some(answer.reasons.clone()),
            _ => None,
        })
        .await
    }

    pub async fn unsubscribe(&mut self, filters: &[&str]) -> Vec<Reason> {
        let packet_id = self.fresh_id();
        let filters = filters.iter().map(|filter| Text::from(*filter)).collect();
        self.say(&Packet::Unsubscribe(Unsubscribe { packet_id, filters, user_properties: Vec::new() })).await;
        self.wait_for(|packet| match packet {
            FromServer::UnsubAck(answer) if answer.packet_id == packet_id => Some(answer.reasons.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until the server has heard all that was said before. (Deliveries may be overtaken by it.)
    pub async fn ping(&mut self) {
        self.say(&Packet::PingReq).await;
        self.wait_for(|packet| (*packet == FromServer::PingResp).then_some(())).await;
    }

    /// Says goodbye and waits until the server has ended the connection: then the session is saved.
    pub async fn leave(self) {
        self.leave_with(Disconnect::because(Reason::SUCCESS)).await;
    }

    pub async fn leave_with(mut self, disconnect: Disconnect) {
        self.say(&Packet::Disconnect(disconnect)).await;
        while self.next_or_end().await.is_some() {}
    }

    /// Breaks the connection without a word.
    pub fn vanish(self) {
        drop(self);
    }

    /// The server must end the connection now; gives the reason of its DISCONNECT. (3.1.1 has none.)
    pub async fn ended(&mut self) -> Option<Reason> {
        match self.next_or_end().await {
            None => None,
            Some(FromServer::Disconnect(disconnect)) => {
                assert_eq!(self.next_or_end().await, None, "nothing comes after DISCONNECT");
                Some(disconnect.reason)
            }
            Some(other) => panic!("{other:?} for the end"),
        }
    }
}

pub fn text(publish: &Publish) -> String {
    String::from_utf8(publish.payload.to_vec()).unwrap()
}
