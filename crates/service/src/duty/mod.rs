//! What must be done once for a service, however many processes work on it: each duty belongs to one life at a time.
//!
//! A life is one run of a worker on PostgreSQL, with a number that only grows. It says every second that it lives; who is
//! silent for too long is declared dead by the others, and from that moment nothing of it can be committed any more: every
//! transaction locks its life's row, and declaring dead deletes that row. A process that was frozen finds on waking that its
//! life is over, and begins a new one. On SQLite one process holds the file, and there's nothing to be shared.

mod keeper;
pub(crate) mod plan;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::service::Service;
use crate::store::{Store, StoreError};

/// What a life has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// It was declared dead.
    pub(crate) is_over: bool,
    /// It looks for timers, for what was put aside, and for what the dead have left.
    pub(crate) looks: bool,
    /// It takes events from the bus.
    pub(crate) sorts: bool,
    /// Its parts.
    pub(crate) parts: Vec<u32>,
    /// Those of them that others should have, once what is under way is through.
    pub(crate) give_up: Vec<u32>,
}

/// What is asked of the keeper.
enum Ask {
    Release(Vec<u32>, oneshot::Sender<()>),
    Leave(oneshot::Sender<()>),
}

/// What a life begins with.
struct Entry {
    store: Store,
    parts: u32,
    hold: Duration,
    holder: String,
}

/// For people who look into the table.
fn host_and_process() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    format!("{}/{}", host.as_deref().unwrap_or("localhost"), std::process::id())
}

/// What a life's keeper and its worker share.
struct Known {
    /// Until when nobody else can have declared it dead, by this machine's clock.
    sure_until: Mutex<Instant>,
    held: watch::Sender<Held>,
}

/// A life. Dropping it is like a crash: its duties go to others when it has been silent for long enough.
pub(crate) struct Life {
    token: i64,
    known: Arc<Known>,
    asks: mpsc::Sender<Ask>,
}

impl Life {
    /// Begins a life; `None` where one process has the store. When this gives `Ok`, what was free is taken.
    pub(crate) async fn enter(store: &Store, service: &Service, parts: u32) -> Result<Option<Arc<Self>>, StoreError> {
        match store.postgres() {
            None => Ok(None),
            Some(_) => {
                let entry = Entry {
                    store: store.clone(),
                    parts,
                    hold: service.options.hold,
                    holder: service.place.clone().unwrap_or_else(host_and_process),
                };
                keeper::begin(entry).await.map(|life| Some(Arc::new(life)))
            }
        }
    }

    /// Its number.
    pub(crate) const fn token(&self) -> i64 {
        self.token
    }

    /// What it has to do, now and later.
    pub(crate) fn held(&self) -> watch::Receiver<Held> {
        self.known.held.subscribe()
    }

    /// Whether nobody can have taken its place yet. What leaves the process without passing the fence asks this first.
    pub(crate) fn is_sure(&self) -> bool {
        Instant::now() < *self.known.sure_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives parts up; nothing of them is under way any more.
    pub(crate) async fn release(&self, parts: Vec<u32>) {
        let (tell, told) = oneshot::channel();
        if self.asks.send(Ask::Release(parts, tell)).await.is_ok() {
            // The keeper answers, or is gone and the life with it.
            let _ = told.await;
        }
    }

    /// Ends in good order: others may begin at once.
    pub(crate) async fn leave(&self) {
        let (tell, told) = oneshot::channel();
        if self.asks.send(Ask::Leave(tell)).await.is_ok() {
            let _ = told.await;
        }
    }
}
