//! A Socket.IO client that comes back to another edge over the same NATS is told what it missed, each once: the offset that it keeps is
//! a place in the log, and no server remembers who was here.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http_client::{self, WebSocket};
use crate::nats_server::NatsServer;
use crate::program::{Place, Running};

/// How many alerts are told before the client is parted from its edge, and how many it misses.
const BEFORE: usize = 5;
const MISSED: usize = 10;

fn edge(server: &NatsServer) -> (Place, Running) {
    let place = Place::new().arg("--roles").arg("edge,notifier").arg("--apps").arg("alerts");
    let place = place.arg("--engine").arg(&server.url());
    let running = place.start();
    (place, running)
}

fn publish(edge: &Running, numbers: std::ops::RangeInclusive<usize>) {
    let mut client = http_client::HttpClient::connect(edge.http).unwrap();
    for number in numbers {
        let body = json!({ "n": number }).to_string();
        let answer = client.post("alerts/elsewhere/alert", &format!("alert-{number}"), &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// A client in the default namespace, as socket.io-client writes it.
struct Client {
    socket: WebSocket,
    pid: String,
    offset: Option<String>,
}

impl Client {
    /// Connects as one that was there before, or as a new one.
    fn connect(addr: SocketAddr, before: Option<(&str, Option<&str>)>) -> Self {
        let mut socket = WebSocket::open(addr, "/socket.io/?EIO=4&transport=websocket").unwrap();
        let open = text(&mut socket);
        assert!(open.starts_with("0{"), "{open}");
        let auth = match before {
            Some((pid, Some(offset))) => json!({ "pid": pid, "offset": offset }).to_string(),
            Some((pid, None)) => json!({ "pid": pid }).to_string(),
            None => String::new(),
        };
        socket.write(&format!("40{auth}")).unwrap();
        let answer = text(&mut socket);
        let answer: Value = serde_json::from_str(answer.strip_prefix("40").expect("it is let in")).unwrap();
        let pid = answer["pid"].as_str().unwrap().to_owned();
        if let Some((before, _)) = before {
            assert_eq!(pid, before, "recovered: the pid is the same");
        }
        Self { socket, pid, offset: before.and_then(|(_, offset)| offset.map(str::to_owned)) }
    }

    /// The numbers of so many alerts; the offset behind each is kept.
    fn take(&mut self, count: usize) -> Vec<u64> {
        let mut take = || {
            let packet = text(&mut self.socket);
            let event: Value = serde_json::from_str(packet.strip_prefix("42").expect("an event")).unwrap();
            assert_eq!(event[0], "alert", "{event}");
            self.offset = Some(event[2].as_str().expect("an offset").to_owned());
            event[1]["n"].as_u64().unwrap()
        };
        (0..count).map(|_| take()).collect()
    }
}

fn text(socket: &mut WebSocket) -> String {
    loop {
        let packet = socket.text().unwrap();
        if packet != "2" {
            return packet;
        }
        socket.write("3").unwrap();
    }
}

fn numbers(of: std::ops::RangeInclusive<usize>) -> Vec<u64> {
    of.map(|number| number as u64).collect()
}

#[test]
fn a_client_that_comes_back_to_another_edge_is_told_what_it_missed_without_gap_or_repeat() {
    let server = NatsServer::start();
    let ((_place_a, a), (_place_b, b)) = (edge(&server), edge(&server));
    let mut told = Client::connect(a.http, None);
    // One that was told nothing before it's parted goes on from where it began.
    let untold = Client::connect(a.http, None);
    publish(&a, 1..=1);
    assert_eq!(told.take(1), numbers(1..=1));
    publish(&b, 2..=BEFORE);
    assert_eq!(told.take(BEFORE - 1), numbers(2..=BEFORE), "what came in at the other edge, too");
    a.kill();
    publish(&b, BEFORE + 1..=BEFORE + MISSED);
    let mut back = Client::connect(b.http, Some((&told.pid, told.offset.as_deref())));
    assert_eq!(back.take(MISSED), numbers(BEFORE + 1..=BEFORE + MISSED));
    let mut untold = Client::connect(b.http, Some((&untold.pid, None)));
    assert_eq!(untold.take(BEFORE + MISSED), numbers(1..=BEFORE + MISSED));
    // And nothing stands between that and what happens now.
    publish(&b, 100..=100);
    assert_eq!((back.take(1), untold.take(1)), (vec![100], vec![100]));
}

#[test]
fn the_id_of_a_polling_session_is_unknown_to_another_edge_and_the_client_begins_a_new_one() {
    let server = NatsServer::start();
    let ((_place_a, a), (_place_b, b)) = (edge(&server), edge(&server));
    let opened = http_client::get(a.http, "/socket.io/?EIO=4&transport=polling").text();
    let opened: Value = serde_json::from_str(opened.strip_prefix('0').expect("an open packet")).unwrap();
    let sid = opened["sid"].as_str().unwrap();
    let elsewhere = http_client::get(b.http, &format!("/socket.io/?EIO=4&transport=polling&sid={sid}"));
    assert_eq!(elsewhere.status, 400);
    let said: Value = serde_json::from_str(&elsewhere.text()).unwrap();
    assert_eq!(said["code"], 1, "Session ID unknown: {said}");
    let opened = http_client::get(b.http, "/socket.io/?EIO=4&transport=polling");
    assert_eq!(opened.status, 200);
}
