//! A bench for tests of services: any bus, a store of its own, a clock that the test moves.

mod postgres;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_event::{
    Bus, Clock, DeadLetter, Event, EventId, GroupName, Headers, Publication, Recorded, Tail, Time, Topic,
};
use serde::Serialize;

pub use self::postgres::Postgres;
use crate::{Running, Service, StartError, Statement, Store, StoreError, StoreUrl, body};

/// How long a test waits for something that should happen at once, before it fails rather than hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the clock of a bench begins: some day in 2026.
const START: Time = Time(1_770_000_000_000_000);

/// A bus and a place for stores.
pub struct Bench {
    bus: Arc<dyn Bus>,
    url: StoreUrl,
    clock: Clock,
    /// Goes with the bench.
    folder: Option<tempfile::TempDir>,
}

impl Bench {
    /// Over this bus, with stores in a folder of its own.
    ///
    /// # Panics
    /// When no folder can be made.
    #[must_use]
    pub fn sqlite(bus: Arc<dyn Bus>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the stores of a test");
        let url = StoreUrl::sqlite(folder.path());
        Self { bus, url, clock: Clock::manual(START), folder: Some(folder) }
    }

    /// Over this bus, with stores somewhere else.
    #[must_use]
    pub fn over(bus: Arc<dyn Bus>, url: StoreUrl) -> Self {
        Self { bus, url, clock: Clock::manual(START), folder: None }
    }

    /// With another clock: the one that the bus has, or the system's.
    #[must_use]
    pub fn clocked(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The clock of its services.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The bus.
    #[must_use]
    pub const fn bus(&self) -> &Arc<dyn Bus> {
        &self.bus
    }

    /// Where its stores are.
    #[must_use]
    pub const fn url(&self) -> &StoreUrl {
        &self.url
    }

    /// The folder of its stores, where it has one of its own.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(tempfile::TempDir::path)
    }

    /// The store of this name.
    ///
    /// # Panics
    /// When it can't be opened.
    pub async fn store(&self, name: &str) -> Store {
        Store::open(&self.url, name).await.expect("the store opens")
    }

    /// Starts a service.
    ///
    /// # Panics
    /// When it can't start.
    pub async fn start(&self, service: Service) -> Running {
        self.try_start(service).await.expect("the service starts")
    }

    /// Starts a service, which may not work.
    ///
    /// # Errors
    /// Those of [`Service::start`].
    pub async fn try_start(&self, service: Service) -> Result<Running, StartError> {
        let name = service.name();
        let store = Store::open(&self.url, name).await.map_err(|error| StartError::Store { name, error })?;
        service.start(Arc::clone(&self.bus), store, self.clock.clone()).await
    }

    /// An event with a JSON body and a new id.
    ///
    /// # Panics
    /// When the topic is none, or the value can't be written.
    pub fn event<T: Serialize + ?Sized>(&self, topic: &str, value: &T) -> Event {
        let body = body::json(value).expect("a value that JSON has a form for");
        let headers = Headers::from_pairs([(Headers::CONTENT_TYPE, body.content_type.as_str())]).expect("a header");
        let topic = Topic::new(topic).expect("a topic");
        Event { id: EventId::generate(), topic, headers, payload: body.bytes, at: self.clock.now() }
    }

    /// Publishes a JSON body; gives the event's id.
    ///
    /// # Panics
    /// When the bus doesn't take it.
    pub async fn publish<T: Serialize + ?Sized>(&self, topic: &str, value: &T) -> EventId {
        let event = self.event(topic, value);
        let id = event.id.clone();
        self.publish_all(vec![event]).await;
        id
    }

    /// Publishes events, in this order.
    ///
    /// # Panics
    /// When the bus doesn't take them.
    pub async fn publish_all(&self, events: Vec<Event>) {
        let batch = events.into_iter().map(|event| Publication { event, sticky: false }).collect();
        self.bus.append(batch).await.expect("the bus takes it");
    }

    /// Publishes bytes as they are.
    ///
    /// # Panics
    /// When the bus doesn't take them.
    pub async fn publish_bytes(&self, topic: &str, bytes: &[u8]) {
        let event = Event { payload: Bytes::copy_from_slice(bytes), headers: Headers::none(), ..self.event(topic, "") };
        self.publish_all(vec![event]).await;
    }

    /// The first `count` events of a topic, since the beginning of the log; waits for them.
    ///
    /// # Panics
    /// When they don't come.
    pub async fn seen(&self, topic: &str, count: usize) -> Vec<Recorded> {
        let mut tail = self.bus.tail(self.bus.oldest()).expect("the log can be read");
        let mut seen = Vec::new();
        while seen.len() < count {
            let waiting = tokio::time::timeout(PATIENCE, next(&mut *tail, topic));
            let Ok(more) = waiting.await else {
                panic!("only {} of {count} events came on {topic}", seen.len());
            };
            seen.extend(more);
        }
        seen
    }

    /// All events of a topic that are there now.
    ///
    /// # Panics
    /// When the log can't be read.
    pub async fn all(&self, topic: &str) -> Vec<Recorded> {
        let mut tail = self.bus.tail(self.bus.oldest()).expect("the log can be read");
        let mut seen = Vec::new();
        while let Some(batch) = tail.next_now(&|at| at == topic).await.expect("the log can be read") {
            seen.extend(batch.events);
        }
        seen
    }

    /// The dead letters of a service.
    ///
    /// # Panics
    /// When they can't be read.
    pub async fn dead_letters(&self, service: &str) -> Vec<DeadLetter> {
        self.bus.dead_letters(&group(service), 0, 1_000).await.expect("dead letters can be read")
    }

    /// Waits until a service has settled all that is in the log now and needs no further attempt.
    ///
    /// # Panics
    /// When it doesn't.
    pub async fn settled(&self, service: &str) {
        let (group, head) = (group(service), self.bus.head());
        until(&format!("{service} has settled everything"), || {
            let stat = self.bus.groups(None, usize::MAX).into_iter().find(|stat| stat.name == group);
            stat.is_some_and(|stat| stat.in_flight == 0 && stat.waiting_retry == 0 && stat.settled.seq >= head.seq)
        })
        .await;
        // On PostgreSQL events of a service with keys are sorted first, and handled then.
        let since = Instant::now();
        while self.int(service, "SELECT COUNT(*) FROM kit_work").await > 0 {
            assert!(since.elapsed() < PATIENCE, "never: {service} has handled what is sorted");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The whole number that a statement without parameters finds in a store.
    ///
    /// # Panics
    /// When there's none.
    pub async fn int(&self, store: &str, sql: &'static str) -> i64 {
        self.try_int(store, sql).await.expect("a whole number")
    }

    /// As [`int`](Self::int), where the store may not be there.
    ///
    /// # Errors
    /// When the store or the statement fails, or there's no row.
    pub async fn try_int(&self, store: &str, sql: &'static str) -> Result<i64, StoreError> {
        let reader = Store::open(&self.url, store).await?.reader();
        let row = reader.query_opt(&Statement::new(sql), &[]).await?;
        row.ok_or_else(|| StoreError::Row("there's no row".into()))?.int(0)
    }
}

/// The kit's own statements.
#[must_use]
pub fn kit_statements() -> Vec<&'static Statement> {
    crate::schema::statements()
}

fn group(service: &str) -> GroupName {
    GroupName::new(format!("service/{service}")).expect("a group's name")
}

async fn next(tail: &mut dyn Tail, topic: &str) -> Vec<Recorded> {
    tail.next(&|at| at == topic).await.expect("the log goes on").events
}

/// Gives way to the others until something holds.
///
/// # Panics
/// When it never does.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "never: {what}");
        // The store and the log have threads of their own, so this waits for them and not for the time.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
