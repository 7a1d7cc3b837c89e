//! What the tests share: a bench over the embedded log on either store, a bus that fails when it's told to, and a service
//! that keeps accounts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use headwater_event::*;
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_service::testing::{Bench, Postgres, until};
use headwater_service::{Failure, Migration, Outgoing, Service, ServiceOptions, Statement, Tx, body};
use serde::{Deserialize, Serialize};

/// Where the clocks of tests begin.
pub const START: Time = Time(1_770_000_000_000_000);

/// Runs each of these tests on both stores.
macro_rules! on_both_stores {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::kit::House::sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(house) = crate::kit::House::postgres().await {
                    super::$name(house).await;
                }
            })*
        }
    };
}
pub(crate) use on_both_stores;

/// A bench over a real log, and what keeps its folder.
pub struct House {
    pub bench: Bench,
    pub faults: Arc<Faults>,
    _folder: tempfile::TempDir,
}

impl std::ops::Deref for House {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl House {
    pub fn sqlite() -> Self {
        Self::with(Bench::sqlite)
    }

    pub async fn postgres() -> Option<Self> {
        let url = Postgres::shared()?.database().await;
        Some(Self::with(|bus| Bench::over(bus, url)))
    }

    pub fn with(bench: impl FnOnce(Arc<dyn Bus>) -> Bench) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(START));
        // The log itself recognises no resent event: here that is left to the inbox.
        let options = OpenOptions { clock: clock.clone(), ids_max: 0, ..OpenOptions::new(folder.path()) };
        let faults = Arc::new(Faults::default());
        let bus = Faulty { inner: Arc::new(EventLog::open(options).unwrap()), faults: Arc::clone(&faults) };
        Self { bench: bench(Arc::new(bus)).clocked(clock), faults, _folder: folder }
    }

    /// Moves the clock.
    pub fn pass(&self, time: Duration) {
        self.clock().advance(time);
    }

    pub fn stat(&self, service: &str) -> GroupStat {
        let name = format!("service/{service}");
        self.bus().groups(None, 100).into_iter().find(|stat| stat.name.as_str() == name).expect("the group is there")
    }
}

/// Lets the waits of the worker pass until something holds.
pub async fn passing(house: &House, what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || {
        house.pass(Duration::from_millis(20));
        holds()
    })
    .await;
}

/// What goes wrong between a worker and its bus.
#[derive(Default)]
pub struct Faults {
    /// Settlements never arrive: the worker dies between its commit and them.
    pub no_settle: AtomicBool,
    /// Appends never end and add nothing: it dies between its commit and the relay.
    pub no_append: AtomicBool,
    /// Appends fail.
    pub fail_append: AtomicBool,
    /// Appends are done and nobody hears of it: it dies between the append and its note.
    pub deaf_append: AtomicBool,
}

impl Faults {
    pub fn set(fault: &AtomicBool, is_on: bool) {
        fault.store(is_on, Ordering::SeqCst);
    }
}

fn is(fault: &AtomicBool) -> bool {
    fault.load(Ordering::SeqCst)
}

struct Faulty {
    inner: Arc<EventLog>,
    faults: Arc<Faults>,
}

/// Events of tests come in, whatever is wrong for the worker.
fn is_of_test(batch: &[Publication]) -> bool {
    batch.iter().any(|publication| matches!(publication.event.topic.as_str(), "add" | "open" | "ask"))
}

impl Bus for Faulty {
    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    fn head(&self) -> Position {
        self.inner.head()
    }

    fn oldest(&self) -> Position {
        self.inner.oldest()
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn append(&self, batch: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>> {
        if is_of_test(&batch) {
            return self.inner.append(batch);
        }
        if is(&self.faults.fail_append) {
            return Box::pin(async { Err(BusError::Storage("a test".into())) });
        }
        if is(&self.faults.no_append) {
            return Box::pin(std::future::pending());
        }
        let appended = self.inner.append(batch);
        if is(&self.faults.deaf_append) {
            return Box::pin(async {
                let _ = appended.await;
                std::future::pending().await
            });
        }
        appended
    }

    fn last_number(&self, producer: ProducerId) -> Later<'_, Result<u64, BusError>> {
        self.inner.last_number(producer)
    }

    fn use_up(&self, producer: ProducerId, number: u64) -> Later<'static, Result<(), BusError>> {
        self.inner.use_up(producer, number)
    }

    fn tail(&self, after: Position) -> Result<Box<dyn Tail>, BusError> {
        self.inner.tail(after)
    }

    fn latest(&self, filter: &Filter, after: Option<&Topic>, limit: usize) -> Later<'_, Result<StickyPage, BusError>> {
        self.inner.latest(filter, after, limit)
    }

    fn join(&self, group: &GroupName, options: GroupOptions) -> Later<'_, Result<Box<dyn Member>, BusError>> {
        let (joined, faults) = (self.inner.join(group, options), Arc::clone(&self.faults));
        Box::pin(async move { Ok(Box::new(FaultyMember { inner: joined.await?, faults }) as Box<dyn Member>) })
    }

    fn end_group(&self, group: &GroupName) -> Later<'_, Result<(), BusError>> {
        self.inner.end_group(group)
    }

    fn groups(&self, after: Option<&GroupName>, limit: usize) -> Vec<GroupStat> {
        self.inner.groups(after, limit)
    }

    fn dead_letters(
        &self,
        group: &GroupName,
        after: Seq,
        limit: usize,
    ) -> Later<'_, Result<Vec<DeadLetter>, BusError>> {
        self.inner.dead_letters(group, after, limit)
    }

    fn revive(&self, group: &GroupName, letters: Vec<Seq>, again: bool) -> Later<'_, Result<usize, BusError>> {
        self.inner.revive(group, letters, again)
    }
}

struct FaultyMember {
    inner: Box<dyn Member>,
    faults: Arc<Faults>,
}

impl Member for FaultyMember {
    fn next(&mut self, max: usize) -> Later<'_, Result<Vec<Delivery>, BusError>> {
        self.inner.next(max)
    }

    fn settle(&mut self, settlements: Vec<(Tag, Settlement)>) -> Later<'_, Result<usize, BusError>> {
        match is(&self.faults.no_settle) {
            true => Box::pin(std::future::pending()),
            false => self.inner.settle(settlements),
        }
    }

    fn renew(&mut self, tags: &[Tag]) {
        self.inner.renew(tags);
    }

    fn lease(&self) -> Duration {
        self.inner.lease()
    }
}

/// What the tests publish: add this much to that account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    pub account: String,
    pub amount: i64,
}

pub fn add(account: &str, amount: i64) -> Add {
    Add { account: account.into(), amount }
}

pub static MIGRATIONS: &[Migration] = &[Migration {
    name: "001_account",
    sql: "CREATE TABLE account (name TEXT PRIMARY KEY, sum BIGINT NOT NULL, changes BIGINT NOT NULL);
          CREATE TABLE entry (number BIGINT NOT NULL, account TEXT NOT NULL, amount BIGINT NOT NULL);
          CREATE TABLE opened (name TEXT PRIMARY KEY)",
}];

pub static ADD: Statement = Statement::new(
    "INSERT INTO account (name, sum, changes) VALUES ($1, $2, 1)
     ON CONFLICT (name) DO UPDATE SET sum = account.sum + excluded.sum, changes = account.changes + 1",
);
/// Accounts are entered one after the other, so their own count is their order.
pub static ENTER: Statement = Statement::new(
    "INSERT INTO entry (number, account, amount) VALUES ((SELECT COUNT(*) FROM entry WHERE account = $1), $1, $2)",
);
pub static SUM: Statement = Statement::new("SELECT sum FROM account WHERE name = $1");
pub static ENTRIES: Statement = Statement::new("SELECT amount FROM entry WHERE account = $1 ORDER BY number");
pub static OPEN: Statement = Statement::new("INSERT INTO opened (name) VALUES ($1)");
pub static IS_OPEN: Statement = Statement::new("SELECT 1 FROM opened WHERE name = $1");

pub static STATEMENTS: &[&Statement] = &[&ADD, &ENTER, &SUM, &ENTRIES, &OPEN, &IS_OPEN];

/// Adds, and says so.
pub async fn book(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let add: Add = body::read(event)?;
    tx.execute(&ADD, &[add.account.as_str().into(), add.amount.into()]).await?;
    tx.execute(&ENTER, &[add.account.as_str().into(), add.amount.into()]).await?;
    tx.publish(Outgoing::json("booked", &add)?)
}

/// The account of an event.
pub fn account(event: &Event) -> Option<String> {
    body::read::<Add>(event).ok().map(|add| add.account)
}

/// A service without handlers, with quick back-off: the clock of a test is moved.
pub fn books() -> Service {
    let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(8) };
    let options = ServiceOptions { attempts_max: 3, backoff, ..ServiceOptions::default() };
    Service::new("books").migrations(MIGRATIONS).statements(STATEMENTS).publishes(&["booked"]).options(options)
}

/// Numbers that a seed determines (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) as usize % sides
    }

    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.roll(at + 1));
        }
    }
}
