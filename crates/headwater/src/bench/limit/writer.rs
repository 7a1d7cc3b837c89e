//! The thread that writes and syncs: one open batch, which it takes whenever it is free.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use mio::Waker;

use super::batch::Batch;
use super::disk::Ring;

/// What the two threads share.
#[derive(Debug, Default)]
struct Desk {
    open: Batch,
    /// Synced, to be answered. More than one only when the first thread lags; its sockets bound how many.
    done: Vec<Batch>,
    /// Used up, to be filled again.
    spare: Vec<Batch>,
    waits: bool,
    failed: Option<io::Error>,
}

/// The first thread's hold on the writer.
#[derive(Clone, Debug)]
pub struct Writer {
    desk: Arc<(Mutex<Desk>, Condvar)>,
}

impl Writer {
    /// Starts the thread; it wakes `waker` after each sync.
    pub fn start(mut ring: Ring, waker: Arc<Waker>) -> Self {
        let writer = Self { desk: Arc::default() };
        let own = writer.clone();
        thread::spawn(move || {
            loop {
                let batch = own.take();
                let written = ring.append(&batch.bytes);
                let mut desk = own.lock();
                desk.failed = desk.failed.take().or(written.err());
                let first = desk.done.is_empty();
                desk.done.push(batch);
                drop(desk);
                if first && waker.wake().is_err() {
                    return;
                }
            }
        });
        writer
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        // A batch is either in a place or in another; a panic between can't leave half of one.
        self.desk.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Batch {
        let mut desk = self.lock();
        while desk.open.is_empty() {
            desk.waits = true;
            desk = self.desk.1.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
        desk.waits = false;
        let next = desk.spare.pop().unwrap_or_default();
        std::mem::replace(&mut desk.open, next)
    }

    /// Adds to the open batch.
    pub fn add(&self, add: impl FnOnce(&mut Batch)) {
        add(&mut self.lock().open);
    }

    /// Lets the writer begin, if it waits: called when all that could be read has been.
    pub fn go(&self) {
        let desk = self.lock();
        if desk.waits && !desk.open.is_empty() {
            drop(desk);
            self.desk.1.notify_one();
        }
    }

    /// What has been synced since the last call.
    ///
    /// # Errors
    /// When the disk has said no: nobody is to be answered any more.
    pub fn done(&self, done: &mut Vec<Batch>) -> io::Result<()> {
        let mut desk = self.lock();
        if let Some(error) = desk.failed.take() {
            return Err(error);
        }
        done.append(&mut desk.done);
        Ok(())
    }

    /// Gives used batches back, so that their memory is used again.
    pub fn give_back(&self, used: &mut Vec<Batch>) {
        used.iter_mut().for_each(Batch::clear);
        self.lock().spare.append(used);
    }
}
