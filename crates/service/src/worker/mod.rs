//! Carries deliveries from the bus to the store, and what came of them back: settlements and outgoing events.
//!
//! One task owns it all. It fills lanes with batches; when one has committed, it settles its deliveries, hands what they
//! published to the relay, and fills the lane again. A delivery is settled as done only after the commit that has its effect; an
//! outgoing event is on the bus only after the commit that has its row. Whatever dies in between is made good by the inbox
//! (it was handled) and by the outbox (it has to leave).

mod lane;
mod look;
mod order;
mod place;
mod recent;
mod relay;
mod settle;
mod shared;
pub(crate) mod wait;

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use headwater_event::{Bus, BusError, Delivery, Later, Member, Settlement, Tag, Time};
use tokio::sync::watch;

use self::lane::{Ended, Lane};
use self::look::Look;
use self::order::{Admitted, Order};
use self::place::{AHEAD, AHEAD_OF_REPEATS, Place};
use self::recent::Recent;
use self::relay::Relay;
pub(crate) use self::shared::Shared;
use crate::batch::{Batch, Context, Fate, Item, PARKED_MAX, Work};
use crate::duty::Life;
use crate::outbox;
use crate::sorted::Control;
use crate::store::{Store, StoreError};

/// The wait before an unwilling bus or store is asked again.
const AGAIN: headwater_event::Backoff =
    headwater_event::Backoff { base: Duration::from_millis(20), cap: Duration::from_secs(2) };

/// How long rows that are on the bus may stay in a store in which nothing else happens.
const TIDY_AFTER: Duration = Duration::from_secs(1);

/// How often who looks for all processes of a service does so unasked: what others have set is fired so late at the most.
const LOOK_FOR_ALL_EVERY: Duration = Duration::from_millis(250);

/// How long the end may take.
pub(crate) const STOP_WAIT: Duration = Duration::from_secs(30);

/// Why a service's store could not be made ready.
pub(crate) enum BeginError {
    Store(StoreError),
    Seed(String),
}

/// The first commit of a start: the store's key is drawn, and its tables are filled if they never were.
pub(crate) async fn begin(store: &Store, context: &Arc<Context>) -> Result<(), BeginError> {
    let lane = Lane::open(store, context, 1, None).map_err(BeginError::Store)?.pop();
    let lane = lane.ok_or(BeginError::Store(StoreError::Closed))?;
    let worker = *uuid::Uuid::new_v4().as_bytes();
    let batch = Batch { is_first: true, worker, row_number: 1, ..Batch::default() };
    let ended = lane.run(Arc::clone(context), batch).await.ok_or(BeginError::Store(StoreError::Closed))?;
    match ended.1.map_err(BeginError::Store)?.fates.pop() {
        Some(Fate::Dead(why)) => Err(BeginError::Seed(why)),
        _ => Ok(()),
    }
}

/// A service's worker.
pub(crate) struct Worker {
    context: Arc<Context>,
    bus: Arc<dyn Bus>,
    member: Box<dyn Member>,
    places: Vec<Place>,
    hasher: RandomState,
    order: Order,
    recent: Recent,
    /// Deliveries of one fetch that were handled before.
    known: Vec<(Tag, Settlement)>,
    ahead: usize,
    relay: Relay,
    look: Look,
    running: FuturesUnordered<Later<'static, (usize, Option<Ended>)>>,
    /// What is leased to this worker and not settled.
    in_hand: HashSet<Tag>,
    renew_at: Time,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
    is_stopping: bool,
    /// When the bus is asked for deliveries again.
    fetch_not_before: Option<Time>,
    fetch_failures: u32,
    /// Since when rows wait to be deleted.
    sent_since: Option<Time>,
    next_place: usize,
    /// Where several processes may work on the store.
    life: Option<Arc<Life>>,
    /// Where its events come sorted into parts.
    control: Option<Control>,
    /// Nothing new is begun until what is under way is through: parts are to be given up then.
    is_draining: bool,
    /// Others have its work.
    is_over: bool,
}

/// Who and what a worker works with.
pub(crate) struct Tools {
    pub(crate) context: Arc<Context>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) store: Store,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// How a worker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to, or there's nothing more to come.
    Stopped,
    /// Others have its work; it may begin anew.
    Over,
}

impl Worker {
    /// A worker over a store whose tables are made.
    pub(crate) fn new(
        tools: &Tools,
        member: Box<dyn Member>,
        life: Option<Arc<Life>>,
        control: Option<Control>,
    ) -> Result<Self, StoreError> {
        let context = Arc::clone(&tools.context);
        let options = &context.service.options;
        let now = context.clock.now();
        // Without keys nothing is known to be independent: transactions side by side would wait for each other's rows.
        let lanes = if context.service.key_of.is_some() { options.lanes } else { 1 };
        let token = life.as_ref().map(|life| life.token());
        let lanes = Lane::open(&tools.store, &context, lanes, token)?;
        let worker = |at| token.map_or_else(|| *uuid::Uuid::new_v4().as_bytes(), |token| outbox::worker_of(token, at));
        let places = lanes.into_iter().enumerate().map(|(at, lane)| Place {
            lane,
            pending: VecDeque::new(),
            is_busy: false,
            batch_max: options.batch_max.max(1),
            failures: 0,
            not_before: None,
            worker: worker(at),
            row_number: 1,
            in_doubt: None,
        });
        Ok(Self {
            places: places.collect(),
            look: Look::new(tools.store.reader(), life.clone(), now),
            context,
            bus: Arc::clone(&tools.bus),
            member,
            hasher: RandomState::new(),
            order: Order::default(),
            recent: Recent::new(),
            known: Vec::new(),
            ahead: AHEAD,
            relay: Relay::default(),
            running: FuturesUnordered::new(),
            in_hand: HashSet::new(),
            renew_at: now,
            shared: Arc::clone(&tools.shared),
            stop: tools.stop.clone(),
            is_stopping: false,
            fetch_not_before: None,
            fetch_failures: 0,
            sent_since: None,
            next_place: 0,
            life,
            control,
            is_draining: false,
            is_over: false,
        })
    }

    /// Works until it's stopped, the bus is closed, or others have its work.
    pub(crate) async fn run(mut self) -> End {
        let mut held = self.life.as_ref().map(|life| life.held());
        let mut ticks = tokio::time::interval(LOOK_FOR_ALL_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if let Some(held) = &mut held {
                let held = held.borrow_and_update();
                self.is_over |= held.is_over;
                self.is_draining = !held.give_up.is_empty();
            }
            if self.is_over {
                return End::Over;
            }
            // Asked for before the time is looked at, so that no move of the clock is missed.
            let moved = self.context.clock.moved();
            let now = self.context.clock.now();
            self.do_due(now);
            if self.is_stopping && self.is_through() {
                if let Some(control) = &self.control {
                    // What is settled is taken out before others have the parts.
                    control.begin_anew().await;
                }
                return End::Stopped;
            }
            if self.is_draining && self.is_through() {
                self.hand_over().await;
                continue;
            }
            let moment = self.next_moment(now);
            let (clock, room) = (self.context.clock.clone(), self.room(now));
            tokio::select! {
                Some((at, ended)) = self.running.next() => match ended {
                    Some(ended) => self.ended(at, ended),
                    None => {
                        self.shared.trouble(format!("{}: the store is closed", self.context.service.name));
                        return End::Stopped;
                    }
                },
                result = self.relay.ended() => self.relayed(&result),
                fetched = self.member.next(room), if room > 0 => {
                    if !self.fetched(fetched) {
                        return End::Stopped;
                    }
                }
                found = self.look.ended() => self.found(found),
                () = wait::until(&clock, moment, moved) => {}
                is_alive = changed(&mut held) => {
                    self.is_over |= !is_alive;
                    self.look.again(self.context.clock.now());
                }
                _ = ticks.tick(), if self.life.is_some() && self.look.looks() => {
                    self.look.again(self.context.clock.now());
                }
                () = stopped(&mut self.stop), if !self.is_stopping => self.is_stopping = true,
            }
        }
    }

    /// All that can be done now without waiting.
    fn do_due(&mut self, now: Time) {
        self.renew(now);
        let overdue = self.order.overdue(now);
        overdue.into_iter().for_each(|item| self.line_up(item));
        self.relay_on(now);
        if !self.look.is_under_way() {
            self.relay.forget_deleted();
        }
        self.look.begin(now, self.relay.has_room());
        for at in 0..self.places.len() {
            self.fill(at, now);
        }
    }

    /// Gives a lane its next batch.
    fn fill(&mut self, at: usize, now: Time) {
        let is_open = self.look.has_begun() && self.relay.has_room() && !self.is_ending();
        let tidy = self.is_tidy_due(now);
        let place = &mut self.places[at];
        let is_ready = !place.is_busy && place.not_before.is_none_or(|moment| now >= moment);
        let has_items = is_open && !place.pending.is_empty();
        if !is_ready || !(has_items || tidy) {
            return;
        }
        let len = if has_items { place.batch_len() } else { 0 };
        self.ahead = if len > place.batch_max { AHEAD_OF_REPEATS } else { AHEAD };
        let batch = Batch {
            items: place.pending.drain(..len).collect(),
            relayed: self.relay.take_sent(),
            sweep: self.look.sweep(now, self.context.service.options.inbox_keep),
            worker: place.worker,
            row_number: place.row_number,
            in_doubt: place.in_doubt,
            may_park: self.look.parked() < PARKED_MAX,
            is_first: false,
        };
        self.sent_since = None;
        place.is_busy = true;
        let (lane, context) = (place.lane.clone(), Arc::clone(&self.context));
        self.running.push(Box::pin(async move { (at, lane.run(context, batch).await) }));
    }

    /// Whether rows have waited to be deleted for long enough to be worth a commit of their own.
    fn is_tidy_due(&self, now: Time) -> bool {
        let is_waited_for = self.life.as_ref().is_some_and(|life| self.relay.has_sent_of_others(life.token()));
        let is_due = self.sent_since.is_some_and(|since| now >= since.plus(TIDY_AFTER) || self.is_ending());
        (is_due || is_waited_for) && self.relay.has_sent()
    }

    /// Whether nothing new is to be begun.
    const fn is_ending(&self) -> bool {
        self.is_stopping || self.is_draining
    }

    /// Appends what waits for it, unless others may have taken this process's place: they append it then.
    fn relay_on(&mut self, now: Time) {
        if self.life.as_ref().is_none_or(|life| life.is_sure()) {
            self.relay.begin(&*self.bus, now);
        }
    }

    /// Nothing is under way: what was fetched and not begun is forgotten here, and comes again to whoever has its part.
    async fn hand_over(&mut self) {
        let (Some(life), Some(control)) = (&self.life, &self.control) else { return };
        let parts = life.held().borrow().give_up.clone();
        for place in &mut self.places {
            place.pending.retain(|item| !matches!(item.work, Work::Delivery(_)));
        }
        self.order = Order::default();
        self.in_hand.clear();
        control.begin_anew().await;
        life.release(parts).await;
    }

    /// How many deliveries may be fetched now.
    fn room(&self, now: Time) -> usize {
        if self.is_ending() || self.fetch_not_before.is_some_and(|moment| now < moment) || !self.look.has_begun() {
            return 0;
        }
        let options = &self.context.service.options;
        let pending: usize = self.places.iter().map(|place| place.pending.len()).sum();
        (options.batch_max.max(1) * self.ahead * self.places.len()).saturating_sub(pending)
    }

    /// Takes what the bus gave; `false` when it gives nothing any more.
    fn fetched(&mut self, fetched: Result<Vec<Delivery>, BusError>) -> bool {
        let name = self.context.service.name;
        match fetched {
            Ok(deliveries) => {
                if self.fetch_failures > 0 {
                    self.fetch_failures = 0;
                    self.fetch_not_before = None;
                    self.shared.good();
                }
                deliveries.into_iter().for_each(|delivery| self.admit(delivery));
                let known = std::mem::take(&mut self.known);
                self.settle(known);
                true
            }
            Err(BusError::Closed) => {
                self.shared.trouble(format!("the service {name} gets nothing more: its group was ended, or the bus"));
                false
            }
            Err(BusError::Gone { oldest }) => {
                tracing::warn!("the service {name} has missed events that were freed: the log begins after {oldest}");
                true
            }
            Err(error) => {
                self.fetch_failures = self.fetch_failures.saturating_add(1);
                let wait = crate::batch::wait(AGAIN, self.fetch_failures);
                self.fetch_not_before = Some(self.context.clock.now().plus(wait));
                self.shared.trouble(format!("the service {name} gets no deliveries: {error}"));
                true
            }
        }
    }

    /// Lines a delivery up, unless an earlier one of its key has to be tried again first.
    fn admit(&mut self, delivery: Delivery) {
        let tag = delivery.tag();
        // What stopped a key is looked at in its turn.
        if self.order.is_empty() && self.recent.contains(&delivery.recorded.event.id) {
            self.known.push((tag, Settlement::Done));
            return;
        }
        self.in_hand.insert(tag);
        let key = self.context.key_of(&delivery.recorded.event);
        let held_max = self.context.service.options.in_flight_max / 2;
        match self.order.admit(Item { work: Work::Delivery(delivery), key }, tag.seq, held_max) {
            Admitted::Now(item) => self.line_up(item),
            Admitted::Held => {}
            Admitted::Full => {
                let why = "too many events wait for an earlier one of their key".to_owned();
                self.settle(vec![(tag, Settlement::Retry { after: Some(AGAIN.cap), why })]);
            }
        }
    }

    /// Behind what waits already for its place.
    fn line_up(&mut self, item: Item) {
        let at = self.place_of(&item);
        self.places[at].pending.push_back(item);
    }

    /// Where an item is handled: those of one key in one place.
    fn place_of(&mut self, item: &Item) -> usize {
        if self.places.len() == 1 {
            return 0;
        }
        let key = item.key.clone().or_else(|| match &item.work {
            Work::Delivery(_) => None,
            Work::Parked(parked) => self.context.key_of(&parked.event),
            Work::Timer(due) => Some(due.key.as_str().into()),
        });
        let at = match key {
            Some(key) => usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or(0),
            None => {
                self.next_place = self.next_place.wrapping_add(1);
                self.next_place
            }
        };
        at % self.places.len()
    }

    /// A third of the lease before it ends at the latest.
    fn renew(&mut self, now: Time) {
        if now < self.renew_at {
            return;
        }
        self.renew_at = now.plus(self.member.lease() / 3);
        if !self.in_hand.is_empty() {
            let tags: Vec<Tag> = self.in_hand.iter().copied().collect();
            self.member.renew(&tags);
        }
    }

    /// Whether nothing is under way any more.
    fn is_through(&self) -> bool {
        self.running.is_empty() && self.relay.is_idle() && !self.relay.has_sent()
    }

    fn next_moment(&self, now: Time) -> Option<Time> {
        let places = self.places.iter().filter(|place| !place.is_busy).filter_map(|place| place.not_before);
        let tidy = self.sent_since.map(|since| since.plus(TIDY_AFTER));
        let others = [
            Some(self.renew_at),
            self.order.next_moment(),
            self.relay.next_moment(),
            self.look.next_moment(),
            self.fetch_not_before.filter(|_| self.fetch_failures > 0),
            tidy,
        ];
        // What is due and could not be done now waits for something else than the time.
        places.chain(others.into_iter().flatten()).filter(|moment| *moment > now).min()
    }
}

/// Waits for the word to stop, or for the one who could give it to be gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Waits for other duties; `false` when nobody keeps them any more. For ever where there are none.
async fn changed(held: &mut Option<watch::Receiver<crate::duty::Held>>) -> bool {
    match held {
        Some(held) => held.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}
