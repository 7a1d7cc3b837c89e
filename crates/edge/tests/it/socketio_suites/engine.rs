//! The official Engine.IO suite's cases, over polls and over a WebSocket.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::client::{Came, PATIENCE, Socket};
use super::place::{PING, PONG, Place};

fn check_open(text: &str, upgrades: &Value) {
    let opened: Value = serde_json::from_str(text.strip_prefix('0').unwrap()).unwrap();
    let sid = opened["sid"].as_str().unwrap();
    assert!(sid.len() >= 20, "{sid}");
    let rest =
        json!({"sid": sid, "upgrades": upgrades, "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000});
    assert_eq!(opened, rest, "these members and no others");
}

#[tokio::test]
async fn a_poll_opens_a_session() {
    let place = Place::heartbeat();
    let answer = place.ask("GET", "transport=polling", "").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=UTF-8")));
    check_open(&answer.text(), &json!(["websocket"]));
    assert_ne!(place.poller().await, place.poller().await);
}

#[tokio::test]
async fn wrong_requests_are_refused_by_the_reference_servers_numbers() {
    let place = Place::engine();
    let sid = place.poller().await;
    for (method, target, code, message) in [
        ("GET", "?transport=polling", 5, "Unsupported protocol version"),
        ("GET", "?EIO=abc&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "?EIO=3&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "?EIO=4", 0, "Transport unknown"),
        ("GET", "?EIO=4&transport=abc", 0, "Transport unknown"),
        ("GET", "?EIO=4&transport=polling&sid=nobody", 1, "Session ID unknown"),
        ("POST", "?EIO=4&transport=polling&sid=nobody", 1, "Session ID unknown"),
        ("POST", "?EIO=4&transport=polling", 2, "Bad handshake method"),
        ("PUT", "?EIO=4&transport=polling", 2, "Bad handshake method"),
        ("GET", "?EIO=4&transport=websocket", 3, "Bad request"),
        ("DELETE", &format!("?EIO=4&transport=polling&sid={sid}"), 3, "Bad request"),
    ] {
        let answer = place.http().await.ask(method, &format!("/socket.io/{target}"), &[], b"").await;
        assert_eq!(answer.status, 400, "{method} {target} {answer:?}");
        assert_eq!(answer.json(), json!({"code": code, "message": message}), "{method} {target}");
    }
    // With the last slash and without.
    assert_eq!(place.http().await.ask("GET", "/socket.io?EIO=4&transport=polling", &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_websocket_opens_a_session() {
    let place = Place::heartbeat();
    let mut socket = place.bare_socket("").await;
    check_open(&socket.text().await, &json!([]));
}

#[tokio::test]
async fn a_websocket_with_wrong_parameters_is_refused() {
    let place = Place::engine();
    for (query, code) in [
        ("transport=websocket", 5),
        ("EIO=abc&transport=websocket", 5),
        ("EIO=4", 0),
        ("EIO=4&transport=abc", 0),
        ("EIO=4&transport=websocket&sid=nobody", 1),
    ] {
        let Err(refusal) = Socket::open(place.addr, &format!("/socket.io/?{query}")).await else { panic!("{query}") };
        assert!(refusal.starts_with("HTTP/1.1 400 "), "{query}: {refusal}");
        assert!(refusal.contains(&format!("{{\"code\":{code},")), "{query}: {refusal}");
    }
}

#[tokio::test]
async fn polls_carry_payloads_both_ways() {
    let place = Place::engine();
    for payload in ["4hello", "4test1\u{1e}4test2\u{1e}4test3", "4hello\u{1e}bAQIDBA==", "4", "4é€𝄞"] {
        let sid = place.poller().await;
        let answer = place.post(&sid, payload).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{payload:?}");
        let answer = place.poll(&sid).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, payload));
    }
}

#[tokio::test]
async fn a_poll_that_waits_is_answered_when_there_is_something() {
    let place = Place::engine();
    let sid = place.poller().await;
    let (polled, posted) = tokio::join!(place.poll(&sid), place.post(&sid, "4late"));
    assert_eq!((polled.text().as_str(), posted.text().as_str()), ("4late", "ok"));
}

#[tokio::test]
async fn a_payload_that_is_no_packet_ends_the_session() {
    let place = Place::engine();
    for bad in ["abc", "", "4a\u{1e}", "4a\u{1e}x", "b!", "0{}", "2", "2probe"] {
        let sid = place.poller().await;
        assert_eq!(place.post(&sid, bad).await.status, 400, "{bad:?}");
        assert_eq!(place.poll(&sid).await.status, 400, "{bad:?}");
    }
}

#[tokio::test]
async fn two_polls_at_once_end_the_session() {
    let place = Place::engine();
    let sid = place.poller().await;
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let mut first = place.http().await;
    first.write(format!("GET {target} HTTP/1.1\r\nHost: hub.test\r\n\r\n").as_bytes()).await;
    // Whichever comes first is told of the end, and the other refused.
    let second = place.poll(&sid).await;
    let first = first.answer(false).await;
    let mut both = [(first.status, first.text()), (second.status, second.text())];
    both.sort();
    assert_eq!((both[0].0, both[0].1.as_str(), both[1].0), (200, "1", 400), "{both:?}");
    assert_eq!(place.poll(&sid).await.status, 400);
}

#[tokio::test]
async fn a_cancelled_poll_ends_the_session() {
    let place = Place::engine();
    let sid = place.poller().await;
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let mut client = place.http().await;
    client.write(format!("GET {target} HTTP/1.1\r\nHost: hub.test\r\n\r\n").as_bytes()).await;
    drop(client);
    // Long before a pong is missed.
    timeout(PATIENCE, async {
        while place.front.sessions() > 0 {
            tokio::task::yield_now().await
        }
    })
    .await
    .unwrap();
    assert_eq!(place.poll(&sid).await.status, 400);
}

#[tokio::test]
async fn a_websocket_carries_texts_and_bytes_both_ways() {
    let place = Place::engine();
    let mut socket = place.socket().await;
    socket.say("4hello").await;
    assert_eq!(socket.text().await, "4hello");
    socket.say_bytes(&[1, 2, 3, 4]).await;
    assert_eq!(socket.came().await, Came::Binary(vec![1, 2, 3, 4]));
    let long = format!("4{}", "x".repeat(900_000));
    socket.say(&long).await;
    assert!(socket.talk().await == long);
}

#[tokio::test]
async fn a_websocket_that_says_no_packet_is_closed() {
    let place = Place::engine();
    for bad in ["abc", "", "0{}", "2", "7"] {
        let mut socket = place.socket().await;
        socket.say(bad).await;
        assert_eq!(socket.came().await, Came::End, "{bad:?}");
    }
}

#[tokio::test]
async fn polls_bring_pings_and_posts_bring_pongs() {
    let place = Place::heartbeat();
    let begun = Instant::now();
    let sid = place.poller().await;
    for round in 1..=3 {
        assert_eq!(place.poll(&sid).await.text(), "2");
        assert!(begun.elapsed() >= PING * round, "the first ping comes only after the interval, each after a pong");
        assert_eq!(place.post(&sid, "3").await.status, 200);
    }
}

#[tokio::test]
async fn without_a_pong_a_polled_session_ends() {
    let place = Place::heartbeat();
    let sid = place.poller().await;
    sleep(PING + PONG + Duration::from_millis(1)).await;
    assert_eq!(place.poll(&sid).await.status, 400);
}

#[tokio::test]
async fn a_websocket_is_pinged_after_the_interval_and_closed_without_a_pong() {
    let place = Place::heartbeat();
    let begun = Instant::now();
    let mut socket = place.socket().await;
    for round in 1..=3 {
        assert_eq!(socket.text().await, "2");
        assert!(begun.elapsed() >= PING * round);
        socket.say("3").await;
    }
    assert_eq!(socket.text().await, "2");
    let pinged = Instant::now();
    assert_eq!(socket.came().await, Came::End);
    let silent = pinged.elapsed();
    assert!(silent >= PONG / 2, "{silent:?}");
}

#[tokio::test]
async fn a_client_ends_its_session() {
    let place = Place::engine();
    let sid = place.poller().await;
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let mut poll = place.http().await;
    poll.write(format!("GET {target} HTTP/1.1\r\nHost: hub.test\r\n\r\n").as_bytes()).await;
    // Time for it to be there: the suite sends it first, on another connection.
    sleep(Duration::from_millis(50)).await;
    assert_eq!(place.post(&sid, "1").await.status, 200);
    assert_eq!(poll.answer(false).await.text(), "6");
    assert_eq!(place.poll(&sid).await.status, 400);

    let mut socket = place.socket().await;
    socket.say("1").await;
    assert_eq!(socket.came().await, Came::End);
}
