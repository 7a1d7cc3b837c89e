//! A share of the outlets, and the one task that writes to their sockets when a ring has grown.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::drive::Tally;
use crate::hub::Core;
use crate::ring::{Gather, Ring};

/// How many sockets are written to before others get the thread: about a quarter of a millisecond of `send()`.
const SENDS_AT_ONCE: usize = 64;

/// The work of one shard: rings that have grown, each at most once.
#[derive(Default)]
pub(crate) struct Shard {
    called: Mutex<Vec<Arc<Ring>>>,
    notify: Notify,
}

impl Shard {
    /// A ring has grown.
    pub(crate) fn call(&self, ring: &Arc<Ring>) {
        self.called.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(ring));
        self.notify.notify_one();
    }

    /// Brings what rings have got to their watchers, for ever.
    pub(crate) async fn run(core: Arc<Core>, number: usize) {
        let Some(shard) = core.shards.get(number) else { return };
        let mut gather = Gather::default();
        let mut some = Vec::with_capacity(SENDS_AT_ONCE);
        let mut sends = 0;
        loop {
            let called = std::mem::take(&mut *shard.called.lock().unwrap_or_else(PoisonError::into_inner));
            if called.is_empty() {
                // Nothing of the last ring needs to be held while nothing happens.
                gather = Gather::default();
                shard.notify.notified().await;
                continue;
            }
            for ring in called {
                // Before the first watcher is looked at: whatever comes now calls again, and is found again.
                ring.answer(number);
                let mut next = Some(0);
                while let Some(at) = next {
                    next = ring.some_members(number, at, SENDS_AT_ONCE, &mut some);
                    let mut tally = Tally::default();
                    for (outlet, id) in some.drain(..) {
                        tally.add(&outlet.push(id, &mut gather));
                        sends += 1;
                    }
                    tally.count(&core.metrics);
                    if sends >= SENDS_AT_ONCE {
                        sends = 0;
                        tokio::task::yield_now().await;
                    }
                }
                core.answered();
            }
        }
    }
}
