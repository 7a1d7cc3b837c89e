//! Keeps a life alive and its duties fairly shared, on a thread of its own: a busy runtime must not look like a dead process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::plan::{self, LOOK, SORT, View, part_name, part_of};
use super::{Ask, Entry, Held, Known, Life};
use crate::store::{Duties, Store, StoreError};

/// How often a life says that it lives, for each time that it may be silent: two in a row may be lost.
const RENEWALS_PER_HOLD: u32 = 3;

/// How often it looks how all stand, for each time that it may be silent.
const LOOKS_PER_HOLD: u32 = 12;

/// How many requests may wait for the keeper; the worker asks one at a time.
const ASKS_MAX: usize = 4;

/// How many rows of a part its owner may have had in hand when it died: a batch.
const IN_HAND: i64 = 64;

/// How long the end waits for the server.
const LEAVE_WAIT: Duration = Duration::from_secs(2);

struct Keeper {
    store: Store,
    duties: Option<Duties>,
    token: i64,
    hold: Duration,
    known: Arc<Known>,
    renewed: Instant,
}

/// Begins a life and takes what is free.
pub(super) async fn begin(entry: Entry) -> Result<Life, StoreError> {
    let (answer, answered) = oneshot::channel();
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    let failed = |error: std::io::Error| StoreError::Unavailable(format!("can't start a thread: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let name = format!("{} keeper", entry.store.name());
    let work = async move {
        match enter(entry).await {
            Ok(keeper) => {
                if answer.send(Ok((keeper.token, Arc::clone(&keeper.known)))).is_ok() {
                    keeper.run(asked).await;
                }
            }
            // Nobody waits any more: the start was given up.
            Err(error) => drop(answer.send(Err(error))),
        }
    };
    std::thread::Builder::new().name(name).spawn(move || runtime.block_on(work)).map_err(failed)?;
    let (token, known) = answered.await.map_err(|_| StoreError::Closed)??;
    Ok(Life { token, known, asks })
}

async fn enter(entry: Entry) -> Result<Keeper, StoreError> {
    let Entry { store, parts, hold, holder } = entry;
    let duties = open(&store).await?;
    let mut names = vec![LOOK.to_owned()];
    if parts > 0 {
        duties.set_parts(parts).await?;
        names.push(SORT.to_owned());
        names.extend((0..parts).map(part_name));
    }
    duties.make(&names).await?;
    let begun = Instant::now();
    let token = duties.enter(&holder, hold).await?;
    let known = Known { sure_until: Mutex::new(begun + hold), held: watch::Sender::new(Held::default()) };
    let mut keeper = Keeper { store, duties: Some(duties), token, hold, known: Arc::new(known), renewed: begun };
    keeper.look().await?;
    Ok(keeper)
}

async fn open(store: &Store) -> Result<Duties, StoreError> {
    match store.postgres() {
        Some(postgres) => postgres.duties().await,
        None => Err(StoreError::Closed),
    }
}

impl Keeper {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        let mut ticks = tokio::time::interval(self.hold / LOOKS_PER_HOLD);
        // After a pause one look is enough.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.known.held.borrow().is_over {
            tokio::select! {
                _ = ticks.tick() => self.tick().await,
                ask = asked.recv() => match ask {
                    Some(Ask::Release(parts, tell)) => {
                        self.release(&parts).await;
                        // The worker may be gone.
                        let _ = tell.send(());
                    }
                    Some(Ask::Leave(tell)) => {
                        self.leave().await;
                        let _ = tell.send(());
                        return;
                    }
                    // Its life was dropped: like a crash.
                    None => return,
                },
            }
        }
    }

    async fn tick(&mut self) {
        if let Err(error) = self.try_tick().await {
            tracing::debug!("the duties of {} can't be kept: {error}", self.store.name());
            if self.duties.as_ref().is_none_or(Duties::is_closed) || !matches!(error, StoreError::Busy(_)) {
                self.duties = None;
            }
        }
    }

    async fn try_tick(&mut self) -> Result<(), StoreError> {
        if self.duties.is_none() {
            self.duties = Some(open(&self.store).await?);
        }
        let now = Instant::now();
        if now.duration_since(self.renewed) >= self.hold / RENEWALS_PER_HOLD || now > self.renewed + self.hold {
            if !self.duties()?.renew(self.token, self.hold).await? {
                self.over();
                return Ok(());
            }
            self.renewed = now;
            *self.known.sure_until.lock().unwrap_or_else(PoisonError::into_inner) = now + self.hold;
        }
        self.look().await
    }

    fn duties(&self) -> Result<&Duties, StoreError> {
        self.duties.as_ref().ok_or(StoreError::Closed)
    }

    fn over(&self) {
        tracing::warn!("{} was silent for too long: others have its work, and it begins anew", self.store.name());
        self.known.held.send_modify(|held| *held = Held { is_over: true, ..Held::default() });
    }

    /// Looks how all stand, and does what follows from it.
    async fn look(&mut self) -> Result<(), StoreError> {
        let mut view = self.duties()?.view().await?;
        if !view.workers.iter().any(|row| row.token == self.token) {
            self.over();
            return Ok(());
        }
        let mut plan = plan::decide(&view, self.token);
        let mut has_changed = false;
        for token in &plan.bury {
            if self.duties()?.bury(*token, self.store.name()).await? {
                tracing::warn!("a process of {} (#{token}) is silent: its work goes to others", self.store.name());
                has_changed = true;
            }
        }
        if has_changed {
            view = self.duties()?.view().await?;
            plan = plan::decide(&view, self.token);
            has_changed = false;
        }
        for (name, from) in &plan.claim {
            if !self.duties()?.claim(name, *from, self.token).await? {
                continue;
            }
            has_changed = true;
            if let (Some(part), Some(_)) = (part_of(name), from) {
                self.duties()?.count_attempt(part, IN_HAND).await?;
            }
        }
        if has_changed {
            view = self.duties()?.view().await?;
        }
        self.tell(&view, plan.give_up);
        Ok(())
    }

    fn tell(&self, view: &View, give_up: Vec<u32>) {
        let mut held = Held { give_up, ..Held::default() };
        for duty in view.duties.iter().filter(|duty| duty.token == Some(self.token)) {
            match duty.name.as_str() {
                LOOK => held.looks = true,
                SORT => held.sorts = true,
                name => held.parts.extend(part_of(name)),
            }
        }
        self.known.held.send_if_modified(|known| {
            let has_changed = *known != held;
            *known = held;
            has_changed
        });
    }

    /// Until it's done: a worker that gave a part up must not go on with it.
    async fn release(&mut self, parts: &[u32]) {
        self.known.held.send_modify(|held| {
            held.parts.retain(|part| !parts.contains(part));
            held.give_up.clear();
        });
        let names: Vec<String> = parts.iter().map(|part| part_name(*part)).collect();
        if let Ok(duties) = self.duties()
            && let Err(error) = duties.release(&names, self.token).await
        {
            // They're still this life's: the next look says so, and the worker goes on with them.
            tracing::debug!("parts of {} can't be given up: {error}", self.store.name());
        }
    }

    async fn leave(&mut self) {
        let leaving = async { self.duties()?.leave(self.token).await };
        match tokio::time::timeout(LEAVE_WAIT, leaving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!("{} didn't leave in good order: {error}", self.store.name()),
            Err(_) => tracing::debug!("{} didn't leave in good order: the server is slow", self.store.name()),
        }
    }
}
