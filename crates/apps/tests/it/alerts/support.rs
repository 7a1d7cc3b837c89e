//! The application over a real hub, a real log on a disk that can fail, and a real store.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, request};
use headwater_apps::alerts::{AlertsSettings, NAME, ProcessorSettings, processor, routes};
use headwater_event::{Bus, Clock, Event, EventId, Filter, Headers, Principal, Publication, Recorded, Time, Topic};
use headwater_eventlog::testing::TestDisk;
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_hub::{Access, From as Begin, Hub, Limits, Settings};
use headwater_service::testing::Postgres;
use headwater_service::{Running, Store, StoreUrl};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use tower_service::Service;

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const HAIFA: &str = "Haifa";
/// When the tests' clock begins: 2026-11-21T07:15:00Z.
pub const BEGIN: Time = Time(1_795_245_300_000_000);

/// Runs each of these tests on both stores.
macro_rules! on_both_stores {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Given::default()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(given) = super::Given::on_postgres().await {
                    super::$name(given).await;
                }
            })*
        }
    };
}
pub(crate) use on_both_stores;

/// What an application is started with.
#[derive(Clone)]
pub struct Given {
    pub access: Access,
    pub limits: Limits,
    pub who: fn(&str) -> Principal,
    pub window: Duration,
    /// Where its tables are; `None` for a file in a folder of its own.
    pub store: Option<StoreUrl>,
}

impl Given {
    /// Over a database of its own; `None`, with a word, where PostgreSQL isn't installed.
    pub async fn on_postgres() -> Option<Self> {
        let url = Postgres::shared()?.database().await;
        Some(Self { store: Some(url), ..Self::default() })
    }
}

impl Default for Given {
    fn default() -> Self {
        Self {
            access: Access::open(),
            limits: Limits::default(),
            who: |_| Principal::anonymous(),
            window: ProcessorSettings::WINDOW,
            store: None,
        }
    }
}

pub struct App {
    pub hub: Arc<Hub>,
    pub clock: Clock,
    log: Arc<EventLog>,
    router: Router,
    disk: TestDisk,
    store: Option<Store>,
    running: Option<Running>,
    window: Duration,
    folder: Arc<TempDir>,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl App {
    /// The listener alone.
    pub fn listening(given: Given) -> Self {
        Self::over(given, TestDisk::new(), Clock::manual(BEGIN), Arc::new(tempfile::tempdir().unwrap()), None)
    }

    /// All roles.
    pub async fn start(given: Given) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_over(given, TestDisk::new(), Clock::manual(BEGIN), folder).await
    }

    async fn start_over(given: Given, disk: TestDisk, clock: Clock, folder: Arc<TempDir>) -> Self {
        let url = given.store.clone().unwrap_or_else(|| StoreUrl::sqlite(folder.path()));
        let store = Store::open(&url, NAME).await.unwrap();
        let mut app = Self::over(given, disk, clock, folder, Some(store));
        app.go_on().await;
        app
    }

    /// All roles, as they come up again after they were killed.
    pub async fn killed(mut self, given: Given) -> Self {
        let disk = self.disk.killed();
        // Dropped and not stopped: what was under way is lost, as with its process.
        drop(self.running.take());
        Self::start_over(given, disk, self.clock.clone(), self.folder.clone()).await
    }

    /// The tables.
    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn over(given: Given, disk: TestDisk, clock: Clock, folder: Arc<TempDir>, store: Option<Store>) -> Self {
        let mut options = OpenOptions::new("/nowhere");
        options.disk = Some(Arc::new(disk.clone()));
        options.clock = clock.clone();
        let log = Arc::new(EventLog::open(options).unwrap());
        let settings =
            Settings { access: given.access, limits: given.limits, clock: clock.clone(), ..Settings::default() };
        let hub = Hub::start(log.clone(), settings);
        let settings = AlertsSettings {
            notifier: store.as_ref().map(Store::reader),
            who: Arc::new(move |extensions| {
                extensions.get::<Name>().map_or_else(Principal::anonymous, |name| (given.who)(&name.0))
            }),
            clock: clock.clone(),
            ..AlertsSettings::default()
        };
        let router = routes(hub.clone(), settings);
        Self { hub, clock, log, router, disk, store, running: None, window: given.window, folder }
    }

    /// The listener alone, as it comes up again after it was killed.
    pub fn listening_again(self, given: Given) -> Self {
        let disk = self.disk.killed();
        Self::over(given, disk, self.clock.clone(), self.folder.clone(), None)
    }

    /// The disk says no from now on.
    pub fn fail_the_disk(&self) {
        self.disk.fail_sync_at(self.disk.steps());
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(Request::post(path), body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path), "").await
    }

    /// A request; the header `x-test-who` stands for what an edge finds out.
    pub async fn send(&self, request: request::Builder, body: &str) -> Answer {
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        if let Some(name) = request.headers().get("x-test-who") {
            let name = Name(name.to_str().unwrap().to_owned());
            request.extensions_mut().insert(name);
        }
        let response = self.router.clone().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, text }
    }

    /// Publishes by another edge than the application's own.
    pub async fn publish(&self, topic: &str, payload: &str) {
        self.publish_as(EventId::generate(), topic, payload).await;
    }

    /// The same, by this id.
    pub async fn publish_as(&self, id: EventId, topic: &str, payload: &str) {
        let event = Event {
            id,
            topic: Topic::new(topic.to_owned()).unwrap(),
            headers: Headers::none(),
            payload: payload.to_owned().into(),
            at: Time(0),
        };
        let publication = Publication { event, sticky: false };
        self.hub.publish(&Principal::anonymous(), vec![publication]).unwrap().await.unwrap();
    }

    /// What lies on disk of a filter.
    pub async fn past(&self, filter: &str) -> Vec<Recorded> {
        let filter = Filter::new(filter.to_owned()).unwrap();
        let mut history = self.hub.history(&Principal::anonymous(), filter, Begin::Oldest).unwrap();
        let mut all = Vec::new();
        while let Some(page) = history.next().await.unwrap() {
            all.extend(page);
        }
        all
    }

    pub async fn raw(&self) -> Vec<Recorded> {
        self.past("alerts-raw/#").await
    }

    /// What was told under a filter, once there are so many.
    pub async fn told(&self, filter: &str, count: usize) -> Vec<Recorded> {
        self.until(filter, |all| all.len() >= count).await
    }

    /// What was told under a filter, once it is as it should be.
    pub async fn until(&self, filter: &str, is_right: impl Fn(&[Recorded]) -> bool) -> Vec<Recorded> {
        let filter_ = Filter::new(filter.to_owned()).unwrap();
        let mut tail = self.log.tail(self.log.oldest()).unwrap();
        let mut all = Vec::new();
        let waited = timeout(PATIENCE, async {
            while !is_right(&all) {
                all.extend(tail.next(&|topic| filter_.matches(topic)).await.unwrap().events);
            }
        });
        let is_there = waited.await.is_ok();
        assert!(is_there, "{filter} never was as it should be: {:#?}", all.iter().map(line).collect::<Vec<_>>());
        all
    }

    /// The service ends in good order, and the rest goes on.
    pub async fn pause(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// The service begins again.
    pub async fn go_on(&mut self) {
        let settings = ProcessorSettings { window: self.window, ..ProcessorSettings::default() };
        let (bus, store) = (self.log.clone(), self.store.clone().unwrap());
        self.running = Some(processor(settings).start(bus, store, self.clock.clone()).await.unwrap());
    }

    /// Ends the service in good order.
    pub async fn stop(mut self) {
        self.pause().await;
    }
}

#[derive(Clone)]
struct Name(String);

/// A report's body, sent when the tests' clock begins.
pub fn report(location: &str, kind: &str, minutes: u64) -> String {
    let location = serde_json::to_string(location).unwrap();
    format!(
        "{{\"location\":{location},\"type\":\"{kind}\",\"timestamp\":\"2026-11-21T07:15:00Z\",\"duration\":{minutes}}}"
    )
}

/// An event that was told, as one line to compare: the last level of its topic, its word, type, first moment and end.
pub fn line(recorded: &Recorded) -> String {
    let topic = recorded.event.topic.as_str();
    let sticky = if recorded.sticky { " sticky" } else { "" };
    if recorded.event.payload.is_empty() {
        return format!("{topic}: over{sticky}");
    }
    let said: Value = serde_json::from_slice(&recorded.event.payload).unwrap();
    let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    let time = |name: &str| text(name).get(11..16).unwrap_or_default().to_owned();
    format!("{topic}: {} {} {}-{}{sticky}", text("eventType"), text("type"), time("sentTime"), time("duration"))
}

pub fn lines(all: &[Recorded]) -> Vec<String> {
    all.iter().map(line).collect()
}
