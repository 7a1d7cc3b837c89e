//! A connection that writes: what needs no answer goes in front of what does, in one round trip.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::columns::{params, rows_of};
use super::work::Sorted;
use super::{connect, read_error};
use crate::store::{Pulse, Row, Statement, StoreError, Value};

/// The most statements kept prepared; a program has some hundred.
const PREPARED_MAX: usize = 1_024;

/// How much may be put off before it's sent anyway.
const DEFERRED_MAX: usize = 256;

const CLAIM: &str =
    "INSERT INTO kit_inbox (id, at) SELECT unnest($1::bytea[]), $2 ON CONFLICT (id) DO NOTHING RETURNING id";

const PUT_WORK: &str = "INSERT INTO kit_work (part, n, id, attempts, event)
    SELECT part, n, id, 0, event FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BYTEA[], $4::BYTEA[]) AS w (part, n, id, event)
    ON CONFLICT (id) DO NOTHING";

type Deferred = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// Whether a call's statements can be undone without those before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Wanted,
    Set,
}

/// A connection and what is prepared on it.
pub(crate) struct Session {
    config: Arc<Config>,
    name: Arc<str>,
    pulse: Arc<Pulse>,
    client: Option<Arc<Client>>,
    prepared: HashMap<(usize, usize), tokio_postgres::Statement>,
    /// To be sent before what comes next, in this order.
    deferred: Vec<Deferred>,
    mark: Mark,
    /// The life that it writes for, whose fence each transaction passes.
    life: Option<i64>,
    /// Set when the fence was found to be gone.
    is_fenced: Arc<AtomicBool>,
}

impl Session {
    pub(super) fn new(config: Arc<Config>, name: Arc<str>, pulse: Arc<Pulse>, life: Option<i64>) -> Self {
        Self {
            config,
            name,
            pulse,
            client: None,
            prepared: HashMap::new(),
            deferred: Vec::new(),
            mark: Mark::None,
            life,
            is_fenced: Arc::default(),
        }
    }

    /// Begins a transaction, on a new connection when the one before was lost.
    pub(crate) async fn begin(&mut self) -> Result<(), StoreError> {
        if self.client.as_ref().is_none_or(|client| client.is_closed()) {
            self.forget();
            self.client = Some(Arc::new(connect(&self.config).await?));
        }
        self.mark = Mark::None;
        let Some(life) = self.life else { return self.defer("BEGIN") };
        // No key of the row may change until this transaction has ended: who would declare this life dead waits for it.
        let sql = format!("BEGIN; SELECT 1 FROM kit_worker WHERE token = {life} FOR KEY SHARE");
        let (client, is_fenced) = (self.client()?, Arc::clone(&self.is_fenced));
        self.deferred.push(Box::pin(async move {
            let rows = client.simple_query(&sql).await?;
            let is_there = rows.iter().any(|row| matches!(row, SimpleQueryMessage::Row(_)));
            is_fenced.fetch_or(!is_there, Ordering::Relaxed);
            Ok(())
        }));
        Ok(())
    }

    /// Commits. A transaction that has failed would be rolled back by `COMMIT` without an error; the `SELECT` before it fails.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        let client = self.client()?;
        if self.life.is_some() && !self.deferred.is_empty() {
            // What was put off may be the fence: its answer comes before the commit is asked for.
            self.sent(async { Ok(()) }).await?;
        }
        self.sent(async move { client.batch_execute("SELECT 1; COMMIT").await }).await?;
        self.pulse.good();
        Ok(())
    }

    /// Gives a transaction up, and the connection with it when that doesn't go well.
    pub(crate) async fn rollback(&mut self, error: &StoreError) {
        self.pulse.failing(&self.name, error);
        self.deferred.clear();
        self.mark = Mark::None;
        let Some(client) = self.client.clone() else { return };
        if matches!(error, StoreError::Unavailable(_)) || client.batch_execute("ROLLBACK").await.is_err() {
            self.forget();
        }
    }

    /// After a failure only a new connection is to be trusted.
    fn forget(&mut self) {
        self.client = None;
        self.prepared.clear();
        self.deferred.clear();
    }

    fn client(&self) -> Result<Arc<Client>, StoreError> {
        self.client.clone().ok_or_else(|| StoreError::Unavailable("there's no connection".into()))
    }

    fn defer(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let client = self.client()?;
        self.deferred.push(Box::pin(async move { client.batch_execute(sql).await }));
        Ok(())
    }

    /// Sends what was put off and this, in one go, and waits for all of it. Each is sent when it's asked for the first time,
    /// so the order of asking is the order on the wire.
    async fn sent<T>(&mut self, last: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, StoreError> {
        let mut before: Vec<Option<Deferred>> = std::mem::take(&mut self.deferred).into_iter().map(Some).collect();
        let mut last = pin!(last);
        let mut result = None;
        let mut failed = None;
        std::future::poll_fn(move |cx| {
            let mut is_ready = true;
            for place in &mut before {
                let Some(deferred) = place else { continue };
                match deferred.as_mut().poll(cx) {
                    Poll::Ready(end) => {
                        *place = None;
                        if let Err(error) = end {
                            failed.get_or_insert(error);
                        }
                    }
                    Poll::Pending => is_ready = false,
                }
            }
            if result.is_none() {
                match last.as_mut().poll(cx) {
                    Poll::Ready(end) => result = Some(end),
                    Poll::Pending => is_ready = false,
                }
            }
            match (is_ready, result.take()) {
                (true, Some(end)) => Poll::Ready(match failed.take() {
                    Some(error) => Err(error),
                    None => end,
                }),
                (_, end) => {
                    result = end;
                    Poll::Pending
                }
            }
        })
        .await
        .map_err(read_error)
        .and_then(|end| if self.is_fenced.load(Ordering::Relaxed) { Err(StoreError::Fenced) } else { Ok(end) })
    }

    async fn prepared(
        &mut self,
        statement: &Statement,
        params: usize,
    ) -> Result<tokio_postgres::Statement, StoreError> {
        let known = self.prepared.get(&statement.mark()).cloned();
        let prepared = match known {
            Some(prepared) => prepared,
            None => {
                if self.prepared.len() >= PREPARED_MAX {
                    self.prepared.clear();
                }
                let (client, sql) = (self.client()?, statement.sql());
                let prepared = self.sent(async move { client.prepare(sql).await }).await?;
                self.prepared.insert(statement.mark(), prepared.clone());
                prepared
            }
        };
        let wants = prepared.params().len();
        if wants != params {
            return Err(StoreError::Statement(format!(
                "it wants {wants} parameters and has {params}: {}",
                statement.sql()
            )));
        }
        Ok(prepared)
    }

    /// Sets the savepoint that a call wants, before its first statement: one that only reads could fail, too, and that would
    /// end the whole transaction.
    fn set_mark(&mut self) -> Result<(), StoreError> {
        if self.mark == Mark::Wanted {
            self.defer("SAVEPOINT call")?;
            self.mark = Mark::Set;
        }
        Ok(())
    }

    pub(crate) fn mark(&mut self) {
        self.mark = Mark::Wanted;
    }

    pub(crate) fn keep(&mut self) -> Result<(), StoreError> {
        match std::mem::replace(&mut self.mark, Mark::None) {
            Mark::Set => self.defer("RELEASE call"),
            Mark::None | Mark::Wanted => Ok(()),
        }
    }

    pub(crate) fn undo(&mut self) -> Result<(), StoreError> {
        match std::mem::replace(&mut self.mark, Mark::None) {
            Mark::Set => self.defer("ROLLBACK TO call; RELEASE call"),
            Mark::None | Mark::Wanted => Ok(()),
        }
    }

    pub(crate) async fn execute(&mut self, statement: &Statement, values: &[Value]) -> Result<u64, StoreError> {
        self.set_mark()?;
        let prepared = self.prepared(statement, values.len()).await?;
        let client = self.client()?;
        self.sent(async move { client.execute_raw(&prepared, params(values)).await }).await
    }

    pub(crate) async fn query(&mut self, statement: &Statement, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.set_mark()?;
        let prepared = self.prepared(statement, values.len()).await?;
        let client = self.client()?;
        let found = self.sent(async move { client.query_raw(&prepared, params(values)).await }).await?;
        rows_of(found).await
    }

    /// A statement of the kit, to be sent with the next one.
    pub(crate) async fn note(&mut self, statement: &Statement, values: Vec<Value>) -> Result<(), StoreError> {
        if self.deferred.len() >= DEFERRED_MAX {
            self.sent(async { Ok(()) }).await?;
        }
        let prepared = self.prepared(statement, values.len()).await?;
        let client = self.client()?;
        self.deferred.push(Box::pin(async move { client.execute_raw(&prepared, params(&values)).await.map(drop) }));
        Ok(())
    }

    /// All ids of a batch in one statement, in one order for all workers, so that two of them can't wait for each other.
    pub(crate) async fn claim(&mut self, ids: &[Vec<u8>], at: i64) -> Result<Vec<bool>, StoreError> {
        static PREPARED: Statement = Statement::new(CLAIM);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let prepared = self.prepared(&PREPARED, 2).await?;
        let client = self.client()?;
        let mut sorted: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let rows = self.sent(async move { client.query(&prepared, &[&sorted, &at]).await }).await?;
        let mut news: HashSet<Vec<u8>> = HashSet::with_capacity(rows.len());
        for row in rows {
            news.insert(row.try_get(0).map_err(read_error)?);
        }
        Ok(ids.iter().map(|id| news.remove(id)).collect())
    }

    /// Puts sorted events in, each once.
    pub(crate) async fn put_work(&mut self, rows: &[Sorted]) -> Result<(), StoreError> {
        static PREPARED: Statement = Statement::new(PUT_WORK);
        if rows.is_empty() {
            return Ok(());
        }
        let prepared = self.prepared(&PREPARED, 4).await?;
        let client = self.client()?;
        let parts: Vec<i64> = rows.iter().map(|row| row.part).collect();
        let places: Vec<i64> = rows.iter().map(|row| row.n).collect();
        let ids: Vec<&[u8]> = rows.iter().map(|row| row.id.as_slice()).collect();
        let events: Vec<&[u8]> = rows.iter().map(|row| row.event.as_slice()).collect();
        self.sent(async move { client.execute(&prepared, &[&parts, &places, &ids, &events]).await }).await.map(drop)
    }
}
