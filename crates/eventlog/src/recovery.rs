//! Reading a log back: from the last checkpoint, or from its first batch, to the last one that is whole.

use std::sync::Arc;

use headwater_event::{ProducerId, Seq};

use crate::checkpoint::{self, Covers};
use crate::derived::Derived;
use crate::disk::{Disk, DiskFile};
use crate::header::{Head, Identity};
use crate::ids::Ids;
use crate::numbers::{Numbers, Run};
use crate::open::trying;
use crate::options::{Damage, OpenError, OpenOptions};
use crate::places::{Place, Places};
use crate::record::{Kind, MARK_LEN, Mark};
use crate::scan::{Bad, Scan, Step, records};
use crate::sticky::{Sticky, StickyPlace};

/// What a log holds, read back.
pub(crate) struct Recovered {
    pub ids: Ids,
    pub numbers: Numbers,
    pub sticky: Sticky,
    pub places: Places,
    /// The last event.
    pub last: Seq,
    /// Where the file's whole part ends.
    pub end: u64,
    /// Where its last batch begins; 0 when there's none.
    pub last_batch: u64,
    /// What the newest checkpoint and the one before it cover.
    pub covered: [u64; 2],
    /// How many bytes were read back.
    pub replayed: u64,
}

/// Where reading back begins, and up to where the file is known to have been synced.
struct Begin {
    offset: u64,
    before: Seq,
    /// Records of groups before this place are in their saved state already.
    groups_from: u64,
    synced: u64,
}

/// Reads the log back, and makes its end fit to be appended to.
pub(crate) fn recover(
    options: &OpenOptions,
    disk: &Arc<dyn Disk>,
    file: &Arc<dyn DiskFile>,
    identity: Identity,
    head: Head,
    derived: &mut (dyn Derived + 'static),
) -> Result<Recovered, OpenError> {
    let mut recovered = Recovered {
        ids: Ids::new(&identity.id_key, options.ids_max, options.ids_age_max),
        numbers: Numbers::default(),
        sticky: Sticky::default(),
        places: Places::default(),
        last: head.freed,
        end: head.first,
        last_batch: 0,
        covered: [head.first; 2],
        replayed: 0,
    };
    let begin = recovered.take_checkpoint(&**disk, file, &identity, &head, derived);
    let mut scan = trying(&**disk, "read the log", Scan::new(file.clone(), identity, begin.offset, begin.before))?;
    if options.threads {
        scan = trying(&**disk, "read the log", scan.reading_ahead())?;
    }
    let mut last_mark = None;
    let bad = loop {
        match trying(&**disk, "read the log", scan.step())? {
            Step::Batch(mark) => {
                let groups = (mark.offset >= begin.groups_from).then_some(&mut *derived);
                recovered.fold(&mark, scan.body(), identity.epoch, groups);
                last_mark = Some(mark);
            }
            Step::Bad(bad) => break bad,
        }
    };
    (recovered.last, recovered.end) = (scan.before(), scan.offset());
    recovered.replayed = scan.offset() - begin.offset;
    if let Some(damage) = damage_of(&bad, begin.synced, &disk.folder()) {
        return Err(damage.into());
    }
    trying(&**disk, "mend the end of the log", mend_end(&**file, &bad, last_mark.as_ref(), &identity, &head))?;
    recovered.last_batch = last_mark.map_or(recovered.last_batch, |mark| mark.offset);
    recovered.ids.build();
    derived.freed(head.freed);
    Ok(recovered)
}

/// Whether a bad place is damage: something says that it was synced.
pub(crate) fn damage_of(bad: &Bad, synced: u64, folder: &str) -> Option<Damage> {
    let (until, after) = match (&bad.next, &bad.outgrown) {
        (Some(mark), _) => (mark.offset, Some(mark.before + 1)),
        (None, Some(own)) => (own.end(), Some(own.before + own.events + 1)),
        (None, None) if bad.offset < synced => (synced, None),
        (None, None) => return None,
    };
    Some(Damage { folder: folder.into(), offset: bad.offset, until, before: bad.before, after })
}

/// Whether the log holds the batch that the checkpoint saw last: an older copy of the file may have been put back.
fn same_log(file: &Arc<dyn DiskFile>, identity: &Identity, covers: &Covers) -> bool {
    if covers.last_batch == 0 {
        return covers.before == 0 || covers.offset <= file.size().unwrap_or(0);
    }
    let mut head = [0; MARK_LEN];
    let read = file.read_at(covers.last_batch, &mut head).unwrap_or(0);
    let Some(mark) = Mark::decode(&head[..read], covers.last_batch, identity) else { return false };
    let scan = Scan::new(file.clone(), *identity, mark.offset, mark.before);
    let whole = scan.and_then(|mut scan| scan.batch().map(|batch| (batch.is_some(), scan.offset(), scan.before())));
    matches!(whole, Ok(whole) if whole == (true, covers.offset, covers.before))
}

/// Makes sure that what was read is on the disk, and that nothing but zeros lies behind it.
fn mend_end(
    file: &dyn DiskFile,
    bad: &Bad,
    last: Option<&Mark>,
    identity: &Identity,
    head: &Head,
) -> std::io::Result<()> {
    // Like the last batch below: it must be on the disk before anything relies on it.
    if head.generation > 0 {
        let (at, note) = head.encode(identity);
        file.write_at(at, &note)?;
    }
    if let Some(end) = bad.leftover_end {
        tracing::warn!(offset = bad.offset, bytes = end - bad.offset, "a torn batch, never acknowledged, is cut");
        let zeros = vec![0; 1 << 20];
        let mut at = bad.offset;
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(zeros.len());
            file.write_at(at, &zeros[..len])?;
            at += len as u64;
        }
    }
    // The last batch may be in the system's memory alone: its writer was killed before the sync, or the sync failed and
    // its pages count as clean since. Written anew, it's dirty for certain, and the sync below speaks of it.
    if let Some(mark) = last {
        let mut bytes = vec![0; usize::try_from(mark.end() - mark.offset).unwrap_or(0)];
        file.read_at(mark.offset, &mut bytes)?;
        file.write_at(mark.offset, &bytes)?;
    }
    file.sync()
}

impl Recovered {
    /// Takes what the newest checkpoint that fits holds, and says where to go on.
    fn take_checkpoint(
        &mut self,
        disk: &dyn Disk,
        file: &Arc<dyn DiskFile>,
        identity: &Identity,
        head: &Head,
        derived: &mut dyn Derived,
    ) -> Begin {
        let mut begin = Begin { offset: head.first, before: head.freed, groups_from: 0, synced: head.first };
        let mut taken = false;
        for (at, name) in checkpoint::NAMES.iter().enumerate() {
            let Some((saved, covers)) = checkpoint::covers(disk, name, identity) else { continue };
            begin.synced = begin.synced.max(covers.offset);
            self.covered[at] = covers.offset.max(head.first);
            if taken || covers.offset < head.first || !same_log(file, identity, &covers) {
                continue;
            }
            let mut ids = self.ids.emptied();
            if let Some(loaded) = checkpoint::load(saved, covers, &mut ids, derived) {
                (self.ids, self.numbers, self.sticky) = (ids, loaded.numbers, loaded.sticky);
                self.places = loaded.places;
                self.places.drop_before(head.first);
                self.last_batch = covers.last_batch;
                (begin.offset, begin.before, begin.groups_from) = (covers.offset, covers.before, covers.groups_from);
                taken = true;
            } else {
                tracing::warn!(name, "a checkpoint can't be used; more of the log is read instead");
            }
        }
        if !taken && head.freed > 0 {
            tracing::warn!(
                freed = head.freed,
                "no checkpoint can be used, and retention has freed a part of the log: what groups settled and which \
                 numbers producers used up in that part is not known any more"
            );
        }
        begin
    }

    fn fold(&mut self, mark: &Mark, body: &[u8], epoch: u32, mut groups: Option<&mut (dyn Derived + 'static)>) {
        self.places.add(Place { before: mark.before, offset: mark.offset, at: mark.at });
        let mut together = Together::default();
        for (at, record) in records(body, epoch) {
            let place = StickyPlace { seq: record.seq, offset: mark.offset + (MARK_LEN + at) as u64 };
            match record.kind {
                Kind::Event => {
                    match record.numbered() {
                        Some((producer, number)) => {
                            if !together.goes_on(producer, number, record.seq) {
                                together.fold_into(&mut self.numbers);
                                together = Together { producer: Some(producer), number, seq: record.seq, more: 0 };
                            }
                        }
                        None if !record.is_remembered() => {}
                        None => {
                            let hash = self.ids.hash_stored(record.id_kind, record.id);
                            self.ids.line_up(hash, record.seq, record.at);
                        }
                    }
                    if record.sticky {
                        self.sticky.set(record.topic, place, record.payload.is_empty());
                    }
                }
                Kind::Used => {
                    together.fold_into(&mut self.numbers);
                    together = Together::default();
                    if let Some((producer, number)) = record.numbered() {
                        self.numbers.fold(producer, number, None);
                    }
                }
                Kind::Group => {
                    if let Some(groups) = groups.as_deref_mut() {
                        groups.fold(record.payload, record.seq, record.at);
                    }
                }
                Kind::Kept => self.sticky.carry(record.topic, place),
                Kind::Mark | Kind::Void => {}
            }
        }
        together.fold_into(&mut self.numbers);
    }
}

/// Events that follow each other with a producer's numbers that do, so that the producer is looked up once for all.
#[derive(Default)]
struct Together {
    producer: Option<ProducerId>,
    number: u64,
    seq: Seq,
    more: u64,
}

impl Together {
    /// Takes the next one, if it is one of them.
    fn goes_on(&mut self, producer: ProducerId, number: u64, seq: Seq) -> bool {
        let follows = self.producer == Some(producer)
            && number.checked_sub(self.number) == Some(self.more + 1)
            && seq.checked_sub(self.seq) == Some(self.more + 1);
        self.more += u64::from(follows);
        follows
    }

    fn fold_into(&self, numbers: &mut Numbers) {
        if let Some(producer) = self.producer {
            numbers.fold_run(producer, Run { number: self.number, seq: self.seq, len: self.more + 1 });
        }
    }
}
