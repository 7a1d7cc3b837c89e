//! A place among the processes that tell each other what nobody keeps: what has been told and heard waits here, and a task of
//! the engine's does the rest.

use headwater_event::{BusError, Event, Later, Talk};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How much one may have told before the engine has taken it: who tells something every few seconds never has so much.
const TOLD_MAX: usize = 16;

/// How much may have been heard before it's taken: a word each of a thousand processes.
pub(crate) const HEARD_MAX: usize = 1_024;

/// What is told here; ends when the place is left.
pub(crate) type Told = mpsc::Receiver<Event>;

/// Takes what is heard.
pub(crate) type Hear = mpsc::Sender<Result<Event, BusError>>;

/// One process's place among those that talk. Dropping it leaves.
pub(crate) struct Place {
    tell: mpsc::Sender<Event>,
    heard: mpsc::Receiver<Result<Event, BusError>>,
    is_kept: bool,
    task: JoinHandle<()>,
}

impl Place {
    /// A place whose task `begin` starts; it tells what is told to its end. Nothing more is heard when no `Hear` is left.
    pub(crate) fn new(is_kept: bool, begin: impl FnOnce(Told, Hear) -> JoinHandle<()>) -> Self {
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let (hear, heard) = mpsc::channel(HEARD_MAX);
        Self { tell, heard, is_kept, task: begin(told, hear) }
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
        self.is_kept
    }

    fn leave(self: Box<Self>) -> Later<'static, ()> {
        let Self { tell, heard, task, .. } = *self;
        // The task reads what was told to its end.
        drop((tell, heard));
        Box::pin(async { drop(task.await) })
    }
}
