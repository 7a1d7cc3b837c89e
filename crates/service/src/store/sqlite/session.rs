//! A connection with its prepared statements, and what one call did on it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use super::read_error;
use crate::store::{Row, Statement, StoreError, Value};

/// The most rows of one answer: what needs more is read in pages.
const ROWS_MAX: usize = 100_000;

/// The most statements kept prepared; a program has some hundred.
const PREPARED_MAX: usize = 1_024;

static BEGIN: Statement = Statement::new("BEGIN IMMEDIATE");
static COMMIT: Statement = Statement::new("COMMIT");
static ROLLBACK: Statement = Statement::new("ROLLBACK");
static MARK: Statement = Statement::new("SAVEPOINT call");
static KEEP: Statement = Statement::new("RELEASE call");
static UNDO: Statement = Statement::new("ROLLBACK TO call");

/// What a connection that writes can do; the lifetime of its statements stays behind it.
pub(crate) trait Writes {
    fn execute(&mut self, statement: &Statement, params: &[Value]) -> Result<u64, StoreError>;
    fn query(&mut self, statement: &Statement, params: &[Value]) -> Result<Vec<Row>, StoreError>;
    fn mark(&mut self);
    fn keep(&mut self) -> Result<(), StoreError>;
    fn undo(&mut self) -> Result<(), StoreError>;
}

/// Whether a call's statements can be undone without those before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// No call is under way.
    None,
    /// One is, and has changed nothing yet: most that only read or publish never need a savepoint.
    Wanted,
    /// Its savepoint is set.
    Set,
}

/// A connection and what is prepared on it.
pub(super) struct Session<'c> {
    conn: &'c Connection,
    prepared: HashMap<(usize, usize), rusqlite::Statement<'c>>,
    mark: Mark,
    is_reader: bool,
}

impl<'c> Session<'c> {
    pub(super) fn new(conn: &'c Connection) -> Self {
        Self { conn, prepared: HashMap::new(), mark: Mark::None, is_reader: false }
    }

    pub(super) fn reader(conn: &'c Connection) -> Self {
        Self { is_reader: true, ..Self::new(conn) }
    }

    pub(super) const fn conn(&self) -> &'c Connection {
        self.conn
    }

    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        self.mark = Mark::None;
        self.run(&BEGIN, &[]).map(drop)
    }

    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        self.run(&COMMIT, &[]).map(drop)
    }

    /// Undoes the transaction, unless SQLite has done so itself (disk full, I/O error).
    pub(super) fn rollback(&mut self) -> Result<(), StoreError> {
        self.mark = Mark::None;
        if self.conn.is_autocommit() {
            return Ok(());
        }
        self.run(&ROLLBACK, &[]).map(drop)
    }

    /// A statement, prepared and with its parameters.
    fn bound(&mut self, statement: &Statement, params: &[Value]) -> Result<&mut rusqlite::Statement<'c>, StoreError> {
        if self.prepared.len() >= PREPARED_MAX {
            self.prepared.clear();
        }
        let prepared = match self.prepared.entry(statement.mark()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(prepare(self.conn, statement)?),
        };
        if prepared.parameter_count() != params.len() {
            let (wants, has) = (prepared.parameter_count(), params.len());
            return Err(StoreError::Statement(format!(
                "it wants {wants} parameters and has {has}: {}",
                statement.sql()
            )));
        }
        for (at, value) in params.iter().enumerate() {
            prepared.raw_bind_parameter(at + 1, value).map_err(read_error)?;
        }
        Ok(prepared)
    }

    fn run(&mut self, statement: &Statement, params: &[Value]) -> Result<u64, StoreError> {
        let rows = self.bound(statement, params)?.raw_execute().map_err(|error| match error {
            rusqlite::Error::ExecuteReturnedResults => {
                StoreError::Statement(format!("it gives rows, so it must be queried: {}", statement.sql()))
            }
            error => read_error(error),
        })?;
        Ok(rows as u64)
    }

    fn rows(&mut self, statement: &Statement, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        let is_reader = self.is_reader;
        let prepared = self.bound(statement, params)?;
        if is_reader && !prepared.readonly() {
            return Err(StoreError::Statement(format!("a reader can't write: {}", statement.sql())));
        }
        let columns = prepared.column_count();
        let mut found = prepared.raw_query();
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(read_error)? {
            if rows.len() == ROWS_MAX {
                return Err(StoreError::Statement(format!("more than {ROWS_MAX} rows: {}", statement.sql())));
            }
            let mut values = Vec::with_capacity(columns);
            for column in 0..columns {
                values.push(value_of(row.get_ref(column).map_err(read_error)?)?);
            }
            rows.push(Row::new(values));
        }
        Ok(rows)
    }

    /// Sets the savepoint that a call wants, before it changes anything.
    fn set_mark(&mut self) -> Result<(), StoreError> {
        if self.mark == Mark::Wanted {
            self.run(&MARK, &[])?;
            self.mark = Mark::Set;
        }
        Ok(())
    }
}

impl Writes for Session<'_> {
    fn execute(&mut self, statement: &Statement, params: &[Value]) -> Result<u64, StoreError> {
        self.set_mark()?;
        self.run(statement, params)
    }

    fn query(&mut self, statement: &Statement, params: &[Value]) -> Result<Vec<Row>, StoreError> {
        if self.mark == Mark::Wanted && !self.bound(statement, params)?.readonly() {
            self.set_mark()?;
        }
        self.rows(statement, params)
    }

    fn mark(&mut self) {
        self.mark = Mark::Wanted;
    }

    fn keep(&mut self) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.mark, Mark::None) == Mark::Set {
            self.run(&KEEP, &[])?;
        }
        Ok(())
    }

    fn undo(&mut self) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.mark, Mark::None) == Mark::Set {
            self.run(&UNDO, &[])?;
            self.run(&KEEP, &[])?;
        }
        Ok(())
    }
}

/// Prepares a statement, and sees to it that its parameters are numbered as PostgreSQL numbers them.
pub(super) fn prepare<'c>(conn: &'c Connection, statement: &Statement) -> Result<rusqlite::Statement<'c>, StoreError> {
    let prepared = conn.prepare(statement.sql()).map_err(read_error)?;
    for at in 1..=prepared.parameter_count() {
        if prepared.parameter_name(at) != Some(&format!("${at}")) {
            return Err(StoreError::Statement(format!(
                "its parameters must be $1, $2 and so on, each used for the first time in this order: {}",
                statement.sql()
            )));
        }
    }
    Ok(prepared)
}

pub(super) fn value_of(value: ValueRef<'_>) -> Result<Value, StoreError> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| StoreError::Row("a text isn't UTF-8".into()))?;
            Value::Text(text.to_owned())
        }
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}
