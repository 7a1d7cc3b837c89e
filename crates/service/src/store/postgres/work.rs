//! What was sorted into parts and waits for its handler.

use tokio_postgres::{Client, Config, SimpleQueryMessage, Statement};

use super::{connect, read_error};
use crate::store::StoreError;

/// An event at its place in a part.
#[derive(Clone, Debug)]
pub(crate) struct Sorted {
    pub(crate) part: i64,
    pub(crate) n: i64,
    pub(crate) id: Vec<u8>,
    pub(crate) event: Vec<u8>,
}

/// A row that was read back.
pub(crate) struct Waiting {
    pub(crate) part: i64,
    pub(crate) n: i64,
    pub(crate) attempts: i64,
    pub(crate) event: Vec<u8>,
}

const READ: &str = "SELECT c.part, w.n, w.attempts, w.event FROM unnest($1::BIGINT[], $2::BIGINT[]) AS c (part, after),
    LATERAL (SELECT n, attempts, event FROM kit_work WHERE part = c.part AND n > c.after ORDER BY n LIMIT $3) w ORDER BY w.n";
const CLEAR: &str = "DELETE FROM kit_work w USING unnest($1::BIGINT[], $2::BIGINT[]) AS d (part, n)
    WHERE w.part = d.part AND w.n = d.n";

/// Reads and clears the parts that a life has.
pub(crate) struct Work {
    client: Client,
    read: Statement,
    clear: Statement,
}

impl Work {
    pub(super) async fn open(config: &Config) -> Result<Self, StoreError> {
        let mut config = config.clone();
        let options = config.get_options().unwrap_or_default().to_owned();
        // What is taken out was handled: should that be lost with the power, the inbox knows it.
        config.options(format!("{options} -c synchronous_commit=off"));
        let client = connect(&config).await?;
        let prepared = futures_util::future::try_join(client.prepare(READ), client.prepare(CLEAR)).await;
        let (read, clear) = prepared.map_err(read_error)?;
        Ok(Self { client, read, clear })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The next rows of each of these parts, behind a place each.
    pub(crate) async fn read(&self, after: &[(i64, i64)], each: i64) -> Result<Vec<Waiting>, StoreError> {
        let (parts, places): (Vec<i64>, Vec<i64>) = after.iter().copied().unzip();
        let rows = self.client.query(&self.read, &[&parts, &places, &each]).await.map_err(read_error)?;
        let read = |row: &tokio_postgres::Row| {
            Ok(Waiting { part: row.try_get(0)?, n: row.try_get(1)?, attempts: row.try_get(2)?, event: row.try_get(3)? })
        };
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(read_error)
    }

    /// Takes rows out whose events are handled.
    pub(crate) async fn clear(&self, rows: &[(i64, i64)]) -> Result<(), StoreError> {
        let (parts, places): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
        self.client.execute(&self.clear, &[&parts, &places]).await.map(drop).map_err(read_error)
    }

    /// Notes how often each was tried.
    pub(crate) async fn tried(&self, rows: &[(i64, i64, i64)]) -> Result<(), StoreError> {
        let parts: Vec<i64> = rows.iter().map(|row| row.0).collect();
        let places: Vec<i64> = rows.iter().map(|row| row.1).collect();
        let attempts: Vec<i64> = rows.iter().map(|row| row.2).collect();
        let sql = "UPDATE kit_work w SET attempts = d.attempts
                   FROM unnest($1::BIGINT[], $2::BIGINT[], $3::BIGINT[]) AS d (part, n, attempts)
                   WHERE w.part = d.part AND w.n = d.n";
        self.client.execute(sql, &[&parts, &places, &attempts]).await.map(drop).map_err(read_error)
    }

    /// The number of a new term of sorting: greater than any before, also of lives that began later, and after the server's kill.
    /// A connection where this fails is not to be used any more.
    pub(crate) async fn term(&self) -> Result<i64, StoreError> {
        let sql =
            "BEGIN; SET LOCAL synchronous_commit = on; UPDATE kit_token SET last = last + 1 RETURNING last; COMMIT";
        let told = self.client.simple_query(sql).await.map_err(read_error)?;
        let rows =
            told.iter().filter_map(|said| if let SimpleQueryMessage::Row(row) = said { row.get(0) } else { None });
        let term = rows.last().and_then(|term| term.parse().ok());
        term.ok_or_else(|| StoreError::Row("the number of a term can't be read".into()))
    }

    /// How many rows wait, and how many bytes they have.
    pub(crate) async fn size(&self) -> Result<(i64, i64), StoreError> {
        let sql = "SELECT COUNT(*), COALESCE(SUM(pg_column_size(event)), 0)::BIGINT FROM kit_work";
        let row = self.client.query_one(sql, &[]).await.map_err(read_error)?;
        Ok((row.try_get(0).map_err(read_error)?, row.try_get(1).map_err(read_error)?))
    }
}
