//! One connection a client: the newest takes over, once the one before has ended and its session is saved.
//!
//! The key is principal and client id together: another principal that shows the same client id gets a seat, and a
//! session, of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use headwater_hub::Outlet;
use tokio::sync::OwnedMutexGuard;

/// Whose seat: principal and client id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    text: Arc<str>,
    principal_len: usize,
}

impl Key {
    pub(super) fn new(principal: &str, client: &str) -> Self {
        Self { text: format!("{principal}{client}").into(), principal_len: principal.len() }
    }

    pub(super) fn principal(&self) -> &str {
        &self.text[..self.principal_len]
    }

    pub(super) fn client(&self) -> &str {
        &self.text[self.principal_len..]
    }
}

/// Who is connected.
#[derive(Default)]
pub(super) struct Seats {
    by_key: Mutex<HashMap<Key, Arc<Seat>>>,
}

struct Seat {
    /// Held by the connection that speaks for this client.
    turn: Arc<tokio::sync::Mutex<()>>,
    sitting: Mutex<Sitting>,
}

#[derive(Default)]
struct Sitting {
    outlet: Weak<Outlet>,
    /// The ticket of the newest claim; who holds an older one has to leave.
    newest: u64,
}

/// A connection's place, until it has ended and its session is saved.
pub(super) struct Claim {
    seats: Arc<Seats>,
    key: Key,
    seat: Arc<Seat>,
    ticket: u64,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Seats {
    /// Claims the seat of this client: whoever has it is told to leave by its outlet's end.
    pub(super) fn claim(self: &Arc<Self>, key: Key) -> Claim {
        let seat = {
            let mut by_key = self.lock();
            let free = || Arc::new(Seat { turn: Arc::default(), sitting: Mutex::default() });
            Arc::clone(by_key.entry(key.clone()).or_insert_with(free))
        };
        let (ticket, before) = {
            let mut sitting = seat.lock();
            sitting.newest += 1;
            (sitting.newest, sitting.outlet.upgrade())
        };
        if let Some(outlet) = before {
            outlet.close();
        }
        Claim { seats: Arc::clone(self), key, seat, ticket, turn: None }
    }

    /// Claims the seat only if nobody has it or waits for it.
    pub(super) fn claim_free(self: &Arc<Self>, key: &Key) -> Option<Claim> {
        let mut by_key = self.lock();
        if by_key.contains_key(key) {
            return None;
        }
        let seat = Arc::new(Seat { turn: Arc::default(), sitting: Mutex::default() });
        let turn = Arc::clone(&seat.turn).try_lock_owned().ok();
        by_key.insert(key.clone(), Arc::clone(&seat));
        drop(by_key);
        Some(Claim { seats: Arc::clone(self), key: key.clone(), seat, ticket: 0, turn })
    }

    /// How many clients are connected, or on their way in or out.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Seat>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Sitting> {
        self.sitting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Waits until the one before has ended. False when a newer one has come meanwhile: then this one leaves.
    pub(super) async fn sit(&mut self) -> bool {
        self.turn = Some(Arc::clone(&self.seat.turn).lock_owned().await);
        !self.is_superseded()
    }

    /// From here on a newer claim ends this outlet. False when there is one already.
    pub(super) fn take(&self, outlet: &Arc<Outlet>) -> bool {
        let mut sitting = self.seat.lock();
        sitting.outlet = Arc::downgrade(outlet);
        sitting.newest == self.ticket
    }

    /// Whether a newer connection wants the seat.
    pub(super) fn is_superseded(&self) -> bool {
        self.seat.lock().newest != self.ticket
    }

    pub(super) const fn key(&self) -> &Key {
        &self.key
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        drop(self.turn.take());
        let mut by_key = self.seats.lock();
        // The map's and ours: nobody else has it or waits for it, and nobody can come while the map is locked.
        if Arc::strong_count(&self.seat) == 2 {
            by_key.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_takes_over_once_the_older_has_ended() {
        let seats = Arc::new(Seats::default());
        let key = Key::new("ada", "c");
        let mut first = seats.claim(key.clone());
        assert!(first.sit().await && !first.is_superseded());
        let mut second = seats.claim(key.clone());
        let mut third = seats.claim(key);
        assert!(first.is_superseded());
        let (second_stays, third_stays) = tokio::join!(
            async {
                drop(first);
                let stays = second.sit().await;
                drop(second);
                stays
            },
            third.sit(),
        );
        assert_eq!((second_stays, third_stays, seats.len()), (false, true, 1));
        drop(third);
        assert_eq!(seats.len(), 0);
    }

    #[tokio::test]
    async fn another_principal_has_another_seat() {
        let seats = Arc::new(Seats::default());
        let mut ada = seats.claim(Key::new("ada", "c"));
        assert!(ada.sit().await);
        assert!(seats.claim_free(&Key::new("ada", "c")).is_none());
        let grace = seats.claim_free(&Key::new("adac", "")).unwrap();
        assert!(!ada.is_superseded() && grace.key() != ada.key());
        assert_eq!((grace.key().principal(), grace.key().client()), ("adac", ""));
    }
}
