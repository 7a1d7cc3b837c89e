//! The parts that a life has, as its worker sees them: a member like that of any group.
//!
//! Reading and clearing are done by a task of its own, so that nothing is lost when the worker turns to something else. What is
//! settled is taken out of the table a moment later, as the bus does it: should the process die in between, the next one reads
//! it again and finds it in the inbox. So does the same one when PostgreSQL was killed and has forgotten that it was taken out.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_event::{
    Backoff, Bus, BusError, Delivery, Later, Member, Position, Receipts, Recorded, Settlement, Tag, Time,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::batch::{Context, wait};
use crate::duty::{Held, Life};
use crate::late::{self, Late};
use crate::store::work::{Waiting, Work};
use crate::store::{Store, StoreError};
use crate::worker::Shared;
use crate::worker::wait::until;
use crate::{inbox, wire};

/// How many rows one look into the table brings, over all parts.
const ROWS_MAX: i64 = 512;

/// How often the table is looked at unasked while something came a moment ago, and while nothing does: another process has
/// sorted it.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOOK_IDLE_EVERY: Duration = Duration::from_millis(100);

/// After how many looks that brought nothing it's idle.
const IDLE_AFTER: u32 = 100;

/// The wait after a failure.
const AGAIN: Backoff = Backoff { base: Duration::from_millis(20), cap: Duration::from_secs(2) };

/// How often the worker says that it works on what it has; here nobody has to hear that.
const LEASE: Duration = Duration::from_secs(30);

/// Before the first place of a part.
const BEGINNING: i64 = -1;

/// What the worker tells the task. No longer than what is out, which is bounded.
#[derive(Default)]
struct Told {
    settlements: Mutex<Vec<(Tag, Settlement)>>,
    wake: Notify,
}

/// Deliveries, and since which beginning they're counted.
type Brought = (u64, Vec<Delivery>);

/// A life's parts as a group's member.
pub(crate) struct Share {
    brought: mpsc::Receiver<Brought>,
    ready: VecDeque<Delivery>,
    beginning: Arc<watch::Sender<u64>>,
    ready_since: u64,
    told: Arc<Told>,
    task: tokio::task::JoinHandle<()>,
}

/// Lets the parts be read from their beginning.
#[derive(Clone)]
pub(crate) struct Control {
    asks: mpsc::Sender<oneshot::Sender<()>>,
}

impl Control {
    /// Takes out what is settled, and forgets what is out: nobody works on it any more, and it is read again.
    pub(crate) async fn begin_anew(&self) {
        let (tell, told) = oneshot::channel();
        if self.asks.send(tell).await.is_ok() {
            // The task answers, or is gone with all it knew.
            let _ = told.await;
        }
    }
}

impl Share {
    /// The parts of a life.
    pub(crate) fn begin(
        context: &Arc<Context>,
        bus: &Arc<dyn Bus>,
        store: &Store,
        life: &Arc<Life>,
        shared: &Arc<Shared>,
        news: Arc<Notify>,
    ) -> (Self, Control) {
        let (bring, brought) = mpsc::channel(1);
        let (asks, asked) = mpsc::channel(1);
        let (told, beginning) = (Arc::<Told>::default(), Arc::new(watch::Sender::new(0)));
        let reader = Reader {
            context: Arc::clone(context),
            bus: Arc::clone(bus),
            store: store.clone(),
            held: life.held(),
            life: Arc::clone(life),
            shared: Arc::clone(shared),
            told: Arc::clone(&told),
            beginning: Arc::clone(&beginning),
            work: None,
            places: BTreeMap::new(),
            out: HashMap::new(),
            again: BTreeSet::new(),
            handled: Vec::new(),
            tried: Vec::new(),
            dead: VecDeque::new(),
            sending: None,
            pending: Vec::new(),
            empty_looks: 0,
            failures: 0,
        };
        let task = tokio::spawn(reader.run(bring, asked, news));
        (Self { brought, ready: VecDeque::new(), beginning, ready_since: 0, told, task }, Control { asks })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Member for Share {
    fn next(&mut self, max: usize) -> Later<'_, Result<Vec<Delivery>, BusError>> {
        Box::pin(async move {
            loop {
                if self.ready_since != *self.beginning.borrow() {
                    self.ready.clear();
                }
                if !self.ready.is_empty() {
                    let count = self.ready.len().min(max);
                    return Ok(self.ready.drain(..count).collect());
                }
                let Some((since, deliveries)) = self.brought.recv().await else { return Err(BusError::Closed) };
                self.ready_since = since;
                self.ready = deliveries.into();
            }
        })
    }

    fn settle(&mut self, settlements: Vec<(Tag, Settlement)>) -> Later<'_, Result<usize, BusError>> {
        let count = settlements.len();
        self.told.settlements.lock().unwrap_or_else(PoisonError::into_inner).extend(settlements);
        self.told.wake.notify_one();
        Box::pin(std::future::ready(Ok(count)))
    }

    fn renew(&mut self, _: &[Tag]) {}

    fn lease(&self) -> Duration {
        LEASE
    }
}

/// What is out, by its place.
struct Out {
    part: i64,
    delivery: Delivery,
}

/// The task behind a share.
struct Reader {
    context: Arc<Context>,
    bus: Arc<dyn Bus>,
    store: Store,
    life: Arc<Life>,
    held: watch::Receiver<Held>,
    shared: Arc<Shared>,
    told: Arc<Told>,
    beginning: Arc<watch::Sender<u64>>,
    work: Option<Work>,
    /// How far each part has been read.
    places: BTreeMap<u32, i64>,
    out: HashMap<i64, Out>,
    /// What is to be tried again, and when.
    again: BTreeSet<(Time, i64)>,
    /// Rows to be taken out.
    handled: Vec<(i64, i64)>,
    /// Rows that were tried, and how often.
    tried: Vec<(i64, i64, i64)>,
    /// What was given up, and why: it goes to the bus, and its row is taken out then.
    dead: VecDeque<(i64, String)>,
    sending: Option<Later<'static, Result<Receipts, BusError>>>,
    /// To be handed to the worker.
    pending: Vec<Delivery>,
    empty_looks: u32,
    failures: u32,
}

impl Reader {
    async fn run(
        mut self,
        bring: mpsc::Sender<Brought>,
        mut asked: mpsc::Receiver<oneshot::Sender<()>>,
        news: Arc<Notify>,
    ) {
        let clock = self.context.clock.clone();
        loop {
            // Asked for before the time is looked at, so that no move of the clock is missed.
            let moved = clock.moved();
            let now = clock.now();
            self.take_settlements(now);
            if let Err(error) = self.work_through(now).await {
                self.work = None;
                self.failures = self.failures.saturating_add(1);
                let name = self.context.service.name;
                self.shared.trouble(format!("the service {name} can't read its parts: {error}"));
            } else if std::mem::take(&mut self.failures) > 0 {
                self.shared.good();
            }
            let pause = match self.failures {
                0 if self.empty_looks < IDLE_AFTER => LOOK_EVERY,
                0 => LOOK_IDLE_EVERY,
                failures => wait(AGAIN, failures),
            };
            let moment = self.again.first().map(|(due, _)| *due).filter(|_| self.pending.is_empty());
            let has_pending = !self.pending.is_empty();
            tokio::select! {
                permit = bring.reserve(), if has_pending => match permit {
                    Ok(permit) => permit.send((*self.beginning.borrow(), std::mem::take(&mut self.pending))),
                    // The worker is gone.
                    Err(_) => return,
                },
                () = self.told.wake.notified() => {}
                () = news.notified(), if !has_pending => {}
                () = tokio::time::sleep(pause), if !has_pending => {}
                () = until(&clock, moment, moved) => {}
                changed = self.held.changed() => if changed.is_err() || self.held.borrow_and_update().is_over {
                    return;
                },
                sent = sent(&mut self.sending) => self.note_sent(sent),
                ask = asked.recv() => {
                    let Some(tell) = ask else { return };
                    self.begin_anew(now).await;
                    // The worker may be gone.
                    let _ = tell.send(());
                }
            }
        }
    }

    fn take_settlements(&mut self, now: Time) {
        let told = std::mem::take(&mut *self.told.settlements.lock().unwrap_or_else(PoisonError::into_inner));
        for (tag, settlement) in told {
            let place = tag.seq.cast_signed();
            let Some(out) = self.out.get_mut(&place).filter(|out| out.delivery.attempt == tag.attempt) else {
                continue;
            };
            match settlement {
                Settlement::Done => {
                    self.handled.push((out.part, place));
                    self.out.remove(&place);
                }
                Settlement::Retry { after, .. } => {
                    let backoff = self.context.service.options.backoff;
                    let after = after.unwrap_or_else(|| less_a_random_half(wait(backoff, tag.attempt)));
                    self.tried.push((out.part, place, tag.attempt.into()));
                    out.delivery.attempt = tag.attempt.saturating_add(1);
                    self.again.insert((now.plus(after), place));
                }
                Settlement::Dead { why } => self.dead.push_back((place, why)),
            }
        }
    }

    /// Takes out, and reads on.
    async fn work_through(&mut self, now: Time) -> Result<(), StoreError> {
        self.write_down().await?;
        self.send_dead(now);
        while let Some((due, place)) = self.again.first().copied().filter(|(due, _)| *due <= now) {
            self.again.remove(&(due, place));
            self.pending.extend(self.out.get(&place).map(|out| out.delivery.clone()));
        }
        let held = self.held.borrow().clone();
        self.places.retain(|part, _| held.parts.contains(part));
        for part in held.parts {
            self.places.entry(part).or_insert(BEGINNING);
        }
        let max = self.context.service.options.in_flight_max.max(1);
        // What is to be given up isn't read any more: the worker finishes what it has.
        if self.pending.is_empty() && self.out.len() < max && !self.places.is_empty() && held.give_up.is_empty() {
            self.read().await?;
        }
        Ok(())
    }

    async fn write_down(&mut self) -> Result<(), StoreError> {
        if self.handled.is_empty() && self.tried.is_empty() {
            return Ok(());
        }
        self.open().await?;
        let work = self.work.as_ref().ok_or(StoreError::Closed)?;
        if !self.tried.is_empty() {
            work.tried(&self.tried).await?;
            self.tried.clear();
        }
        if !self.handled.is_empty() {
            work.clear(&self.handled).await?;
            self.handled.clear();
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<(), StoreError> {
        if self.work.as_ref().is_none_or(Work::is_closed) {
            let postgres = self.store.postgres().ok_or(StoreError::Closed)?;
            self.work = Some(postgres.work().await?);
            // A server that was killed may have rows again that were taken out: who looks only behind them would leave them there.
            self.places.values_mut().for_each(|place| *place = BEGINNING);
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        self.open().await?;
        let work = self.work.as_ref().ok_or(StoreError::Closed)?;
        let after: Vec<(i64, i64)> = self.places.iter().map(|(part, place)| (i64::from(*part), *place)).collect();
        let each = (ROWS_MAX / i64::try_from(after.len()).unwrap_or(ROWS_MAX)).max(1);
        let rows = work.read(&after, each).await?;
        self.empty_looks = if rows.is_empty() { self.empty_looks.saturating_add(1) } else { 0 };
        for row in rows {
            self.take(row)?;
        }
        Ok(())
    }

    fn take(&mut self, row: Waiting) -> Result<(), StoreError> {
        if let Some(place) = u32::try_from(row.part).ok().and_then(|part| self.places.get_mut(&part)) {
            *place = (*place).max(row.n);
        }
        if self.out.contains_key(&row.n) {
            return Ok(());
        }
        let publication = wire::read(&row.event)?.pop();
        let publication = publication.ok_or_else(|| StoreError::Row("a sorted event is empty".into()))?;
        let seq = row.n.cast_unsigned();
        let recorded =
            Recorded { position: Position::new(0, seq), event: publication.event, sticky: publication.sticky };
        let attempt = u32::try_from(row.attempts).unwrap_or(u32::MAX).saturating_add(1);
        let delivery = Delivery { recorded, attempt };
        self.out.insert(row.n, Out { part: row.part, delivery: delivery.clone() });
        self.pending.push(delivery);
        Ok(())
    }

    /// Gives what was given up back to the bus, one after the other, as what ran out of time is.
    fn send_dead(&mut self, now: Time) {
        if self.sending.is_some() || !self.life.is_sure() {
            return;
        }
        while let Some((place, why)) = self.dead.front() {
            let publication = self.out.get(place).and_then(|out| self.dead_letter(*place, out, why.clone(), now));
            if let Some(publication) = publication {
                self.sending = Some(self.bus.append(vec![publication]));
                return;
            }
            self.dead.pop_front();
        }
    }

    fn dead_letter(&self, place: i64, out: &Out, why: String, now: Time) -> Option<headwater_event::Publication> {
        let (event, attempts) = (&out.delivery.recorded.event, out.delivery.attempt);
        let letter = match event.topic.as_str() == self.context.late_topic {
            true => late::read(event).ok()?.once_more(why, attempts),
            false => Late::event(event, why, attempts),
        };
        let namer = self.context.namer.get()?;
        // The same when it's sent again by the next life, and another one when it was revived and failed again.
        let cause = namer.named(&[b"dead", &inbox::id_bytes(&event.id), &place.to_be_bytes()], event.at);
        letter.publication(&self.context.late_topic, namer.id(&cause, 0), now).ok()
    }

    fn note_sent(&mut self, sent: Result<Receipts, BusError>) {
        self.sending = None;
        match sent {
            Ok(_) => {
                if let Some((place, _)) = self.dead.pop_front()
                    && let Some(out) = self.out.remove(&place)
                {
                    self.handled.push((out.part, place));
                }
            }
            Err(error) => {
                let name = self.context.service.name;
                self.shared.trouble(format!("a dead letter of the service {name} doesn't get onto the bus: {error}"));
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    async fn begin_anew(&mut self, now: Time) {
        self.take_settlements(now);
        if let Err(error) = self.write_down().await {
            // Then whoever reads it finds it in the inbox.
            tracing::debug!("what is settled isn't taken out: {error}");
            self.work = None;
        }
        self.handled.clear();
        self.tried.clear();
        self.places.clear();
        self.out.clear();
        self.again.clear();
        self.dead.clear();
        self.pending.clear();
        self.beginning.send_modify(|beginning| *beginning += 1);
    }
}

/// Waits for the append that is under way; for ever when there's none.
async fn sent(sending: &mut Option<Later<'static, Result<Receipts, BusError>>>) -> Result<Receipts, BusError> {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}

/// So that what failed together doesn't come back together.
fn less_a_random_half(time: Duration) -> Duration {
    let random = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    time - time * random / 512
}
