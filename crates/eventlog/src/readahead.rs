//! A file read ahead of its scan by a thread of its own, so that one core copies from the system while another checks.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::disk::DiskFile;

/// How much is read with one call: large enough that the call costs nothing, small enough to stay in the cache.
pub(crate) const BLOCK_LEN: usize = 1 << 20;

/// Room in front of a block for the beginning of a batch that ends in it, so that the two stand together without the
/// block being copied: as much as a batch under full load has.
pub(crate) const FRONT_LEN: usize = 512 << 10;

/// How many blocks are on their way: one is checked, one waits, one is being read.
const BLOCKS: usize = 3;

/// One block: `FRONT_LEN` bytes of room, then what the file has.
pub(crate) struct Block {
    pub bytes: Vec<u8>,
    /// Where what was read ends in `bytes`; the end of the file where the block isn't full.
    pub end: usize,
}

/// The blocks of a file in their order.
pub(crate) struct ReadAhead {
    filled: Receiver<io::Result<Block>>,
    free: SyncSender<Vec<u8>>,
    /// Where the next block begins in the file.
    pub next: u64,
}

impl ReadAhead {
    /// Begins to read a file from this place on, up to `len`.
    pub(crate) fn begin(file: Arc<dyn DiskFile>, offset: u64, len: u64) -> io::Result<Self> {
        let (filled_in, filled) = sync_channel(BLOCKS);
        let (free, free_out) = sync_channel(BLOCKS);
        for _ in 0..BLOCKS {
            let _ = free.send(Vec::new());
        }
        let read = move || read_all(&*file, offset, len, &filled_in, &free_out);
        std::thread::Builder::new().name("headwater-read".into()).spawn(read)?;
        Ok(Self { filled, free, next: offset })
    }

    /// The next block; `None` behind the last.
    pub(crate) fn take(&mut self) -> io::Result<Option<Block>> {
        let Ok(block) = self.filled.recv() else { return Ok(None) };
        let block = block?;
        self.next += (block.end - FRONT_LEN) as u64;
        Ok(Some(block))
    }

    /// Gives a block's memory back to be filled again.
    pub(crate) fn give(&self, bytes: Vec<u8>) {
        // There is room for as many as there are. When all is read nobody wants it.
        let _ = self.free.send(bytes);
    }
}

/// Reads until the end, an error, or nobody takes what is read any more.
fn read_all(
    file: &dyn DiskFile,
    mut at: u64,
    len: u64,
    filled: &SyncSender<io::Result<Block>>,
    free: &Receiver<Vec<u8>>,
) {
    while at < len {
        let Ok(mut bytes) = free.recv() else { return };
        bytes.resize(FRONT_LEN + BLOCK_LEN, 0);
        let want = usize::try_from(len - at).unwrap_or(usize::MAX).min(BLOCK_LEN);
        let read = file.read_at(at, &mut bytes[FRONT_LEN..FRONT_LEN + want]);
        let is_last = !matches!(read, Ok(read) if read == want);
        at += want as u64;
        if filled.send(read.map(|read| Block { bytes, end: FRONT_LEN + read })).is_err() || is_last {
            return;
        }
    }
}
