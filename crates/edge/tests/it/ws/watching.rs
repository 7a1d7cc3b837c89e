//! Who watches over a WebSocket sees the state first, every change after it, and what it missed.

use headwater_edge::ws::Settings;
use serde_json::{Value, json};

use super::client::{Client, Place};
use crate::memory::Memory;

async fn publish(client: &mut Client, topic: &str, payload: &str, sticky: bool) -> Value {
    let publish = json!({"op": "publish", "topic": topic, "payload": payload, "sticky": sticky});
    let ack = client.ask(&publish.to_string()).await;
    assert_eq!(ack["op"], "ack", "{ack}");
    ack
}

#[tokio::test]
async fn a_newcomer_gets_the_latest_states_and_then_every_change() {
    let place = Place::new().await;
    let mut producer = place.client().await;
    publish(&mut producer, "slot/2", "free", true).await;
    publish(&mut producer, "slot/1", "free", true).await;
    publish(&mut producer, "slot/1", "taken", true).await;
    publish(&mut producer, "slot/1", "no state", false).await;
    let mut watcher = place.client().await;
    let begun = watcher.ask(r#"{"op":"subscribe","ref":1,"filter":"slot/+"}"#).await;
    assert_eq!(begun, json!({"op": "subscribed", "ref": 1, "filter": "slot/+", "position": "7:4"}));
    for (topic, payload, seq) in [("slot/1", "taken", 3), ("slot/2", "free", 1)] {
        let state = watcher.json().await;
        assert_eq!(state["op"], "event");
        assert_eq!(state["state"], true);
        assert_eq!(state.get("position"), None);
        assert_eq!(state["event"]["topic"], topic);
        assert_eq!(state["event"]["payload"], payload);
        assert_eq!(state["event"]["seq"], seq);
    }
    assert_eq!(watcher.json().await, json!({"op": "current", "filter": "slot/+", "position": "7:4"}));
    publish(&mut producer, "slot/2", "taken", true).await;
    let change = watcher.json().await;
    assert_eq!((&change["position"], &change["event"]["payload"]), (&json!("7:5"), &json!("taken")));
    assert_eq!(change.get("state"), None);
}

#[tokio::test]
async fn whoever_comes_back_with_a_position_gets_what_it_missed() {
    let place = Place::new().await;
    let mut producer = place.client().await;
    for number in 1..=5 {
        publish(&mut producer, "news", &number.to_string(), false).await;
    }
    for (from, first) in [("7:3", 4), ("start", 1)] {
        let mut watcher = place.client().await;
        let begun = watcher.ask(&json!({"op": "subscribe", "filter": "#", "from": from}).to_string()).await;
        assert_eq!(begun["op"], "subscribed");
        for number in first..=5 {
            let event = watcher.json().await;
            assert_eq!(event["position"], format!("7:{number}"));
            assert_eq!(event["event"]["payload"], number.to_string());
        }
    }
}

#[tokio::test]
async fn a_position_that_cannot_be_caught_up_from_is_said() {
    let place = Place::over(Memory::with_oldest(2), Settings::default()).await;
    let mut client = place.client().await;
    for number in 0..3 {
        publish(&mut client, "a", &number.to_string(), false).await;
    }
    let gone = client.ask(r#"{"op":"subscribe","ref":"r","filter":"a","from":"7:1"}"#).await;
    assert_eq!((&gone["error"], &gone["oldest"], &gone["ref"]), (&json!("gone"), &json!("7:2"), &json!("r")));
    for from in ["8:1", "7:99"] {
        let other = client.ask(&json!({"op": "subscribe", "filter": "a", "from": from}).to_string()).await;
        assert_eq!((&other["error"], &other["head"]), (&json!("no_such_position"), &json!("7:3")));
    }
    let begun = client.ask(r#"{"op":"subscribe","filter":"a","from":"7:2"}"#).await;
    assert_eq!(begun["op"], "subscribed");
    assert_eq!(client.json().await["position"], "7:3");
}

#[tokio::test]
async fn no_event_comes_after_unsubscribed() {
    let place = Place::new().await;
    let mut client = place.client().await;
    let begun = client.ask(r#"{"op":"subscribe","filter":"a","sticky":false}"#).await;
    assert_eq!(begun["op"], "subscribed");
    let twice = client.ask(r#"{"op":"subscribe","ref":2,"filter":"a","sticky":false}"#).await;
    assert_eq!((&twice["op"], &twice["ref"]), (&json!("error"), &json!(2)));
    let ended = client.ask(r#"{"op":"unsubscribe","ref":3,"filter":"a"}"#).await;
    assert_eq!(ended, json!({"op": "unsubscribed", "ref": 3, "filter": "a"}));
    publish(&mut client, "a", "unheard", false).await;
    let never = client.ask(r#"{"op":"unsubscribe","ref":4,"filter":"a"}"#).await;
    assert_eq!((&never["op"], &never["ref"]), (&json!("error"), &json!(4)));
    let again = client.ask(r#"{"op":"subscribe","filter":"a","sticky":false}"#).await;
    assert_eq!(again["op"], "subscribed");
}

#[tokio::test]
async fn one_event_comes_once_for_each_of_a_clients_filters() {
    let place = Place::new().await;
    let mut client = place.client().await;
    for filter in ["a/+", "a/b"] {
        let begun = client.ask(&json!({"op": "subscribe", "filter": filter, "sticky": false}).to_string()).await;
        assert_eq!(begun["op"], "subscribed");
    }
    client.say(r#"{"op":"publish","topic":"a/b","payload":"x"}"#).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let frame = client.json().await;
        seen.push(frame["filter"].as_str().unwrap_or("ack").to_owned());
    }
    seen.sort_unstable();
    assert_eq!(seen, ["a/+", "a/b", "ack"]);
}

#[tokio::test]
async fn subscriptions_are_bounded() {
    let place = Place::with(Settings { subscriptions_max: 2, ..Settings::default() }).await;
    let mut client = place.client().await;
    let subscribe = |filter: &str| json!({"op": "subscribe", "filter": filter, "sticky": false}).to_string();
    for filter in ["a", "b"] {
        assert_eq!(client.ask(&subscribe(filter)).await["op"], "subscribed");
    }
    let refused = client.ask(&subscribe("c")).await;
    assert_eq!((&refused["op"], &refused["error"]), (&json!("error"), &json!("malformed")));
    assert_eq!(client.ask(r#"{"op":"unsubscribe","filter":"a"}"#).await["op"], "unsubscribed");
    assert_eq!(client.ask(&subscribe("c")).await["op"], "subscribed");
}
