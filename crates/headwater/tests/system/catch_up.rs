//! Promise 5: a client that comes back with a position gets what it missed, or is told that it can't.

use crate::http_client::{HttpClient, Sse, WebSocket, get, post};
use crate::load;
use crate::program::Place;

#[test]
fn catch_up_by_server_sent_events_over_a_kill() {
    let place = Place::new();
    let hub = place.start();
    let mut watcher = Sse::watch(hub.http, "filter=news/%23", None).unwrap();
    post(hub.http, "/v1/events/news/1", &[], b"one");
    let one = watcher.next().unwrap();
    assert_eq!(one.payload(), "one");
    drop(watcher);
    let mut client = HttpClient::connect(hub.http).unwrap();
    for number in 2..=500 {
        assert_eq!(client.post("news/1", &format!("n{number}"), &number.to_string()).unwrap().status, 200);
        client.post("other", &format!("o{number}"), "not wanted").unwrap();
    }
    hub.kill();
    let hub = place.start();
    let mut watcher = Sse::watch(hub.http, "filter=news/%23", one.id.as_deref()).unwrap();
    for number in 2..=500 {
        assert_eq!(watcher.next().unwrap().payload(), number.to_string());
    }
    post(hub.http, "/v1/events/news/1", &[], b"live again");
    assert_eq!(watcher.next().unwrap().payload(), "live again");
}

#[test]
fn catch_up_by_websocket_and_history() {
    let place = Place::new();
    let hub = place.start();
    let mut client = HttpClient::connect(hub.http).unwrap();
    let first = client.post("a", "1", "1").unwrap().json();
    for number in 2..=50 {
        client.post("a", &number.to_string(), &number.to_string()).unwrap();
    }
    let from = format!("{}:{}", first["epoch"], first["seq"]);
    let mut ws = WebSocket::connect(hub.http).unwrap();
    load::ws_welcome(&mut ws);
    ws.write(&format!(r#"{{"op":"subscribe","filter":"a","from":"{from}"}}"#)).unwrap();
    let mut frames = std::iter::from_fn(|| ws.next().ok()).filter(|frame| frame["op"] == "event");
    for number in 2..=50 {
        assert_eq!(frames.next().unwrap()["event"]["payload"], number.to_string());
    }
    let history = get(hub.http, &format!("/v1/events?filter=a&from={from}&limit=10")).text();
    let payloads: Vec<_> = history
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["payload"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(payloads, (2..=11).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(get(hub.http, "/v1/events?filter=a&from=start").text().lines().count(), 50);
}

/// Who comes back while others watch the same goes on from memory, not from the log: at just the event it has to.
#[test]
fn catch_up_from_what_others_watch_begins_with_the_very_next_event() {
    const EVENTS: usize = 12;
    let place = Place::new();
    let hub = place.start();
    let mut others = Sse::watch(hub.http, "filter=news/%23", None).unwrap();
    let mut client = HttpClient::connect(hub.http).unwrap();
    // Each is seen before the next is sent, so that each stands alone in memory.
    let ids: Vec<_> = (0..EVENTS)
        .map(|number| {
            assert_eq!(client.post("news/1", &format!("n{number}"), &number.to_string()).unwrap().status, 200);
            let sent = others.next().unwrap();
            assert_eq!(sent.payload(), number.to_string());
            sent.id.unwrap()
        })
        .collect();
    for (seen, id) in ids.iter().enumerate() {
        let mut watcher = Sse::watch(hub.http, "filter=news/%23", Some(id)).unwrap();
        for number in seen + 1..EVENTS {
            assert_eq!(watcher.next().unwrap().payload(), number.to_string(), "after {seen}");
        }
    }
    post(hub.http, "/v1/events/news/1", &[], b"live");
    assert_eq!(others.next().unwrap().payload(), "live");
}

#[test]
fn catch_up_that_is_impossible_is_said() {
    let place = Place::new();
    let hub = place.start();
    let here = post(hub.http, "/v1/events/a", &[], b"x").json();
    let other_epoch = format!("{}:1", here["epoch"].as_u64().unwrap() ^ 1);
    let ahead = format!("{}:{}", here["epoch"], here["seq"].as_u64().unwrap() + 1_000);
    for from in [other_epoch, ahead] {
        let history = get(hub.http, &format!("/v1/events?filter=a&from={from}"));
        assert!((400..500).contains(&history.status), "{}", history.status);
        assert_eq!(history.header("content-type"), Some("application/problem+json"));
        let mut ws = WebSocket::connect(hub.http).unwrap();
        load::ws_welcome(&mut ws);
        ws.write(&format!(r#"{{"op":"subscribe","filter":"a","from":"{from}"}}"#)).unwrap();
        assert_eq!(ws.next().unwrap()["op"], "error");
    }
}
