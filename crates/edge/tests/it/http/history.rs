//! `GET /v1/events`: the past as JSON lines, and what is said when it isn't there.

use headwater_hub::Settings;

use super::support::{Place, place, place_with};
use crate::memory::Memory;

async fn filled(events: u64) -> Place {
    let place = place();
    let mut client = place.client().await;
    for number in 1..=events {
        let target = format!("/v1/events/{}/{number}", if number % 2 == 0 { "even" } else { "odd" });
        assert_eq!(client.ask("POST", &target, &[], number.to_string().as_bytes()).await.status, 200);
    }
    place
}

async fn seqs(place: &Place, query: &str) -> Vec<u64> {
    let answer = place.get(&format!("/v1/events{query}")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")), "{answer:?}");
    let text = answer.text();
    text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn the_past_is_read_in_order_by_filter_and_position() {
    let place = filled(10).await;
    assert_eq!(seqs(&place, "").await, (1..=10).collect::<Vec<_>>());
    assert_eq!(seqs(&place, "?filter=even/%23&from=start").await, [2, 4, 6, 8, 10]);
    assert_eq!(seqs(&place, "?filter=even/%2B&from=7:4").await, [6, 8, 10]);
    assert_eq!(seqs(&place, "?filter=even/+&from=7:4&limit=2").await, [6, 8]);
    assert_eq!(seqs(&place, "?from=7:10").await, [0; 0]);
    let answer = place.get("/v1/events?limit=1").await;
    assert_eq!(answer.header("headwater-head"), Some("7:10"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let event = answer.json();
    assert_eq!((&event["topic"], &event["payload"]), (&"odd/1".into(), &"1".into()));
}

#[tokio::test]
async fn a_long_past_comes_piece_by_piece() {
    let place = place();
    let mut client = place.client().await;
    let body = vec![b'x'; 100_000];
    for _ in 0..50 {
        client.ask("POST", "/v1/events/a", &[], &body).await;
    }
    let answer = client.ask("GET", "/v1/events?filter=a", &[], b"").await;
    assert_eq!(answer.text().lines().count(), 50);
    // The connection goes on.
    assert_eq!(client.ask("GET", "/healthz", &[], b"").await.status, 200);
    let head = client.ask("HEAD", "/v1/events?filter=a", &[], b"").await;
    assert_eq!((head.status, head.header("headwater-head")), (200, Some("7:50")));
    assert_eq!(client.ask("GET", "/healthz", &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_position_that_is_not_there_is_told_apart() {
    let place = filled(3).await;
    let other = place.get("/v1/events?from=8:1").await.problem(409);
    assert_eq!((&other["name"], &other["head"]), (&"no_such_position".into(), &"7:3".into()));
    assert_eq!(place.get("/v1/events?from=7:4").await.problem(409)["head"], "7:3");
    let freed = place_with(Memory::with_oldest(5), Settings::default(), |_| {});
    for _ in 0..6 {
        freed.post("/v1/events/a", &[], b"x").await;
    }
    let gone = freed.get("/v1/events?from=7:4").await.problem(410);
    assert_eq!((&gone["name"], &gone["oldest"]), (&"gone".into(), &"7:5".into()));
    assert_eq!(seqs(&freed, "?from=start").await, [6]);
}

#[tokio::test]
async fn a_bad_query_names_the_parameter() {
    let place = place();
    for (query, name) in [
        ("filter=a%23", "filter"),
        ("filter=", "filter"),
        ("filter=%ff", "filter"),
        ("from=yesterday", "from"),
        ("from=7", "from"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e3", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=1&limit=2", "limit"),
        ("fitler=a", "fitler"),
    ] {
        assert_eq!(place.get(&format!("/v1/events?{query}")).await.problem(400)["parameter"], name, "{query}");
    }
    place.get("/v1/events?filter=$audit/%23").await.problem(403);
}
