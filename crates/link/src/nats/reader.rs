//! Reading the stream from any place.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use futures_util::{FutureExt as _, StreamExt as _};
use headwater_event::{Batch, BusError, Later, Position, Tail};

use super::shared::{Shared, stopped};
use super::{spelling, subjects};

/// What one read gives at the most.
const BYTES_MAX: usize = 1 << 20;
const EVENTS_MAX: usize = 512;

/// How long a reader that knows that there is more waits for it before it asks whether it's still there, as what is left may
/// have been deleted; and how often, as the server may have to find a new leader first.
const MORE_TIME_MAX: Duration = Duration::from_secs(2);
const READS_MAX: usize = 10;

/// A cursor over the stream.
pub(super) struct Reader {
    shared: Arc<Shared>,
    at: Position,
    messages: Option<Ordered>,
}

type Wanted<'a> = &'a (dyn Fn(&str) -> bool + Send + Sync);

impl Reader {
    pub(super) fn after(shared: &Arc<Shared>, at: Position) -> Self {
        Self { shared: Arc::clone(shared), at, messages: None }
    }

    async fn begin(&mut self) -> Result<&mut Ordered, BusError> {
        if self.messages.is_none() {
            let oldest = self.shared.oldest();
            if self.at.seq < oldest.seq {
                return Err(BusError::Gone { oldest });
            }
            let config = OrderedConfig {
                filter_subject: subjects::ALL.into(),
                deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.at.seq + 1 },
                ..OrderedConfig::default()
            };
            let consumer = self.shared.stream.create_consumer(config).await;
            let consumer = consumer.map_err(|error| self.shared.storage(error))?;
            self.messages = Some(consumer.messages().await.map_err(|error| self.shared.storage(error))?);
        }
        self.messages.as_mut().ok_or(BusError::Closed)
    }

    /// What comes next. Nothing is waited for once something is there, so dropping this loses nothing.
    async fn read(&mut self, wanted: Wanted<'_>) -> Result<Batch, BusError> {
        let shared = Arc::clone(&self.shared);
        let mut stopping = shared.stop.subscribe();
        let messages = self.begin().await?;
        let first = tokio::select! {
            first = messages.next() => first,
            () = stopped(&mut stopping) => return Err(BusError::Closed),
        };
        let (mut batch, mut bytes) = (Batch::default(), 0);
        let mut next = Some(first);
        while let Some(came) = next.take() {
            let message = match came {
                Some(Ok(message)) => message,
                // Begun anew with the next call.
                Some(Err(error)) if batch.up_to == 0 => {
                    self.messages = None;
                    return Err(shared.storage(error));
                }
                None if batch.up_to == 0 => {
                    self.messages = None;
                    return Err(shared.storage("ended a reader"));
                }
                _ => {
                    self.messages = None;
                    break;
                }
            };
            let Ok(seq) = message.info().map(|info| info.stream_sequence) else { continue };
            batch.up_to = seq;
            bytes += message.payload.len();
            let position = Position::new(shared.epoch, seq);
            if let Some(recorded) = spelling::recorded(&message, position, shared.clock.now())
                && wanted(recorded.event.topic.as_str())
            {
                batch.events.push(recorded);
            }
            if bytes < BYTES_MAX && batch.events.len() < EVENTS_MAX {
                next = self.messages.as_mut().and_then(|messages| messages.next().now_or_never());
            }
        }
        self.at.seq = batch.up_to;
        shared.reached(batch.up_to);
        Ok(batch)
    }
}

impl Tail for Reader {
    fn next<'a>(&'a mut self, wanted: Wanted<'a>) -> Later<'a, Result<Batch, BusError>> {
        Box::pin(self.read(wanted))
    }

    fn next_now<'a>(&'a mut self, wanted: Wanted<'a>) -> Later<'a, Result<Option<Batch>, BusError>> {
        Box::pin(async move {
            let head = self.shared.look().await?;
            if self.at.seq >= head {
                return Ok(None);
            }
            for _ in 0..READS_MAX {
                if let Ok(batch) = tokio::time::timeout(MORE_TIME_MAX, self.read(wanted)).await {
                    return batch.map(Some);
                }
                self.messages = None;
                if !self.shared.has_more(self.at.seq).await? {
                    self.at.seq = head;
                    return Ok(None);
                }
            }
            Err(self.shared.late())
        })
    }

    fn position(&self) -> Position {
        self.at
    }
}
