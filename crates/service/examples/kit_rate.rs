//! What the kit costs: handlers of five statements on SQLite, 64 deliveries a commit, beside the same statements in a bare loop
//! over rusqlite with savepoints: `cargo run --release -p headwater-service --example kit_rate`.
//!
//! The five: the inbox, a look at a balance, its conditional change, a new row, and the outbox. In the kit the first and the
//! last are the kit's. The bus is one in memory that costs nothing, so that the kit alone is measured.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headwater_event::*;
use headwater_service::{Failure, Migration, Outgoing, Service, Statement, Store, StoreUrl, Tx, Value, body};
use serde::{Deserialize, Serialize};

const EVENTS: usize = 30_000;
const BATCH: usize = 64;
const PRODUCTS: usize = 100;

type Failed = Box<dyn std::error::Error>;

#[derive(Serialize, Deserialize)]
struct Order {
    id: String,
    product: i64,
}

static MIGRATIONS: &[Migration] = &[Migration {
    name: "001_stock",
    sql: "CREATE TABLE product (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL);
          CREATE TABLE reservation (order_id TEXT PRIMARY KEY, product BIGINT NOT NULL)",
}];
static FILL: Statement = Statement::new("INSERT INTO product (id, balance) VALUES ($1, 1000000)");
static LOOK: Statement = Statement::new("SELECT balance FROM product WHERE id = $1");
static TAKE: Statement = Statement::new("UPDATE product SET balance = balance - $1 WHERE id = $2 AND balance >= $1");
static NOTE: Statement = Statement::new("INSERT INTO reservation (order_id, product) VALUES ($1, $2)");

async fn seed(tx: &mut Tx<'_>) -> Result<(), Failure> {
    for product in 0..PRODUCTS {
        tx.execute(&FILL, &[Value::Int(product as i64)]).await?;
    }
    Ok(())
}

async fn reserve(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let order: Order = body::read(event)?;
    let balance = tx.query_opt(&LOOK, &[order.product.into()]).await?;
    if balance.is_none() || tx.execute(&TAKE, &[1.into(), order.product.into()]).await? == 0 {
        return Err(Failure::dead("no such product"));
    }
    tx.execute(&NOTE, &[order.id.as_str().into(), order.product.into()]).await?;
    tx.publish(Outgoing::json("stock/taken", &order)?)
}

fn orders() -> Vec<Event> {
    let order = |at: usize| {
        let order = Order { id: format!("order-{at:08}"), product: (at % PRODUCTS) as i64 };
        Event {
            id: EventId::generate(),
            topic: Topic::new("order/send").unwrap_or_else(|_| unreachable!("a topic")),
            headers: Headers::none(),
            payload: serde_json::to_vec(&order).unwrap_or_default().into(),
            at: Time(1),
        }
    };
    (0..EVENTS).map(order).collect()
}

fn bare(folder: &Path, events: &[Event]) -> Result<Duration, Failed> {
    let conn = rusqlite::Connection::open(folder.join("bare.sqlite"))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 4_096)?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    conn.execute_batch(MIGRATIONS[0].sql)?;
    conn.execute_batch(
        "CREATE TABLE inbox (id BLOB PRIMARY KEY, at BIGINT NOT NULL) WITHOUT ROWID;
         CREATE TABLE outbox (seq INTEGER PRIMARY KEY, id BLOB, topic TEXT, payload BLOB)",
    )?;
    let mut fill = conn.prepare("INSERT INTO product (id, balance) VALUES (?1, 1000000)")?;
    for product in 0..PRODUCTS {
        fill.execute([product as i64])?;
    }
    let mut mark = conn.prepare("SAVEPOINT call")?;
    let mut keep = conn.prepare("RELEASE call")?;
    let mut claim = conn.prepare("INSERT INTO inbox (id, at) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING")?;
    let mut look = conn.prepare(LOOK.sql())?;
    let mut take = conn.prepare(TAKE.sql())?;
    let mut note = conn.prepare(NOTE.sql())?;
    let mut put = conn.prepare("INSERT INTO outbox (id, topic, payload) VALUES (?1, ?2, ?3)")?;
    let mut sent = conn.prepare("DELETE FROM outbox WHERE seq <= ?1")?;
    let began = Instant::now();
    let mut last = 0;
    for batch in events.chunks(BATCH) {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        for event in batch {
            mark.execute([])?;
            let EventId::Own(id) = &event.id else { unreachable!("ids are drawn") };
            claim.execute((&id.as_bytes()[..], 1_i64))?;
            let order: Order = serde_json::from_slice(&event.payload)?;
            let _: i64 = look.query_row([order.product], |row| row.get(0))?;
            take.execute((1_i64, order.product))?;
            note.execute((&order.id, order.product))?;
            put.execute((&uuid::Uuid::now_v7().as_bytes()[..], "stock/taken", serde_json::to_vec(&order)?))?;
            keep.execute([])?;
        }
        // What the commit before had in the outbox is on the bus by now.
        sent.execute([last])?;
        last = conn.last_insert_rowid();
        conn.execute_batch("COMMIT")?;
    }
    Ok(began.elapsed())
}

async fn kit(folder: &Path, events: &[Event], times: usize) -> Result<Duration, Failed> {
    let service = Service::new("stock").migrations(MIGRATIONS).seed(seed).publishes(&["stock/#"]);
    let store = Store::open(&StoreUrl::sqlite(folder), "stock").await?;
    let bus = Arc::new(InMemory::default());
    let again = events.iter().flat_map(|event| std::iter::repeat_n(event, times)).cloned();
    bus.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(again);
    let began = Instant::now();
    let running = service.on("order/send", reserve).start(bus.clone(), store, Clock::system()).await?;
    while bus.0.settled.load(Ordering::Relaxed) < events.len() * times {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = began.elapsed();
    running.stop().await;
    assert_eq!(bus.0.appended.load(Ordering::Relaxed), events.len());
    Ok(took)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    let events = orders();
    let rate = |took: Duration| events.len() as f64 / took.as_secs_f64();
    let mut ratios = Vec::new();
    for round in 1..=5 {
        let folder = tempfile::tempdir()?;
        let bare = rate(bare(folder.path(), &events)?);
        let kit_once = rate(kit(folder.path(), &events, 1).await?);
        let tenfold = tempfile::tempdir()?;
        let ten = rate(kit(tenfold.path(), &events, 10).await?);
        println!(
            "{round}: bare {bare:.0}/s, kit {kit_once:.0}/s = {:.2}; every event ten times {ten:.0}/s = {:.2} of once",
            kit_once / bare,
            ten / kit_once
        );
        ratios.push(kit_once / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median: {:.2}", ratios[ratios.len() / 2]);
    Ok(())
}

/// A bus in memory that costs nothing.
#[derive(Default)]
struct InMemory(Arc<Inside>);

#[derive(Default)]
struct Inside {
    waiting: Mutex<VecDeque<Event>>,
    given: AtomicUsize,
    settled: AtomicUsize,
    appended: AtomicUsize,
}

impl Bus for InMemory {
    fn abilities(&self) -> Abilities {
        Abilities {
            durability: Durability::Written,
            replay: Replay::LatestOnly,
            delayed_retry: false,
            numbers: false,
            remembers: false,
        }
    }

    fn head(&self) -> Position {
        Position::new(1, 0)
    }

    fn oldest(&self) -> Position {
        Position::new(1, 0)
    }

    fn health(&self) -> Health {
        Health::Good
    }

    fn append(&self, batch: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>> {
        self.0.appended.fetch_add(batch.len(), Ordering::Relaxed);
        Box::pin(async move {
            Ok(Receipts { epoch: 1, first: 1, len: batch.len(), duplicates: Vec::new(), strays: Vec::new() })
        })
    }

    fn last_number(&self, _: ProducerId) -> Later<'_, Result<u64, BusError>> {
        Box::pin(async { Err(BusError::Unable("number")) })
    }

    fn use_up(&self, _: ProducerId, _: u64) -> Later<'static, Result<(), BusError>> {
        Box::pin(async { Err(BusError::Unable("number")) })
    }

    fn tail(&self, _: Position) -> Result<Box<dyn Tail>, BusError> {
        Err(BusError::Unable("replay"))
    }

    fn latest(&self, _: &Filter, _: Option<&Topic>, _: usize) -> Later<'_, Result<StickyPage, BusError>> {
        Box::pin(async { Err(BusError::Unable("keep states")) })
    }

    fn join(&self, _: &GroupName, _: GroupOptions) -> Later<'_, Result<Box<dyn Member>, BusError>> {
        let inside = Arc::clone(&self.0);
        Box::pin(async move { Ok(Box::new(Place(inside)) as Box<dyn Member>) })
    }

    fn end_group(&self, _: &GroupName) -> Later<'_, Result<(), BusError>> {
        Box::pin(async { Ok(()) })
    }

    fn groups(&self, _: Option<&GroupName>, _: usize) -> Vec<GroupStat> {
        Vec::new()
    }

    fn dead_letters(&self, _: &GroupName, _: Seq, _: usize) -> Later<'_, Result<Vec<DeadLetter>, BusError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn revive(&self, _: &GroupName, _: Vec<Seq>, _: bool) -> Later<'_, Result<usize, BusError>> {
        Box::pin(async { Ok(0) })
    }
}

struct Place(Arc<Inside>);

impl Place {
    fn take(&self, max: usize) -> Vec<Delivery> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let len = waiting.len().min(max);
        let delivery = |event| {
            let seq = self.0.given.fetch_add(1, Ordering::Relaxed) as u64 + 1;
            Delivery { recorded: Recorded { position: Position::new(1, seq), event, sticky: false }, attempt: 1 }
        };
        waiting.drain(..len).map(delivery).collect()
    }
}

impl Member for Place {
    fn next(&mut self, max: usize) -> Later<'_, Result<Vec<Delivery>, BusError>> {
        // Only when it's polled: what is dropped before has taken nothing.
        Box::pin(async move {
            let deliveries = self.take(max);
            if deliveries.is_empty() {
                return std::future::pending().await;
            }
            Ok(deliveries)
        })
    }

    fn settle(&mut self, settlements: Vec<(Tag, Settlement)>) -> Later<'_, Result<usize, BusError>> {
        let done = settlements.iter().filter(|(_, settlement)| *settlement == Settlement::Done).count();
        self.0.settled.fetch_add(done, Ordering::Relaxed);
        Box::pin(async move { Ok(done) })
    }

    fn renew(&mut self, _: &[Tag]) {}

    fn lease(&self) -> Duration {
        Duration::from_secs(30)
    }
}
