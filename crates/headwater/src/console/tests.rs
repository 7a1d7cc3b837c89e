//! The routes below `/v1/admin` over a real log, as somebody with a role sees them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use headwater_edge::accept::Stop;
use headwater_edge::http::{By, Caller, Logins};
use headwater_event::{
    Bus, Clock, Event, EventId, Filter, GroupName, GroupOptions, Headers, Principal, Publication, Settlement, Start,
    Text, Time, Topic,
};
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_hub::access::{For, Openness, Pattern, Policy, Role, Rules, User, Users};
use headwater_hub::{Access, Arrival, Bell, Credentials, Hub, Present, Proof, Settings};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower_service::Service;

use super::{Facts, routes};
use crate::config::{Config, Open};
use crate::nodes::{self, Lags, Nodes};

struct Place {
    hub: Arc<Hub>,
    log: Arc<EventLog>,
    router: Router,
    access: Access,
    stop: Stop,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    json: Value,
}

/// Anonymous clients may publish everywhere.
fn open_to_publish() -> Role {
    Role { publish: vec![Pattern::new("#", For::Publishing).unwrap()], ..Role::default() }
}

/// Users who are called as their one role is, and come by a certificate of that name.
fn access() -> Access {
    let user = |name: &str| User {
        name: name.into(),
        roles: vec![name.into()],
        certificates: vec![name.into()],
        ..User::default()
    };
    let patterns = |texts: &[&str], purpose| texts.iter().map(|text| Pattern::new(text, purpose).unwrap()).collect();
    let anonymous = open_to_publish();
    let sensor = Role { subscribe: patterns(&["Clinic/#", "clinic/#"], For::Watching), ..Role::default() };
    let rules = Rules::new([("anonymous", &anonymous), ("sensor", &sensor)]).unwrap();
    let users = Users::new(["admin", "observer", "sensor"].map(user)).unwrap();
    Access::keeping(Policy::new(Openness::Rules, rules, users, None), Clock::system())
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(EventLog::open(OpenOptions::new(folder.path())).unwrap());
    let access = access();
    let hub = Hub::start(log.clone(), Settings { access: access.clone(), ..Settings::default() });
    let stop = Stop::default();
    let logins = Logins::default();
    let (listening, counts, apps) = (Vec::new(), Vec::new(), Vec::new());
    let (embedded, stopping) = (Some(log.clone()), stop.listen());
    let bus: Arc<dyn Bus> = log.clone();
    let lags = Lags::new(bus.clone(), Clock::system());
    let config = Config { node_id: "test-node".into(), ..Config::default() };
    let nodes =
        Nodes::start(nodes::Start { config: &config, place: "1", hub: &hub, bus: &bus, parts: Vec::new(), lags });
    let facts = Facts {
        listening,
        counts,
        apps,
        open: Open::No,
        embedded,
        logins,
        mqtt: None,
        nodes,
        stores: Vec::new(),
        stopping,
    };
    Place { router: routes(hub.clone(), log.clone(), facts), hub, log, access, stop, _folder: folder }
}

fn publication(topic: &str, payload: &str, sticky: bool) -> Publication {
    let event = Event {
        id: EventId::generate(),
        topic: Topic::new(topic).unwrap(),
        headers: Headers::none(),
        payload: payload.to_owned().into(),
        at: Time(0),
    };
    Publication { event, sticky }
}

impl Place {
    /// The user who is called so, logged in.
    async fn who(&self, name: &str) -> Principal {
        let proof = Proof::Certificate { names: vec![Text::from(name)] };
        let shown = Credentials { proof, client_id: None, peer: [127, 0, 0, 1].into() };
        self.hub.authenticate(shown).await.unwrap()
    }

    async fn publish(&self, batch: Vec<Publication>) {
        self.hub.publish(&Principal::anonymous(), batch).unwrap().await.unwrap();
    }

    async fn request(&self, who: &Principal, by: By, request: Request<Body>) -> axum::response::Response {
        let mut request = request;
        let peer = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 9);
        request.extensions_mut().insert(Caller { who: who.clone(), peer, by });
        self.router.clone().call(request).await.unwrap()
    }

    async fn ask(&self, who: &Principal, method: &str, target: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(target).header("host", "127.0.0.1:8080");
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.request(who, By::Header, request).await;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let json = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: head.status, headers: head.headers, json }
    }

    async fn get(&self, who: &Principal, target: &str) -> Value {
        let answer = self.ask(who, "GET", target, "").await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.json);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.headers["cache-control"], "no-store");
        answer.json
    }

    fn enter(&self, who: &Principal, client: &str) -> (Present, Arc<Bell>) {
        let bell = Bell::new();
        let peer = "10.1.2.3:40000".parse().unwrap();
        let arrival = Arrival { protocol: "test", peer, who, client: Some(client) };
        (self.hub.presence().enter(arrival, &bell), bell)
    }
}

/// Every route, with what it needs to answer 200.
const LISTS: [&str; 12] = [
    "/v1/admin/overview",
    "/v1/admin/seconds",
    "/v1/admin/connections",
    "/v1/admin/slowest",
    "/v1/admin/groups",
    "/v1/admin/nodes",
    "/v1/admin/dead-letters?group=g",
    "/v1/admin/sessions",
    "/v1/admin/topics",
    "/v1/admin/topic?topic=a",
    "/v1/admin/tail",
    "/v1/admin/why?topic=a",
];

#[tokio::test]
async fn who_has_no_role_sees_nothing_and_who_may_look_changes_nothing() {
    let place = place();
    let (_present, bell) = place.enter(&place.who("sensor").await, "c");
    let id = place.get(&place.who("admin").await, "/v1/admin/connections").await["connections"][0]["id"].clone();
    let one = format!("/v1/admin/connections/{}", id.as_str().unwrap());
    let body = json!({ "group": "g", "seqs": [1] }).to_string();
    let changes = [
        ("DELETE", one.as_str(), ""),
        ("POST", "/v1/admin/dead-letters/retry", body.as_str()),
        ("POST", "/v1/admin/dead-letters/discard", body.as_str()),
    ];
    for (who, status) in [(Principal::anonymous(), 401), (place.who("sensor").await, 403)] {
        for target in LISTS.iter().chain([&one.as_str()]) {
            assert_eq!(place.ask(&who, "GET", target, "").await.status, status, "{target}");
        }
        for (method, target, body) in changes {
            assert_eq!(place.ask(&who, method, target, body).await.status, status, "{method} {target}");
        }
    }
    let observer = place.who("observer").await;
    for target in LISTS.iter().filter(|target| !target.ends_with("tail")).chain([&one.as_str()]) {
        place.get(&observer, target).await;
    }
    for (method, target, body) in changes {
        let refused = place.ask(&observer, method, target, body).await;
        assert_eq!((refused.status.as_u16(), &refused.json["name"]), (403, &json!("not_allowed")), "{method} {target}");
    }
    assert!(!bell.is_rung());
    assert_eq!(place.ask(&place.who("admin").await, "DELETE", &one, "").await.status, 204);
    assert!(bell.is_rung());
}

#[tokio::test]
async fn an_observer_sees_no_payload_whatever_is_asked() {
    let place = place();
    place.publish(vec![publication("a", "the canary sings", true)]).await;
    let group = GroupName::new("g").unwrap();
    let options = GroupOptions { start: Start::Oldest, ..GroupOptions::new(vec![Filter::new("#").unwrap()]) };
    let mut member = place.log.join(&group, options).await.unwrap();
    let tag = member.next(1).await.unwrap()[0].tag();
    member.settle(vec![(tag, Settlement::Dead { why: "the canary fell silent".into() })]).await.unwrap();
    let observer = place.who("observer").await;
    for target in LISTS.iter().filter(|target| !target.ends_with("tail")) {
        assert!(!place.get(&observer, target).await.to_string().contains("canary"), "{target}");
    }
    let admin = place.get(&place.who("admin").await, "/v1/admin/dead-letters?group=g").await;
    assert_eq!(admin["letters"][0]["event"]["payload"], "the canary sings");
    assert_eq!(admin["letters"][0]["why"], "the canary fell silent");
    // The tail too.
    for (who, payload) in [(observer, None), (place.who("admin").await, Some("the canary sings"))] {
        let request = Request::builder().uri("/v1/admin/tail").header("host", "h").body(Body::empty()).unwrap();
        let mut body = place.request(&who, By::Header, request).await.into_body();
        place.publish(vec![publication("a", "the canary sings", false)]).await;
        let event = loop {
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            let text = std::str::from_utf8(&frame).unwrap().to_owned();
            let news: Value = serde_json::from_str(text.trim().split_once("data: ").unwrap().1).unwrap();
            if let Some(event) = news["events"].get(0) {
                break event.clone();
            }
        };
        assert_eq!((event["topic"].as_str(), event["payload"].as_str()), (Some("a"), payload));
    }
}

/// Class 14 of the faults of our field: numbers of paging at and beyond their ends.
#[tokio::test]
async fn numbers_at_and_beyond_their_ends_are_answered_or_refused_and_nothing_else() {
    let place = place();
    place.publish((0..10).map(|n| publication(&format!("a/{n}"), "x", true)).collect()).await;
    let _guards: Vec<_> = (0..10).map(|_| place.enter(&Principal::anonymous(), "c")).collect();
    let admin = place.who("admin").await;
    let numbers = [
        "",
        "0",
        "-1",
        "-0",
        "1.5",
        "NaN",
        "inf",
        "1e309",
        "0x10",
        "+1",
        "%201",
        "1%00",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "4294967295",
        "4294967296",
        "999999999999999999999",
    ];
    for target in LISTS.iter().filter(|target| !target.ends_with("tail")) {
        let join = if target.contains('?') { '&' } else { '?' };
        for name in ["limit", "after", "before", "topic", "under", "group", "search", "x"] {
            for number in numbers {
                let target = format!("{target}{join}{name}={number}");
                let answer = place.ask(&admin, "GET", &target, "").await;
                assert!([200, 400].contains(&answer.status.as_u16()), "{target}: {} {}", answer.status, answer.json);
                if answer.status == 400 {
                    assert!(answer.json["detail"].is_string(), "{target}: {}", answer.json);
                }
            }
        }
    }
    for id in ["1", "-", "1-1-1", "NaN-1", "99999999999-1", "%00", "1--1"] {
        let answer = place.ask(&admin, "GET", &format!("/v1/admin/connections/{id}"), "").await;
        assert_eq!(answer.status, 400, "{id}: {}", answer.json);
    }
    assert_eq!(place.ask(&admin, "GET", "/v1/admin/connections/4294967295-4294967295", "").await.status, 404);
    for seqs in ["[-1]", "[18446744073709551616]", "[1.5]", "[\"1\"]", "[]", "null", "[NaN]", "{}"] {
        let body = format!("{{\"group\":\"g\",\"seqs\":{seqs}}}");
        assert_eq!(place.ask(&admin, "POST", "/v1/admin/dead-letters/retry", &body).await.status, 400, "{seqs}");
    }
    let body = json!({ "group": "g", "seqs": (0..1_001).collect::<Vec<_>>() }).to_string();
    assert_eq!(place.ask(&admin, "POST", "/v1/admin/dead-letters/retry", &body).await.status, 400);
    let body = json!({ "group": "g", "seqs": [u64::MAX, 0, i64::MAX] }).to_string();
    assert_eq!(place.ask(&admin, "POST", "/v1/admin/dead-letters/retry", &body).await.json, json!({ "taken": 0 }));
}

#[tokio::test]
async fn a_list_of_a_hundred_thousand_connections_is_read_page_by_page() {
    let place = place();
    let who = place.who("sensor").await;
    let _guards: Vec<_> = (0..100_000).map(|n| place.enter(&who, &format!("client-{n:06}"))).collect();
    let admin = place.who("admin").await;
    let page = place.get(&admin, "/v1/admin/connections?limit=500").await;
    assert_eq!((page["connections"].as_array().unwrap().len(), &page["total"]), (500, &json!(100_000)));
    assert_eq!(page["looked_at"], 500);
    // A search for the last one is answered in pieces, each of which says how much it has looked at.
    let (mut looked_at, mut after, mut found) = (0, String::new(), Vec::new());
    for _ in 0..10 {
        let page = place.get(&admin, &format!("/v1/admin/connections?search=CLIENT-099999{after}")).await;
        let looked = page["looked_at"].as_u64().unwrap();
        assert!(looked <= 32_768 + 4_096, "{looked}");
        looked_at += looked;
        found.extend(page["connections"].as_array().unwrap().iter().map(|one| one["client"].clone()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!((looked_at, found), (100_000, vec![json!("client-099999")]));
    let slowest = place.get(&admin, "/v1/admin/slowest").await;
    assert_eq!(
        (&slowest["looked_at"], &slowest["all"], &slowest["connections"]),
        (&json!(100_000), &json!(true), &json!([]))
    );
}

#[tokio::test]
async fn groups_show_how_far_they_are_behind_and_letters_are_tried_anew_or_discarded() {
    let place = place();
    let admin = place.who("admin").await;
    let group = GroupName::new("billing").unwrap();
    let options = GroupOptions { start: Start::Oldest, ..GroupOptions::new(vec![Filter::new("orders/#").unwrap()]) };
    let mut member = place.log.join(&group, options).await.unwrap();
    let batch = ["orders/1", "elsewhere", "orders/2", "orders/3", "elsewhere"];
    place.publish(batch.iter().map(|topic| publication(topic, "x", false)).collect()).await;
    let stat = place.get(&admin, "/v1/admin/groups").await["groups"][0].clone();
    assert_eq!((&stat["name"], &stat["lag"], &stat["lag_exact"]), (&json!("billing"), &json!(3), &json!(true)));
    assert!(stat["lag_s"].as_f64().unwrap() < 60.0 && stat["members"] == 1, "{stat}");
    let deliveries = member.next(3).await.unwrap();
    let dead = deliveries.iter().map(|one| (one.tag(), Settlement::Dead { why: "no price".into() })).collect();
    member.settle(dead).await.unwrap();
    let stat = place.get(&admin, "/v1/admin/groups").await["groups"][0].clone();
    assert_eq!((&stat["lag"], &stat["lag_s"], &stat["dead"]), (&json!(0), &Value::Null, &json!(3)), "{stat}");
    let page = place.get(&admin, "/v1/admin/dead-letters?group=billing&limit=2").await;
    assert_eq!((page["letters"].as_array().unwrap().len(), &page["letters"][0]["why"]), (2, &json!("no price")));
    let seqs: Vec<_> = deliveries.iter().map(|one| one.recorded.position.seq).collect();
    assert_eq!(page["next"], seqs[1].to_string());
    let rest = format!("/v1/admin/dead-letters?group=billing&limit=2&after={}", seqs[1]);
    assert_eq!(place.get(&admin, &rest).await["letters"][0]["event"]["seq"], seqs[2]);
    let which = |seqs: &[u64]| json!({ "group": "billing", "seqs": seqs }).to_string();
    let answer = place.ask(&admin, "POST", "/v1/admin/dead-letters/discard", &which(&seqs[..1])).await;
    assert_eq!(answer.json, json!({ "taken": 1 }));
    let answer = place.ask(&admin, "POST", "/v1/admin/dead-letters/retry", &which(&seqs)).await;
    assert_eq!(answer.json, json!({ "taken": 2 }));
    let again = member.next(3).await.unwrap();
    let came: Vec<_> = again.iter().map(|one| (one.recorded.position.seq, one.attempt)).collect();
    assert_eq!(came, [(seqs[1], 1), (seqs[2], 1)]);
}

#[tokio::test]
async fn why_names_the_first_thing_that_stands_in_the_way() {
    let place = place();
    let admin = place.who("admin").await;
    let ask = |query: &str| format!("/v1/admin/why?{query}");
    let step = |answer: &Value, name: &str| {
        let steps = answer["steps"].as_array().unwrap();
        steps.iter().find(|step| step["name"] == name).map(|step| step["found"].as_str().unwrap().to_owned())
    };
    let nobody = place.get(&admin, &ask("user=sensor&topic=clinic/3")).await;
    assert_eq!(step(&nobody, "connected").as_deref(), Some("bad"));
    assert!(nobody["verdict"].as_str().unwrap().contains("sensor"), "{nobody}");

    let watch = |filter: &str| headwater_hub::Watch {
        filter: Filter::new(filter).unwrap(),
        from: headwater_hub::From::Now,
        sticky: false,
        encoder: headwater_edge::ws::JsonFrames::shared(),
        behind: headwater_hub::WhenBehind::CatchUp,
        again: Vec::new(),
        is_only_states: false,
        is_only_again: false,
    };
    let stream = place.hub.stream(&place.who("sensor").await, watch("Clinic/+")).await.unwrap();
    let peer = "10.1.2.3:40000".parse().unwrap();
    let arrival = Arrival { protocol: "test", peer, who: stream.outlet().who(), client: Some("tablet") };
    let _present = place.hub.presence().enter(arrival, stream.outlet());
    let near = place.get(&admin, &ask("user=sensor&topic=clinic/3")).await;
    assert_eq!(step(&near, "subscription").as_deref(), Some("bad"));
    assert!(near["verdict"].as_str().unwrap().contains("capital"), "{near}");
    assert_eq!(place.get(&admin, &ask("client=tablet&topic=clinic/3")).await["verdict"], near["verdict"]);
    assert_eq!(step(&place.get(&admin, &ask("user=senso&topic=clinic/3")).await, "connected").as_deref(), Some("bad"));

    let silent = place.get(&admin, &ask("user=sensor&topic=Clinic/3")).await;
    assert_eq!(
        (step(&silent, "subscription").as_deref(), step(&silent, "event").as_deref()),
        (Some("good"), Some("bad"))
    );
    let reserved = place.get(&admin, &ask("user=sensor&topic=secret/1")).await;
    assert_eq!(step(&reserved, "rule").as_deref(), Some("bad"), "{reserved}");
    let allowed = place.get(&admin, &ask("user=sensor&topic=clinic/3")).await;
    assert_eq!(
        allowed["rules"][0],
        json!({ "role": "sensor", "pattern": "clinic/#", "denies": false, "applies": true })
    );
    // The rules are told of who isn't connected, too.
    let away = place.get(&admin, &ask("user=observer&topic=clinic/3")).await;
    assert_eq!((step(&away, "connected").as_deref(), step(&away, "rule").as_deref()), (Some("bad"), Some("bad")));
    place.publish(vec![publication("Clinic/3", "taken", false), publication("b", "x", false)]).await;
    let seen = place.get(&admin, &ask("user=sensor&topic=Clinic/3")).await;
    assert_eq!((step(&seen, "event").as_deref(), &seen["last"]["payload"]), (Some("good"), &json!("taken")), "{seen}");
    assert_eq!(seen["watches"][0]["filter"], "Clinic/+");
}

#[tokio::test]
async fn who_loses_a_role_sees_nothing_more_also_on_a_tail_that_runs() {
    let place = place();
    let observer = place.who("observer").await;
    let request = Request::builder().uri("/v1/admin/tail").header("host", "h").body(Body::empty()).unwrap();
    let mut body = place.request(&observer, By::Header, request).await.into_body();
    place.get(&observer, "/v1/admin/overview").await;
    let rules = Rules::new([("anonymous", &open_to_publish())]).unwrap();
    place.access.replace(Policy::new(Openness::Rules, rules, Users::new([]).unwrap(), None));
    place.publish(vec![publication("a", "after the change", false)]).await;
    let mut told = String::new();
    while let Some(frame) = body.frame().await {
        told += std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
    }
    assert!(told.contains("event: end") && !told.contains("\"topic\""), "{told}");
    assert_eq!(place.ask(&observer, "GET", "/v1/admin/overview", "").await.status, 403);
}

#[tokio::test]
async fn what_is_changed_is_on_record_first() {
    let place = place();
    let sensor = place.who("sensor").await;
    let (_present, _bell) = place.enter(&sensor, "c-1");
    let admin = place.who("admin").await;
    let id = place.get(&admin, "/v1/admin/connections").await["connections"][0]["id"].as_str().unwrap().to_owned();
    place.ask(&admin, "DELETE", &format!("/v1/admin/connections/{id}"), "").await;
    place
        .ask(&admin, "POST", "/v1/admin/dead-letters/discard", &json!({ "group": "g", "seqs": [7, 9] }).to_string())
        .await;
    let all = Filter::new(format!("{}/#", headwater_hub::access::AUDIT_ADMIN)).unwrap();
    let mut tail = place.log.tail(place.log.oldest()).unwrap();
    let batch = tail.next_now(&|topic| all.matches(topic)).await.unwrap().unwrap();
    let entries: Vec<Value> =
        batch.events.iter().map(|recorded| serde_json::from_slice(&recorded.event.payload).unwrap()).collect();
    assert_eq!(entries.len(), 2, "{entries:?}");
    let said: Vec<_> =
        entries.iter().map(|entry| (entry["what"].as_str().unwrap(), entry["user"].as_str().unwrap())).collect();
    assert_eq!(said, [("disconnect", "admin"), ("discard dead letters", "admin")]);
    assert_eq!((&entries[0]["connection"], &entries[0]["client"]), (&json!(id), &json!("c-1")));
    assert_eq!((&entries[1]["group"], &entries[1]["seqs"]), (&json!("g"), &json!("7 9")));
}

#[tokio::test]
async fn a_tail_under_load_says_what_it_skipped_and_ends_with_the_program() {
    let place = place();
    let request = Request::builder().uri("/v1/admin/tail?filter=a").header("host", "h").body(Body::empty()).unwrap();
    let mut body = place.request(&place.who("admin").await, By::Header, request).await.into_body();
    for _ in 0..20 {
        place
            .publish((0..500).flat_map(|_| [publication("a", "x", false), publication("b", "x", false)]).collect())
            .await;
    }
    let (mut shown, mut skipped, mut unread, mut last) = (0, 0, 0, 0);
    let head = place.hub.head().seq;
    while last < head - 1 && unread == 0 {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let text = std::str::from_utf8(&frame).unwrap().to_owned();
        let news: Value = serde_json::from_str(text.trim().split_once("data: ").unwrap().1).unwrap();
        let events = news["events"].as_array().unwrap();
        assert!(events.len() <= 20 && events.iter().all(|event| event["topic"] == "a"));
        shown += events.len() as u64;
        skipped += news["skipped"].as_u64().unwrap();
        unread += news["unread"].as_u64().unwrap();
        last = events.last().map_or(last, |event| event["seq"].as_u64().unwrap());
    }
    // Whatever was not passed over unread is either shown or counted as skipped.
    assert!(skipped > 0 && shown + skipped <= 10_000, "{shown} {skipped} {unread}");
    assert!(unread > 0 || shown + skipped == 10_000, "{shown} {skipped}");
    place.stop.request();
    while let Some(frame) = body.frame().await {
        assert!(frame.is_ok());
    }
}

#[tokio::test]
async fn the_nodes_are_listed_with_what_an_acknowledgement_means() {
    let place = place();
    let observer = place.who("observer").await;
    // The first heartbeat comes at once.
    let list = loop {
        let list = place.get(&observer, "/v1/admin/nodes").await;
        if list["alive"] == 1 {
            break list;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(list["me"], "test-node");
    assert_eq!((&list["watching"], &list["engine"]["durability"]), (&json!("here"), &json!("synced")));
    let node = &list["nodes"][0];
    assert_eq!((&node["id"], &node["state"], &node["is_me"]), (&json!("test-node"), &json!("alive"), &json!(true)));
    assert_eq!(node["engine"], "embedded");
    assert!(node["age_ms"].as_u64().unwrap() < 60_000 && node["load"]["memory_bytes"].as_u64().unwrap() > 0);
    let none = place.get(&observer, "/v1/admin/nodes?after=test-node").await;
    assert_eq!((&none["nodes"], &none["next"]), (&json!([]), &Value::Null));
    // A process that is alone writes nothing.
    let kept = place.log.latest(&Filter::new("$SYS/#").unwrap(), None, 9).await.unwrap();
    assert_eq!(kept.events, []);
}
