//! `POST /v1/events/{topic}`: what is taken, how it is answered, and what happens to half a request.

use std::time::Duration;

use headwater_event::{Filter, Principal};
use headwater_hub::{From, Limits, Settings};

use super::support::{Place, place, place_with};
use crate::memory::{EPOCH, Memory};

async fn everything(place: &Place) -> Vec<headwater_event::Recorded> {
    let filter = Filter::new("#").unwrap();
    let mut history = place.hub.history(&Principal::anonymous(), filter, From::Oldest).unwrap();
    let mut all = Vec::new();
    while let Some(page) = history.next().await.unwrap() {
        all.extend(page);
    }
    all
}

#[tokio::test]
async fn an_event_keeps_its_topic_headers_and_payload() {
    let place = place();
    let headers = [
        ("Content-Type", "text/plain"),
        ("Headwater-Colour", "blue"),
        ("Traceparent", "00-a-b-01"),
        ("User-Agent", "not kept"),
    ];
    let answer = place.post("/v1/events/clinic/3/%C3%BC%20%25?sticky=true", &headers, b"\xff\0").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let receipt = answer.json();
    assert_eq!((receipt["epoch"].as_u64(), receipt["seq"].as_u64()), (Some(EPOCH.into()), Some(1)));
    assert!(receipt.get("duplicate").is_none());
    let all = everything(&place).await;
    let event = &all[0].event;
    assert_eq!((event.topic.as_str(), &event.payload[..], all[0].sticky), ("clinic/3/ü %", &b"\xff\0"[..], true));
    assert_eq!(receipt["id"], event.id.to_string());
    let mut headers: Vec<_> = event.headers.iter().collect();
    headers.sort_unstable();
    assert_eq!(headers, [("colour", "blue"), ("content-type", "text/plain"), ("traceparent", "00-a-b-01")]);
}

#[tokio::test]
async fn nothing_twice_from_a_resending_client() {
    let place = place();
    let key = [("Idempotency-Key", "order-17")];
    let first = place.post("/v1/events/orders", &key, b"paid").await.json();
    assert_eq!(first["id"], "order-17");
    place.post("/v1/events/orders", &[], b"other").await;
    let again = place.post("/v1/events/orders", &key, b"paid").await.json();
    assert_eq!((&again["seq"], &again["id"], &again["duplicate"]), (&first["seq"], &first["id"], &true.into()));
    assert_eq!(place.stored(), 2);
}

#[tokio::test]
async fn durable_before_ack() {
    let place = place();
    place.bus.hold();
    let mut client = place.client().await;
    let mut neighbour = place.client().await;
    client.write(b"POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx").await;
    // Once the hub has it, a request that needs no disk is answered, and this one is not.
    while place.hub.waiting().0 == 0 {
        assert_eq!(neighbour.ask("GET", "/healthz", &[], b"").await.status, 200);
    }
    let waiting = tokio::time::timeout(Duration::from_millis(50), client.answer(false)).await;
    assert!(waiting.is_err(), "answered before it was on disk: {waiting:?}");
    place.bus.release();
    assert_eq!(client.answer(false).await.status, 200);
}

#[tokio::test]
async fn a_connection_carries_many_requests_also_before_their_answers() {
    let place = place();
    let mut client = place.client().await;
    let mut bytes = Vec::new();
    for number in 0..50 {
        let chunked = "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let plain = "Content-Length: 3\r\n\r\nabc";
        let body = if number % 2 == 0 { chunked } else { plain };
        bytes.extend(format!("POST /v1/events/a/{number} HTTP/1.1\r\nHost: h\r\n{body}").bytes());
    }
    client.write(&bytes).await;
    for number in 1..=50 {
        assert_eq!(client.answer(false).await.json()["seq"], number);
    }
    assert!(everything(&place).await.iter().all(|recorded| recorded.event.payload == "abc"));
}

#[tokio::test]
async fn half_a_request_changes_nothing() {
    let place = place();
    let whole = b"POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789";
    let chunked = b"POST /v1/events/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n0\r\n\r\n";
    for request in [&whole[..], &chunked[..]] {
        for len in 1..request.len() {
            let mut client = place.client().await;
            client.write(&request[..len]).await;
            drop(client);
        }
    }
    // All of them have ended when the last one's task has.
    while place.counts.open() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(place.stored(), 0);
    assert_eq!(place.post("/v1/events/a", &[], b"x").await.json()["seq"], 1);
}

#[tokio::test]
async fn who_closes_its_sending_side_still_gets_the_answer() {
    let place = place();
    let mut client = place.client().await;
    client.write(b"POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx").await;
    client.finish().await;
    assert_eq!(client.answer(false).await.json()["seq"], 1);
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn too_much_is_refused_before_it_is_read() {
    let settings = Settings { limits: Limits { payload_max: 1_000, ..Limits::default() }, ..Settings::default() };
    let place = place_with(Memory::new(), settings, |_| {});
    // Nothing of the body has been sent.
    let mut client = place.client().await;
    client.write(b"POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n").await;
    client.answer(false).await.problem(413);
    // All of it is on its way: the answer gets through nevertheless.
    let body = vec![b'x'; 8 << 20];
    place.post("/v1/events/a", &[], &body).await.problem(413);
    // Its length isn't told.
    let mut client = place.client().await;
    client.write(b"POST /v1/events/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n").await;
    client.write(&body[..1_001]).await;
    client.answer(false).await.problem(413);
    let mut client = place.client().await;
    client
        .write(b"POST /v1/events/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
        .await;
    assert_eq!(client.head().await.0, 100);
    client.write(&body[..1_000]).await;
    assert_eq!(client.answer(false).await.status, 200);
    assert_eq!(place.stored(), 1);
}

#[tokio::test]
async fn overload_is_refused_not_suffered() {
    let settings = Settings { limits: Limits { waiting_events_max: 1, ..Limits::default() }, ..Settings::default() };
    let place = place_with(Memory::new(), settings, |_| {});
    place.bus.hold();
    let mut first = place.client().await;
    first.write(b"POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx").await;
    let mut second = place.client().await;
    while place.hub.waiting().0 == 0 {
        assert_eq!(second.ask("GET", "/healthz", &[], b"").await.status, 200);
    }
    let refused = second.ask("POST", "/v1/events/a", &[], b"x").await;
    assert_eq!(refused.problem(503)["name"], "full");
    assert_eq!(refused.header("retry-after"), Some("1"));
    place.bus.release();
    assert_eq!(first.answer(false).await.status, 200);
    assert_eq!(second.ask("POST", "/v1/events/a", &[], b"x").await.status, 200);
}

#[tokio::test]
async fn a_rate_is_spelled_429() {
    let limits = Limits { rate_events_per_s: 1, rate_burst_events: 1, ..Limits::default() };
    let place = place_with(Memory::new(), Settings { limits, ..Settings::default() }, |_| {});
    assert_eq!(place.post("/v1/events/a", &[], b"x").await.status, 200);
    let refused = place.post("/v1/events/a", &[], b"x").await;
    assert_eq!(refused.problem(429)["name"], "too_fast");
    assert!(refused.header("retry-after").is_some());
}
