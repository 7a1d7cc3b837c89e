//! Who works on a service: a row for each life of a process, and one for each thing that must be done once.
//!
//! A life's row is its fence. Whoever writes for it locks the row for the length of the transaction, and whoever declares it dead
//! deletes the row, which waits for those transactions: so nothing of a dead life is committed after its successor has begun.
//! Renewing changes no key, so it waits for none of them.

use std::time::Duration;

use tokio_postgres::{Client, Config};

use super::{connect, read_error};
use crate::duty::plan::{DutyRow, View, WorkerRow};
use crate::store::StoreError;

/// How long a statement here may wait for a lock: the next tick tries again.
const KEEPER_OPTIONS: &str = "-c lock_timeout=500ms -c statement_timeout=2s";

/// The server's own time, in microseconds since 1970.
const NOW: &str = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT";

/// A connection on which duties are kept.
pub(crate) struct Duties {
    client: Client,
}

/// The name under which a life's writing connections are known to the server.
pub(super) fn session_name(token: i64, service: &str) -> String {
    format!("headwater #{token} {service}")
}

impl Duties {
    pub(super) async fn open(config: &Config) -> Result<Self, StoreError> {
        let mut config = config.clone();
        let options = config.get_options().unwrap_or_default().to_owned();
        config.options(format!("{options} {KEEPER_OPTIONS}"));
        Ok(Self { client: connect(&config).await? })
    }

    /// Begins a life: gives its fencing number, which only grows.
    pub(crate) async fn enter(&self, holder: &str, hold: Duration) -> Result<i64, StoreError> {
        let sql = format!(
            "WITH next AS (UPDATE kit_token SET last = last + 1 RETURNING last)
             INSERT INTO kit_worker (token, mark, holder, until)
             SELECT last, int8send(last), $1, {NOW} + $2 FROM next RETURNING token"
        );
        let row = self.client.query_one(&sql, &[&holder, &micros(hold)]).await.map_err(read_error)?;
        row.try_get(0).map_err(read_error)
    }

    /// Makes the rows of these duties where there are none.
    pub(crate) async fn make(&self, names: &[String]) -> Result<(), StoreError> {
        // Parts beyond these are of an earlier number, which could be changed only because nobody had any.
        let sql = "WITH gone AS (DELETE FROM kit_duty WHERE name LIKE 'part/%' AND NOT name = ANY($1::TEXT[]))
                   INSERT INTO kit_duty (name) SELECT unnest($1::TEXT[]) ON CONFLICT (name) DO NOTHING";
        self.client.execute(sql, &[&names]).await.map(drop).map_err(read_error)
    }

    /// How many parts the service was made with, if it was: nothing changes it while somebody works or something waits.
    pub(crate) async fn set_parts(&self, parts: u32) -> Result<(), StoreError> {
        let name = "parts";
        let row = self.client.query_opt("SELECT value FROM kit_meta WHERE name = $1", &[&name]).await;
        let known: Option<Vec<u8>> =
            row.map_err(read_error)?.map(|row| row.try_get(0).map_err(read_error)).transpose()?;
        let wanted = parts.to_be_bytes().to_vec();
        if known.as_ref() == Some(&wanted) {
            return Ok(());
        }
        // In one statement, so that of two who start with different numbers the later one is told.
        let sql = format!(
            "UPDATE kit_meta SET value = $2 WHERE name = $1
             AND NOT EXISTS (SELECT 1 FROM kit_worker WHERE until > {NOW}) AND NOT EXISTS (SELECT 1 FROM kit_work)"
        );
        if known.is_some() && self.client.execute(&sql, &[&name, &wanted]).await.map_err(read_error)? == 0 {
            let was = known.and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?))).unwrap_or(0);
            return Err(StoreError::Migration(format!(
                "it has {was} partitions, and {parts} are wanted: stop all its processes, let one with {was} work off what is \
                 sorted already, and start with {parts} then"
            )));
        }
        let first = "INSERT INTO kit_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        self.client.execute(first, &[&name, &wanted]).await.map(drop).map_err(read_error)
    }

    /// This life goes on for so long; `false` when it was declared dead.
    pub(crate) async fn renew(&self, token: i64, hold: Duration) -> Result<bool, StoreError> {
        let sql = format!("UPDATE kit_worker SET until = {NOW} + $2 WHERE token = $1");
        Ok(self.client.execute(&sql, &[&token, &micros(hold)]).await.map_err(read_error)? == 1)
    }

    /// How all stand.
    pub(crate) async fn view(&self) -> Result<View, StoreError> {
        let workers = format!("SELECT token, until <= {NOW} FROM kit_worker ORDER BY token");
        // What a dead life has said and nobody has sent yet has to leave before others go on with its part.
        let duties = "SELECT d.name, d.token, w.token IS NOT NULL, EXISTS (
                          SELECT 1 FROM kit_outbox o WHERE o.worker >= int8send(d.token) AND o.worker < int8send(d.token + 1))
                      FROM kit_duty d LEFT JOIN kit_worker w ON w.token = d.token ORDER BY d.name";
        let asked = futures_util::future::try_join(self.client.query(&workers, &[]), self.client.query(duties, &[]));
        let (workers, duties) = asked.await.map_err(read_error)?;
        let worker = |row: &tokio_postgres::Row| Ok(WorkerRow { token: row.try_get(0)?, is_over: row.try_get(1)? });
        let duty = |row: &tokio_postgres::Row| {
            let (token, is_kept): (Option<i64>, bool) = (row.try_get(1)?, row.try_get(2)?);
            let has_said: Option<bool> = row.try_get(3)?;
            Ok(DutyRow { name: row.try_get(0)?, token, is_kept, has_said: has_said.unwrap_or(false) })
        };
        let workers: Result<Vec<_>, tokio_postgres::Error> = workers.iter().map(worker).collect();
        let duties: Result<Vec<_>, tokio_postgres::Error> = duties.iter().map(duty).collect();
        Ok(View { workers: workers.map_err(read_error)?, duties: duties.map_err(read_error)? })
    }

    /// Declares a life dead whose time is over. A transaction of it that is still open (a frozen process) is ended first.
    pub(crate) async fn bury(&self, token: i64, service: &str) -> Result<bool, StoreError> {
        let sql = format!("DELETE FROM kit_worker WHERE token = $1 AND until <= {NOW}");
        match self.client.execute(&sql, &[&token]).await.map_err(read_error) {
            Ok(count) => Ok(count == 1),
            Err(StoreError::Busy(_)) => {
                let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                           WHERE application_name = left($1, 63) AND usename = current_user AND datname = current_database()";
                let name = session_name(token, service);
                self.client.query(sql, &[&name]).await.map_err(read_error)?;
                Ok(self
                    .client
                    .execute(&format!("DELETE FROM kit_worker WHERE token = $1 AND until <= {NOW}"), &[&token])
                    .await
                    .map_err(read_error)?
                    == 1)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a duty over from whom it was seen with; `false` when somebody was faster.
    pub(crate) async fn claim(&self, name: &str, from: Option<i64>, token: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE kit_duty SET token = $2 WHERE name = $1 AND token IS NOT DISTINCT FROM $3";
        Ok(self.client.execute(sql, &[&name, &token, &from]).await.map_err(read_error)? == 1)
    }

    /// What a dead life may have had in hand counts as tried once: an event that kills whoever handles it must not do so for ever.
    pub(crate) async fn count_attempt(&self, part: u32, first: i64) -> Result<(), StoreError> {
        let sql = "UPDATE kit_work SET attempts = attempts + 1 WHERE part = $1 AND n IN
                       (SELECT n FROM kit_work WHERE part = $1 ORDER BY n LIMIT $2)";
        self.client.execute(sql, &[&i64::from(part), &first]).await.map(drop).map_err(read_error)
    }

    /// Gives duties up.
    pub(crate) async fn release(&self, names: &[String], token: i64) -> Result<(), StoreError> {
        let sql = "UPDATE kit_duty SET token = NULL WHERE token = $1 AND name = ANY($2)";
        self.client.execute(sql, &[&token, &names]).await.map(drop).map_err(read_error)
    }

    /// Ends a life in good order.
    pub(crate) async fn leave(&self, token: i64) -> Result<(), StoreError> {
        let sql = "WITH gone AS (DELETE FROM kit_worker WHERE token = $1)
                   UPDATE kit_duty SET token = NULL WHERE token = $1";
        self.client.execute(sql, &[&token]).await.map(drop).map_err(read_error)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
