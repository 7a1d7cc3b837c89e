//! What a part of Headwater hears of its own notes as they become durable, in the order of the log, whichever process wrote them.

use std::sync::OnceLock;

use headwater_event::{Batch, Recorded};
use tokio::sync::mpsc;

use crate::hub::Hub;

/// How many notes may wait to be heard; live waits for room beyond that.
const WAITING_MAX: usize = 1_024;

/// Who heeds which topic, once somebody has asked for it.
#[derive(Default)]
pub(crate) struct Heeded(OnceLock<Ear>);

struct Ear {
    topic: &'static str,
    tell: mpsc::Sender<Recorded>,
}

impl Heeded {
    pub(crate) fn is_on(&self) -> bool {
        self.0.get().is_some_and(|ear| !ear.tell.is_closed())
    }

    pub(crate) fn wants(&self, topic: &str) -> bool {
        self.0.get().is_some_and(|ear| ear.topic == topic)
    }

    /// Tells what of a batch is heeded.
    pub(crate) async fn tell(&self, batch: &Batch) {
        let Some(ear) = self.0.get() else { return };
        for recorded in batch.events.iter().filter(|recorded| recorded.event.topic.as_str() == ear.topic) {
            // Who has stopped listening wants no more.
            let _ = ear.tell.send(recorded.clone()).await;
        }
    }
}

impl Hub {
    /// Hears from some moment on what is noted on this one topic, in the order of the log and without a gap as long as the engine
    /// can be read. Whoever has to know when that begins notes something and waits for it. `None` when somebody has taken this
    /// place before.
    #[must_use]
    pub fn heed(&self, topic: &'static str) -> Option<mpsc::Receiver<Recorded>> {
        let (tell, told) = mpsc::channel(WAITING_MAX);
        self.core().heeded.0.set(Ear { topic, tell }).ok()?;
        self.core().rings.call();
        Some(told)
    }
}
