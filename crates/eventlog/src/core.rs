//! The heart of an open log: what its appends, its commits and its readers share.
//!
//! Order of locks: `intake`, then `view`, then `derived`. None of them is held over a write, a sync or a read of the disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use headwater_event::{BusError, Clock, Epoch, Health, Later, ProducerId, Publication, Receipts, Seq, Tail};
use tokio::sync::{oneshot, watch};

use crate::ahead::Ahead;
use crate::derived::Derived;
use crate::disk::{Disk, DiskFile};
use crate::header::{Head, Identity};
use crate::intake::{Intake, Waiter, give_up};
use crate::keeper::Keeper;
use crate::retention::Bounds;
use crate::tail::LogTail;
use crate::view::View;

/// An open log.
pub(crate) struct Core {
    pub identity: Identity,
    pub clock: Clock,
    pub disk: Arc<dyn Disk>,
    /// For the writer alone.
    pub writing: Arc<dyn DiskFile>,
    /// For readers.
    pub reading: Arc<dyn DiskFile>,
    /// Holds the lock on the folder, and tells those who read beside us how far the file is durable. Readers keep the
    /// log's heart alive, but the lock ends when the log does.
    pub lock: Mutex<Option<Arc<dyn DiskFile>>>,
    pub intake: Mutex<Intake>,
    /// Wakes the writer.
    pub work: Condvar,
    pub view: RwLock<View>,
    pub derived: Mutex<Slot>,
    /// Held while a checkpoint is taken.
    pub checkpointing: Mutex<()>,
    pub keeper: Keeper,
    pub bounds: Bounds,
    /// Held while the head is freed.
    pub freeing: Mutex<()>,
    pub head_note: Mutex<Head>,
    pub ahead: Arc<Ahead>,
    /// The last durable event, for those who wait for the next.
    pub head: watch::Sender<Seq>,
    /// Why nothing can be written any more.
    pub failed: OnceLock<String>,
    pub counts: Counts,
    /// Whether a writer thread runs; without one every append is committed on its caller's thread.
    pub threaded: bool,
}

/// The groups' state, and how far their records are folded into it.
pub(crate) struct Slot {
    pub state: Box<dyn Derived>,
    /// All their records before this place of the file are in the state, and none behind it.
    pub folded_to: u64,
}

/// What the log has done since it was opened.
#[derive(Debug, Default)]
pub struct Counts {
    /// Syncs of the log.
    pub syncs: AtomicU64,
    /// How long they took in all, in microseconds.
    pub sync_us: AtomicU64,
    /// Events made durable.
    pub events: AtomicU64,
    /// Bytes written to the log.
    pub bytes: AtomicU64,
    /// Bytes of the log that were read back and checked when it was opened: what came since the last checkpoint.
    pub replayed: AtomicU64,
    /// Batches that their only appender wrote itself.
    pub inline: AtomicU64,
    /// A moving mean of how long write and sync take, in microseconds.
    pub(crate) commit_us: AtomicU64,
}

impl Core {
    pub(crate) fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.identity.epoch
    }

    pub(crate) fn health(&self) -> Health {
        match self.failed.get() {
            None => Health::Good,
            Some(why) => Health::Failing(why.clone()),
        }
    }

    /// Places the events now, and gives their receipts once they're durable.
    pub(crate) fn append(self: &Arc<Self>, batch: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>> {
        let now = batch.last().map_or_else(|| self.clock.now(), |publication| publication.event.at);
        let mut intake = self.intake();
        let placed = match intake.ended.clone().map_or_else(|| intake.place(&batch, now), Err) {
            Ok(placed) => placed,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        if placed.needs <= intake.durable {
            return Box::pin(std::future::ready(Ok(placed.receipts)));
        }
        let durable = self.commit_or_wait(intake);
        Box::pin(async move { durable.await.map(|()| placed.receipts) })
    }

    /// Uses a producer's number up.
    pub(crate) fn use_up(self: &Arc<Self>, producer: ProducerId, number: u64) -> Later<'static, Result<(), BusError>> {
        let now = self.clock.now();
        self.put(|intake| intake.use_up(producer, number, now))
    }

    /// Stores records of groups. Never commits on this thread: the caller holds locks that the fold takes.
    pub(crate) fn append_groups(self: &Arc<Self>, records: &[Vec<u8>]) -> Later<'static, Result<(), BusError>> {
        let now = self.clock.now();
        let mut intake = self.intake();
        match intake.ended.clone().map_or_else(|| intake.put_groups(records, now), Err) {
            Ok(()) => {
                let durable = self.leave_to_writer(intake);
                if self.threaded {
                    return durable;
                }
                let core = self.clone();
                Box::pin(async move {
                    core.write_waiting();
                    durable.await
                })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// Waits until everything that was appended before is durable.
    pub(crate) fn flush(self: &Arc<Self>) -> Later<'static, Result<(), BusError>> {
        self.put(|_| Ok(()))
    }

    /// The highest number of a producer, once it's durable.
    pub(crate) fn last_number(self: &Arc<Self>, producer: ProducerId) -> Later<'static, Result<u64, BusError>> {
        let intake = self.intake();
        let highest = intake.numbers.highest(&producer);
        // What was read back or is synced needs no waiting, and can be told even when nothing can be written.
        if !intake.committing && !intake.has_work() && intake.ended.is_none() {
            return Box::pin(std::future::ready(Ok(highest)));
        }
        drop(intake);
        let flushed = self.flush();
        Box::pin(async move { flushed.await.map(|()| highest) })
    }

    pub(crate) fn put(
        self: &Arc<Self>,
        put: impl FnOnce(&mut Intake) -> Result<(), BusError>,
    ) -> Later<'static, Result<(), BusError>> {
        let mut intake = self.intake();
        match intake.ended.clone().map_or_else(|| put(&mut intake), Err) {
            Ok(()) => self.commit_or_wait(intake),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// Commits what was just placed on this thread if its appender is alone, and leaves it to the writer otherwise.
    fn commit_or_wait(self: &Arc<Self>, mut intake: MutexGuard<'_, Intake>) -> Later<'static, Result<(), BusError>> {
        // A wait for what was appended before, when all of that is durable.
        if !intake.committing && !intake.has_work() {
            return Box::pin(std::future::ready(Ok(())));
        }
        if self.is_alone(&intake)
            && let Some(batch) = intake.take()
        {
            drop(intake);
            let outcome = self.commit(batch, true);
            if !self.threaded {
                // Who came meanwhile found a commit under way, and there's no thread that looks after them.
                self.write_waiting();
            }
            return Box::pin(std::future::ready(outcome));
        }
        self.leave_to_writer(intake)
    }

    fn leave_to_writer(&self, mut intake: MutexGuard<'_, Intake>) -> Later<'static, Result<(), BusError>> {
        let (waiter, durable) = oneshot::channel();
        intake.wait(waiter);
        let idle = !intake.committing;
        drop(intake);
        if idle {
            self.work.notify_one();
        }
        // The writer answers or drops all who wait; it drops them only when the log is dropped.
        Box::pin(async move { durable.await.unwrap_or(Err(BusError::Closed)) })
    }

    /// Ends the log for writers, for good.
    pub(crate) fn end(&self, why: &BusError) {
        if let BusError::Storage(sentence) = why {
            let _ = self.failed.set(sentence.clone());
        }
        let waiters: Vec<Waiter> = self.intake().end(why.clone());
        give_up(waiters, why);
        self.work.notify_all();
        // Readers that wait look again, and see that nothing more will come.
        self.head.send_modify(|_| {});
    }

    /// Waits until nothing is written any more, once the log has ended, and gives the folder free.
    pub(crate) fn unlock(&self) {
        let mut intake = self.intake();
        while intake.committing {
            intake = self.work.wait(intake).unwrap_or_else(PoisonError::into_inner);
        }
        drop(intake);
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Tells those who read beside us how far the file is durable.
    pub(crate) fn tell_beside(&self, end: u64, head: Seq) {
        if let Some(lock) = &*self.lock.lock().unwrap_or_else(PoisonError::into_inner) {
            crate::beside::tell(&**lock, &self.identity, end, head);
        }
    }

    /// A reader that begins after this event.
    pub(crate) fn tail(self: &Arc<Self>, after: Seq) -> Result<Box<dyn Tail>, BusError> {
        Ok(Box::new(LogTail::new(self.clone(), after)?))
    }

    /// A moving mean of write and sync, in microseconds.
    pub(crate) fn commit_us(&self) -> u64 {
        self.counts.commit_us.load(Ordering::Relaxed)
    }
}
