//! Promise 1: an acknowledgement is sent only after the event is on disk.

use std::time::{Duration, Instant};

use crate::frame_client::FrameClient;
use crate::http_client::{HttpClient, WebSocket};
use crate::load;
use crate::mqtt_client::{Hello, MqttClient, Packet};
use crate::power;
use crate::program::Place;

/// A disk whose sync takes this long: an acknowledgement that comes sooner came before the sync.
const SYNC: Duration = Duration::from_millis(150);

#[test]
fn durable_before_ack_no_edge_answers_before_the_sync_has_returned() {
    let place = Place::new().arg("--test-sync-delay").arg("150");
    let hub = place.start();
    let mut frames = FrameClient::connect(hub.frames, [1; 16]).unwrap();
    let mut http = HttpClient::connect(hub.http).unwrap();
    let mut ws = WebSocket::connect(hub.http).unwrap();
    load::ws_welcome(&mut ws);

    let begun = Instant::now();
    frames.send(1, b"by frame");
    assert!(begun.elapsed() >= SYNC, "a frame was acknowledged after {:?}", begun.elapsed());

    let begun = Instant::now();
    assert_eq!(http.post("a/b", "k1", "by HTTP").unwrap().status, 200);
    assert!(begun.elapsed() >= SYNC, "a POST was answered after {:?}", begun.elapsed());

    let mut mqtt = MqttClient::connect(hub.mqtt, Hello::new("c")).unwrap();
    for (qos, answer) in [(1, 4), (2, 5)] {
        let begun = Instant::now();
        mqtt.publish("a/b", "by MQTT", qos, 7).unwrap();
        assert_eq!(mqtt.next().unwrap(), Packet::Ack(answer, 7, 0));
        assert!(begun.elapsed() >= SYNC, "a publication of QoS {qos} was acknowledged after {:?}", begun.elapsed());
    }

    let begun = Instant::now();
    load::ws_publish(&mut ws, "a/b", "w1", "by WebSocket");
    assert!(begun.elapsed() >= SYNC, "a WebSocket publish was acknowledged after {:?}", begun.elapsed());
}

#[test]
fn durable_before_ack_also_for_a_resend_of_what_is_still_on_its_way() {
    let place = Place::new().arg("--test-sync-delay").arg("150");
    let hub = place.start();
    let mut first = HttpClient::connect(hub.http).unwrap();
    let begun = Instant::now();
    let addr = hub.http;
    let other = std::thread::spawn(move || HttpClient::connect(addr).unwrap().post("a", "one", "x").unwrap().json());
    let one = first.post("a", "one", "x").unwrap().json();
    let two = other.join().unwrap();
    assert!(begun.elapsed() >= SYNC);
    assert_eq!((&one["seq"], &one["epoch"]), (&two["seq"], &two["epoch"]));
    assert_eq!(place.export().len(), 1);
}

#[test]
fn durable_before_ack_under_kill_9_from_all_edges_at_once() {
    let rounds = std::env::var("HEADWATER_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let place = Place::new();
    let mut load = load::Load::new();
    for round in 0..rounds {
        let hub = place.start();
        load.run_until_killed(hub, round);
        load.check(&place.export());
    }
    println!("{rounds} kills, {} events acknowledged", load.acknowledged());
    assert!(load.acknowledged() > 0);
}

#[test]
fn durable_before_ack_when_the_power_is_cut() {
    let rounds = std::env::var("HEADWATER_POWER_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let Some(mut volume) = power::Volume::make() else { return };
    let mut load = load::Load::new();
    for round in 0..rounds {
        let hub = Place::at(volume.mounted()).start();
        load.run(hub, round, |hub| volume.cut_the_power(hub));
        let place = Place::at(volume.mounted());
        // The start repairs the tail; the export then reads what is left beside it.
        let hub = place.start();
        load.check(&place.export());
        drop(hub);
    }
    assert!(load.acknowledged() > 0);
}
