//! What a person may see of a connection's way out, and do to it: its watches, how far each is behind, and its end.

use std::io::IoSlice;
use std::sync::atomic::Ordering;

use headwater_event::{Filter, Seq};

use crate::outlet::{Closed, Outlet};
use crate::subscription::{Place, Subscription};

/// How many frames may stand before the last words: a client that has left so many unread won't read those either.
const LAST_FRAMES_MAX: usize = 16;

/// Where a watch gets its bytes from at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the ring: it keeps up, or nearly.
    Ring,
    /// From the log: it has to catch up, or the latest states are being told.
    Log,
}

/// One watch of one connection.
#[derive(Clone, Debug)]
pub struct Watched {
    /// What it wants.
    pub filter: Filter,
    /// The name of its spelling.
    pub encoder: &'static str,
    /// Where its bytes come from.
    pub source: Source,
    /// How many places of the log it is behind; 0 for one that has all there is.
    pub lag: Seq,
}

/// Some watches of one connection.
#[derive(Clone, Debug, Default)]
pub struct WatchedPage {
    /// In the order of their places.
    pub watches: Vec<Watched>,
    /// The place to go on from; `None` at the end.
    pub next: Option<u32>,
}

/// How one connection's way out stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutletStat {
    /// How many watches it has.
    pub watches: usize,
    /// The lag of the one that is furthest behind, in places of the log, among those that were looked at.
    pub lag: Seq,
    /// The bytes of answers that wait for the socket.
    pub waiting_bytes: usize,
    /// Whether the socket takes nothing at present.
    pub is_blocked: bool,
}

impl Outlet {
    /// Up to `limit` watches from place `from` on.
    #[must_use]
    pub fn watched(&self, from: u32, limit: usize) -> WatchedPage {
        let state = self.lock();
        let mut page = WatchedPage::default();
        for at in from..state.subscriptions.end() {
            let Some(subscription) = state.subscriptions.get(at) else { continue };
            if page.watches.len() == limit {
                page.next = Some(at);
                break;
            }
            page.watches.push(Watched {
                filter: subscription.ring.filter().clone(),
                encoder: subscription.ring.encoder().name(),
                source: if let Place::Reading(_) = subscription.place { Source::Log } else { Source::Ring },
                lag: self.lag_of(subscription),
            });
        }
        page
    }

    /// How it stands; looks at the first `looked_at_max` watches.
    #[must_use]
    pub fn stat(&self, looked_at_max: usize) -> OutletStat {
        let state = self.lock();
        let looked_at = (0..state.subscriptions.end()).filter_map(|at| state.subscriptions.get(at)).take(looked_at_max);
        OutletStat {
            watches: state.subscriptions.len(),
            lag: looked_at.map(|subscription| self.lag_of(subscription)).max().unwrap_or(0),
            waiting_bytes: state.own_bytes + state.front.len(),
            is_blocked: state.is_blocked,
        }
    }

    /// Sends it away, because a person said so.
    pub(crate) fn dismiss(&self) {
        self.close_as(Closed::Dismissed);
    }

    /// The edge's last frame on a connection that the hub has ended: written at once, behind all that was to be written
    /// before it, or not at all. For an edge whose protocol has a word for why.
    pub fn last_words(&self, frame: &[u8]) {
        let mut state = self.lock();
        let (front, own) = (std::mem::take(&mut state.front), std::mem::take(&mut state.own));
        if own.len() <= LAST_FRAMES_MAX {
            let before = std::iter::once(&front).chain(&own).map(|bytes| &bytes[..]);
            let slices: Vec<_> = before.chain([frame]).map(IoSlice::new).collect();
            // Whoever takes nothing now can't be told.
            let _ = self.sink.try_write(&slices);
        }
    }

    /// What it hasn't seen, counted in places of the log, whoever wants what stands there: of a ring that is read to its
    /// end, nothing.
    fn lag_of(&self, subscription: &Subscription) -> Seq {
        let up_to = match subscription.place {
            Place::Live(cursor) if cursor == subscription.ring.end() => return 0,
            Place::Live(_) => subscription.ring.now().1,
            Place::Joining => self.core.up_to.load(Ordering::Acquire),
            Place::Reading(_) => self.core.gate.head().seq,
        };
        up_to.saturating_sub(subscription.seen)
    }
}
