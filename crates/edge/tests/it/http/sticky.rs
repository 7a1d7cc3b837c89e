//! `GET /v1/sticky/...`: the latest state of one topic, and of many.

use headwater_hub::Settings;

use super::support::{place, place_with};
use crate::memory::Memory;

#[tokio::test]
async fn a_state_comes_as_it_was_published() {
    let place = place();
    let headers = [("Content-Type", "text/html"), ("Headwater-Colour", "blue"), ("Headwater-Position", "mine")];
    place.post("/v1/events/a?sticky=true", &headers, b"<b>one</b>").await;
    place.post("/v1/events/a", &[], b"not sticky").await;
    let answer = place.get("/v1/sticky/a").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "<b>one</b>"));
    for (name, value) in [
        ("content-type", "text/html"),
        ("headwater-colour", "blue"),
        ("headwater-position", "7:1"),
        ("etag", "\"7:1\""),
        ("x-content-type-options", "nosniff"),
        // A stranger's page is no page of ours.
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "headwater-position").count(), 1);
}

#[tokio::test]
async fn who_has_it_already_is_told_so() {
    let place = place();
    place.post("/v1/events/a?sticky=true", &[], b"one").await;
    let mut client = place.client().await;
    for tags in ["\"7:1\"", "W/\"7:1\"", "\"x\", \"7:1\"", "*"] {
        let answer = client.ask("GET", "/v1/sticky/a", &[("If-None-Match", tags)], b"").await;
        assert_eq!((answer.status, answer.header("etag")), (304, Some("\"7:1\"")), "{tags}");
    }
    place.post("/v1/events/a?sticky=true", &[], b"two").await;
    let answer = client.ask("GET", "/v1/sticky/a", &[("If-None-Match", "\"7:1\"")], b"").await;
    assert_eq!((answer.status, answer.text().as_str(), answer.header("etag")), (200, "two", Some("\"7:2\"")));
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
}

#[tokio::test]
async fn a_state_ends_with_an_empty_one() {
    let place = place();
    place.get("/v1/sticky/a").await.problem(404);
    place.post("/v1/events/a?sticky=true", &[], b"one").await;
    place.post("/v1/events/a?sticky=true", &[], b"").await;
    assert_eq!(place.get("/v1/sticky/a").await.problem(404)["name"], "no_state");
    place.get("/v1/sticky/a/%2B").await.problem(400);
    place.get("/v1/sticky/$audit/a").await.problem(403);
    place.get("/v1/sticky/a?x=y").await.problem(400);
}

#[tokio::test]
async fn states_are_listed_by_filter_page_by_page() {
    let place = place_with(Memory::new(), Settings::default(), |_| {});
    for topic in ["a/1", "a/2", "b/1", "a/3"] {
        place.post(&format!("/v1/events/{topic}?sticky=true"), &[], topic.as_bytes()).await;
    }
    let list = place.get("/v1/sticky?filter=a/%2B").await.json();
    let topics = |list: &serde_json::Value| -> Vec<String> {
        list["events"].as_array().unwrap().iter().map(|event| event["topic"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(topics(&list), ["a/1", "a/2", "a/3"]);
    assert_eq!((&list["as_of"], &list["next"]), (&"7:4".into(), &serde_json::Value::Null));
    let first = place.get("/v1/sticky?filter=a/%2B&limit=2").await.json();
    assert_eq!((topics(&first), &first["next"]), (vec!["a/1".into(), "a/2".into()], &"a/2".into()));
    let second = place.get("/v1/sticky?filter=a/%2B&limit=2&after=a/2").await.json();
    assert_eq!((topics(&second), &second["next"]), (vec!["a/3".into()], &serde_json::Value::Null));
    assert_eq!(topics(&place.get("/v1/sticky?filter=none").await.json()), [""; 0]);
    for query in ["filter=a%23", "after=%2B", "limit=0", "limit=1001", "x=y"] {
        place.get(&format!("/v1/sticky?{query}")).await.problem(400);
    }
}

#[tokio::test]
async fn a_list_of_large_states_ends_early() {
    let place = place();
    let state = vec![b'x'; 1 << 20];
    for number in 10..30 {
        assert_eq!(place.post(&format!("/v1/events/a/{number}?sticky=true"), &[], &state).await.status, 200);
    }
    let mut seen = 0;
    let mut after = String::new();
    loop {
        let answer = place.get(&format!("/v1/sticky?filter=a/%2B{after}")).await;
        assert!(answer.body.len() < 14 << 20, "{}", answer.body.len());
        let list = answer.json();
        seen += list["events"].as_array().unwrap().len();
        match list["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 20);
}
