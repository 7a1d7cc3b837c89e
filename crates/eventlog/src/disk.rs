//! The small seam to the disk: one call a batch, so that a test can own what is written, synced and lost.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

/// One folder of files.
pub trait Disk: Send + Sync {
    /// Opens a file that is there, for reading and, if asked, writing. Each call gives its own view of failed syncs:
    /// whoever syncs through one handle can't swallow the error that another one should see.
    ///
    /// # Errors
    /// As the system says; `NotFound` when there is none.
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes an empty file, in place of one by this name.
    ///
    /// # Errors
    /// As the system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, in place of one by the new name.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations and renames durable.
    ///
    /// # Errors
    /// As the system says.
    fn sync_folder(&self) -> io::Result<()>;

    /// Takes the folder for this process alone, by a lock on the file of this name; `None` when another one has it.
    /// The lock ends when the file is dropped, or the process is gone.
    ///
    /// # Errors
    /// As the system says.
    fn lock(&self, name: &str) -> io::Result<Option<Arc<dyn DiskFile>>>;

    /// Whether some process holds the lock on the file of this name. Looking takes it for a moment.
    ///
    /// # Errors
    /// As the system says.
    fn is_locked(&self, name: &str) -> io::Result<bool>;

    /// The folder as a person knows it, for sentences.
    fn folder(&self) -> String;
}

/// One file.
pub trait DiskFile: Send + Sync {
    /// Reads what is there, up to the buffer's length; fewer bytes only at the end of the file.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all of it.
    ///
    /// # Errors
    /// As the system says; part of it may be written then.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes all that was written durable (`fdatasync`).
    ///
    /// # Errors
    /// As the system says. What was written since the last sync may be lost then, whatever a second sync says.
    fn sync(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// As the system says.
    fn size(&self) -> io::Result<u64>;

    /// Gives the space of this range back; it reads as zeros, and nothing moves.
    ///
    /// # Errors
    /// As the system says; `Unsupported` where the file system can't.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;
}

/// A folder of this machine.
pub struct RealDisk {
    folder: PathBuf,
}

impl RealDisk {
    /// The folder, which is made when there is none.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn new(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// A folder that must be there, for those who only read.
    #[must_use]
    pub fn existing(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(write).open(self.path(name))?)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn lock(&self, name: &str) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let path = self.path(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Arc::new(RealFile(file)))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn is_locked(&self, name: &str) -> io::Result<bool> {
        let file = match File::open(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    fn folder(&self) -> String {
        self.folder.display().to_string()
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match self.0.read_at(&mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        // Not `sync_data`: that one tries again when interrupted, which is right for EINTR alone, and so is this.
        loop {
            match rustix::fs::fdatasync(&self.0) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.map_err(Into::into),
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        fallocate(&self.0, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len).map_err(|error| {
            if error == rustix::io::Errno::OPNOTSUPP { io::ErrorKind::Unsupported.into() } else { error.into() }
        })
    }
}
