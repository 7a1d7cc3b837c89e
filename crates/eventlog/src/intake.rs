//! Where appends become records: in the order in which they come, on their callers' threads, into one forming batch.

use std::collections::{HashSet, VecDeque};

use bytes::BytesMut;
use headwater_event::{BusError, Epoch, EventId, ProducerId, Publication, Receipts, Seq, Time};
use tokio::sync::oneshot;

use crate::chunks::{CHUNK_LEN, Chunks};
use crate::ids::Ids;
use crate::numbers::{Numbers, Taken};
use crate::record::{self, BATCH_LEN_MAX, EVENT_LEN_MAX, Fields, Kind, MARK_LEN};

/// Where a batch is closed and a next one begun (unless one append alone brings more): what is written with one call. A
/// chunk is as long, so that batches fit into chunks whatever the load, and no larger ones are ever held by the newest
/// batches. 1 MiB takes a disk some ten times as long as the sync itself: larger ones would not be faster.
const BATCH_FORMING_MAX: usize = CHUNK_LEN;

/// Somebody who waits for a batch; gets `Ok` once it's durable.
pub(crate) type Waiter = oneshot::Sender<Result<(), BusError>>;

/// A batch on its way to the disk.
#[derive(Default)]
pub(crate) struct Forming {
    /// Room for the mark, then the records; they're in the intake's chunk until the batch is closed. Empty when only
    /// waiters are there.
    pub bytes: BytesMut,
    /// Where it will stand.
    pub offset: u64,
    /// The last event before it.
    pub before: Seq,
    pub events: u64,
    pub has_sticky: bool,
    pub has_groups: bool,
    pub waiters: Vec<Waiter>,
}

/// The state that appends change, behind one lock that is never held over a write.
pub(crate) struct Intake {
    epoch: Epoch,
    chunk: BytesMut,
    chunks: Chunks,
    forming: Forming,
    /// Batches that are full, oldest first; they go before the forming one.
    full: VecDeque<Forming>,
    /// The last event that has a place, durable or not.
    last: Seq,
    /// Up to here the batches are durable.
    pub durable: Seq,
    pub ids: Ids,
    pub numbers: Numbers,
    /// Whether somebody is writing a batch now.
    pub committing: bool,
    /// Why nothing is taken any more.
    pub ended: Option<BusError>,
    /// How many commits in a row had one append each, with nothing waiting behind them.
    pub lone: u32,
    /// The sticky topics (hashed under the log's key) that were published since retention began to carry some forward.
    pub touched: Option<HashSet<[u64; 2]>>,
}

/// An append that has its place.
pub(crate) struct Placed {
    pub receipts: Receipts,
    /// The last event that must be durable before the receipts are given.
    pub needs: Seq,
}

impl Intake {
    /// The state behind a log that ends with this event, at this offset.
    pub(crate) fn new(epoch: Epoch, last: Seq, end: u64, ids: Ids, numbers: Numbers) -> Self {
        Self {
            epoch,
            chunk: BytesMut::new(),
            chunks: Chunks::default(),
            forming: Forming { offset: end, before: last, ..Forming::default() },
            full: VecDeque::new(),
            last,
            durable: last,
            ids,
            numbers,
            committing: false,
            ended: None,
            lone: 0,
            touched: None,
        }
    }

    /// Gives events their places, all or none.
    pub(crate) fn place(&mut self, batch: &[Publication], now: Time) -> Result<Placed, BusError> {
        let mut whole = MARK_LEN;
        for publication in batch {
            let event = &publication.event;
            let body = event.topic.text().as_bytes().len() + event.headers.as_stored().len() + event.payload.len();
            if body > EVENT_LEN_MAX {
                return Err(BusError::TooLarge { max: EVENT_LEN_MAX });
            }
            whole += record::event_len(event);
        }
        self.make_room(whole)?;
        let undo = Undo { len: self.chunk.len(), ids: self.ids.mark(), last: self.last, numbers: Vec::new() };
        match self.place_all(batch, undo.numbers.clone(), now) {
            Ok(placed) => {
                self.ids.trim(now);
                Ok(placed)
            }
            Err((error, numbers)) => {
                self.take_back(Undo { numbers, ..undo });
                Err(error)
            }
        }
    }

    fn place_all(
        &mut self,
        batch: &[Publication],
        mut taken: Vec<(ProducerId, u64)>,
        now: Time,
    ) -> Result<Placed, (BusError, Vec<(ProducerId, u64)>)> {
        let first = self.last + 1;
        let mut receipts =
            Receipts { epoch: self.epoch, first, len: batch.len(), duplicates: Vec::new(), strays: Vec::new() };
        let (mut needs, mut has_sticky) = (0, false);
        // How many of the next events have numbers that were taken together with the one before them.
        let mut taken_before = 0;
        for (at, publication) in batch.iter().enumerate() {
            let seq = self.last + 1;
            let original = match &publication.event.id {
                EventId::Numbered { .. } if taken_before > 0 => {
                    taken_before -= 1;
                    None
                }
                EventId::Numbered { producer, number } => match self.numbers.take(*producer, *number, seq) {
                    Taken::Known(original) => Some(original),
                    Taken::Expected(expected) => return Err((BusError::OutOfOrder { expected }, taken)),
                    Taken::New { before } => {
                        if taken.last().is_none_or(|(last, _)| last != producer) {
                            taken.push((*producer, before));
                        }
                        taken_before = following(&batch[at + 1..], *producer, *number);
                        if taken_before > 0 {
                            self.numbers.take_more(producer, taken_before);
                        }
                        None
                    }
                },
                EventId::Own(_) => None,
                id => {
                    let hash = self.ids.hash(id);
                    let original = self.ids.find(hash);
                    if original.is_none() {
                        self.ids.add(hash, seq, now);
                    }
                    original
                }
            };
            if let Some(original) = original {
                receipts.duplicates.push((at, original));
                // A place that was forgotten may still be on its way to the disk, if the one before it is.
                needs = needs.max(if original == 0 { self.last } else { original });
                continue;
            }
            self.put_event(publication, seq);
            has_sticky |= publication.sticky;
            self.last = seq;
            needs = seq;
        }
        self.forming.events += self.last + 1 - first;
        self.forming.has_sticky |= has_sticky;
        Ok(Placed { receipts, needs })
    }

    fn put_event(&mut self, publication: &Publication, seq: Seq) {
        let event = &publication.event;
        self.begin();
        let fields = Fields {
            seq,
            at: event.at,
            kind: Kind::Event,
            sticky: publication.sticky,
            id: Some(&event.id),
            topic: event.topic.text().as_bytes(),
            headers: event.headers.as_stored(),
            payload: &event.payload,
        };
        record::put(&mut self.chunk, self.epoch, &fields);
        if publication.sticky && self.touched.is_some() {
            let hash = self.ids.hash_stored(0, event.topic.text().as_bytes());
            self.touched.get_or_insert_default().insert(hash);
        }
    }

    /// Uses a producer's number up without an event.
    pub(crate) fn use_up(&mut self, producer: ProducerId, number: u64, now: Time) -> Result<(), BusError> {
        self.make_room(MARK_LEN + record::FIXED_LEN + EventId::LEN_MAX)?;
        match self.numbers.use_up(producer, number) {
            Taken::Expected(expected) => Err(BusError::OutOfOrder { expected }),
            Taken::Known(_) => Ok(()),
            Taken::New { .. } => {
                let id = EventId::Numbered { producer, number };
                self.put_inner(Kind::Used, self.last, now, false, Some(&id), &[], &[], &[]);
                Ok(())
            }
        }
    }

    /// Stores records of groups.
    pub(crate) fn put_groups(&mut self, records: &[Vec<u8>], now: Time) -> Result<(), BusError> {
        if records.iter().any(|record| record.len() > EVENT_LEN_MAX) {
            return Err(BusError::TooLarge { max: EVENT_LEN_MAX });
        }
        self.make_room(records.iter().fold(MARK_LEN, |sum, record| sum + record::FIXED_LEN + record.len()))?;
        for record in records {
            self.put_inner(Kind::Group, self.last, now, false, None, &[], &[], record);
        }
        self.forming.has_groups |= !records.is_empty();
        Ok(())
    }

    /// Carries a sticky event forward, unless its topic was published since retention looked.
    pub(crate) fn put_kept(&mut self, recorded: &headwater_event::Recorded) -> Result<(), BusError> {
        let event = &recorded.event;
        let topic = event.topic.text().as_bytes();
        let hash = self.ids.hash_stored(0, topic);
        if self.touched.as_ref().is_none_or(|touched| touched.contains(&hash)) {
            return Ok(());
        }
        self.make_room(MARK_LEN + record::event_len(event))?;
        let headers = event.headers.as_stored();
        let seq = recorded.position.seq;
        self.put_inner(Kind::Kept, seq, event.at, true, Some(&event.id), topic, headers, &event.payload);
        self.forming.has_sticky = true;
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a record, named where they are put")]
    fn put_inner(
        &mut self,
        kind: Kind,
        seq: Seq,
        at: Time,
        sticky: bool,
        id: Option<&EventId>,
        topic: &[u8],
        headers: &[u8],
        payload: &[u8],
    ) {
        self.begin();
        record::put(&mut self.chunk, self.epoch, &Fields { seq, at, kind, sticky, id, topic, headers, payload });
    }

    /// Waits for everything that has a place now.
    pub(crate) fn wait(&mut self, waiter: Waiter) {
        self.forming.waiters.push(waiter);
    }

    /// Whether something waits to be written.
    pub(crate) fn has_work(&self) -> bool {
        !self.full.is_empty() || !self.chunk.is_empty() || !self.forming.waiters.is_empty()
    }

    /// The next batch to write, if nobody writes one now; the caller writes it and calls [`Intake::done`].
    pub(crate) fn take(&mut self) -> Option<Forming> {
        // After a failure nothing is written any more: what was on its way has been given up.
        if self.committing || self.ended.is_some() || !self.has_work() {
            return None;
        }
        self.committing = true;
        if let Some(full) = self.full.pop_front() {
            return Some(full);
        }
        Some(self.close_forming())
    }

    /// The batch was written.
    pub(crate) fn done(&mut self, batch: &Forming, lone: bool) {
        self.committing = false;
        self.durable = batch.before + batch.events;
        self.lone = if lone && !self.has_work() { self.lone.wrapping_add(1) } else { 0 };
    }

    /// Takes nothing any more, and gives up what is on its way.
    pub(crate) fn end(&mut self, why: BusError) -> Vec<Waiter> {
        self.ended.get_or_insert(why);
        let mut waiters = std::mem::take(&mut self.forming.waiters);
        for full in &mut self.full {
            waiters.append(&mut full.waiters);
        }
        waiters
    }

    fn close_forming(&mut self) -> Forming {
        let bytes = self.chunk.split();
        let end = self.forming.offset + bytes.len() as u64;
        let next = Forming { offset: end, before: self.last, ..Forming::default() };
        Forming { bytes, ..std::mem::replace(&mut self.forming, next) }
    }

    /// Leaves room for the mark at the beginning of a batch.
    fn begin(&mut self) {
        if self.chunk.is_empty() {
            self.chunk.resize(MARK_LEN, 0);
        }
    }

    /// Sees to it that the chunk has room for so many bytes more, and that the batch doesn't grow beyond its bound.
    fn make_room(&mut self, len: usize) -> Result<(), BusError> {
        if len > BATCH_LEN_MAX {
            return Err(BusError::TooLarge { max: BATCH_LEN_MAX });
        }
        if !self.chunk.is_empty() && self.chunk.len() + len > BATCH_FORMING_MAX {
            let full = self.close_forming();
            self.full.push_back(full);
        }
        if self.chunk.capacity() - self.chunk.len() < len {
            let mut chunk = self.chunks.take(self.chunk.len() + len);
            chunk.extend_from_slice(&self.chunk);
            self.chunks.give(std::mem::replace(&mut self.chunk, chunk));
        }
        Ok(())
    }

    fn take_back(&mut self, undo: Undo) {
        self.chunk.truncate(undo.len);
        self.ids.take_back(undo.ids);
        self.last = undo.last;
        for (producer, highest) in undo.numbers.into_iter().rev() {
            self.numbers.take_back(producer, highest);
        }
    }
}

/// How many events at the front go on with a producer's numbers.
fn following(batch: &[Publication], producer: ProducerId, mut last: u64) -> u64 {
    let mut count = 0;
    for publication in batch {
        match &publication.event.id {
            EventId::Numbered { producer: same, number }
                if *same == producer && last.checked_add(1) == Some(*number) =>
            {
                last = *number;
                count += 1;
            }
            _ => break,
        }
    }
    count
}

/// What an append changes before it's known to be good.
struct Undo {
    len: usize,
    ids: u64,
    last: Seq,
    numbers: Vec<(ProducerId, u64)>,
}

/// The sentence that everybody gets who waits when the log ends.
pub(crate) fn give_up(waiters: Vec<Waiter>, why: &BusError) {
    for waiter in waiters {
        // Who doesn't wait any more needs no answer.
        let _ = waiter.send(Err(why.clone()));
    }
}
