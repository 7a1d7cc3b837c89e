//! A service's tables, in SQLite or PostgreSQL: one set of statements, one writer's transaction, readers beside it.

mod engine;
mod error;
mod migrate;
mod postgres;
mod reader;
mod sqlite;
mod statement;
mod url;
mod value;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_event::Health;

pub(crate) use self::engine::Engine;
pub use self::error::StoreError;
pub(crate) use self::postgres::work;
pub(crate) use self::postgres::{Duties, Session};
pub use self::reader::Reader;
pub(crate) use self::sqlite::{Job, Writes};
pub use self::statement::{Migration, Statement};
pub use self::url::StoreUrl;
pub(crate) use self::url::check_name;
pub use self::value::{Row, Value};

static LEASES: Statement = Statement::new(
    "SELECT d.name, w.holder, d.token, w.until - (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT
     FROM kit_duty d LEFT JOIN kit_worker w ON w.token = d.token ORDER BY d.name",
);

/// Something that must be done once for a service, and who does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What: `look` (timers, what was put aside, what the dead have left to say), `sort` (taking events from the bus), `part/N`.
    pub name: String,
    /// Which process has it; none while it changes hands.
    pub holder: Option<String>,
    /// The number of that process's life, which only grows.
    pub fence: Option<i64>,
    /// For how long it is sure of it without another word, by the server's clock.
    pub left: Duration,
}

/// A service's tables. Clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    name: String,
    kind: Kind,
    health: Arc<Pulse>,
}

enum Kind {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Store {
    /// Opens the store of this name. Services write to it; those who only read may open it beside them, in this process or
    /// in another.
    ///
    /// # Errors
    /// When the name can't be one of a file and a schema, or the file or the server can't be reached.
    pub async fn open(url: &StoreUrl, name: &str) -> Result<Self, StoreError> {
        url::check_name(name)?;
        let health = Arc::new(Pulse::default());
        let kind = match url {
            StoreUrl::Sqlite { folder } => Kind::Sqlite(sqlite::Sqlite::open(folder, name, &health).await?),
            StoreUrl::Postgres { config } => Kind::Postgres(postgres::Postgres::open(config, name, &health).await?),
        };
        Ok(Self(Arc::new(Inner { name: name.to_owned(), kind, health })))
    }

    /// Whether stores can be opened there, as far as that can be known without one: a server is connected to once, and asked
    /// how old it is.
    ///
    /// # Errors
    /// `Refused` when trying again doesn't help until something was changed, `Unavailable` when it may.
    pub async fn reach(url: &StoreUrl) -> Result<(), StoreError> {
        match url {
            StoreUrl::Sqlite { .. } => Ok(()),
            StoreUrl::Postgres { config } => postgres::reach(config).await,
        }
    }

    /// Reads beside the writer.
    #[must_use]
    pub fn reader(&self) -> Reader {
        match &self.0.kind {
            Kind::Sqlite(sqlite) => Reader::sqlite(sqlite.readers()),
            Kind::Postgres(postgres) => Reader::postgres(postgres.pool()),
        }
    }

    /// Whether it can be written to and read from, as of the last time somebody tried.
    #[must_use]
    pub fn health(&self) -> Health {
        self.0.health.get()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Puts a part of a transaction in, where the store has one writer; it's told itself what became of it.
    pub(crate) async fn put(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        match &self.0.kind {
            Kind::Sqlite(sqlite) => sqlite.writer().put(job).await,
            Kind::Postgres(_) => Err(StoreError::Closed),
        }
    }

    /// A connection that writes, where there may be several; behind the fence of a life.
    pub(crate) fn session(&self, life: Option<i64>) -> Option<Session> {
        self.postgres().map(|postgres| postgres.session(life))
    }

    /// The server, where several processes may work on one store.
    pub(crate) fn postgres(&self) -> Option<&postgres::Postgres> {
        match &self.0.kind {
            Kind::Sqlite(_) => None,
            Kind::Postgres(postgres) => Some(postgres),
        }
    }

    /// What must be done once for this service, and who does it: for people and their consoles. Empty on SQLite, where one
    /// process has the file.
    ///
    /// # Errors
    /// When the store isn't there, or no service has run on it.
    pub async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        if self.postgres().is_none() {
            return Ok(Vec::new());
        }
        let rows = self.reader().query(&LEASES, &[]).await?;
        let lease = |row: &Row| {
            Ok(Lease {
                name: row.text(0)?.to_owned(),
                holder: row.text_opt(1)?.map(str::to_owned),
                fence: row.int_opt(2)?,
                left: Duration::from_micros(u64::try_from(row.int_opt(3)?.unwrap_or(0)).unwrap_or(0)),
            })
        };
        rows.iter().map(lease).collect()
    }

    /// Prepares each of these statements, for tests: what one engine reads the other one must read, too.
    ///
    /// # Errors
    /// With the first text that this engine doesn't take.
    pub async fn prepare_all(&self, statements: &[&'static Statement]) -> Result<(), StoreError> {
        self.reader().prepare_all(statements).await
    }
}

/// How a store is, told by those who use it.
pub(crate) struct Pulse(Mutex<Health>);

impl Default for Pulse {
    fn default() -> Self {
        Self(Mutex::new(Health::Good))
    }
}

impl Pulse {
    pub(crate) fn get(&self) -> Health {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something went well.
    pub(crate) fn good(&self) {
        let mut health = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *health != Health::Good {
            *health = Health::Good;
        }
    }

    /// The store itself failed; told once in the log, until it goes well again.
    pub(crate) fn failing(&self, name: &str, error: &StoreError) {
        let mut health = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *health == Health::Good {
            tracing::warn!("the store {name}: {error}; it's tried again");
        }
        *health = Health::Failing(format!("the store {name}: {error}"));
    }
}
