//! `intake`: its routes over a real log.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use headwater_apps::intake::{IntakeSettings, routes};
use headwater_event::{Event, EventId, Headers, Principal, ProducerId, Publication, Time, Topic};
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_hub::{Hub, Settings};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use tower_service::Service;

const PATIENCE: Duration = Duration::from_secs(20);

struct App {
    hub: Arc<Hub>,
    router: Router,
    _folder: TempDir,
}

impl App {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EventLog::open(OpenOptions::new(folder.path())).unwrap();
        let hub = Hub::start(Arc::new(log), Settings::default());
        let settings = IntakeSettings { frames: Some("127.0.0.1:7007".into()), ..IntakeSettings::default() };
        Self { router: routes(hub.clone(), settings), hub, _folder: folder }
    }

    /// Messages of one client, its numbers from `first` on.
    async fn send(&self, client: u128, first: u64, payloads: &[&str]) {
        let producer = ProducerId::from_u128(client);
        let batch = (first..)
            .zip(payloads)
            .map(|(number, payload)| Publication {
                event: Event {
                    id: EventId::Numbered { producer, number },
                    topic: Topic::new(format!("intake/{producer}")).unwrap(),
                    headers: Headers::none(),
                    payload: payload.to_string().into(),
                    at: Time::default(),
                },
                sticky: false,
            })
            .collect();
        self.hub.publish(&Principal::anonymous(), batch).unwrap().await.unwrap();
    }

    async fn get(&self, path: &str) -> Response<Body> {
        let request = Request::get(path).body(Body::empty()).unwrap();
        self.router.clone().call(request).await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    /// The live tail, once its first frame has come: from then on nothing is missed.
    async fn live(&self) -> Live {
        let mut live = Live { body: self.get("/intake/api/live").await.into_body(), read: String::new() };
        live.frame("summary").await;
        live
    }
}

struct Live {
    body: Body,
    read: String,
}

impl Live {
    /// The next frame of this name.
    async fn frame(&mut self, name: &str) -> Value {
        loop {
            while let Some(end) = self.read.find("\n\n") {
                let frame: String = self.read.drain(..end + 2).collect();
                let (event, data) = frame.trim_end().split_once("\ndata: ").unwrap();
                if event == format!("event: {name}") {
                    return serde_json::from_str(data).unwrap();
                }
            }
            let more = timeout(PATIENCE, self.body.frame()).await.expect("no frame came").unwrap().unwrap();
            self.read.push_str(std::str::from_utf8(more.data_ref().unwrap()).unwrap());
        }
    }

    /// Waits until the counts are as they should be.
    async fn summary_with(&mut self, is_right: impl Fn(&Value) -> bool) -> Value {
        timeout(PATIENCE, async {
            loop {
                let summary = self.frame("summary").await;
                if is_right(&summary) {
                    return summary;
                }
            }
        })
        .await
        .expect("the counts never were as they should be")
    }
}

fn payloads(found: &Value) -> Vec<&str> {
    found["messages"].as_array().unwrap().iter().map(|message| message["payload"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_message_appears_in_the_tail_without_being_asked_for() {
    let app = App::start();
    let mut live = app.live().await;
    app.send(1, 1, &["hello"]).await;
    let news = live.frame("messages").await;
    assert_eq!((payloads(&news), news["skipped"].as_u64()), (vec!["hello"], Some(0)));
    assert_eq!(news["messages"][0]["id"], "00000000-0000-0000-0000-000000000001/1");
}

#[tokio::test]
async fn more_than_can_be_read_is_sampled_and_the_page_is_told_how_many_were_skipped() {
    let app = App::start();
    let mut live = app.live().await;
    let many: Vec<String> = (1..=5_000).map(|number| format!("m{number}")).collect();
    app.send(1, 1, &many.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (mut shown, mut skipped, mut last) = (0, 0, String::new());
    while shown + skipped < 5_000 {
        let news = live.frame("messages").await;
        shown += payloads(&news).len() as u64;
        skipped += news["skipped"].as_u64().unwrap();
        last = payloads(&news).last().unwrap().to_string();
    }
    assert_eq!((shown + skipped, last.as_str()), (5_000, "m5000"));
    assert!(skipped > 4_000, "{skipped}");
}

#[tokio::test]
async fn counts_hold_what_came_before_anybody_looked_and_what_comes_after() {
    let app = App::start();
    app.send(1, 1, &["a", "bb"]).await;
    app.send(2, 1, &["ccc"]).await;
    let mut live = app.live().await;
    let summary = live.summary_with(|summary| summary["messages"] == 3 && summary["uncounted"] == 0).await;
    assert_eq!((summary["bytes"].as_u64(), summary["clients"].as_u64()), (Some(6), Some(2)));
    assert_eq!(summary["frames"], "127.0.0.1:7007");
    app.send(2, 2, &["d", "e"]).await;
    live.summary_with(|summary| summary["messages"] == 5).await;
    let clients = app.json("/intake/api/clients?order=messages&limit=1").await;
    let first = &clients["clients"][0];
    assert_eq!(first["client"], "00000000-0000-0000-0000-000000000002");
    assert_eq!((first["messages"].as_u64(), first["last_number"].as_u64()), (Some(3), Some(3)));
}

/// A reading ends at a place of the log, and a page of it reaches beyond: what lay there was once passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_counted_while_they_pour_in() {
    let app = App::start();
    let mut live = app.live().await;
    for batch in 0..200 {
        app.send(1, batch * 50 + 1, &["x"; 50]).await;
        tokio::task::yield_now().await;
    }
    let all = |summary: &Value| summary["messages"] == 10_000 && summary["uncounted"] == 0;
    live.summary_with(all).await;
}

#[tokio::test]
async fn counting_ends_when_nobody_looks_and_goes_on_where_it_was() {
    tokio::time::pause();
    let app = App::start();
    app.send(1, 1, &["a"]).await;
    let mut live = app.live().await;
    live.summary_with(|summary| summary["messages"] == 1).await;
    drop(live);
    tokio::time::sleep(Duration::from_secs(120)).await;
    app.send(1, 2, &["b", "c"]).await;
    let mut live = app.live().await;
    live.summary_with(|summary| summary["messages"] == 3 && summary["uncounted"] == 0).await;
}

#[tokio::test]
async fn a_search_finds_text_in_any_case_newest_first_and_by_client() {
    let app = App::start();
    app.send(1, 1, &["the Fox", "a dog", "FOX again"]).await;
    app.send(2, 1, &["another fox"]).await;
    let found = app.json("/intake/api/search?text=fox").await;
    assert_eq!(payloads(&found), ["another fox", "FOX again", "the Fox"]);
    assert_eq!((found["next"].is_null(), found["left"].as_u64()), (true, Some(0)));
    let found = app.json("/intake/api/search?client=00000000-0000-0000-0000-000000000001").await;
    assert_eq!(payloads(&found), ["FOX again", "a dog", "the Fox"]);
    assert_eq!(payloads(&app.json("/intake/api/search?text=cat").await), [""; 0]);
}

#[tokio::test]
async fn looking_further_back_gives_every_message_once() {
    let app = App::start();
    let many: Vec<String> = (1..=10_000).map(|number| format!("m{number}")).collect();
    for (first, part) in (1..).step_by(2_500).zip(many.chunks(2_500)) {
        app.send(1, first, &part.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let found = app.json(&format!("/intake/api/search?limit=200{before}")).await;
        all.extend(payloads(&found).into_iter().map(str::to_owned));
        match found["next"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    all.reverse();
    assert_eq!(all, many);
}

#[tokio::test]
async fn what_another_edge_published_there_is_shown_but_is_nobodys_count() {
    let app = App::start();
    let mut live = app.live().await;
    let event = Event {
        id: EventId::generate(),
        topic: Topic::new("intake/by-hand").unwrap(),
        headers: Headers::none(),
        payload: "hello".into(),
        at: Time::default(),
    };
    let publication = Publication { event, sticky: false };
    app.hub.publish(&Principal::anonymous(), vec![publication]).unwrap().await.unwrap();
    assert_eq!(payloads(&live.frame("messages").await), ["hello"]);
    assert_eq!(live.frame("summary").await["messages"], 0);
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_told_so() {
    let app = App::start();
    for path in ["search?client=me", "search?limit=many", "clients?order=best", "search?before=-1"] {
        let response = app.get(&format!("/intake/api/{path}")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
    }
    let long = app.get(&format!("/intake/api/search?text={}", "x".repeat(257))).await;
    assert_eq!(long.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_page_asks_no_other_host_and_runs_nothing_inline() {
    let app = App::start();
    assert_eq!(app.get("/intake").await.headers()["location"], "/intake/");
    for file in ["", "intake.js", "intake.css", "icon.svg", "htm-preact.js"] {
        let response = app.get(&format!("/intake/{file}")).await;
        assert_eq!(response.status(), StatusCode::OK, "{file}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{file}: {policy}");
        let text = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let text = text.replace("http://www.w3.org/", "");
        assert!(!text.contains("http://") && !text.contains("https://"), "{file} names another host");
    }
    assert_eq!(app.get("/intake/secret.txt").await.status(), StatusCode::NOT_FOUND);
}
