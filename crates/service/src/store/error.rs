//! Why a store could not do what was asked.

/// Why a store could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else holds what is needed; the same again may go well (locked file, deadlock, serialization).
    #[error("the store is busy: {0}")]
    Busy(String),
    /// The store can't be reached or can't write (connection lost, disk full, I/O error); it may come back.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The server says no until somebody has changed something: a wrong password, no such database, a server that is too
    /// old. Only told at the start; a store that was reached once is [`Unavailable`](Self::Unavailable) at most.
    #[error("the store refuses us: {0}")]
    Refused(String),
    /// A rule of a table said no.
    #[error("a rule of the tables was broken: {0}")]
    Constraint(String),
    /// The statement can't be carried out: wrong SQL, wrong number or kind of parameters.
    #[error("the statement can't be carried out: {0}")]
    Statement(String),
    /// A row is not what the code expected.
    #[error("a row is not as expected: {0}")]
    Row(String),
    /// The URL of a store can't be read.
    #[error("{0}")]
    Url(String),
    /// The migrations don't fit the store.
    #[error("{0}")]
    Migration(String),
    /// This process was silent for too long: others do its work, and nothing of it may be written any more.
    #[error("others have taken this process's place")]
    Fenced,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether it lies with the store and not with what was asked: then the whole transaction is tried again later.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Unavailable(_) | Self::Fenced | Self::Closed)
    }
}
