//! Refused means nothing happened: every malformed input has its answer, changes nothing, and hurts nobody else.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use headwater_edge::http::Limits;

use super::support::{Place, place, place_with};
use crate::memory::Memory;

/// A good request behind which something else may follow on the same connection.
const GOOD: &str = "POST /v1/events/good HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";

/// Says something, and gives what came back once the connection is closed.
async fn said(place: &Place, text: &str) -> String {
    place.exchange(text.as_bytes()).await
}

fn body_of(answer: &str) -> serde_json::Value {
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[tokio::test]
async fn refused_means_nothing_happened() {
    let place = place();
    for (target, headers, status) in [
        ("/v1/events/a/+/b", &[][..], 400),
        ("/v1/events/a/%23", &[], 400),
        ("/v1/events/a%00b", &[], 400),
        ("/v1/events/a%0Ab", &[], 400),
        ("/v1/events/a%ffb", &[], 400),
        ("/v1/events/a%zz", &[], 400),
        ("/v1/events/a%ED%A0%80", &[], 400),
        ("/v1/events/a?sticky=perhaps", &[], 400),
        ("/v1/events/a?sticky=true&sticky=false", &[], 400),
        ("/v1/events/a?stikcy=true", &[], 400),
        ("/v1/events/a", &[("Idempotency-Key", "")], 400),
        ("/v1/events/a", &[("Idempotency-Key", "a\tb")], 400),
        ("/v1/events/a", &[("Idempotency-Key", "\u{85}")], 400),
        ("/v1/events/a", &[("Idempotency-Key", "a"), ("Idempotency-Key", "b")], 400),
        ("/v1/events/a", &[("Content-Type", "a/b"), ("Content-Type", "c/d")], 400),
        ("/v1/events/a", &[("Headwater-Content-Type", "a/b")], 400),
        ("/v1/events/$SYS/a", &[], 403),
        ("/v1/events/a", &[("Origin", "http://elsewhere.example")], 403),
        ("/v1/events/a", &[("Origin", "null")], 403),
        ("/v1/events/a", &[("Origin", "http://hub.test"), ("Origin", "http://hub.test")], 403),
        ("/v1/nothing", &[], 404),
        ("/v1/events/", &[], 404),
        ("/v1/live", &[], 405),
        ("/healthz", &[], 405),
    ] {
        let answer = place.post(target, headers, b"x").await;
        assert_eq!(answer.status, status, "{target} {headers:?}: {answer:?}");
        answer.problem(status);
    }
    let long = format!("/v1/events/{}", "x".repeat(1_025));
    place.post(&long, &[], b"x").await.problem(400);
    let deep = format!("/v1/events/{}", "a/".repeat(128));
    place.post(&deep, &[], b"x").await.problem(400);
    let long = "i".repeat(256);
    place.post("/v1/events/a", &[("Idempotency-Key", &long)], b"x").await.problem(400);
    assert_eq!(place.stored(), 0);
    assert_eq!(place.post("/v1/events/a", &[("Origin", "http://hub.test")], b"x").await.status, 200);
}

#[tokio::test]
async fn a_wrong_method_says_which_are_right() {
    let place = place();
    let refused = place.post("/v1/sticky/a", &[], b"x").await;
    refused.problem(405);
    assert_eq!(refused.header("allow"), Some("GET,HEAD"));
    let mut client = place.client().await;
    for method in ["DELETE", "PUT", "PATCH", "OPTIONS", "BREW"] {
        client.ask(method, "/v1/events/a", &[], b"").await.problem(405);
    }
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_closed() {
    let place = place();
    for text in [
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/3.0\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: minus\r\n\r\n",
        "POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/events/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "POST /v1/events/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nx",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = said(&place, text).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text:?}: {answer:?}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{text:?}: {answer}");
        assert_eq!(body_of(&answer)["name"], "malformed", "{text:?}");
    }
    assert_eq!(place.stored(), 0);
}

/// A proxy in front of us keeps one connection for requests of many clients: what is refused on a fresh one must be
/// refused on the second request as well.
#[tokio::test]
async fn no_request_is_smuggled_behind_another() {
    let place = place();
    for (round, text) in [
        "POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        // Behind the answer, and in the same packet.
        let mut client = place.client().await;
        client.write(GOOD.as_bytes()).await;
        assert_eq!(client.answer(false).await.status, 200);
        client.write([text, GOOD].concat().as_bytes()).await;
        let rest = client.rest().await;
        assert!(rest.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}: {rest}");
        assert_eq!(rest.matches("HTTP/1.1").count(), 1, "nothing is served behind it: {rest}");
        let rest = said(&place, &[GOOD, text, GOOD].concat()).await;
        assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.contains("HTTP/1.1 400 Bad Request\r\n"), "{rest}");
        assert_eq!(rest.matches("HTTP/1.1").count(), 2, "{rest}");
        assert_eq!(place.stored(), 2 * (round as u64 + 1), "{text}");
    }
}

#[tokio::test]
async fn a_head_has_a_bound() {
    let place = place();
    let endless = format!("GET / HTTP/1.1\r\nHost: h\r\n{}", "X-Filler: filler filler filler\r\n".repeat(40_000));
    let answer = said(&place, &endless).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(body_of(&answer)["name"], "head_too_large");
    let line = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(20_000));
    assert!(said(&place, &line).await.starts_with("HTTP/1.1 431 "));
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(200));
    assert!(said(&place, &many).await.starts_with("HTTP/1.1 431 "));
}

fn impatient(limits: Limits) -> Place {
    place_with(Memory::new(), headwater_hub::Settings::default(), |settings| settings.limits = limits)
}

/// Long enough for a good request on a busy machine, short enough to wait for.
const SOON: Duration = Duration::from_millis(300);

#[tokio::test]
async fn silent_and_slow_heads_are_closed_by_the_clock() {
    let place = impatient(Limits { first_byte: SOON, head: SOON, further_head: SOON, ..Limits::default() });
    let mut silent = place.client().await;
    let mut slow = place.client().await;
    slow.write(b"GET /healthz HTTP/1.1\r\nHo").await;
    let mut kept = place.client().await;
    assert_eq!(kept.ask("GET", "/healthz", &[], b"").await.status, 200);
    kept.write(b"GET /healthz HT").await;
    let mut neighbour = place.client().await;
    assert_eq!(neighbour.ask("GET", "/healthz", &[], b"").await.status, 200);
    assert_eq!(silent.rest().await, "", "who says nothing is told nothing");
    let told = slow.rest().await;
    assert!(told.starts_with("HTTP/1.1 408 ") && body_of(&told)["name"] == "too_slow", "{told}");
    assert_eq!(kept.rest().await, "");
}

#[tokio::test]
async fn a_slow_body_is_no_event() {
    let place = impatient(Limits { body: SOON, ..Limits::default() });
    let mut client = place.client().await;
    client.write(b"POST /v1/events/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert_eq!(client.answer(false).await.problem(408)["name"], "too_slow");
    assert_eq!(client.rest().await, "", "what comes later is not taken for a request");
    assert_eq!(place.stored(), 0);
}

#[tokio::test]
async fn who_takes_no_answer_is_closed_by_the_clock() {
    let place = impatient(Limits { stalled: SOON, ..Limits::default() });
    let body = vec![b'x'; 1 << 20];
    for _ in 0..16 {
        assert_eq!(place.post("/v1/events/a", &[], &body).await.status, 200);
    }
    let mut client = place.client().await;
    client.write(b"GET /v1/events?filter=a HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(client.head().await.0, 200);
    // Nothing is read from here on, so the socket's buffers fill up.
    while place.counts.open() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_panic_ends_its_connection_alone() {
    let boom = Router::new().route("/boom", get(|| async { panic!("injected") as &str }));
    let place = place_with(Memory::new(), headwater_hub::Settings::default(), |settings| settings.extra_routes = boom);
    let mut neighbour = place.client().await;
    assert_eq!(neighbour.ask("GET", "/healthz", &[], b"").await.status, 200);
    assert_eq!(said(&place, "GET /boom HTTP/1.1\r\nHost: h\r\n\r\n").await, "");
    assert_eq!(neighbour.ask("GET", "/healthz", &[], b"").await.status, 200);
    assert_eq!(place.counts.panicked(), 1);
}

#[tokio::test]
async fn random_bytes_hurt_nobody() {
    let place = place();
    let mut neighbour = place.client().await;
    // xorshift from a fixed seed.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..100 {
        let mut bytes = if round % 2 == 0 { GOOD.as_bytes().to_vec() } else { Vec::new() };
        bytes.extend((0..random() % 600).map(|_| random().to_le_bytes()[0]));
        let mut client = place.client().await;
        client.write(&bytes).await;
        client.finish().await;
        client.rest().await;
    }
    assert_eq!(neighbour.ask("GET", "/healthz", &[], b"").await.status, 200);
    assert_eq!(place.counts.panicked(), 0);
    assert_eq!(place.stored(), 50, "the good ones before the noise, and nothing else");
}
