//! Sessions over HTTP: what waits for them, that one can be left for a WebSocket amid it all, and how they end.

use std::time::Duration;

use headwater_edge::socketio::Settings;

use super::place::{Place, Wire};

/// All numbers that these packets tell, in their order.
fn told(payload: &str) -> Vec<u64> {
    let events = payload.split('\u{1e}').filter(|packet| packet.starts_with("42"));
    events
        .map(|packet| serde_json::from_str::<serde_json::Value>(&packet[2..]).unwrap()[1]["n"].as_u64().unwrap())
        .collect()
}

/// 3 MB in 3,000 events: far more than waits anywhere.
async fn publish_many(place: &Place) {
    let fill = "x".repeat(1_000);
    for number in 0..3_000 {
        place.publish("alerts/a/alert", format!("{{\"n\":{number},\"fill\":\"{fill}\"}}"), false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_poll_for_a_while_misses_nothing_and_can_leave_for_a_websocket_amid_it() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    let sid = place.polled().await;
    assert_eq!(place.post(&sid, "40").await, 200);
    assert!(place.poll(&sid).await.1.starts_with("40{"));
    publish_many(&place).await;
    let mut all = Vec::new();
    while all.len() < 500 {
        let (status, payload) = place.poll(&sid).await;
        assert_eq!(status, 200);
        assert!(payload.len() < 300_000, "a poll brings what waits, not all there is: {}", payload.len());
        all.extend(told(&payload));
    }
    let mut wire = Wire::open(place.addr, &format!("EIO=4&transport=websocket&sid={sid}")).await;
    wire.say("2probe").await;
    assert_eq!(wire.text().await, "3probe");
    wire.say("5").await;
    while all.len() < 3_000 {
        all.extend(told(&wire.packet().await));
    }
    assert!(all.iter().copied().eq(0..3_000), "each once, in their order");
    assert_eq!(place.poll(&sid).await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_waits_from_before_the_client_is_anywhere_gets_its_welcome() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        let sid = place.polled().await;
        let (polled, posted) = tokio::join!(place.poll(&sid), async {
            tokio::time::sleep(Duration::from_millis(5)).await; // sleep: nobody can see from outside that a poll waits
            place.post(&sid, "40").await
        });
        assert!(posted == 200 && polled.1.starts_with("40{"), "{polled:?}");
    }
    assert!(begun.elapsed() < Settings::PING_EVERY, "a ping was waited for: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_close_that_is_read_before_the_poll_that_was_sent_before_it_ends_that_poll() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    for _ in 0..20 {
        let sid = place.polled().await;
        // In the order in which a busy machine may read them.
        let (posted, polled) = tokio::join!(place.post(&sid, "1"), place.poll(&sid));
        assert_eq!((posted, polled), (200, (200, "6".to_owned())));
        assert_eq!(place.poll(&sid).await.0, 400);
    }
    let sid = place.polled().await;
    assert_eq!(place.post(&sid, "1").await, 200, "and one that nobody polls ends by itself");
    assert_eq!(place.poll(&sid).await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_waits_is_answered_when_something_happens() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    let sid = place.polled().await;
    assert_eq!(place.post(&sid, "40").await, 200);
    assert!(place.poll(&sid).await.1.starts_with("40{"));
    let begun = std::time::Instant::now();
    for number in 0..20 {
        // The poll is there first, and only what happens can end it: a ping would come after 25 s.
        let (polled, ()) = tokio::join!(place.poll(&sid), async {
            tokio::time::sleep(Duration::from_millis(20)).await; // sleep: nobody can see from outside that a poll waits
            place.publish("alerts/a/alert", format!("{{\"n\":{number}}}"), false).await;
        });
        assert_eq!(told(&polled.1), [number]);
    }
    assert!(begun.elapsed() < Settings::PING_EVERY, "a ping was waited for: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_holds_up_nobody_and_misses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings::default());
    let (mut slow, _) = place.connected("40").await;
    let (mut quick, _) = place.connected("40").await;
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        while all.len() < 3_000 {
            all.extend(told(&quick.packet().await));
        }
        all
    });
    publish_many(&place).await;
    assert!(reading.await.unwrap().into_iter().eq(0..3_000));
    let mut all = Vec::new();
    while all.len() < 3_000 {
        all.extend(told(&slow.packet().await));
    }
    assert!(all.into_iter().eq(0..3_000));
}

#[tokio::test]
async fn too_many_at_once_are_asked_to_come_later_each_at_another_time() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings { connects_per_second: 1, ..Settings::default() });
    let mut waits = Vec::new();
    for _ in 0..12 {
        let (status, head, body) = place.ask("GET", "EIO=4&transport=polling", "").await;
        if status == 503 {
            assert!(head.to_ascii_lowercase().contains("retry-after: "), "{head}");
            waits.push(serde_json::from_str::<serde_json::Value>(&body).unwrap()["retryAfterMs"].as_u64().unwrap());
        }
    }
    assert!(waits.len() >= 8, "{waits:?}");
    assert!(waits.iter().any(|wait| *wait != waits[0]) && waits.iter().all(|wait| (1_000..5_000).contains(wait)));
}

#[tokio::test]
async fn the_end_of_the_program_is_told_on_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::at(folder.path(), Settings { drain: Duration::from_millis(50), ..Settings::default() });
    let sid = place.polled().await;
    let (mut wire, _) = place.connected("40").await;
    let polling = place.poll(&sid);
    let (polled, closed) = tokio::join!(polling, async {
        // Both wait by then: a poll of another session has been answered meanwhile.
        let other = place.polled().await;
        assert_eq!(place.post(&other, "40").await, 200);
        place.stop.request();
        wire.closed().await
    });
    assert_eq!(polled, (200, "1".to_owned()));
    assert!(closed.0 == 1001 && closed.1.contains("retry in "), "{closed:?}");
    assert_eq!(place.front.sessions(), 0);
}
