//! One life of a service's work in this process: the worker, and on PostgreSQL what it shares with those of other processes.

use std::sync::Arc;

use headwater_event::Member;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::batch::wait;
use crate::duty::Life;
use crate::group;
use crate::running::StartError;
use crate::sorted::{Share, Sorter};
use crate::worker::{End, Tools, Worker};

/// The wait before a life that ended is followed by another.
const AGAIN: headwater_event::Backoff =
    headwater_event::Backoff { base: std::time::Duration::from_millis(100), cap: std::time::Duration::from_secs(5) };

/// All that works for one life.
pub(crate) struct Crew {
    worker: Worker,
    life: Option<Arc<Life>>,
    /// Takes the service's events from the bus, where they're shared in order.
    sorter: Option<Task>,
}

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Crew {
    /// Begins a life. When this gives `Ok`, the group is there: this process has joined it, or another has.
    pub(crate) async fn begin(tools: &Tools) -> Result<Self, StartError> {
        let service = &tools.context.service;
        let name = service.name;
        let failed = |error| StartError::Store { name, error };
        // Without keys there's no order to be kept: then members share the group.
        let parts = if service.key_of.is_some() { service.options.partitions.max(1) } else { 0 };
        let life = Life::enter(&tools.store, service, parts).await.map_err(failed)?;
        let crew = match &life {
            Some(life) if parts > 0 => Self::sorted(tools, life).await,
            _ => match group::join(&*tools.bus, &tools.context, false).await {
                Ok(member) => {
                    let worker = Worker::new(tools, member, life.clone(), None).map_err(failed);
                    worker.map(|worker| Self { worker, life: life.clone(), sorter: None })
                }
                Err(error) => Err(error),
            },
        };
        if let (Err(_), Some(life)) = (&crew, &life) {
            life.leave().await;
        }
        crew
    }

    async fn sorted(tools: &Tools, life: &Arc<Life>) -> Result<Self, StartError> {
        let name = tools.context.service.name;
        let is_sorter = life.held().borrow().sorts;
        // What stands in the way is said now and not later.
        let member = match is_sorter {
            true => Some(group::join(&*tools.bus, &tools.context, true).await?),
            false => None,
        };
        let news = Arc::new(Notify::new());
        let (share, control) =
            Share::begin(&tools.context, &tools.bus, &tools.store, life, &tools.shared, Arc::clone(&news));
        let share: Box<dyn Member> = Box::new(share);
        let worker = Worker::new(tools, share, Some(Arc::clone(life)), Some(control));
        let worker = worker.map_err(|error| StartError::Store { name, error })?;
        let sorter = Sorter {
            context: Arc::clone(&tools.context),
            bus: Arc::clone(&tools.bus),
            store: tools.store.clone(),
            life: Arc::clone(life),
            shared: Arc::clone(&tools.shared),
            news,
            stop: tools.stop.clone(),
            member,
        };
        let sorter = Task(tokio::spawn(sorter.run()));
        Ok(Self { worker, life: Some(Arc::clone(life)), sorter: Some(sorter) })
    }

    /// Works until it's stopped; a life that is over is followed by another.
    pub(crate) async fn run(mut self, tools: Tools) {
        let mut stop = tools.stop.clone();
        loop {
            let Self { worker, life, sorter } = self;
            if worker.run().await == End::Stopped {
                // It sees the same word; without one (the bus is closed) there's nothing to wait for.
                if let Some(mut sorter) = sorter.filter(|_| *tools.stop.borrow()) {
                    let _ = (&mut sorter.0).await;
                }
                if let Some(life) = life {
                    life.leave().await;
                }
                return;
            }
            drop((life, sorter));
            let mut failures = 0;
            self = loop {
                match Self::begin(&tools).await {
                    Ok(crew) => break crew,
                    Err(error) => tools.shared.trouble(error.to_string()),
                }
                failures += 1;
                tokio::select! {
                    () = tokio::time::sleep(wait(AGAIN, failures)) => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            };
            tools.shared.good();
        }
    }
}
