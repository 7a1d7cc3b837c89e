//! Reading users, rules and keys anew while the hub runs: checked whole, recorded, and only then put in force.

use std::sync::Arc;

use headwater_event::Refusal;
use headwater_hub::Hub;
use headwater_hub::access::Openness;

use super::Files;
use crate::config::Faults;

/// What is needed for it. One reload at a time: the later one reads the later files.
pub struct Reloading {
    files: Arc<Files>,
    hub: Arc<Hub>,
    turn: tokio::sync::Mutex<()>,
}

/// Why the old ones stay.
#[derive(Debug)]
pub enum NotReloaded {
    /// The files are wrong.
    Faults(Faults),
    /// It couldn't be recorded, or they may not.
    Refusal(Refusal),
}

/// What is in force now.
pub struct Reloaded {
    pub users: usize,
    pub roles: usize,
    pub patterns: usize,
    /// How many connections ended by it.
    pub ended: usize,
    pub remarks: Vec<String>,
}

impl Reloading {
    pub fn new(files: Arc<Files>, hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { files, hub, turn: tokio::sync::Mutex::default() })
    }

    /// Whether everybody on this machine may everything.
    pub fn is_open_here(&self) -> bool {
        self.files.openness() == Openness::ThisMachine
    }

    pub const fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Reads the files and puts them in force, on behalf of `who`.
    ///
    /// # Errors
    /// The files are wrong, or it can't be recorded: then the old ones stay.
    pub async fn reload(&self, who: &str) -> Result<Reloaded, NotReloaded> {
        let _turn = self.turn.lock().await;
        let files = Arc::clone(&self.files);
        let read = tokio::task::spawn_blocking(move || files.read()).await;
        let read = read.unwrap_or_else(|_| {
            let mut faults = Faults::default();
            faults.add("reload", "a fault of ours: the files could not be read", None);
            Err(faults)
        });
        let read = match read {
            Ok(read) => read,
            Err(faults) => {
                tracing::error!("users and rules stay as they were: {faults}");
                let first = faults.0.first().map(|fault| fault.place.clone()).unwrap_or_default();
                // That it couldn't be recorded changes nothing: nothing was changed.
                let _ = self.hub.record(who, "reload failed", &[("at", &first)]).await;
                return Err(NotReloaded::Faults(faults));
            }
        };
        let told = read.told();
        self.hub.record(who, "reload", &[("now", &told)]).await.map_err(|refusal| {
            tracing::error!("users and rules stay as they were: the change can't be recorded ({refusal})");
            NotReloaded::Refusal(refusal)
        })?;
        read.warn();
        let (users, roles, patterns, remarks) = (read.users, read.roles, read.patterns, read.remarks);
        self.hub.access().replace(read.policy);
        let ended = self.hub.recheck().await;
        tracing::info!("in force now: {told}; {ended} connections ended by it");
        Ok(Reloaded { users, roles, patterns, ended, remarks })
    }
}
