//! Events that are told to those who watch now, and kept nowhere: on their way from the gate to live.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use headwater_event::{Event, Filter, Position, Principal, Recorded, Refusal, StickyPage, Topic};
use tokio::sync::Notify;

use crate::access::is_reserved;
use crate::admission::PassingPass;
use crate::hub::{Core, Hub};

/// How many bytes may wait for live: what it spreads in a few milliseconds. Whoever brings more waits, or is refused.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// What an event costs beside its bytes, so that many small ones are bounded too.
const EVENT_COST: usize = 256;

/// What waits for live.
#[derive(Default)]
pub(crate) struct Passing {
    waiting: Mutex<VecDeque<Event>>,
    bytes: AtomicUsize,
    came: Notify,
    /// There is room again.
    left: Notify,
    /// The hub's own last words on topics of its own; as many as the program has names for.
    announced: Mutex<BTreeMap<Topic, Event>>,
}

impl Passing {
    /// What waits, all at once.
    pub(crate) fn take(&self) -> VecDeque<Event> {
        let taken = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !taken.is_empty() {
            let cost: usize = taken.iter().map(cost_of).sum();
            self.bytes.fetch_sub(cost, Ordering::AcqRel);
            self.left.notify_waiters();
        }
        taken
    }

    /// Waits until something has come.
    pub(crate) async fn came(&self) {
        self.came.notified().await;
    }

    fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Acquire) < WAITING_BYTES_MAX
    }

    fn put(&self, pass: PassingPass) {
        let events = pass.redeem();
        let cost: usize = events.iter().map(cost_of).sum();
        self.bytes.fetch_add(cost, Ordering::AcqRel);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
        self.came.notify_one();
    }
}

fn cost_of(event: &Event) -> usize {
    EVENT_COST + event.topic.as_str().len() + event.payload.len() + event.headers.as_stored().len()
}

impl Core {
    /// Tells the hub's own events to those who watch now, and remembers none of them.
    pub(crate) fn tell_own(&self, mut events: Vec<Event>) {
        let now = self.clock.now();
        events.iter_mut().for_each(|event| event.at = now);
        let pass = self.admission.admit_own_passing(events);
        if !self.rings.are_none() && self.passing.has_room() {
            self.passing.put(pass);
        }
    }
}

impl Hub {
    /// Tells events to those who watch now. They are kept nowhere: who comes later is not told, unless it catches up from a
    /// position and what it missed is still in the ring that it shares with others.
    ///
    /// # Errors
    /// Why none of them is told. `Full` when those who watch are far behind; see [`Hub::room_to_pass`].
    pub fn pass(&self, who: &Principal, mut events: Vec<Event>) -> Result<(), Refusal> {
        let core = self.core();
        let now = core.clock.now();
        events.iter_mut().for_each(|event| event.at = now);
        let admitted = core.admission.admit_passing(who, events, core.passing.has_room());
        let mut pass = admitted.inspect_err(|refusal| core.metrics.refuse(refusal))?;
        core.metrics.passed.fetch_add(pass.len() as u64, Ordering::Relaxed);
        pass.keep(|event| !core.overheard.take(event));
        if core.rings.are_none() {
            return Ok(());
        }
        core.passing.put(pass);
        Ok(())
    }

    /// Tells the hub's own events, on topics that are closed to clients, to those who watch now. Of each topic the last one is
    /// remembered for newcomers ([`Hub::announced`]), in memory alone: after a restart it is told anew.
    pub fn announce(&self, events: Vec<Event>) {
        let core = self.core();
        let now = core.clock.now();
        let mut pass = core.admission.admit_own_passing(events);
        {
            let mut announced = core.passing.announced.lock().unwrap_or_else(PoisonError::into_inner);
            for event in pass.events() {
                event.at = now;
                announced.insert(event.topic.clone(), event.clone());
            }
        }
        if !core.rings.are_none() && core.passing.has_room() {
            core.passing.put(pass);
        }
    }

    /// Tells the hub's own events, on topics that are closed to clients, to those who watch now, and remembers none of them.
    pub fn tell(&self, events: Vec<Event>) {
        self.core().tell_own(events);
    }

    /// The last of the hub's own events of each topic that this filter wants. Who asks on behalf of a client has asked for
    /// its right to watch the filter before.
    #[must_use]
    pub fn announced(&self, filter: &Filter) -> Vec<Event> {
        let announced = self.core().passing.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.values().filter(|event| filter.matches(event.topic.as_str())).cloned().collect()
    }

    /// A page of states with what was announced of the same topics, which is later than what is kept; it stands at no place, so
    /// its sequence number is 0.
    pub(crate) fn with_announced(
        &self,
        mut page: StickyPage,
        filter: &Filter,
        after: Option<&Topic>,
        limit: usize,
    ) -> StickyPage {
        if !is_reserved(filter.as_str()) {
            return page;
        }
        let last = page.next.clone();
        let is_here =
            |topic: &Topic| after.is_none_or(|after| topic > after) && last.as_ref().is_none_or(|l| topic <= l);
        for event in self.announced(filter).into_iter().filter(|event| is_here(&event.topic)) {
            let position = Position::new(page.as_of.epoch, 0);
            let found = page.events.binary_search_by(|kept| kept.event.topic.cmp(&event.topic));
            let told = Recorded { position, event, sticky: true };
            match found {
                Ok(at) => page.events[at] = told,
                Err(at) => page.events.insert(at, told),
            }
        }
        if page.events.len() > limit {
            page.events.truncate(limit);
            page.next = page.events.last().map(|recorded| recorded.event.topic.clone());
        }
        page
    }

    /// Waits until [`Hub::pass`] has room. An edge that makes its client wait for it loses nothing.
    pub async fn room_to_pass(&self) {
        let passing = &self.core().passing;
        while !passing.has_room() {
            let left = passing.left.notified();
            if passing.has_room() {
                return;
            }
            left.await;
        }
    }

    /// Whether [`Hub::pass`] has room.
    #[must_use]
    pub fn has_room_to_pass(&self) -> bool {
        self.core().passing.has_room()
    }
}
