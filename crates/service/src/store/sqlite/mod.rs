//! SQLite: one file a service, one thread that writes, a few that read.

mod intake;
mod read;
mod session;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

pub(crate) use self::read::Readers;
pub(crate) use self::session::Writes;
pub(crate) use self::writer::Job;
use self::writer::Writer;
use super::{Pulse, StoreError};

/// How long a statement waits for another program that holds the file, before the whole transaction is tried again later.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// After how many pages of 4 KiB the write-ahead log is carried over into the file: 16 MiB, once in some 10,000 small
/// transactions, as a batch waits for it.
const CHECKPOINT_PAGES: u32 = 4_096;

/// Memory for pages of one connection, in KiB.
const CACHE_KIB: u32 = 16 * 1_024;

/// The file of one service, and its threads.
pub(crate) struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
}

impl Sqlite {
    /// Opens the file, and makes it when there's none; its threads begin with the first work.
    pub(super) async fn open(folder: &Path, name: &str, pulse: &Arc<Pulse>) -> Result<Self, StoreError> {
        let place = Arc::new(Place { path: folder.join(format!("{name}.sqlite")), name: name.to_owned() });
        let (folder, made) = (folder.to_path_buf(), Arc::clone(&place));
        let opened = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&folder)
                .map_err(|error| StoreError::Unavailable(format!("can't make {}: {error}", folder.display())))?;
            made.connect().map(drop)
        });
        opened.await.map_err(|error| StoreError::Unavailable(error.to_string()))??;
        Ok(Self { writer: Writer::new(Arc::clone(&place), Arc::clone(pulse)), readers: Arc::new(Readers::new(place)) })
    }

    pub(super) fn readers(&self) -> Arc<Readers> {
        Arc::clone(&self.readers)
    }

    pub(super) const fn writer(&self) -> &Writer {
        &self.writer
    }
}

/// Where a store's file is.
pub(super) struct Place {
    path: PathBuf,
    name: String,
}

impl Place {
    /// A connection that writes what it says it wrote.
    fn connect(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = || -> Result<Connection, rusqlite::Error> {
            let conn = Connection::open_with_flags(&self.path, flags)?;
            conn.busy_timeout(BUSY_WAIT)?;
            conn.pragma_update(None, "journal_mode", "WAL")?;
            // FULL: a commit is on the disk when it returns, not only in order.
            conn.pragma_update(None, "synchronous", "FULL")?;
            conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            conn.pragma_update(None, "cache_size", -i64::from(CACHE_KIB))?;
            conn.pragma_update(None, "foreign_keys", true)?;
            Ok(conn)
        };
        opened().map_err(|error| match read_error(error) {
            StoreError::Unavailable(why) | StoreError::Statement(why) => {
                StoreError::Unavailable(format!("can't open {}: {why}", self.path.display()))
            }
            other => other,
        })
    }

    /// A connection that can't write.
    fn connect_reader(&self) -> Result<Connection, StoreError> {
        let conn = self.connect()?;
        conn.pragma_update(None, "query_only", true).map_err(read_error)?;
        Ok(conn)
    }
}

/// What SQLite said, sorted by what can be done about it.
pub(super) fn read_error(error: rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, text) = &error else {
        return StoreError::Statement(error.to_string());
    };
    let text = text.clone().unwrap_or_else(|| failure.to_string());
    match failure.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            StoreError::Busy("another program holds the file".into())
        }
        ErrorCode::DiskFull => StoreError::Unavailable("no space on the disk".into()),
        ErrorCode::ConstraintViolation => StoreError::Constraint(text),
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::OutOfMemory
        | ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NoLargeFileSupport => StoreError::Unavailable(text),
        _ => StoreError::Statement(text),
    }
}
