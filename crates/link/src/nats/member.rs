//! One worker's place in a group.

use std::sync::Arc;
use std::time::Duration;

use headwater_event::{BusError, Delivery, Later, Member, Settlement, Tag};

use super::seat::Seat;
use super::shared::{ANSWER_TIME_MAX, Shared, lock};
use crate::local::desk::MemberId;
use crate::local::wait::Moment;

/// A member.
pub(super) struct Seated {
    pub shared: Arc<Shared>,
    pub seat: Arc<Seat>,
    pub id: MemberId,
    pub lease: Duration,
}

impl Member for Seated {
    fn next(&mut self, max: usize) -> Later<'_, Result<Vec<Delivery>, BusError>> {
        Box::pin(async move {
            let mut ear = self.seat.bell.listen();
            loop {
                // Asked for before the clock is looked at.
                let moment = Moment::of(&self.shared.clock);
                let (deliveries, deadline, effects) = {
                    let mut desk = lock(&self.seat.desk);
                    if desk.is_closed() {
                        return Err(BusError::Closed);
                    }
                    let mut effects = Vec::new();
                    let deliveries = desk.next(self.id, max, self.shared.clock.now(), &mut effects);
                    (deliveries, desk.deadline(), effects)
                };
                self.seat.carry_out(effects);
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
        let mut desk = lock(&self.seat.desk);
        if desk.is_closed() {
            return Box::pin(std::future::ready(Err(BusError::Closed)));
        }
        let counted = desk.settle(self.id, settlements, self.shared.clock.now(), &mut effects);
        drop(desk);
        let waits = self.seat.carry_out(effects);
        // There may be room for others now, and what is to come again has a moment.
        self.seat.bell.ring();
        Box::pin(async move {
            let all = async {
                for wait in waits {
                    wait.await.map_err(|_| BusError::Closed)?.map_err(|why| self.shared.storage(why))?;
                }
                Ok(counted)
            };
            tokio::time::timeout(ANSWER_TIME_MAX, all).await.unwrap_or_else(|_| Err(self.shared.late()))
        })
    }

    fn renew(&mut self, tags: &[Tag]) {
        let mut effects = Vec::new();
        lock(&self.seat.desk).renew(self.id, tags, self.shared.clock.now(), &mut effects);
        self.seat.carry_out(effects);
    }

    fn lease(&self) -> Duration {
        self.lease
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.seat.left(self.id);
    }
}
