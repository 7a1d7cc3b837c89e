//! Who publishes over a WebSocket is acknowledged when the event is durable, in order, and within bounds.

use std::time::Duration;

use headwater_edge::ws::Settings;
use serde_json::json;

use super::client::Place;

#[tokio::test]
async fn an_ack_comes_only_when_the_event_is_durable() {
    let place = Place::new().await;
    let mut client = place.client().await;
    place.bus.hold();
    client.say(r#"{"op":"publish","ref":1,"topic":"a","payload":"x","id":"one"}"#).await;
    // The pong overtakes the ack, which waits for the disk.
    assert_eq!(client.ask(r#"{"op":"ping","ref":2}"#).await, json!({"op": "pong", "ref": 2}));
    assert_eq!(place.hub.head().seq, 0);
    place.bus.release();
    let ack = json!({"op": "ack", "ref": 1, "id": "one", "epoch": 7, "seq": 1, "duplicate": false});
    assert_eq!(client.json().await, ack);
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_publishes_refusals_too() {
    let place = Place::new().await;
    let mut client = place.client().await;
    place.bus.hold();
    let large = "x".repeat(headwater_hub::Limits::PAYLOAD_MAX + 1);
    for reference in 0..200 {
        let payload = if reference % 50 == 7 { large.as_str() } else { "x" };
        client.say(&json!({"op": "publish", "ref": reference, "topic": "a", "payload": payload}).to_string()).await;
    }
    assert_eq!(client.ask(r#"{"op":"ping"}"#).await["op"], "pong");
    place.bus.release();
    for reference in 0..200 {
        let answer = client.json().await;
        assert_eq!(answer["ref"], reference);
        if reference % 50 == 7 {
            assert_eq!((&answer["op"], &answer["error"]), (&json!("error"), &json!("too_large")));
        } else {
            assert_eq!(answer["op"], "ack");
        }
    }
    assert_eq!(place.hub.head().seq, 196);
}

#[tokio::test]
async fn nothing_twice_from_a_resending_client() {
    let place = Place::new().await;
    let publish = r#"{"op":"publish","topic":"a","payload":"x","id":"order-17"}"#;
    let first = place.client().await.ask(publish).await;
    let again = place.client().await.ask(publish).await;
    assert_eq!((&first["seq"], &first["duplicate"]), (&json!(1), &json!(false)));
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));
    assert_eq!(place.hub.head().seq, 1);
}

#[tokio::test]
async fn an_event_without_an_id_gets_one() {
    let place = Place::new().await;
    let mut client = place.client().await;
    let ack = client.ask(r#"{"op":"publish","topic":"a","json":{"x":1},"headers":{"k":["v","w"]}}"#).await;
    assert_eq!(client.ask(r#"{"op":"subscribe","filter":"a","from":"start"}"#).await["op"], "subscribed");
    let event = client.json().await["event"].take();
    assert_eq!(event["id"], ack["id"]);
    assert_eq!(event["payload"], r#"{"x":1}"#);
    assert_eq!(event["headers"], json!({"k": ["v", "w"], "content-type": "application/json"}));
}

#[tokio::test]
async fn beyond_the_publishes_in_flight_nothing_more_is_read() {
    let place = Place::with(Settings { in_flight_max: 3, ..Settings::default() }).await;
    let mut client = place.client().await;
    place.bus.hold();
    let mut bytes = Vec::new();
    for reference in 0..10 {
        let publish = json!({"op": "publish", "ref": reference, "topic": "a", "payload": "x"}).to_string();
        bytes.extend(super::client::frame(0x81, publish.as_bytes()));
    }
    client.send(&bytes).await;
    // Three are on their way to the disk, and no fourth while they are.
    while place.hub.waiting().0 < 3 {
        tokio::task::yield_now().await;
    }
    let mut other = place.client().await;
    assert_eq!(other.ask(r#"{"op":"ping"}"#).await["op"], "pong");
    assert_eq!(place.hub.waiting().0, 3);
    place.bus.release();
    for reference in 0..10 {
        assert_eq!(client.json().await["ref"], reference);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_not_read_either_and_loses_none() {
    const PINGS: usize = 200;
    let place = Place::new().await;
    let mut client = place.client().await;
    let mark = "m".repeat(50);
    let pings = super::client::frame(0x81, format!(r#"{{"op":"ping","ref":"{mark}"}}"#).as_bytes()).repeat(PINGS);
    // As long as the server goes on to read, this goes on: its own memory and the sockets' buffers are what ends it.
    let mut pieces = 0;
    while client.send_within(&pings, Duration::from_millis(500)).await {
        pieces += 1;
        assert!(pieces < 5_000, "the server has read {} MB of questions", pieces * pings.len() / 1_000_000);
    }
    for _ in 0..pieces * PINGS {
        assert_eq!(client.json().await["op"], "pong");
    }
}
