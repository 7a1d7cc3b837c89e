//! Telling other processes what nobody keeps: messages beside the streams.

use std::sync::Arc;

use async_nats::Message;
use futures_util::StreamExt as _;
use headwater_event::{Event, EventId, Filter, Position};

use super::shared::{Shared, stopped};
use super::{spelling, subjects};
use crate::local::talk::{Hear, Place, Told};

/// Takes one process's place among those that talk.
pub(super) fn take(shared: &Arc<Shared>, hears: Option<&Filter>) -> Place {
    Place::new(false, |told, hear| {
        let subjects = hears.map(|filter| subjects::of_filter(filter, subjects::TALK)).unwrap_or_default();
        for subject in subjects {
            tokio::spawn(listen(Arc::clone(shared), subject, hear.clone()));
        }
        tokio::spawn(speak(Arc::clone(shared), told, hear))
    })
}

/// Tells until the place is left; the client holds back what is told while the server is away. Who only tells hears nothing
/// for as long.
async fn speak(shared: Arc<Shared>, mut told: Told, _hear: Hear) {
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
async fn listen(shared: Arc<Shared>, subject: String, hear: Hear) {
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
