//! One connection a client id of a principal: the newest takes over, once the one before has stopped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use headwater_event::{Principal, ProducerId};
use tokio::sync::{OwnedMutexGuard, watch};

/// Who is connected, by client id. Holds as many entries as there are connections with a HELLO.
#[derive(Debug, Default)]
pub struct Seats {
    by_client: Mutex<HashMap<Name, Arc<Seat>>>,
}

/// Whose seat it is. Another principal that uses the same client id has a seat of its own: it takes nothing over, and the log
/// refuses whichever of the two is out of order.
type Name = (ProducerId, Principal);

#[derive(Debug)]
struct Seat {
    /// The ticket of the newest claim; who holds an older one has to leave.
    newest: watch::Sender<u64>,
    /// Held by the connection that speaks for this client.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A connection's place, from its HELLO to its end.
#[derive(Debug)]
pub struct Claim {
    seats: Arc<Seats>,
    name: Name,
    seat: Arc<Seat>,
    ticket: u64,
    newest: watch::Receiver<u64>,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Seats {
    /// Claims the seat of this client of this principal: whoever has it is told to leave.
    pub fn claim(self: &Arc<Self>, client: ProducerId, who: &Principal) -> Claim {
        let name = (client, who.clone());
        let mut by_client = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = by_client
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Seat { newest: watch::Sender::new(0), turn: Arc::default() }))
            .clone();
        let mut ticket = 0;
        seat.newest.send_modify(|newest| {
            *newest += 1;
            ticket = *newest;
        });
        let newest = seat.newest.subscribe();
        Claim { seats: self.clone(), name, seat, ticket, newest, turn: None }
    }
}

impl Claim {
    /// Waits until the one before has left. False when a newer one has come meanwhile: then this one leaves.
    pub async fn sit(&mut self) -> bool {
        self.turn = Some(self.seat.turn.clone().lock_owned().await);
        !self.is_superseded()
    }

    /// Whether a newer connection wants the seat.
    pub fn is_superseded(&self) -> bool {
        *self.newest.borrow() != self.ticket
    }

    /// Resolves when a newer connection wants the seat.
    pub fn superseded(&self) -> impl Future<Output = ()> + Send + use<> {
        let (mut newest, ticket) = (self.newest.clone(), self.ticket);
        async move {
            // An error means that the seat is gone, which can't be while this claim holds it; then too it's time to leave.
            let _ = newest.wait_for(|newest| *newest != ticket).await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut by_client = self.seats.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and ours: nobody else has it or waits for it, and nobody can come while the map is locked.
        if Arc::strong_count(&self.seat) == 2 {
            by_client.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_takes_over_once_the_older_has_left() {
        let seats = Arc::new(Seats::default());
        let client = ProducerId::from_u128(1);
        let mut first = seats.claim(client, &Principal::anonymous());
        assert!(first.sit().await);
        let mut second = seats.claim(client, &Principal::anonymous());
        let mut third = seats.claim(client, &Principal::anonymous());
        first.superseded().await;
        let order = tokio::join!(
            async {
                drop(first);
            },
            async {
                let stays = second.sit().await;
                drop(second);
                stays
            },
            third.sit(),
        );
        assert_eq!(order, ((), false, true));
    }

    #[tokio::test]
    async fn an_empty_seat_costs_nothing() {
        let seats = Arc::new(Seats::default());
        let mut claim = seats.claim(ProducerId::from_u128(1), &Principal::anonymous());
        assert!(claim.sit().await);
        let waiting = seats.claim(ProducerId::from_u128(1), &Principal::anonymous());
        drop(claim);
        assert_eq!(seats.by_client.lock().unwrap().len(), 1);
        drop(waiting);
        assert!(seats.by_client.lock().unwrap().is_empty());
    }
}
