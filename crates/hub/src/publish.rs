//! The one way in. Every event from a client, on every edge, enters here; a second way in is a bug, however practical.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use headwater_event::{BusError, Later, Principal, ProducerId, Publication, Receipts, Refusal};
use tokio::runtime::Handle;

use crate::admission::Permit;
use crate::gate::Entered;
use crate::hub::{Core, Hub};

impl Hub {
    /// Publishes a batch, all or none. Admission happens at once, and when this returns `Ok` the order in the log is fixed;
    /// the inner future resolves when the events are durable, and only then may an edge acknowledge them.
    ///
    /// # Errors
    /// At once: why the batch isn't taken; nothing has happened. Later: `Unavailable` (it may or may not be stored: resend
    /// with the same ids), `TooLarge`, `OutOfOrder`.
    pub fn publish(
        &self,
        who: &Principal,
        batch: Vec<Publication>,
    ) -> Result<Later<'static, Result<Receipts, Refusal>>, Refusal> {
        if batch.is_empty() {
            let epoch = self.head().epoch;
            return Ok(Box::pin(async move {
                Ok(Receipts { epoch, first: 0, len: 0, duplicates: Vec::new(), strays: Vec::new() })
            }));
        }
        let core = self.core();
        let mut pass = core.admission.admit(who, batch).inspect_err(|refusal| core.metrics.refuse(refusal))?;
        let now = core.clock.now();
        for publication in pass.publications() {
            publication.event.at = now;
        }
        Ok(Box::pin(Appending::new(core.gate.append(pass), core)))
    }

    /// The highest number of this producer that is durable, 0 when there is none.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn last_number(&self, who: &Principal, producer: ProducerId) -> Result<u64, Refusal> {
        // Whoever knows a producer's id may ask for its number; rules by principal will be asked here.
        let _ = who;
        self.core().gate.last_number(producer).await.map_err(refusal_of)
    }

    /// Uses up a producer's number without an event (its event was refused for good), in order with the publications.
    ///
    /// # Errors
    /// At once: `Full`. Later: `OutOfOrder`, `Unavailable`.
    pub fn use_up(
        &self,
        who: &Principal,
        producer: ProducerId,
        number: u64,
    ) -> Result<Later<'static, Result<(), Refusal>>, Refusal> {
        let _ = who;
        let core = self.core();
        let pass = core.admission.admit_use(producer, number).inspect_err(|refusal| core.metrics.refuse(refusal))?;
        Ok(Box::pin(Appending::new(core.gate.use_up(pass), core)))
    }
}

/// What an engine's error means to a client. Nothing of the inside is told.
pub(crate) fn refusal_of(error: BusError) -> Refusal {
    match error {
        BusError::TooLarge { max } => Refusal::TooLarge { max },
        BusError::OutOfOrder { expected } => Refusal::OutOfOrder { expected },
        _ => Refusal::Unavailable,
    }
}

/// What an append gives, as far as the counts are concerned.
pub(crate) trait Counted {
    fn count(&self, core: &Core);
}

impl Counted for Receipts {
    fn count(&self, core: &Core) {
        core.metrics.publish(self);
    }
}

impl Counted for () {
    fn count(&self, _: &Core) {}
}

/// An append on its way to the disk. It holds its share of the room until the log is done with it: when the caller
/// loses interest (its connection broke), the events are still in the log's hands, so the future goes on by itself.
pub(crate) struct Appending<T: Counted + Send + 'static> {
    work: Option<Entered<T>>,
    core: Arc<Core>,
    since: Instant,
}

impl<T: Counted + Send + 'static> Appending<T> {
    pub(crate) fn new(entered: Entered<T>, core: &Arc<Core>) -> Self {
        Self { work: Some(entered), core: Arc::clone(core), since: Instant::now() }
    }
}

impl<T: Counted + Send + 'static> Future for Appending<T> {
    type Output = Result<T, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some((append, _)) = &mut this.work else { return Poll::Ready(Err(Refusal::Unavailable)) };
        let Poll::Ready(result) = append.as_mut().poll(cx) else { return Poll::Pending };
        if let Some((_, permit)) = this.work.take() {
            finish(&this.core, &result, this.since, permit);
        }
        Poll::Ready(result.map_err(refusal_of).inspect_err(|refusal| this.core.metrics.refuse(refusal)))
    }
}

impl<T: Counted + Send + 'static> Drop for Appending<T> {
    fn drop(&mut self) {
        let Some((append, permit)) = self.work.take() else { return };
        let (core, since) = (Arc::clone(&self.core), self.since);
        // Without a runtime the program is ending, and nobody counts any more.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { finish(&core, &append.await, since, permit) });
        }
    }
}

fn finish<T: Counted>(core: &Core, result: &Result<T, BusError>, since: Instant, permit: Permit) {
    if let Ok(done) = result {
        let took = since.elapsed();
        done.count(core);
        core.metrics.appended(permit.bytes(), took);
        core.admission.pace().durable(permit.events(), took);
    }
    drop(permit);
}
