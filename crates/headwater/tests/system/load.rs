//! Load from all edges at once, which remembers what was acknowledged, and the check of a log against it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::frame_client::{Answer, FrameClient};
use crate::http_client::{HttpClient, WebSocket};
use crate::mqtt_client::{Hello, MqttClient, Packet};
use crate::program::Running;

/// How many messages a frame client keeps in flight.
const WINDOW: u64 = 64;

/// What one client did, over all its connections.
#[derive(Default)]
struct Sender {
    /// Everything up to here was acknowledged.
    acked: u64,
    /// The highest number that was ever written to a socket.
    tried: u64,
    /// MQTT at QoS 2: the number after `acked` was received (PUBREC), and has to be released.
    is_received: bool,
}

/// The clients: they live through all kills, as real ones do.
pub struct Load {
    frames: Vec<Arc<Mutex<Sender>>>,
    http: Vec<Arc<Mutex<Sender>>>,
    ws: Vec<Arc<Mutex<Sender>>>,
    /// MQTT at QoS 1, with event ids; and at QoS 2, with a session.
    mqtt: Vec<Arc<Mutex<Sender>>>,
    mqtt2: Vec<Arc<Mutex<Sender>>>,
    answered: Arc<AtomicU64>,
}

impl Load {
    pub fn new() -> Self {
        let some = |n| (0..n).map(|_| Arc::default()).collect();
        Self { frames: some(4), http: some(4), ws: some(2), mqtt: some(2), mqtt2: some(2), answered: Arc::default() }
    }

    pub fn acknowledged(&self) -> u64 {
        self.all().map(|(_, _, sender)| sender.lock().unwrap().acked).sum()
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, usize, &Arc<Mutex<Sender>>)> {
        [("frames", &self.frames), ("http", &self.http), ("ws", &self.ws), ("mqtt", &self.mqtt), ("mqtt2", &self.mqtt2)]
            .into_iter()
            .flat_map(|(name, senders)| senders.iter().enumerate().map(move |(at, sender)| (name, at, sender)))
    }

    /// Runs against a hub that is killed once enough was acknowledged.
    pub fn run_until_killed(&mut self, hub: Running, round: u64) {
        self.run(hub, round, Running::kill);
    }

    /// The same with another end. The moment comes after a number of answers that differs from round to round.
    pub fn run(&mut self, hub: Running, round: u64, end: impl FnOnce(Running)) {
        let enough = self.answered.load(Ordering::SeqCst) + 1 + (round * 7_919) % 5_000;
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        for (name, at, sender) in self.all() {
            let (sender, answered) = (Arc::clone(sender), Arc::clone(&self.answered));
            let (frames, http, mqtt) = (hub.frames, hub.http, hub.mqtt);
            threads.push(std::thread::spawn(move || match name {
                "frames" => send_frames(frames, at, &sender, &answered),
                "http" => send_http(http, at, &sender, &answered),
                "mqtt" => send_mqtt(mqtt, at, &sender, &answered),
                "mqtt2" => send_mqtt2(mqtt, at, &sender, &answered),
                _ => send_ws(http, at, &sender, &answered),
            }));
        }
        while self.answered.load(Ordering::SeqCst) < enough {
            std::thread::sleep(Duration::from_micros(200)); // sleep: polls a counter that other threads raise
        }
        end(hub);
        for thread in threads {
            thread.join().expect("a client saw something that must not be");
        }
    }

    /// Every acknowledged event is there, each one once and in order, and nothing that was never sent.
    pub fn check(&self, log: &[Value]) {
        let mut have: HashMap<String, Vec<u64>> = HashMap::new();
        let mut last_seq = 0;
        for event in log {
            let seq = event["seq"].as_u64().expect("seq");
            assert!(seq > last_seq, "sequence numbers rise: {seq} after {last_seq}");
            last_seq = seq;
            let payload = event["payload"].as_str().expect("payload");
            let (who, number) = payload.split_once(' ').expect("WHO NUMBER");
            have.entry(who.to_owned()).or_default().push(number.trim_end_matches('.').parse().expect("a number"));
        }
        for (name, at, sender) in self.all() {
            let sender = sender.lock().unwrap();
            let numbers = have.remove(&format!("{name}-{at}")).unwrap_or_default();
            let count = numbers.len() as u64;
            assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "{name}-{at}: each once, in order, without a hole");
            assert!(count >= sender.acked, "{name}-{at}: {} were acknowledged, {count} are there", sender.acked);
            assert!(count <= sender.tried, "{name}-{at}: {count} are there, {} were sent", sender.tried);
        }
        assert!(have.is_empty(), "nobody sent these: {:?}", have.keys());
    }
}

fn payload(name: &str, at: usize, number: u64) -> String {
    // Different lengths, so that the torn ends fall everywhere.
    format!("{name}-{at} {number}{}", ".".repeat((number % 190) as usize))
}

fn send_frames(addr: SocketAddr, at: usize, sender: &Mutex<Sender>, answered: &AtomicU64) {
    let id = [at as u8 + 1; 16];
    let Ok(mut client) = FrameClient::connect(addr, id) else { return };
    let mut sender = sender.lock().unwrap();
    assert!(client.last_seq >= sender.acked, "{} were acknowledged, the hub knows {}", sender.acked, client.last_seq);
    assert!(client.last_seq <= sender.tried);
    sender.acked = client.last_seq;
    let mut next = client.last_seq + 1;
    loop {
        while next <= sender.acked + WINDOW {
            sender.tried = sender.tried.max(next);
            if client.write(next, payload("frames", at, next).as_bytes()).is_err() {
                break;
            }
            next += 1;
        }
        match client.answer() {
            Ok(Answer::Ack { seq, .. }) => {
                assert_eq!(seq, sender.acked + 1, "acknowledgements come in order");
                sender.acked = seq;
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok(Answer::Nack { seq, code: 3 | 4 }) => next = next.min(seq.max(sender.acked + 1)),
            Ok(other) => panic!("{other:?}"),
            Err(_) => return,
        }
    }
}

fn send_http(addr: SocketAddr, at: usize, sender: &Mutex<Sender>, answered: &AtomicU64) {
    let Ok(mut client) = HttpClient::connect(addr) else { return };
    let mut sender = sender.lock().unwrap();
    loop {
        // What was cut off without an answer is sent again under the same name.
        let number = sender.acked + 1;
        sender.tried = number;
        match client.post(&format!("load/{at}"), &format!("http-{at}-{number}"), &payload("http", at, number)) {
            Ok(response) if response.status == 200 => {
                sender.acked = number;
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok(response) if response.status == 503 => {}
            Ok(response) => panic!("{}: {}", response.status, response.text()),
            Err(_) => return,
        }
    }
}

fn send_ws(addr: SocketAddr, at: usize, sender: &Mutex<Sender>, answered: &AtomicU64) {
    let Ok(mut ws) = WebSocket::connect(addr) else { return };
    if ws.next().is_err() {
        return;
    }
    let mut sender = sender.lock().unwrap();
    loop {
        let number = sender.acked + 1;
        sender.tried = number;
        let id = format!("ws-{at}-{number}");
        if ws.write(&publish(&format!("load/ws/{at}"), &id, &payload("ws", at, number))).is_err() {
            return;
        }
        match ws.next() {
            Ok(frame) if is_ack(&frame, &id) => {
                sender.acked = number;
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok(frame) => panic!("{frame}"),
            Err(_) => return,
        }
    }
}

/// QoS 1: what was not acknowledged is sent again under the same event id, many under way at once.
fn send_mqtt(addr: SocketAddr, at: usize, sender: &Mutex<Sender>, answered: &AtomicU64) {
    let Ok(mut client) = MqttClient::connect(addr, Hello::new(&format!("load-{at}"))) else { return };
    let mut sender = sender.lock().unwrap();
    let mut next = sender.acked + 1;
    loop {
        while next <= sender.acked + WINDOW {
            sender.tried = sender.tried.max(next);
            let name = format!("mqtt-{at}-{next}");
            let id = (next % 60_000) as u16 + 1;
            let topic = format!("load/mqtt/{at}");
            let bytes = client.publication(&topic, &payload("mqtt", at, next), 1, id, false, Some(&name));
            if client.write(&bytes).is_err() {
                break;
            }
            next += 1;
        }
        match client.next() {
            Ok(Packet::Ack(4, id, 0)) => {
                assert_eq!(u64::from(id), (sender.acked + 1) % 60_000 + 1, "acknowledgements come in order");
                sender.acked += 1;
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => return,
        }
    }
}

/// QoS 2 in a session: the protocol itself keeps a resent publication from being stored twice. One at a time, as whoever
/// has several under way may not know in which order they became durable.
fn send_mqtt2(addr: SocketAddr, at: usize, sender: &Mutex<Sender>, answered: &AtomicU64) {
    let Ok(mut client) = MqttClient::connect(addr, Hello::kept(&format!("load2-{at}"))) else { return };
    let mut sender = sender.lock().unwrap();
    assert!(client.is_present || sender.acked == 0, "a session that acknowledged something is kept");
    let id_of = |number: u64| (number % 60_000) as u16 + 1;
    loop {
        let number = sender.acked + 1;
        if !sender.is_received {
            let is_again = sender.tried == number;
            sender.tried = number;
            let topic = format!("load/mqtt2/{at}");
            let bytes = client.publication(&topic, &payload("mqtt2", at, number), 2, id_of(number), is_again, None);
            if client.write(&bytes).is_err() {
                return;
            }
            match client.next() {
                Ok(Packet::Ack(5, id, 0)) if id == id_of(number) => sender.is_received = true,
                Ok(other) => panic!("{other:?}"),
                Err(_) => return,
            }
        }
        if client.ack(6, id_of(number)).is_err() {
            return;
        }
        match client.next() {
            // 0x92: it was released before, and only the answer was lost.
            Ok(Packet::Ack(7, id, 0 | 0x92)) if id == id_of(number) => {
                sender.is_received = false;
                sender.acked = number;
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => return,
        }
    }
}

fn publish(topic: &str, id: &str, payload: &str) -> String {
    json!({"op": "publish", "ref": id, "topic": topic, "id": id, "payload": payload}).to_string()
}

fn is_ack(frame: &Value, reference: &str) -> bool {
    frame["op"] == "ack" && frame["ref"] == reference && frame["seq"].is_u64()
}

/// Takes the welcome frame off a fresh connection.
pub fn ws_welcome(ws: &mut WebSocket) -> Value {
    ws.next().expect("a welcome")
}

/// Publishes and waits for the acknowledgement.
pub fn ws_publish(ws: &mut WebSocket, topic: &str, id: &str, payload: &str) -> Value {
    ws.write(&publish(topic, id, payload)).expect("write");
    let frame = ws.next().expect("an answer");
    assert!(is_ack(&frame, id), "{frame}");
    frame
}
