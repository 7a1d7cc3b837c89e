//! What everybody in a namespace is told, and what comes to whoever comes back.

use std::time::Instant;

use headwater_edge::socketio::Settings;
use serde_json::json;

use super::place::{PATIENCE, Place, Wire};
use crate::guarded::{self, PASSWORD};

fn event(packet: &str) -> Vec<serde_json::Value> {
    serde_json::from_str(packet.strip_prefix("42").unwrap_or_else(|| panic!("{packet}"))).unwrap()
}

#[tokio::test]
async fn everybody_is_told_without_joining_anything_and_with_an_offset() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    let (mut one, _) = place.connected("40").await;
    let (mut two, _) = place.connected("40{\"name\":7}").await;
    place.publish("alerts/berlin/alert", "{\"type\":\"Fire\"}", false).await;
    place.publish("elsewhere/alert", "{}", false).await;
    place.publish("alerts/berlin/other", "{}", false).await;
    place.publish("alerts/berlin/alert", "no JSON", false).await;
    place.publish("alerts/berlin/alert", "", false).await;
    place.publish("alerts/bonn/alert", "[2]", false).await;
    for wire in [&mut one, &mut two] {
        let first = event(&wire.packet().await);
        assert_eq!(first[..2], [json!("alert"), json!({"type": "Fire"})]);
        assert_eq!(event(&wire.packet().await)[..2], [json!("alert"), json!([2])]);
        assert_eq!(first.len(), 3, "the offset is the last argument");
    }
}

#[tokio::test]
async fn a_library_that_keeps_no_offsets_gets_an_event_as_its_handlers_expect_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    // python-socketio writes the two in this order; its handlers fail with an argument too many.
    let mut wire = Wire::open(place.addr, "transport=websocket&EIO=4").await;
    assert!(wire.text().await.starts_with('0'));
    wire.say("40{}").await;
    assert!(wire.packet().await.starts_with("40{"));
    place.publish("alerts/berlin/alert", "{\"type\":\"Fire\"}", false).await;
    assert_eq!(event(&wire.packet().await), [json!("alert"), json!({"type": "Fire"})]);
    assert_eq!(event(&wire.packet().await), [json!("position"), json!(place.hub.head().to_string())]);
}

#[tokio::test]
async fn what_was_missed_comes_after_a_restart_of_the_hub_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    let (mut wire, shown) = place.connected("40").await;
    let pid = shown["pid"].as_str().unwrap().to_owned();
    let (_fresh, untold) = place.connected("40").await;
    place.publish("alerts/a/alert", "1", false).await;
    let offset = event(&wire.packet().await)[2].as_str().unwrap().to_owned();
    place.stop.request();
    wire.closed().await;
    let hub = std::sync::Arc::downgrade(&place.hub);
    drop((place, wire, _fresh));
    let begun = Instant::now();
    while hub.strong_count() > 0 {
        assert!(begun.elapsed() < PATIENCE, "something keeps the hub");
        tokio::task::yield_now().await;
    }

    let place = Place::at(folder.path(), Settings::default());
    place.publish("alerts/a/alert", "2", false).await;
    place.publish("alerts/b/alert", "3", false).await;
    let (mut wire, shown) = place.connected(&format!("40{}", json!({"pid": pid, "offset": offset}))).await;
    assert_eq!(shown["pid"], json!(pid), "by this a client knows that it has recovered");
    assert_eq!(event(&wire.packet().await)[1], json!(2));
    assert_eq!(event(&wire.packet().await)[1], json!(3));
    place.publish("alerts/b/alert", "4", false).await;
    assert_eq!(event(&wire.packet().await)[1], json!(4));
    // One that had been told nothing yet has no offset; its pid says where it began.
    let (mut wire, shown) = place.connected(&format!("40{}", json!({"pid": untold["pid"]}))).await;
    assert_eq!(shown["pid"], untold["pid"]);
    for number in 1..=4 {
        assert_eq!(event(&wire.packet().await)[1], json!(number));
    }
}

#[tokio::test]
async fn what_can_not_be_recovered_is_said_to_be_new() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    place.publish("alerts/a/alert", "1", false).await;
    for shown in [
        json!({"pid": "abc.1:0", "offset": "99:1"}),
        json!({"pid": "abc.1:0", "offset": "no position"}),
        json!({"pid": "no dot", "offset": "1:0"}),
        json!({"pid": "abc.", "offset": null}),
        json!({"pid": 7, "offset": {"a": 1}}),
        json!({"pid": format!("{}.1:0", "x".repeat(100))}),
    ] {
        let (mut wire, answer) = place.connected(&format!("40{shown}")).await;
        assert_ne!(answer["pid"], shown["pid"], "{shown}");
        place.publish("alerts/a/alert", "2", false).await;
        assert_eq!(event(&wire.packet().await)[1], json!(2), "it begins with what happens now");
    }
}

#[tokio::test]
async fn states_come_first_to_whoever_asks_and_then_the_place_to_go_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    place.publish("alerts/a/alert", "{\"is\":\"close\"}", true).await;
    place.publish("alerts/b/alert", "{\"is\":2}", true).await;
    let (mut wire, _) = place.connected("40{\"withState\":true}").await;
    assert_eq!(event(&wire.packet().await), [json!("alert"), json!({"is": "open"})], "spelled as a state");
    assert_eq!(event(&wire.packet().await), [json!("alert"), json!({"is": 2})]);
    let live = event(&wire.packet().await);
    assert_eq!(live[..2], [json!("live"), json!({"filter": "alerts/#"})]);
    assert_eq!(live[2], json!(place.hub.head().to_string()));
    // A room's states come beside what everybody is told, and don't move the offset.
    for room in [json!("b"), json!({"location": "b"}), json!({"room": "b"})] {
        wire.say(&format!("421{}", json!(["join", room]))).await;
        let answer = wire.packet().await;
        assert!(answer.starts_with("431[{\"ok\":true,\"filter\":\"alerts/b/#\""), "{answer}");
        assert_eq!(event(&wire.packet().await), [json!("alert"), json!({"is": 2})]);
        assert_eq!(event(&wire.packet().await), [json!("live"), json!({"filter": "alerts/b/#"})]);
    }
    place.publish("alerts/b/alert", "3", false).await;
    assert_eq!(event(&wire.packet().await)[1], json!(3), "once, also for who is in the room");
    wire.say("422[\"join\",7]").await;
    assert!(wire.packet().await.starts_with("432[{\"ok\":false,\"error\":\"malformed\""));
    wire.say("423[\"shout\"]").await;
    assert!(wire.packet().await.starts_with("433[{\"ok\":false"));
}

#[tokio::test]
async fn one_gate_lets_in_refuses_by_its_words_and_sends_away() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, access) = guarded::settings();
    let place = Place::over(folder.path(), Settings::default(), settings);
    let mut wire = place.wire().await;
    wire.say("40/hub,{\"token\":\"a.b.c\"}").await;
    let refusal = wire.packet().await;
    assert!(refusal.starts_with("44/hub,{\"message\":\"") && refusal.contains("\"not_authenticated\""), "{refusal}");
    wire.say("40/hub,{\"user\":\"ada\",\"password\":\"wrong\"}").await;
    assert!(wire.packet().await.contains("not_authenticated"));
    // Who may come in, but not watch what everybody here is told.
    wire.say(&format!("40{}", json!({"username": "ada", "password": PASSWORD}))).await;
    assert!(wire.packet().await.contains("\"not_allowed\""));
    wire.say(&format!("40/hub,{}", json!({"user": "ada", "password": PASSWORD}))).await;
    assert!(wire.packet().await.starts_with("40/hub,{\"sid\""));
    wire.say("42/hub,1[\"subscribe\",{\"filter\":\"bob/#\"}]").await;
    assert!(wire.packet().await.starts_with("43/hub,1[{\"ok\":false,\"error\":\"not_allowed\""));
    wire.say("42/hub,2[\"subscribe\",{\"filter\":\"ada/#\"}]").await;
    assert!(wire.packet().await.starts_with("43/hub,2[{\"ok\":true"));
    access.replace(guarded::policy(Vec::new(), &[]));
    let begun = Instant::now();
    place.hub.recheck().await;
    let (code, reason) = wire.closed().await;
    assert_eq!((code, &*reason), (1008, "a right was taken back"));
    assert!(begun.elapsed().as_secs() < 1);
}
