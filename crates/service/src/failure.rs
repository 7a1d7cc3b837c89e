//! A handler's word to its worker when it could not do its work.

use crate::store::StoreError;

/// Why an event was not handled; whatever the handler had changed is undone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Trying again later may help. After the last attempt the event becomes a dead letter with this reason.
    #[error("to be tried again: {why}")]
    Retry {
        /// Why.
        why: String,
    },
    /// Trying again can't help: a dead letter at once.
    #[error("given up: {why}")]
    Dead {
        /// Why.
        why: String,
    },
    /// Something has to happen first. The event is put aside until a handler says that it
    /// [arrived](crate::Tx::arrived), or becomes a dead letter after `early_wait_max`.
    #[error("too early: waits for {waits_for}")]
    Early {
        /// The name of what it waits for, as the one who brings it will say it: `order/17`.
        waits_for: String,
    },
}

impl Failure {
    /// Trying again later may help.
    pub fn retry(why: impl Into<String>) -> Self {
        Self::Retry { why: why.into() }
    }

    /// Trying again can't help.
    pub fn dead(why: impl Into<String>) -> Self {
        Self::Dead { why: why.into() }
    }

    /// This has to happen first.
    pub fn early(waits_for: impl Into<String>) -> Self {
        Self::Early { waits_for: waits_for.into() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let why = error.to_string();
        if error.is_passing() { Self::Retry { why } } else { Self::Dead { why } }
    }
}
