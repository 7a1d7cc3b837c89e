//! How many connections a listener has, and the place that each of them takes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::counts::AcceptCounts;

/// The places that connections take.
pub(super) struct Places {
    free: Arc<Semaphore>,
    all: u32,
    counts: Arc<AcceptCounts>,
}

/// One connection's place: given back when the connection's task ends, however it ends.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    counts: Arc<AcceptCounts>,
}

impl Places {
    pub(super) fn new(connections_max: usize, counts: Arc<AcceptCounts>) -> Self {
        // The semaphore's own bound lies above what 32 bits can ask back at once; nobody has so many sockets.
        let most = usize::try_from(u32::MAX).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let all = if connections_max == 0 { most } else { connections_max.min(most) };
        Self { free: Arc::new(Semaphore::new(all)), all: u32::try_from(all).unwrap_or(u32::MAX), counts }
    }

    pub(super) fn take(&self) -> Option<Place> {
        match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => {
                self.counts.accept();
                Some(Place { _permit: permit, counts: Arc::clone(&self.counts) })
            }
            Err(_) => {
                self.counts.refuse();
                None
            }
        }
    }

    /// Waits until all places are free; gives how many are not.
    pub(super) async fn emptied(&self, drain: Duration) -> usize {
        match timeout(drain, self.free.acquire_many(self.all)).await {
            Ok(_) => 0,
            Err(_) => usize::try_from(self.counts.open()).unwrap_or(usize::MAX),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A panic unwinds through the connection's future, and drops this on the way.
        self.counts.end(std::thread::panicking());
    }
}
