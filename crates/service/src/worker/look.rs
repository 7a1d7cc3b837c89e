//! Looks into the store for what is due: timers, what was put aside, and what earlier workers left in the outbox.
//!
//! This worker knows when its own timers are due, so it looks then. Now and then it looks unasked, for those of workers that
//! are gone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use headwater_event::{Later, Time};

use crate::batch::wait;
use crate::duty::Life;
use crate::outbox::{self, Sealed, Whose};
use crate::parked::{self, Parked};
use crate::store::{Reader, StoreError};
use crate::timers::{self, Due};

/// How often it looks unasked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How many timers and how many parked events one look brings: a batch of each.
const DUE_MAX: i64 = 64;

/// How many rows of the outbox one look brings; each has up to 1 MiB.
const LEFT_MAX: usize = 16;

/// After how long a row in the outbox is taken for one that its worker has left.
const LEFT_AFTER: Duration = Duration::from_secs(30);

/// Into how many parts the time is cut for which ids are kept: they stay an eighth longer at the most.
const SWEEPS_PER_KEEP: u32 = 8;

/// What a look has brought.
pub(super) struct Found {
    pub(super) left: Vec<Sealed>,
    pub(super) timers: Vec<Due>,
    pub(super) parked: Vec<Parked>,
    /// Where reading the outbox goes on, when there's more.
    left_next: Option<outbox::Cursor>,
    next: Option<Time>,
    parked_count: usize,
}

/// What is asked of the outbox.
#[derive(Clone)]
struct Left {
    whose: Whose,
    after: outbox::Cursor,
}

impl Left {
    fn of(whose: Whose) -> Self {
        Self { whose, after: outbox::Cursor::start() }
    }
}

pub(super) struct Look {
    reader: Reader,
    /// Where several processes work on the store: this one's life.
    life: Option<Arc<Life>>,
    under_way: Option<Later<'static, Result<Found, StoreError>>>,
    next: Time,
    /// The next moment that a commit told of while a look was under way.
    heard: Option<Time>,
    left: Option<Left>,
    left_next: Time,
    is_left_wanted: bool,
    has_begun: bool,
    /// What was found and isn't handled yet: it will be found again until then.
    claimed: HashSet<Vec<u8>>,
    is_again_wanted: bool,
    parked: usize,
    failures: u32,
    sweep: Option<Vec<u8>>,
    sweep_next: Time,
}

impl Look {
    pub(super) fn new(reader: Reader, life: Option<Arc<Life>>, now: Time) -> Self {
        Self {
            reader,
            under_way: None,
            next: now,
            heard: None,
            // With several processes, what a dead one has left leaves before others get its part.
            left: life.is_none().then(|| Left::of(Whose::Before(Time(i64::MAX as u64)))),
            left_next: now.plus(LEFT_AFTER),
            is_left_wanted: false,
            has_begun: life.is_some(),
            life,
            claimed: HashSet::new(),
            is_again_wanted: false,
            parked: 0,
            failures: 0,
            sweep: None,
            sweep_next: now,
        }
    }

    /// Whether what an earlier worker left is known: before that nothing new is begun, so that it leaves first.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// How many events are put aside, about.
    pub(super) const fn parked(&self) -> usize {
        self.parked
    }

    /// Begins a look when it's time for one.
    pub(super) fn begin(&mut self, now: Time, has_room: bool) {
        if self.under_way.is_some() || now < self.next || !has_room {
            return;
        }
        let looks = self.looks();
        match &self.life {
            None if self.left.is_none() && now >= self.left_next => {
                self.left_next = now.plus(LEFT_AFTER);
                let before = Time(now.as_micros().saturating_sub(LEFT_AFTER.as_micros() as u64));
                self.left = Some(Left::of(Whose::Before(before)));
            }
            Some(_) if self.left.is_none() && looks => self.left = Some(Left::of(Whose::TheDead)),
            _ => {}
        }
        if std::mem::take(&mut self.is_left_wanted) {
            self.left = Some(Left::of(match &self.life {
                None => Whose::Before(Time(i64::MAX as u64)),
                Some(life) => Whose::Life(life.token()),
            }));
        }
        let (reader, left) = (self.reader.clone(), self.left.clone());
        self.under_way = Some(Box::pin(look(reader, left, looks, now)));
    }

    /// Whether what is due is this worker's to find.
    pub(super) fn looks(&self) -> bool {
        self.life.as_ref().is_none_or(|life| life.held().borrow().looks)
    }

    /// Others may have set something that is due, or left something.
    pub(super) fn again(&mut self, now: Time) {
        self.next = self.next.min(now);
    }

    /// Waits for the look that is under way; for ever when there's none.
    pub(super) async fn ended(&mut self) -> Result<Found, StoreError> {
        match &mut self.under_way {
            Some(look) => look.await,
            None => std::future::pending().await,
        }
    }

    /// Notes what came of it; gives what isn't in hand already.
    pub(super) fn note(&mut self, result: Result<Found, StoreError>, now: Time) -> Result<Found, StoreError> {
        self.under_way = None;
        let mut found = result.inspect_err(|_| {
            self.failures = self.failures.saturating_add(1);
            self.next = now.plus(wait(super::AGAIN, self.failures));
        })?;
        self.failures = 0;
        self.parked = found.parked_count;
        self.left = self.left.take().and_then(|left| Some(Left { after: found.left_next.take()?, ..left }));
        self.has_begun |= self.left.is_none();
        let is_more = found.timers.len() as i64 == DUE_MAX || found.parked.len() as i64 == DUE_MAX;
        found.timers.retain(|due| self.claimed.insert(due.origin.to_vec()));
        found.parked.retain(|parked| self.claimed.insert(parked.id.clone()));
        // What is in hand is still among what is due; the rest is looked for when that is through.
        self.is_again_wanted |= is_more;
        // What was heard of meanwhile may not have been there yet when the look began.
        let known = [found.next, self.heard.take(), self.left.is_some().then_some(now)];
        self.next = known.into_iter().flatten().fold(now.plus(LOOK_EVERY), Time::min);
        Ok(found)
    }

    /// Woken ones: gives whether it wasn't in hand already.
    pub(super) fn claim(&mut self, id: &[u8]) -> bool {
        self.claimed.insert(id.to_vec())
    }

    /// It's handled, or will be found again.
    pub(super) fn release(&mut self, id: &[u8], now: Time) {
        self.claimed.remove(id);
        if self.claimed.is_empty() && std::mem::take(&mut self.is_again_wanted) {
            self.next = now;
        }
    }

    /// A commit has set something for this moment, and put so many more aside.
    pub(super) fn heard(&mut self, due: Option<Time>, parked: i64) {
        self.next = due.map_or(self.next, |due| due.min(self.next));
        if self.under_way.is_some() {
            self.heard = [self.heard, due].into_iter().flatten().min();
        }
        self.parked = self.parked.saturating_add_signed(isize::try_from(parked).unwrap_or(0));
    }

    /// A commit failed in a way that may have left rows of its own in the outbox.
    pub(super) fn look_for_left(&mut self, now: Time) {
        // Not in the middle of a look that doesn't ask for it.
        self.is_left_wanted = true;
        self.heard(Some(now), 0);
    }

    pub(super) fn next_moment(&self) -> Option<Time> {
        Some(self.next).filter(|_| self.under_way.is_none())
    }

    /// Which ids the next commit shall look through and forget.
    pub(super) fn sweep(&mut self, now: Time, keep: Duration) -> Option<(Vec<u8>, Time)> {
        if self.sweep.is_none() && now >= self.sweep_next {
            self.sweep_next = now.plus(keep / SWEEPS_PER_KEEP);
            self.sweep = Some(Vec::new());
        }
        let keep = u64::try_from(keep.as_micros()).unwrap_or(u64::MAX);
        let before = Time(now.as_micros().saturating_sub(keep));
        self.sweep.clone().map(|after| (after, before))
    }

    /// The commit that did so went well; it goes on there.
    pub(super) fn swept(&mut self, next: Option<Vec<u8>>) {
        self.sweep = next;
    }
}

async fn look(reader: Reader, left: Option<Left>, looks: bool, now: Time) -> Result<Found, StoreError> {
    let (mut rows, mut left_next) = (Vec::new(), None);
    if let Some(left) = left {
        let (statement, params) = outbox::left(left.whose, &left.after, LEFT_MAX);
        for row in reader.query(statement, &params).await? {
            let (sealed, cursor) = outbox::read_left(&row)?;
            rows.push(sealed);
            left_next = Some(cursor);
        }
        left_next = left_next.filter(|_| rows.len() == LEFT_MAX);
    }
    let time = |micros: i64| Time(u64::try_from(micros).unwrap_or(0));
    if !looks {
        // Others fire what is due; how many are put aside counts for all.
        let (statement, params) = parked::next(now);
        let row = reader.query_opt(statement, &params).await?;
        let parked_count = row.map_or(Ok(0), |row| row.int(1))?;
        let parked_count = usize::try_from(parked_count).unwrap_or(0);
        return Ok(Found { left: rows, timers: Vec::new(), parked: Vec::new(), left_next, next: None, parked_count });
    }
    let (statement, params) = timers::due(now, DUE_MAX);
    let timers = reader.query(statement, &params).await?.iter().map(timers::read).collect::<Result<Vec<_>, _>>()?;
    let (statement, params) = parked::due(now, DUE_MAX);
    let parked = reader.query(statement, &params).await?.iter().map(parked::read).collect::<Result<Vec<_>, _>>()?;
    let mut next = None;
    let mut parked_count = 0;
    // What is due now is in hand, and moves or goes when it's handled.
    let (statement, params) = timers::next(now);
    if let Some(row) = reader.query_opt(statement, &params).await? {
        next = row.int_opt(0)?.map(time);
    }
    let (statement, params) = parked::next(now);
    if let Some(row) = reader.query_opt(statement, &params).await? {
        let first = row.int_opt(0)?.map(time);
        next = match (next, first) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        parked_count = usize::try_from(row.int(1)?).unwrap_or(0);
    }
    Ok(Found { left: rows, timers, parked, left_next, next, parked_count })
}
