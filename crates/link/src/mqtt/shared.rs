//! What the connections of one engine share: places, letters, words that are to be published, and how it stands.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use headwater_event::{BusError, Clock, DeadLetter, GroupName, Health, Position, Text};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};

use super::letters::{self, Letters, Written};
use super::packet::Publish;
use super::seat::Seat;
use crate::address::Address;
use crate::local::front::Front;
use crate::local::ledger::Ledger;
use crate::local::lock;
use crate::local::member::ANSWER_TIME_MAX;
use crate::local::wait::Bell;

/// The first wait between two tries to connect, and the longest: a broker that is back is found within two seconds.
const BACKOFF_BASE: Duration = Duration::from_millis(100);
const BACKOFF_CAP: Duration = Duration::from_secs(2);

/// How long nothing is published over a new connection after one that broke, unless the broker is a Headwater.
///
/// Mosquitto (2.0.11) restores sessions when it starts again, but not their shared subscriptions: what is published before the
/// workers have subscribed again would come to nobody. They are back within [`BACKOFF_CAP`].
pub(super) const HOLD: Duration = Duration::from_secs(3);

/// Something that isn't an event: a letter, a mark.
pub(super) struct Words {
    pub publish: Publish,
    pub reply: Option<oneshot::Sender<Result<(), String>>>,
}

/// What all parts of one engine know.
pub(super) struct Shared {
    pub address: Address,
    pub instance: String,
    pub clock: Clock,
    pub runtime: Handle,
    pub ledger: Arc<Ledger>,
    /// Rung when the trunk has something to do.
    pub wake: Notify,
    /// `true` when all is to end.
    pub stop: watch::Sender<bool>,
    /// Rung when the letters have changed.
    pub bell: Bell,
    pub wants_letters: AtomicBool,
    fault: Mutex<Option<String>>,
    words: Mutex<VecDeque<Words>>,
    letters: Mutex<Letters>,
    pub seats: Mutex<BTreeMap<GroupName, Arc<Seat>>>,
}

/// The wait before the next try to connect: doubled each time, with a random half taken off.
pub(super) fn backoff(tries: u32) -> Duration {
    let whole = BACKOFF_BASE.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX)).min(BACKOFF_CAP);
    let [chance, ..] = *uuid::Uuid::new_v4().as_bytes();
    whole.mul_f64(1.0 - f64::from(chance) / 512.0)
}

impl Shared {
    pub(super) fn new(address: Address, instance: String, clock: Clock) -> Self {
        Self {
            address,
            instance,
            clock,
            runtime: Handle::current(),
            ledger: Arc::new(Ledger::new()),
            wake: Notify::new(),
            stop: watch::Sender::new(false),
            bell: Bell::new(),
            wants_letters: AtomicBool::new(false),
            fault: Mutex::default(),
            words: Mutex::default(),
            letters: Mutex::default(),
            seats: Mutex::default(),
        }
    }

    /// How the connection stands: `None` when it's good.
    pub(super) fn set_fault(&self, why: Option<&str>) {
        let sentence = why.map(|why| self.sentence(why));
        let mut fault = lock(&self.fault);
        match (&*fault, &sentence) {
            (None, Some(sentence)) => tracing::warn!("{sentence}"),
            (Some(_), None) => tracing::info!("the engine {} is connected again", self.address),
            _ => {}
        }
        *fault = sentence;
    }

    pub(super) fn sentence(&self, why: &str) -> String {
        format!("the engine {} {why}", self.address)
    }

    pub(super) fn health(&self) -> Health {
        if self.ledger.is_closed() {
            return Health::Failing("the engine was closed".into());
        }
        let fault = lock(&self.fault).clone();
        let of_seats = || lock(&self.seats).values().find_map(|seat| seat.fault());
        fault.or_else(of_seats).map_or(Health::Good, Health::Failing)
    }

    /// Hands words to the trunk; the receiver gets what the broker says.
    pub(super) fn say(&self, publish: Publish) -> oneshot::Receiver<Result<(), String>> {
        let (tell, told) = oneshot::channel();
        lock(&self.words).push_back(Words { publish, reply: Some(tell) });
        self.wake.notify_one();
        told
    }

    /// The same where nobody waits.
    pub(super) fn mention(&self, publish: Publish) {
        lock(&self.words).push_back(Words { publish, reply: None });
        self.wake.notify_one();
    }

    pub(super) fn next_words(&self) -> Option<Words> {
        lock(&self.words).pop_front()
    }

    /// Says words and waits until they are kept.
    pub(super) async fn say_and_wait(&self, publish: Publish) -> Result<(), BusError> {
        let told = self.say(publish);
        match tokio::time::timeout(ANSWER_TIME_MAX, told).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(why))) => Err(BusError::Storage(self.sentence(&why))),
            Ok(Err(_)) => Err(BusError::Closed),
            Err(_) => Err(self.late()),
        }
    }

    /// The broker hasn't answered in time.
    pub(super) fn late(&self) -> BusError {
        match self.health() {
            Health::Failing(why) => BusError::Storage(why),
            Health::Good => BusError::Storage(self.sentence("does not answer")),
        }
    }

    pub(super) fn letters(&self) -> MutexGuard<'_, Letters> {
        lock(&self.letters)
    }

    /// Keeps a letter here; what there's no room for any more is cleared on the broker.
    pub(super) fn put_letter(&self, group: &GroupName, topic: Text, letter: DeadLetter) {
        let cleared = self.letters().put(group, topic, letter);
        if let Some(cleared) = cleared {
            self.mention(letters::clear(cleared));
        }
        self.bell.ring();
    }

    /// Gives a letter that came from the broker its number.
    pub(super) fn number_letter(&self, topic: Text, written: Written) {
        if self.letters().knows(&topic) {
            return;
        }
        let seq = self.ledger.number(&written.event.id);
        let position = Position::new(self.ledger.head().epoch, seq);
        let group = written.group.clone();
        self.put_letter(&group, topic, letters::numbered(written, position));
    }

    /// Waits until all letters on the broker are known here.
    pub(super) async fn know_letters(&self) -> Result<(), BusError> {
        self.wants_letters.store(true, Ordering::Release);
        self.wake.notify_one();
        let known = async {
            let mut ear = self.bell.listen();
            let mut stopping = self.stop.subscribe();
            while !self.letters().is_filled {
                tokio::select! {
                    () = ear.rung() => {}
                    _ = stopping.wait_for(|stop| *stop) => return Err(BusError::Closed),
                }
            }
            Ok(())
        };
        if self.ledger.is_closed() {
            return Err(BusError::Closed);
        }
        tokio::time::timeout(ANSWER_TIME_MAX, known).await.unwrap_or_else(|_| Err(self.late()))
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
        self.wake.notify_one();
    }

    fn late(&self) -> BusError {
        Self::late(self)
    }
}
