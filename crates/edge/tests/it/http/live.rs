//! `GET /v1/live`: state first, then changes; catching up; and the bare socket, also behind other requests.

use headwater_hub::Settings;

use super::support::{Watcher, place, place_with};
use crate::memory::Memory;

#[tokio::test]
async fn sticky_first() {
    let place = place();
    place.post("/v1/events/a/1?sticky=true", &[], b"old").await;
    place.post("/v1/events/a/1?sticky=true", &[], b"state").await;
    place.post("/v1/events/a/2", &[], b"no state").await;
    let mut watcher = Watcher::open(&place, "filter=a/%2B", "").await;
    let state = watcher.next().await;
    assert_eq!((state.payload().as_str(), state.id), ("state", None));
    // When all states have been told there is a position to come back with.
    let end = watcher.block().await;
    assert_eq!((end.data.as_str(), end.id.as_deref()), ("", Some("7:3")));
    place.post("/v1/events/a/2", &[], b"change").await;
    let change = watcher.next().await;
    assert_eq!((change.payload().as_str(), change.id.as_deref(), change.kind.as_str()), ("change", Some("7:4"), ""));
    let mut bare = Watcher::open(&place, "filter=a/%2B&sticky=false", "").await;
    assert_eq!(bare.block().await.id.as_deref(), Some("7:4"));
    place.post("/v1/events/a/3", &[], b"next").await;
    assert_eq!(bare.next().await.payload(), "next");
}

#[tokio::test]
async fn catch_up() {
    let place = place();
    let mut watcher = Watcher::open(&place, "filter=a", "").await;
    place.post("/v1/events/a", &[], b"1").await;
    assert_eq!(watcher.next().await.payload(), "1");
    let last = watcher.last_id.clone().unwrap();
    drop(watcher);
    for number in 2..=300 {
        place.post("/v1/events/a", &[], number.to_string().as_bytes()).await;
        place.post("/v1/events/b", &[], b"not wanted").await;
    }
    // What the browser saw last wins over what the address says.
    let mut watcher = Watcher::open(&place, "filter=a&from=start", &format!("Last-Event-ID: {last}\r\n")).await;
    for number in 2..=300 {
        assert_eq!(watcher.next().await.payload(), number.to_string());
    }
    place.post("/v1/events/a", &[], b"live again").await;
    assert_eq!(watcher.next().await.payload(), "live again");
    let mut from_start = Watcher::open(&place, "filter=a&from=start", "").await;
    assert_eq!(from_start.next().await.payload(), "1");
}

#[tokio::test]
async fn catch_up_that_is_impossible_is_said() {
    let place = place_with(Memory::with_oldest(2), Settings::default(), |_| {});
    for _ in 0..3 {
        place.post("/v1/events/a", &[], b"x").await;
    }
    for (query, headers, status) in [
        ("filter=a&from=8:1", "", 409),
        ("filter=a&from=7:4", "", 409),
        ("filter=a&from=7:1", "", 410),
        ("filter=a", "Last-Event-ID: 8:1\r\n", 409),
        ("filter=a", "Last-Event-ID: 1\r\n", 400),
        ("filter=a&from=never", "", 400),
        ("filter=%2B%2B", "", 400),
        ("filter=$audit/a", "", 403),
        ("filter=a&x=y", "", 400),
        ("filter=a&from=start&sticky=true", "", 400),
    ] {
        // On a fresh connection, which is taken over bare, and on one that has served a request.
        for is_kept in [false, true] {
            let mut client = place.client().await;
            if is_kept {
                assert_eq!(client.ask("GET", "/healthz", &[], b"").await.status, 200);
            }
            client.write(format!("GET /v1/live?{query} HTTP/1.1\r\nHost: h\r\n{headers}\r\n").as_bytes()).await;
            client.answer(false).await.problem(status);
        }
    }
}

#[tokio::test]
async fn the_answer_is_the_same_on_a_fresh_connection_and_behind_a_page() {
    let place = place();
    place.post("/v1/events/a?sticky=true", &[], b"state").await;
    let fresh = Watcher::open(&place, "filter=a", "").await;
    let mut kept = place.client().await;
    assert_eq!(kept.ask("GET", "/v1/sticky/a", &[], b"").await.status, 200);
    let kept = Watcher::open_on(kept, "filter=a", "").await;
    assert_eq!(fresh.headers, kept.headers);
    for (name, value) in [
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-store"),
        ("X-Accel-Buffering", "no"),
        ("Connection", "close"),
    ] {
        assert!(fresh.headers.contains(&(name.into(), value.into())), "{name}: {:?}", fresh.headers);
    }
    assert!(!fresh.headers.iter().any(|(name, _)| name == "Transfer-Encoding" || name == "Content-Length"));
    for mut watcher in [fresh, kept] {
        assert_eq!(watcher.next().await.payload(), "state");
        let retry = watcher.retry.unwrap();
        assert!((1_000..3_000).contains(&retry), "{retry}");
        place.post("/v1/events/a", &[], b"change").await;
        while watcher.next().await.payload() != "change" {}
    }
}

#[tokio::test]
async fn a_watcher_asks_with_pipelined_requests_before_it() {
    let place = place();
    let mut client = place.client().await;
    let bytes = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET /v1/live?filter=a HTTP/1.1\r\nHost: h\r\n\r\n";
    client.write(bytes.as_bytes()).await;
    assert_eq!(client.answer(false).await.text(), "{\"status\":\"ok\"}", "an answer before it is not lost");
    assert_eq!(client.head().await.0, 200);
}

#[tokio::test]
async fn a_payload_with_line_ends_stays_one_event() {
    let place = place();
    let mut watcher = Watcher::open(&place, "filter=a", "").await;
    let payload = "one\r\ndata: two\n\nid: 9:9\nevent: gap\u{2028}";
    place.post("/v1/events/a", &[], payload.as_bytes()).await;
    assert_eq!(watcher.next().await.payload(), payload);
    assert_eq!(watcher.last_id.as_deref(), Some("7:1"));
    place.post("/v1/events/a", &[], b"\xff").await;
    assert!(watcher.next().await.data.contains("\"payload_base64\":\"/w==\""));
}

#[tokio::test]
async fn who_goes_leaves_nothing_behind() {
    let place = place();
    let watchers = || place.hub.metrics().watchers.load(std::sync::atomic::Ordering::Relaxed);
    let mut watcher = Watcher::open(&place, "filter=a", "").await;
    watcher.block().await;
    assert_eq!(watchers(), 1);
    // What a watcher says is passed over.
    watcher.client.write(b"GET /v1/events HTTP/1.1\r\nHost: h\r\n\r\n").await;
    place.post("/v1/events/a", &[], b"x").await;
    assert_eq!(watcher.next().await.payload(), "x");
    drop(watcher);
    while watchers() > 0 || place.counts.open() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_end_of_the_program_ends_watchers_and_waits_for_answers() {
    let place = place();
    let mut watcher = Watcher::open(&place, "filter=a", "").await;
    watcher.block().await;
    place.bus.hold();
    let mut publisher = place.client().await;
    publisher.write(b"POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx").await;
    while place.hub.waiting().0 == 0 {
        tokio::task::yield_now().await;
    }
    let mut idle = place.client().await;
    assert_eq!(idle.ask("GET", "/healthz", &[], b"").await.status, 200);
    place.stop.request();
    assert_eq!(watcher.client.rest().await, "");
    assert_eq!(idle.rest().await, "");
    place.bus.release();
    let answer = publisher.answer(false).await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    drop((watcher, publisher, idle));
    assert_eq!(place.running.await.unwrap(), 0);
}

#[tokio::test]
async fn head_says_what_get_would_begin_with() {
    let place = place();
    let mut client = place.client().await;
    let head = client.ask("HEAD", "/v1/live?filter=a", &[], b"").await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(client.ask("GET", "/healthz", &[], b"").await.status, 200);
    let bytes = "GET /v1/live HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    client.write(bytes.as_bytes()).await;
    client.answer(false).await.problem(400);
}

#[tokio::test]
async fn a_websocket_opens_on_a_fresh_connection_and_behind_a_page() {
    let place = place();
    let head = "GET /v1/ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for is_kept in [false, true] {
        let mut client = place.client().await;
        if is_kept {
            assert_eq!(client.ask("GET", "/healthz", &[], b"").await.status, 200);
        }
        client.write(format!("{head}\r\n").as_bytes()).await;
        let (status, headers) = client.head().await;
        assert_eq!(status, 101, "{headers:?}");
        let accept = ("Sec-WebSocket-Accept".to_owned(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned());
        assert!(headers.contains(&accept), "{headers:?}");
        let mut foreign = place.client().await;
        if is_kept {
            assert_eq!(foreign.ask("GET", "/healthz", &[], b"").await.status, 200);
        }
        foreign.write(format!("{head}Origin: http://elsewhere.example\r\n\r\n").as_bytes()).await;
        foreign.answer(false).await.problem(403);
    }
}
