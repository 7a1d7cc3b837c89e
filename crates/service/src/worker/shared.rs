//! How a worker is, for those who watch it.

use std::sync::{Mutex, PoisonError};

use headwater_event::Health;

/// What a worker and those who watch it share.
#[derive(Default)]
pub(crate) struct Shared {
    trouble: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn health(&self) -> Health {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone().map_or(Health::Good, Health::Failing)
    }

    pub(crate) fn trouble(&self, what: String) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.as_ref() != Some(&what) {
            tracing::warn!("{what}");
            *trouble = Some(what);
        }
    }

    pub(crate) fn good(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
