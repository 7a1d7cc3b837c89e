//! Publishing: marks first, then the server, then states and marks again; only then is an event acknowledged.
//!
//! What was published and not confirmed is published again over the next channel, in its order and by the same id. A crash
//! between any two steps leaves an event that nobody was told to be safe, and whose mark says `pending`: who sends it again
//! has all of it done again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesOrdered, StreamExt as _};
use futures_util::{FutureExt as _, future::BoxFuture};
use headwater_event::{EventId, Publication};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, ExchangeKind};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::memory::Kept;
use super::shared::{Part, Shared, backoff, stopped};
use super::spelling::Stamp;
use super::wire::{Lost, Side, answered, end};
use super::{names, packed, spelling};
use crate::local::book::Ticket;

/// How many publications may be on their way at once: at a millisecond a round trip four million a second, and more only costs
/// the server memory.
const IN_FLIGHT_MAX: usize = 4_096;

/// How many events are marked, or kept, with one question: it takes Redis a millisecond.
const AT_ONCE: usize = 512;

/// How often one looks whether the server takes nothing, as it's short of memory or disk.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An event that has its marks.
#[derive(Clone, Copy)]
struct Sent {
    ticket: Ticket,
    stamp: Stamp,
}

/// The task that publishes.
pub(super) struct Press {
    shared: Arc<Shared>,
    /// Taken from the ledger, and not marked yet; at most [`AT_ONCE`].
    unclaimed: VecDeque<(Ticket, Publication)>,
    /// Published and not confirmed, in their order.
    sent: VecDeque<Sent>,
    /// Confirmed; Redis is to know it.
    unkept: VecDeque<Sent>,
    by: Uuid,
    number: u64,
    /// When Redis is asked again, and how often it has failed in a row.
    pause: Option<Instant>,
    failures: u32,
    /// Something was confirmed over this channel.
    has_confirmed: bool,
}

type Confirms = FuturesOrdered<BoxFuture<'static, lapin::Result<Confirmation>>>;

impl Press {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (unclaimed, sent, unkept) = Default::default();
        Self {
            shared,
            unclaimed,
            sent,
            unkept,
            by: Uuid::new_v4(),
            number: 0,
            pause: None,
            failures: 0,
            has_confirmed: false,
        }
    }

    /// A channel to publish by; the exchange is made when it isn't there.
    pub(super) async fn channel(shared: &Shared) -> Result<Channel, Lost> {
        let channel = shared.wires.channel(Side::Publish).await?;
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let exchange = shared.names.exchange().into();
        answered(channel.exchange_declare(exchange, ExchangeKind::Topic, options, FieldTable::default())).await?;
        answered(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }

    /// Runs until all is to end.
    pub(super) async fn run(mut self, first: Channel) {
        let mut channel = Some(first);
        let mut stopping = self.shared.stop.subscribe();
        let mut tries = 0;
        loop {
            let lost = match channel.take() {
                Some(found) => match self.serve(&found).await {
                    Ok(()) => return end(&found).await,
                    Err(lost) => {
                        // One that takes nothing is asked less and less often.
                        if std::mem::take(&mut self.has_confirmed) {
                            tries = 0;
                        }
                        lost
                    }
                },
                None => tokio::select! {
                    made = Self::channel(&self.shared) => match made {
                        Ok(made) => {
                            channel = Some(made);
                            continue;
                        }
                        Err(lost) => lost,
                    },
                    () = stopped(&mut stopping) => return,
                },
            };
            self.shared.set_fault(Part::Publishing, Some(self.shared.sentence(&lost.why)));
            let wait = backoff(tries);
            tries += 1;
            tokio::select! {
                () = sleep(wait) => {}
                () = stopped(&mut stopping) => return,
            }
        }
    }

    /// Publishes over one channel until it's lost; `Ok` when all is to end.
    async fn serve(&mut self, channel: &Channel) -> Result<(), Lost> {
        let mut confirms = Confirms::new();
        for sent in self.sent.clone() {
            self.publish(channel, sent, &mut confirms);
        }
        self.shared.set_fault(Part::Publishing, None);
        let mut stopping = self.shared.stop.subscribe();
        loop {
            self.keep().await;
            self.claim(channel, &mut confirms).await;
            let overdue = self.shared.ledger.place_overdue();
            let look_at = overdue.into_iter().chain(self.pause).min().unwrap_or_else(|| Instant::now() + LOOK_EVERY);
            let has_more = self.pause.is_none() && !self.unkept.is_empty();
            tokio::select! {
                Some(confirmation) = confirms.next() => self.confirmed(confirmation, &mut confirms)?,
                () = std::future::ready(()), if has_more => {}
                () = self.shared.wake.notified() => {}
                () = sleep_until(look_at) => self.look().await,
                () = stopped(&mut stopping) => return Ok(()),
            }
        }
    }

    async fn look(&self) {
        let blocked = self.shared.wires.is_blocked().await;
        let why = blocked.then(|| self.shared.sentence("takes nothing now: it is short of memory or disk"));
        self.shared.set_fault(Part::Publishing, why);
    }

    fn publish(&self, channel: &Channel, sent: Sent, confirms: &mut Confirms) {
        // One that its ledger has given up is published all the same: its confirmation keeps the order.
        let publication = self.shared.ledger.sent(sent.ticket);
        let (channel, exchange) = (channel.clone(), self.shared.names.exchange().to_owned());
        confirms.push_back(Box::pin(async move {
            let Some(publication) = publication else { return Ok(Confirmation::NotRequested) };
            let key = names::of_topic(&publication.event.topic);
            let properties = spelling::properties(&publication, sent.stamp);
            let payload = &publication.event.payload;
            let options = BasicPublishOptions::default();
            channel.basic_publish(exchange.into(), key.into(), options, payload, properties).await?.await
        }));
    }

    /// Takes what was confirmed, as far as it's there.
    fn confirmed(&mut self, first: lapin::Result<Confirmation>, confirms: &mut Confirms) -> Result<(), Lost> {
        let mut next = Some(first);
        while let Some(confirmation) = next.take() {
            if confirmation?.is_nack() {
                return Err(Lost { why: "does not take an event".into(), is_final: false });
            }
            self.has_confirmed = true;
            self.unkept.extend(self.sent.pop_front());
            next = confirms.next().now_or_never().flatten();
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.sent.len() + self.unkept.len() < IN_FLIGHT_MAX
    }

    fn may_ask(&self) -> bool {
        self.pause.is_none_or(|pause| pause <= Instant::now())
    }

    /// Redis has answered, or not.
    fn asked(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => (self.pause, self.failures) = (None, 0),
            Err(_) => {
                self.pause = Some(Instant::now() + backoff(self.failures));
                self.failures += 1;
            }
        }
        self.shared.set_fault(Part::State, result.err());
    }

    /// Marks what waits, and publishes it.
    async fn claim(&mut self, channel: &Channel, confirms: &mut Confirms) {
        while self.has_room() && self.may_ask() {
            while self.unclaimed.len() < AT_ONCE
                && let Some(unsent) = self.shared.ledger.next_unsent()
            {
                self.unclaimed.push_back(unsent);
            }
            if self.unclaimed.is_empty() {
                return;
            }
            let ask: Vec<(EventId, bool)> = self
                .unclaimed
                .iter()
                .map(|(ticket, publication)| (publication.event.id.clone(), !self.shared.ledger.is_own(*ticket)))
                .collect();
            match self.shared.memory.claim(&ask).await {
                Ok(versions) if versions.len() == ask.len() => {
                    self.asked(Ok(()));
                    self.take_up(&versions, channel, confirms);
                }
                Ok(_) => self.asked(Err(self.shared.memory.sentence("answers something else than it was asked"))),
                Err(why) => self.asked(Err(why)),
            }
        }
    }

    fn take_up(&mut self, versions: &[u64], channel: &Channel, confirms: &mut Confirms) {
        let unclaimed = std::mem::take(&mut self.unclaimed);
        for ((ticket, _), version) in unclaimed.into_iter().zip(versions) {
            if *version == 0 {
                self.shared.ledger.known(ticket);
                continue;
            }
            self.number += 1;
            let sent = Sent { ticket, stamp: Stamp { by: self.by, number: self.number, version: *version } };
            self.publish(channel, sent, confirms);
            self.sent.push_back(sent);
        }
    }

    /// Lets Redis know what was confirmed; then it's acknowledged.
    async fn keep(&mut self) {
        while !self.unkept.is_empty() && self.may_ask() {
            let batch: Vec<Sent> = self.unkept.iter().take(AT_ONCE).copied().collect();
            let (mut states, mut published) = (Vec::new(), Vec::new());
            for sent in &batch {
                let Some(Publication { event, sticky }) = self.shared.ledger.sent(sent.ticket) else { continue };
                if !self.shared.ledger.is_own(sent.ticket) {
                    published.push(event.id.clone());
                }
                if sticky {
                    let bytes = if event.payload.is_empty() { Vec::new() } else { packed::pack(&event, true) };
                    states.push(Kept { topic: event.topic.to_string(), version: sent.stamp.version, bytes });
                }
            }
            if !states.is_empty() || !published.is_empty() {
                let kept = self.shared.memory.keep(&states, &published, self.shared.clock.now()).await;
                let is_kept = kept.is_ok();
                self.asked(kept);
                if !is_kept {
                    return;
                }
            }
            self.unkept.drain(..batch.len());
            for sent in batch {
                self.shared.ledger.acked(sent.ticket, Ok(()));
            }
        }
    }
}
