//! A disk in memory, so that a damaged file costs no I/O.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater_eventlog::disk::{Disk, DiskFile};

/// The longest file in bytes: a damaged length must not take the machine's memory by way of this disk.
const FILE_LEN_MAX: u64 = 64 << 20;

/// A folder; clones are the same folder.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<BTreeMap<String, Arc<MemoryFile>>>>);

#[derive(Default)]
struct MemoryFile(Mutex<Vec<u8>>);

impl MemoryDisk {
    /// A folder with one file.
    #[must_use]
    pub fn with(name: &str, bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.files().insert(name.into(), Arc::new(MemoryFile(Mutex::new(bytes))));
        disk
    }

    /// What a file holds.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.files().get(name).map(|file| file.bytes().clone()).unwrap_or_default()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Arc<MemoryFile>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> io::Result<Arc<MemoryFile>> {
        self.files().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str, _: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.find(name)?)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = Arc::new(MemoryFile::default());
        self.files().insert(name.into(), file.clone());
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.files().remove(from).ok_or(io::ErrorKind::NotFound)?;
        self.files().insert(to.into(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<Option<Arc<dyn DiskFile>>> {
        Ok(Some(match self.find(name) {
            Ok(file) => file,
            Err(_) => self.create(name)?,
        }))
    }

    fn is_locked(&self, _: &str) -> io::Result<bool> {
        Ok(false)
    }

    fn folder(&self) -> String {
        "memory".into()
    }
}

impl MemoryFile {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.bytes();
        let from = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        let len = into.len().min(bytes.len() - from);
        into[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, new: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(new.len() as u64).filter(|end| *end <= FILE_LEN_MAX);
        let Some(end) = end.and_then(|end| usize::try_from(end).ok()) else {
            return Err(io::ErrorKind::StorageFull.into());
        };
        let mut bytes = self.bytes();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[end - new.len()..end].copy_from_slice(new);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn punch(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
