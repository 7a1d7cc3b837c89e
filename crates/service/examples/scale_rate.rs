//! How a service speeds up with more workers on PostgreSQL: the same events, handled by one, two and three, each handler waiting for
//! 2 ms as one does that asks something else. `cargo run --release -p headwater-service --features testing --example scale_rate`
//!
//! Each worker has a life, lanes and connections of its own, as in a process of its own; they share this one, so that two cores
//! are enough.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headwater_event::{Bus, Clock, Event};
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_service::testing::{Bench, Postgres};
use headwater_service::{Failure, Migration, Service, Statement, Tx, body};

const WORK: Duration = Duration::from_millis(2);
const KEYS: usize = 600;

static MIGRATIONS: &[Migration] = &[Migration { name: "001_done", sql: "CREATE TABLE done (number BIGINT NOT NULL)" }];
static DONE: Statement = Statement::new("INSERT INTO done (number) VALUES ($1)");
static STATEMENTS: &[&Statement] = &[&DONE];

/// Which numbers came for each key, in the order of calls.
type Seen = Arc<Mutex<HashMap<usize, Vec<i64>>>>;

fn service(seen: &Seen) -> Service {
    let seen = Arc::clone(seen);
    let handle = async move |tx: &mut Tx<'_>, event: &Event| -> Result<(), Failure> {
        let number: i64 = body::read(event)?;
        tokio::time::sleep(WORK).await;
        tx.execute(&DONE, &[number.into()]).await?;
        seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).entry(key(number)).or_default().push(number);
        Ok(())
    };
    let key_of = |event: &Event| body::read::<i64>(event).ok().map(|number| format!("key/{}", key(number)));
    Service::new("waits").migrations(MIGRATIONS).statements(STATEMENTS).key_of(key_of).on("work", handle)
}

fn key(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0) % KEYS
}

async fn run(server: &Postgres, workers: usize, count: i64) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let log = EventLog::open(OpenOptions::new(folder.path())).expect("a log");
    let bus: Arc<dyn Bus> = Arc::new(log);
    let bench = Bench::over(bus, server.database().await).clocked(Clock::system());
    let seen = Seen::default();
    let mut running = Vec::new();
    for _ in 0..workers {
        running.push(bench.start(service(&seen)).await);
    }
    // The first one gives parts up to the others.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let events: Vec<Event> = (0..count).map(|number| bench.event("work", &number)).collect();
    let begun = Instant::now();
    for part in events.chunks(500) {
        bench.publish_all(part.to_vec()).await;
    }
    while bench.int("waits", "SELECT COUNT(*) FROM done").await < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    bench.settled("waits").await;
    for one in running {
        one.stop().await;
    }
    assert_eq!(bench.int("waits", "SELECT COUNT(DISTINCT number) FROM done").await, count, "each once in effect");
    assert_eq!(bench.int("waits", "SELECT COUNT(*) FROM done").await, count, "none twice in effect");
    let seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    assert!(seen.values().all(|numbers| numbers.is_sorted()), "each key in its order");
    rate
}

#[tokio::main]
async fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(12_000);
    let Some(server) = Postgres::start() else { return };
    let mut first = None;
    for workers in 1..=3 {
        let rate = run(&server, workers, count).await;
        let first = *first.get_or_insert(rate);
        println!("{workers} workers: {rate:>7.0} events/s, {:.2} x one", rate / first);
    }
}
