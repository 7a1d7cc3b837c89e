//! What no client should send: it is refused, its own session ends, and nobody else is touched.

use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_edge::socketio::{Namespaces, Settings};

use super::client::{Came, Socket};
use super::place::{Echo, Place, suite};
use crate::http::support::Answer;
use crate::memory::Memory;
use crate::ws::client::frame;

async fn connected(place: &Place) -> Socket {
    let (mut socket, _) = place.connected("").await;
    assert!(socket.text().await.starts_with(r#"42["auth""#));
    socket
}

#[tokio::test]
async fn malformed_packets_close_their_connection_and_no_other() {
    let place = Place::with(Memory::new(), Settings::default(), Namespaces::new().with(Echo("/")));
    let mut bystander = connected(&place).await;
    let deep = format!("451-[\"message\",{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    let name = format!("40/{}", "n".repeat(10_000));
    let cases = [
        "4",
        "4abc",
        "47",
        "42",
        "42{}",
        "42[]",
        "42[{}]",
        "42abc[\"message\"]",
        "42[\"message\"",
        "42[\"connect\"]",
        "42[\"disconnect\"]",
        "40",
        "43[1]",
        "44{}",
        "44\"no\"",
        "41{}",
        "45[\"message\"]",
        "451-[]",
        "4511-[\"message\"]",
        "45-1-[\"message\"]",
        "451.5-[\"message\"]",
        "4599999999999999999999-[\"message\"]",
        "4299999999999999999999[\"message\"]",
        "451-[\"message\",{\"_placeholder\":true,\"num\":1}]",
        "451-[\"message\",{\"_placeholder\":true,\"num\":-1}]",
        "451-[\"message\",{\"_placeholder\":true,\"num\":\"splice\"}]",
        "42/nowhere,[\"message\"]",
        "2",
        "5\u{0}",
        &deep,
        &name,
    ];
    for bad in cases {
        let mut socket = connected(&place).await;
        socket.say(bad).await;
        assert_eq!(socket.came().await, Came::End, "{bad:.60}");
    }
    let faults = place.front.counts().faults.load(Ordering::Relaxed);
    assert_eq!(faults, cases.len() as u64, "each was counted");
    let metrics = place.http().await.ask("GET", "/metrics", &[], b"").await.text();
    assert!(metrics.contains(&format!("\nheadwater_socketio_faults_total {faults}\n")), "{metrics}");
    assert!(metrics.contains("\nheadwater_socketio_sessions 1\n"), "{metrics}");
    bystander.say("42[\"message\"]").await;
    assert_eq!(bystander.talk().await, "42[\"message-back\"]");
}

#[tokio::test]
async fn attachments_come_when_they_were_told_of_and_not_otherwise() {
    let place = Place::echo();
    let mut socket = connected(&place).await;
    socket.say_bytes(b"of nothing").await;
    socket.ends().await;

    let mut socket = connected(&place).await;
    socket.say("451-[\"message\",{\"_placeholder\":true,\"num\":0}]").await;
    socket.say("42[\"message\"]").await;
    socket.ends().await;
}

#[tokio::test]
async fn who_says_something_before_it_is_in_a_namespace_is_closed() {
    let place = Place::echo();
    for early in ["42[\"message\"]", "41", "430[]", "42/custom,[\"message\"]"] {
        let mut socket = place.socket().await;
        socket.say(early).await;
        socket.ends().await;
    }
}

#[tokio::test]
async fn who_enters_no_namespace_is_closed_in_time() {
    let settings = Settings { connect_timeout: Duration::from_millis(100), ..Settings::default() };
    let place = Place::with(Memory::new(), settings, Namespaces::new().with(Echo("/")));
    let mut idle = place.socket().await;
    let mut stays = connected(&place).await;
    idle.ends().await;
    stays.say("42[\"message\"]").await;
    assert_eq!(stays.talk().await, "42[\"message-back\"]");
}

#[tokio::test]
async fn frames_that_break_the_websocket_protocol_close() {
    let place = Place::echo();
    for bad in [&[0x81, 0x01, b'3'][..], &frame(0x83, b"x"), &frame(0xC1, b"3"), &frame(0x81, &[0xFF, 0xFE])] {
        let mut socket = connected(&place).await;
        socket.send(bad).await;
        socket.ends().await;
    }
}

#[tokio::test]
async fn a_packet_beyond_the_limit_ends_the_session_however_it_comes() {
    let settings = Settings { payload_max: 1_000, ..Settings::default() };
    let place = Place::with(Memory::new(), settings, Namespaces::new().with(Echo("/")));
    let mut socket = connected(&place).await;
    socket.say(&format!("42[\"message\",\"{}\"]", "x".repeat(1_000))).await;
    socket.ends().await;

    let mut socket = connected(&place).await;
    socket.say("452-[\"message\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]").await;
    socket.say_bytes(&[0; 600]).await;
    socket.say_bytes(&[0; 600]).await;
    socket.ends().await;

    let sid = place.poller().await;
    let Answer { status, .. } = place.post(&sid, &"4".repeat(1_001)).await;
    assert_eq!(status, 413);
    assert_eq!(place.poll(&sid).await.status, 400);
}

#[tokio::test]
async fn two_posts_at_once_end_the_session() {
    let place = Place::engine();
    let sid = place.poller().await;
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let mut first = place.http().await;
    first.write(format!("POST {target} HTTP/1.1\r\nHost: hub.test\r\nContent-Length: 6\r\n\r\n4he").as_bytes()).await;
    while place.post(&sid, "4x").await.status == 200 {}
    assert_eq!(place.poll(&sid).await.status, 400);
    first.write(b"llo").await;
}

#[tokio::test]
async fn a_page_of_another_site_gets_in_by_no_way() {
    let place = Place::echo();
    let evil = "Origin: https://evil.example\r\n";
    let target = "/socket.io/?EIO=4&transport=websocket";
    let Err(refusal) = Socket::open_with(place.addr, target, evil).await else { panic!("it was let in") };
    assert!(refusal.starts_with("HTTP/1.1 403 "), "{refusal}");
    let origin = [("Origin", "https://evil.example")];
    let polled = place.http().await.ask("GET", "/socket.io/?EIO=4&transport=polling", &origin, b"").await;
    assert_eq!(polled.header("access-control-allow-origin"), None);
    let sid = place.poller().await;
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    assert_eq!(place.http().await.ask("POST", &target, &origin, b"40").await.status, 403);
}

#[tokio::test]
async fn a_rush_is_told_when_to_come_back() {
    let settings = Settings { connects_per_second: 1, ..suite() };
    let place = Place::with(Memory::new(), settings, Namespaces::new().with(Echo("/")));
    let refused = loop {
        let answer = place.ask("GET", "transport=polling", "").await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.status, 503);
    let (body, after) = (refused.json(), refused.header("retry-after").unwrap().parse::<u64>().unwrap());
    assert!((1_000..5_000).contains(&body["retryAfterMs"].as_u64().unwrap()), "{body}");
    assert!((1..=5).contains(&after));
    let Err(refusal) = Socket::open(place.addr, "/socket.io/?EIO=4&transport=websocket").await else { return };
    assert!(refusal.starts_with("HTTP/1.1 503 ") && refusal.contains("Retry-After: "), "{refusal}");
}

#[tokio::test]
async fn at_the_end_everybody_is_sent_away() {
    let place = Place::echo();
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(connected(&place).await);
    }
    place.stop.request();
    for mut socket in sockets {
        socket.ends().await;
    }
}
