//! Making batches durable: one write, one sync, and everybody who waits is answered in order.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use headwater_event::BusError;

use crate::core::Core;
use crate::header::DATA_START;
use crate::intake::{Forming, Intake, give_up};
use crate::record::{Kind, MARK_LEN, Mark};
use crate::scan::records;

/// After so many commits of one append each, with nothing behind them, its appender is taken for alone.
const LONE_AFTER: u32 = 3;

/// Every so often a lone appender's batch goes to the writer all the same. A commit on the caller's thread hides who waits
/// for that thread: on one core 256 clients looked alone for ever, one after the other, and got 9,000 events a second in
/// place of 100,000. While the writer syncs, they come forward, and nobody is alone any more.
const LOOK_AROUND_EVERY: u32 = 16;

/// On a slower disk than this the caller's thread, which serves others too, isn't lent to the disk: two hand-overs
/// between threads (some 20 us) then don't count beside the sync.
const LONE_COMMIT_US_MAX: u64 = 1_000;

impl Core {
    /// Whether whoever appends now may commit on its own thread.
    pub(crate) fn is_alone(&self, intake: &Intake) -> bool {
        let looks_alone = intake.lone >= LONE_AFTER && !intake.lone.is_multiple_of(LOOK_AROUND_EVERY);
        !self.threaded || (looks_alone && self.commit_us() < LONE_COMMIT_US_MAX)
    }

    /// The writer's thread: takes all that waits, and commits it, until the log ends.
    pub(crate) fn write_all(self: &Arc<Self>) {
        loop {
            let mut intake = self.intake();
            let batch = loop {
                match intake.take() {
                    Some(batch) => break batch,
                    None if intake.ended.is_some() && !intake.committing => return,
                    None => intake = self.work.wait(intake).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(intake);
            // A failure has been told to everybody; the next round sees that the log has ended.
            let _ = self.commit(batch, false);
        }
    }

    /// Commits what waits, on this thread.
    pub(crate) fn write_waiting(&self) {
        loop {
            let Some(batch) = self.intake().take() else { return };
            let _ = self.commit(batch, false);
        }
    }

    /// Makes one batch durable and answers all who wait for it.
    pub(crate) fn commit(&self, mut batch: Forming, inline: bool) -> Result<(), BusError> {
        let appends = batch.waiters.len();
        let waiters = std::mem::take(&mut batch.waiters);
        if let Err(error) = self.commit_bytes(&mut batch) {
            let why = BusError::Storage(sentence(&error, &self.disk.folder()));
            tracing::error!(folder = self.disk.folder(), error = %why, "nothing is acknowledged any more");
            self.end(&why);
            give_up(waiters, &why);
            self.intake().committing = false;
            self.work.notify_all();
            return Err(why);
        }
        let more = {
            let mut intake = self.intake();
            intake.done(&batch, appends + usize::from(inline) == 1);
            intake.has_work() || intake.ended.is_some()
        };
        if inline {
            self.counts.inline.fetch_add(1, Relaxed);
        }
        // After an inline commit the writer may have work; and whoever ends the log waits for the last commit.
        if more {
            self.work.notify_all();
        }
        for waiter in waiters {
            // Who doesn't wait any more needs no answer.
            let _ = waiter.send(Ok(()));
        }
        Ok(())
    }

    fn commit_bytes(&self, batch: &mut Forming) -> io::Result<()> {
        if batch.bytes.is_empty() {
            return Ok(());
        }
        let mark = Mark {
            before: batch.before,
            at: self.clock.now(),
            offset: batch.offset,
            // One batch at a time: all before it is synced.
            synced: batch.offset,
            body_len: (batch.bytes.len() - MARK_LEN) as u64,
            events: batch.events,
        };
        assert!(batch.offset >= DATA_START, "a batch never covers the first pages");
        batch.bytes[..MARK_LEN].copy_from_slice(&mark.encode(&self.identity));
        self.write_and_sync(&batch.bytes, &mark)?;
        self.publish(&mark, std::mem::take(&mut batch.bytes).freeze(), batch);
        Ok(())
    }

    fn write_and_sync(&self, bytes: &[u8], mark: &Mark) -> io::Result<()> {
        self.ahead.before_write(mark.end());
        let begun = Instant::now();
        self.writing.write_at(mark.offset, bytes)?;
        self.writing.sync()?;
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.ahead.after_write(mark.end());
        self.counts.syncs.fetch_add(1, Relaxed);
        self.counts.sync_us.fetch_add(took, Relaxed);
        self.counts.bytes.fetch_add(bytes.len() as u64, Relaxed);
        self.counts.events.fetch_add(mark.events, Relaxed);
        let mean = self.counts.commit_us.load(Relaxed);
        self.counts.commit_us.store((mean * 7 + took) / 8, Relaxed);
        Ok(())
    }

    /// Shows a durable batch to everybody who reads. Groups first: what the view ends with is in their state.
    fn publish(&self, mark: &Mark, bytes: Bytes, batch: &Forming) {
        self.tell_beside(mark.end(), mark.before + mark.events);
        let epoch = self.identity.epoch;
        if batch.has_groups {
            let mut slot = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, record) in records(&bytes[MARK_LEN..], epoch).filter(|(_, record)| record.kind == Kind::Group) {
                slot.state.fold(record.payload, record.seq, record.at);
            }
            slot.folded_to = mark.end();
        }
        self.view.write().unwrap_or_else(PoisonError::into_inner).commit(mark, bytes, batch.has_sticky, epoch);
        if batch.events > 0 {
            self.head.send_replace(mark.before + mark.events);
        }
        self.keeper.grown(mark.end());
    }
}

/// What went wrong, for the one who runs the machine.
pub(crate) fn sentence(error: &io::Error, folder: &str) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => format!("can't write the log: no space left on the volume of {folder} ({error})"),
        io::ErrorKind::ReadOnlyFilesystem => format!("can't write the log: {folder} is read-only ({error})"),
        _ => format!("can't write the log in {folder}: {error}"),
    }
}
