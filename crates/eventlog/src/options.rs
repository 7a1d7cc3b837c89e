//! What can be set of the log, and why it can't be opened.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_event::{Clock, Seq};

use crate::disk::Disk;

/// How a log is opened; all but the folder has a default.
#[derive(Clone)]
pub struct OpenOptions {
    /// The folder of `events.log`; made when there is none.
    pub folder: PathBuf,
    /// Where the time comes from.
    pub clock: Clock,
    /// How many event ids are remembered, to recognise a resent event; 0 = none. 32 bytes each.
    pub ids_max: usize,
    /// For how long an event id is remembered.
    pub ids_age_max: Duration,
    /// How many bytes of log the file keeps at the most; `None` = all.
    pub retain_bytes: Option<u64>,
    /// For how long events are kept; `None` = for ever.
    pub retain_age: Option<Duration>,
    /// After how many bytes of log a checkpoint is taken at the earliest.
    pub checkpoint_bytes: u64,
    /// How many bytes of zeros are kept ahead of the writer at the most.
    pub ahead_bytes: u64,
    /// A disk to use in place of the folder's own, for tests and measurements.
    pub disk: Option<Arc<dyn Disk>>,
    /// Whether threads write, fill up and take checkpoints. Without them every append is committed on its caller's
    /// thread and the rest is left to [`crate::EventLog::checkpoint`] and the like, so that a test owns each step.
    pub threads: bool,
}

impl OpenOptions {
    /// The defaults for a log in this folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            clock: Clock::system(),
            // An hour of 277 events/s, in 32 MiB.
            ids_max: 1_000_000,
            ids_age_max: Duration::from_secs(86_400),
            retain_bytes: None,
            retain_age: None,
            // Read back and checked in some 25 ms.
            checkpoint_bytes: 64 << 20,
            // 200 ms at 300 MB/s.
            ahead_bytes: 64 << 20,
            disk: None,
            threads: true,
        }
    }
}

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder.
    #[error("the data folder {folder} is in use by another process")]
    Locked {
        /// The folder.
        folder: String,
    },
    /// The system refused something.
    #[error("can't {what} in {folder}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The folder.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is none of ours, or of another version.
    #[error("can't read {folder}/events.log: {why}")]
    Foreign {
        /// The folder.
        folder: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no log in the folder.
    #[error("there is no log in {folder}")]
    Missing {
        /// The folder.
        folder: String,
    },
    /// Bytes that had been acknowledged can't be read.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Bytes of the log that had been made durable, and don't check any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The folder.
    pub folder: String,
    /// Where it begins in the file.
    pub offset: u64,
    /// Where the log goes on; the end of what was durable when nothing follows.
    pub until: u64,
    /// The last event before it.
    pub before: Seq,
    /// The first event that can be read behind it, if there's one.
    pub after: Option<Seq>,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { folder, offset, until, before, after } = self;
        write!(f, "{folder}/events.log is damaged: bytes {offset} to {until} don't check, after event {before}")?;
        match after {
            Some(after) => write!(f, " and before event {after}")?,
            None => write!(f, ", and nothing that can be read follows")?,
        }
        write!(
            f,
            ". Nothing was changed. `headwater log verify` lists all damage; restore the file from a copy, or run \
             `headwater log repair`, which moves the damaged bytes to a file beside it and keeps all the rest"
        )
    }
}

impl std::error::Error for Damage {}
