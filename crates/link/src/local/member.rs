//! One worker's place in a group, in front of the desk that all of this process share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_event::{BusError, Clock, Delivery, Later, Member, Settlement, Tag};

use super::desk::{Desk, Effect, MemberId};
use super::lock;
use super::wait::{Bell, Moment};

/// How long a caller waits for the engine at the most: one that restarts is back by then, and a caller that is told "not
/// durable" resends by the same id.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// A group's part in this process, as an engine keeps it.
pub(crate) trait Seat: Send + Sync + 'static {
    /// Who has which delivery.
    fn desk(&self) -> &Mutex<Desk>;

    /// Rung when members may find something new.
    fn bell(&self) -> &Bell;

    fn clock(&self) -> &Clock;

    /// Does what the desk wants done, at once; ready when the engine knows of it. `is_done`: deliveries are among it whose
    /// acknowledgement the engine has to know.
    fn carry_out(self: Arc<Self>, effects: Vec<Effect>, is_done: bool) -> Later<'static, Result<(), BusError>>;

    /// A member has gone.
    fn has_left(&self);

    /// What a caller hears that has waited too long.
    fn late(&self) -> BusError;
}

/// A member.
pub(crate) struct Seated<S: Seat> {
    pub(crate) seat: Arc<S>,
    pub(crate) id: MemberId,
    pub(crate) lease: Duration,
}

impl<S: Seat> Seated<S> {
    /// Does what follows from a change on the desk, and waits for nobody.
    fn begin(&self, effects: Vec<Effect>) {
        if !effects.is_empty() {
            drop(Arc::clone(&self.seat).carry_out(effects, false));
        }
    }
}

impl<S: Seat> Member for Seated<S> {
    fn next(&mut self, max: usize) -> Later<'_, Result<Vec<Delivery>, BusError>> {
        Box::pin(async move {
            let mut ear = self.seat.bell().listen();
            loop {
                // Asked for before the clock is looked at.
                let moment = Moment::of(self.seat.clock());
                let mut effects = Vec::new();
                let (deliveries, deadline) = {
                    let mut desk = lock(self.seat.desk());
                    if desk.is_closed() {
                        return Err(BusError::Closed);
                    }
                    (desk.next(self.id, max, self.seat.clock().now(), &mut effects), desk.deadline())
                };
                self.begin(effects);
                if !deliveries.is_empty() {
                    return Ok(deliveries);
                }
                tokio::select! {
                    () = ear.rung() => {}
                    () = moment.until(deadline) => {}
                }
            }
        })
    }

    fn settle(&mut self, settlements: Vec<(Tag, Settlement)>) -> Later<'_, Result<usize, BusError>> {
        let mut effects = Vec::new();
        let has_done = settlements.iter().any(|(_, settlement)| *settlement == Settlement::Done);
        let counted = {
            let mut desk = lock(self.seat.desk());
            if desk.is_closed() {
                return Box::pin(std::future::ready(Err(BusError::Closed)));
            }
            desk.settle(self.id, settlements, self.seat.clock().now(), &mut effects)
        };
        let known = Arc::clone(&self.seat).carry_out(effects, has_done && counted > 0);
        // There may be room for others now, and what is to come again has a moment.
        self.seat.bell().ring();
        Box::pin(async move {
            let known = tokio::time::timeout(ANSWER_TIME_MAX, known).await;
            known.unwrap_or_else(|_| Err(self.seat.late())).map(|()| counted)
        })
    }

    fn renew(&mut self, tags: &[Tag]) {
        let mut effects = Vec::new();
        lock(self.seat.desk()).renew(self.id, tags, self.seat.clock().now(), &mut effects);
        self.begin(effects);
    }

    fn lease(&self) -> Duration {
        self.lease
    }
}

impl<S: Seat> Drop for Seated<S> {
    fn drop(&mut self) {
        let mut effects = Vec::new();
        lock(self.seat.desk()).leave(self.id, self.seat.clock().now(), &mut effects);
        self.begin(effects);
        self.seat.has_left();
        self.seat.bell().ring();
    }
}
