//! The contract with sources, over HTTP.

use axum::http::{Request, StatusCode};
use headwater_event::{Clock, Login, Principal, Topic};
use headwater_hub::access::{Keys, Openness, Policy, Rules, Secret, TokenRules, Tokens, Users};
use headwater_hub::{Access, Ask, Limits};

use super::support::{App, BEGIN, Given, HAIFA, report};

const OK: &str = "\"Event processed successfully\"";
const BAD: &str = "\"Invalid event data\"";

#[tokio::test]
async fn a_report_is_answered_when_it_is_on_disk_whichever_path_it_takes() {
    let app = App::listening(Given::default());
    for (number, path) in
        ["/api/alerts", "/api/alerts/", "/alerts/api/alerts", "/alerts/api/alerts/"].into_iter().enumerate()
    {
        let answer = app.post(path, &report(HAIFA, "Rockets", number as u64 + 1)).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, OK), "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(app.raw().await.len(), number + 1, "{path}: it is on disk when it is answered");
    }
    let raw = app.raw().await;
    assert_eq!(raw[0].event.topic.as_str(), "alerts-raw/Haifa/report");
    assert_eq!(raw[0].event.headers.get("source"), Some("anonymous"));
}

#[tokio::test]
async fn what_is_no_report_is_refused_in_the_words_that_sources_know_and_nothing_is_stored() {
    let app = App::listening(Given::default());
    let good = report(HAIFA, "Rockets", 5);
    for body in [
        "",
        "{}",
        "null",
        "[]",
        "{",
        &good.replace("Haifa", ""),
        &good.replace(":5}", ":0}"),
        &good.replace(":5}", ":\"5\"}"),
    ] {
        let answer = app.post("/api/alerts", body).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::BAD_REQUEST, BAD), "{body}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let long = app.post("/api/alerts", &format!("{}{good}", " ".repeat(20_000))).await;
    assert_eq!((long.status, long.text.as_str()), (StatusCode::PAYLOAD_TOO_LARGE, BAD));
    assert!(app.raw().await.is_empty());
    assert_eq!(app.post("/api/alerts", &good).await.status, StatusCode::OK);
    assert_eq!(
        app.get("/alerts/api/counts").await.json(),
        serde_json::json!({ "taken": 1, "malformed": 9, "refused": 0 })
    );
}

#[tokio::test]
async fn a_source_that_asks_for_it_reads_what_to_mend() {
    let app = App::listening(Given::default());
    for accept in ["application/problem+json", "application/json, application/problem+json;q=0.9"] {
        let request = Request::post("/api/alerts").header("accept", accept);
        let answer = app.send(request, "{\"location\":7}").await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::BAD_REQUEST, "application/problem+json")
        );
        assert_eq!((&answer.json()["status"], &answer.json()["name"]), (&400.into(), &"malformed".into()));
        assert!(answer.json()["detail"].as_str().unwrap().contains("string"), "{}", answer.text);
    }
    let request = Request::post("/api/alerts").header("accept", "*/*");
    assert_eq!(app.send(request, "{}").await.text, BAD);
}

#[tokio::test]
async fn the_same_key_is_one_event_and_another_sources_key_is_its_own() {
    let app = App::listening(Given {
        who: |name| Principal::named(name, std::sync::Arc::default(), Login::Nothing),
        ..Given::default()
    });
    let send = async |who: &str, key: &str, minutes| {
        let request = Request::post("/api/alerts").header("idempotency-key", key).header("x-test-who", who);
        app.send(request, &report(HAIFA, "Rockets", minutes)).await.status
    };
    for _ in 0..3 {
        assert_eq!(send("ada", "k1", 5).await, StatusCode::OK);
    }
    assert_eq!(app.raw().await.len(), 1);
    assert_eq!(send("bob", "k1", 5).await, StatusCode::OK);
    assert_eq!(send("ada", "k2", 5).await, StatusCode::OK);
    assert_eq!(app.raw().await.len(), 3);
    assert_eq!(send("ada", "k1", 6).await, StatusCode::UNPROCESSABLE_ENTITY, "the same key for something else");
    assert_eq!(send("ada", "", 6).await, StatusCode::BAD_REQUEST);
    assert_eq!(send("ada", &"k".repeat(129), 6).await, StatusCode::BAD_REQUEST);
    assert_eq!(app.raw().await.len(), 3);
}

#[tokio::test]
async fn the_same_key_is_one_event_after_the_hub_was_killed_too() {
    let app = App::listening(Given::default());
    let send = async |app: &App| {
        let request = Request::post("/api/alerts").header("idempotency-key", "k");
        app.send(request, &report(HAIFA, "Rockets", 5)).await.status
    };
    assert_eq!(send(&app).await, StatusCode::OK);
    let app = app.listening_again(Given::default());
    assert_eq!(send(&app).await, StatusCode::OK);
    assert_eq!(app.raw().await.len(), 1);
}

#[tokio::test]
async fn who_may_not_is_told_so_and_nothing_is_stored() {
    let access = Access::by(|who: &Principal, ask: Ask<'_>| match ask {
        Ask::Publish(topic) => who.user() == Some("ada") && topic.as_str().starts_with("alerts-raw/"),
        Ask::Watch(_) => true,
    });
    let given = Given {
        access,
        who: |name| Principal::named(name, std::sync::Arc::default(), Login::Nothing),
        ..Given::default()
    };
    let app = App::listening(given);
    let body = report(HAIFA, "Rockets", 5);
    let refused = app.send(Request::post("/api/alerts").header("x-test-who", "eve"), &body).await;
    assert_eq!((refused.status, refused.header("content-type")), (StatusCode::FORBIDDEN, "application/problem+json"));
    assert!(app.raw().await.is_empty());
    let taken = app.send(Request::post("/api/alerts").header("x-test-who", "ada"), &body).await;
    assert_eq!(taken.status, StatusCode::OK);
    assert_eq!(app.raw().await[0].event.headers.get("source"), Some("ada"));
}

#[tokio::test]
async fn who_shows_nothing_where_a_login_might_help_is_asked_for_one() {
    const KEYS: &str = r#"{"keys":[{"kty":"oct","kid":"k","k":"YSBzaGFyZWQga2V5IG9mIHRoaXJ0eS10d28gYnl0ZXM"}]}"#;
    let rules = TokenRules { issuer: "i".into(), audience: "a".into(), ..TokenRules::default() };
    let tokens = Tokens::new(Keys::read(&Secret::new(KEYS)).unwrap(), rules);
    let policy = Policy::new(Openness::Rules, Rules::default(), Users::default(), Some(tokens));
    let app = App::listening(Given { access: Access::keeping(policy, Clock::manual(BEGIN)), ..Given::default() });
    let answer = app.post("/api/alerts", &report(HAIFA, "Rockets", 5)).await;
    assert_eq!((answer.status, answer.json()["name"].as_str()), (StatusCode::UNAUTHORIZED, Some("not_authenticated")));
    assert!(answer.header("www-authenticate").starts_with("Bearer"), "{:?}", answer.headers);
}

#[tokio::test]
async fn what_can_not_be_stored_is_503_with_the_time_to_come_again() {
    let app = App::listening(Given::default());
    app.fail_the_disk();
    let answer = app.post("/api/alerts", &report(HAIFA, "Rockets", 5)).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "30"));
    assert!(answer.text.starts_with('"'), "{}", answer.text);

    let limits = Limits { waiting_bytes_max: 10_000_000, waiting_events_max: 0, ..Limits::default() };
    let app = App::listening(Given { limits, ..Given::default() });
    let answer = app.post("/api/alerts", &report(HAIFA, "Rockets", 5)).await;
    assert!(matches!(answer.status.as_u16(), 400 | 503), "{}", answer.status);
}

#[tokio::test]
async fn any_place_has_a_topic_of_its_own() {
    let app = App::listening(Given::default());
    for location in ["a/b", "+", "#", "תל אביב", "$SYS", "-", "100%"] {
        assert_eq!(app.post("/api/alerts", &report(location, "x", 5)).await.status, StatusCode::OK, "{location}");
    }
    let raw = app.raw().await;
    let topics: Vec<&str> = raw.iter().map(|recorded| recorded.event.topic.as_str()).collect();
    let levels = ["a%2Fb", "%2B", "%23", "תל אביב", "$SYS", "%2D", "100%25"];
    assert_eq!(topics, levels.map(|level| format!("alerts-raw/{level}/report")));
    assert!(topics.iter().all(|topic| Topic::new((*topic).to_owned()).is_ok()));
}

#[tokio::test]
async fn a_cap_message_is_one_event_for_each_area_or_none_at_all() {
    let app = App::listening(Given::default());
    let cap = super::cap::message("id1", "Alert", "", "Actual", &["North", "South"]);
    for _ in 0..2 {
        let answer = app
            .send(Request::post("/api/alerts").header("content-type", "application/cap+xml; charset=utf-8"), &cap)
            .await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, OK));
    }
    assert_eq!(app.post("/alerts/api/cap", &cap).await.status, StatusCode::OK);
    let raw = app.raw().await;
    let topics: Vec<&str> = raw.iter().map(|recorded| recorded.event.topic.as_str()).collect();
    assert_eq!(topics, ["alerts-raw/North/cap", "alerts-raw/South/cap"], "the same message is one");
    let bomb = cap.replacen("<alert", "<!DOCTYPE alert [<!ENTITY a \"aaaa\">]><alert", 1);
    for body in [bomb.as_str(), "<alert/>", "", &cap[..cap.len() - 9]] {
        let answer = app.send(Request::post("/api/alerts").header("content-type", "text/xml"), body).await;
        assert_eq!((answer.status, answer.text.as_str()), (StatusCode::BAD_REQUEST, BAD));
    }
    assert_eq!(app.raw().await.len(), 2);
}
