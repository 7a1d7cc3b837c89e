//! What handlers asked for beside their own statements, kept in memory until their call went well.

use headwater_event::{Publication, Time};

/// How much one call may publish.
pub(crate) const PUBLISHED_PER_CALL_MAX: usize = 1_024;

/// How many bytes of payload one call may publish.
pub(crate) const PUBLISHED_BYTES_PER_CALL_MAX: usize = 8 << 20;

/// How many things one call may say to have arrived.
pub(crate) const ARRIVED_PER_CALL_MAX: usize = 1_024;

/// How many timers one call may set and clear.
pub(crate) const TIMERS_PER_CALL_MAX: usize = 1_024;

/// What one call asked for.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) outgoing: Vec<Publication>,
    pub(crate) outgoing_bytes: usize,
    pub(crate) arrived: Vec<String>,
    pub(crate) timers: Vec<TimerChange>,
}

/// What is to become of a timer.
pub(crate) enum TimerChange {
    Set { name: &'static str, key: String, due: Time, payload: Vec<u8>, origin: [u8; 16] },
    Clear { name: &'static str, key: String },
}
