//! Promises 1 to 5 for MQTT sessions: what was acknowledged reaches a client that was away, whatever was killed meanwhile.

use crate::mqtt_client::{Hello, MqttClient, Packet};
use crate::program::{Place, Running};

/// How many publications an absent client misses.
const MISSED: usize = 10_000;

/// Publishes them, many under way at once, and waits for the last acknowledgement.
fn publish_all(hub: &Running, qos: u8) {
    let mut source = MqttClient::connect(hub.mqtt, Hello::kept("source")).unwrap();
    let (mut sent, mut done) = (0, 0);
    while done < MISSED {
        while sent < MISSED && sent - done < 500 {
            sent += 1;
            source.publish("orders/new", &sent.to_string(), qos, sent as u16).unwrap();
        }
        match source.next().unwrap() {
            Packet::Ack(4, _, 0) if qos == 1 => done += 1,
            Packet::Ack(5, id, 0) if qos == 2 => source.ack(6, id).unwrap(),
            Packet::Ack(7, _, 0) if qos == 2 => done += 1,
            other => panic!("{other:?}"),
        }
    }
}

/// What an absent client gets when it's back: all, in order, each once.
fn absent(qos: u8) {
    let place = Place::new();
    let hub = place.start();
    let mut absent = MqttClient::connect(hub.mqtt, Hello::kept("absent")).unwrap();
    assert_eq!(absent.subscribe("orders/#", qos), qos);
    absent.leave();
    publish_all(&hub, qos);
    hub.kill();

    let hub = place.start();
    let mut back = MqttClient::connect(hub.mqtt, Hello::kept("absent")).unwrap();
    assert!(back.is_present);
    for number in 1..=MISSED {
        let message = back.message();
        assert_eq!((message.text(), message.qos, message.is_again), (number.to_string().as_str(), qos, false));
    }
    // Nothing comes twice: the next thing that is heard is the next thing that was said.
    back.publish("orders/last", "last", 1, 9).unwrap();
    let mut heard = [back.next().unwrap(), back.next().unwrap()];
    heard.sort_by_key(|packet| matches!(packet, Packet::Publish(_)));
    assert_eq!(heard[0], Packet::Ack(4, 9, 0));
    assert!(matches!(&heard[1], Packet::Publish(message) if message.text() == "last"), "{heard:?}");
}

#[test]
fn durable_before_ack_an_absent_session_gets_all_of_qos_1_after_kill_9() {
    absent(1);
}

#[test]
fn durable_before_ack_an_absent_session_gets_all_of_qos_2_after_kill_9() {
    absent(2);
}

#[test]
fn nothing_twice_a_qos_2_publication_that_is_resent_after_kill_9_is_stored_once() {
    let place = Place::new();
    let hub = place.start();
    let mut source = MqttClient::connect(hub.mqtt, Hello::kept("source")).unwrap();
    source.publish("a", "once", 2, 5).unwrap();
    assert_eq!(source.next().unwrap(), Packet::Ack(5, 5, 0));
    hub.kill();

    let hub = place.start();
    let mut source = MqttClient::connect(hub.mqtt, Hello::kept("source")).unwrap();
    assert!(source.is_present);
    let again = source.publication("a", "once", 2, 5, true, None);
    source.write(&again).unwrap();
    assert_eq!(source.next().unwrap(), Packet::Ack(5, 5, 0));
    source.ack(6, 5).unwrap();
    assert_eq!(source.next().unwrap(), Packet::Ack(7, 5, 0));
    hub.kill();

    // Released, the packet id is free, also after a crash: a new publication under it is a new one.
    let hub = place.start();
    let mut source = MqttClient::connect(hub.mqtt, Hello::kept("source")).unwrap();
    source.publish("a", "another", 2, 5).unwrap();
    assert_eq!(source.next().unwrap(), Packet::Ack(5, 5, 0));
    let payloads: Vec<_> = place.export().iter().map(|event| event["payload"].as_str().unwrap().to_owned()).collect();
    assert_eq!(payloads, ["once", "another"]);
}

#[test]
fn nothing_twice_a_qos_2_delivery_that_was_received_is_released_and_not_sent_again_after_kill_9() {
    let place = Place::new();
    let hub = place.start();
    let mut watcher = MqttClient::connect(hub.mqtt, Hello::kept("watcher")).unwrap();
    watcher.subscribe("a", 2);
    let mut source = MqttClient::connect(hub.mqtt, Hello::new("source")).unwrap();
    for number in 1..=3u16 {
        source.publish("a", &number.to_string(), 2, number).unwrap();
        assert_eq!(source.next().unwrap(), Packet::Ack(5, number, 0));
    }
    let ids: Vec<u16> = (0..3)
        .map(|_| match watcher.next().unwrap() {
            Packet::Publish(message) => message.id,
            other => panic!("{other:?}"),
        })
        .collect();
    watcher.ack(5, ids[1]).unwrap();
    assert_eq!(watcher.next().unwrap(), Packet::Ack(6, ids[1], 0));
    hub.kill();

    let hub = place.start();
    let mut watcher = MqttClient::connect(hub.mqtt, Hello::kept("watcher")).unwrap();
    assert!(watcher.is_present);
    assert_eq!(watcher.next().unwrap(), Packet::Ack(6, ids[1], 0));
    watcher.ack(7, ids[1]).unwrap();
    let mut again = Vec::new();
    for _ in 0..2 {
        let message = watcher.message();
        assert!(ids.contains(&message.id), "the same packet ids as before");
        again.push(message.text().to_owned());
    }
    assert_eq!(again, ["1", "3"]);
}

#[test]
fn nothing_twice_an_event_id_is_recognised_on_every_edge() {
    let place = Place::new();
    let hub = place.start();
    let mut source = MqttClient::connect(hub.mqtt, Hello::new("source")).unwrap();
    for id in [1, 2] {
        let bytes = source.publication("a", "one", 1, id, false, Some("order-17"));
        source.write(&bytes).unwrap();
        assert_eq!(source.next().unwrap(), Packet::Ack(4, id, 0));
    }
    let mut http = crate::http_client::HttpClient::connect(hub.http).unwrap();
    assert_eq!(http.post("a", "order-17", "one").unwrap().status, 200);
    assert_eq!(place.export().len(), 1);
}

#[test]
fn sticky_first_a_storm_of_retained_messages_arrives_whole_under_the_clients_window() {
    const TOPICS: usize = 12_500;
    let place = Place::new();
    let hub = place.start();
    let mut source = MqttClient::connect(hub.mqtt, Hello::new("source")).unwrap();
    let (mut sent, mut done) = (0, 0);
    while done < TOPICS {
        while sent < TOPICS && sent - done < 500 {
            sent += 1;
            source.publish_retained(&format!("meter/{sent}"), &sent.to_string(), sent as u16).unwrap();
        }
        assert!(matches!(source.next().unwrap(), Packet::Ack(4, _, 0)));
        done += 1;
    }
    let mut watcher = MqttClient::connect(hub.mqtt, Hello::new("watcher")).unwrap();
    watcher.subscribe("#", 1);
    let mut seen: Vec<usize> = (0..TOPICS)
        .map(|_| {
            let message = watcher.message();
            assert!(message.is_retained && message.qos == 1);
            message.text().parse().unwrap()
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=TOPICS).collect::<Vec<_>>());
    // And then every later change, not as a state.
    source.publish_retained("meter/7", "changed", 1).unwrap();
    let message = watcher.message();
    assert_eq!((message.text(), message.is_retained), ("changed", false));
}

#[test]
fn bounded_a_client_that_does_not_read_costs_no_memory_and_gets_everything_later() {
    const EVENTS: usize = 40_000;
    let place = Place::new();
    let hub = place.start();
    let mut stalled = MqttClient::connect(hub.mqtt, Hello::new("stalled")).unwrap();
    stalled.subscribe("flood", 1);
    let mut source = MqttClient::connect(hub.mqtt, Hello::new("source")).unwrap();
    let payload = "x".repeat(1_000);
    let (mut sent, mut done) = (0, 0);
    let mut before = 0;
    while done < EVENTS {
        while sent < EVENTS && sent - done < 500 {
            sent += 1;
            source.publish("flood", &format!("{sent} {payload}"), 1, (sent % 60_000) as u16 + 1).unwrap();
        }
        assert!(matches!(source.next().unwrap(), Packet::Ack(4, _, 0)));
        done += 1;
        if done == EVENTS / 4 {
            before = hub.rss_kib();
        }
    }
    let grown = hub.rss_kib().saturating_sub(before);
    assert!(grown < 24 << 10, "grew by {grown} KiB while 30 MB were missed");
    for number in 1..=EVENTS {
        let message = stalled.message();
        assert_eq!(message.text().split(' ').next(), Some(number.to_string().as_str()));
    }
}
