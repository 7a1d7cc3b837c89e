//! The embedded engine: one durable file, group commit, recovery, sticky index, deduplication, groups.
//!
//! Begin with [`EventLog::open`]. The way of an append is `log` -> `core` -> `intake` (it gets its place) -> `commit` (one
//! write and one sync for all that wait) -> `view` (readers see it); the way back after a crash is `open` -> `recovery` ->
//! `scan`. The format of the file is in `docs/file-format.md`.

mod ahead;
mod beside;
mod checkpoint;
mod chunks;
mod commit;
mod core;
mod derived;
pub mod disk;
mod groups;
mod header;
mod ids;
mod inspect;
mod intake;
mod keeper;
mod log;
mod numbers;
mod open;
mod options;
mod places;
mod readahead;
mod record;
mod recovery;
mod repair;
mod retention;
mod scan;
mod slow;
mod sticky;
mod tail;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod view;

pub use crate::core::Counts;
pub use inspect::{LogReader, LogStat, Report};
pub use log::EventLog;
pub use options::{Damage, OpenError, OpenOptions};
pub use record::{BATCH_LEN_MAX, EVENT_LEN_MAX};
pub use repair::{Repaired, repair, repair_on};
pub use slow::SlowDisk;
