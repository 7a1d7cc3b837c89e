//! Appends in the order of their calls, many on their way at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use futures_util::future::try_join_all;
use headwater_event::{BusError, Publication, Receipts, Seq};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::shared::{Shared, stopped};
use super::{spelling, subjects};
use crate::local::member::ANSWER_TIME_MAX;

/// How many batches may wait for their turn; how many events may be on their way is the client's own bound.
pub(super) const BATCHES_MAX: usize = 4_096;

/// A batch that waits.
pub(super) struct Job {
    pub batch: Vec<Publication>,
    pub reply: oneshot::Sender<Result<Receipts, BusError>>,
}

fn message(publication: &Publication) -> PublishMessage {
    PublishMessage::build().headers(spelling::headers(&publication.event)).payload(publication.event.payload.clone())
}

async fn send(shared: &Shared, publication: &Publication) -> Result<PublishAckFuture, String> {
    let subject = subjects::of_topic(&publication.event.topic, publication.sticky);
    let sent = shared.context.send_publish(subject, message(publication)).await;
    sent.map_err(|error| error.to_string())
}

/// Sends batch by batch; each is waited for by a task of its own.
pub(super) async fn run(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut stopping = shared.stop.subscribe();
    loop {
        let job = tokio::select! {
            job = jobs.recv() => job,
            () = stopped(&mut stopping) => return,
        };
        let Some(Job { batch, reply }) = job else { return };
        let mut sent = Vec::with_capacity(batch.len());
        for publication in &batch {
            sent.push(send(&shared, publication).await);
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let result = finish(&shared, batch, sent).await;
            shared.through.fetch_add(1, Ordering::AcqRel);
            shared.bell.ring();
            // Nobody may wait any more.
            let _ = reply.send(result);
        });
    }
}

async fn finish(
    shared: &Shared,
    batch: Vec<Publication>,
    sent: Vec<Result<PublishAckFuture, String>>,
) -> Result<Receipts, BusError> {
    let deadline = Instant::now() + ANSWER_TIME_MAX;
    // Side by side: each has a time limit of its own, which begins when it's waited for.
    let acks = batch.iter().zip(sent).map(|(publication, first)| acknowledged(shared, publication, first, deadline));
    let acks = try_join_all(acks).await?;
    Ok(receipts(shared, &acks))
}

/// Waits for one acknowledgement; sends again by the same id while there's time: the server knows a copy.
async fn acknowledged(
    shared: &Shared,
    publication: &Publication,
    first: Result<PublishAckFuture, String>,
    deadline: Instant,
) -> Result<PublishAck, BusError> {
    let mut sent = first;
    loop {
        let why = match sent {
            Ok(acknowledgement) => match acknowledgement.await {
                Ok(ack) => return Ok(ack),
                Err(error) => error.to_string(),
            },
            Err(why) => why,
        };
        if Instant::now() >= deadline || shared.is_closed() {
            return Err(shared.storage(format!("does not take an event: {why}")));
        }
        tokio::time::sleep(AGAIN_AFTER).await;
        sent = send(shared, publication).await;
    }
}

/// The wait before an event is sent again.
const AGAIN_AFTER: std::time::Duration = std::time::Duration::from_millis(250);

fn receipts(shared: &Shared, acks: &[PublishAck]) -> Receipts {
    let mut receipts =
        Receipts { epoch: shared.epoch, first: 0, len: acks.len(), duplicates: Vec::new(), strays: Vec::new() };
    let mut next: Option<Seq> = None;
    for (index, ack) in acks.iter().enumerate() {
        shared.reached(ack.sequence);
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
