//! Who asks over HTTP, what they are told, and that what they watch ends with their login.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use headwater_edge::http::{Caller, Hosts};
use headwater_event::{Login, Principal};
use headwater_hub::access::Access;

use super::support::*;
use crate::guarded::{self, PASSWORD};
use crate::memory::Memory;
use crate::ws::client::{Client as WebSocket, Frame};

fn guarded_place() -> (Place, Access) {
    let (settings, access) = guarded::settings();
    (place_with(Memory::new(), settings, |_| {}), access)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

async fn get_as(place: &Place, target: &str, authorization: &str) -> Answer {
    place.client().await.ask("GET", target, &[("Authorization", authorization)], b"").await
}

#[tokio::test]
async fn who_shows_nothing_is_asked_to_and_who_may_not_is_told_so() {
    let (place, _) = guarded_place();
    assert_eq!(place.get("/v1/events?filter=public/a").await.status, 200, "anonymous clients may");
    for target in
        ["/v1/events?filter=ada/%23", "/v1/sticky/ada/x", "/v1/sticky?filter=ada/%23", "/v1/live?filter=ada/x"]
    {
        let refused = place.get(target).await;
        assert_eq!(refused.problem(401)["name"], "not_authenticated", "{target}");
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(challenge.contains("Basic") && challenge.contains("Bearer"), "{challenge}");
    }
    place.post("/v1/events/ada/x", &[], b"x").await.problem(401);
    let ada = basic("ada", PASSWORD);
    assert_eq!(get_as(&place, "/v1/events?filter=ada/%23", &ada).await.status, 200);
    assert_eq!(place.post("/v1/events/ada/x", &[("Authorization", &ada)], b"x").await.status, 200);
    for target in ["/v1/events?filter=bob/%23", "/v1/sticky/bob/x", "/v1/live?filter=%23"] {
        let refused = get_as(&place, target, &ada).await;
        assert_eq!(refused.problem(403)["name"], "not_allowed", "{target}");
        assert!(refused.header("www-authenticate").is_none());
    }
    place.post("/v1/events/bob/x", &[("Authorization", &ada)], b"x").await.problem(403);
    let stored = place.get("/v1/events?filter=public/%23").await.text().lines().count();
    let own = get_as(&place, "/v1/events?filter=ada/%23", &ada).await.text().lines().count();
    assert_eq!((own, stored), (1, 0), "refused means that nothing happened");
}

#[tokio::test]
async fn what_is_wrong_is_refused_also_where_nothing_is_needed() {
    let (place, _) = guarded_place();
    for authorization in [basic("ada", "wrong"), basic("nobody", PASSWORD), "Bearer x".into(), "Bearer a.b.c".into()] {
        let refused = get_as(&place, "/v1/events?filter=public/a", &authorization).await;
        assert_eq!(refused.problem(401)["name"], "not_authenticated", "{authorization}");
    }
    for authorization in ["Basic x", "Digest x", "Bearer"] {
        get_as(&place, "/healthz", authorization).await.problem(400);
    }
    let twice = [("Authorization", "Bearer x"), ("Authorization", "Bearer y")];
    place.client().await.ask("GET", "/healthz", &twice, b"").await.problem(400);
}

/// Class 27: an address ends up in logs and histories.
#[tokio::test]
async fn class_27_no_secret_is_taken_from_an_address() {
    let (place, _) = guarded_place();
    for target in
        ["/v1/live?filter=public/a&token=x", "/v1/events?access_token=x", "/v1/ws?token=x", "/v1/events/a?token=x"]
    {
        let method = if target.starts_with("/v1/events/a") { "POST" } else { "GET" };
        let upgrade = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let headers: &[_] = if target.starts_with("/v1/ws") { &upgrade } else { &[] };
        assert_eq!(place.client().await.ask(method, target, headers, b"").await.status, 400, "{target}");
    }
}

#[tokio::test]
async fn class_4_server_sent_events_end_with_the_login() {
    let (place, access) = guarded_place();
    let ada = basic("ada", PASSWORD);
    let mut live = Watcher::open(&place, "filter=ada/x", &format!("Authorization: {ada}\r\n")).await;
    assert_eq!(place.post("/v1/events/ada/x", &[("Authorization", &ada)], b"before").await.status, 200);
    while !live.next().await.data.contains("before") {}
    let began = Instant::now();
    access.replace(guarded::policy(Vec::new(), &["ada/x"]));
    place.hub.recheck().await;
    // By somebody who may publish, though nobody may watch.
    assert_eq!(place.post("/v1/events/ada/x", &[], b"after").await.status, 200);
    let rest = live.client.rest().await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(!rest.contains("after"), "{rest}");
    get_as(&place, "/v1/events?filter=ada/x", &ada).await.problem(401);
}

#[tokio::test]
async fn class_4_a_websocket_ends_with_its_login() {
    let (place, access) = guarded_place();
    let header = format!("Authorization: {}\r\n", basic("ada", PASSWORD));
    let (mut client, answer) = WebSocket::knock(place.addr, &header, b"").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert_eq!(client.json().await["op"], "welcome");
    assert_eq!(client.ask(r#"{"op":"subscribe","filter":"ada/#","ref":1}"#).await["op"], "subscribed");
    assert_eq!(client.json().await["op"], "current");
    let began = Instant::now();
    access.replace(guarded::policy(Vec::new(), &[]));
    let ended = client.frame().await;
    assert!(matches!(ended, None | Some(Frame::Close(_))), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_page_shows_its_login_by_a_subprotocol_which_is_never_said_back() {
    let (place, _) = guarded_place();
    let knock = async |offers: &str| {
        let header = format!("Sec-WebSocket-Protocol: {offers}\r\n");
        WebSocket::knock(place.addr, &header, b"").await
    };
    let login = URL_SAFE_NO_PAD.encode(format!("ada:{PASSWORD}"));
    let (mut client, answer) = knock(&format!("headwater.v1, headwater.login.{login}")).await;
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.contains("Sec-WebSocket-Protocol: headwater.v1\r\n"),
        "{answer}"
    );
    assert!(!answer.contains(&login), "{answer}");
    assert_eq!(client.json().await["op"], "welcome");
    assert_eq!(client.ask(r#"{"op":"subscribe","filter":"ada/#","ref":1}"#).await["op"], "subscribed");
    let wrong = URL_SAFE_NO_PAD.encode("ada:wrong");
    for offers in [format!("headwater.v1, headwater.login.{wrong}"), "headwater.v1, headwater.token.a.b.c".into()] {
        let (_, answer) = knock(&offers).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
}

/// Class 31: a browser sends cookies along with what any page makes it send.
#[tokio::test]
async fn class_31_a_cookie_changes_nothing_unless_a_page_of_ours_asks() {
    let (settings, _) = guarded::settings();
    let who = Principal::named("ada", Arc::default(), Login::Nothing);
    let place = place_with(Memory::new(), settings, |serving| {
        let cookies = move |headers: &axum::http::HeaderMap| {
            headers.get("cookie").filter(|cookie| cookie.as_bytes() == b"s=ada").map(|_| who.clone())
        };
        serving.cookies = Some(Arc::new(cookies));
        let say = |request: axum::extract::Request| async move {
            let caller = Caller::of(request.extensions()).unwrap();
            format!("{} by {:?}", caller.who.name(), caller.by)
        };
        serving.extra_routes = axum::Router::new().route("/who", axum::routing::any(say));
    });
    let who = async |method: &str, headers: &[(&str, &str)]| {
        let answer = place.client().await.ask(method, "/who", headers, b"").await;
        (answer.status, answer.text())
    };
    let cookie = ("Cookie", "s=ada");
    assert_eq!(who("GET", &[]).await, (200, "anonymous by Nothing".into()));
    assert_eq!(who("GET", &[cookie]).await, (200, "ada by Cookie".into()));
    assert_eq!(who("POST", &[cookie, ("Origin", "http://hub.test")]).await, (200, "ada by Cookie".into()));
    assert_eq!(who("POST", &[cookie]).await.0, 403, "no word of where it's from");
    assert_eq!(who("POST", &[cookie, ("Origin", "http://evil.test")]).await.0, 403);
    assert_eq!(who("POST", &[cookie, ("Origin", "null")]).await.0, 403);
    let basic = basic("ada", PASSWORD);
    assert_eq!(who("POST", &[cookie, ("Authorization", &basic)]).await, (200, "ada by Header".into()));
}

/// A page of another site whose name leads to this machine (DNS rebinding).
#[tokio::test]
async fn a_request_for_another_name_is_refused_where_that_is_asked_for() {
    let hosts = Hosts { is_checked: true, allowed: vec!["hub.test".into()] };
    let place = place_with(Memory::new(), headwater_hub::Settings::default(), |serving| serving.hosts = hosts);
    assert_eq!(place.post("/v1/events/a", &[], b"x").await.status, 200, "hub.test is allowed");
    for (request, rest) in [
        ("POST /v1/events/a", "Content-Length: 1\r\n\r\nx"),
        ("GET /v1/live?filter=a", "\r\n"),
        ("GET /v1/ws", "\r\n"),
        ("GET /mqtt", "\r\n"),
    ] {
        let answer = place
            .exchange(format!("{request} HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n{rest}").as_bytes())
            .await;
        let status = if request == "GET /mqtt" { "404" } else { "421" };
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    assert_eq!(place.stored(), 1);
}
