//! What a running server tells those who read its file beside it: how far the file is durable.
//!
//! It stands in the lock file, which is never synced: it counts only while the lock is held.

use headwater_event::Seq;

use crate::disk::DiskFile;
use crate::header::{Identity, number};

/// The file that is locked, and holds the note.
pub(crate) const LOCK_NAME: &str = "events.lock";

const LEN: usize = 28;

/// Tells how far the file is durable now. Best effort: if it fails, readers beside us see less than there is.
pub(crate) fn tell(lock: &dyn DiskFile, identity: &Identity, end: u64, head: Seq) {
    let mut note = [0; LEN];
    note[..8].copy_from_slice(&identity.tag.to_be_bytes());
    note[8..16].copy_from_slice(&end.to_be_bytes());
    note[16..24].copy_from_slice(&head.to_be_bytes());
    let crc = crc32c::crc32c(&note[..24]);
    note[24..].copy_from_slice(&crc.to_be_bytes());
    if let Err(error) = lock.write_at(0, &note) {
        tracing::debug!(%error, "the note for readers beside the server could not be written");
    }
}

/// How far the file of the running server is durable; `None` when the note is torn just now, or of another log.
pub(crate) fn told(lock: &dyn DiskFile, identity: &Identity) -> Option<(u64, Seq)> {
    let mut note = [0; LEN];
    lock.read_at(0, &mut note).ok()?;
    let field = |at| number::<8>(&note, at).map(u64::from_be_bytes);
    let crc = number::<4>(&note, 24).map(u32::from_be_bytes)?;
    (crc32c::crc32c(&note[..24]) == crc && field(0)? == identity.tag).then_some(())?;
    Some((field(8)?, field(16)?))
}
