//! A group's part in this process: one session on the broker, whatever number of members shares it here.
//!
//! The session is persistent and its name stable, so that what came and was not acknowledged comes again after a crash, and
//! what is published while nobody is there waits on the broker. An acknowledgement counts when the broker has answered a
//! ping that was written behind it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_event::{BusError, Clock, GroupName, GroupOptions, Later};
use tokio::sync::{Notify, oneshot, watch};

use super::session::Task;
use super::shared::Shared;
use super::wire::{self, Hello, Lost};
use super::{letters, names};
use crate::address::Address;
use crate::local::desk::{Burial, Desk, Effect, Handle};
use crate::local::wait::Bell;
use crate::local::{self, lock};

/// What is to be told to the broker.
#[derive(Default)]
pub(super) struct Out {
    pub acknowledge: Vec<Handle>,
    pub waiters: Vec<oneshot::Sender<()>>,
}

/// One group's session.
pub(super) struct Seat {
    pub name: GroupName,
    /// What the session is called on the broker.
    pub(super) client_id: String,
    /// Whether one process has it at a time.
    pub(super) is_alone: bool,
    pub desk: Mutex<Desk>,
    /// Rung when members may find something new.
    pub bell: Bell,
    pub(super) shared: Arc<Shared>,
    pub(super) wake: Notify,
    pub(super) out: Mutex<Out>,
    pub(super) fault: Mutex<Option<String>>,
    /// What came of the first try.
    pub(super) ready: watch::Sender<Option<Result<(), String>>>,
    /// `true` when this session is to be left.
    pub(super) stop: watch::Sender<bool>,
    /// `true` when its task has ended.
    pub(super) ended: watch::Sender<bool>,
}

/// The client id of a group's session; one name for all processes where one of them is to be alone in it: the broker then hands
/// its session over, with what is out in its order, and ends the connection of who had it.
pub(super) fn client_id(instance: &str, group: &GroupName, alone: bool) -> String {
    match alone {
        true => format!("hw-{}", names::share(group)),
        false => format!("hw-{instance}-{}", names::share(group)),
    }
}

impl Seat {
    pub(super) fn begin(shared: &Arc<Shared>, name: &GroupName, options: GroupOptions) -> Arc<Self> {
        let seat = Arc::new(Self {
            name: name.clone(),
            client_id: client_id(&shared.instance, name, options.alone),
            is_alone: options.alone,
            desk: Mutex::new(Desk::new(options)),
            bell: Bell::new(),
            shared: Arc::clone(shared),
            wake: Notify::new(),
            out: Mutex::default(),
            fault: Mutex::default(),
            ready: watch::Sender::new(None),
            stop: watch::Sender::new(false),
            ended: watch::Sender::new(false),
        });
        shared.runtime.spawn(Task::new(Arc::clone(&seat)).run());
        seat
    }

    pub(super) fn fault(&self) -> Option<String> {
        lock(&self.fault).clone()
    }

    /// Waits until the session stands, or can't.
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

    /// Leaves the session, which the broker keeps, and waits until it's left.
    pub(super) async fn leave(&self) {
        lock(&self.desk).close();
        self.bell.ring();
        self.stop.send_replace(true);
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Does what the desk wants done; gives what to wait for until the broker knows it.
    pub(super) fn carry_out(self: &Arc<Self>, effects: Vec<Effect>) -> Vec<oneshot::Receiver<()>> {
        let mut waits = Vec::new();
        for effect in effects {
            match effect {
                Effect::Acknowledge(handles) => lock(&self.out).acknowledge.extend(handles),
                Effect::Bury(burial) => waits.push(self.bury(*burial)),
                // A broker has no place for it, so nothing is parked.
                Effect::Park(_) => {}
            }
        }
        self.wake.notify_one();
        waits
    }

    /// Waits until the broker knows all that it was told.
    pub(super) fn told(&self) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        lock(&self.out).waiters.push(tell);
        self.wake.notify_one();
        told
    }

    fn bury(self: &Arc<Self>, burial: Burial) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let seq = burial.recorded.position.seq;
        let letter = letters::of_burial(burial);
        let topic = letters::topic(&self.name, letter.at);
        let kept = self.shared.say(letters::write(&self.name, &letter, topic.clone(), true));
        self.shared.put_letter(&self.name, topic.clone(), letter);
        let seat = Arc::clone(self);
        self.shared.runtime.spawn(async move {
            let mut effects = Vec::new();
            match kept.await {
                Ok(Ok(())) => lock(&seat.desk).buried(seq, &mut effects),
                Ok(Err(why)) => {
                    tracing::warn!(group = %seat.name, why, "a dead letter can't be kept; its event is tried again");
                    seat.shared.letters().remove(&topic);
                    lock(&seat.desk).not_buried(seq, seat.shared.clock.now());
                }
                // All has ended; the event comes again.
                Err(_) => return,
            }
            seat.carry_out(effects);
            seat.bell.ring();
            let _ = tell.send(());
        });
        told
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
        let mut waits = Self::carry_out(&self, effects);
        if is_done {
            waits.push(self.told());
        }
        Box::pin(async move {
            for wait in waits {
                wait.await.map_err(|_| BusError::Closed)?;
            }
            Ok(())
        })
    }

    fn has_left(&self) {
        self.look_again();
    }

    fn late(&self) -> BusError {
        self.shared.late()
    }
}

/// Ends a group's session on the broker for good.
pub(super) async fn forget(address: &Address, client_id: &str) -> Result<(), Lost> {
    let hello =
        Hello { client_id, is_clean: true, session_expiry: Duration::ZERO, receive_maximum: 1, ..Hello::default() };
    let (wire, _) = wire::connect(address, &hello).await?;
    wire.leave(true).await;
    Ok(())
}
