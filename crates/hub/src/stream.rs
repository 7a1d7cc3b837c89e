//! A watch that is asked for bytes, where there is no socket to hand over: the same rings, the same bounds.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use headwater_event::Principal;

use crate::encode::Sink;
use crate::hub::Hub;
use crate::outlet::{Closed, Outlet, OutletSettings};
use crate::watch::{Watch, WatchError};

/// The bytes of one watch. Dropping it ends the watch.
pub struct WatchStream {
    outlet: Arc<Outlet>,
    hand: Arc<Hand>,
    closed: Option<Closed>,
}

/// Takes one write at a time, so it holds at most what the hub writes at once.
#[derive(Default)]
struct Hand {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: Option<Bytes>,
    /// Who waits for bytes: a shard that writes into the hand wakes nobody else.
    waker: Option<Waker>,
}

impl WatchStream {
    pub(crate) async fn open(
        hub: &Arc<Hub>,
        who: &Principal,
        watch: Watch,
        settings: OutletSettings,
    ) -> Result<Self, WatchError> {
        let hand = Arc::new(Hand::default());
        let outlet = hub.outlet(who.clone(), Box::new(HandSink(Arc::clone(&hand))), settings);
        outlet.watch(watch).await?;
        Ok(Self { outlet, hand, closed: None })
    }

    /// The next bytes: one or more whole frames. `None` when the watch has ended; see [`WatchStream::closed`].
    pub async fn next(&mut self) -> Option<Bytes> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`WatchStream::next`], for those who poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let hand = Arc::clone(&self.hand);
        if self.closed.is_none() {
            let mut writable = |_: &mut Context<'_>| match hand.is_empty() {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            };
            if let Poll::Ready(closed) = self.outlet.poll_drive(cx, &mut writable) {
                self.closed = Some(closed);
            }
        }
        let mut held = self.hand.lock();
        match (held.bytes.take(), &self.closed) {
            (Some(bytes), _) => Poll::Ready(Some(bytes)),
            (None, Some(_)) => Poll::Ready(None),
            (None, None) => {
                held.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Why it ended, once it has.
    #[must_use]
    pub const fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// The outlet behind it, for further watches and frames.
    #[must_use]
    pub const fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.outlet.close();
    }
}

impl Hand {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.lock().bytes.is_none()
    }
}

struct HandSink(Arc<Hand>);

impl Sink for HandSink {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut held = self.0.lock();
        if held.bytes.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut bytes = Vec::with_capacity(slices.iter().map(|slice| slice.len()).sum());
        for slice in slices {
            bytes.extend_from_slice(slice);
        }
        let len = bytes.len();
        held.bytes = Some(bytes.into());
        if let Some(waker) = held.waker.take() {
            waker.wake();
        }
        Ok(len)
    }
}
