//! The open log as the rest of Headwater knows it: an engine of the bus.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use headwater_event::{
    Abilities, Bus, BusError, Clock, DeadLetter, Durability, Epoch, Filter, GroupName, GroupOptions, GroupStat, Health,
    Later, Member, Position, ProducerId, Publication, Receipts, Recorded, Replay, Seq, StickyPage, Tail, Topic,
    TopicError, TopicPage,
};

use crate::core::{Core, Counts};
use crate::derived::Desk;
use crate::groups::{self, Groups};
use crate::open;
use crate::options::{OpenError, OpenOptions};
use crate::sticky::LOOKED_AT_MAX;
use crate::tail::{blocking, read_record, read_seq};

/// The embedded engine, open for reading and writing. Dropping it without [`EventLog::close`] is like a crash, which
/// loses nothing acknowledged; closing it makes the next start faster.
pub struct EventLog {
    core: Arc<Core>,
    groups: Groups,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl EventLog {
    /// Opens the log in a folder, or makes one. Takes as long as reading back what came since the last checkpoint.
    ///
    /// # Errors
    /// When another process has it, the system refuses, or it's damaged; the text says what can be done.
    pub fn open(options: OpenOptions) -> Result<Self, OpenError> {
        let (derived, state) = groups::derived(&options.clock);
        let (core, threads) = open::open(&options, derived)?;
        let groups = Groups::start(state, Arc::new(LogDesk(core.clone())));
        Ok(Self { core, groups, threads: Mutex::new(threads) })
    }

    /// Makes durable what was appended, takes a checkpoint and ends the log; appends and waiting readers get `Closed`
    /// from then on. Blocks until it's done.
    ///
    /// # Errors
    /// `Storage` when something can't be written any more; the log has ended all the same.
    pub fn close(&self) -> Result<(), BusError> {
        self.groups.close();
        let flushed = wait_blocking(self.core.flush()).and_then(|()| self.core.checkpoint().map(drop));
        self.end();
        flushed
    }

    /// Takes a checkpoint now; the log does so by itself, too. Blocks until it's done.
    ///
    /// # Errors
    /// `Storage` when it can't be written.
    pub fn checkpoint(&self) -> Result<(), BusError> {
        self.core.checkpoint().map(drop)
    }

    fn end(&self) {
        self.core.end(&BusError::Closed);
        self.core.ahead.stop();
        self.core.keeper.stop();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
        self.core.unlock();
    }

    /// Frees what lies beyond the bounds of retention now; a thread does so by itself, where there are threads. Gives
    /// how many bytes that were.
    ///
    /// # Errors
    /// `Storage` when something can't be written; nothing is lost then.
    pub fn free(&self) -> Result<u64, BusError> {
        self.core.free()
    }

    /// Writes zeros ahead now; a thread does so by itself, where there are threads.
    ///
    /// # Errors
    /// As the system says.
    pub fn fill_ahead(&self) -> std::io::Result<()> {
        let end = self.core.view().end;
        self.core.ahead.fill_now(&*self.core.disk.open(open::LOG_NAME, true)?, end)
    }

    /// What the log has done since it was opened.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.core.counts
    }

    /// How many bytes of the file hold batches now.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let view = self.core.view();
        view.end - view.first
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.groups.close();
        self.end();
    }
}

/// Waits on a thread that may block.
pub(crate) fn wait_blocking<T>(later: Later<'_, T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut later = later;
    loop {
        match later.as_mut().poll(&mut context) {
            std::task::Poll::Ready(done) => return done,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

impl Bus for EventLog {
    fn abilities(&self) -> Abilities {
        Abilities {
            durability: Durability::Synced,
            replay: Replay::Full,
            delayed_retry: true,
            numbers: true,
            remembers: true,
        }
    }

    fn head(&self) -> Position {
        Position::new(self.core.epoch(), self.core.view().head)
    }

    fn oldest(&self) -> Position {
        Position::new(self.core.epoch(), self.core.view().freed)
    }

    fn health(&self) -> Health {
        self.core.health()
    }

    fn append(&self, batch: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>> {
        self.core.append(batch)
    }

    fn last_number(&self, producer: ProducerId) -> Later<'_, Result<u64, BusError>> {
        self.core.last_number(producer)
    }

    fn use_up(&self, producer: ProducerId, number: u64) -> Later<'static, Result<(), BusError>> {
        self.core.use_up(producer, number)
    }

    fn tail(&self, after: Position) -> Result<Box<dyn Tail>, BusError> {
        if after.epoch != self.core.epoch() {
            return Err(BusError::NoSuchPosition { head: self.head() });
        }
        self.core.tail(after.seq)
    }

    fn latest(&self, filter: &Filter, after: Option<&Topic>, limit: usize) -> Later<'_, Result<StickyPage, BusError>> {
        let none = {
            let view = self.core.view();
            view.sticky.has_none(filter, after.map(Topic::as_str)).then_some(view.head)
        };
        if let Some(head) = none {
            // Ten thousand clients that come back and find nothing shouldn't wait for each other's turn at the disk.
            let as_of = Position::new(self.core.epoch(), head);
            return Box::pin(std::future::ready(Ok(StickyPage { events: Vec::new(), as_of, next: None })));
        }
        let (filter, after) = (filter.clone(), after.cloned());
        let core = self.core.clone();
        Box::pin(blocking(move || latest(&core, &filter, after.as_ref(), limit)))
    }

    fn topics<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Later<'a, Result<TopicPage, BusError>> {
        Box::pin(async move {
            let limit = limit.min(LOOKED_AT_MAX);
            let found = self.core.view().sticky.below(prefix, after, limit);
            let topics = found.into_iter().map(|(topic, place)| Ok((Topic::new(topic)?, place.seq)));
            let mut topics = topics.collect::<Result<Vec<_>, _>>().map_err(|error: TopicError| damaged(&error))?;
            let is_more = topics.len() > limit;
            topics.truncate(limit);
            let next = topics.last().filter(|_| is_more).map(|(topic, _)| topic.clone());
            Ok(TopicPage { topics, next })
        })
    }

    fn join(&self, group: &GroupName, options: GroupOptions) -> Later<'_, Result<Box<dyn Member>, BusError>> {
        self.groups.join(group, options)
    }

    fn end_group(&self, group: &GroupName) -> Later<'_, Result<(), BusError>> {
        self.groups.end_group(group)
    }

    fn groups(&self, after: Option<&GroupName>, limit: usize) -> Vec<GroupStat> {
        self.groups.stats(after, limit)
    }

    fn dead_letters(
        &self,
        group: &GroupName,
        after: Seq,
        limit: usize,
    ) -> Later<'_, Result<Vec<DeadLetter>, BusError>> {
        self.groups.dead_letters(group, after, limit)
    }

    fn revive(&self, group: &GroupName, letters: Vec<Seq>, again: bool) -> Later<'_, Result<usize, BusError>> {
        self.groups.revive(group, letters, again)
    }
}

fn latest(core: &Core, filter: &Filter, after: Option<&Topic>, limit: usize) -> Result<StickyPage, BusError> {
    let (found, head) = {
        let view = core.view();
        (view.sticky.find(filter, after.map(Topic::as_str), limit), view.head)
    };
    let mut events = Vec::with_capacity(found.places.len());
    for place in &found.places {
        match read_record(core, place.offset)?.filter(|read| read.position.seq == place.seq) {
            Some(recorded) => events.push(recorded),
            // Retention has carried it forward meanwhile; the page is made anew, as its parts must be of one moment.
            None if place.offset < core.view().first => return latest(core, filter, after, limit),
            None => {
                let sentence = format!("sticky event {} can't be read at byte {}", place.seq, place.offset);
                return Err(BusError::Damaged(sentence));
            }
        }
    }
    let next = found.next.map(Topic::new).transpose().map_err(|error| damaged(&error))?;
    Ok(StickyPage { events, as_of: Position::new(core.epoch(), head), next })
}

/// What was stored as a topic isn't one.
fn damaged(error: &TopicError) -> BusError {
    BusError::Damaged(error.to_string())
}

/// The log as its groups know it.
struct LogDesk(Arc<Core>);

impl Desk for LogDesk {
    fn epoch(&self) -> Epoch {
        self.0.epoch()
    }

    fn head(&self) -> Seq {
        self.0.view().head
    }

    fn freed(&self) -> Seq {
        self.0.view().freed
    }

    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn append(&self, records: Vec<Vec<u8>>) -> Later<'static, Result<(), BusError>> {
        self.0.append_groups(&records)
    }

    fn grown(&self, beyond: Seq) -> Later<'static, Result<(), BusError>> {
        let mut head = self.0.head.subscribe();
        // Not the heart of the log itself: a member that waits for ever must not keep it alive.
        let core = Arc::downgrade(&self.0);
        Box::pin(async move {
            loop {
                if *head.borrow_and_update() > beyond {
                    return Ok(());
                }
                if core.upgrade().is_none_or(|core| core.intake().ended.is_some()) {
                    return Err(BusError::Closed);
                }
                head.changed().await.map_err(|_| BusError::Closed)?;
            }
        })
    }

    fn read(&self, seqs: Vec<Seq>) -> Later<'static, Result<Vec<Option<Recorded>>, BusError>> {
        let core = self.0.clone();
        Box::pin(blocking(move || seqs.iter().map(|seq| read_seq(&core, *seq)).collect()))
    }

    fn tail(&self, after: Seq) -> Result<Box<dyn Tail>, BusError> {
        self.0.tail(after)
    }
}
