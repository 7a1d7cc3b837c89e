//! Public alerts scaled out: two listeners and three processors over a hub and PostgreSQL, each role killed in turn, and one of
//! them frozen beyond its time. What was answered is told once, and each place hears its reports in their order.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use headwater_service::testing::Postgres;
use headwater_service::{Statement, Store, StoreUrl};

use crate::http_client::{HttpClient, Sse};
use crate::program::{PATIENCE, Place, Running};

/// Within what time others have the work of one that is silent.
const TAKEOVER_MAX: Duration = Duration::from_secs(5);

/// How many places reports come of.
const PLACES: usize = 12;

/// A role in a process of its own.
struct Worker {
    place: Place,
    running: Option<Running>,
}

impl Worker {
    fn start(roles: &str, mqtt: SocketAddr, store: &str) -> Self {
        let engine = format!("mqtt://{mqtt}");
        let place = Place::new().arg("--roles").arg(roles).arg("--apps").arg("alerts").arg("--store").arg(store);
        let place = place.arg("--engine").arg(&engine);
        let running = Some(place.start());
        Self { place, running }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    fn kill(&mut self) {
        self.running.take().expect("it runs").kill();
    }

    fn start_again(&mut self) {
        self.running = Some(self.place.start());
    }
}

/// All of them, and what has been answered.
struct Alerts {
    hub: Worker,
    listeners: Vec<Worker>,
    processors: Vec<Worker>,
    store: Store,
    runtime: tokio::runtime::Runtime,
    posted: usize,
}

impl Alerts {
    fn start(postgres: &Postgres) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = runtime.block_on(postgres.database());
        let StoreUrl::Postgres { config: text } = &url else { unreachable!() };
        let mqtt = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let place = Place::new().arg("--roles").arg("edge").arg("--apps").arg("intake").mqtt_at(mqtt);
        let running = Some(place.start());
        let hub = Worker { place, running };
        let processors = (0..3).map(|_| Worker::start("processor", mqtt, text)).collect();
        let listeners = (0..2).map(|_| Worker::start("listener", mqtt, text)).collect();
        let store = runtime.block_on(Store::open(&url, "alerts")).unwrap();
        Self { hub, listeners, processors, store, runtime, posted: 0 }
    }

    fn int(&self, statement: &'static Statement) -> i64 {
        let row = self.runtime.block_on(self.store.reader().query_opt(statement, &[])).unwrap();
        row.map_or(-1, |row| row.int(0).unwrap())
    }

    /// Posts the next report to both listeners, each again until it's answered: it is one, as its content is.
    fn post(&mut self) {
        let (place, number) = (self.posted % PLACES, self.posted / PLACES);
        self.posted += 1;
        let (hour, minute) = (number / 60, number % 60);
        let body = format!(
            "{{\"location\":\"place {place}\",\"type\":\"Flood\",\"timestamp\":\"2050-01-01T{hour:02}:{minute:02}:00Z\",\"duration\":5}}"
        );
        let first = self.posted % 2;
        for at in [first, 1 - first] {
            let begun = Instant::now();
            while !self.is_taken(at, &body) {
                assert!(begun.elapsed() < PATIENCE, "never taken: {}", self.said());
                std::thread::yield_now();
            }
        }
    }

    /// Whether a listener has taken a report; one that is down is passed over.
    fn is_taken(&self, listener: usize, body: &str) -> bool {
        let Some(running) = &self.listeners[listener].running else { return true };
        let Ok(mut client) = HttpClient::connect(running.http) else { return false };
        match client.request("POST", "/api/alerts", &[("content-type", "application/json")], body.as_bytes()) {
            Ok(response) => {
                assert!(matches!(response.status, 200 | 503), "{}: {}", response.status, response.text());
                response.status == 200
            }
            Err(_) => false,
        }
    }

    fn posts(&mut self, count: usize) {
        (0..count).for_each(|_| self.post());
    }

    /// Which processor has this duty.
    fn holder_of(&self, duty: &'static Statement) -> usize {
        let pid = u32::try_from(self.int(duty)).expect("somebody has it");
        let found = self.processors.iter().position(|worker| worker.running.as_ref().is_some_and(|it| it.pid() == pid));
        found.unwrap_or_else(|| panic!("{pid} is none of them"))
    }

    /// Waits until another life has this duty; gives how long that took.
    fn changes_hands(&self, duty: &'static Statement, begun: Instant, from: i64) -> Duration {
        while matches!(self.int(duty), token if token == from || token < 0) {
            assert!(begun.elapsed() < PATIENCE, "nobody takes over: {}", self.said());
        }
        begun.elapsed()
    }

    /// Waits until all is handled.
    fn is_through(&self) {
        let begun = Instant::now();
        let expected = i64::try_from(self.posted).unwrap();
        while self.int(&TOLD) < expected || self.int(&WAITING) > 0 {
            assert!(begun.elapsed() < PATIENCE, "{} of {expected}: {}", self.int(&TOLD), self.said());
        }
    }

    /// What everybody heard: of each place every report once, in its order.
    fn all_is_told(&self) {
        let mut watcher = Sse::watch(self.hub.running().http, "filter=alerts/%2B/alert&from=start", None).unwrap();
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut count = 0;
        while count < self.posted {
            let said: serde_json::Value = serde_json::from_str(&watcher.next().unwrap().payload()).unwrap();
            if said["eventType"] == "open" {
                let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
                told.entry(text("location")).or_default().push(text("sentTime"));
                count += 1;
            }
        }
        assert_eq!(told.len(), PLACES);
        for (place, times) in &told {
            let mut in_order = times.clone();
            in_order.sort_unstable();
            in_order.dedup();
            assert_eq!(*times, in_order, "{place}: once each, and in order");
        }
        assert_eq!(self.int(&TOLD), i64::try_from(self.posted).unwrap(), "effects");
    }

    fn said(&self) -> String {
        let all = self.processors.iter().chain(&self.listeners).chain([&self.hub]);
        all.map(|worker| worker.running.as_ref().map(Running::said).unwrap_or_default())
            .collect::<Vec<_>>()
            .join("---\n")
    }
}

/// How many reports have had their effect: each is an `open` on the record.
static TOLD: Statement = Statement::new("SELECT COUNT(*) FROM audit WHERE what = 'open'");
static WAITING: Statement =
    Statement::new("SELECT (SELECT COUNT(*) FROM kit_work) + (SELECT COUNT(*) FROM kit_outbox)");
static SORTS: Statement = Statement::new("SELECT COALESCE(token, -1) FROM kit_duty WHERE name = 'sort'");
static SORTER: Statement = Statement::new(
    "SELECT CAST(split_part(w.holder, '/', 2) AS BIGINT) FROM kit_duty d JOIN kit_worker w ON w.token = d.token
     WHERE d.name = 'sort'",
);

#[test]
fn alerts_outlive_the_kill_of_each_role_and_a_frozen_processor() {
    let Some(postgres) = Postgres::start() else { return };
    let mut alerts = Alerts::start(&postgres);
    alerts.posts(60);
    for at in 0..2 {
        alerts.listeners[at].kill();
        alerts.posts(20);
        alerts.listeners[at].start_again();
    }
    // Whoever sorts, and the others after it.
    for _ in 0..3 {
        let (at, from) = (alerts.holder_of(&SORTER), alerts.int(&SORTS));
        alerts.processors[at].kill();
        let begun = Instant::now();
        alerts.posts(20);
        let waited = alerts.changes_hands(&SORTS, begun, from);
        assert!(waited < TAKEOVER_MAX, "taken over after {waited:?}");
        alerts.processors[at].start_again();
    }
    alerts.hub.kill();
    alerts.hub.start_again();
    alerts.posts(40);
    alerts.is_through();
    alerts.all_is_told();
}

#[test]
fn a_frozen_processor_writes_nothing_when_it_wakes() {
    let Some(postgres) = Postgres::start() else { return };
    let mut alerts = Alerts::start(&postgres);
    alerts.posts(40);
    let (at, from) = (alerts.holder_of(&SORTER), alerts.int(&SORTS));
    // In the middle of its work, as far as that can be met.
    alerts.posts(3);
    alerts.processors[at].running().signal("-STOP");
    let begun = Instant::now();
    let waited = alerts.changes_hands(&SORTS, begun, from);
    assert!(waited < TAKEOVER_MAX, "taken over after {waited:?}");
    alerts.posts(60);
    alerts.is_through();
    alerts.processors[at].running().signal("-CONT");
    alerts.posts(60);
    alerts.is_through();
    let begun = Instant::now();
    while !alerts.processors[at].running().said().contains("begins anew") {
        assert!(begun.elapsed() < PATIENCE, "it doesn't notice: {}", alerts.said());
    }
    alerts.posts(30);
    alerts.is_through();
    alerts.all_is_told();
}
