//! What the tests share: a bench over the embedded log, on either store, and a service that counts.

use std::sync::Arc;

use headwater_event::{Bus, Clock, Event, Time};
use headwater_eventlog::{EventLog, OpenOptions};
use headwater_service::testing::Bench;
use headwater_service::{Failure, Migration, Outgoing, Service, Statement, Tx, body};
use serde::{Deserialize, Serialize};

/// Where the clocks of tests begin.
pub const START: Time = Time(1_770_000_000_000_000);

/// A bench over a real log, and what keeps its folder.
pub struct House {
    pub bench: Bench,
    pub clock: Clock,
    folder: tempfile::TempDir,
}

impl std::ops::Deref for House {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

pub fn log(folder: &std::path::Path, clock: &Clock) -> Arc<dyn Bus> {
    let options = OpenOptions { clock: clock.clone(), ..OpenOptions::new(folder) };
    Arc::new(EventLog::open(options).unwrap())
}

impl House {
    pub fn sqlite() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(START));
        let bench = Bench::sqlite(log(folder.path(), &clock)).clocked(clock.clone());
        Self { bench, clock, folder }
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
          CREATE TABLE entry (number BIGINT NOT NULL, account TEXT NOT NULL, amount BIGINT NOT NULL);",
}];

pub static ADD: Statement = Statement::new(
    "INSERT INTO account (name, sum, changes) VALUES ($1, $2, 1)
     ON CONFLICT (name) DO UPDATE SET sum = account.sum + excluded.sum, changes = account.changes + 1",
);
pub static ENTER: Statement =
    Statement::new("INSERT INTO entry (number, account, amount) VALUES ((SELECT COUNT(*) FROM entry), $1, $2)");
pub static SUM: Statement = Statement::new("SELECT sum FROM account WHERE name = $1");
pub static ENTRIES: Statement = Statement::new("SELECT amount FROM entry WHERE account = $1 ORDER BY number");

pub static STATEMENTS: &[&Statement] = &[&ADD, &ENTER, &SUM, &ENTRIES];

/// Adds, and says so.
pub async fn book(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let add: Add = body::read(event)?;
    tx.execute(&ADD, &[add.account.as_str().into(), add.amount.into()]).await?;
    tx.execute(&ENTER, &[add.account.as_str().into(), add.amount.into()]).await?;
    tx.publish(Outgoing::json("booked", &add)?)
}

pub fn books() -> Service {
    Service::new("books").migrations(MIGRATIONS).statements(STATEMENTS).publishes(&["booked"])
}
