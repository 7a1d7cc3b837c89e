//! A disk whose syncs take longer, to measure what a slow disk does to everything above it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Disk, DiskFile};

/// A disk like another one, but each sync takes this much longer.
pub struct SlowDisk {
    inner: Arc<dyn Disk>,
    sync_delay: Duration,
}

impl SlowDisk {
    /// A slower view of a disk.
    #[must_use]
    pub fn new(inner: Arc<dyn Disk>, sync_delay: Duration) -> Self {
        Self { inner, sync_delay }
    }

    fn slow(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(SlowFile { inner: file, sync_delay: self.sync_delay })
    }
}

impl Disk for SlowDisk {
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.inner.open(name, write).map(|file| self.slow(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.inner.create(name).map(|file| self.slow(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.inner.sync_folder()
    }

    fn lock(&self, name: &str) -> io::Result<Option<Arc<dyn DiskFile>>> {
        self.inner.lock(name)
    }

    fn is_locked(&self, name: &str) -> io::Result<bool> {
        self.inner.is_locked(name)
    }

    fn folder(&self) -> String {
        self.inner.folder()
    }
}

struct SlowFile {
    inner: Arc<dyn DiskFile>,
    sync_delay: Duration,
}

impl DiskFile for SlowFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(self.sync_delay);
        self.inner.sync()
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inner.punch(offset, len)
    }
}
