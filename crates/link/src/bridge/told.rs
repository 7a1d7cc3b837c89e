//! How a bridge is and what it has done, for people and for counters.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use headwater_event::Health;

/// What a bridge has done since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Events that the broker has acknowledged (QoS 0: that were written).
    pub sent: AtomicU64,
    /// Events that the broker refused; they are dead letters of the bridge's group.
    pub refused_there: AtomicU64,
    /// Events that came in and are durable, without duplicates.
    pub taken: AtomicU64,
    /// Events that had come before.
    pub duplicates: AtomicU64,
    /// Events that came in and were not taken: rules, size, or a topic that can't be one here.
    pub refused_here: AtomicU64,
    /// Events that were not carried, as they had been where they were to go, or had passed too many bridges.
    pub returning: AtomicU64,
    /// Events that expired before they could be sent.
    pub expired: AtomicU64,
    /// Connections that were made.
    pub connections: AtomicU64,
}

impl Counts {
    /// How many events have crossed, either way.
    pub(super) fn carried(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) + self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn add(count: &AtomicU64, more: usize) {
        count.fetch_add(more as u64, Ordering::Relaxed);
    }
}

/// How a bridge is.
#[derive(Debug)]
pub struct Told {
    name: String,
    is_connected: AtomicBool,
    state: Mutex<State>,
    /// What it has done.
    pub counts: Counts,
}

#[derive(Debug, Default)]
struct State {
    /// Why there is no connection.
    lost: Option<String>,
    /// What keeps it from its work though there is one, by what it does.
    hindered: [Option<String>; 3],
}

/// What is hindered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
    Subscribing,
}

impl Told {
    pub(super) fn new(name: String) -> Self {
        let state = State { lost: Some("it has not been connected yet".into()), hindered: [None, None, None] };
        Self { name, is_connected: AtomicBool::new(false), state: Mutex::new(state), counts: Counts::default() }
    }

    /// Which bridge.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is a connection now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Acquire)
    }

    /// How it is, in a sentence where it isn't well.
    #[must_use]
    pub fn health(&self) -> Health {
        let state = self.lock();
        match state.lost.as_ref().or_else(|| state.hindered.iter().flatten().next()) {
            None => Health::Good,
            Some(why) => Health::Failing(why.clone()),
        }
    }

    pub(super) fn connected(&self) {
        self.lock().lost = None;
        self.is_connected.store(true, Ordering::Release);
        Counts::add(&self.counts.connections, 1);
    }

    /// Gives whether this is news.
    pub(super) fn lost(&self, why: &str) -> bool {
        self.is_connected.store(false, Ordering::Release);
        let before = self.lock().lost.replace(why.to_owned());
        before.as_deref() != Some(why)
    }

    /// Gives whether this is news.
    pub(super) fn hindered(&self, way: Way, why: Option<String>) -> bool {
        let mut state = self.lock();
        let is_news = state.hindered[way as usize] != why;
        state.hindered[way as usize] = why;
        is_news
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
