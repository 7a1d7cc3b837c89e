//! An MQTT session resumes on another edge over the same NATS: exactly what its client hadn't acknowledged comes, in order, and an
//! edge that has lost a client changes nothing of it any more.

use crate::mqtt_client::{Hello, MqttClient, Packet};
use crate::nats_server::NatsServer;
use crate::program::{Place, Running};

/// How many events a client is told before it leaves, and how many it misses.
const BEFORE: usize = 10;
const MISSED: usize = 20;

/// How many of them it acknowledges; of QoS 2 the last two of these only by PUBREC.
const ACKNOWLEDGED: usize = 6;

struct Edge {
    _place: Place,
    running: Running,
}

fn edge(server: &NatsServer) -> Edge {
    let place = Place::new().arg("--roles").arg("edge").arg("--engine").arg(&server.url());
    let running = place.start();
    Edge { _place: place, running }
}

fn hello(id: &str, is_five: bool) -> Hello<'_> {
    Hello { is_five, ..Hello::kept(id) }
}

/// Publishes events of these numbers at this edge, each durable when this returns.
fn publish(edge: &Edge, numbers: impl Iterator<Item = usize>) {
    numbers.for_each(|number| tell(edge, &number.to_string()));
}

/// A client that hears what was told at this edge, and acknowledges some of it.
fn begun(edge: &Edge, id: &str, is_five: bool, qos: u8) -> MqttClient {
    let mut client = MqttClient::connect(edge.running.mqtt, hello(id, is_five)).unwrap();
    assert!(!client.is_present);
    assert_eq!(client.subscribe("orders/#", qos), qos);
    client
}

/// Takes the first events and acknowledges some of them.
fn take_some(client: &mut MqttClient, qos: u8) {
    let mut ids = Vec::new();
    for number in 1..=BEFORE {
        match client.next().unwrap() {
            Packet::Publish(message) => {
                assert_eq!((message.text(), message.qos), (number.to_string().as_str(), qos));
                ids.push(message.id);
            }
            other => panic!("{other:?}"),
        }
    }
    for (at, id) in ids.into_iter().take(ACKNOWLEDGED).enumerate() {
        if qos == 1 {
            client.ack(4, id).unwrap();
            continue;
        }
        client.ack(5, id).unwrap();
        assert_eq!(client.next().unwrap(), Packet::Ack(6, id, 0));
        if at < ACKNOWLEDGED - 2 {
            client.ack(7, id).unwrap();
        }
    }
}

/// All that is told until this text comes, acknowledged to the end: numbers with whether they come again, and PUBRELs of exchanges
/// that were begun before.
fn heard_until(client: &mut MqttClient, last: &str) -> (Vec<(String, bool)>, usize) {
    let (mut told, mut released, mut open, mut has_all) = (Vec::new(), 0, Vec::new(), false);
    while !has_all || !open.is_empty() {
        match client.next().unwrap() {
            Packet::Publish(message) => {
                if message.qos == 2 {
                    open.push(message.id);
                }
                client.ack(if message.qos == 2 { 5 } else { 4 }, message.id).unwrap();
                if message.text() == last {
                    has_all = true;
                } else {
                    told.push((message.text().to_owned(), message.is_again));
                }
            }
            Packet::Ack(6, id, 0) => {
                client.ack(7, id).unwrap();
                let before = open.len();
                open.retain(|of| *of != id);
                released += usize::from(open.len() == before);
            }
            other => panic!("{other:?}"),
        }
    }
    (told, released)
}

/// What has to come: of these numbers, those up to `BEFORE` again.
fn told(numbers: impl Iterator<Item = usize>) -> Vec<(String, bool)> {
    numbers.map(|number| (number.to_string(), number <= BEFORE)).collect()
}

fn numbers(heard: &[(String, bool)]) -> Vec<usize> {
    heard.iter().map(|(number, _)| number.parse().unwrap()).collect()
}

const KINDS: [(&str, bool, u8); 4] =
    [("three-1", false, 1), ("three-2", false, 2), ("five-1", true, 1), ("five-2", true, 2)];

/// Comes to this edge with all sessions and sees what each client is told: what it missed, and before it what it hadn't acknowledged.
fn all_arrived(edge: &Edge, other: &Edge, was_killed: bool) {
    // QoS 1 may repeat what was acknowledged in the last moment of an edge that was killed, QoS 2 nothing.
    let again = |qos| if qos == 1 && was_killed { 1 } else { ACKNOWLEDGED + 1 }..=ACKNOWLEDGED + 1;
    let back = |edge: &Edge| {
        KINDS.map(|(id, is_five, qos)| {
            let client = MqttClient::connect(edge.running.mqtt, hello(id, is_five)).unwrap();
            assert!(client.is_present, "{id}");
            (id, qos, client)
        })
    };
    let clients = back(edge);
    tell(edge, "last");
    for (id, qos, mut client) in clients {
        let (heard, released) = heard_until(&mut client, "last");
        let first = heard.first().map_or(0, |(number, _)| number.parse().unwrap());
        assert!(again(qos).contains(&first), "{id}: {heard:?}");
        assert_eq!(numbers(&heard), (first..=BEFORE + MISSED).collect::<Vec<_>>(), "{id}");
        // What an edge that was killed had told and not noted comes as new, which it may be for all that the next one knows.
        let is_again = |(number, is_again): &(String, bool)| *is_again == (number.parse::<usize>().unwrap() <= BEFORE);
        assert!(was_killed || heard.iter().all(is_again), "{id}: {heard:?}");
        assert_eq!(released, if qos == 2 { released.max(2) } else { 0 }, "{id}: received and not completed");
        client.leave();
    }
    // Nothing is left, on either edge.
    for (edge, text) in [(other, "more"), (edge, "end")] {
        let clients = back(edge);
        tell(edge, text);
        for (id, _, mut client) in clients {
            assert_eq!(heard_until(&mut client, text), (Vec::new(), 0), "{id}");
            client.heard();
            client.leave();
        }
    }
}

/// Publishes one event as QoS 2, so that each subscription is told it at its own QoS.
fn tell(edge: &Edge, text: &str) {
    let mut source = MqttClient::connect(edge.running.mqtt, Hello::new("source")).unwrap();
    source.publish("orders/new", text, 2, 1).unwrap();
    assert_eq!(source.next().unwrap(), Packet::Ack(5, 1, 0));
    source.ack(6, 1).unwrap();
    assert_eq!(source.next().unwrap(), Packet::Ack(7, 1, 0));
    source.leave();
}

fn begun_all(edge: &Edge) -> Vec<MqttClient> {
    let mut clients: Vec<_> = KINDS.iter().map(|(id, is_five, qos)| begun(edge, id, *is_five, *qos)).collect();
    publish(edge, 1..=BEFORE);
    for (client, (_, _, qos)) in clients.iter_mut().zip(KINDS) {
        take_some(client, qos);
        client.heard();
    }
    clients
}

#[test]
fn sessions_that_were_left_at_one_edge_go_on_at_another_with_what_was_not_acknowledged() {
    let server = NatsServer::start();
    let (a, b) = (edge(&server), edge(&server));
    begun_all(&a).into_iter().for_each(MqttClient::leave);
    publish(&b, BEFORE + 1..=BEFORE + MISSED / 2);
    publish(&a, BEFORE + MISSED / 2 + 1..=BEFORE + MISSED);
    all_arrived(&b, &a, false);
}

#[test]
fn sessions_of_an_edge_that_was_killed_go_on_at_another() {
    let server = NatsServer::start();
    let (a, b, c) = (edge(&server), edge(&server), edge(&server));
    let clients = begun_all(&a);
    a.running.kill();
    drop(clients);
    publish(&b, BEFORE + 1..=BEFORE + MISSED);
    all_arrived(&b, &c, true);
}

#[test]
fn a_client_that_comes_to_another_edge_takes_its_session_over_from_the_connection_that_it_still_has() {
    let server = NatsServer::start();
    let (a, b) = (edge(&server), edge(&server));
    let mut watcher = MqttClient::connect(b.running.mqtt, Hello::new("watcher")).unwrap();
    assert_eq!(watcher.subscribe("gone", 1), 1);
    let hello = Hello { will: Some(("gone", "five")), ..hello("five", true) };
    let mut old = MqttClient::connect(a.running.mqtt, hello).unwrap();
    assert_eq!(old.subscribe("orders/#", 1), 1);
    publish(&b, 1..=BEFORE);
    take_some(&mut old, 1);
    old.heard();
    let mut new = MqttClient::connect(b.running.mqtt, hello).unwrap();
    assert!(new.is_present);
    while !matches!(old.next().unwrap(), Packet::Disconnect(0x8E)) {}
    assert!(old.next().is_err(), "its connection ends");
    assert_eq!(watcher.message().text(), "five", "the will of a connection that was taken over is published");
    publish(&a, BEFORE + 1..=BEFORE + MISSED);
    tell(&b, "last");
    assert_eq!(heard_until(&mut new, "last").0, told(ACKNOWLEDGED + 1..=BEFORE + MISSED));
    // And back, without a session: nothing is left of the old one anywhere.
    let clean = Hello { is_clean: true, ..hello };
    assert!(!MqttClient::connect(a.running.mqtt, clean).unwrap().is_present);
    while !matches!(new.next().unwrap(), Packet::Disconnect(0x8E)) {}
}

#[test]
fn an_edge_that_was_frozen_writes_nothing_over_a_session_that_was_taken_over() {
    let server = NatsServer::start();
    let (a, b) = (edge(&server), edge(&server));
    for qos in [1, 2] {
        let id = if qos == 1 { "one" } else { "two" };
        let mut old = begun(&a, id, true, qos);
        let first = tell_numbers(&a, &mut old, qos);
        a.running.signal("-STOP");
        // What it says now is heard there only later, when it's worth nothing.
        for id in &first {
            old.ack(if qos == 1 { 4 } else { 5 }, *id).unwrap();
        }
        let mut new = MqttClient::connect(b.running.mqtt, hello(id, true)).unwrap();
        assert!(new.is_present);
        tell(&b, "last");
        assert_eq!(numbers(&heard_until(&mut new, "last").0), (1..=BEFORE).collect::<Vec<_>>(), "{id}");
        new.heard();
        a.running.signal("-CONT");
        while !matches!(old.next().unwrap(), Packet::Disconnect(0x8E)) {}
        assert!(old.next().is_err());
        // Its farewell is over: what it would have written has been written.
        new.leave();
        for (edge, text) in [(&a, "more"), (&b, "end")] {
            let mut client = MqttClient::connect(edge.running.mqtt, hello(id, true)).unwrap();
            assert!(client.is_present);
            tell(edge, text);
            assert_eq!(heard_until(&mut client, text), (Vec::new(), 0), "{id}");
            client.heard();
            client.leave();
        }
    }
}

/// Publishes the first events and takes them, without a word; gives their packet ids.
fn tell_numbers(edge: &Edge, client: &mut MqttClient, qos: u8) -> Vec<u16> {
    publish(edge, 1..=BEFORE);
    let next = |number: usize| match client.next().unwrap() {
        Packet::Publish(message) => {
            assert_eq!((message.text(), message.qos), (number.to_string().as_str(), qos));
            message.id
        }
        other => panic!("{other:?}"),
    };
    (1..=BEFORE).map(next).collect()
}
