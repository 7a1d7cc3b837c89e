//! Promise 4: a newcomer gets the latest state of each topic, then every later change, without gap or repeat.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::http_client::{HttpClient, Sse, WebSocket, get, post};
use crate::load;
use crate::program::Place;

const TOPICS: u64 = 20;

#[test]
fn sticky_first_a_newcomer_sees_the_state_before_the_change() {
    let place = Place::new();
    let hub = place.start();
    post(hub.http, "/v1/events/clinic/3/slot/9?sticky=true", &[], b"free");
    post(hub.http, "/v1/events/clinic/3/slot/9?sticky=true", &[], b"taken");
    post(hub.http, "/v1/events/clinic/3/slot/8?sticky=true", &[], b"gone");
    post(hub.http, "/v1/events/clinic/3/slot/8?sticky=true", &[], b"");
    let mut watcher = Sse::watch(hub.http, "filter=clinic/3/slot/%2B", None).unwrap();
    assert_eq!(watcher.next().unwrap().payload(), "taken");
    post(hub.http, "/v1/events/clinic/3/slot/9", &[], b"a visitor rings");
    assert_eq!(watcher.next().unwrap().payload(), "a visitor rings");
    assert_eq!(get(hub.http, "/v1/sticky/clinic/3/slot/9").text(), "taken");
    assert_eq!(get(hub.http, "/v1/sticky/clinic/3/slot/8").status, 404);
}

/// Newcomers join while the state changes under them; each must see, for some moment S of the log, exactly the state
/// as of S and then every event after S.
#[test]
fn sticky_first_without_gap_or_repeat_while_the_state_changes() {
    let place = Place::new();
    let hub = place.start();
    let addr = hub.http;
    let done = AtomicBool::new(false);
    let (seen_by_sse, seen_by_ws) = std::thread::scope(|scope| {
        for writer in 0..2 {
            let done = &done;
            scope.spawn(move || {
                let mut client = HttpClient::connect(addr).unwrap();
                for number in 0.. {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    let topic = format!("state/{}?sticky=true", (number * 2 + writer) % TOPICS);
                    let path = format!("/v1/events/{topic}");
                    assert_eq!(client.request("POST", &path, &[], b"x").unwrap().status, 200);
                }
            });
        }
        let watchers: Vec<_> = (0..4).map(|_| scope.spawn(move || watch_sse(addr))).collect();
        let sockets: Vec<_> = (0..4).map(|_| scope.spawn(move || watch_ws(addr))).collect();
        let by_sse: Vec<_> = watchers.into_iter().map(|thread| thread.join().unwrap()).collect();
        let by_ws: Vec<_> = sockets.into_iter().map(|thread| thread.join().unwrap()).collect();
        done.store(true, Ordering::SeqCst);
        (by_sse, by_ws)
    });
    let log: Vec<(u64, String)> = place.export().iter().map(seq_and_topic).collect();
    for seen in seen_by_sse.iter().chain(&seen_by_ws) {
        assert!(is_state_then_changes(seen, &log), "seen {seen:?}");
    }
}

fn seq_and_topic(event: &Value) -> (u64, String) {
    (event["seq"].as_u64().unwrap(), event["topic"].as_str().unwrap().to_owned())
}

const SEEN: usize = 300;

fn watch_sse(addr: std::net::SocketAddr) -> Vec<u64> {
    let mut watcher = Sse::watch(addr, "filter=state/%23", None).unwrap();
    let sent = std::iter::from_fn(|| watcher.next().ok()).filter(|sent| sent.kind == "message");
    sent.map(|sent| serde_json::from_str::<Value>(&sent.data).unwrap()["seq"].as_u64().unwrap()).take(SEEN).collect()
}

fn watch_ws(addr: std::net::SocketAddr) -> Vec<u64> {
    let mut ws = WebSocket::connect(addr).unwrap();
    load::ws_welcome(&mut ws);
    ws.write(r#"{"op":"subscribe","filter":"state/#","sticky":true}"#).unwrap();
    let frames = std::iter::from_fn(|| ws.next().ok()).filter(|frame| frame["op"] == "event");
    frames.map(|frame| frame["event"]["seq"].as_u64().unwrap()).take(SEEN).collect()
}

fn is_state_then_changes(seen: &[u64], log: &[(u64, String)]) -> bool {
    let mut state: BTreeMap<&str, u64> = BTreeMap::new();
    let mut splits = vec![(0, Vec::new())];
    for (at, (seq, topic)) in log.iter().enumerate() {
        state.insert(topic, *seq);
        splits.push((at + 1, state.values().copied().collect()));
    }
    splits.into_iter().any(|(at, mut state)| {
        let count = state.len().min(seen.len());
        let mut first = seen[..count].to_vec();
        first.sort_unstable();
        state.sort_unstable();
        let later = log[at..].iter().map(|(seq, _)| *seq);
        first == state[..count] && later.take(seen.len() - count).eq(seen[count..].iter().copied())
    })
}
