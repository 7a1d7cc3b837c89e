//! What no client sends: refused and counted, and nobody else notices.

use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_edge::socketio::Settings;

use super::place::{PATIENCE, Place, Wire};

#[tokio::test]
async fn what_breaks_a_rule_ends_its_session_alone() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    let (mut bystander, _) = place.connected("40").await;
    let deep = format!("451-[\"join\",{}{}]", "[".repeat(300), "]".repeat(300));
    let bad = [
        "",
        "9",
        "0{}",
        "2",
        "abc",
        "4",
        "4x",
        "42",
        "42{}",
        "42[]",
        "42[{}]",
        "42[null]",
        "42[[\"a\"]]",
        "42[\"disconnect\"]",
        "42[\"connect_error\",1]",
        "42[\"newListener\"]",
        "42[\"a\"",
        "42-1[\"a\"]",
        "42/other,[\"a\"]",
        "43[1]",
        "431{}",
        "44{\"message\":\"x\"}",
        "45",
        "451[\"a\"]",
        "45-1-[\"a\"]",
        "4511-[\"a\"]",
        "4599999999999999999999-[\"a\"]",
        "451-[\"a\",{\"_placeholder\":true,\"num\":\"splice\"}]",
        "451-[\"a\",{\"_placeholder\":true,\"num\":-1}]",
        "451-[\"a\",{\"_placeholder\":true,\"num\":1}]",
        "47",
        "40",
        "40[]",
        "40{\"a\":",
        &deep,
        "42999999999999999999[\"a\"]",
        "1x",
    ];
    for text in bad {
        let (mut wire, _) = place.connected("40").await;
        wire.say(text).await;
        assert_eq!(wire.closed().await.0, 1008, "{text:.60}");
        let sid = place.polled().await;
        assert_eq!(place.post(&sid, "40").await, 200);
        assert_eq!(place.post(&sid, text).await, 400, "{text:.60}");
        assert_eq!(place.poll(&sid).await.0, 400);
    }
    assert_eq!(place.front.counts().faults.load(Ordering::Relaxed), 2 * bad.len() as u64);
    assert_eq!(place.front.sessions(), 1);
    place.publish("alerts/a/alert", "1", false).await;
    assert!(bystander.packet().await.starts_with("42[\"alert\",1,"));
}

#[tokio::test]
async fn attachments_have_their_place_and_their_bound() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings { payload_max: 10_000, ..Settings::default() });
    let (mut wire, _) = place.connected("40").await;
    wire.frame(0x82, b"x").await;
    assert_eq!(wire.closed().await.1, "an attachment of nothing");
    let (mut wire, _) = place.connected("40").await;
    wire.say("452-[\"a\",1]").await;
    wire.say("42[\"a\"]").await;
    assert_eq!(wire.closed().await.1, "text in place of an attachment");
    let (mut wire, _) = place.connected("40").await;
    wire.say("453-[\"a\",1]").await;
    wire.frame(0x82, &[0; 6_000]).await;
    wire.frame(0x82, &[0; 6_000]).await;
    assert_eq!(wire.closed().await.1, "too large a packet");
    let (mut wire, _) = place.connected("40").await;
    wire.frame(0x81, &[b'4'; 10_001]).await;
    assert_eq!(wire.closed().await.0, 1008);
    let sid = place.polled().await;
    assert_eq!(place.post(&sid, &"4".repeat(10_001)).await, 413);
    assert_eq!(place.poll(&sid).await.0, 400);
}

#[tokio::test]
async fn who_asks_without_reading_is_no_longer_heard() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        ping_every: Duration::from_millis(300),
        pong_max: Duration::from_millis(200),
        ..Settings::default()
    };
    let place = Place::at(folder.path(), settings);
    // Before it's in a namespace, a client that only asks is ended; each answer is one of a refusal.
    let mut wire = place.wire().await;
    let asking = async { while wire.try_frame(0x81, b"40/nowhere").await.is_ok() {} };
    let ended = async {
        while place.front.sessions() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            () = asking => {}
            () = ended => {}
        }
    })
    .await
    .expect("an end");
    // Its socket too: what it still says finds nobody.
    tokio::time::timeout(PATIENCE, async { while wire.try_frame(0x81, b"40/nowhere").await.is_ok() {} })
        .await
        .expect("an end");
    assert_eq!(place.front.sessions(), 0);
}

#[tokio::test]
async fn who_enters_no_namespace_or_answers_no_ping_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let fast = Settings {
        ping_every: Duration::from_millis(200),
        pong_max: Duration::from_millis(100),
        connect_timeout: Duration::from_millis(100),
        ..Settings::default()
    };
    let place = Place::at(folder.path(), fast);
    let mut wire = place.wire().await;
    assert_eq!(wire.closed().await.1, "no namespace was entered in time");
    let (mut wire, _) = place.connected("40").await;
    assert_eq!(wire.closed().await.1, "ping timeout");
    assert_eq!(place.front.counts().silent.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_id_is_never_guessed_and_leads_to_one_way() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    let (one, two) = (place.polled().await, place.polled().await);
    assert!(one.len() == 22 && one[..8] != two[..8], "{one} {two}");
    let mut first = Wire::open(place.addr, &format!("EIO=4&transport=websocket&sid={one}")).await;
    first.say("2probe").await;
    assert_eq!(first.text().await, "3probe");
    let mut second = Wire::open(place.addr, &format!("EIO=4&transport=websocket&sid={one}")).await;
    assert_eq!(second.closed().await.0, 1008);
    first.say("5").await;
    first.say("40").await;
    assert!(first.packet().await.starts_with("40{"));
    for query in ["EIO=4&transport=polling&sid=x", "EIO=4&transport=websocket", "EIO=4&transport=polling&sid="] {
        assert_eq!(place.ask("GET", query, "").await.0, 400, "{query}");
    }
}
