//! One text of SQL for both engines.

/// A statement with parameters `$1` to `$n`, each used for the first time in ascending order, so that both engines number
/// them alike. Keep it in a `static`: it's prepared once a connection and found again by its address.
///
/// ```
/// use headwater_service::Statement;
/// static TAKE: Statement =
///     Statement::new("UPDATE product SET balance = balance - $1 WHERE id = $2 AND balance >= $1");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    sql: &'static str,
}

impl Statement {
    /// A statement with this text.
    #[must_use]
    pub const fn new(sql: &'static str) -> Self {
        Self { sql }
    }

    /// Its text.
    #[must_use]
    pub const fn sql(&self) -> &'static str {
        self.sql
    }

    /// By what a connection finds it again: texts live as long as the program, so place and length name one.
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.sql.as_ptr().addr(), self.sql.len())
    }
}

/// A step in the life of a service's tables, carried out once, in a transaction of its own.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its name, which is also its place: `001_products`, `002_orders`. Never changed once it ran somewhere.
    pub name: &'static str,
    /// SQL that both engines read: types `BIGINT`, `TEXT`, `DOUBLE PRECISION`, `BYTEA`.
    pub sql: &'static str,
}
