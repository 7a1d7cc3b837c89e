//! Who is connected, so that all can be told when the program ends.
//!
//! One task waits for the end on behalf of everybody: a waiting future in each connection would cost an idle watcher
//! 200 bytes, a tenth of all that it costs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use headwater_hub::Outlet;

use super::close::{self, close_payload};
use super::frame::{Opcode, write_frame};
use crate::accept::Stopping;

/// The present connections of one listener; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Present(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    outlets: Vec<Option<Weak<Outlet>>>,
    free: Vec<u32>,
    is_waiting: bool,
    is_over: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("present", &(self.outlets.len() - self.free.len())).finish_non_exhaustive()
    }
}

/// One connection's place among the present; dropping it gives it up.
#[derive(Debug)]
pub struct Place {
    present: Present,
    at: u32,
}

impl Present {
    /// Enters a connection, which is told to go once `stopping` says so. All connections have the same `stopping`.
    pub(super) fn enter(&self, outlet: &Arc<Outlet>, stopping: Stopping) -> Place {
        let mut state = self.lock();
        if state.is_over || stopping.is_requested() {
            send_away(outlet);
        } else if !state.is_waiting {
            state.is_waiting = true;
            let (present, mut stopping) = (self.clone(), stopping);
            tokio::spawn(async move {
                stopping.requested().await;
                present.end();
            });
        }
        let outlet = Some(Arc::downgrade(outlet));
        let at = match state.free.pop() {
            Some(at) => at,
            None => {
                state.outlets.push(None);
                // A process has far fewer sockets.
                u32::try_from(state.outlets.len() - 1).unwrap_or(u32::MAX)
            }
        };
        state.outlets[at as usize] = outlet;
        drop(state);
        Place { present: self.clone(), at }
    }

    fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let outlets: Vec<_> = state.outlets.iter().flatten().filter_map(Weak::upgrade).collect();
        // Not under the lock: the last reference to an outlet may go here, and its connection with it.
        drop(state);
        outlets.iter().for_each(send_away);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send_away(outlet: &Arc<Outlet>) {
    let mut frame = Vec::new();
    write_frame(Opcode::Close, &close_payload(close::GOING_AWAY, "the hub is shutting down"), &mut frame);
    // Who doesn't read can't be told, and is closed as well.
    let _ = outlet.send(frame.into());
    outlet.close();
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.present.lock();
        if let Some(outlet) = state.outlets.get_mut(self.at as usize) {
            *outlet = None;
            state.free.push(self.at);
        }
    }
}
