//! Appends in the order of their calls, many on their way at once.
//!
//! What is sent over one connection is stored in its order. When it's lost, or the server doesn't take something, all that is
//! not acknowledged is sent again over a new one, in its order and before anything else, by the same ids: the server knows a copy.

use std::collections::VecDeque;
use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use headwater_event::{BusError, Publication, Receipts, Seq};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::shared::{Shared, stopped};
use super::wire::Wire;
use super::{ACK_TIME_MAX, IN_FLIGHT_MAX, spelling, subjects};

/// How many batches may wait for their turn.
pub(super) const BATCHES_MAX: usize = 4_096;

/// How many events are sent before it's looked what has been acknowledged.
const AT_ONCE: usize = 256;

/// The wait before all that is not acknowledged is sent again.
const AGAIN_AFTER: std::time::Duration = std::time::Duration::from_millis(250);

/// A batch that waits.
pub(super) struct Job {
    pub batch: Vec<Publication>,
    pub reply: oneshot::Sender<Result<Receipts, BusError>>,
    /// When nobody waits for it any more.
    pub deadline: Instant,
}

/// A batch that is on its way.
struct Flight {
    batch: Vec<Publication>,
    acks: Vec<Option<PublishAck>>,
    /// How many are not acknowledged.
    left: usize,
    /// Who waits; `None` when that's over.
    reply: Option<oneshot::Sender<Result<Receipts, BusError>>>,
    deadline: Instant,
}

/// An event of a flight: the flight's number, and which one it is.
type Place = (u64, usize);

type Acks = FuturesUnordered<BoxFuture<'static, (Place, Result<PublishAck, PublishError>)>>;

/// Sends batch by batch.
struct Publisher {
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    flights: VecDeque<Flight>,
    /// The number of the first of them.
    first: u64,
    /// What is sent next over this connection.
    next: Place,
    /// How many events of all flights are not acknowledged.
    left: usize,
}

/// Publishes until all ends.
pub(super) async fn run(shared: Arc<Shared>, jobs: mpsc::Receiver<Job>) {
    let mut stopping = shared.stop.subscribe();
    let (flights, first, next, left) = Default::default();
    let mut publisher = Publisher { shared, jobs, flights, first, next, left };
    for tries in 0.. {
        let connected = tokio::select! {
            connected = Wire::connect(&publisher.shared, tries) => connected,
            () = stopped(&mut stopping) => return,
        };
        let ended = match connected {
            Ok(wire) => tokio::select! {
                ended = publisher.publish(&wire) => ended,
                () = stopped(&mut stopping) => {
                    // What was written goes out.
                    let _ = tokio::time::timeout(ACK_TIME_MAX, wire.context.client().flush()).await;
                    return;
                }
            },
            Err(why) => Some(why),
        };
        let Some(why) = ended else { return };
        tracing::debug!(why, "what is not acknowledged is sent again");
        publisher.give_up(&why);
        tokio::select! {
            () = sleep(AGAIN_AFTER) => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

impl Publisher {
    /// Publishes over one connection; gives why that ended, and nothing when nobody has anything to publish any more.
    async fn publish(&mut self, wire: &Wire) -> Option<String> {
        let mut acks = Acks::new();
        self.next = (self.first, 0);
        loop {
            self.give_up("no acknowledgement came");
            if let Err(why) = self.send_some(wire, &mut acks).await {
                return Some(why);
            }
            let may_send = self.has_unsent() && acks.len() < IN_FLIGHT_MAX;
            let deadline = self.flights.front().map(|flight| flight.deadline);
            tokio::select! {
                job = self.jobs.recv(), if self.left < IN_FLIGHT_MAX => self.take(job?),
                Some((place, ack)) = acks.next() => match ack {
                    Ok(ack) => self.acknowledged(place, ack),
                    Err(error) => return Some(error.to_string()),
                },
                () = std::future::ready(()), if may_send => {}
                () = wire.lost() => return Some("the connection was lost".into()),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
            }
        }
    }

    fn take(&mut self, Job { batch, reply, deadline }: Job) {
        let left = batch.len();
        self.left += left;
        self.flights.push_back(Flight { acks: vec![None; left], batch, left, reply: Some(reply), deadline });
        // An empty one is through.
        self.end_if_done(self.first + self.flights.len() as u64 - 1);
    }

    fn flight(&mut self, number: u64) -> Option<&mut Flight> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.flights.get_mut(at)
    }

    fn has_unsent(&self) -> bool {
        self.next.0 < self.first + self.flights.len() as u64
    }

    /// The next event that is to be sent over this connection.
    fn next_unsent(&mut self) -> Option<(Place, Publication)> {
        self.next = self.next.max((self.first, 0));
        loop {
            let (number, at) = self.next;
            let flight = self.flight(number)?;
            if at >= flight.batch.len() || flight.reply.is_none() {
                self.next = (number + 1, 0);
                continue;
            }
            let found = flight.acks[at].is_none().then(|| flight.batch[at].clone());
            self.next.1 += 1;
            if let Some(publication) = found {
                return Some(((number, at), publication));
            }
        }
    }

    async fn send_some(&mut self, wire: &Wire, acks: &mut Acks) -> Result<(), String> {
        for _ in 0..AT_ONCE {
            if acks.len() >= IN_FLIGHT_MAX {
                break;
            }
            let Some((place, publication)) = self.next_unsent() else { break };
            let subject = subjects::of_topic(&publication.event.topic, publication.sticky);
            let sent = tokio::select! {
                sent = wire.context.send_publish(subject, message(&publication)) => sent,
                () = wire.lost() => return Err("the connection was lost".into()),
            };
            match sent {
                Ok(ack) => {
                    let ack = ack.into_future();
                    acks.push(async move { (place, ack.await) }.boxed());
                }
                // Nothing is wrong with the others.
                Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                    self.fail(place.0, &error.to_string());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn acknowledged(&mut self, (number, at): Place, ack: PublishAck) {
        self.shared.reached(ack.sequence);
        let Some(flight) = self.flight(number).filter(|flight| flight.reply.is_some()) else { return };
        if flight.acks[at].replace(ack).is_none() {
            flight.left -= 1;
            self.left -= 1;
        }
        self.end_if_done(number);
    }

    /// Those that have waited for too long are told so.
    fn give_up(&mut self, why: &str) {
        let now = Instant::now();
        while self.flights.front().is_some_and(|flight| flight.deadline <= now) {
            let first = self.first;
            self.fail(first, why);
        }
    }

    fn fail(&mut self, number: u64, why: &str) {
        let failed = self.shared.storage(format!("does not take an event: {why}"));
        let Some(flight) = self.flight(number) else { return };
        let (reply, left) = (flight.reply.take(), flight.left);
        if let Some(reply) = reply {
            self.left -= left;
            self.told(reply, Err(failed));
        }
        self.take_out();
    }

    /// Tells who waits for a batch that is stored whole.
    fn end_if_done(&mut self, number: u64) {
        let Some(flight) = self.flight(number).filter(|flight| flight.left == 0) else { return };
        let (acks, reply) = (std::mem::take(&mut flight.acks), flight.reply.take());
        if let Some(reply) = reply {
            let receipts = receipts(&self.shared, &acks.into_iter().flatten().collect::<Vec<_>>());
            self.told(reply, Ok(receipts));
        }
        self.take_out();
    }

    /// Forgets what nobody waits for any more, as far as nothing before it is on its way.
    fn take_out(&mut self) {
        while self.flights.front().is_some_and(|flight| flight.reply.is_none()) {
            self.flights.pop_front();
            self.first += 1;
        }
    }

    fn told(&self, reply: oneshot::Sender<Result<Receipts, BusError>>, result: Result<Receipts, BusError>) {
        self.shared.through.fetch_add(1, Ordering::AcqRel);
        self.shared.bell.ring();
        // Nobody may wait any more.
        let _ = reply.send(result);
    }
}

fn message(publication: &Publication) -> PublishMessage {
    PublishMessage::build().headers(spelling::headers(&publication.event)).payload(publication.event.payload.clone())
}

fn receipts(shared: &Shared, acks: &[PublishAck]) -> Receipts {
    let mut receipts =
        Receipts { epoch: shared.epoch, first: 0, len: acks.len(), duplicates: Vec::new(), strays: Vec::new() };
    let mut next: Option<Seq> = None;
    for (index, ack) in acks.iter().enumerate() {
        match next {
            _ if ack.duplicate => receipts.duplicates.push((index, ack.sequence)),
            None => {
                receipts.first = ack.sequence;
                next = Some(ack.sequence + 1);
            }
            Some(wanted) if wanted == ack.sequence => next = Some(wanted + 1),
            // Others wrote in between; what follows is counted from the first all the same.
            Some(_) => receipts.strays.push((index, ack.sequence)),
        }
    }
    receipts
}
