//! A bridge: events go out to another MQTT broker and come in from it, through restarts and broken connections.
//!
//! What goes out is a group over the log: a delivery is settled by the broker's PUBACK. What comes in belongs to a session
//! that the broker keeps: its PUBACK is written when our log has the event durable. `docs/bridges.md` tells it from the
//! user's side, `docs/decisions/bridges.md` says why. What is on our side of the bridge is a [`Home`], which sees to rights.

mod home;
mod inbound;
mod intake;
mod outbound;
mod record;
mod settings;
mod stamps;
mod task;
mod told;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use home::Home;
pub use settings::{BridgeSettings, HOPS_MAX, Mapping, SettingsError, Version, could_return, group_name};
pub use told::{Counts, Told};

/// A bridge at work. Dropping it ends it at once; [`stop`](Self::stop) says goodbye first.
pub struct Bridge {
    told: Arc<Told>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Bridge {
    /// Begins to work; call it inside of a tokio runtime. What is wrong with the broker is told and tried again.
    #[must_use]
    pub fn start(settings: BridgeSettings, home: Arc<dyn Home>) -> Self {
        let told = Arc::new(Told::new(settings.name.clone()));
        let (stop, stopping) = watch::channel(false);
        let task = task::Task::new(Arc::new(settings), home, Arc::clone(&told), stopping);
        Self { told, stop, task: tokio::spawn(task.run()) }
    }

    /// How it is, and what it has done.
    #[must_use]
    pub const fn told(&self) -> &Arc<Told> {
        &self.told
    }

    /// Leaves the broker in good order: what is unfinished stays with the log and with the broker's session.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // It panics by a fault of ours alone, and then there is nothing left to do.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}
