//! All rings by filter and spelling: made when the first watcher comes, dropped a while after the last has left.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_event::{Filter, Text};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::encode::Encode;
use crate::ring::Ring;

/// How long a ring without watchers stays: those who reconnect after a broken connection find it as they left it.
const EMPTY_RING_KEPT: Duration = Duration::from_secs(10);

/// How many rings without watchers stay: a client that watches and unwatches ever new filters must not fill the memory.
const EMPTY_RINGS_MAX: usize = 1_024;

/// The rings, and what live has to be told of them.
pub(crate) struct Rings {
    table: Mutex<Table>,
    changed: Notify,
    shards: usize,
}

#[derive(Default)]
struct Table {
    by_name: HashMap<Name, Entry>,
    /// Rings without watchers since; each stands here at most once.
    empty: VecDeque<(Instant, Arc<Ring>)>,
    changes: Vec<Change>,
}

/// What is the same for all watchers of a ring.
type Name = (Filter, &'static str, Option<Text>);

struct Entry {
    ring: Arc<Ring>,
    watchers: usize,
    /// It stands in `empty`.
    is_listed: bool,
}

fn name_of(ring: &Ring) -> Name {
    (ring.filter().clone(), ring.encoder().name(), ring.encoder().variant().cloned())
}

/// News for live, in order.
pub(crate) enum Change {
    Made(Arc<Ring>),
    Dropped(Arc<Ring>),
}

impl Rings {
    pub(crate) fn new(shards: usize) -> Self {
        Self { table: Mutex::default(), changed: Notify::new(), shards }
    }

    /// The ring of this filter in this spelling, with one watcher more.
    pub(crate) fn enter(&self, filter: &Filter, encoder: &Arc<dyn Encode>) -> Arc<Ring> {
        let mut table = self.lock();
        let name = (filter.clone(), encoder.name(), encoder.variant().cloned());
        if let Some(entry) = table.by_name.get_mut(&name) {
            entry.watchers += 1;
            return Arc::clone(&entry.ring);
        }
        // A filter that was cut out of a read buffer must not keep that buffer for as long as the ring lives.
        let filter = Filter::new(filter.as_str()).unwrap_or_else(|_| filter.clone());
        let ring = Arc::new(Ring::new(filter.clone(), Arc::clone(encoder), self.shards));
        let entry = Entry { ring: Arc::clone(&ring), watchers: 1, is_listed: false };
        table.by_name.insert((filter, encoder.name(), name.2), entry);
        table.changes.push(Change::Made(Arc::clone(&ring)));
        drop(table);
        self.changed.notify_one();
        ring
    }

    /// One watcher less.
    pub(crate) fn leave(&self, ring: &Arc<Ring>) {
        let mut table = self.lock();
        let Some(entry) = table.by_name.get_mut(&name_of(ring)) else { return };
        entry.watchers -= 1;
        if entry.watchers == 0 && !entry.is_listed {
            entry.is_listed = true;
            table.empty.push_back((Instant::now(), Arc::clone(ring)));
            if table.empty.len() > EMPTY_RINGS_MAX {
                self.drop_oldest(&mut table);
            }
        }
    }

    /// Drops the rings that have had no watcher for long enough.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut table = self.lock();
        while table.empty.front().is_some_and(|(since, _)| now.duration_since(*since) >= EMPTY_RING_KEPT) {
            self.drop_oldest(&mut table);
        }
    }

    fn drop_oldest(&self, table: &mut Table) {
        let Some((_, ring)) = table.empty.pop_front() else { return };
        let name = name_of(&ring);
        let Some(entry) = table.by_name.get_mut(&name) else { return };
        entry.is_listed = false;
        if entry.watchers == 0 {
            table.by_name.remove(&name);
            table.changes.push(Change::Dropped(ring));
            self.changed.notify_one();
        }
    }

    /// Whether nobody watches at all, as far as can be told without waiting.
    pub(crate) fn are_none(&self) -> bool {
        self.lock().by_name.is_empty()
    }

    /// There is other news than rings.
    pub(crate) fn call(&self) {
        self.changed.notify_one();
    }

    /// Waits until there is news.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(crate) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.lock().changes)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
