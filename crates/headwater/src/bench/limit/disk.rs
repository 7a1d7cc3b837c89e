//! The yardstick's file: a ring of space that has been written once, so that a sync never has to commit file metadata.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Written at once while the ring is made, in bytes.
const FILL_LEN: usize = 4 << 20;

/// The ring. It forgets what it overwrites: a yardstick need not keep, only write and sync as a log does at its best.
#[derive(Debug)]
pub struct Ring {
    file: File,
    len: u64,
    at: u64,
}

impl Ring {
    /// Makes the file and writes zeros over the whole of it.
    ///
    /// # Errors
    /// When the folder can't be made or the file can't be written.
    pub fn create(folder: &Path, len: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("limit.ring");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        let zeros = vec![0; FILL_LEN];
        let mut at = 0;
        while at < len {
            file.write_all_at(&zeros, at)?;
            at += FILL_LEN as u64;
        }
        file.sync_all()?;
        Ok(Self { file, len: at, at: 0 })
    }

    /// Writes a batch behind the last one and waits until it is on disk.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        if self.at + batch.len() as u64 > self.len {
            self.at = 0;
        }
        self.file.write_all_at(batch, self.at)?;
        self.at += batch.len() as u64;
        self.file.sync_data()
    }
}
