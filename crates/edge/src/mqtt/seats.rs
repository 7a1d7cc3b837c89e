//! One connection a client: the newest takes over, once the one before has ended and its session is saved.
//!
//! The key is principal and client id together: another principal that shows the same client id gets a seat, and a
//! session, of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use headwater_event::Seq;
use headwater_hub::Outlet;
use tokio::sync::{Notify, OwnedMutexGuard};

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

#[derive(Default)]
struct Seat {
    /// Held by the connection that speaks for this client.
    turn: Arc<tokio::sync::Mutex<()>>,
    sitting: Mutex<Sitting>,
    /// Rung when another edge has said something of this client.
    told: Notify,
}

#[derive(Default)]
struct Sitting {
    outlet: Weak<Outlet>,
    /// The ticket of the newest claim; who holds an older one has to leave.
    newest: u64,
    /// Where the claim of the outlet's connection stands in the log, if others are over it.
    term: Seq,
    /// The newest claim of another edge, and whether that wants no session of before.
    elsewhere: Seq,
    is_clean_elsewhere: bool,
    /// The newest term of another edge that has ended, its session saved.
    given_up: Seq,
}

/// A connection's place, until it has ended and its session is saved.
pub(super) struct Claim {
    seats: Arc<Seats>,
    key: Key,
    seat: Arc<Seat>,
    ticket: u64,
    /// Where it stands in the log, once it does.
    term: Seq,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Seats {
    /// Claims the seat of this client: whoever has it is told to leave by its outlet's end.
    pub(super) fn claim(self: &Arc<Self>, key: Key) -> Claim {
        let seat = {
            let mut by_key = self.lock();
            let free = || Arc::new(Seat::default());
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
        Claim { seats: Arc::clone(self), key, seat, ticket, term: 0, turn: None }
    }

    /// Claims the seat only if nobody has it or waits for it.
    pub(super) fn claim_free(self: &Arc<Self>, key: &Key) -> Option<Claim> {
        let mut by_key = self.lock();
        if by_key.contains_key(key) {
            return None;
        }
        let seat = Arc::new(Seat::default());
        let turn = Arc::clone(&seat.turn).try_lock_owned().ok();
        by_key.insert(key.clone(), Arc::clone(&seat));
        drop(by_key);
        Some(Claim { seats: Arc::clone(self), key: key.clone(), seat, ticket: 0, term: 0, turn })
    }

    /// Another edge has claimed this client's seat, at this place in the log: whoever has an older claim leaves.
    pub(super) fn claimed_elsewhere(&self, key: &Key, at: Seq, is_clean: bool) {
        let Some(seat) = self.lock().get(key).cloned() else { return };
        let outlet = {
            let mut sitting = seat.lock();
            if sitting.elsewhere < at {
                (sitting.elsewhere, sitting.is_clean_elsewhere) = (at, is_clean);
            }
            if sitting.term < at { sitting.outlet.upgrade() } else { None }
        };
        if let Some(outlet) = outlet {
            outlet.close();
        }
    }

    /// The connection of this term has ended on another edge, and its session is saved.
    pub(super) fn given_up_elsewhere(&self, key: &Key, term: Seq) {
        let Some(seat) = self.lock().get(key).cloned() else { return };
        {
            let mut sitting = seat.lock();
            sitting.given_up = sitting.given_up.max(term);
        }
        seat.told.notify_waiters();
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
        sitting.term = self.term;
        sitting.newest == self.ticket && !self.is_older(&sitting)
    }

    /// Whether a newer connection wants the seat.
    pub(super) fn is_superseded(&self) -> bool {
        let sitting = self.seat.lock();
        sitting.newest != self.ticket || self.is_older(&sitting)
    }

    fn is_older(&self, sitting: &Sitting) -> bool {
        self.term > 0 && sitting.elsewhere > self.term
    }

    /// Whether another edge has the seat now; and then whether that wanted no session of before.
    pub(super) fn is_elsewhere(&self) -> Option<bool> {
        let sitting = self.seat.lock();
        self.is_older(&sitting).then_some(sitting.is_clean_elsewhere)
    }

    /// The claim stands in the log.
    pub(super) const fn stands_at(&mut self, term: Seq) {
        self.term = term;
    }

    pub(super) const fn term(&self) -> Seq {
        self.term
    }

    /// Waits until the connection of this term has ended on another edge.
    pub(super) async fn given_up(&self, term: Seq) {
        loop {
            let told = self.seat.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if self.seat.lock().given_up >= term {
                return;
            }
            told.await;
        }
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
    async fn a_claim_of_another_edge_counts_from_its_place_in_the_log() {
        let seats = Arc::new(Seats::default());
        let key = Key::new("ada", "c");
        let mut claim = seats.claim(key.clone());
        assert!(claim.sit().await);
        // Another one stands in the log before ours is known to: it is the older one.
        seats.claimed_elsewhere(&key, 5, false);
        claim.stands_at(6);
        assert!(!claim.is_superseded() && claim.is_elsewhere().is_none());
        seats.claimed_elsewhere(&key, 7, true);
        seats.claimed_elsewhere(&key, 4, false);
        assert!(claim.is_superseded());
        assert_eq!(claim.is_elsewhere(), Some(true));
        // A newer one of ours is the newest of all, and waits for what the other edge has.
        let mut newest = seats.claim(key.clone());
        drop(claim);
        assert!(newest.sit().await);
        newest.stands_at(8);
        assert!(!newest.is_superseded());
        let (_, ()) = tokio::join!(newest.given_up(7), async { seats.given_up_elsewhere(&key, 7) });
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
