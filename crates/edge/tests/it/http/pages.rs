//! Health, counts, the description, pages, and what every answer says.

use axum::Router;
use axum::routing::get;
use headwater_edge::http::page;
use headwater_edge::ws::Origins;
use headwater_hub::Settings;

use super::support::{place, place_with};
use crate::memory::Memory;

#[tokio::test]
async fn the_process_says_how_it_is() {
    let place = place();
    assert_eq!(place.get("/healthz").await.json()["status"], "ok");
    let ready = place.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["parts"][0]["name"]), (200, &"log".into()));
    assert_eq!(ready.json()["durability"], "synced", "what an acknowledgement means");
}

#[tokio::test]
async fn what_was_counted_is_shown_without_a_name_of_anyone() {
    let place = place();
    place.post("/v1/events/secret-topic", &[("Idempotency-Key", "secret-id")], b"x").await;
    place.post("/v1/events/secret-topic", &[("Idempotency-Key", "secret-id")], b"x").await;
    place.post("/v1/events/$SYS", &[], b"x").await;
    let answer = place.get("/metrics").await;
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text();
    for line in [
        "headwater_events_published_total 1",
        "headwater_events_duplicate_total 1",
        "headwater_refused_total{reason=\"not_allowed\"} 1",
        "headwater_log_head 1",
        "headwater_ready 1",
        "headwater_append_seconds_count 2",
        "headwater_append_seconds_bucket{le=\"+Inf\"} 2",
        "headwater_connections_accepted_total{listener=\"http\"} 4",
        "headwater_connections_panicked_total{listener=\"http\"} 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is missing:\n{text}");
    }
    assert!(text.contains("headwater_process_resident_memory_bytes "), "{text}");
    assert!(text.contains("headwater_process_cpu_seconds_total "), "{text}");
    assert!(!text.contains("secret"));
}

#[tokio::test]
async fn the_description_is_served_with_a_page_that_asks_no_other_host() {
    let place = place();
    let document = place.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let page = place.get("/docs").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'self';"));
    for file in ["/docs/docs.css", "/docs/docs.js"] {
        assert!(page.text().contains(file));
        assert_eq!(place.get(file).await.status, 200);
    }
}

#[tokio::test]
async fn an_applications_routes_and_files_are_under_the_same_roof() {
    const FILES: &[(&str, &[u8])] = &[("index.html", b"<!doctype html>"), ("app.js", b"export {}")];
    let routes = Router::new().route("/app/now", get(|| async { "now" })).merge(page::router("/app", FILES));
    let place = place_with(Memory::new(), Settings::default(), |settings| settings.extra_routes = routes);
    let page = place.get("/app/").await;
    assert_eq!(
        (page.text().as_str(), page.header("content-type")),
        ("<!doctype html>", Some("text/html; charset=utf-8"))
    );
    let etag = page.header("etag").unwrap().to_owned();
    let mut client = place.client().await;
    assert_eq!(client.ask("GET", "/app/", &[("If-None-Match", &etag)], b"").await.status, 304);
    let moved = client.ask("GET", "/app", &[], b"").await;
    assert_eq!((moved.status, moved.header("location")), (308, Some("/app/")));
    assert_eq!(
        client.ask("GET", "/app/app.js", &[], b"").await.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    for target in ["/app/", "/app/app.js", "/app/now", "/healthz", "/nowhere"] {
        let answer = client.ask("GET", target, &[], b"").await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'self'"), "{target}");
    }
    client.ask("POST", "/app/now", &[("Origin", "http://elsewhere.example")], b"").await.problem(403);
    client.ask("GET", "/app/nothing", &[], b"").await.problem(404);
}

#[tokio::test]
async fn pages_of_an_allowed_origin_may_publish_and_watch() {
    let place = place_with(Memory::new(), Settings::default(), |settings| {
        settings.origins = Origins { allowed: vec!["https://app.example".into()] };
    });
    let mut client = place.client().await;
    let asked = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST")];
    let preflight = client.ask("OPTIONS", "/v1/events/a", &asked, b"").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("idempotency-key"));
    let answer = client.ask("POST", "/v1/events/a", &asked[..1], b"x").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("https://app.example")));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let foreign = client.ask("GET", "/v1/sticky", &[("Origin", "https://elsewhere.example")], b"").await;
    assert_eq!((foreign.status, foreign.header("access-control-allow-origin")), (200, None));
    client.write(b"GET /v1/live HTTP/1.1\r\nHost: h\r\nOrigin: https://app.example\r\n\r\n").await;
    let (_, headers) = client.head().await;
    assert!(headers.contains(&("Access-Control-Allow-Origin".into(), "https://app.example".into())), "{headers:?}");
}
