//! Zeros ahead of the writer: a sync of bytes that overwrite zeros on disk needs no journal, and is twice as fast.
//!
//! A thread of its own writes and syncs them in pieces. The writer never waits for it: where there are no zeros yet, it
//! writes all the same and extends the file. And where the writer is so fast that zeros would have to be written all the
//! time, none are: they'd take half of the disk, and while they're being synced the writer's sync needs the journal anyhow.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::disk::DiskFile;

/// What a new file begins with: enough for the first seconds, and written in a few milliseconds.
pub(crate) const AHEAD_START: u64 = 1 << 20;

/// What is kept ahead at least, unless the options say less. Beyond this it's the file's own length, up to what the
/// options say, so that zeros never more than double a file.
const AHEAD_MIN: u64 = 4 << 20;

/// One write of zeros, during which the writer may have to wait if it comes to just this place: some 50 us.
const PIECE: usize = 256 << 10;

/// How many pieces go with one sync: the writer's own sync may have to wait for it, about a millisecond for 1 MiB.
const PIECES_A_SYNC: usize = 4;

/// Zeros are worth their cost while the writer itself writes no more than this part of what is filled in the same time.
const WRITER_PART_MAX: u64 = 4;

/// How long a writer that is too fast is left alone before zeros are tried again, by one sync's worth.
const FAST_WRITER_PAUSE: Duration = Duration::from_millis(200);

/// How long the disk is left alone after it refused zeros.
const TROUBLE_PAUSE: Duration = Duration::from_millis(200);

struct State {
    /// Up to here the file is written, with zeros or records.
    filled: u64,
    stop: bool,
}

/// How a filling ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filled {
    /// There's enough, or the thread has to stop.
    Enough,
    /// The writer is too fast.
    Overtaken,
}

/// The zeros ahead of one log's writer.
pub(crate) struct Ahead {
    state: Mutex<State>,
    wanted: Condvar,
    /// How far the writer is.
    end: AtomicU64,
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
            state: Mutex::new(State { filled, stop: false }),
            wanted: Condvar::new(),
            end: AtomicU64::new(end),
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
        self.end.store(end, Ordering::SeqCst);
        let left = self.ready.load(Ordering::Acquire).saturating_sub(end);
        if left < self.target(end) / 2 && self.asleep.swap(false, Ordering::SeqCst) {
            // Whoever said so under the lock waits by now.
            drop(self.state.lock().unwrap_or_else(PoisonError::into_inner));
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
        let mut pause = None;
        while self.wait(pause) {
            pause = match self.fill(file, &zeros, WRITER_PART_MAX) {
                Ok(Filled::Enough) => None,
                Ok(Filled::Overtaken) => Some(FAST_WRITER_PAUSE),
                // The writer meets the same trouble by itself, if it's lasting, and says so; zeros are only for speed.
                Err(error) => {
                    tracing::debug!(%error, "zeros ahead of the log could not be written");
                    Some(TROUBLE_PAUSE)
                }
            }
        }
    }

    /// Waits until zeros are wanted, and for as long as the pause, if there's one; `false` when told to stop.
    fn wait(&self, pause: Option<Duration>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pause) = pause {
            let waited = self.wanted.wait_timeout_while(state, pause, |state| !state.stop);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        loop {
            if state.stop {
                return false;
            }
            // Said before the look: a writer that comes to the half behind it sees that it has to wake us.
            self.asleep.store(true, Ordering::SeqCst);
            let end = self.end.load(Ordering::SeqCst);
            if state.filled < end + self.target(end) / 2 {
                self.asleep.store(false, Ordering::Release);
                return true;
            }
            state = self.wanted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn target(&self, end: u64) -> u64 {
        end.max(AHEAD_MIN).min(self.max)
    }

    /// Writes and syncs what is missing, on this thread, however fast the writer is.
    pub(crate) fn fill_now(&self, file: &dyn DiskFile, end: u64) -> io::Result<()> {
        self.end.store(end, Ordering::Release);
        let piece = usize::try_from(self.max).unwrap_or(PIECE).min(PIECE);
        self.fill(file, &vec![0; piece], 0).map(drop)
    }

    /// Fills until less than one sync's worth is missing, or until the writer writes more than one part in `part` of what
    /// is filled meanwhile (0: whatever it writes).
    fn fill(&self, file: &dyn DiskFile, zeros: &[u8], part: u64) -> io::Result<Filled> {
        loop {
            let end = self.end.load(Ordering::Acquire);
            let (mut pieces, mut filled) = (0, 0);
            for _ in 0..PIECES_A_SYNC {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let end = self.end.load(Ordering::Acquire);
                if state.stop || state.filled >= end + self.target(end) {
                    break;
                }
                // Under the lock, so that the writer can't come to this place meanwhile.
                file.write_at(state.filled, zeros)?;
                state.filled += zeros.len() as u64;
                (pieces, filled) = (pieces + 1, state.filled);
            }
            if pieces > 0 {
                file.sync()?;
                self.ready.fetch_max(filled, Ordering::AcqRel);
            }
            if pieces < PIECES_A_SYNC {
                return Ok(Filled::Enough);
            }
            let grown = self.end.load(Ordering::Acquire) - end;
            if grown.saturating_mul(part) > (zeros.len() * pieces) as u64 {
                return Ok(Filled::Overtaken);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::DiskFile;

    /// A file beside which a writer writes so many bytes during each sync.
    struct Beside<'a> {
        ahead: &'a Ahead,
        grows: u64,
        syncs: AtomicU64,
    }

    impl DiskFile for Beside<'_> {
        fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }

        fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            self.syncs.fetch_add(1, Ordering::Relaxed);
            let end = self.ahead.end.load(Ordering::Relaxed) + self.grows;
            self.ahead.before_write(end);
            self.ahead.after_write(end);
            Ok(())
        }

        fn size(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn punch(&self, _: u64, _: u64) -> io::Result<()> {
            Ok(())
        }
    }

    fn filled_beside(grows: u64, part: u64) -> (Filled, u64) {
        let ahead = Ahead::new(1 << 20, 1 << 20, 64 << 20);
        let file = Beside { ahead: &ahead, grows, syncs: AtomicU64::new(0) };
        let filled = ahead.fill(&file, &vec![0; PIECE], part).unwrap();
        (filled, file.syncs.load(Ordering::Relaxed))
    }

    #[test]
    fn a_slow_writer_gets_all_its_zeros_and_a_fast_one_none_beyond_the_try() {
        let a_sync = (PIECE * PIECES_A_SYNC) as u64;
        assert_eq!(filled_beside(0, WRITER_PART_MAX), (Filled::Enough, AHEAD_MIN / a_sync));
        assert_eq!(filled_beside(a_sync / 8, WRITER_PART_MAX).0, Filled::Enough);
        assert_eq!(filled_beside(a_sync / 2, WRITER_PART_MAX), (Filled::Overtaken, 1));
        assert_eq!(filled_beside(a_sync / 4 + 1, 0).0, Filled::Enough, "when asked for all the same");
    }
}
