//! Who has read how far: one cursor a group, moved only when a delivery is settled.
//!
//! A group is a name, filters, and a cursor over the log: everything up to its low-water is settled, above it the settled
//! ranges, the waiting retries and the dead letters are known one by one. What was never handed out is not known at
//! all: it is what lies between the cursor and the log's head, so a backlog of millions costs nothing.
//!
//! In reading order: [`group`] is the state machine of one group, [`live`] what is under way in it, [`durable`] the part of it that the log's records
//! ([`record`]) build, [`registry`] all groups of a log and their fold, [`member`] a worker's place, and this file the
//! door for the engine.

mod durable;
mod group;
mod live;
mod member;
mod ranges;
mod record;
mod registry;
mod wire;

#[cfg(test)]
mod member_tests;
#[cfg(test)]
mod model_tests;

use std::ops::Bound;
use std::sync::{Arc, MutexGuard};

use headwater_event::{
    BusError, Clock, DeadLetter, GroupName, GroupOptions, GroupStat, Later, Member, Position, Seq, Start,
};

use self::member::Worker;
use self::record::{Dead, FILTERS_MAX, GroupRecord, Made};
use self::registry::{Fold, GROUPS_MAX, Registry, Seat, Shared};
use crate::derived::{Derived, Desk};

/// Records on their way to the disk.
type Appended = Later<'static, Result<(), BusError>>;

/// The most dead letters in one answer: their events are read into memory, so the page is bounded whatever is asked.
const DEAD_PAGE_MAX: usize = 64;

/// The state that the log folds; made before the log is opened.
pub(crate) fn derived(_clock: &Clock) -> (Box<dyn Derived>, GroupsState) {
    let shared = Arc::new(Shared::default());
    (Box::new(Fold(Arc::clone(&shared))), GroupsState(shared))
}

/// What [`Groups`] shares with the fold.
pub(crate) struct GroupsState(Arc<Shared>);

/// The groups of one log.
pub(crate) struct Groups {
    shared: Arc<Shared>,
    desk: Arc<dyn Desk>,
}

impl Groups {
    /// Begins to serve members, once the log is open.
    pub(crate) fn start(state: GroupsState, desk: Arc<dyn Desk>) -> Self {
        Self { shared: state.0, desk }
    }

    /// Becomes a member; makes the group (durably) when there's none by this name.
    pub(crate) fn join(
        &self,
        group: &GroupName,
        options: GroupOptions,
    ) -> Later<'_, Result<Box<dyn Member>, BusError>> {
        let name = group.clone();
        Box::pin(async move {
            loop {
                let made = {
                    let mut registry = self.open()?;
                    if let Some(seat) = registry.seat(&name) {
                        let member = seat.lock().group.join(options);
                        return Ok(Box::new(Worker::new(member, seat, Arc::clone(&self.desk))) as Box<dyn Member>);
                    }
                    self.make(&mut registry, &name, &options)?
                };
                made.await?;
                // It is there now, unless somebody has ended it in this very moment: then it's made once more.
            }
        })
    }

    fn make(&self, registry: &mut Registry, name: &GroupName, options: &GroupOptions) -> Result<Appended, BusError> {
        if registry.names.len() >= GROUPS_MAX {
            return Err(BusError::Unable("keep more than 100,000 groups"));
        }
        if options.filters.len() > FILTERS_MAX {
            return Err(BusError::Unable("keep more than 1,000 filters in a group"));
        }
        let start = match options.start {
            Start::Now => Start::Now,
            Start::Oldest => Start::After(self.desk.freed()),
            Start::After(seq) if seq > self.desk.head() => {
                return Err(BusError::NoSuchPosition { head: self.position(self.desk.head()) });
            }
            Start::After(seq) if seq < self.desk.freed() => {
                return Err(BusError::Gone { oldest: self.position(self.desk.freed()) });
            }
            Start::After(seq) => Start::After(seq),
        };
        registry.id_last += 1;
        let options = GroupOptions { start, ..options.clone() };
        let made = GroupRecord::Made(Made { id: registry.id_last, name: name.clone(), options });
        Ok(self.desk.append(vec![made.encode()]))
    }

    /// Ends a group; members get `Closed` at once.
    pub(crate) fn end_group(&self, group: &GroupName) -> Later<'_, Result<(), BusError>> {
        let appended = self.end(group);
        Box::pin(async move {
            match appended? {
                Some(appended) => appended.await,
                None => Ok(()),
            }
        })
    }

    fn end(&self, group: &GroupName) -> Result<Option<Appended>, BusError> {
        let mut registry = self.open()?;
        // From here on the name is free; whoever takes it makes a new group, in a record that comes after this one.
        let Some(id) = registry.names.remove(group) else { return Ok(None) };
        if let Some(seat) = registry.seats.get(&id) {
            seat.close();
        }
        Ok(Some(self.desk.append(vec![GroupRecord::Ended(id).encode()])))
    }

    /// How the groups stand.
    pub(crate) fn stats(&self, after: Option<&GroupName>, limit: usize) -> Vec<GroupStat> {
        let registry = self.shared.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let later = registry.names.range((from, Bound::Unbounded));
        let seats = later.filter_map(|(_, id)| registry.seats.get(id));
        seats.take(limit).map(|seat| self.stat(seat)).collect()
    }

    fn stat(&self, seat: &Seat) -> GroupStat {
        let table = seat.lock();
        let group = &table.group;
        let (in_flight, waiting_retry, members) = group.counts();
        GroupStat {
            name: group.name.clone(),
            filters: group.filters.to_vec(),
            settled: self.position(group.low()),
            in_flight,
            waiting_retry,
            dead: group.durable.dead.len(),
            dead_forgotten: group.durable.dead_forgotten,
            members,
        }
    }

    /// The dead letters of a group, by sequence number; those whose events retention has freed are left out.
    pub(crate) fn dead_letters(
        &self,
        group: &GroupName,
        after: Seq,
        limit: usize,
    ) -> Later<'_, Result<Vec<DeadLetter>, BusError>> {
        let name = group.clone();
        Box::pin(async move {
            let mut after = after;
            loop {
                let dead = self.dead(&name, after, limit.min(DEAD_PAGE_MAX))?;
                let Some(last) = dead.last() else { return Ok(Vec::new()) };
                after = last.seq;
                let events = self.desk.read(dead.iter().map(|dead| dead.seq).collect()).await?;
                let letters = dead.into_iter().zip(events).filter_map(|(dead, recorded)| {
                    Some(DeadLetter { recorded: recorded?, attempts: dead.attempts, why: dead.why, at: dead.at })
                });
                let letters: Vec<_> = letters.collect();
                // An empty answer is the end; a page of which nothing could be read is not.
                if !letters.is_empty() {
                    return Ok(letters);
                }
            }
        })
    }

    fn dead(&self, name: &GroupName, after: Seq, limit: usize) -> Result<Vec<Dead>, BusError> {
        let registry = self.open()?;
        let Some(seat) = registry.seat(name) else { return Ok(Vec::new()) };
        let table = seat.lock();
        let later = table.group.durable.dead.range(after.saturating_add(1)..);
        Ok(later.take(limit).map(|(_, dead)| dead.clone()).collect())
    }

    /// Takes dead letters out; gives how many there were.
    pub(crate) fn revive(
        &self,
        group: &GroupName,
        letters: Vec<Seq>,
        again: bool,
    ) -> Later<'_, Result<usize, BusError>> {
        let submitted = self.submit_revival(group, letters, again);
        Box::pin(async move {
            let (count, appended) = submitted?;
            if let Some(appended) = appended {
                appended.await?;
            }
            Ok(count)
        })
    }

    fn submit_revival(
        &self,
        group: &GroupName,
        letters: Vec<Seq>,
        again: bool,
    ) -> Result<(usize, Option<Appended>), BusError> {
        let registry = self.open()?;
        let Some(seat) = registry.seat(group) else { return Ok((0, None)) };
        let mut table = seat.lock();
        let records = table.group.revive(letters, again);
        let count = records.iter().map(|revived| revived.seqs.len()).sum();
        let records: Vec<_> = records.into_iter().map(|revived| GroupRecord::Revived(revived).encode()).collect();
        let appended = (!records.is_empty()).then(|| self.desk.append(records));
        Ok((count, appended))
    }

    /// Members get `Closed` from here on.
    pub(crate) fn close(&self) {
        let mut registry = self.shared.lock();
        registry.closed = true;
        registry.seats.values().for_each(|seat| seat.close());
    }

    fn open(&self) -> Result<MutexGuard<'_, Registry>, BusError> {
        let registry = self.shared.lock();
        if registry.closed {
            return Err(BusError::Closed);
        }
        match registry.unreadable {
            Some(what) => Err(BusError::Damaged(format!("a group record can't be read: {what}"))),
            None => Ok(registry),
        }
    }

    fn position(&self, seq: Seq) -> Position {
        Position::new(self.desk.epoch(), seq)
    }
}
