//! Zeros ahead of the writer: a sync of bytes that overwrite zeros on disk needs no journal, and is twice as fast.
//!
//! A thread of its own writes and syncs them in pieces. The writer never waits for it: where there are no zeros yet, it
//! writes all the same and extends the file.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::{io, thread};

use crate::disk::DiskFile;

/// What a new file begins with: enough for the first seconds, and written in a few milliseconds.
pub(crate) const AHEAD_START: u64 = 1 << 20;

/// What is kept ahead at least, unless the options say less. Beyond this it's the file's own length, up to what the
/// options say, so that zeros never more than double a file.
const AHEAD_MIN: u64 = 4 << 20;

/// One write of zeros, during which the writer may have to wait if it comes to just this place: some 50 us.
const PIECE: usize = 256 << 10;

/// How many pieces go with one sync.
const PIECES_A_SYNC: usize = 16;

struct State {
    /// Up to here the file is written, with zeros or records.
    filled: u64,
    /// How far the writer is.
    end: u64,
    stop: bool,
}

/// The zeros ahead of one log's writer.
pub(crate) struct Ahead {
    state: Mutex<State>,
    wanted: Condvar,
    /// Up to here zeros are on disk; the writer looks at this alone while it stays before it.
    ready: AtomicU64,
    asleep: AtomicBool,
    /// The most that is kept ahead.
    max: u64,
}

impl Ahead {
    /// For a file that is on disk up to its length, and full of zeros from `end` on.
    pub(crate) const fn new(end: u64, len: u64, max: u64) -> Self {
        let filled = if len > end { len } else { end };
        Self {
            state: Mutex::new(State { filled, end, stop: false }),
            wanted: Condvar::new(),
            ready: AtomicU64::new(filled),
            asleep: AtomicBool::new(false),
            max,
        }
    }

    /// The writer is about to write up to `end`.
    pub(crate) fn before_write(&self, end: u64) {
        if end > self.ready.load(Ordering::Acquire) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            // From here on no zeros are written before `end`.
            state.filled = state.filled.max(end);
            self.ready.fetch_max(end, Ordering::AcqRel);
        }
    }

    /// The writer has written up to `end`: wakes the thread when there's little left.
    pub(crate) fn after_write(&self, end: u64) {
        let left = self.ready.load(Ordering::Acquire).saturating_sub(end);
        if left < self.target(end) / 2 && self.asleep.swap(false, Ordering::AcqRel) {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).end = end;
            self.wanted.notify_one();
        }
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.wanted.notify_one();
    }

    /// Writes zeros until told to stop. `file` is a handle of its own, so that this thread's syncs can't swallow an
    /// error that the writer must see.
    pub(crate) fn run(self: &Arc<Self>, file: &dyn DiskFile) {
        let zeros = vec![0; PIECE];
        let mut seen_end = 0;
        while let Some(end) = self.wait(seen_end) {
            seen_end = end;
            match self.fill(file, &zeros) {
                Ok(()) => {}
                // The writer meets the same trouble by itself, if it's lasting, and says so; zeros are only for speed.
                Err(error) => {
                    tracing::debug!(%error, "zeros ahead of the log could not be written");
                    thread::sleep(std::time::Duration::from_millis(200));
                }
            }
        }
    }

    /// Waits until zeros are wanted, and says where the writer is; `None` when told to stop.
    fn wait(&self, seen_end: u64) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.stop {
                return None;
            }
            if state.end != seen_end && state.filled < state.end + self.target(state.end) {
                return Some(state.end);
            }
            self.asleep.store(true, Ordering::Release);
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn target(&self, end: u64) -> u64 {
        end.max(AHEAD_MIN).min(self.max)
    }

    /// Writes and syncs what is missing, on this thread.
    pub(crate) fn fill_now(&self, file: &dyn DiskFile, end: u64) -> io::Result<()> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).end = end;
        let piece = usize::try_from(self.max).unwrap_or(PIECE).min(PIECE);
        self.fill(file, &vec![0; piece])
    }

    fn fill(&self, file: &dyn DiskFile, zeros: &[u8]) -> io::Result<()> {
        loop {
            let mut filled = 0;
            for _ in 0..PIECES_A_SYNC {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.stop || state.filled >= state.end + self.target(state.end) {
                    break;
                }
                // Under the lock, so that the writer can't come to this place meanwhile.
                file.write_at(state.filled, zeros)?;
                state.filled += zeros.len() as u64;
                filled = state.filled;
            }
            if filled == 0 {
                return Ok(());
            }
            file.sync()?;
            self.ready.fetch_max(filled, Ordering::AcqRel);
        }
    }
}
