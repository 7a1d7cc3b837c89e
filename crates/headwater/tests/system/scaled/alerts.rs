//! Public alerts: two listeners and three processors over an engine and PostgreSQL. What was answered has its effect once and is
//! told once, and each place hears its reports in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use headwater_service::testing::Postgres;
use headwater_service::{Statement, Store, StoreUrl};

use super::a_moment;
use super::alerts_told::{Load, PLACES, Told, Watcher, history, time};
use super::engine::{Engine, Kind};
use crate::http_client::get;
use crate::program::PATIENCE;
use crate::worker::{Worker, kills};

/// Within what time others have the work of one that is silent.
const TAKEOVER_MAX: Duration = Duration::from_secs(5);

/// How many reports are posted between two faults.
const BETWEEN: usize = 24;

/// How many kills one round of all kinds of them stands for in the long form.
const KILLS_PER_ROUND: usize = 10;

/// All of them, and what has been answered.
struct Alerts {
    // Killed before the servers that they are connected to.
    listeners: Vec<Worker>,
    processors: Vec<Worker>,
    edge: Option<Worker>,
    engine: Engine,
    postgres: Postgres,
    store: Store,
    runtime: tokio::runtime::Runtime,
    watcher: Option<Watcher>,
    posted: BTreeMap<usize, usize>,
}

impl Alerts {
    fn start(kind: Kind) -> Option<Self> {
        let postgres = Postgres::start()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = runtime.block_on(postgres.database());
        let StoreUrl::Postgres { config } = &url else { unreachable!() };
        let engine = Engine::start(kind);
        let mut arguments = engine.arguments();
        arguments.extend(["--store".to_owned(), config.clone()]);
        let worker = |roles| Worker::start(roles, "alerts", &arguments);
        let edge = (kind != Kind::Hub).then(|| worker("edge"));
        // Where nothing can be asked for afterwards, somebody listens from the beginning.
        let watcher = edge.as_ref().filter(|_| !engine.has_history()).map(|edge| Watcher::begin(edge.door()));
        let processors = (0..3).map(|_| worker("processor")).collect();
        let listeners = (0..2).map(|_| worker("listener")).collect();
        let store = runtime.block_on(Store::open(&url, "alerts")).unwrap();
        let posted = BTreeMap::new();
        Some(Self { listeners, processors, edge, engine, postgres, store, runtime, watcher, posted })
    }

    fn load(&self) -> Load {
        Load::begin(self.listeners.iter().map(Worker::door).collect(), &self.posted)
    }

    /// Posts some more while nothing happens.
    fn posts(&mut self, count: usize) {
        let load = self.load();
        load.more(count);
        self.posted = load.end();
    }

    /// -1 when there's no row, or PostgreSQL is away.
    fn int(&self, statement: &'static Statement) -> i64 {
        let row = self.runtime.block_on(self.store.reader().query_opt(statement, &[]));
        row.ok().flatten().map_or(-1, |row| row.int(0).unwrap())
    }

    /// Which processor has this duty.
    fn holder_of(&self, duty: &'static Statement) -> usize {
        let begun = Instant::now();
        loop {
            let pid = u32::try_from(self.int(duty)).unwrap_or(0);
            if let Some(found) = self.processors.iter().position(|worker| worker.is(pid)) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "nobody has it: {}", self.said());
            a_moment();
        }
    }

    /// Waits until another life has this duty; gives how long that took.
    fn changes_hands(&self, duty: &'static Statement, begun: Instant, from: i64) -> Duration {
        while matches!(self.int(duty), token if token == from || token < 0) {
            assert!(begun.elapsed() < PATIENCE, "nobody takes over: {}", self.said());
            a_moment();
        }
        let waited = begun.elapsed();
        // For bench/results/scaled-out.md.
        println!("taken over after {waited:?}");
        waited
    }

    /// Waits until all is handled.
    fn is_through(&self) {
        let begun = Instant::now();
        let expected = i64::try_from(self.posted.values().sum::<usize>()).unwrap();
        while self.int(&TOLD) < expected || self.int(&WAITING) != 0 {
            let left = || self.runtime.block_on(self.store.reader().query(&LEFT, &[]));
            assert!(begun.elapsed() < PATIENCE, "{} of {expected}: {:?}; {}", self.int(&TOLD), left(), self.said());
            a_moment();
        }
    }

    /// The effects in the store: of each place every report once, and in its order.
    fn effects(&self) -> Told {
        let rows = self.runtime.block_on(self.store.reader().query(&OPENS, &[])).unwrap();
        let mut effects = Told::new();
        for row in rows {
            effects.entry(row.text(0).unwrap().to_owned()).or_default().push(row.text(1).unwrap().to_owned());
        }
        effects
    }

    /// What has been answered had its effect once, and everybody heard of it once, of each place in its order.
    fn all_is_told(&mut self) {
        self.is_through();
        assert_eq!(self.effects(), wanted(&self.posted), "effects");
        let edge = match (&self.edge, &self.engine) {
            (Some(edge), _) => edge,
            (None, Engine::Hub { hub, .. }) => hub,
            #[cfg(feature = "engines")]
            (None, _) => unreachable!(),
        };
        if self.watcher.is_none() {
            let told = history(edge.http(), self.posted.values().sum());
            assert_eq!(told, wanted(&self.posted), "told: {}", self.said());
            return;
        }
        let begun = Instant::now();
        while get(edge.http(), "/readyz").status != 200 {
            assert!(begun.elapsed() < PATIENCE, "the edge doesn't come back: {}", self.said());
            a_moment();
        }
        let before = wanted_set(&self.posted);
        self.posts(BETWEEN);
        self.is_through();
        let watcher = self.watcher.as_ref().expect("one watches");
        watcher.has_heard(&wanted_set(&self.posted).difference(&before).cloned().collect());
        let heard = watcher.heard();
        let mut is_missing = false;
        for (place, times) in wanted(&self.posted) {
            let told = heard.told.get(&place).cloned().unwrap_or_default();
            let in_order: Vec<_> = times.iter().filter(|time| told.contains(time)).cloned().collect();
            assert_eq!(told, in_order, "{place}: once each, and in order");
            is_missing |= told != times;
        }
        assert!(!is_missing || heard.gaps > 0, "what is missing is told to be");
    }

    fn said(&self) -> String {
        let hub = match &self.engine {
            Engine::Hub { hub, .. } => Some(&**hub),
            #[cfg(feature = "engines")]
            _ => None,
        };
        let all = self.processors.iter().chain(&self.listeners).chain(&self.edge).chain(hub);
        all.map(Worker::said).collect::<Vec<_>>().join("---\n")
    }
}

/// What is to be told of each place.
fn wanted(posted: &BTreeMap<usize, usize>) -> Told {
    assert_eq!(posted.len(), PLACES);
    posted.iter().map(|(place, count)| (format!("place {place}"), (0..*count).map(time).collect())).collect()
}

fn wanted_set(posted: &BTreeMap<usize, usize>) -> BTreeSet<(String, String)> {
    let each = |(place, times): (String, Vec<String>)| times.into_iter().map(move |time| (place.clone(), time));
    wanted(posted).into_iter().flat_map(each).collect()
}

/// How many reports have had their effect: each is an `open` on the record.
static TOLD: Statement = Statement::new("SELECT COUNT(*) FROM audit WHERE what = 'open'");
static OPENS: Statement =
    Statement::new("SELECT location, sent FROM audit WHERE what = 'open' ORDER BY location, at, sent");
static WAITING: Statement =
    Statement::new("SELECT (SELECT COUNT(*) FROM kit_work) + (SELECT COUNT(*) FROM kit_outbox)");
/// What is not through, for people.
static LEFT: Statement = Statement::new(
    "SELECT 'part ' || part || ', ' || n || ', tried ' || attempts FROM kit_work UNION ALL
     SELECT 'row of ' || encode(worker, 'hex') || ', ' || number FROM kit_outbox UNION ALL
     SELECT 'life ' || token || ', ' || holder FROM kit_worker UNION ALL
     SELECT name || ' is of ' || COALESCE(token, 0) FROM kit_duty",
);
static SORTS: Statement = Statement::new("SELECT COALESCE(token, -1) FROM kit_duty WHERE name = 'sort'");
static SORTER: Statement = Statement::new(
    "SELECT CAST(split_part(w.holder, '/', 2) AS BIGINT) FROM kit_duty d JOIN kit_worker w ON w.token = d.token
     WHERE d.name = 'sort'",
);

/// Kills one after the other, while reports come.
fn outlive_kills(kind: Kind) {
    let Some(mut alerts) = Alerts::start(kind) else { return };
    for _ in 0..kills().div_ceil(KILLS_PER_ROUND) {
        let load = alerts.load();
        load.more(BETWEEN);
        alerts.kill_roles(&load);
        alerts.kill_servers(&load);
        alerts.posted = load.end();
        alerts.is_through();
    }
    alerts.all_is_told();
}

impl Alerts {
    fn kill_roles(&mut self, load: &Load) {
        for at in 0..self.listeners.len() {
            self.listeners[at].kill();
            load.more(BETWEEN);
            self.listeners[at].start_again();
        }
        // Whoever sorts, and the one after it.
        for _ in 0..2 {
            let (at, from) = (self.holder_of(&SORTER), self.int(&SORTS));
            self.processors[at].kill();
            let waited = self.changes_hands(&SORTS, Instant::now(), from);
            assert!(waited < TAKEOVER_MAX, "taken over after {waited:?}");
            self.processors[at].start_again();
            load.more(BETWEEN);
        }
        if let Some(edge) = &mut self.edge {
            edge.kill();
            load.more(BETWEEN);
            edge.start_again();
        }
    }

    fn kill_servers(&mut self, load: &Load) {
        for server in 0..self.engine.servers() {
            self.engine.kill(server);
            self.engine.start_again(server);
            load.more(BETWEEN);
        }
        self.postgres.restart();
        load.more(BETWEEN);
    }
}

/// Freezes whoever sorts beyond its time, and lets it go on.
fn outlive_a_frozen_one(kind: Kind) {
    let Some(mut alerts) = Alerts::start(kind) else { return };
    let load = alerts.load();
    load.more(BETWEEN);
    let (at, from) = (alerts.holder_of(&SORTER), alerts.int(&SORTS));
    // In the middle of its work, as far as that can be met.
    load.more(3);
    alerts.processors[at].running().signal("-STOP");
    let waited = alerts.changes_hands(&SORTS, Instant::now(), from);
    assert!(waited < TAKEOVER_MAX, "taken over after {waited:?}");
    load.more(BETWEEN);
    alerts.posted = load.end();
    alerts.is_through();
    alerts.processors[at].running().signal("-CONT");
    alerts.posts(BETWEEN);
    alerts.is_through();
    let begun = Instant::now();
    while !alerts.processors[at].said().contains("begins anew") {
        assert!(begun.elapsed() < PATIENCE, "it doesn't notice: {}", alerts.said());
        a_moment();
    }
    alerts.posts(BETWEEN);
    alerts.all_is_told();
}

#[test]
fn over_a_hub_alerts_outlive_the_kill_of_each_role_and_server() {
    outlive_kills(Kind::Hub);
}

#[test]
fn over_a_hub_a_frozen_processor_writes_nothing_when_it_wakes() {
    outlive_a_frozen_one(Kind::Hub);
}

#[cfg(feature = "engines")]
#[test]
fn over_nats_alerts_outlive_the_kill_of_each_role_and_server() {
    outlive_kills(Kind::Nats);
}

#[cfg(feature = "engines")]
#[test]
fn over_nats_a_frozen_processor_writes_nothing_when_it_wakes() {
    outlive_a_frozen_one(Kind::Nats);
}

#[cfg(feature = "engines")]
#[test]
fn over_rabbitmq_alerts_outlive_the_kill_of_each_role_and_server() {
    outlive_kills(Kind::Rabbit);
}

#[cfg(feature = "engines")]
#[test]
fn over_rabbitmq_a_frozen_processor_writes_nothing_when_it_wakes() {
    outlive_a_frozen_one(Kind::Rabbit);
}
