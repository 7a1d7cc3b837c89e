//! What the parts of the engine share: the connections, Redis, places, how it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_event::{BusError, Clock, GroupName, Health};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::letters::Numbers;
use super::memory::Memory;
use super::names::Names;
use super::seat::Seat;
use super::wire::Wires;
use crate::address::Address;
use crate::local::front::Front;
use crate::local::ledger::Ledger;
use crate::local::lock;
use crate::local::wait::Bell;

/// The first wait between two tries to connect, and the longest: a server that is back is found within two seconds.
const BACKOFF_BASE: Duration = Duration::from_millis(100);
const BACKOFF_CAP: Duration = Duration::from_secs(2);

/// What can be wrong, each for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Publishing,
    State,
    Following,
}

/// What all parts know.
pub(super) struct Shared {
    pub address: Address,
    pub clock: Clock,
    pub runtime: Handle,
    pub names: Names,
    pub wires: Wires,
    pub memory: Memory,
    /// How many members a queue is to have, where that is said.
    pub members: Option<u8>,
    pub ledger: Arc<Ledger>,
    /// Rung when there is something to publish.
    pub wake: Notify,
    /// Rung when somebody wants to follow.
    pub follow: Notify,
    /// `true` when all is to end.
    pub stop: watch::Sender<bool>,
    pub seats: Mutex<BTreeMap<GroupName, Arc<Seat>>>,
    pub numbers: Mutex<BTreeMap<GroupName, Numbers>>,
    /// Which queues of long waits are there.
    pub ladder: Mutex<BTreeSet<Duration>>,
    /// How many burials are on their way, and the bell of their ends.
    pub burying: AtomicU64,
    pub bell: Bell,
    faults: Mutex<BTreeMap<Part, String>>,
}

/// Resolves when all is to end.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The wait before the next try: doubled each time, with a random half taken off.
pub(super) fn backoff(tries: u32) -> Duration {
    let whole = BACKOFF_BASE.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX)).min(BACKOFF_CAP);
    let [chance, ..] = *uuid::Uuid::new_v4().as_bytes();
    whole.mul_f64(1.0 - f64::from(chance) / 512.0)
}

impl Shared {
    pub(super) fn new(
        address: Address,
        clock: Clock,
        names: Names,
        wires: Wires,
        memory: Memory,
        members: Option<u8>,
    ) -> Self {
        Self {
            address,
            clock,
            runtime: Handle::current(),
            names,
            wires,
            memory,
            members,
            ledger: Arc::new(Ledger::new()),
            wake: Notify::new(),
            follow: Notify::new(),
            stop: watch::Sender::new(false),
            seats: Mutex::default(),
            numbers: Mutex::default(),
            ladder: Mutex::default(),
            burying: AtomicU64::new(0),
            bell: Bell::new(),
            faults: Mutex::default(),
        }
    }

    pub(super) fn sentence(&self, why: &str) -> String {
        format!("the engine {} {why}", self.address)
    }

    /// How a part stands: `None` when it's good. Said once.
    pub(super) fn set_fault(&self, part: Part, sentence: Option<String>) {
        let mut faults = lock(&self.faults);
        match (faults.get(&part), &sentence) {
            (None, Some(sentence)) => tracing::warn!("{sentence}"),
            (Some(before), None) => tracing::info!("it works again: {before}"),
            _ => {}
        }
        match sentence {
            Some(sentence) => drop(faults.insert(part, sentence)),
            None => drop(faults.remove(&part)),
        }
    }

    pub(super) fn health(&self) -> Health {
        if self.ledger.is_closed() {
            return Health::Failing("the engine was closed".into());
        }
        let fault = lock(&self.faults).values().next().cloned();
        let of_seats = || lock(&self.seats).values().find_map(|seat| seat.fault());
        fault.or_else(of_seats).map_or(Health::Good, Health::Failing)
    }

    /// What a caller hears when something went wrong.
    pub(super) fn storage(&self, why: impl Into<String>) -> BusError {
        if self.ledger.is_closed() { BusError::Closed } else { BusError::Storage(why.into()) }
    }

    /// The engine hasn't answered in time.
    pub(super) fn late(&self) -> BusError {
        match self.health() {
            Health::Failing(why) => self.storage(why),
            Health::Good => self.storage(self.sentence("does not answer")),
        }
    }

    /// Resolves when no dead letter of this process is on its way.
    pub(super) async fn all_buried(&self) {
        let mut ear = self.bell.listen();
        while self.burying.load(Ordering::Acquire) > 0 && !self.ledger.is_closed() {
            ear.rung().await;
        }
    }
}

impl Front for Shared {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn has_appended(&self) {
        self.wake.notify_one();
    }

    fn is_followed(&self) {
        self.follow.notify_one();
    }

    fn late(&self) -> BusError {
        Self::late(self)
    }
}
