//! Reading the log from front to back and trusting nothing: whole batches, a torn tail, or damage.
//!
//! The writer never writes a batch before the one in front of it is synced, and each batch's mark says how far the file
//! was synced when it was written. So a batch that doesn't check is a torn tail when nothing behind it says that it was
//! synced: then it was never acknowledged. Otherwise it's damage.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use headwater_event::Seq;
use memchr::memmem;

use crate::disk::DiskFile;
use crate::header::Identity;
use crate::readahead::{BLOCK_LEN, FRONT_LEN, ReadAhead};
use crate::record::{Check, Kind, MARK_LEN, Mark, RawRecord, TAG_AT, parse};

const READ_LEN: usize = BLOCK_LEN;

/// From how much on that is still to be read a thread of its own reads ahead.
const READ_AHEAD_MIN: u64 = 16 << 20;

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
    /// What of the buffer was read from the file.
    read: Range<usize>,
    /// Where the first byte that was read stands in the file.
    buffer_at: u64,
    body: Range<usize>,
    ahead: Option<ReadAhead>,
}

impl Scan {
    /// A scan that begins with the batch at `offset`, before which `before` was the last event.
    pub(crate) fn new(file: Arc<dyn DiskFile>, identity: Identity, offset: u64, before: Seq) -> io::Result<Self> {
        let len = file.size()?;
        let (read, body) = (0..0, 0..0);
        Ok(Self { file, identity, len, offset, before, buffer: Vec::new(), read, buffer_at: offset, body, ahead: None })
    }

    /// The same, with a thread that reads ahead if there's much to read.
    pub(crate) fn reading_ahead(mut self) -> io::Result<Self> {
        if self.len.saturating_sub(self.offset) >= READ_AHEAD_MIN {
            self.ahead = Some(ReadAhead::begin(self.file.clone(), self.offset, self.len)?);
        }
        Ok(self)
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
            self.forget_what_was_read();
        }
    }

    /// The records of the batch that [`Scan::step`] gave last.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    /// Reads and checks the next batch, and moves behind it.
    pub(crate) fn batch(&mut self) -> io::Result<Option<Mark>> {
        let Some(mark) = self.mark()? else { return Ok(None) };
        if mark.before != self.before || mark.end() > self.len {
            return Ok(None);
        }
        let whole = usize::try_from(mark.end() - mark.offset).unwrap_or(usize::MAX);
        let Some(at) = self.fill(whole)? else { return Ok(None) };
        self.body = at + MARK_LEN..at + whole;
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
        self.forget_what_was_read();
    }

    fn forget_what_was_read(&mut self) {
        self.read = 0..0;
        self.buffer_at = self.offset;
        self.ahead = None;
    }

    fn mark(&mut self) -> io::Result<Option<Mark>> {
        let Some(at) = self.fill(MARK_LEN)? else { return Ok(None) };
        Ok(Mark::decode(&self.buffer[at..self.read.end], self.offset, &self.identity))
    }

    /// Makes the buffer hold this many bytes from the scan's place on, and says where in it they begin.
    fn fill(&mut self, len: usize) -> io::Result<Option<usize>> {
        let passed = usize::try_from(self.offset - self.buffer_at).unwrap_or(usize::MAX).min(self.read.len());
        let at = self.read.start + passed;
        if self.read.end - at >= len {
            return Ok(Some(at));
        }
        if self.len.saturating_sub(self.offset) < len as u64 {
            return Ok(None);
        }
        (self.read.start, self.buffer_at) = (at, self.offset);
        if let Some(ahead) = self.ahead.take_if(|ahead| ahead.next == self.offset + self.read.len() as u64) {
            let enough = self.take_blocks(ahead, len)?;
            return Ok(enough.then_some(self.read.start));
        }
        self.move_to_front();
        let have = self.read.end;
        let room = usize::try_from(self.len - self.offset).unwrap_or(usize::MAX).min(len.max(READ_LEN));
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        self.read.end += self.file.read_at(self.offset + have as u64, &mut self.buffer[have..room])?;
        Ok((self.read.end >= len).then_some(0))
    }

    /// Takes blocks that were read ahead until so many bytes are there; gives whether they are.
    fn take_blocks(&mut self, mut ahead: ReadAhead, len: usize) -> io::Result<bool> {
        while self.read.len() < len {
            let Some(mut block) = ahead.take()? else { return Ok(false) };
            let have = self.read.len();
            if have <= FRONT_LEN {
                let start = FRONT_LEN - have;
                block.bytes[start..FRONT_LEN].copy_from_slice(&self.buffer[self.read.clone()]);
                self.read = start..block.end;
                ahead.give(std::mem::replace(&mut self.buffer, block.bytes));
            } else {
                // A batch longer than a block's front.
                self.move_to_front();
                self.buffer.truncate(have);
                self.buffer.extend_from_slice(&block.bytes[FRONT_LEN..block.end]);
                self.read.end = self.buffer.len();
                ahead.give(block.bytes);
            }
        }
        self.ahead = Some(ahead);
        Ok(true)
    }

    fn move_to_front(&mut self) {
        self.buffer.copy_within(self.read.clone(), 0);
        self.read = 0..self.read.len();
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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use headwater_event::Time;

    use super::*;
    use crate::record::{Fields, put};

    struct Memory(Vec<u8>);

    impl DiskFile for Memory {
        fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
            let rest = &self.0[usize::try_from(offset).unwrap().min(self.0.len())..];
            let len = rest.len().min(into.len());
            into[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        }

        fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn size(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }

        fn punch(&self, _: u64, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    const IDENTITY: Identity = Identity { epoch: 7, created: Time(1), tag: 2, id_key: [3; 16] };

    /// A log of batches of one event each, with payloads of these lengths.
    fn log(lens: &[usize]) -> Vec<u8> {
        let mut file = Vec::new();
        for (seq, len) in (1..).zip(lens) {
            let payload = vec![u8::try_from(seq % 251).unwrap(); *len];
            let (kind, at) = (Kind::Event, Time(5));
            let fields =
                Fields { seq, at, kind, sticky: false, id: None, topic: b"t", headers: &[], payload: &payload };
            let mut body = BytesMut::new();
            put(&mut body, IDENTITY.epoch, &fields);
            let offset = file.len() as u64;
            let body_len = body.len() as u64;
            let mark = Mark { before: seq - 1, at, offset, synced: offset, body_len, events: 1 };
            file.extend_from_slice(&mark.encode(&IDENTITY));
            file.extend_from_slice(&body);
        }
        file
    }

    /// All that a scan says, with a sum of the bodies.
    fn scanned(file: &[u8], ahead: bool) -> (Vec<(Mark, u32)>, Bad) {
        let file = Arc::new(Memory(file.to_vec()));
        let mut scan = Scan::new(file, IDENTITY, 0, 0).unwrap();
        if ahead {
            scan = scan.reading_ahead().unwrap();
            assert!(scan.ahead.is_some());
        }
        let mut batches = Vec::new();
        loop {
            match scan.step().unwrap() {
                Step::Batch(mark) => batches.push((mark, crc32c::crc32c(scan.body()))),
                Step::Bad(bad) => return (batches, bad),
            }
        }
    }

    #[test]
    fn a_scan_that_reads_ahead_sees_what_one_sees_that_does_not() {
        // Small ones, some beyond a block's front, one beyond a block, and one beyond several.
        let mut lens: Vec<_> = (0..400).map(|at| 100 + at * 31).collect();
        lens.extend([300_000, 700_000, 600_000, 10, BLOCK_LEN, 2 * BLOCK_LEN, 5, 4 * BLOCK_LEN + 77]);
        lens.extend((0..40).map(|at| 1_000 + at * 9_000));
        let whole = log(&lens);
        assert!(whole.len() as u64 >= READ_AHEAD_MIN, "{}", whole.len());
        let (batches, bad) = scanned(&whole, true);
        assert_eq!(batches.len(), lens.len());
        assert_eq!((batches, bad), scanned(&whole, false));
        for damaged in [whole.len() / 3, whole.len() * 2 / 3, whole.len() - 5] {
            let mut file = whole.clone();
            file[damaged] ^= 1;
            assert_eq!(scanned(&file, true), scanned(&file, false), "at {damaged}");
        }
        let mut with_zeros = whole.clone();
        with_zeros.resize(whole.len() + 3 * BLOCK_LEN + 9, 0);
        assert_eq!(scanned(&with_zeros, true), scanned(&with_zeros, false));
    }
}
