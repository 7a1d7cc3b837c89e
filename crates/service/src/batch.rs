//! The story of one commit: what was claimed, called, kept or undone, and what leaves with it.
//!
//! For each item: is it news (the inbox)? Then its handler is called behind a mark. What went well is kept; what failed is
//! undone back to its mark, its claim is taken back, and its neighbours don't notice. At the end the outbox is written, and
//! the caller commits. Nothing here knows the bus.

use std::collections::HashSet;

use headwater_event::{Backoff, Delivery, Event, Time};

pub(crate) use crate::context::Context;
use crate::effects::Effects;
use crate::failure::Failure;
use crate::ids::{Cause, Namer};
use crate::late::{self, Late};
use crate::outbox::{self, RowId, Sealed};
use crate::parked::{self, Parked};
use crate::store::{Engine, StoreError};
use crate::timers::{self, Due, Timer};
use crate::tx::{KEY_LEN_MAX, Tx};
use crate::{guard, inbox, schema};

/// How long an event that is too early waits before it's looked at again unasked; then twice as long each time. What it waits
/// for usually wakes it at once; this is for what came between, and for those who died before they could.
const EARLY_LOOKS: Backoff =
    Backoff { base: std::time::Duration::from_millis(250), cap: std::time::Duration::from_secs(10) };

/// The most events put aside at once; beyond them an early one comes again by way of the bus.
pub(crate) const PARKED_MAX: usize = 100_000;

/// How often a worker may die with an event in hand, for each attempt that a handler has: beyond that it may be the event that
/// kills it. A process that is killed a few dozen times by others makes no dead letters.
const DEATHS_PER_ATTEMPT_MAX: u32 = 8;

/// Something to be handled, and what it's about.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) work: Work,
    pub(crate) key: Option<Box<str>>,
}

#[derive(Debug)]
pub(crate) enum Work {
    /// An event from the bus.
    Delivery(Delivery),
    /// An event that was put aside.
    Parked(Parked),
    /// A timer that is due.
    Timer(Due),
}

/// What shares a commit.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    /// Rows of the outbox that are on the bus.
    pub(crate) relayed: Vec<RowId>,
    /// From where on old ids are forgotten with this commit, and which are old.
    pub(crate) sweep: Option<(Vec<u8>, Time)>,
    /// This lane's life, which its rows in the outbox carry, and where their numbers go on.
    pub(crate) worker: [u8; 16],
    pub(crate) row_number: i64,
    /// Since which number it isn't known which of this lane's rows there are, as the answer to a commit was lost.
    pub(crate) in_doubt: Option<i64>,
    /// Whether there's room to put an event aside.
    pub(crate) may_park: bool,
    /// Whether it's the first of a start: draws the store's key, and fills its tables if they're empty.
    pub(crate) is_first: bool,
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its effect is in the commit, or was in an earlier one.
    Done,
    /// Not touched: an earlier one of its key has to be tried again first.
    Held,
    /// To be tried again.
    Retry(String),
    /// Given up.
    Dead(String),
}

/// What came of a batch.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Of each item.
    pub(crate) fates: Vec<Fate>,
    /// What commits in doubt have left in the outbox after all: it leaves first.
    pub(crate) left: Vec<Sealed>,
    /// What leaves after the commit, in its order.
    pub(crate) rows: Vec<Sealed>,
    /// When a timer or a parked event of this batch is due next.
    pub(crate) next_due: Option<Time>,
    /// Things that arrived.
    pub(crate) causes: Vec<String>,
    /// Put aside events that wait for them.
    pub(crate) woken: Vec<Parked>,
    /// How many events were put aside, less those that no longer are.
    pub(crate) parked: i64,
    /// Where forgetting goes on; `None` when it's through.
    pub(crate) sweep: Option<Vec<u8>>,
}

/// Handles a batch, between `BEGIN` and `COMMIT`. An error is one of the store: nothing of the batch stays.
pub(crate) async fn run(engine: &mut Engine<'_>, context: &Context, batch: &Batch) -> Result<Outcome, StoreError> {
    let now = context.clock.now();
    if batch.is_first && context.namer.get().is_none() {
        // Whoever was faster has drawn the same: it's in the store.
        let _ = context.namer.set(schema::namer(engine).await?);
    }
    let namer = context.namer.get().ok_or(StoreError::Closed)?;
    let outcome = Outcome::default();
    let mut run = Run { engine, context, namer, now, outcome, outgoing: Vec::new(), may_park: batch.may_park };
    if batch.is_first {
        run.seed().await?;
        return run.close(batch).await;
    }
    let ids: Vec<Vec<u8>> = batch.items.iter().filter_map(|item| item.inbox_id()).collect();
    let mut news = run.engine.claim(&ids, micros(now)).await?.into_iter();
    let mut ids = ids.into_iter();
    let mut stopped: HashSet<&str> = HashSet::new();
    for item in &batch.items {
        let claim = match item.work {
            Work::Timer(_) => None,
            Work::Delivery(_) | Work::Parked(_) => {
                Some(Claim { is_news: news.next().unwrap_or(false), id: ids.next().unwrap_or_default() })
            }
        };
        let key = item.key.as_deref();
        let fate = match key.is_some_and(|key| stopped.contains(key)) {
            true => run.held(claim).await?,
            false => run.item(&item.work, claim).await?,
        };
        if let (Fate::Retry(_), Some(key)) = (&fate, key) {
            stopped.insert(key);
        }
        run.outcome.fates.push(fate);
    }
    if let Some(since) = batch.in_doubt {
        // The same items as then: their rows have waited for the end of those commits.
        run.outcome.left = outbox::of_lane(run.engine, batch.worker, since).await?;
    }
    run.close(batch).await
}

impl Item {
    /// The id under which it's noted as handled.
    fn inbox_id(&self) -> Option<Vec<u8>> {
        match &self.work {
            Work::Delivery(delivery) => Some(inbox::id_bytes(&delivery.recorded.event.id)),
            Work::Parked(parked) => Some(parked.id.clone()),
            Work::Timer(_) => None,
        }
    }
}

fn micros(time: Time) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// An id and whether it is news.
struct Claim {
    is_news: bool,
    id: Vec<u8>,
}

struct Run<'r, 'e> {
    engine: &'r mut Engine<'e>,
    context: &'r Context,
    namer: &'r Namer,
    now: Time,
    outcome: Outcome,
    outgoing: Vec<headwater_event::Publication>,
    may_park: bool,
}

impl Run<'_, '_> {
    /// Not touched, so not noted either.
    async fn held(&mut self, claim: Option<Claim>) -> Result<Fate, StoreError> {
        self.unclaim(claim).await?;
        Ok(Fate::Held)
    }

    async fn item(&mut self, work: &Work, claim: Option<Claim>) -> Result<Fate, StoreError> {
        match work {
            Work::Delivery(delivery) => self.delivery(delivery, claim).await,
            Work::Parked(parked) => self.parked(parked, claim).await,
            Work::Timer(due) => self.timer(due).await,
        }
    }

    async fn delivery(&mut self, delivery: &Delivery, claim: Option<Claim>) -> Result<Fate, StoreError> {
        let event = &delivery.recorded.event;
        let is_news = claim.as_ref().is_some_and(|claim| claim.is_news);
        if event.topic.as_str() == self.context.late_topic {
            return self.late(delivery, is_news).await;
        }
        if !is_news {
            return Ok(Fate::Done);
        }
        let max = self.context.service.options.attempts_max;
        if max != 0 && delivery.attempt > max.saturating_mul(DEATHS_PER_ATTEMPT_MAX) {
            self.unclaim(claim).await?;
            return Ok(Fate::Dead(format!("its worker went away without an answer {} times", delivery.attempt - 1)));
        }
        let failure = match self.call_event(event).await? {
            Ok(()) => return Ok(Fate::Done),
            Err(failure) => failure,
        };
        self.unclaim(claim).await?;
        let failure = match failure {
            Failure::Early { .. } if !self.may_park => {
                Failure::retry(format!("too early, and more than {PARKED_MAX} events wait already"))
            }
            failure => failure,
        };
        match failure {
            Failure::Early { waits_for } => {
                self.park(event, waits_for).await?;
                Ok(Fate::Done)
            }
            Failure::Retry { why } if self.is_last(delivery.attempt) => Ok(Fate::Dead(why)),
            Failure::Retry { why } => Ok(Fate::Retry(why)),
            Failure::Dead { why } => Ok(Fate::Dead(why)),
        }
    }

    /// What was put aside and ran out of time is back from the bus. The first time it becomes a dead letter; when somebody
    /// revives that, it is tried again.
    async fn late(&mut self, delivery: &Delivery, is_news: bool) -> Result<Fate, StoreError> {
        let event = &delivery.recorded.event;
        let late = match late::read(event) {
            Ok(late) => late,
            Err(why) => return Ok(Fate::Dead(why)),
        };
        // Its note in the inbox may be forgotten by now; whoever comes so late was revived.
        let is_old = self.now.since(event.at) > self.context.service.options.inbox_keep / 2;
        if is_news && !is_old {
            return Ok(Fate::Dead(late.why));
        }
        match late.what {
            late::What::Event(original) => {
                let id = inbox::id_bytes(&original.id);
                let is_news = self.engine.claim(std::slice::from_ref(&id), micros(self.now)).await? == [true];
                let again = Delivery {
                    recorded: headwater_event::Recorded { event: original, ..delivery.recorded.clone() },
                    attempt: delivery.attempt,
                };
                Box::pin(self.delivery(&again, Some(Claim { is_news, id }))).await
            }
            late::What::Timer(due) => {
                let fate = self.fire(&due).await?;
                Ok(match fate {
                    Ok(()) => Fate::Done,
                    Err(Failure::Retry { why }) if !self.is_last(delivery.attempt) => Fate::Retry(why),
                    Err(failure) => Fate::Dead(why_of(failure)),
                })
            }
        }
    }

    async fn parked(&mut self, parked: &Parked, claim: Option<Claim>) -> Result<Fate, StoreError> {
        // Taken out before the mark: should its call fail, it's put back below, or leaves for good.
        if !parked::take(self.engine, &parked.id).await? {
            // Somebody else has handled it; that is in the inbox, or this claim is the first word of it.
            if claim.as_ref().is_some_and(|claim| claim.is_news) {
                self.unclaim(claim).await?;
            }
            return Ok(Fate::Done);
        }
        self.outcome.parked -= 1;
        if !claim.as_ref().is_some_and(|claim| claim.is_news) {
            return Ok(Fate::Done);
        }
        let failure = match self.call_event(&parked.event).await? {
            Ok(()) => return Ok(Fate::Done),
            Err(failure) => failure,
        };
        self.unclaim(claim).await?;
        let (waits_for, why) = match failure {
            Failure::Early { waits_for } if self.now < parked.deadline => (waits_for, None),
            Failure::Early { waits_for } => (String::new(), Some(late::never_came(&waits_for))),
            Failure::Retry { why } if !self.is_last(parked.looks) || self.now < parked.deadline => (why, None),
            failure => (String::new(), Some(why_of(failure))),
        };
        match why {
            Some(why) => {
                let id = self.namer.named(&[b"late", &parked.id, &micros(self.now).to_be_bytes()], self.now);
                let late = Late::event(&parked.event, why, parked.looks.saturating_add(1));
                self.send_late(late, &id)?;
            }
            None => {
                let next = self.next_look(parked.looks.saturating_add(1)).min(parked.deadline.max(self.now));
                parked::put_back(self.engine, parked, cut(waits_for), next).await?;
                self.outcome.parked += 1;
                self.due_at(next);
            }
        }
        Ok(Fate::Done)
    }

    async fn timer(&mut self, due: &Due) -> Result<Fate, StoreError> {
        if !timers::take(self.engine, due).await? {
            return Ok(Fate::Done);
        }
        let Err(failure) = self.fire(due).await? else { return Ok(Fate::Done) };
        let attempts = due.attempts.saturating_add(1);
        match failure {
            Failure::Retry { .. } | Failure::Early { .. } if !self.is_last(attempts) => {
                let next = self.now.plus(wait(self.context.service.options.backoff, attempts));
                timers::put_back(self.engine, due, attempts, next).await?;
                self.due_at(next);
            }
            failure => {
                let id = self.namer.named(&[b"late", &due.origin, &micros(self.now).to_be_bytes()], self.now);
                self.send_late(Late::timer(due.clone(), why_of(failure), attempts), &id)?;
            }
        }
        Ok(Fate::Done)
    }

    /// Fills the tables, once.
    async fn seed(&mut self) -> Result<(), StoreError> {
        let context = self.context;
        let Some(seed) = &context.service.seed else { return Ok(()) };
        self.engine.mark();
        if !schema::take_seed(self.engine, self.now).await? {
            return self.engine.keep();
        }
        let cause = self.namer.named(&[b"seed", context.service.name.as_bytes()], self.now);
        let mut tx = Tx::new(self.engine.reborrow(), &context.service, self.namer, cause, self.now);
        let result = guard::call(seed.call(&mut tx), context.service.options.handler_time_max).await;
        let (effects, broken) = tx.into_parts();
        let result = self.settle(result, effects, broken).await?;
        self.outcome.fates.extend(result.err().map(|failure| Fate::Dead(why_of(failure))));
        Ok(())
    }

    /// Calls a timer's handler.
    async fn fire(&mut self, due: &Due) -> Result<Result<(), Failure>, StoreError> {
        let context = self.context;
        let Some((name, handler)) = context.service.timer(&due.name) else {
            return Ok(Err(Failure::dead(format!(
                "{} has no handler for timers named {}",
                context.service.name, due.name
            ))));
        };
        let timer = Timer { name, key: due.key.clone(), payload: due.payload.clone(), due: due.due };
        let cause = Cause { mark: due.origin, millis: due.due.as_micros() / 1_000 };
        self.engine.mark();
        let mut tx = Tx::new(self.engine.reborrow(), &context.service, self.namer, cause, self.now);
        let result = guard::call(handler.call(&mut tx, &timer), context.service.options.handler_time_max).await;
        let (effects, broken) = tx.into_parts();
        self.settle(result, effects, broken).await
    }

    /// Calls an event's handler.
    async fn call_event(&mut self, event: &Event) -> Result<Result<(), Failure>, StoreError> {
        let context = self.context;
        // The group was made with filters of an earlier version: nobody wants this one any more.
        let Some(handler) = context.service.handler(event.topic.as_str()) else { return Ok(Ok(())) };
        let cause = self.namer.event(context.service.name, event);
        self.engine.mark();
        let mut tx = Tx::new(self.engine.reborrow(), &context.service, self.namer, cause, self.now);
        let result = guard::call(handler.call(&mut tx, event), context.service.options.handler_time_max).await;
        let (effects, broken) = tx.into_parts();
        self.settle(result, effects, broken).await
    }

    /// Keeps what a call did, or undoes it.
    async fn settle(
        &mut self,
        result: Result<(), Failure>,
        effects: Effects,
        broken: Option<StoreError>,
    ) -> Result<Result<(), Failure>, StoreError> {
        let result = match (result, broken) {
            // With the store's own failure the transaction is lost, whatever the handler makes of it.
            (_, Some(error)) if error.is_passing() => return Err(error),
            (Ok(()), Some(error)) => Err(error.into()),
            (result, _) => result,
        };
        if result.is_err() {
            self.engine.undo()?;
            return Ok(result);
        }
        self.engine.keep()?;
        for change in effects.timers {
            if let crate::effects::TimerChange::Set { due, .. } = &change {
                self.due_at(*due);
            }
            timers::change(self.engine, change).await?;
        }
        self.outgoing.extend(effects.outgoing);
        self.outcome.causes.extend(effects.arrived);
        Ok(Ok(()))
    }

    async fn park(&mut self, event: &Event, waits_for: String) -> Result<(), StoreError> {
        let deadline = self.now.plus(self.context.service.options.early_wait_max);
        let next = self.next_look(1).min(deadline);
        parked::put(self.engine, event, cut(waits_for), next, deadline).await?;
        self.outcome.parked += 1;
        self.due_at(next);
        Ok(())
    }

    /// Gives something back to the bus that ran out of time, so that it becomes a dead letter there.
    fn send_late(&mut self, late: Late, id: &Cause) -> Result<(), StoreError> {
        let publication = late.publication(&self.context.late_topic, self.namer.id(id, 0), self.now);
        self.outgoing.push(publication.map_err(|error| StoreError::Row(error.to_string()))?);
        Ok(())
    }

    async fn unclaim(&mut self, claim: Option<Claim>) -> Result<(), StoreError> {
        match claim {
            Some(Claim { is_news: true, id }) => inbox::unclaim(self.engine, id).await,
            _ => Ok(()),
        }
    }

    /// What closes the transaction, and what is known only now.
    async fn close(mut self, batch: &Batch) -> Result<Outcome, StoreError> {
        let outgoing = std::mem::take(&mut self.outgoing);
        let mut number = batch.row_number;
        self.outcome.rows = outbox::put(self.engine, batch.worker, &mut number, outgoing, self.now).await?;
        for id in &batch.relayed {
            outbox::drop_row(self.engine, *id).await?;
        }
        if let Some((after, before)) = &batch.sweep {
            self.outcome.sweep = inbox::sweep(self.engine, after, micros(*before)).await?;
        }
        if self.engine.is_serial() {
            self.outcome.woken = woken(self.engine, &mut self.outcome.causes).await?;
        }
        Ok(self.outcome)
    }

    fn is_last(&self, attempt: u32) -> bool {
        let max = self.context.service.options.attempts_max;
        max != 0 && attempt >= max
    }

    fn next_look(&self, looks: u32) -> Time {
        self.now.plus(wait(EARLY_LOOKS, looks))
    }

    fn due_at(&mut self, at: Time) {
        let next = self.outcome.next_due.map_or(at, |next| next.min(at));
        self.outcome.next_due = Some(next);
    }
}

/// What was put aside and waits for one of these. Where transactions run side by side this is asked after the commit: who
/// looked before and parked since is found, or finds it by its own next look.
pub(crate) async fn woken(engine: &mut Engine<'_>, causes: &mut Vec<String>) -> Result<Vec<Parked>, StoreError> {
    causes.sort_unstable();
    causes.dedup();
    let mut woken = Vec::new();
    for cause in causes.iter() {
        woken.extend(parked::waiting_for(engine, cause).await?);
    }
    Ok(woken)
}

/// `min(cap, base * 2^(attempt - 1))`.
pub(crate) fn wait(backoff: Backoff, attempt: u32) -> std::time::Duration {
    let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    backoff.base.saturating_mul(doubled).min(backoff.cap)
}

fn why_of(failure: Failure) -> String {
    match failure {
        Failure::Retry { why } | Failure::Dead { why } => why,
        Failure::Early { waits_for } => late::never_came(&waits_for),
    }
}

/// What an event waits for stands in an index.
fn cut(mut text: String) -> String {
    while text.len() > KEY_LEN_MAX {
        text.pop();
    }
    text
}
