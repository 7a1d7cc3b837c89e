//! A writer's connection of either engine, as one commit sees it.
//!
//! The same story runs on both. On SQLite nothing here ever waits. On PostgreSQL what needs no answer (`SAVEPOINT`, `RELEASE`,
//! the kit's own notes) is put off and sent in front of the next statement that does, so it costs no round trip of its own.

use super::postgres::Session;
use super::sqlite::Writes;
use super::{Row, Statement, StoreError, Value};

/// A connection that writes, within a transaction.
pub(crate) enum Engine<'a> {
    Sqlite(&'a mut (dyn Writes + 'a)),
    Postgres(&'a mut Session),
}

impl Engine<'_> {
    /// The same for a shorter time.
    pub(crate) fn reborrow(&mut self) -> Engine<'_> {
        match self {
            Self::Sqlite(sqlite) => Engine::Sqlite(&mut **sqlite),
            Self::Postgres(session) => Engine::Postgres(session),
        }
    }

    /// Whether transactions of all writers stand one after the other: what isn't seen in one didn't happen before it.
    pub(crate) const fn is_serial(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// From here on statements belong to one call, until [`keep`](Self::keep) or [`undo`](Self::undo).
    pub(crate) fn mark(&mut self) {
        match self {
            Self::Sqlite(sqlite) => sqlite.mark(),
            Self::Postgres(session) => session.mark(),
        }
    }

    /// What was done since the mark stays.
    pub(crate) fn keep(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.keep(),
            Self::Postgres(session) => session.keep(),
        }
    }

    /// What was done since the mark is undone.
    pub(crate) fn undo(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.undo(),
            Self::Postgres(session) => session.undo(),
        }
    }

    pub(crate) async fn execute(&mut self, statement: &Statement, params: &[Value]) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.execute(statement, params),
            Self::Postgres(session) => session.execute(statement, params).await,
        }
    }

    pub(crate) async fn query(&mut self, statement: &Statement, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.query(statement, params),
            Self::Postgres(session) => session.query(statement, params).await,
        }
    }

    /// Carries out a statement of the kit whose answer nobody needs; a failure of it is one of the whole transaction.
    pub(crate) async fn note(&mut self, statement: &Statement, params: Vec<Value>) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.execute(statement, &params).map(drop),
            Self::Postgres(session) => session.note(statement, params).await,
        }
    }

    /// Notes these ids as handled, and says of each whether that is news. An id that stands twice is news once.
    pub(crate) async fn claim(&mut self, ids: &[Vec<u8>], at: i64) -> Result<Vec<bool>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => crate::inbox::claim_each(*sqlite, ids, at),
            Self::Postgres(session) => session.claim(ids, at).await,
        }
    }
}
