//! The embedded engine keeps the contract of the bus: on a disk that loses what was not synced, under a clock that stands.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_event::contract::{self, Harness};
use headwater_event::{Bus, Clock, Later, Time};
use headwater_eventlog::disk::{Disk, DiskFile};
use headwater_eventlog::{EVENT_LEN_MAX, EventLog, OpenOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_engine_keeps_the_contract_of_the_bus() {
    let declared = contract::run_all(&|| Box::pin(async { Box::new(Embedded::new()) as Box<dyn Harness> })).await;
    // This harness can't make the log free events yet.
    let declared: Vec<_> = declared.into_iter().map(|(name, _)| name).collect();
    let later =
        ["a_tail_before_what_retention_kept_is_told_so", "a_group_that_retention_overtook_is_told_once_and_goes_on"];
    assert_eq!(declared, later, "the embedded engine can do all the rest");
}

struct Embedded {
    log: Arc<EventLog>,
    disk: Arc<Memory>,
    clock: Clock,
}

impl Embedded {
    fn new() -> Self {
        Self::open(Arc::default(), Clock::manual(Time(1_800_000_000_000_000)))
    }

    fn open(disk: Arc<Memory>, clock: Clock) -> Self {
        let mut options = OpenOptions::new("/nowhere");
        options.disk = Some(Arc::clone(&disk) as Arc<dyn Disk>);
        options.clock = clock.clone();
        Self { log: Arc::new(EventLog::open(options).expect("opens")), disk, clock }
    }
}

impl Harness for Embedded {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.log) as Arc<dyn Bus>
    }

    fn crash(&mut self) -> Later<'_, ()> {
        // What the old engine still does in going down happens on the old disk, and is never seen.
        let left = self.disk.after_power_loss();
        *self = Self::open(Arc::new(left), self.clock.clone());
        Box::pin(std::future::ready(()))
    }

    fn pass(&mut self, time: Duration) -> Later<'_, ()> {
        self.clock.advance(time);
        Box::pin(std::future::ready(()))
    }

    fn span(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn fail_storage(&mut self) -> Later<'_, bool> {
        self.disk.failing.store(true, Ordering::SeqCst);
        Box::pin(std::future::ready(true))
    }

    fn close(&mut self) -> Later<'_, bool> {
        let log = Arc::clone(&self.log);
        Box::pin(async move {
            let closed = tokio::task::spawn_blocking(move || log.close()).await;
            closed.expect("closing").expect("closes well");
            true
        })
    }

    fn too_large(&self) -> Option<usize> {
        Some(EVENT_LEN_MAX + 1)
    }
}

/// A folder in memory that knows what was synced.
#[derive(Default)]
struct Memory {
    files: Mutex<HashMap<String, Arc<Mutex<Pages>>>>,
    failing: Arc<AtomicBool>,
}

#[derive(Clone, Default)]
struct Pages {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// What was written since the last sync, as offset and length.
    unsynced: Vec<(usize, usize)>,
}

impl Memory {
    fn after_power_loss(&self) -> Self {
        let files = self.files.lock().unwrap();
        let left = files.iter().map(|(name, file)| {
            let synced = file.lock().unwrap().synced.clone();
            let pages = Pages { bytes: synced.clone(), synced, unsynced: Vec::new() };
            (name.clone(), Arc::new(Mutex::new(pages)))
        });
        Self { files: Mutex::new(left.collect()), failing: Arc::default() }
    }

    fn handle(&self, pages: &Arc<Mutex<Pages>>) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile { pages: Arc::clone(pages), failing: Arc::clone(&self.failing) })
    }
}

impl Disk for Memory {
    fn open(&self, name: &str, _write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let files = self.files.lock().unwrap();
        files.get(name).map(|file| self.handle(file)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.files.lock().unwrap();
        files.insert(name.to_owned(), Arc::default());
        Ok(self.handle(&files[name]))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().unwrap().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _name: &str) -> io::Result<Option<Arc<dyn DiskFile>>> {
        Ok(Some(self.handle(&Arc::default())))
    }

    fn is_locked(&self, _name: &str) -> io::Result<bool> {
        Ok(false)
    }

    fn folder(&self) -> String {
        "memory".into()
    }
}

struct MemoryFile {
    pages: Arc<Mutex<Pages>>,
    failing: Arc<AtomicBool>,
}

impl MemoryFile {
    fn fails(&self) -> io::Result<()> {
        if self.failing.load(Ordering::SeqCst) { Err(io::Error::other("the disk is broken")) } else { Ok(()) }
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let pages = self.pages.lock().unwrap();
        let from = usize::try_from(offset).unwrap().min(pages.bytes.len());
        let len = into.len().min(pages.bytes.len() - from);
        into[..len].copy_from_slice(&pages.bytes[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.fails()?;
        let mut pages = self.pages.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        if pages.bytes.len() < from + bytes.len() {
            pages.bytes.resize(from + bytes.len(), 0);
        }
        pages.bytes[from..from + bytes.len()].copy_from_slice(bytes);
        pages.unsynced.push((from, bytes.len()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.fails()?;
        let pages = &mut *self.pages.lock().unwrap();
        pages.synced.resize(pages.bytes.len(), 0);
        for (from, len) in pages.unsynced.drain(..) {
            pages.synced[from..from + len].copy_from_slice(&pages.bytes[from..from + len]);
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.pages.lock().unwrap().bytes.len() as u64)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut pages = self.pages.lock().unwrap();
        let (from, len) = (usize::try_from(offset).unwrap(), usize::try_from(len).unwrap());
        let until = (from + len).min(pages.bytes.len());
        pages.bytes[from..until].fill(0);
        pages.unsynced.push((from, until - from));
        Ok(())
    }
}
