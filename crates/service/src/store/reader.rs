//! Reading beside the writer.

use std::sync::Arc;

use super::postgres::Pool;
use super::sqlite::Readers;
use super::{Row, Statement, StoreError, Value};

/// Reads a store beside its writer, which it never holds up: it sees what is committed. Clones share a few connections.
#[derive(Clone)]
pub struct Reader(Kind);

#[derive(Clone)]
enum Kind {
    Sqlite(Arc<Readers>),
    Postgres(Arc<Pool>),
}

impl Reader {
    pub(super) const fn sqlite(readers: Arc<Readers>) -> Self {
        Self(Kind::Sqlite(readers))
    }

    pub(super) const fn postgres(pool: Arc<Pool>) -> Self {
        Self(Kind::Postgres(pool))
    }

    /// All rows.
    ///
    /// # Errors
    /// When the statement can't be carried out, it would write, or the store isn't there.
    pub async fn query(&self, statement: &Statement, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        match &self.0 {
            Kind::Sqlite(readers) => readers.query(statement, params).await,
            Kind::Postgres(pool) => pool.query(statement, params).await,
        }
    }

    /// The first row, if there's one.
    ///
    /// # Errors
    /// As for [`query`](Self::query).
    pub async fn query_opt(&self, statement: &Statement, params: &[Value]) -> Result<Option<Row>, StoreError> {
        Ok(self.query(statement, params).await?.into_iter().next())
    }

    pub(super) async fn prepare_all(&self, statements: &[&'static Statement]) -> Result<(), StoreError> {
        match &self.0 {
            Kind::Sqlite(readers) => readers.prepare_all(statements).await,
            Kind::Postgres(pool) => pool.prepare_all(statements).await,
        }
    }
}
