//! What all batches of a worker share.

use std::sync::{Arc, OnceLock};

use headwater_event::{Clock, Event};

use crate::ids::Namer;
use crate::service::Service;

/// What all batches of a worker share.
pub(crate) struct Context {
    pub(crate) service: Arc<Service>,
    /// Known once the first batch has run.
    pub(crate) namer: OnceLock<Namer>,
    pub(crate) clock: Clock,
    /// Where parked events go whose time is over.
    pub(crate) late_topic: String,
}

impl Context {
    /// What an event is about.
    pub(crate) fn key_of(&self, event: &Event) -> Option<Box<str>> {
        // A panic in it must not end the worker.
        let key_of = self.service.key_of.as_ref()?;
        let key = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| key_of(event)));
        key.ok().flatten().map(String::into_boxed_str)
    }
}
