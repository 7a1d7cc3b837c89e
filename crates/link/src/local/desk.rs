//! What a group's part in this process has from the broker and has not answered: who has it, which wait for another try.
//!
//! The broker knows two states of a delivery, out and acknowledged; leases, attempts, waits and dead letters are kept here.
//! A crash of this process loses that book and nothing else: what was not acknowledged comes again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use headwater_event::{
    Backoff, Delivery, EventId, Filter, GroupName, GroupOptions, GroupStat, Lag, Position, Recorded, Seq, Settlement,
    Tag, Time,
};
use uuid::Uuid;

/// How many settled ids are remembered, so that what the broker brings again over a new connection is answered and not
/// tried again: as many as can be in flight.
const DONE_MAX: usize = 65_536;

/// How many parked events are counted: more are told as so many.
#[cfg(feature = "engines")]
const PARKED_MAX: usize = 65_536;

/// Why an event died that nobody answered for.
const NOBODY: &str = "the last attempt was neither settled nor renewed within its lease";

/// What the broker calls a delivery.
pub(crate) type Handle = u64;

/// Whose delivery.
pub(crate) type MemberId = u64;

/// What has to be done outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The broker may forget these.
    Acknowledge(Vec<Handle>),
    /// This event must be kept as a dead letter; then [`Desk::buried`].
    Bury(Box<Burial>),
    /// This one waits long: it's kept elsewhere until it's due; then [`Desk::parked`]. Only where [`Desk::parks`] was asked for.
    Park(Box<Parking>),
}

/// An event that waits long for its next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parking {
    pub recorded: Recorded,
    pub attempts: u32,
    pub due: Time,
}

/// An event that has died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Burial {
    pub recorded: Recorded,
    pub attempts: u32,
    pub why: String,
    pub at: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Out { member: MemberId, until: Time },
    Waiting { due: Time, turn: u64 },
    Parking { due: Time },
    Buried,
}

struct Entry {
    recorded: Recorded,
    /// How many attempts were begun.
    attempts: u32,
    state: State,
    handles: Vec<Handle>,
    /// Another name that the broker brings it by.
    alias: Option<EventId>,
}

/// The book of one group.
pub(crate) struct Desk {
    options: GroupOptions,
    entries: BTreeMap<Seq, Entry>,
    by_id: HashMap<EventId, Seq>,
    fresh: BTreeSet<Seq>,
    waiting: BTreeMap<(Time, u64), Seq>,
    leases: BTreeSet<(Time, Seq)>,
    done: HashSet<EventId>,
    done_in_order: VecDeque<EventId>,
    members: BTreeSet<MemberId>,
    next_member: MemberId,
    turn: u64,
    highest: Seq,
    /// Waits of at least this length are kept elsewhere.
    park_from: Option<Duration>,
    /// What was parked from here and isn't due yet, in both orders; whoever it comes back to.
    parked: BTreeMap<Seq, Time>,
    parked_until: BTreeSet<(Time, Seq)>,
    is_closed: bool,
}

impl Desk {
    pub(crate) fn new(options: GroupOptions) -> Self {
        Self {
            options,
            entries: BTreeMap::new(),
            by_id: HashMap::new(),
            fresh: BTreeSet::new(),
            waiting: BTreeMap::new(),
            leases: BTreeSet::new(),
            done: HashSet::new(),
            done_in_order: VecDeque::new(),
            members: BTreeSet::new(),
            next_member: 0,
            turn: 0,
            highest: 0,
            park_from: None,
            parked: BTreeMap::new(),
            parked_until: BTreeSet::new(),
            is_closed: false,
        }
    }

    /// Waits of at least this length take no room here.
    #[cfg(feature = "engines")]
    pub(crate) fn parks(mut self, from: Duration) -> Self {
        self.park_from = Some(from);
        self
    }

    pub(crate) fn filters(&self) -> &[Filter] {
        &self.options.filters
    }

    pub(crate) const fn in_flight_max(&self) -> usize {
        self.options.in_flight_max
    }

    /// After how many attempts an event dies; 0 = never.
    #[cfg(feature = "engines")]
    pub(crate) const fn attempts_max(&self) -> u32 {
        self.options.attempts_max
    }

    pub(crate) const fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(crate) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// A member more; its options replace all but what the group wants.
    pub(crate) fn join(&mut self, options: GroupOptions) -> MemberId {
        let filters = std::mem::take(&mut self.options.filters);
        self.options = GroupOptions { filters, start: self.options.start, ..options };
        self.next_member += 1;
        self.members.insert(self.next_member);
        self.next_member
    }

    /// A member less: what it had comes again at once.
    pub(crate) fn leave(&mut self, member: MemberId, now: Time, effects: &mut Vec<Effect>) {
        self.members.remove(&member);
        let had = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.state, State::Out { member: of, .. } if of == member));
        let had: Vec<_> = had.map(|(seq, _)| *seq).collect();
        for seq in had {
            self.give_back(seq, now, effects);
        }
    }

    /// Whether the broker has brought this before; then it's answered or noted, and is nothing new.
    pub(crate) fn knows(&mut self, id: &EventId, handle: Handle, effects: &mut Vec<Effect>) -> bool {
        if let Some(entry) = self.by_id.get(id).and_then(|seq| self.entries.get_mut(seq)) {
            entry.handles.push(handle);
            return true;
        }
        if self.done.contains(id) {
            effects.push(Effect::Acknowledge(vec![handle]));
            return true;
        }
        false
    }

    /// How many events are here.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether an event stands in this place.
    pub(crate) fn is_taken(&self, seq: Seq) -> bool {
        self.entries.contains_key(&seq)
    }

    /// Something new, which was tried so often before by others; nothing stands in its place.
    pub(crate) fn arrive(&mut self, recorded: Recorded, tried: u32, handle: Handle, alias: Option<EventId>) {
        let seq = recorded.position.seq;
        debug_assert!(!self.is_taken(seq), "two events never stand in one place");
        self.highest = self.highest.max(seq);
        if let Some(due) = self.parked.remove(&seq) {
            self.parked_until.remove(&(due, seq));
        }
        self.by_id.insert(recorded.event.id.clone(), seq);
        self.fresh.insert(seq);
        self.entries
            .insert(seq, Entry { recorded, attempts: tried, state: State::Fresh, handles: vec![handle], alias });
    }

    /// The connection is gone: the broker will call what is out by new names.
    pub(crate) fn forget_handles(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.handles.clear());
    }

    /// Up to `max` deliveries: what is due again first, then new ones.
    pub(crate) fn next(&mut self, member: MemberId, max: usize, now: Time, effects: &mut Vec<Effect>) -> Vec<Delivery> {
        self.tick(now, effects);
        let room = self.options.in_flight_max.saturating_sub(self.leases.len()).min(max);
        let mut deliveries = Vec::new();
        while deliveries.len() < room {
            let due = self.waiting.first_key_value().filter(|((due, _), _)| *due <= now).map(|(key, seq)| (*key, *seq));
            let seq = match due {
                Some((key, seq)) => {
                    self.waiting.remove(&key);
                    seq
                }
                None => match self.fresh.pop_first() {
                    Some(seq) => seq,
                    None => break,
                },
            };
            let until = now.plus(self.options.lease);
            let Some(entry) = self.entries.get_mut(&seq) else { continue };
            entry.attempts = entry.attempts.saturating_add(1);
            entry.state = State::Out { member, until };
            self.leases.insert((until, seq));
            deliveries.push(Delivery { recorded: entry.recorded.clone(), attempt: entry.attempts });
        }
        deliveries
    }

    /// Says what became of deliveries; gives how many counted.
    pub(crate) fn settle(
        &mut self,
        member: MemberId,
        settlements: Vec<(Tag, Settlement)>,
        now: Time,
        effects: &mut Vec<Effect>,
    ) -> usize {
        self.tick(now, effects);
        let mut counted = 0;
        for (tag, settlement) in settlements {
            let Some(entry) = self.entries.get_mut(&tag.seq) else { continue };
            let State::Out { member: of, until } = entry.state else { continue };
            if of != member || entry.attempts != tag.attempt {
                continue;
            }
            counted += 1;
            self.leases.remove(&(until, tag.seq));
            match settlement {
                Settlement::Done => self.finish(tag.seq, effects),
                Settlement::Dead { why } => self.bury(tag.seq, why, now, effects),
                Settlement::Retry { why, .. } if self.is_last(tag.attempt) => self.bury(tag.seq, why, now, effects),
                Settlement::Retry { after, .. } => {
                    let wait = after.unwrap_or_else(|| wait(self.options.backoff, tag.attempt));
                    match self.park_from {
                        Some(from) if wait >= from => self.park(tag.seq, now.plus(wait), effects),
                        _ => self.wait(tag.seq, now.plus(wait)),
                    }
                }
            }
        }
        counted
    }

    /// Begins leases anew.
    pub(crate) fn renew(&mut self, member: MemberId, tags: &[Tag], now: Time, effects: &mut Vec<Effect>) {
        self.tick(now, effects);
        let renewed = now.plus(self.options.lease);
        for tag in tags {
            let Some(entry) = self.entries.get_mut(&tag.seq) else { continue };
            if let State::Out { member: of, until } = &mut entry.state
                && *of == member
                && entry.attempts == tag.attempt
            {
                self.leases.remove(&(*until, tag.seq));
                *until = renewed;
                self.leases.insert((renewed, tag.seq));
            }
        }
    }

    /// Ends the leases whose time is over.
    pub(crate) fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some((until, seq)) = self.leases.first().copied().filter(|(until, _)| *until <= now) {
            self.leases.remove(&(until, seq));
            self.give_back(seq, now, effects);
        }
        while let Some((due, seq)) = self.parked_until.first().copied().filter(|(due, _)| *due <= now) {
            self.parked_until.remove(&(due, seq));
            self.parked.remove(&seq);
        }
    }

    /// When something happens by itself next.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let due = self.waiting.first_key_value().map(|((due, _), _)| *due);
        let ended = self.leases.first().map(|(until, _)| *until);
        due.into_iter().chain(ended).min()
    }

    /// The dead letter is kept: the broker may forget the event.
    pub(crate) fn buried(&mut self, seq: Seq, effects: &mut Vec<Effect>) {
        if self.entries.get(&seq).is_some_and(|entry| entry.state == State::Buried) {
            self.finish(seq, effects);
        }
    }

    /// The dead letter could not be kept: the event is tried again.
    pub(crate) fn not_buried(&mut self, seq: Seq, now: Time) {
        if let Some(entry) = self.entries.get_mut(&seq).filter(|entry| entry.state == State::Buried) {
            entry.attempts = entry.attempts.saturating_sub(1);
            let due = now.plus(self.options.backoff.cap);
            self.wait(seq, due);
        }
    }

    /// The event is kept elsewhere until it's due: the broker may forget it here.
    #[cfg(feature = "engines")]
    pub(crate) fn parked(&mut self, seq: Seq, effects: &mut Vec<Effect>) {
        if let Some(State::Parking { due }) = self.entries.get(&seq).map(|entry| entry.state)
            && let Some(entry) = self.entries.remove(&seq)
        {
            self.by_id.remove(&entry.recorded.event.id);
            if self.parked.len() < PARKED_MAX {
                self.parked.insert(seq, due);
                self.parked_until.insert((due, seq));
            }
            effects.extend((!entry.handles.is_empty()).then_some(Effect::Acknowledge(entry.handles)));
        }
    }

    /// It could not be kept elsewhere: it waits here.
    #[cfg(feature = "engines")]
    pub(crate) fn not_parked(&mut self, seq: Seq) {
        if let Some(State::Parking { due }) = self.entries.get(&seq).map(|entry| entry.state) {
            self.wait(seq, due);
        }
    }

    /// Something that was parked, and isn't due yet; by the same rules as [`arrive`](Self::arrive).
    #[cfg(feature = "engines")]
    pub(crate) fn wait_until(&mut self, seq: Seq, due: Time) {
        if self.fresh.remove(&seq) {
            self.wait(seq, due);
        }
    }

    /// Something that was settled is to be tried again.
    pub(crate) fn forget_done(&mut self, id: &EventId) {
        self.done.remove(id);
    }

    pub(crate) fn stat(&self, name: &GroupName, epoch: u32, dead: usize) -> GroupStat {
        let open = self.entries.iter().find(|(_, entry)| entry.state != State::Buried).map(|(seq, _)| *seq);
        let open = open.into_iter().chain(self.parked.keys().next().copied()).min();
        let parking = self.entries.values().filter(|entry| matches!(entry.state, State::Parking { .. })).count();
        let settled = open.map_or(self.highest, |seq| seq - 1);
        GroupStat {
            name: name.clone(),
            filters: self.options.filters.clone(),
            settled: Position::new(epoch, settled),
            in_flight: self.leases.len(),
            waiting_retry: self.waiting.len() + parking + self.parked.len(),
            dead,
            dead_forgotten: 0,
            members: self.members.len(),
        }
    }

    /// How far the group is behind, as far as this process has been handed its events.
    pub(crate) fn lag(&self) -> Lag {
        let open = || self.entries.values().filter(|entry| entry.state != State::Buried);
        let since = open().next().map(|entry| entry.recorded.event.at);
        Lag { events: open().count() as u64, is_exact: false, since }
    }

    const fn is_last(&self, attempt: u32) -> bool {
        self.options.attempts_max > 0 && attempt >= self.options.attempts_max
    }

    fn give_back(&mut self, seq: Seq, now: Time, effects: &mut Vec<Effect>) {
        let Some(entry) = self.entries.get(&seq) else { return };
        if let State::Out { until, .. } = entry.state {
            self.leases.remove(&(until, seq));
        }
        if self.is_last(entry.attempts) {
            self.bury(seq, NOBODY.into(), now, effects);
        } else {
            self.wait(seq, now);
        }
    }

    fn wait(&mut self, seq: Seq, due: Time) {
        self.turn += 1;
        let turn = self.turn;
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.state = State::Waiting { due, turn };
            self.waiting.insert((due, turn), seq);
        }
    }

    fn park(&mut self, seq: Seq, due: Time, effects: &mut Vec<Effect>) {
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        entry.state = State::Parking { due };
        let (recorded, attempts) = (entry.recorded.clone(), entry.attempts);
        effects.push(Effect::Park(Box::new(Parking { recorded, attempts, due })));
    }

    fn bury(&mut self, seq: Seq, why: String, now: Time, effects: &mut Vec<Effect>) {
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        entry.state = State::Buried;
        let (recorded, attempts) = (entry.recorded.clone(), entry.attempts);
        effects.push(Effect::Bury(Box::new(Burial { recorded, attempts, why, at: now })));
    }

    fn finish(&mut self, seq: Seq, effects: &mut Vec<Effect>) {
        let Some(entry) = self.entries.remove(&seq) else { return };
        let id = entry.recorded.event.id;
        self.by_id.remove(&id);
        for id in std::iter::once(id).chain(entry.alias) {
            if self.done.insert(id.clone()) {
                self.done_in_order.push_back(id);
            }
        }
        while self.done_in_order.len() > DONE_MAX {
            if let Some(oldest) = self.done_in_order.pop_front() {
                self.done.remove(&oldest);
            }
        }
        if !entry.handles.is_empty() {
            effects.push(Effect::Acknowledge(entry.handles));
        }
    }
}

/// The wait before the next attempt, with a random half taken off.
fn wait(backoff: Backoff, attempt: u32) -> Duration {
    let doubled = backoff.base.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    let whole = doubled.min(backoff.cap);
    let [a, b, c, d, ..] = *Uuid::new_v4().as_bytes();
    let share = f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX);
    whole.mul_f64(1.0 - share / 2.0)
}

#[cfg(test)]
mod tests;
