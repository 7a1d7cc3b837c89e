//! The task behind a seat: the group's queue, what comes out of it, and what is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt as _, StreamExt as _};
use headwater_event::{EventId, GroupName, Position, Recorded};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::seat::{Out, Seat};
use super::shared::{backoff, stopped};
use super::wire::{Lost, Side, answered, end, part};
use super::{declared, place, spelling};
use crate::local::desk::Handle;
use crate::local::lock;
use crate::local::unplaced::Unplaced;

/// How long the queue is consumed when its last member has left, unless that was to be alone: a worker that joins anew finds its
/// book.
const LINGER: Duration = Duration::from_secs(10);

/// How many deliveries the server may have out to us at the least: with a few, one that waits would hold up all.
const RECEIVE_MIN: usize = 16;

/// How many bits of a handle are the delivery's tag; the rest counts channels.
const TAG_BITS: u32 = 40;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;

/// The task.
pub(super) struct Task {
    seat: Arc<Seat>,
    /// Counts channels: handles of an earlier one mean nothing any more.
    generation: u64,
    unplaced: Unplaced,
    /// What the channel has brought and has no answer to, by its tags.
    unanswered: BTreeSet<u64>,
    /// Who waits for the answer that is on its way.
    asked: Vec<oneshot::Sender<()>>,
    prefetch: u16,
    alone_since: Option<Instant>,
    /// The connection of one that is alone.
    own: Option<Connection>,
}

enum End {
    /// Left on purpose.
    Left,
    /// To be consumed anew with other numbers.
    Anew,
    /// The group was ended, here or elsewhere.
    Gone,
    Lost(String),
}

type Answer = BoxFuture<'static, Result<(), Lost>>;

impl Task {
    pub(super) fn new(seat: Arc<Seat>) -> Self {
        let (unplaced, unanswered, asked) = Default::default();
        Self { seat, generation: 0, unplaced, unanswered, asked, prefetch: 0, alone_since: None, own: None }
    }

    pub(super) async fn run(mut self) {
        self.live().await;
        self.seat.ready.send_if_modified(|ready| {
            let was_open = ready.is_none();
            ready.get_or_insert_with(|| Err("was closed".into()));
            was_open
        });
        self.clear_seat(&mut lock(&self.seat.shared.seats));
        self.seat.close();
        // Who waits hears it now.
        *lock(&self.seat.out) = Out { is_over: true, ..Out::default() };
        self.asked.clear();
        self.leave_place().await;
        self.seat.ended.send_replace(true);
    }

    /// Who joins from now on begins anew; unless another has sat down here already.
    fn clear_seat(&self, seats: &mut BTreeMap<GroupName, Arc<Seat>>) {
        if seats.get(&self.seat.name).is_some_and(|seat| Arc::ptr_eq(seat, &self.seat)) {
            seats.remove(&self.seat.name);
        }
    }

    async fn live(&mut self) {
        let mut stopping = self.seat.stop.subscribe();
        let mut all_stopping = self.seat.shared.stop.subscribe();
        let mut tries = 0;
        loop {
            let begun = tokio::select! {
                begun = self.begin() => begun,
                () = stopped(&mut stopping) => return,
                () = stopped(&mut all_stopping) => return,
            };
            let end_of = match begun {
                Ok(Some((channel, deliveries))) => {
                    tries = 0;
                    let end_of = self.serve(&channel, deliveries).await;
                    if self.seat.is_alone {
                        // Another may have its place by now, or is about to. Members hear it at once.
                        return;
                    }
                    end(&channel).await;
                    end_of
                }
                Ok(None) => End::Gone,
                Err(why) => End::Lost(why),
            };
            match end_of {
                End::Left | End::Gone => return,
                End::Anew => continue,
                End::Lost(why) => self.fail(why),
            }
            let wait = backoff(tries);
            tries += 1;
            tokio::select! {
                () = sleep(wait) => {}
                () = stopped(&mut stopping) => return,
                () = stopped(&mut all_stopping) => return,
            }
        }
    }

    /// What is out goes back to the head of the queue, and the place to others.
    async fn leave_place(&mut self) {
        if let Some(connection) = self.own.take() {
            part(&connection).await;
        }
    }

    fn fail(&self, why: String) {
        tracing::debug!(group = %self.seat.name, "{why}");
        *lock(&self.seat.fault) = Some(why);
    }

    fn wanted_prefetch(&self) -> u16 {
        let in_flight = lock(&self.seat.desk).in_flight_max();
        // As many again as wait for another try while others are worked on.
        u16::try_from(in_flight.saturating_mul(2).max(RECEIVE_MIN)).unwrap_or(u16::MAX)
    }

    /// Makes the queue when it isn't there, binds it, and consumes it; `None` when the group was ended.
    async fn begin(&mut self) -> Result<Option<(Channel, Consumer)>, String> {
        if self.generation > 0 && self.seat.shared.memory.registered(&self.seat.name).await?.is_none() {
            return Ok(None);
        }
        self.leave_place().await;
        let begun = self.consume().await.map_err(|lost| {
            let why = self.seat.shared.sentence(&lost.why);
            if lost.is_final {
                self.seat.ready.send_if_modified(|ready| ready.replace(Err(why.clone())).is_none());
            }
            why
        })?;
        *lock(&self.seat.fault) = None;
        if begun.is_some() {
            self.seat.ready.send_if_modified(|ready| ready.replace(Ok(())).is_none());
        }
        Ok(begun)
    }

    /// A channel to consume the queue over, which is there and bound; `None` when nobody wants it any more.
    async fn channel(&mut self) -> Result<Option<Channel>, Lost> {
        let Seat { shared, queue, .. } = &*self.seat;
        if self.seat.is_alone {
            let connection = self.own.insert(shared.wires.alone().await?);
            return place::take(&self.seat, connection).await;
        }
        let channel = shared.wires.channel(Side::Take).await?;
        let filters = lock(&self.seat.desk).filters().to_vec();
        declared::group(&channel, shared, queue, &filters).await?;
        Ok(Some(channel))
    }

    async fn consume(&mut self) -> Result<Option<(Channel, Consumer)>, Lost> {
        let Some(channel) = self.channel().await? else { return Ok(None) };
        let Seat { queue, .. } = &*self.seat;
        self.prefetch = self.wanted_prefetch();
        answered(channel.basic_qos(self.prefetch, BasicQosOptions::default())).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        let deliveries = answered(channel.basic_consume(queue.as_str().into(), "".into(), options, none)).await?;
        self.generation += 1;
        self.unplaced.clear();
        self.unanswered.clear();
        lock(&self.seat.desk).forget_handles();
        // Who waits for an answer waits for one of this channel.
        lock(&self.seat.out).waiters.append(&mut self.asked);
        Ok(Some((channel, deliveries)))
    }

    async fn serve(&mut self, channel: &Channel, mut deliveries: Consumer) -> End {
        let mut stopping = self.seat.stop.subscribe();
        let mut all_stopping = self.seat.shared.stop.subscribe();
        let mut placed = self.seat.shared.ledger.listen();
        let mut answer: Option<Answer> = None;
        loop {
            let look_at = self.place();
            if let Err(lost) = self.tell(channel, &mut answer).await {
                return End::Lost(self.seat.shared.sentence(&lost.why));
            }
            if self.wanted_prefetch() > self.prefetch {
                return End::Anew;
            }
            let Some(alone_until) = self.alone_until() else { return self.left(channel, answer).await };
            let look_at = look_at.into_iter().chain(alone_until).min();
            tokio::select! {
                came = deliveries.next() => match came {
                    Some(Ok(delivery)) => self.took(delivery, &mut deliveries),
                    Some(Err(error)) => return End::Lost(self.seat.shared.sentence(&Lost::from(error).why)),
                    // The server cancels who consumes a queue that is deleted: perhaps the group is ended.
                    None => return End::Lost(self.seat.shared.sentence("has taken the queue of a group away")),
                },
                told = of(&mut answer) => {
                    answer = None;
                    match told {
                        Ok(()) => self.answer_all(),
                        Err(lost) => return End::Lost(self.seat.shared.sentence(&lost.why)),
                    }
                }
                () = self.seat.wake.notified() => {}
                () = placed.rung(), if !self.unplaced.is_empty() => {}
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {}
                () = stopped(&mut stopping) => return self.left(channel, answer).await,
                () = stopped(&mut all_stopping) => return self.left(channel, answer).await,
            }
        }
    }

    /// Tells the server what is settled before the channel is left.
    async fn left(&mut self, channel: &Channel, answer: Option<Answer>) -> End {
        if let Some(answer) = answer {
            let _ = answer.await;
        }
        let mut last = None;
        if self.tell(channel, &mut last).await.is_ok()
            && let Some(answer) = last
            && answer.await.is_ok()
        {
            self.answer_all();
        }
        End::Left
    }

    fn answer_all(&mut self) {
        for waiter in self.asked.drain(..) {
            // Nobody may wait any more.
            let _ = waiter.send(());
        }
    }

    /// Until when a seat without members stays; `None` when that is over.
    fn alone_until(&mut self) -> Option<Option<Instant>> {
        let mut seats = lock(&self.seat.shared.seats);
        if lock(&self.seat.desk).has_members() {
            self.alone_since = None;
            return Some(None);
        }
        let until = *self.alone_since.get_or_insert_with(Instant::now) + LINGER;
        if until > Instant::now() && !self.seat.is_alone {
            return Some(Some(until));
        }
        // Under the lock: who joins from now on begins anew.
        self.clear_seat(&mut seats);
        lock(&self.seat.desk).close();
        None
    }

    /// Acknowledges what is settled, and asks whether the server knows it: one question at a time.
    async fn tell(&mut self, channel: &Channel, answer: &mut Option<Answer>) -> Result<(), Lost> {
        let Out { acknowledge, waiters, .. } = std::mem::take(&mut *lock(&self.seat.out));
        let is_ours = |handle: &Handle| handle >> TAG_BITS == self.generation;
        let tags = acknowledge.into_iter().filter(is_ours).map(|handle| handle & TAG_MASK).collect();
        let acks = acknowledgements(&mut self.unanswered, tags);
        let acks = acks.into_iter().map(|(tag, multiple)| channel.basic_ack(tag, BasicAckOptions { multiple }));
        answered(join_all(acks).map(|acks| acks.into_iter().collect::<lapin::Result<()>>())).await?;
        if waiters.is_empty() {
            return Ok(());
        }
        if answer.is_some() {
            // They wait for the next one.
            lock(&self.seat.out).waiters.extend(waiters);
            return Ok(());
        }
        self.asked = waiters;
        let (channel, queue) = (channel.clone(), self.seat.queue.clone());
        *answer = Some(Box::pin(async move {
            let options = QueueDeclareOptions { passive: true, ..declared::durable() };
            answered(channel.queue_declare(queue.into(), options, FieldTable::default())).await.map(drop)
        }));
        Ok(())
    }

    fn acknowledge(&self, handle: Handle) {
        lock(&self.seat.out).acknowledge.push(handle);
    }

    /// Takes what has come, as far as it's there.
    fn took(&mut self, first: Delivery, deliveries: &mut Consumer) {
        let mut next = Some(first);
        let mut took = 0;
        while let Some(delivery) = next.take() {
            self.came(&delivery);
            took += 1;
            if took < usize::from(self.prefetch)
                && let Some(Some(Ok(delivery))) = deliveries.next().now_or_never()
            {
                next = Some(delivery);
            }
        }
    }

    fn came(&mut self, delivery: &Delivery) {
        let handle = self.generation << TAG_BITS | delivery.delivery_tag & TAG_MASK;
        self.unanswered.insert(delivery.delivery_tag & TAG_MASK);
        if let Some(again) = spelling::read_again(delivery) {
            return match again {
                Some(again) => self.came_again(again, spelling::tried(delivery), handle),
                None => self.acknowledge(handle),
            };
        }
        let came = spelling::came(delivery, self.seat.shared.clock.now());
        let is_wanted = |topic: &str| lock(&self.seat.desk).filters().iter().any(|filter| filter.matches(topic));
        let Some(came) = came.filter(|came| is_wanted(came.event.topic.as_str())) else {
            // A key wants more than its filter, and not every key is a topic.
            return self.acknowledge(handle);
        };
        if self.is_known(&came.event.id, handle) {
            return;
        }
        let position = Position::new(self.seat.shared.ledger.head().epoch, 0);
        let recorded = Recorded { position, event: came.event, sticky: came.sticky };
        let tried = self.tried(spelling::tried(delivery));
        self.unplaced.push(recorded, tried, handle);
    }

    /// A delivery that came back was out, but perhaps with nobody: one try is always left.
    fn tried(&self, returned: u32) -> u32 {
        match lock(&self.seat.desk).attempts_max() {
            0 => returned,
            max => returned.min(max - 1),
        }
    }

    fn is_known(&self, id: &EventId, handle: Handle) -> bool {
        let mut effects = Vec::new();
        let is_known = lock(&self.seat.desk).knows(id, handle, &mut effects);
        self.seat.carry_out(effects);
        is_known || self.unplaced.contains(id)
    }

    /// A dead letter that is to be tried again, or what has waited in a queue.
    fn came_again(&mut self, again: spelling::Again, returned: u32, handle: Handle) {
        let alias = EventId::Uuid(again.name);
        if self.is_known(&alias, handle) {
            return;
        }
        let letter = again.letter;
        let ledger = &self.seat.shared.ledger;
        let mut desk = lock(&self.seat.desk);
        if again.due.is_none() {
            desk.forget_done(&letter.event.id);
        }
        let mut effects = Vec::new();
        if desk.knows(&letter.event.id, handle, &mut effects) {
            drop(desk);
            self.seat.carry_out(effects);
            return;
        }
        let mut seq = ledger.number(&letter.event.id);
        if desk.is_taken(seq) {
            seq = ledger.number(&EventId::generate());
        }
        let position = Position::new(ledger.head().epoch, seq);
        let recorded = Recorded { position, event: letter.event, sticky: letter.sticky };
        let tried = match desk.attempts_max() {
            0 => letter.attempts.saturating_add(returned),
            max => letter.attempts.saturating_add(returned).min(max - 1),
        };
        desk.arrive(recorded, tried, handle, Some(alias));
        if let Some(due) = again.due {
            desk.wait_until(seq, due);
        }
        drop(desk);
        self.seat.bell.ring();
    }

    /// Gives places to what came, in its order; says when to look again.
    fn place(&mut self) -> Option<Instant> {
        // One of ours: the server has it, and Redis is about to. Nothing else can come of it.
        let placed = self.unplaced.place(&self.seat.shared.ledger, &self.seat.desk, true);
        if placed.any {
            self.seat.bell.ring();
        }
        placed.look_at
    }
}

/// How these tags are acknowledged, `true` for one with all before it: the server writes each acknowledgement into the queue's
/// log, and holds back those of somebody who says very many at once, up to losing them when he leaves.
fn acknowledgements(unanswered: &mut BTreeSet<u64>, tags: BTreeSet<u64>) -> Vec<(u64, bool)> {
    let oldest = unanswered.iter().zip(&tags).take_while(|(unanswered, tag)| unanswered == tag);
    let up_to = oldest.last().map(|(tag, _)| *tag);
    for tag in &tags {
        unanswered.remove(tag);
    }
    let single = tags.into_iter().filter(|tag| up_to.is_none_or(|up_to| *tag > up_to));
    up_to.map(|tag| (tag, true)).into_iter().chain(single.map(|tag| (tag, false))).collect()
}

/// What was answered; never when nothing was asked.
async fn of(answer: &mut Option<Answer>) -> Result<(), Lost> {
    match answer {
        Some(answer) => answer.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_without_a_gap_is_acknowledged_at_once() {
        let mut unanswered: BTreeSet<u64> = (5..=12).collect();
        assert_eq!(acknowledgements(&mut unanswered, [5, 6, 7, 9].into()), [(7, true), (9, false)]);
        assert_eq!(unanswered, [8, 10, 11, 12].into());
        assert_eq!(acknowledgements(&mut unanswered, [10].into()), [(10, false)]);
        assert_eq!(acknowledgements(&mut unanswered, [8, 11].into()), [(11, true)]);
        assert_eq!(acknowledgements(&mut unanswered, [3].into()), [(3, false)], "one that is not known by its tag");
        assert_eq!(acknowledgements(&mut unanswered, [12].into()), [(12, true)]);
        assert!(acknowledgements(&mut unanswered, [].into()).is_empty() && unanswered.is_empty());
    }
}
