//! Taking damage out of a log so that it opens again: the damaged bytes go to a file of their own first, and every record
//! that still checks stays where it is.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use headwater_event::{Epoch, Seq, Time};

use crate::checkpoint;
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::header::{IDENTITY_AT, Identity, PAGE};
use crate::open::{LOG_NAME, lock, read_header, trying};
use crate::options::{Damage, OpenError};
use crate::record::{Check, FIXED_LEN, Fields, Kind, MARK_LEN, Mark, close, parse, put};
use crate::recovery::damage_of;
use crate::scan::{Bad, Scan, Step};

/// What a repair has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The ranges that didn't check.
    pub damage: Vec<Damage>,
    /// The files in the log's folder that hold the damaged bytes, as they were.
    pub kept_in: Vec<String>,
    /// How many events can't be read any more.
    pub lost: u64,
    /// Whether the first page was written anew from its copy.
    pub header: bool,
}

/// Takes all damage out of the log in a folder. No server may have it open.
///
/// # Errors
/// When a server has it, the system refuses, or neither copy of the first page can be read.
pub fn repair(folder: &Path) -> Result<Repaired, OpenError> {
    repair_on(&RealDisk::existing(folder))
}

/// The same on any disk.
///
/// # Errors
/// As [`repair`].
pub fn repair_on(disk: &dyn Disk) -> Result<Repaired, OpenError> {
    let _lock = lock(disk)?;
    let file = trying(disk, "open the log", disk.open(LOG_NAME, true))?;
    let mut repaired = Repaired { header: repair_header(disk, &*file)?, ..Repaired::default() };
    let (identity, head) = read_header(disk, &*file)?;
    let covers = checkpoint::NAMES.iter().filter_map(|name| checkpoint::covers(disk, name, &identity));
    let covers = covers.map(|(_, covers)| covers).max_by_key(|covers| covers.offset);
    let (synced, synced_seq) = covers.map_or((0, 0), |covers| (covers.offset, covers.before));
    let mut scan = trying(disk, "read the log", Scan::new(file.clone(), identity, head.first, head.freed))?;
    loop {
        let Step::Bad(bad) = trying(disk, "read the log", scan.step())? else { continue };
        let Some(damage) = damage_of(&bad, synced, &disk.folder()) else { return Ok(repaired) };
        let last = bad.next.map(|mark| mark.before).or(bad.outgrown.map(|own| own.before + own.events));
        let last = last.unwrap_or(synced_seq);
        let range = Range { disk, file: &file, identity, bad: &bad, until: damage.until, last };
        let (name, lost) = trying(disk, "repair the log", range.take_out())?;
        repaired.damage.push(damage);
        repaired.kept_in.push(name);
        repaired.lost += lost;
        // The same place again: what was written there must check now.
        scan = trying(disk, "read the log", Scan::new(file.clone(), identity, bad.offset, bad.before))?;
        if trying(disk, "read the log", scan.batch())?.is_none() {
            let source = io::Error::other("what was written in place of the damage doesn't read back");
            return Err(OpenError::Io { what: "repair the log", folder: disk.folder(), source });
        }
    }
}

fn repair_header(disk: &dyn Disk, file: &dyn DiskFile) -> Result<bool, OpenError> {
    let mut pages = [vec![0; PAGE], vec![0; PAGE]];
    for (page, at) in pages.iter_mut().zip(IDENTITY_AT) {
        trying(disk, "read the log", file.read_at(at, page))?;
    }
    if Identity::decode(&pages[0]).is_ok() || Identity::decode(&pages[1]).is_err() {
        return Ok(false);
    }
    let written = file.write_at(IDENTITY_AT[0], &pages[1]).and_then(|()| file.sync());
    trying(disk, "repair the first page", written)?;
    Ok(true)
}

/// A damaged range of the file.
struct Range<'a> {
    disk: &'a dyn Disk,
    file: &'a Arc<dyn DiskFile>,
    identity: Identity,
    bad: &'a Bad,
    until: u64,
    /// The last event before `until`.
    last: Seq,
}

impl Range<'_> {
    /// Copies the range away, and writes what can be read in its place. Gives the copy's name and how many events it cost.
    fn take_out(&self) -> io::Result<(String, u64)> {
        let len = usize::try_from(self.until - self.bad.offset).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        let read = self.file.read_at(self.bad.offset, &mut bytes)?;
        let name = self.keep(&bytes[..read])?;
        let mark = Mark::decode(&bytes, self.bad.offset, &self.identity)
            .filter(|mark| mark.before == self.bad.before && mark.end() <= self.until);
        let lost = match mark {
            Some(mark) => {
                let whole = MARK_LEN + usize::try_from(mark.body_len).map_err(io::Error::other)?;
                bytes.truncate(whole);
                void_damaged(&mut bytes[MARK_LEN..], self.identity.epoch, mark.before, mark.before + mark.events)
            }
            None => self.void_all(&mut bytes)?,
        };
        self.file.write_at(self.bad.offset, &bytes)?;
        self.file.sync()?;
        Ok((name, lost))
    }

    fn keep(&self, bytes: &[u8]) -> io::Result<String> {
        let name = format!("events.damaged-{}", self.bad.offset);
        if self.disk.open(&name, false).is_ok() {
            return Err(io::Error::other(format!("{name} is there already; move it away first")));
        }
        let copy = self.disk.create(&name)?;
        copy.write_at(0, bytes)?;
        copy.sync()?;
        self.disk.sync_folder()?;
        Ok(name)
    }

    /// One batch with nothing in it, for a range whose mark is gone.
    fn void_all(&self, bytes: &mut [u8]) -> io::Result<u64> {
        let lost = self.last.checked_sub(self.bad.before).ok_or_else(|| io::Error::other("events go backwards"))?;
        let body_len = bytes.len().checked_sub(MARK_LEN).ok_or_else(|| io::Error::other("the range is too short"))?;
        let mark = Mark {
            before: self.bad.before,
            at: Time(0),
            offset: self.bad.offset,
            synced: self.bad.offset,
            body_len: body_len as u64,
            events: lost,
        };
        bytes[..MARK_LEN].copy_from_slice(&mark.encode(&self.identity));
        if body_len > 0 {
            void(&mut bytes[MARK_LEN..], self.identity.epoch, self.last)?;
        }
        Ok(lost)
    }
}

/// Puts records that say "lost" in place of those of a body that don't check; gives how many events were lost.
fn void_damaged(body: &mut [u8], epoch: Epoch, before: Seq, end: Seq) -> u64 {
    let (mut at, mut last, mut lost) = (0, before, 0);
    while at < body.len() {
        if let Some((len, seq)) = sound(&body[at..], epoch, last, end).filter(|(_, seq)| *seq <= last + 1) {
            (at, last) = (at + len, seq.max(last));
            continue;
        }
        // The next place where a record begins that checks; at least one whole record lies before it.
        let next =
            (at + FIXED_LEN..body.len()).find_map(|place| Some((place, begins(&body[place..], epoch, last, end)?)));
        let (place, up_to) = next.unwrap_or((body.len(), end));
        if void(&mut body[at..place], epoch, up_to).is_err() {
            return lost;
        }
        lost += up_to - last;
        (at, last) = (place, up_to);
    }
    lost
}

/// The length of the record that begins here and its event, if it checks and fits between these events.
fn sound(bytes: &[u8], epoch: Epoch, last: Seq, end: Seq) -> Option<(usize, Seq)> {
    let record = parse(bytes, epoch, Check::Whole)?;
    match record.kind {
        Kind::Event | Kind::Void => (last < record.seq && record.seq <= end).then_some((record.len, record.seq)),
        Kind::Used | Kind::Group => (last <= record.seq && record.seq <= end).then_some((record.len, record.seq)),
        Kind::Kept => Some((record.len, last)),
        Kind::Mark => None,
    }
}

/// The last event before the record that begins here, if it checks and says so.
fn begins(bytes: &[u8], epoch: Epoch, last: Seq, end: Seq) -> Option<Seq> {
    // Nearly all places are turned down by their kind, before a checksum is computed.
    if !matches!(bytes.get(24), Some(1 | 3 | 4)) {
        return None;
    }
    let (_, seq) = sound(bytes, epoch, last, end)?;
    Some(if bytes[24] == Kind::Event as u8 { seq - 1 } else { seq })
}

/// Makes one record that says "lost up to here" of these bytes; what they hold stays as its payload.
fn void(bytes: &mut [u8], epoch: Epoch, up_to: Seq) -> io::Result<()> {
    let mut head = BytesMut::new();
    let fields = Fields {
        seq: up_to,
        at: Time(0),
        kind: Kind::Void,
        sticky: false,
        id: None,
        topic: &[],
        headers: &[],
        payload: &[],
    };
    put(&mut head, epoch, &fields);
    let place = bytes.get_mut(..FIXED_LEN).ok_or_else(|| io::Error::other("the range is too short for a record"))?;
    place.copy_from_slice(&head);
    close(bytes, epoch);
    Ok(())
}
