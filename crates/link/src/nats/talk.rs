//! Telling other processes what nobody keeps: messages beside the streams.

use std::sync::Arc;

use async_nats::Message;
use futures_util::StreamExt as _;
use headwater_event::{BusError, Event, EventId, Filter, Later, Position, Talk};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::shared::{Shared, stopped};
use super::{spelling, subjects};

/// How much one may have told before the connection has taken it.
const TOLD_MAX: usize = 16;

/// How much may have been heard before it's taken: a word each of a thousand processes.
const HEARD_MAX: usize = 1_024;

/// One process's place among those that talk. Dropping it leaves.
pub(super) struct Place {
    tell: mpsc::Sender<Event>,
    heard: mpsc::Receiver<Result<Event, BusError>>,
    task: JoinHandle<()>,
}

impl Place {
    pub(super) fn take(shared: &Arc<Shared>, hears: Option<&Filter>) -> Self {
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let (hear, heard) = mpsc::channel(HEARD_MAX);
        let subjects = hears.map(|filter| subjects::of_filter(filter, subjects::TALK)).unwrap_or_default();
        for subject in subjects {
            tokio::spawn(listen(Arc::clone(shared), subject, hear.clone()));
        }
        Self { tell, heard, task: tokio::spawn(speak(Arc::clone(shared), told, hear)) }
    }
}

impl Talk for Place {
    fn tell(&mut self, event: Event) -> Result<(), BusError> {
        self.tell.try_send(event).map_err(|error| match error {
            mpsc::error::TrySendError::Closed(_) => BusError::Closed,
            mpsc::error::TrySendError::Full(_) => BusError::Unable("take what is told so fast"),
        })
    }

    fn hear(&mut self) -> Later<'_, Result<Event, BusError>> {
        Box::pin(async { self.heard.recv().await.unwrap_or(Err(BusError::Closed)) })
    }

    fn is_kept(&self) -> bool {
        false
    }

    fn leave(self: Box<Self>) -> Later<'static, ()> {
        let Self { tell, heard, task } = *self;
        // The task reads what was told to its end.
        drop((tell, heard));
        Box::pin(async { drop(task.await) })
    }
}

/// Tells until the place is left; the client holds back what is told while the server is away. Who only tells hears nothing
/// for as long.
async fn speak(shared: Arc<Shared>, mut told: mpsc::Receiver<Event>, _hear: mpsc::Sender<Result<Event, BusError>>) {
    let client = shared.context.client();
    while let Some(event) = told.recv().await {
        let subject = subjects::of_talk(&event.topic);
        let headers = spelling::headers(&event);
        let telling = async { drop(client.publish_with_headers(subject, headers, event.payload).await) };
        let mut stopping = shared.stop.subscribe();
        tokio::select! {
            () = telling => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

/// Hears a subject until the place is left; the client subscribes again by itself after a broken connection.
async fn listen(shared: Arc<Shared>, subject: String, hear: mpsc::Sender<Result<Event, BusError>>) {
    let mut stopping = shared.stop.subscribe();
    let mut messages = match shared.context.client().subscribe(subject).await {
        Ok(messages) => messages,
        Err(error) => {
            tracing::warn!("{}", shared.sentence(&format!("lets us not hear other processes: {error}")));
            return;
        }
    };
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            () = hear.closed() => return,
            () = stopped(&mut stopping) => return,
        };
        let Some(message) = message else { return };
        if let Some(event) = event_of(&shared, &message) {
            // Who doesn't listen in time hears the next word.
            let _ = hear.try_send(Ok(event));
        }
    }
}

fn event_of(shared: &Shared, message: &Message) -> Option<Event> {
    let position = Position::new(shared.epoch, 0);
    let mut event = spelling::told(message, position, shared.clock.now())?;
    if matches!(&event.id, EventId::Text(text) if text.starts_with("nats/")) {
        // It has no place that could name it.
        event.id = EventId::generate();
    }
    Some(event)
}
