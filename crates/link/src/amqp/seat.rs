//! A group's part in this process: one consumer of the group's quorum queue, whatever number of members shares it here.
//!
//! The queue is there as long as the group is, so that what is published while nobody is there waits in it, and what came and
//! was not acknowledged comes again after a crash. The server doesn't confirm an acknowledgement: it counts when a question
//! that was asked behind it over the same channel is answered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use headwater_event::{BusError, Clock, EventId, GroupName, GroupOptions, Later};
use tokio::sync::{Notify, oneshot, watch};

use super::packed::Letter;
use super::session::Task;
use super::shared::Shared;
use super::spelling::{self, Again};
use super::{ladder, letters};
use crate::local::desk::{Burial, Desk, Effect, Handle, Parking};
use crate::local::wait::Bell;
use crate::local::{self, lock};

/// What is to be told to the server.
#[derive(Default)]
pub(super) struct Out {
    pub acknowledge: Vec<Handle>,
    pub waiters: Vec<oneshot::Sender<()>>,
    /// Nobody tells the server anything any more.
    pub is_over: bool,
}

/// One group's deliveries here.
pub(super) struct Seat {
    pub name: GroupName,
    pub queue: String,
    /// Whether this process is the group's only one, and what its place is called.
    pub is_alone: bool,
    pub place: String,
    pub desk: Mutex<Desk>,
    /// Rung when members may find something new.
    pub bell: Bell,
    pub dead: AtomicUsize,
    pub shared: Arc<Shared>,
    pub wake: Notify,
    pub out: Mutex<Out>,
    pub fault: Mutex<Option<String>>,
    /// What came of the first try.
    pub ready: watch::Sender<Option<Result<(), String>>>,
    /// `true` when this seat is to be left.
    pub stop: watch::Sender<bool>,
    /// `true` when its task has ended.
    pub ended: watch::Sender<bool>,
}

impl Seat {
    /// Takes up a group's deliveries here; writes down what a new group wants.
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        name: &GroupName,
        options: GroupOptions,
    ) -> Result<Arc<Self>, BusError> {
        let lines: Vec<_> = options.filters.iter().map(ToString::to_string).collect();
        let registered = shared.memory.register(name, &lines.join("\n")).await.map_err(|why| shared.storage(why))?;
        let filters = registered.filters.lines().filter_map(|line| line.parse().ok()).collect();
        let dead = letters::number(shared, name).await?;
        let seat = Arc::new(Self {
            name: name.clone(),
            queue: shared.names.queue(name, registered.number),
            is_alone: options.alone,
            place: shared.names.place(name, registered.number),
            desk: Mutex::new(Desk::new(GroupOptions { filters, ..options }).parks(ladder::SHORTEST)),
            bell: Bell::new(),
            dead: AtomicUsize::new(dead),
            shared: Arc::clone(shared),
            wake: Notify::new(),
            out: Mutex::default(),
            fault: Mutex::default(),
            ready: watch::Sender::new(None),
            stop: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        });
        Ok(seat)
    }

    /// Begins to consume.
    pub(super) fn start(self: &Arc<Self>) {
        self.shared.runtime.spawn(Task::new(Arc::clone(self)).run());
    }

    pub(super) fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    /// Waits until the queue is consumed, or can't be.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let mut ready = self.ready.subscribe();
        match ready.wait_for(Option::is_some).await {
            Ok(result) => result.clone().unwrap_or(Ok(())),
            Err(_) => Err("was closed".into()),
        }
    }

    /// The members' wishes have changed.
    pub(super) fn look_again(&self) {
        self.wake.notify_one();
    }

    /// Members hear that it's over.
    pub(super) fn close(&self) {
        lock(&self.desk).close();
        self.bell.ring();
        self.stop.send_replace(true);
    }

    /// Leaves the queue, which the server keeps, and waits until it's left.
    pub(super) async fn leave(&self) {
        self.close();
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Does what the desk wants done; gives what to wait for until it's kept.
    pub(super) fn carry_out(self: &Arc<Self>, effects: Vec<Effect>) -> Vec<oneshot::Receiver<Result<(), String>>> {
        let (mut burials, mut waits) = (Vec::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Acknowledge(handles) => lock(&self.out).acknowledge.extend(handles),
                Effect::Bury(burial) => burials.push(*burial),
                Effect::Park(parking) => waits.push(self.park(*parking)),
            }
        }
        if !burials.is_empty() {
            waits.push(self.bury(burials));
        }
        self.wake.notify_one();
        waits
    }

    /// Publishes what waits long to a queue of such, from which it comes back.
    fn park(self: &Arc<Self>, parking: Parking) -> oneshot::Receiver<Result<(), String>> {
        let (tell, told) = oneshot::channel();
        let seat = Arc::clone(self);
        self.shared.runtime.spawn(async move {
            let Parking { recorded, attempts, due } = parking;
            let seq = recorded.position.seq;
            let (event, sticky) = (recorded.event, recorded.sticky);
            let letter = Letter { event, sticky, attempts, why: String::new(), at: due };
            let again = Again { name: uuid::Uuid::new_v4(), due: Some(due), letter };
            let left = due.since(seat.shared.clock.now());
            let kept = ladder::put(&seat.shared, &seat.queue, left, spelling::again(&again)).await;
            let mut effects = Vec::new();
            match kept {
                Ok(()) => lock(&seat.desk).parked(seq, &mut effects),
                Err(why) => {
                    tracing::debug!(group = %seat.name, why, "a long wait is kept here");
                    lock(&seat.desk).not_parked(seq);
                }
            }
            seat.carry_out(effects);
            seat.bell.ring();
            // It waits in either case. Nobody may listen.
            let _ = tell.send(Ok(()));
        });
        told
    }

    /// Resolves when the server knows all that it was told.
    pub(super) fn told(&self) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let mut out = lock(&self.out);
        if !out.is_over {
            out.waiters.push(tell);
        }
        drop(out);
        self.wake.notify_one();
        told
    }

    /// Keeps letters, in the order of their deaths.
    fn bury(self: &Arc<Self>, burials: Vec<Burial>) -> oneshot::Receiver<Result<(), String>> {
        let (tell, told) = oneshot::channel();
        self.dead.fetch_add(burials.len(), Ordering::AcqRel);
        self.shared.burying.fetch_add(1, Ordering::AcqRel);
        let seat = Arc::clone(self);
        self.shared.runtime.spawn(async move {
            let result = seat.keep(burials).await;
            seat.shared.burying.fetch_sub(1, Ordering::AcqRel);
            seat.shared.bell.ring();
            // Nobody may wait.
            let _ = tell.send(result);
        });
        told
    }

    async fn keep(self: &Arc<Self>, burials: Vec<Burial>) -> Result<(), String> {
        let letter = |burial: &Burial| (burial.recorded.event.id.clone(), Letter::of_burial(burial).pack());
        let letters: Vec<(EventId, Vec<u8>)> = burials.iter().map(letter).collect();
        let kept = self.shared.memory.bury(&self.name, &letters).await;
        let mut effects = Vec::new();
        for burial in &burials {
            let seq = burial.recorded.position.seq;
            match &kept {
                Ok(_) => {
                    letters::kept(&self.shared, &self.name, &burial.recorded.event.id, seq);
                    lock(&self.desk).buried(seq, &mut effects);
                }
                Err(_) => lock(&self.desk).not_buried(seq, self.shared.clock.now()),
            }
        }
        match &kept {
            Ok((dead, _)) => self.dead.store(*dead, Ordering::Release),
            Err(why) => {
                tracing::warn!(group = %self.name, why, "dead letters can't be kept; their events are tried again");
                self.dead.fetch_sub(burials.len(), Ordering::AcqRel);
            }
        }
        self.carry_out(effects);
        self.bell.ring();
        kept.map(drop)
    }
}

impl local::member::Seat for Seat {
    fn desk(&self) -> &Mutex<Desk> {
        &self.desk
    }

    fn bell(&self) -> &Bell {
        &self.bell
    }

    fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    fn carry_out(self: Arc<Self>, effects: Vec<Effect>, is_done: bool) -> Later<'static, Result<(), BusError>> {
        let waits = Self::carry_out(&self, effects);
        let told = is_done.then(|| self.told());
        Box::pin(async move {
            for wait in waits {
                wait.await.map_err(|_| BusError::Closed)?.map_err(|why| self.shared.storage(why))?;
            }
            match told {
                Some(told) => told.await.map_err(|_| BusError::Closed),
                None => Ok(()),
            }
        })
    }

    fn has_left(&self) {
        self.look_again();
    }

    fn late(&self) -> BusError {
        self.shared.late()
    }
}
