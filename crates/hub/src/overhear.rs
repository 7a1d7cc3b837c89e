//! What other processes of ours tell this one by way of its clients' edge: it's taken out of what is passed on to watchers.

use std::sync::OnceLock;

use headwater_event::Event;
use tokio::sync::mpsc;

use crate::hub::Hub;

/// Who takes what, once somebody has asked for it.
#[derive(Default)]
pub(crate) struct Overheard(OnceLock<Ear>);

struct Ear {
    prefix: &'static str,
    tell: mpsc::Sender<Event>,
}

impl Overheard {
    /// Takes an event that was admitted, if it is meant for us; gives whether it was.
    pub(crate) fn take(&self, event: &Event) -> bool {
        let Some(ear) = self.0.get().filter(|ear| event.topic.as_str().starts_with(ear.prefix)) else { return false };
        // Who tells it says it again; who doesn't listen in time hears the next word.
        let _ = ear.tell.try_send(event.detached());
        true
    }
}

impl Hub {
    /// Takes from now on what is [passed](Hub::pass) below this prefix by those who may: no watcher is told of it. Up to
    /// `waiting_max` wait to be taken, what comes beyond is lost. `None` when somebody has taken this place before.
    #[must_use]
    pub fn overhear(&self, prefix: &'static str, waiting_max: usize) -> Option<mpsc::Receiver<Event>> {
        let (tell, told) = mpsc::channel(waiting_max);
        self.core().overheard.0.set(Ear { prefix, tell }).ok().map(|()| told)
    }
}
