//! The embedded engine keeps the contract of the bus: on a disk that loses what was not synced, under a clock that stands.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_event::contract::{self, Harness};
use headwater_event::{Bus, Clock, Later, Seq, Time};
use headwater_eventlog::disk::{Disk, DiskFile};
use headwater_eventlog::{EVENT_LEN_MAX, EventLog, OpenOptions};

use crate::kit::event;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_engine_keeps_the_contract_of_the_bus() {
    let declared = contract::run_all(&|| Box::pin(async { Box::new(Embedded::new(true)) as Box<dyn Harness> })).await;
    // When its own threads keep house, a test can't say when they free events.
    let declared: Vec<_> = declared.into_iter().map(|(name, _)| name).collect();
    let by_hand =
        ["a_tail_before_what_retention_kept_is_told_so", "a_group_that_retention_overtook_is_told_once_and_goes_on"];
    assert_eq!(declared, by_hand, "the embedded engine can do all the rest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_engine_without_threads_of_its_own_keeps_it_too() {
    // What nobody waits for is written with the next that somebody does; there's no thread to do it sooner.
    let needs_a_thread = "settling_does_not_wait_for_being_polled";
    for case in contract::cases().into_iter().filter(|case| case.name != needs_a_thread) {
        let make = || -> Later<'static, _> { Box::pin(async { Box::new(Embedded::new(false)) as Box<dyn Harness> }) };
        assert_eq!(contract::run(case, &make).await, contract::Outcome::Kept, "{}", case.name);
    }
}

#[tokio::test]
async fn who_comes_while_another_caller_commits_is_answered_without_a_writers_thread() {
    let harness = Embedded::new(false);
    let (tell, told) = tokio::sync::oneshot::channel();
    let log = Arc::clone(&harness.log);
    *harness.disk.during_sync.lock().unwrap() = Some(Box::new(move || {
        // It finds a commit under way, and nobody else comes after it.
        assert!(tell.send(log.append(vec![event("2", "t", "second")])).is_ok());
    }));
    harness.log.append(vec![event("1", "t", "first")]).await.expect("appended");
    let second = told.await.expect("called");
    let receipts = tokio::time::timeout(Duration::from_secs(20), second).await.expect("waits for ever");
    assert_eq!(receipts.expect("appended").get(0).position.seq, 2);
}

/// What is kept of the log when a case has it freed: of the 8 MB that those cases write, the last three.
const RETAIN_BYTES: u64 = 3_000_000;

struct Embedded {
    log: Arc<EventLog>,
    disk: Arc<Memory>,
    clock: Clock,
    threads: bool,
}

impl Embedded {
    fn new(threads: bool) -> Self {
        Self::open(Arc::default(), Clock::manual(Time(1_800_000_000_000_000)), threads)
    }

    fn open(disk: Arc<Memory>, clock: Clock, threads: bool) -> Self {
        let mut options = OpenOptions::new("/nowhere");
        options.disk = Some(Arc::clone(&disk) as Arc<dyn Disk>);
        options.clock = clock.clone();
        options.threads = threads;
        options.retain_bytes = (!threads).then_some(RETAIN_BYTES);
        Self { log: Arc::new(EventLog::open(options).expect("opens")), disk, clock, threads }
    }
}

impl Harness for Embedded {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.log) as Arc<dyn Bus>
    }

    fn crash(&mut self) -> Later<'_, ()> {
        // What the old engine still does in going down happens on the old disk, and is never seen.
        let left = self.disk.after_power_loss();
        *self = Self::open(Arc::new(left), self.clock.clone(), self.threads);
        Box::pin(std::future::ready(()))
    }

    fn pass(&mut self, time: Duration) -> Later<'_, ()> {
        self.clock.advance(time);
        Box::pin(std::future::ready(()))
    }

    fn span(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn free(&mut self, _up_to: Seq) -> Later<'_, bool> {
        if !self.threads {
            // Nothing is freed that only one checkpoint knows of.
            self.log.checkpoint().expect("a checkpoint");
            self.log.checkpoint().expect("another one");
            assert_ne!(self.log.free().expect("freed"), 0);
        }
        Box::pin(std::future::ready(!self.threads))
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

/// What happens while the next sync is under way.
type DuringSync = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A folder in memory that knows what was synced.
#[derive(Default)]
struct Memory {
    during_sync: DuringSync,
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
        Self { files: Mutex::new(left.collect()), ..Self::default() }
    }

    fn handle(&self, pages: &Arc<Mutex<Pages>>) -> Arc<dyn DiskFile> {
        let (failing, during_sync) = (Arc::clone(&self.failing), Arc::clone(&self.during_sync));
        Arc::new(MemoryFile { pages: Arc::clone(pages), failing, during_sync })
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
    during_sync: DuringSync,
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
        let during_sync = self.during_sync.lock().unwrap().take();
        if let Some(happens) = during_sync {
            happens();
        }
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
