//! A service at work, seen from outside.

use std::sync::{Arc, OnceLock};

use headwater_event::{Bus, BusError, Clock, Health};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::batch::Context;
use crate::crew::Crew;
use crate::service::Service;
use crate::store::{Store, StoreError, check_name};
use crate::worker::{self, BeginError, STOP_WAIT, Shared, Tools};
use crate::{late, schema};

/// Why a service can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It contradicts itself.
    #[error("the service {name} can't be: {faults}")]
    Definition {
        /// Which one.
        name: &'static str,
        /// All that is wrong with it.
        faults: String,
    },
    /// Its store said no.
    #[error("the service {name} can't start: {error}")]
    Store {
        /// Which one.
        name: &'static str,
        /// What the store said.
        error: StoreError,
    },
    /// The bus said no.
    #[error("the service {name} can't join its group: {error}")]
    Bus {
        /// Which one.
        name: &'static str,
        /// What the bus said.
        error: BusError,
    },
    /// Its group was made for other events, and can't be made anew now.
    #[error("the service {name} wants other events than its group was made for: {why}")]
    Group {
        /// Which one.
        name: &'static str,
        /// What stands in the way.
        why: String,
    },
    /// Its seed failed; nothing of it stays.
    #[error("the service {name} can't fill its tables: {why}")]
    Seed {
        /// Which one.
        name: &'static str,
        /// Why.
        why: String,
    },
}

/// A service at work. Dropping it is like killing its process: what was under way is handled again by the next one.
pub struct Running {
    name: &'static str,
    store: Store,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) async fn start(
        service: Service,
        bus: Arc<dyn Bus>,
        store: Store,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let name = service.name;
        check(&service)?;
        let failed = |error| StartError::Store { name, error };
        let now = i64::try_from(clock.now().as_micros()).unwrap_or(i64::MAX);
        store.migrate(schema::KIT, service.migrations, now).await.map_err(failed)?;
        // A statement that can't be is found now and not with the first event that needs it.
        store.prepare_all(service.statements).await.map_err(failed)?;
        let late_topic = late::topic(name);
        let service = Arc::new(service);
        let context = Arc::new(Context { service, namer: OnceLock::new(), clock, late_topic });
        worker::begin(&store, &context).await.map_err(|failure| match failure {
            BeginError::Store(error) => failed(error),
            BeginError::Seed(why) => StartError::Seed { name, why },
        })?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = watch::channel(false);
        let tools = Tools { context, bus, store: store.clone(), shared: Arc::clone(&shared), stop: stopped };
        let crew = Crew::begin(&tools).await?;
        let task = tokio::spawn(crew.run(tools));
        Ok(Self { name, store, shared, stop, task: Some(task) })
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it works; the sentence is for /readyz.
    #[must_use]
    pub fn health(&self) -> Health {
        if self.task.as_ref().is_none_or(JoinHandle::is_finished) {
            return match self.shared.health() {
                Health::Good => Health::Failing(format!("the service {} has ended", self.name)),
                failing => failing,
            };
        }
        match self.store.health() {
            Health::Good => self.shared.health(),
            failing => failing,
        }
    }

    /// Finishes the batches under way, settles and relays them, and leaves the group.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let Some(mut task) = self.task.take() else { return };
        if tokio::time::timeout(STOP_WAIT, &mut task).await.is_err() {
            tracing::warn!("the service {} didn't end in time; the rest is done with the next start", self.name);
            task.abort();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn check(service: &Service) -> Result<(), StartError> {
    let mut faults = service.faults.clone();
    if let Err(error) = check_name(service.name) {
        faults.push(error.to_string());
    }
    if service.routes.is_empty() && service.timers.is_empty() {
        faults.push("it handles nothing".into());
    }
    let mut names: Vec<_> = service.timers.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        faults.push(format!("two handlers for timers named {}", pair[0]));
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(StartError::Definition { name: service.name, faults: faults.join("; ") })
}
