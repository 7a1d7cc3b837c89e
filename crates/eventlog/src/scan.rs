//! Reading the log from front to back and trusting nothing: whole batches, a torn tail, or damage.
//!
//! The writer never writes a batch before the one in front of it is synced, and each batch's mark says how far the file
//! was synced when it was written. So a batch that doesn't check is a torn tail when nothing behind it says that it was
//! synced: then it was never acknowledged. Otherwise it's damage.

use std::io;
use std::sync::Arc;

use headwater_event::Seq;
use memchr::memmem;

use crate::disk::DiskFile;
use crate::header::Identity;
use crate::record::{Check, Kind, MARK_LEN, Mark, RawRecord, TAG_AT, parse};

/// How much is read with one call: large enough that the call costs nothing, small enough to stay in the cache.
const READ_LEN: usize = 1 << 20;

/// What comes next in the file.
#[derive(Debug)]
pub(crate) enum Step {
    /// A batch that checks; its records are [`Scan::body`].
    Batch(Mark),
    /// Here no batch begins that checks.
    Bad(Bad),
}

/// A place where no batch begins that checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    /// Where the scan stands.
    pub offset: u64,
    /// The last event before it.
    pub before: Seq,
    /// The next mark behind it that says that this place was synced: then it's damage.
    pub next: Option<Mark>,
    /// Where the last byte that isn't zero ends, if there's one behind the place and no such mark.
    pub leftover_end: Option<u64>,
    /// The mark at the place itself, if it's whole and something stands behind its batch: nothing is ever written there
    /// before the batch is synced, so then it's damage, too.
    pub outgrown: Option<Mark>,
}

/// A scan of one file.
pub(crate) struct Scan {
    file: Arc<dyn DiskFile>,
    identity: Identity,
    /// The end of the file when the scan began.
    len: u64,
    offset: u64,
    before: Seq,
    buffer: Vec<u8>,
    /// Where the buffer's first byte stands in the file.
    buffer_at: u64,
    body: (usize, usize),
}

impl Scan {
    /// A scan that begins with the batch at `offset`, before which `before` was the last event.
    pub(crate) fn new(file: Arc<dyn DiskFile>, identity: Identity, offset: u64, before: Seq) -> io::Result<Self> {
        let len = file.size()?;
        Ok(Self { file, identity, len, offset, before, buffer: Vec::new(), buffer_at: offset, body: (0, 0) })
    }

    /// Where the next batch begins.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The last event so far.
    pub(crate) const fn before(&self) -> Seq {
        self.before
    }

    /// Reads no further than this, for a reader beside the writer.
    pub(crate) fn look_again(&mut self, limit: u64) {
        if limit != self.len {
            self.len = limit;
            // What was read behind the old limit may have been written since.
            self.buffer.clear();
            self.buffer_at = self.offset;
        }
    }

    /// The records of the batch that [`Scan::step`] gave last.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.body.0..self.body.1]
    }

    /// Reads and checks the next batch, and moves behind it.
    pub(crate) fn batch(&mut self) -> io::Result<Option<Mark>> {
        let Some(mark) = self.mark()? else { return Ok(None) };
        if mark.before != self.before || mark.end() > self.len {
            return Ok(None);
        }
        let whole = usize::try_from(mark.end() - mark.offset).unwrap_or(usize::MAX);
        let Some(at) = self.fill(whole)? else { return Ok(None) };
        self.body = (at + MARK_LEN, at + whole);
        let Some(last) = check_body(self.body(), &mark, &self.identity) else { return Ok(None) };
        self.offset = mark.end();
        self.before = last;
        Ok(Some(mark))
    }

    /// The next batch, or what is in its place. A bad place is searched behind to the end of the file.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        match self.batch()? {
            Some(mark) => Ok(Step::Batch(mark)),
            None => Ok(Step::Bad(self.look_behind()?)),
        }
    }

    /// Goes on behind a bad place.
    pub(crate) fn go_on(&mut self, offset: u64, before: Seq) {
        self.offset = offset;
        self.before = before;
        self.buffer.clear();
        self.buffer_at = offset;
    }

    fn mark(&mut self) -> io::Result<Option<Mark>> {
        let Some(at) = self.fill(MARK_LEN)? else { return Ok(None) };
        Ok(Mark::decode(&self.buffer[at..], self.offset, &self.identity))
    }

    /// Makes the buffer hold this many bytes from the scan's place on, and says where in it they begin.
    fn fill(&mut self, len: usize) -> io::Result<Option<usize>> {
        let at = usize::try_from(self.offset - self.buffer_at).unwrap_or(usize::MAX).min(self.buffer.len());
        if self.buffer.len() - at >= len {
            return Ok(Some(at));
        }
        if self.len.saturating_sub(self.offset) < len as u64 {
            return Ok(None);
        }
        self.buffer.copy_within(at.., 0);
        let have = self.buffer.len() - at;
        self.buffer_at = self.offset;
        let room = usize::try_from(self.len - self.offset).unwrap_or(usize::MAX).min(len.max(READ_LEN));
        self.buffer.resize(room, 0);
        let read = self.file.read_at(self.offset + have as u64, &mut self.buffer[have..])?;
        self.buffer.truncate(have + read);
        Ok((self.buffer.len() >= len).then_some(0))
    }

    fn look_behind(&mut self) -> io::Result<Bad> {
        let own = self.mark()?.filter(|mark| mark.before == self.before);
        let mut bad = Bad { offset: self.offset, before: self.before, next: None, leftover_end: None, outgrown: None };
        let tag = self.identity.tag.to_be_bytes();
        let finder = memmem::Finder::new(&tag);
        let rest = usize::try_from(self.len.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let mut block = vec![0; rest.min(READ_LEN + MARK_LEN)];
        let mut at = self.offset;
        while at < self.len {
            let want = usize::try_from(self.len - at).unwrap_or(usize::MAX).min(block.len());
            let read = self.file.read_at(at, &mut block[..want])?;
            let seen = &block[..read];
            if let Some(last) = last_written(seen) {
                bad.leftover_end = Some(at + last as u64 + 1);
                for found in finder.find_iter(seen) {
                    let Some(start) = found.checked_sub(TAG_AT) else { continue };
                    let mark = Mark::decode(&seen[start..], at + start as u64, &self.identity);
                    if let Some(mark) = mark.filter(|mark| mark.offset > bad.offset && mark.synced > bad.offset) {
                        bad.next = Some(mark);
                        bad.leftover_end = None;
                        return Ok(bad);
                    }
                }
            }
            if read < MARK_LEN || at + read as u64 >= self.len {
                break;
            }
            // A mark may lie across two blocks.
            at += (read - MARK_LEN) as u64 + 1;
        }
        bad.outgrown = own.filter(|mark| bad.leftover_end.is_some_and(|end| end > mark.end()));
        Ok(bad)
    }
}

/// The last byte that isn't zero. Whole blocks of zeros are passed over as fast as memory reads.
fn last_written(bytes: &[u8]) -> Option<usize> {
    const ZEROS: [u8; 4_096] = [0; 4_096];
    let mut end = bytes.len();
    while end > 0 {
        let from = end.saturating_sub(ZEROS.len());
        if bytes[from..end] != ZEROS[..end - from] {
            return bytes[from..end].iter().rposition(|byte| *byte != 0).map(|last| from + last);
        }
        end = from;
    }
    None
}

/// Checks all records of a batch, and that they're what its mark says; gives the last event.
fn check_body(body: &[u8], mark: &Mark, identity: &Identity) -> Option<Seq> {
    let (mut rest, mut last, mut events) = (body, mark.before, 0);
    while !rest.is_empty() {
        let record = parse(rest, identity.epoch, Check::Whole)?;
        match record.kind {
            Kind::Event if last.checked_add(1) == Some(record.seq) => {
                last = record.seq;
                events += 1;
            }
            Kind::Used | Kind::Group if record.seq == last => {}
            Kind::Kept if record.seq <= last => {}
            Kind::Void if record.seq >= last => {
                events = record.seq.checked_sub(last).and_then(|lost| lost.checked_add(events))?;
                last = record.seq;
            }
            _ => return None,
        }
        rest = &rest[record.len..];
    }
    (events == mark.events).then_some(last)
}

/// The records of a batch's body that was checked before.
pub(crate) fn records(body: &[u8], epoch: u32) -> impl Iterator<Item = (usize, RawRecord<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let record = parse(&body[at..], epoch, Check::Trust)?;
        let start = at;
        at += record.len;
        Some((start, record))
    })
}
