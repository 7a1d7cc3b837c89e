//! A disk in memory that fails on purpose: power cuts at any write, torn and reordered pages, failed syncs, a full volume,
//! flipped bits.
//!
//! What is fair: a page that was synced stays as it is, byte for byte, even while a later write to another part of it is
//! torn (the disk never damages the bytes of a sector that it's told to write unchanged). Everything that was written
//! since the last sync may be there or not, page by page, in any order, and one page of it may be cut in its middle.
//! Creations and renames happen in their order; those since the last sync of the folder may be missing from some point
//! on. After the power is cut nothing works any more until [`TestDisk::power_on`].

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

/// What a disk writes as a whole, if it writes it at all and isn't just cut.
const PAGE: usize = 4_096;

/// What is left of the writes that were not synced when the power was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// None of them.
    Nothing,
    /// All of them; also what is there after the process alone was killed.
    All,
    /// Some pages, chosen by this seed, one of them cut in its middle.
    Pages(u64),
}

/// The disk.
#[derive(Clone, Default)]
pub struct TestDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    /// Names as everybody sees them.
    names: BTreeMap<String, usize>,
    /// Names as they'd be after a power cut, and what was done to them since.
    names_synced: BTreeMap<String, usize>,
    names_changed: Vec<BTreeMap<String, usize>>,
    files: Vec<Content>,
    /// How many writes, syncs and changes of names were done.
    steps: u64,
    cut_at: Option<u64>,
    sync_fails_at: Option<u64>,
    room: Option<u64>,
    reads_fail: bool,
    off: bool,
    locked: bool,
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// What was written since the last sync: where, and how much.
    written: Vec<(usize, usize)>,
    /// How many syncs have failed: each handle hears once of those since it was opened.
    errors: u64,
    /// Where failed syncs have thrown away what was written, though it still reads back while the machine runs.
    lost: Vec<(usize, usize)>,
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

impl TestDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many writes, syncs and changes of names were done so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Cuts the power in place of this step (counted from 0).
    pub fn cut_at(&self, step: u64) {
        self.state().cut_at = Some(step);
    }

    /// Lets the first sync at or after this step fail, and loses what it should have made durable.
    pub fn fail_sync_at(&self, step: u64) {
        self.state().sync_fails_at = Some(step);
    }

    /// Lets files grow to so many bytes in all.
    pub fn room(&self, bytes: Option<u64>) {
        self.state().room = bytes;
    }

    /// Lets every read fail, or none.
    pub fn fail_reads(&self, fail: bool) {
        self.state().reads_fail = fail;
    }

    /// Whether the power was cut.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.state().off
    }

    /// Flips one bit of a file, on the disk and in memory.
    pub fn flip(&self, name: &str, bit: usize) {
        let mut state = self.state();
        if let Some(file) = state.names.get(name).copied() {
            let content = &mut state.files[file];
            content.now[bit / 8] ^= 1 << (bit % 8);
            content.synced[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// A file's bytes as they read now.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).map(|file| state.files[*file].now.clone())
    }

    /// The disk as it is found when the power is back.
    #[must_use]
    pub fn power_on(&self, left: Left) -> Self {
        let state = self.state();
        let mut random = Random(match left {
            Left::Pages(seed) => seed.wrapping_mul(2).wrapping_add(1),
            _ => 1,
        });
        let names = match left {
            Left::Nothing => state.names_synced.clone(),
            Left::All => state.names.clone(),
            Left::Pages(_) => {
                let kept = random.below(state.names_changed.len() + 1);
                kept.checked_sub(1).map_or_else(|| state.names_synced.clone(), |at| state.names_changed[at].clone())
            }
        };
        let files = state.files.iter().map(|content| content.after_cut(left, &mut random)).collect();
        let after = State { names: names.clone(), names_synced: names, files, ..State::default() };
        Self { state: Arc::new(Mutex::new(after)) }
    }

    /// The disk as the next process finds it after this one was killed: the machine never stopped, so everything reads
    /// back, also what was not synced or what a failed sync has lost.
    #[must_use]
    pub fn killed(&self) -> Self {
        let state =
            State { off: false, locked: false, cut_at: None, sync_fails_at: None, room: None, ..self.state().clone() };
        Self { state: Arc::new(Mutex::new(State { steps: 0, ..state })) }
    }

    fn file(&self, number: usize) -> Arc<dyn DiskFile> {
        let errors_seen = AtomicU64::new(self.state().files[number].errors);
        Arc::new(TestFile { disk: self.clone(), number, errors_seen })
    }
}

impl State {
    /// Counts a step; fails when the power is cut here.
    fn step(&mut self) -> io::Result<()> {
        if self.off || self.cut_at == Some(self.steps) {
            self.off = true;
            return Err(power_is_off());
        }
        self.steps += 1;
        Ok(())
    }

    fn names_change(&mut self) {
        self.names_changed.push(self.names.clone());
    }
}

impl Content {
    fn after_cut(&self, left: Left, random: &mut Random) -> Self {
        let now = match left {
            Left::Nothing => self.synced.clone(),
            Left::All => {
                let mut bytes = self.synced.clone();
                self.write_back(&mut bytes, &self.written);
                bytes
            }
            Left::Pages(_) => self.some_pages(random),
        };
        Self { synced: now.clone(), now, ..Self::default() }
    }

    fn write_back(&self, bytes: &mut Vec<u8>, written: &[(usize, usize)]) {
        for (from, len) in written {
            if bytes.len() < from + len {
                bytes.resize(from + len, 0);
            }
            bytes[*from..from + len].copy_from_slice(&self.now[*from..from + len]);
        }
    }

    fn some_pages(&self, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let mut pages: Vec<usize> = Vec::new();
        for (from, len) in &self.written {
            pages.extend(from / PAGE..(from + len).div_ceil(PAGE));
        }
        pages.sort_unstable();
        pages.dedup();
        let torn = random.below(pages.len().max(1));
        for (at, page) in pages.iter().enumerate() {
            let (from, until) = (page * PAGE, ((page + 1) * PAGE).min(self.now.len()));
            if at != torn && random.below(2) == 0 {
                continue;
            }
            let until = if at == torn { from + random.below(until - from + 1) } else { until };
            if bytes.len() < until {
                bytes.resize(until, 0);
            }
            bytes[from..until].copy_from_slice(&self.now[from..until]);
        }
        bytes
    }
}

/// A small generator of chance (xorshift), so that a seed tells all.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap_or(0) % bound
    }
}

impl Disk for TestDisk {
    fn open(&self, name: &str, _write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        if state.off {
            return Err(power_is_off());
        }
        let number = state.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        drop(state);
        Ok(self.file(number))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.step()?;
        let number = state.files.len();
        state.files.push(Content::default());
        state.names.insert(name.into(), number);
        state.names_change();
        drop(state);
        Ok(self.file(number))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.step()?;
        if let Some(number) = state.names.remove(from) {
            state.names.insert(to.into(), number);
        }
        state.names_change();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.names_change();
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.names_synced = state.names.clone();
        state.names_changed.clear();
        Ok(())
    }

    fn lock(&self, _name: &str) -> io::Result<Option<Arc<dyn DiskFile>>> {
        let mut state = self.state();
        if std::mem::replace(&mut state.locked, true) {
            return Ok(None);
        }
        Ok(Some(Arc::new(Lock(self.clone()))))
    }

    fn is_locked(&self, _name: &str) -> io::Result<bool> {
        Ok(self.state().locked)
    }

    fn folder(&self) -> String {
        "the test disk".into()
    }
}

/// The lock's file; what is written into it is no step of the scenario, as it's never synced.
struct Lock(TestDisk);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

impl DiskFile for Lock {
    fn read_at(&self, _offset: u64, _into: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn punch(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }
}

struct TestFile {
    disk: TestDisk,
    number: usize,
    errors_seen: AtomicU64,
}

impl DiskFile for TestFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        if state.off || state.reads_fail {
            return Err(io::Error::other("input/output error"));
        }
        let bytes = &state.files[self.number].now;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let len = into.len().min(bytes.len() - from);
        into[..len].copy_from_slice(&bytes[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let step = state.steps;
        let cut = state.step();
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        // A write that the power cut interrupts may have reached the disk, like all that was not synced.
        if cut.is_ok() || state.cut_at.take_if(|at| *at == step).is_some() {
            let used: u64 = state.files.iter().map(|file| file.now.len() as u64).sum();
            let room = state.room;
            let content = &mut state.files[self.number];
            let mut len = bytes.len();
            let grows = (from + len).saturating_sub(content.now.len()) as u64;
            let fits = room.is_none_or(|room| used + grows <= room);
            if !fits {
                let missing = used + grows - room.unwrap_or(u64::MAX);
                len -= usize::try_from(missing).unwrap_or(usize::MAX).min(len);
            }
            if content.now.len() < from + len {
                content.now.resize(from + len, 0);
            }
            content.now[from..from + len].copy_from_slice(&bytes[..len]);
            content.written.push((from, len));
            if !fits {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        cut
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let step = state.steps;
        state.step()?;
        let fails = state.sync_fails_at.take_if(|at| step >= *at).is_some();
        let content = &mut state.files[self.number];
        let written = std::mem::take(&mut content.written);
        if fails {
            // As Linux does it: the pages count as clean from now on, and are not on the disk.
            content.errors += 1;
            content.lost.extend(written);
        } else {
            let mut synced = std::mem::take(&mut content.synced);
            content.write_back(&mut synced, &written);
            content.synced = synced;
        }
        if self.errors_seen.swap(content.errors, Ordering::SeqCst) != content.errors {
            return Err(io::Error::other("input/output error"));
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.number].now.len() as u64)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let content = &mut state.files[self.number];
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.now.len());
        let until = from.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(content.now.len());
        content.now[from..until].fill(0);
        content.written.push((from, until - from));
        Ok(())
    }
}
