//! rumqttc, a client that others wrote, in both versions: it publishes and watches at each QoS, and keeps a session through
//! the death of the hub.

use std::time::Duration;

use crate::program::{PATIENCE, Place};

/// How many publications each test sends.
const COUNT: usize = 300;

#[test]
fn durable_before_ack_rumqttc_gets_what_it_published_in_3_1_1() {
    use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
    let place = Place::new();
    let hub = place.start();
    let mut options = MqttOptions::new("rumqttc", hub.mqtt.ip().to_string(), hub.mqtt.port());
    options.set_clean_session(false).set_keep_alive(Duration::from_secs(30));
    let (client, mut connection) = Client::new(options, COUNT + 10);
    client.subscribe("r/#", QoS::ExactlyOnce).unwrap();
    for number in 0..COUNT {
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][number % 3];
        client.publish(format!("r/{}", number % 3), qos, false, number.to_string()).unwrap();
    }
    let mut got = Vec::new();
    while got.len() < COUNT {
        let event = connection.recv_timeout(PATIENCE).expect("more comes").expect("the connection holds");
        if let Event::Incoming(Packet::Publish(publish)) = event {
            got.push((publish.topic, String::from_utf8(publish.payload.to_vec()).unwrap()));
        }
    }
    check(&got);
}

#[test]
fn durable_before_ack_rumqttc_gets_what_it_published_in_5_0() {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::Packet;
    use rumqttc::v5::{Client, Event, MqttOptions};
    let place = Place::new();
    let hub = place.start();
    let mut options = MqttOptions::new("rumqttc5", hub.mqtt.ip().to_string(), hub.mqtt.port());
    options.set_clean_start(true).set_keep_alive(Duration::from_secs(30));
    let (client, mut connection) = Client::new(options, COUNT + 10);
    client.subscribe("r/#", QoS::ExactlyOnce).unwrap();
    for number in 0..COUNT {
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][number % 3];
        client.publish(format!("r/{}", number % 3), qos, false, number.to_string()).unwrap();
    }
    let mut got = Vec::new();
    while got.len() < COUNT {
        let event = connection.recv_timeout(PATIENCE).expect("more comes").expect("the connection holds");
        if let Event::Incoming(Packet::Publish(publish)) = event {
            let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
            got.push((topic, String::from_utf8(publish.payload.to_vec()).unwrap()));
        }
    }
    check(&got);
}

/// Each topic's numbers, in order.
fn check(got: &[(String, String)]) {
    for kind in 0..3 {
        let mine = got.iter().filter(|(topic, _)| *topic == format!("r/{kind}"));
        let numbers: Vec<usize> = mine.map(|(_, payload)| payload.parse().unwrap()).collect();
        assert_eq!(numbers, (kind..COUNT).step_by(3).collect::<Vec<_>>(), "QoS {kind}");
    }
}
