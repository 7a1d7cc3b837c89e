//! One worker's place in a group: waits for deliveries, hands them out, and carries settlements to the log.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use headwater_event::clock::Moved;
use headwater_event::{BusError, Clock, Delivery, Filter, Later, Member, Position, Seq, Settlement, Tag, Tail, Time};

use super::Appended;
use super::group::MemberId;
use super::record::{GroupRecord, Settled};
use super::registry::{Seat, Table};
use crate::derived::Desk;

/// How many events that come again are read at once: with the largest payloads of 1 MiB that's 64 MiB.
const RETRIES_READ_MAX: usize = 64;

/// A member of a group.
pub(crate) struct Worker {
    id: MemberId,
    seat: Arc<Seat>,
    desk: Arc<dyn Desk>,
    filters: Arc<[Filter]>,
    jitter: Jitter,
}

/// What a look at the group found to do.
enum Look {
    /// These are leased; done.
    Take(Vec<Delivery>),
    /// These are due and have to be read.
    Again(Vec<Seq>),
    /// There's room, and this reads on.
    Read(Box<dyn Tail>),
    /// There's room only when a delivery is settled.
    Wait,
}

impl Worker {
    pub(crate) fn new(id: MemberId, seat: Arc<Seat>, desk: Arc<dyn Desk>) -> Self {
        let filters = Arc::clone(&seat.lock().group.filters);
        Self { id, seat, desk, filters, jitter: Jitter::new() }
    }

    fn now(&self) -> Time {
        self.desk.clock().now()
    }

    /// Nothing is held from one round to the next: whenever this is dropped, what it has read is still there or is read
    /// again, and a lease is taken only in the very step that gives the delivery to the caller.
    async fn deliveries(&mut self, max: usize) -> Result<Vec<Delivery>, BusError> {
        loop {
            // Both before looking, so that nothing that happens after the look is missed.
            let mut changed = pin!(self.seat.changed.notified());
            changed.as_mut().enable();
            let moved = self.desk.clock().moved();
            let (look, moment) = self.look(max.max(1))?;
            let beyond = match look {
                Look::Take(deliveries) => return Ok(deliveries),
                Look::Again(seqs) => {
                    let deliveries = self.again(seqs).await?;
                    if !deliveries.is_empty() {
                        return Ok(deliveries);
                    }
                    continue;
                }
                Look::Read(tail) => match self.read(tail).await? {
                    Some(head) => Some(head),
                    None => continue,
                },
                Look::Wait => None,
            };
            tokio::select! {
                () = changed => {}
                () = until(self.desk.clock(), moment, moved) => {}
                grown = grown(&*self.desk, beyond) => grown?,
            }
        }
    }

    /// Looks at the group for something to do, and when to look again.
    fn look(&self, max: usize) -> Result<(Look, Option<Time>), BusError> {
        let now = self.now();
        let mut table = self.seat.lock();
        if table.group.ended {
            return Err(BusError::Closed);
        }
        let over = table.group.expire(now);
        self.record(over);
        if std::mem::take(&mut table.group.overtaken) {
            return Err(BusError::Gone { oldest: Position::new(self.desk.epoch(), self.desk.freed()) });
        }
        let due = table.group.due(now, max.min(RETRIES_READ_MAX));
        if !due.is_empty() {
            return Ok((Look::Again(due), None));
        }
        let deliveries = table.take_ahead(self.id, max, now);
        if !deliveries.is_empty() {
            return Ok((Look::Take(deliveries), None));
        }
        let look = match table.group.fresh_room() {
            0 => Look::Wait,
            _ => Look::Read(self.tail(&mut table)?),
        };
        // Whatever another member takes later was made available by something that wakes this one, too: it looks again then
        // and sees when that lease ends.
        Ok((look, table.group.next_moment()))
    }

    /// The shared reader, or a new one while another member reads with it (or was dropped with it in hand).
    fn tail(&self, table: &mut Table) -> Result<Box<dyn Tail>, BusError> {
        if let Some(tail) = table.tail.take() {
            return Ok(tail);
        }
        match self.desk.tail(table.read_to) {
            Err(BusError::Gone { oldest }) => {
                table.group.freed(oldest.seq);
                table.forget_read();
                table.group.overtaken = false;
                Err(BusError::Gone { oldest })
            }
            other => other,
        }
    }

    /// Reads on; `Some` with where the log stands when there's nothing yet.
    async fn read(&self, mut tail: Box<dyn Tail>) -> Result<Option<Seq>, BusError> {
        let from = tail.position().seq;
        let filters = &self.filters;
        let wanted = |topic: &str| filters.iter().any(|filter| filter.matches(topic));
        let batch = match tail.next_now(&wanted).await {
            // Retention was faster than this reader; opening a new one tells how far.
            Err(BusError::Gone { .. }) => return Ok(None),
            batch => batch?,
        };
        let mut table = self.seat.lock();
        let Some(batch) = batch else {
            if table.read_to == from && table.tail.is_none() {
                table.tail = Some(tail);
            }
            return Ok(Some(from));
        };
        // Another reader may have been here meanwhile; what it has brought is known already.
        if from <= table.read_to && batch.up_to > table.read_to {
            let known = table.read_to;
            table.ahead.extend(batch.events.into_iter().filter(|recorded| recorded.position.seq > known));
            table.read_to = batch.up_to;
            table.tail = Some(tail);
        }
        Ok(None)
    }

    /// Reads events that come again, and leases those that nobody else took meanwhile.
    async fn again(&self, seqs: Vec<Seq>) -> Result<Vec<Delivery>, BusError> {
        let events = self.desk.read(seqs.clone()).await?;
        let now = self.now();
        let mut table = self.seat.lock();
        if table.group.ended {
            return Err(BusError::Closed);
        }
        let mut deliveries = Vec::with_capacity(seqs.len());
        let mut lost = Vec::new();
        for (seq, event) in seqs.into_iter().zip(events) {
            match event {
                None => lost.push(seq),
                Some(recorded) => {
                    let attempt = table.group.lease_due(seq, self.id, now);
                    deliveries.extend(attempt.map(|attempt| Delivery { recorded, attempt }));
                }
            }
        }
        let lost = table.group.lost(lost, now);
        self.record(lost);
        Ok(deliveries)
    }

    /// Hands records to the log, in the order in which the group made them: it must still be locked. Nobody waits for
    /// these: should they be lost, what they say happens again.
    fn record(&self, records: Vec<Settled>) {
        if !records.is_empty() {
            drop(self.desk.append(encoded(records)));
        }
    }

    fn submit(&mut self, settlements: Vec<(Tag, Settlement)>) -> Result<(usize, Option<Appended>), BusError> {
        let now = self.now();
        let mut table = self.seat.lock();
        if table.group.ended {
            return Err(BusError::Closed);
        }
        let (counted, records) = table.group.settle(self.id, settlements, now, &mut || self.jitter.next());
        let appended = (!records.is_empty()).then(|| self.desk.append(encoded(records)));
        drop(table);
        // A retry may be due before what the others wait for.
        self.seat.changed.notify_waiters();
        Ok((counted, appended))
    }
}

impl Table {
    /// Leases what was read ahead, in the order of the log.
    fn take_ahead(&mut self, member: MemberId, max: usize, now: Time) -> Vec<Delivery> {
        let room = max.min(self.group.fresh_room());
        let mut deliveries = Vec::with_capacity(room.min(self.ahead.len()));
        while deliveries.len() < room {
            let Some(recorded) = self.ahead.pop_front() else { break };
            if self.group.offer(recorded.position.seq, member, now) {
                deliveries.push(Delivery { recorded, attempt: 1 });
            }
        }
        if self.ahead.is_empty() {
            self.group.pass(self.read_to);
        }
        deliveries
    }
}

fn encoded(records: Vec<Settled>) -> Vec<Vec<u8>> {
    records.into_iter().map(|settled| GroupRecord::Settled(settled).encode()).collect()
}

/// Waits for a moment; for ever when there's none.
async fn until(clock: &Clock, moment: Option<Time>, moved: Option<Moved>) {
    let Some(moment) = moment else { return std::future::pending().await };
    let now = clock.now();
    if now >= moment {
        return;
    }
    match moved {
        Some(moved) => moved.await,
        // A microsecond more would be a second round for nothing: timers have a millisecond's step.
        None => tokio::time::sleep(moment.since(now).max(Duration::from_millis(1))).await,
    }
}

async fn grown(desk: &dyn Desk, beyond: Option<Seq>) -> Result<(), BusError> {
    match beyond {
        Some(beyond) => desk.grown(beyond).await,
        None => std::future::pending().await,
    }
}

impl Member for Worker {
    fn next(&mut self, max: usize) -> Later<'_, Result<Vec<Delivery>, BusError>> {
        Box::pin(self.deliveries(max))
    }

    fn settle(&mut self, settlements: Vec<(Tag, Settlement)>) -> Later<'_, Result<usize, BusError>> {
        // At once and not with the first poll: a settlement that nobody waits for is one, too.
        let submitted = self.submit(settlements);
        Box::pin(async move {
            let (counted, appended) = submitted?;
            if let Some(appended) = appended {
                appended.await?;
            }
            Ok(counted)
        })
    }

    fn renew(&mut self, tags: &[Tag]) {
        let now = self.now();
        self.seat.lock().group.renew(self.id, tags, now);
    }

    fn lease(&self) -> Duration {
        self.seat.lock().group.lease()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let now = self.now();
        let mut table = self.seat.lock();
        let records = table.group.leave(self.id, now);
        if !table.group.ended {
            self.record(records);
        }
        if table.group.counts().2 == 0 {
            // Also lets go of the log, which would otherwise hold itself.
            table.forget_read();
        }
        drop(table);
        self.seat.changed.notify_waiters();
    }
}

/// Numbers from 0 to 1 that differ from member to member; nothing depends on their being good ones (SplitMix64).
struct Jitter(u64);

impl Jitter {
    fn new() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        // 53 bits: as many as a double holds exactly.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}
