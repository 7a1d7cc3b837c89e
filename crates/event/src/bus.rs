//! The seam between those who bring and watch events and the engine that keeps them.
//!
//! The embedded log is one implementation, existing engines are others. The duties stand here in prose, and the test set
//! in `contract` checks them on every engine unchanged. What an engine can't do it says in its [`Abilities`], never by
//! silence.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::delivery::{DeadLetter, Delivery, GroupName, GroupOptions, GroupStat, Settlement, Tag};
use crate::event::{Publication, Recorded};
use crate::id::ProducerId;
use crate::lag::{self, Lag};
use crate::position::{Epoch, Position, Seq};
use crate::talk::Talk;
use crate::topic::{Filter, Topic};

/// What comes later: a future that may cross threads. Boxed once a batch, never once an event.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why an engine could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The storage failed (disk full, I/O error); final for this process where appends are concerned. Reads go on.
    #[error("storage failed: {0}")]
    Storage(String),
    /// The engine is shutting down.
    #[error("shutting down")]
    Closed,
    /// One event is larger than a record may be.
    #[error("an event has more than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// The position lies before what retention has kept.
    #[error("gone: the log begins after {oldest}")]
    Gone {
        /// The earliest position that one can still read after.
        oldest: Position,
    },
    /// The position is of another log, or lies ahead of this one.
    #[error("no such position in this log (it stands at {head})")]
    NoSuchPosition {
        /// Where this log stands.
        head: Position,
    },
    /// The numbers of a producer leave a hole or go back to one that was not stored.
    #[error("out of order: number {expected} comes next")]
    OutOfOrder {
        /// The only number that can be taken now.
        expected: u64,
    },
    /// Damage was found where it can't be a torn tail.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The engine can't do this; see [`Abilities`].
    #[error("this engine can't {0}")]
    Unable(&'static str),
}

/// What an acknowledgement of this engine means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Handed to the operating system.
    Written,
    /// On the disks of a quorum of machines.
    Quorum,
    /// On this machine's disk: the sync returned.
    Synced,
}

impl Durability {
    /// The word for it, where it's told to others.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Quorum => "quorum",
            Self::Synced => "synced",
        }
    }
}

/// How far back an engine can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// From any position that it still keeps.
    Full,
    /// Only the latest event of each sticky topic.
    LatestOnly,
}

/// What an engine can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// What its acknowledgement means.
    pub durability: Durability,
    /// How far back it can read.
    pub replay: Replay,
    /// Whether it keeps the wait before a retry itself.
    pub delayed_retry: bool,
    /// Whether it keeps the numbers of producers that number their events. Where it doesn't, a numbered event is refused as
    /// [`Unable`](BusError::Unable).
    pub numbers: bool,
    /// Whether a process that was just started knows the ids and the groups of before. Where it doesn't, copies are
    /// known for what they are only as long as the process lives, and only groups that were joined in it are listed.
    pub remembers: bool,
}

/// "It is durable, at this position."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Where it stands.
    pub position: Position,
    /// Whether it had been stored before: the position is then the original's.
    pub duplicate: bool,
}

/// The receipts of one append: new events stand one after the other, so only the exceptions are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipts {
    /// The log.
    pub epoch: Epoch,
    /// The sequence number of the first new event; without meaning when all are duplicates.
    pub first: Seq,
    /// How many events were appended or recognised.
    pub len: usize,
    /// The duplicates: index in the batch, ascending, and where the original stands.
    pub duplicates: Vec<(usize, Seq)>,
    /// New events that don't follow the one before, as others wrote in between: index in the batch, ascending, and where it
    /// stands. Empty where an engine keeps a batch together.
    pub strays: Vec<(usize, Seq)>,
}

impl Receipts {
    /// The receipt of the event at this index of the batch.
    #[must_use]
    pub fn get(&self, index: usize) -> Receipt {
        let before = self.duplicates.partition_point(|(at, _)| *at < index);
        match self.duplicates.get(before) {
            Some((at, seq)) if *at == index => Receipt { position: Position::new(self.epoch, *seq), duplicate: true },
            _ => {
                let strayed = self.strays.partition_point(|(at, _)| *at < index);
                let seq = match self.strays.get(strayed) {
                    Some((at, seq)) if *at == index => *seq,
                    _ => self.first + (index - before - strayed) as u64,
                };
                Receipt { position: Position::new(self.epoch, seq), duplicate: false }
            }
        }
    }

    /// All receipts, in the order of the batch.
    pub fn iter(&self) -> impl Iterator<Item = Receipt> + '_ {
        (0..self.len).map(|index| self.get(index))
    }
}

/// Some events of the log, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The wanted ones among those that were read.
    pub events: Vec<Recorded>,
    /// How far the log has been read: every wanted event up to here is in this batch or an earlier one.
    pub up_to: Seq,
}

/// A page of latest states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyPage {
    /// The sticky events, ordered by topic.
    pub events: Vec<Recorded>,
    /// The state is that of this moment of the log: whoever goes on after it misses nothing and sees nothing twice.
    /// (Of a topic that changed between two pages the later page shows the later state, and the change comes again.)
    pub as_of: Position,
    /// The topic to ask for the next page with; `None` at the end.
    pub next: Option<Topic>,
}

/// A page of topics that have a latest state, without the states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPage {
    /// The topics in their order, with the sequence number of each state.
    pub topics: Vec<(Topic, Seq)>,
    /// The topic to ask for the next page with; `None` at the end.
    pub next: Option<Topic>,
}

/// Whether the engine can be written to and read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// All is well.
    Good,
    /// Something is wrong; the sentence is for /readyz.
    Failing(String),
}

/// An engine: one durable, ordered log of events and what is derived from it.
pub trait Bus: Send + Sync + 'static {
    /// What this engine can do.
    fn abilities(&self) -> Abilities;

    /// Where the log stands: the last durable event.
    fn head(&self) -> Position;

    /// The earliest position that one can still read after; `seq` 0 while nothing was ever freed.
    fn oldest(&self) -> Position;

    /// Whether the engine works.
    fn health(&self) -> Health;

    /// Makes the events durable, in this order, one after the other with nothing in between, all or none.
    ///
    /// When this gives `Ok`, a crash can't lose them. When it gives `Err(Storage)`, they may or may not be there: the
    /// caller retries with the same ids. Other errors mean that nothing was stored.
    /// An event whose id is known (or stands earlier in the batch) adds nothing and gets the original's receipt, which too
    /// is given only once the original is durable. A `Numbered` event must be the next of its producer, or known;
    /// anything else fails the batch as `OutOfOrder`.
    /// Appends take effect in the order in which this function was *called*, whenever the futures are polled;
    /// and dropping the future doesn't take the append back.
    fn append(&self, batch: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>>;

    /// The highest number of this producer that is durable, 0 when there is none. Waits for what was appended before.
    fn last_number(&self, producer: ProducerId) -> Later<'_, Result<u64, BusError>>;

    /// Makes durable that a producer's numbers up to and with this one are used up without an event (it was refused for good).
    /// The same order and errors as for `append` hold: `number` must be the next one, or known.
    fn use_up(&self, producer: ProducerId, number: u64) -> Later<'static, Result<(), BusError>>;

    /// A reader that begins after a position and follows the log for ever.
    ///
    /// # Errors
    /// `Gone` before what retention kept, `NoSuchPosition` for another epoch or a place ahead of the head,
    /// `Unable` without replay when `after` isn't the head.
    fn tail(&self, after: Position) -> Result<Box<dyn Tail>, BusError>;

    /// The latest states of the sticky topics that this filter wants, ordered by topic, beginning after topic `after`.
    fn latest(&self, filter: &Filter, after: Option<&Topic>, limit: usize) -> Later<'_, Result<StickyPage, BusError>>;

    /// The topics with a latest state that begin with `prefix`, in the order of their bytes, beginning after the text
    /// `after`, which needn't be a topic: whoever lists levels passes over all that lies below one. A page may have fewer
    /// than `limit` and not be the last.
    ///
    /// An engine that knows its topics without reading the states answers from what it knows. For others the states are
    /// read, and topics that begin with `$` are then listed only below a prefix of their own.
    fn topics<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> Later<'a, Result<TopicPage, BusError>> {
        Box::pin(topics_of_states(move |filter, after, limit| self.latest(filter, after, limit), prefix, after, limit))
    }

    /// Becomes a member of a group, which is (durably) made when there is none by this name.
    ///
    /// `Start::Now` begins after what was appended before this *call*. A new group that is to begin after an event ahead
    /// of the head gets `NoSuchPosition`, one before what retention kept `Gone`; nothing is made then.
    fn join(&self, group: &GroupName, options: GroupOptions) -> Later<'_, Result<Box<dyn Member>, BusError>>;

    /// Ends a group: its cursor, its waiting retries and its dead letters are forgotten (durably), its members get `Closed`.
    fn end_group(&self, group: &GroupName) -> Later<'_, Result<(), BusError>>;

    /// How the groups stand, ordered by name, beginning after `after`.
    fn groups(&self, after: Option<&GroupName>, limit: usize) -> Vec<GroupStat>;

    /// The dead letters of a group, oldest event first, beginning after sequence number `after`; at most `limit`, fewer
    /// where an engine's page is smaller. An empty answer is the end, also for a group that isn't there.
    fn dead_letters(&self, group: &GroupName, after: Seq, limit: usize)
    -> Later<'_, Result<Vec<DeadLetter>, BusError>>;

    /// Takes dead letters out (durably): to be tried anew from attempt 1, or to be forgotten. Gives how many there were.
    fn revive(&self, group: &GroupName, letters: Vec<Seq>, again: bool) -> Later<'_, Result<usize, BusError>>;

    /// Takes a group over that another engine had: makes it (durably) when there is none by this name, and keeps these
    /// letters, whose events stand here, beside the dead letters that it has. Nobody becomes a member. Saying it again
    /// changes nothing.
    ///
    /// # Errors
    /// `Unable` where a group can't begin in the past; as [`join`](Self::join) otherwise.
    fn adopt(
        &self,
        group: &GroupName,
        options: GroupOptions,
        letters: Vec<DeadLetter>,
    ) -> Later<'_, Result<(), BusError>> {
        let _ = (group, options, letters);
        Box::pin(std::future::ready(Err(BusError::Unable("take over groups that another engine had"))))
    }

    /// How far a group is behind that [`groups`](Self::groups) has told of.
    ///
    /// An engine with a log reads it from where the group stands; one whose server knows asks it, and one that knows only what
    /// this process was handed tells that, as no exact number.
    fn lag<'a>(&'a self, group: &'a GroupStat) -> Later<'a, Result<Lag, BusError>> {
        Box::pin(lag::read(self, group))
    }

    /// A place among the processes over this engine that tell each other what nobody keeps; with a filter one hears what it
    /// wants, without one only tells.
    ///
    /// # Errors
    /// `Unable` where a process is alone with its engine, or the engine has no such way.
    fn talk(&self, hears: Option<&Filter>) -> Result<Box<dyn Talk>, BusError> {
        let _ = hears;
        Err(BusError::Unable("tell other processes what it doesn't keep"))
    }
}

/// A cursor over the log.
pub trait Tail: Send {
    /// The next events for which `wanted(topic)` holds; waits until the log has grown beyond the cursor.
    ///
    /// One call reads a bounded number of bytes; a batch may be empty but for `up_to` when none of what was read is wanted.
    /// Dropping the future loses nothing: the cursor moves only when a batch is given.
    ///
    /// # Errors
    /// `Gone` when retention overtook the cursor, `Damaged`, `Storage`, `Closed`.
    fn next<'a>(&'a mut self, wanted: &'a (dyn Fn(&str) -> bool + Send + Sync)) -> Later<'a, Result<Batch, BusError>>;

    /// The same without waiting: `None` when the cursor stands at the head.
    fn next_now<'a>(
        &'a mut self,
        wanted: &'a (dyn Fn(&str) -> bool + Send + Sync),
    ) -> Later<'a, Result<Option<Batch>, BusError>>;

    /// How far this cursor has read.
    fn position(&self) -> Position;
}

/// One worker's place in a group. Dropping it gives its unsettled deliveries back at once (a crash counts as one attempt).
pub trait Member: Send {
    /// Up to `max` deliveries; waits for the first. They are leased to this member.
    ///
    /// Events come the first time in the order of the log; what is due to come again comes before them.
    /// Dropping the future loses nothing: what was leased and not seen comes again.
    ///
    /// # Errors
    /// `Closed` when the group was ended or the engine is. `Gone` once, to one member, when retention has freed events that
    /// this group may not have seen; the next call goes on with what there is.
    fn next(&mut self, max: usize) -> Later<'_, Result<Vec<Delivery>, BusError>>;

    /// Says what became of deliveries; durable when it gives `Ok`. A tag whose lease has ended meanwhile is passed over.
    ///
    /// A settlement takes effect with this call, whenever the future is polled; dropping it doesn't take it back.
    /// Of two for one tag the first counts. Gives the number of those that counted.
    fn settle(&mut self, settlements: Vec<(Tag, Settlement)>) -> Later<'_, Result<usize, BusError>>;

    /// Begins the leases of these deliveries anew; passes over those that are no longer this member's.
    fn renew(&mut self, tags: &[Tag]);

    /// After how long an unrenewed lease ends.
    fn lease(&self) -> Duration;
}

/// The topics, by way of the states.
async fn topics_of_states<'a>(
    latest: impl Fn(&Filter, Option<&Topic>, usize) -> Later<'a, Result<StickyPage, BusError>>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<TopicPage, BusError> {
    let mut found = TopicPage::default();
    // `#` matches nothing that begins with `$`: those come by the filter of their own first level.
    let levels = prefix.rsplit_once('/').map_or("", |(levels, _)| levels);
    let filter = if levels.is_empty() { "#".to_owned() } else { format!("{levels}/#") };
    let filter = Filter::new(filter).map_err(|_| BusError::Unable("list topics below what is no topic"))?;
    let mut from: Option<Topic> = None;
    loop {
        let page = latest(&filter, from.as_ref(), limit).await?;
        for recorded in &page.events {
            let topic = &recorded.event.topic;
            let is_wanted = topic.as_str().starts_with(prefix) && after.is_none_or(|after| topic.as_str() > after);
            if is_wanted && found.topics.len() == limit {
                found.next = found.topics.last().map(|(topic, _)| topic.clone());
                return Ok(found);
            }
            if is_wanted {
                found.topics.push((topic.detached(), recorded.position.seq));
            }
        }
        from = page.next;
        if from.is_none() {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_tell_new_ones_and_duplicates_apart() {
        let receipts = Receipts { epoch: 7, first: 10, len: 5, duplicates: vec![(1, 3), (4, 11)], strays: vec![] };
        let seqs: Vec<_> = receipts.iter().map(|r| (r.position.seq, r.duplicate)).collect();
        assert_eq!(seqs, [(10, false), (3, true), (11, false), (12, false), (11, true)]);
    }
}
