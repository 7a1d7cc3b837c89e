//! `POST /v1/events`: CloudEvents in all three modes of the HTTP binding.

use headwater_event::{Filter, Principal, Recorded};
use headwater_hub::From;

use super::support::{Place, place};

const ONE: [(&str, &str); 1] = [("Content-Type", "application/cloudevents+json; charset=utf-8")];
const MANY: [(&str, &str); 1] = [("Content-Type", "application/cloudevents-batch+json")];

async fn stored(place: &Place) -> Vec<Recorded> {
    let filter = Filter::new("#").unwrap();
    let mut history = place.hub.history(&Principal::anonymous(), filter, From::Oldest).unwrap();
    let mut all = Vec::new();
    while let Some(page) = history.next().await.unwrap() {
        all.extend(page);
    }
    all
}

#[tokio::test]
async fn a_structured_event_keeps_its_attributes_and_the_very_bytes_of_its_data() {
    let place = place();
    let body = r#"{"specversion":"1.0","id":"A-1","source":"/checkout","type":"org.example.paid","time":"2026-11-21T07:15:00Z",
        "priority":3,"urgent":true,"nothing":null,"data":{"b": 1.0, "a":[1,2]}}"#;
    let answer = place.post("/v1/events?sticky=true", &ONE, body.as_bytes()).await;
    assert_eq!((answer.status, &answer.json()["seq"], &answer.json()["id"]), (200, &1.into(), &"/checkout A-1".into()));
    let all = stored(&place).await;
    let event = &all[0].event;
    assert_eq!((event.topic.as_str(), event.id.to_string().as_str()), ("org/example/paid", "/checkout A-1"));
    assert_eq!((&event.payload[..], all[0].sticky), (&br#"{"b": 1.0, "a":[1,2]}"#[..], true));
    for (name, value) in [
        ("content-type", Some("application/json")),
        ("ce-specversion", Some("1.0")),
        ("ce-source", Some("/checkout")),
        ("ce-id", Some("A-1")),
        ("ce-time", Some("2026-11-21T07:15:00Z")),
        ("ce-priority", Some("3")),
        ("ce-urgent", Some("true")),
        ("ce-nothing", None),
    ] {
        assert_eq!(event.headers.get(name), value, "{name}");
    }
    let again = place.post("/v1/events", &ONE, body.as_bytes()).await.json();
    assert_eq!((&again["seq"], &again["duplicate"]), (&1.into(), &true.into()));
}

#[tokio::test]
async fn data_is_json_text_or_bytes() {
    let place = place();
    for (members, payload) in [
        (r#""data":"plain","datacontenttype":"text/plain""#, &b"plain"[..]),
        (r#""data":"quoted","datacontenttype":"application/problem+json; x=y""#, b"\"quoted\""),
        (r#""data":"quoted""#, b"\"quoted\""),
        (r#""data_base64":"/wA=","datacontenttype":"application/octet-stream""#, b"\xff\0"),
        (r#""data":null,"datacontenttype":"text/plain""#, b""),
        (r#""subject":"a/b""#, b""),
    ] {
        let number = place.stored();
        let body = format!(r#"{{"specversion":"1.0","id":"{number}","source":"s","type":"t",{members}}}"#);
        let answer = place.post("/v1/events", &ONE, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{members}: {answer:?}");
        assert_eq!(stored(&place).await.last().unwrap().event.payload, payload, "{members}");
    }
    assert_eq!(stored(&place).await.last().unwrap().event.topic.as_str(), "a/b");
}

#[tokio::test]
async fn a_binary_event_is_its_body_and_headers() {
    let place = place();
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "s"),
        ("ce-type", "t"),
        ("ce-subject", "caf%C3%A9/1"),
        ("Content-Type", "text/plain"),
    ];
    assert_eq!(place.post("/v1/events", &headers, b"hot").await.json()["id"], "s 1");
    let all = stored(&place).await;
    let event = &all[0].event;
    assert_eq!((event.topic.as_str(), &event.payload[..]), ("café/1", &b"hot"[..]));
    assert_eq!(
        (event.headers.get("content-type"), event.headers.get("ce-subject")),
        (Some("text/plain"), Some("café/1"))
    );
}

#[tokio::test]
async fn a_batch_is_taken_whole_or_not_at_all() {
    let place = place();
    let event = |id: &str, more: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"t"{more}}}"#);
    let bad = format!("[{},{}]", event("1", ""), event("2", r#","time":"soon""#));
    let problem = place.post("/v1/events", &MANY, bad.as_bytes()).await.problem(400);
    assert_eq!((&problem["event"], &problem["attribute"]), (&"1".into(), &"time".into()));
    assert_eq!(place.stored(), 0);
    let good = format!("[{},{},{}]", event("1", ""), event("2", ""), event("1", ""));
    let receipts = place.post("/v1/events", &MANY, good.as_bytes()).await.json();
    let seen: Vec<_> =
        receipts.as_array().unwrap().iter().map(|r| (r["seq"].as_u64(), r["duplicate"].as_bool())).collect();
    assert_eq!(seen, [(Some(1), None), (Some(2), None), (Some(1), Some(true))]);
    assert_eq!(place.post("/v1/events", &MANY, b"[]").await.text(), "[]");
    assert_eq!(place.stored(), 2);
}

#[tokio::test]
async fn what_is_no_cloud_event_is_refused_with_the_attributes_name() {
    let place = place();
    for (body, attribute) in [
        (r#"{"id":"1","source":"s","type":"t"}"#, Some("specversion")),
        (r#"{"specversion":"0.3","id":"1","source":"s","type":"t"}"#, Some("specversion")),
        (r#"{"specversion":"1.0","source":"s","type":"t"}"#, Some("id")),
        (r#"{"specversion":"1.0","id":"","source":"s","type":"t"}"#, Some("id")),
        (r#"{"specversion":"1.0","id":"1","type":"t"}"#, Some("source")),
        (r#"{"specversion":"1.0","id":"1","source":"a b","type":"t"}"#, Some("source")),
        (r#"{"specversion":"1.0","id":"1","source":"s"}"#, Some("type")),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":""}"#, Some("subject")),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"yesterday"}"#, Some("time")),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","Upper":"x"}"#, Some("Upper")),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","x":{}}"#, Some("x")),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","x":1.5}"#, Some("x")),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","x":"a\u0000b"}"#, Some("x")),
        (r#"{"specversion":"1.0","id":"1","id":"2","source":"s","type":"t"}"#, Some("id")),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":""}"#, Some("data")),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data":2}"#, Some("data")),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"%%"}"#, Some("data_base64")),
        (
            r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"datacontenttype":"text/plain"}"#,
            Some("data"),
        ),
        (r#"{"specversion":"1.0","id":"1","source":"s","type":"a/+"}"#, None),
        ("{", None),
        ("[]", None),
        ("", None),
        ("{\"a\":\"\u{0}\"}", None),
    ] {
        let problem = place.post("/v1/events", &ONE, body.as_bytes()).await.problem(400);
        assert_eq!(problem["attribute"].as_str(), attribute, "{body}: {problem}");
    }
    let deep = format!("{}{}", r#"{"specversion":"1.0","id":"1","source":"s","type":"t","data":"#, "[".repeat(100_000));
    place.post("/v1/events", &ONE, deep.as_bytes()).await.problem(400);
    let wide: String = (0..100).map(|n| format!(r#","a{n}":1"#)).collect();
    let wide = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t"{wide}}}"#);
    place.post("/v1/events", &ONE, wide.as_bytes()).await.problem(400);
    place.post("/v1/events", &[("Content-Type", "text/plain")], b"x").await.problem(415);
    let long = format!(r#"{{"specversion":"1.0","id":"{}","source":"s","type":"t"}}"#, "i".repeat(255));
    place.post("/v1/events", &ONE, long.as_bytes()).await.problem(400);
    let reserved = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"$SYS/a"}"#;
    place.post("/v1/events", &ONE, reserved.as_bytes()).await.problem(403);
    let twice = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-id", "2"), ("ce-source", "s"), ("ce-type", "t")];
    place.post("/v1/events", &twice, b"x").await.problem(400);
    assert_eq!(place.stored(), 0);
}
