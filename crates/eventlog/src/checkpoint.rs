//! What is derived from the log, written down now and then, so that opening it needs to read only what came since.
//!
//! A checkpoint may always be deleted: the log is the only truth. It's taken beside the writer, in slices, so parts of it
//! may know of later events than others. That does no harm: what is read back from the log after it only repeats what
//! they know, and it counts only once all that it knows of is durable.

use std::io;
use std::sync::{Arc, PoisonError};

use headwater_event::{BusError, ProducerId, Seq, Text, Time};

use crate::core::Core;
use crate::derived::Derived;
use crate::disk::{Disk, DiskFile};
use crate::header::{Identity, number};
use crate::ids::{CHUNK, Ids};
use crate::log::wait_blocking;
use crate::numbers::{Numbers, Run};
use crate::places::{Place, Places};
use crate::sticky::{Sticky, StickyPlace};

/// The newest checkpoint, the one before it (for the case that the newest can't be read), and one that is being written.
pub(crate) const NAMES: [&str; 2] = ["events.checkpoint", "events.checkpoint.old"];
const NEW_NAME: &str = "events.checkpoint.new";

const MAGIC: [u8; 8] = *b"\x89HWCKP\r\n";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;

/// What is written and read with one call.
const BLOCK: usize = 256 << 10;

/// How many sticky topics are copied while the commit waits: some 0.2 ms.
const STICKY_SLICE: usize = 2_048;

/// Which log a checkpoint speaks of, and up to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Covers {
    /// Everything before this place of the file is known to the checkpoint, and was synced.
    pub offset: u64,
    /// The last event before it.
    pub before: Seq,
    /// Where the last batch before it begins, by which one sees that the log is the same; 0 when there's none.
    pub last_batch: u64,
    /// Records of groups before this place are in the groups' state; it may lie behind `offset`.
    pub groups_from: u64,
}

/// What a checkpoint gave back.
pub(crate) struct Loaded {
    pub places: Places,
    pub sticky: Sticky,
    pub numbers: Numbers,
}

impl Core {
    /// Takes a checkpoint, on this thread; gives the place of the file that it covers.
    pub(crate) fn checkpoint(self: &Arc<Self>) -> Result<u64, BusError> {
        let _one_at_a_time = self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: io::Error| BusError::Storage(format!("a checkpoint can't be written: {error}"));
        let (covers, file, len) = self.write_checkpoint().map_err(failed)?;
        // It may know of events that are not durable yet; it must not count before they are.
        wait_blocking(self.flush())?;
        file.sync().map_err(failed)?;
        drop(file);
        replace(&*self.disk).map_err(failed)?;
        self.keeper.checkpointed(covers.offset, len);
        Ok(covers.offset)
    }

    fn write_checkpoint(&self) -> io::Result<(Covers, Arc<dyn DiskFile>, u64)> {
        // Groups first: all their records before the place that is covered must be in their state.
        let (mut covers, places) = {
            let view = self.view();
            let covers =
                Covers { offset: view.end, before: view.head, last_batch: view.last_batch, groups_from: view.end };
            (covers, view.places.clone())
        };
        let mut groups = Vec::new();
        {
            let slot = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
            slot.state.save(&mut groups);
            covers.groups_from = covers.offset.max(slot.folded_to);
        }
        let file = self.disk.create(NEW_NAME)?;
        let mut out = Out { file, at: 0, crc: 0, block: Vec::with_capacity(BLOCK + 4_096) };
        out.put(&header(&self.identity, &covers))?;
        out.put_u64(places.all().len() as u64)?;
        for place in places.all() {
            out.put_all(&[place.before, place.offset, place.at.as_micros()])?;
        }
        self.put_sticky(&mut out)?;
        self.put_numbers(&mut out)?;
        self.put_ids(&mut out)?;
        out.put_u64(groups.len() as u64)?;
        out.put(&groups)?;
        let len = out.finish()?;
        Ok((covers, out.file, len))
    }

    fn put_sticky(&self, out: &mut Out) -> io::Result<()> {
        let mut after: Option<Text> = None;
        loop {
            let slice = self.view().sticky.slice(after.as_ref(), STICKY_SLICE);
            let Some((last, _)) = slice.last() else { break };
            after = Some(last.clone());
            for (topic, place) in &slice {
                // A topic has at most 1,024 bytes.
                out.put(&u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes())?;
                out.put(topic.as_bytes())?;
                out.put_all(&[place.seq, place.offset])?;
            }
        }
        out.put(&[0, 0])
    }

    fn put_numbers(&self, out: &mut Out) -> io::Result<()> {
        let (all, runs) = {
            let intake = self.intake();
            let all: Vec<_> = intake.numbers.all().map(|(producer, highest)| (*producer, highest)).collect();
            (all, intake.numbers.runs())
        };
        out.put_u64(all.len() as u64)?;
        for (producer, highest) in all {
            out.put(producer.as_bytes())?;
            out.put_u64(highest)?;
        }
        out.put_u64(runs.len() as u64)?;
        for (producer, run) in runs {
            out.put(producer.as_bytes())?;
            out.put_all(&[run.number, run.seq, run.len])?;
        }
        Ok(())
    }

    fn put_ids(&self, out: &mut Out) -> io::Result<()> {
        let moments = self.intake().ids.moments();
        out.put_u64(moments.len() as u64)?;
        for (at, seq) in moments {
            out.put_all(&[at.as_micros(), seq])?;
        }
        let (mut from, mut copied) = (0, Vec::with_capacity(CHUNK));
        loop {
            copied.clear();
            {
                let intake = self.intake();
                let Some((entries, next)) = intake.ids.slice(from) else { break };
                copied.extend_from_slice(entries);
                from = next;
            }
            out.put_u64(copied.len() as u64)?;
            for entry in &copied {
                out.put_all(&[entry.hash[0], entry.hash[1], entry.seq])?;
            }
        }
        out.put_u64(0)
    }
}

/// Puts the new checkpoint in place of the newest, which becomes the older one.
fn replace(disk: &dyn Disk) -> io::Result<()> {
    match disk.rename(NAMES[0], NAMES[1]) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk.rename(NEW_NAME, NAMES[0])?;
    disk.sync_folder()
}

fn header(identity: &Identity, covers: &Covers) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&identity.epoch.to_be_bytes());
    for field in [identity.tag, covers.offset, covers.before, covers.last_batch, covers.groups_from] {
        bytes.extend_from_slice(&field.to_be_bytes());
    }
    bytes.resize(HEADER_LEN, 0);
    bytes
}

/// A file that is written from front to back, with a checksum at its end.
struct Out {
    file: Arc<dyn DiskFile>,
    at: u64,
    crc: u32,
    block: Vec<u8>,
}

impl Out {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK { self.write() } else { Ok(()) }
    }

    fn put_u64(&mut self, number: u64) -> io::Result<()> {
        self.put(&number.to_be_bytes())
    }

    fn put_all(&mut self, numbers: &[u64]) -> io::Result<()> {
        numbers.iter().try_for_each(|number| self.put_u64(*number))
    }

    fn write(&mut self) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, &self.block);
        self.file.write_at(self.at, &self.block)?;
        self.at += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    fn finish(&mut self) -> io::Result<u64> {
        self.write()?;
        self.file.write_at(self.at, &self.crc.to_be_bytes())?;
        Ok(self.at + 4)
    }
}

/// What a checkpoint covers, if it's whole and of this log.
pub(crate) fn covers(disk: &dyn Disk, name: &str, identity: &Identity) -> Option<(Arc<dyn DiskFile>, Covers)> {
    let file = disk.open(name, false).ok()?;
    let body = file.size().ok()?.checked_sub(4)?;
    let (mut at, mut crc, mut block, mut first) = (0, 0, vec![0; BLOCK], None);
    while at < body {
        let want = usize::try_from(body - at).unwrap_or(usize::MAX).min(BLOCK);
        if file.read_at(at, &mut block[..want]).ok()? != want {
            return None;
        }
        crc = crc32c::crc32c_append(crc, &block[..want]);
        if at == 0 {
            first = Some(parse_header(&block[..want], identity)?);
        }
        at += want as u64;
    }
    let mut sum = [0; 4];
    (file.read_at(body, &mut sum).ok()? == 4 && crc == u32::from_be_bytes(sum)).then_some(())?;
    Some((file, first?))
}

fn parse_header(bytes: &[u8], identity: &Identity) -> Option<Covers> {
    let field = |at| number::<8>(bytes, at).map(u64::from_be_bytes);
    let ours = bytes.get(..8)? == MAGIC
        && number::<4>(bytes, 8)? == VERSION.to_be_bytes()
        && number::<4>(bytes, 12)? == identity.epoch.to_be_bytes()
        && field(16)? == identity.tag;
    ours.then_some(())?;
    Some(Covers { offset: field(24)?, before: field(32)?, last_batch: field(40)?, groups_from: field(48)? })
}

/// Takes back what a whole checkpoint holds; `None` when it isn't what this version writes.
pub(crate) fn load(
    file: Arc<dyn DiskFile>,
    covers: Covers,
    ids: &mut Ids,
    derived: &mut dyn Derived,
) -> Option<Loaded> {
    let len = file.size().ok()?.checked_sub(4)?;
    let mut source = Source { file, at: HEADER_LEN as u64, len, block: Vec::new(), from: 0 };
    let places = source.places()?;
    let mut sticky = Sticky::default();
    loop {
        let topic_len = u16::from_be_bytes(source.take(2)?.try_into().ok()?);
        if topic_len == 0 {
            break;
        }
        let topic = source.take(usize::from(topic_len))?.to_vec();
        let place = StickyPlace { seq: source.u64()?, offset: source.u64()? };
        // What came later is read back from the log; its place may be of a batch that was never durable.
        if place.seq <= covers.before && place.offset < covers.offset {
            sticky.set(&topic, place, false);
        }
    }
    let numbers = load_numbers(&mut source)?;
    load_ids(&mut source, covers.before, ids)?;
    let groups_len = usize::try_from(source.u64()?).ok()?;
    let groups = source.take(groups_len)?;
    derived.load(groups).ok()?;
    Some(Loaded { places, sticky, numbers })
}

/// The places alone, for those who only read.
pub(crate) fn load_places(file: Arc<dyn DiskFile>) -> Option<Places> {
    let len = file.size().ok()?.checked_sub(4)?;
    Source { file, at: HEADER_LEN as u64, len, block: Vec::new(), from: 0 }.places()
}

fn load_numbers(source: &mut Source) -> Option<Numbers> {
    let mut numbers = Numbers::default();
    for _ in 0..source.u64()? {
        let producer = source.producer()?;
        numbers.fold(producer, source.u64()?, None);
    }
    for _ in 0..source.u64()? {
        let producer = source.producer()?;
        numbers.add_run(producer, Run { number: source.u64()?, seq: source.u64()?, len: source.u64()? });
    }
    Some(numbers)
}

fn load_ids(source: &mut Source, before: Seq, ids: &mut Ids) -> Option<()> {
    let mut moments = Vec::new();
    for _ in 0..source.u64()? {
        moments.push((Time(source.u64()?), source.u64()?));
    }
    let (mut moments, mut at) = (moments.into_iter().peekable(), Time(0));
    loop {
        let count = source.u64()?;
        if count == 0 {
            return Some(());
        }
        let entries = source.take(usize::try_from(count).ok()?.checked_mul(24)?)?;
        for entry in entries.chunks_exact(24) {
            let field = |at| number::<8>(entry, at).map(u64::from_be_bytes);
            let (hash, seq) = ([field(0)?, field(8)?], field(16)?);
            while let Some((moment, _)) = moments.next_if(|(_, first)| *first <= seq) {
                at = moment;
            }
            // Later ones are read back from the log, in their order.
            if seq <= before {
                ids.line_up(hash, seq, at);
            }
        }
    }
}

/// A file that is read from front to back.
struct Source {
    file: Arc<dyn DiskFile>,
    at: u64,
    len: u64,
    block: Vec<u8>,
    from: usize,
}

impl Source {
    /// The next bytes; `None` beyond the end. Asks for no more memory than the file has bytes.
    fn take(&mut self, len: usize) -> Option<&[u8]> {
        if self.block.len() - self.from < len {
            self.block.drain(..self.from);
            self.from = 0;
            let rest = usize::try_from(self.len - self.at).ok()?;
            let have = self.block.len();
            let more = rest.min(BLOCK.max(len - have));
            self.block.resize(have + more, 0);
            let read = self.file.read_at(self.at, &mut self.block[have..]).ok()?;
            self.block.truncate(have + read);
            self.at += read as u64;
        }
        let bytes = self.block.get(self.from..self.from.checked_add(len)?)?;
        self.from += len;
        Some(bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    fn places(&mut self) -> Option<Places> {
        let mut places = Places::default();
        for _ in 0..self.u64()? {
            places.add(Place { before: self.u64()?, offset: self.u64()?, at: Time(self.u64()?) });
        }
        Some(places)
    }

    fn producer(&mut self) -> Option<ProducerId> {
        Some(ProducerId::from_bytes(self.take(16)?.try_into().ok()?))
    }
}
