//! Reading a log back: from the last checkpoint, or from its first batch, to the last one that is whole.

use std::sync::{Arc, Mutex, PoisonError};

use headwater_event::Seq;

use crate::derived::Derived;
use crate::disk::{Disk, DiskFile};
use crate::header::{Head, Identity};
use crate::ids::Ids;
use crate::numbers::Numbers;
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
}

/// Where reading back begins, and up to where the file is known to have been synced.
pub(crate) struct From {
    pub offset: u64,
    pub before: Seq,
    /// Records of groups before this place are in their saved state already.
    pub groups_from: u64,
    pub synced: u64,
}

/// Reads the log back, and makes its end fit to be appended to.
pub(crate) fn recover(
    options: &OpenOptions,
    disk: &Arc<dyn Disk>,
    file: &Arc<dyn DiskFile>,
    identity: Identity,
    head: Head,
    derived: &Mutex<Box<dyn Derived>>,
) -> Result<Recovered, OpenError> {
    let mut recovered = Recovered {
        ids: Ids::new(&identity.id_key, options.ids_max, options.ids_age_max),
        numbers: Numbers::default(),
        sticky: Sticky::default(),
        places: Places::default(),
        last: head.freed,
        end: head.first,
    };
    let mut derived = derived.lock().unwrap_or_else(PoisonError::into_inner);
    let from = From { offset: head.first, before: head.freed, groups_from: 0, synced: head.first };
    let scan = trying(&**disk, "read the log", Scan::new(file.clone(), identity, from.offset, from.before));
    let mut scan = scan?;
    let mut last_batch = None;
    let bad = loop {
        match trying(&**disk, "read the log", scan.step())? {
            Step::Batch(mark) => {
                let groups = (mark.offset >= from.groups_from).then_some(&mut **derived);
                recovered.fold(&mark, scan.body(), identity.epoch, groups);
                last_batch = Some(mark);
            }
            Step::Bad(bad) => break bad,
        }
    };
    (recovered.last, recovered.end) = (scan.before(), scan.offset());
    if let Some(damage) = damage_of(&bad, from.synced, &disk.folder()) {
        return Err(damage.into());
    }
    trying(&**disk, "mend the end of the log", mend_end(&**file, &bad, last_batch.as_ref()))?;
    recovered.ids.build();
    derived.freed(head.freed);
    Ok(recovered)
}

/// Whether a bad place is damage: something says that it was synced.
pub(crate) fn damage_of(bad: &Bad, synced: u64, folder: &str) -> Option<Damage> {
    let (until, after) = match &bad.next {
        Some(mark) => (mark.offset, Some(mark.before + 1)),
        None if bad.offset < synced => (synced, None),
        None => return None,
    };
    Some(Damage { folder: folder.into(), offset: bad.offset, until, before: bad.before, after })
}

/// Makes sure that what was read is on the disk, and that nothing but zeros lies behind it.
fn mend_end(file: &dyn DiskFile, bad: &Bad, last: Option<&Mark>) -> std::io::Result<()> {
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
    fn fold(&mut self, mark: &Mark, body: &[u8], epoch: u32, mut groups: Option<&mut (dyn Derived + 'static)>) {
        self.places.add(Place { before: mark.before, offset: mark.offset, at: mark.at });
        for (at, record) in records(body, epoch) {
            let place = StickyPlace { seq: record.seq, offset: mark.offset + (MARK_LEN + at) as u64 };
            match record.kind {
                Kind::Event => {
                    match record.numbered() {
                        Some((producer, number)) => self.numbers.fold(producer, number, Some(record.seq)),
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
    }
}
