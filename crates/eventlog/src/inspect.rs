//! Reading a log without opening it: beside a running server, or after one; nothing is changed, and nothing is shown that
//! isn't durable.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use headwater_event::json::write_time;
use headwater_event::{BusError, Epoch, Recorded, Seq, Time};

use crate::beside::{LOCK_NAME, told};
use crate::disk::{Disk, DiskFile, RealDisk};
use crate::header::{Head, Identity, VERSION};
use crate::open::{LOG_NAME, read_header, trying};
use crate::options::{Damage, OpenError};
use crate::record::{Kind, MARK_LEN};
use crate::recovery::damage_of;
use crate::scan::{Scan, Step, records};
use crate::{checkpoint, places::Place};

/// A log that is only read.
pub struct LogReader {
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    identity: Identity,
    head: Head,
    scan: Scan,
    /// The last event that was given or passed over.
    after: Seq,
}

/// What a log says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStat {
    /// Which log this is.
    pub epoch: Epoch,
    /// The version of its format.
    pub version: u32,
    /// When it was made.
    pub created: Time,
    /// Whether a server has it open.
    pub running: bool,
    /// All events up to and with this one are freed by retention; 0 while nothing was.
    pub freed: Seq,
    /// The last durable event.
    pub head: Seq,
    /// Bytes of the file that hold batches.
    pub bytes: u64,
    /// Bytes of the file in all, with the zeros ahead.
    pub file_bytes: u64,
    /// Up to where a checkpoint covers the log; `None` when there's none that can be used.
    pub checkpoint: Option<u64>,
}

impl LogReader {
    /// Opens the log in a folder for reading.
    ///
    /// # Errors
    /// When there is none, or its first pages can't be read.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(RealDisk::existing(folder)))
    }

    /// The same on any disk.
    ///
    /// # Errors
    /// As [`LogReader::open`].
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let file = match disk.open(LOG_NAME, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::Missing { folder: disk.folder() });
            }
            other => trying(&*disk, "open the log", other)?,
        };
        let (identity, head) = read_header(&*disk, &*file)?;
        let scan = trying(&*disk, "read the log", Scan::new(file.clone(), identity, head.first, head.freed))?;
        Ok(Self { disk, file, identity, head, scan, after: head.freed })
    }

    /// Which log this is.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.identity.epoch
    }

    /// The earliest event that one can begin after.
    #[must_use]
    pub const fn oldest(&self) -> Seq {
        self.head.freed
    }

    /// Begins anew after this event.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn seek(&mut self, after: Seq) -> Result<(), OpenError> {
        let place = self.place_before(after).unwrap_or(Place {
            before: self.head.freed,
            offset: self.head.first,
            at: self.identity.created,
        });
        let scan = Scan::new(self.file.clone(), self.identity, place.offset, place.before);
        self.scan = trying(&*self.disk, "read the log", scan)?;
        self.after = after.max(self.head.freed);
        Ok(())
    }

    /// The events of the next batch that has some; `None` at the durable end, which may have moved at the next call.
    ///
    /// # Errors
    /// `Damaged` where bytes that were durable don't check; `Gone` when retention overtook this reader.
    pub fn next_batch(&mut self) -> Result<Option<Vec<Recorded>>, BusError> {
        loop {
            let Some(limit) = self.limit().map_err(|error| storage(&error))? else { return Ok(None) };
            self.scan.look_again(limit);
            if self.scan.offset() >= limit {
                return Ok(None);
            }
            if self.scan.batch().map_err(|error| storage(&error))?.is_none() {
                return self.stopped();
            }
            let body = Bytes::copy_from_slice(self.scan.body());
            let mut events = Vec::new();
            for (_, record) in records(&body, self.identity.epoch) {
                if record.kind == Kind::Event && record.seq > self.after {
                    events.push(record.recorded(self.identity.epoch, &body).ok_or_else(|| {
                        BusError::Damaged(format!(
                            "event {} is not one that this program could have stored",
                            record.seq
                        ))
                    })?);
                }
            }
            self.after = self.after.max(self.scan.before());
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
    }

    /// What the log says of itself. Reads what came since the last checkpoint, when no server runs.
    ///
    /// # Errors
    /// When the file can't be read, or is damaged there.
    pub fn stat(&self) -> Result<LogStat, OpenError> {
        let disk = &*self.disk;
        let covers = checkpoint::NAMES.iter().find_map(|name| checkpoint::covers(disk, name, &self.identity));
        let covers = covers.map(|(_, covers)| covers).filter(|covers| covers.offset >= self.head.first);
        let running = trying(disk, "look at the lock", self.running())?;
        let durable = running.as_ref().and_then(|lock| told(&**lock, &self.identity));
        let (end, head) = match durable {
            Some(durable) => durable,
            None => {
                let (offset, before) =
                    covers.map_or((self.head.first, self.head.freed), |covers| (covers.offset, covers.before));
                let scan = Scan::new(self.file.clone(), self.identity, offset, before);
                let mut scan = trying(disk, "read the log", scan)?;
                while trying(disk, "read the log", scan.batch())?.is_some() {}
                (scan.offset(), scan.before())
            }
        };
        Ok(LogStat {
            epoch: self.identity.epoch,
            version: VERSION,
            created: self.identity.created,
            running: running.is_some(),
            freed: self.head.freed,
            head,
            bytes: end.saturating_sub(self.head.first),
            file_bytes: trying(disk, "measure the log", self.file.size())?,
            checkpoint: covers.map(|covers| covers.offset),
        })
    }

    /// Checks every byte that holds something, and says what was found. `progress` gets bytes done and in all.
    ///
    /// # Errors
    /// When the file can't be read; damage is no error here, but a part of the report.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Report, OpenError> {
        let disk = &*self.disk;
        let covers = checkpoint::NAMES.iter().filter_map(|name| checkpoint::covers(disk, name, &self.identity));
        let synced = covers.map(|(_, covers)| covers.offset).max().unwrap_or(0);
        let limit = trying(disk, "look at the lock", self.limit())?.unwrap_or(self.head.first);
        let scan = Scan::new(self.file.clone(), self.identity, self.head.first, self.head.freed);
        let mut scan = trying(disk, "read the log", scan)?;
        scan.look_again(limit);
        let mut report = Report::new(self.identity.epoch, self.head.freed);
        loop {
            match trying(disk, "read the log", scan.step())? {
                Step::Batch(mark) => {
                    report.batches += 1;
                    for (_, record) in records(scan.body(), self.identity.epoch) {
                        report.count(record.kind);
                    }
                    report.bytes += MARK_LEN as u64 + mark.body_len;
                    progress(scan.offset().saturating_sub(self.head.first), limit.saturating_sub(self.head.first));
                }
                Step::Bad(bad) => {
                    let damage = damage_of(&bad, synced, &disk.folder());
                    report.torn_bytes = bad.leftover_end.filter(|_| damage.is_none()).map_or(0, |end| end - bad.offset);
                    report.damage.extend(damage);
                    match (bad.next, bad.outgrown) {
                        (Some(mark), _) => scan.go_on(mark.offset, mark.before),
                        (None, Some(own)) => scan.go_on(own.end(), own.before + own.events),
                        (None, None) => break,
                    }
                }
            }
        }
        report.last = scan.before();
        // A file may be cut before its first batch.
        let all = limit.saturating_sub(self.head.first);
        progress(all, all);
        Ok(report)
    }

    /// Up to where the file may be shown: what the server that has it open says, or all of it when none has. `None`
    /// while a server is just starting.
    fn limit(&self) -> io::Result<Option<u64>> {
        match self.running()? {
            Some(lock) => Ok(told(&*lock, &self.identity).map(|(end, _)| end)),
            None => {
                // What a killed server left may be in the system's memory alone; what is shown must be on the disk.
                self.file.sync()?;
                self.file.size().map(Some)
            }
        }
    }

    /// The lock's file, while a server holds it.
    fn running(&self) -> io::Result<Option<Arc<dyn DiskFile>>> {
        if self.disk.is_locked(LOCK_NAME)? {
            return self.disk.open(LOCK_NAME, false).map(Some);
        }
        Ok(None)
    }

    /// Why no batch could be read before the limit.
    fn stopped(&self) -> Result<Option<Vec<Recorded>>, BusError> {
        let (_, head) = read_header(&*self.disk, &*self.file).map_err(|error| BusError::Damaged(error.to_string()))?;
        if head.first > self.scan.offset() {
            return Err(BusError::Gone { oldest: headwater_event::Position::new(self.identity.epoch, head.freed) });
        }
        let running = self.running().map_err(|error| storage(&error))?.is_some();
        let mut scan = Scan::new(self.file.clone(), self.identity, self.scan.offset(), self.scan.before())
            .map_err(|error| storage(&error))?;
        match scan.step().map_err(|error| storage(&error))? {
            // The server that had not written this yet was killed and started meanwhile.
            Step::Batch(_) => Ok(None),
            Step::Bad(bad) if bad.next.is_none() && !running => Ok(None),
            Step::Bad(bad) => {
                Err(BusError::Damaged(format!("bytes from {} on don't check, after event {}", bad.offset, bad.before)))
            }
        }
    }

    fn place_before(&self, after: Seq) -> Option<Place> {
        let (file, covers) =
            checkpoint::NAMES.iter().find_map(|name| checkpoint::covers(&*self.disk, name, &self.identity))?;
        let places = checkpoint::load_places(file)?;
        let place = places.find(after)?;
        (place.offset >= self.head.first && place.offset < covers.offset).then_some(place)
    }
}

fn storage(error: &io::Error) -> BusError {
    BusError::Storage(format!("the log can't be read: {error}"))
}

/// What a check of every byte found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which log this is.
    pub epoch: Epoch,
    /// All events up to and with this one are freed by retention.
    pub freed: Seq,
    /// The last event that could be read.
    pub last: Seq,
    /// Batches that check.
    pub batches: u64,
    /// Records of all kinds in them.
    pub records: u64,
    /// Events among these.
    pub events: u64,
    /// Records of groups among these.
    pub group_records: u64,
    /// Ranges that a repair has taken out before.
    pub repaired: u64,
    /// Bytes that hold batches that check.
    pub bytes: u64,
    /// Bytes of a batch that was being written when the server was killed; never acknowledged, and cut at the next start.
    pub torn_bytes: u64,
    /// Bytes that were durable and don't check.
    pub damage: Vec<Damage>,
}

impl Report {
    const fn new(epoch: Epoch, freed: Seq) -> Self {
        Self {
            epoch,
            freed,
            last: freed,
            batches: 0,
            records: 0,
            events: 0,
            group_records: 0,
            repaired: 0,
            bytes: 0,
            torn_bytes: 0,
            damage: Vec::new(),
        }
    }

    const fn count(&mut self, kind: Kind) {
        self.records += 1;
        match kind {
            Kind::Event => self.events += 1,
            Kind::Group => self.group_records += 1,
            Kind::Void => self.repaired += 1,
            Kind::Mark | Kind::Used | Kind::Kept => {}
        }
    }

    /// Whether all that was durable can be read.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    /// The report as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = format!(
            "{{\"sound\":{},\"epoch\":{},\"freed\":{},\"last\":{},\"batches\":{},\"records\":{},\"events\":{},\
             \"group_records\":{},\"repaired\":{},\"bytes\":{},\"torn_bytes\":{},\"damage\":[",
            self.is_sound(),
            self.epoch,
            self.freed,
            self.last,
            self.batches,
            self.records,
            self.events,
            self.group_records,
            self.repaired,
            self.bytes,
            self.torn_bytes
        );
        for (at, damage) in self.damage.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let after = damage.after.map_or("null".into(), |after| after.to_string());
            out.push_str(&format!(
                "{comma}{{\"offset\":{},\"until\":{},\"before\":{},\"after\":{after}}}",
                damage.offset, damage.until, damage.before
            ));
        }
        out.push_str("]}");
        out
    }
}

impl LogStat {
    /// The same as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut created = vec![b'"'];
        write_time(self.created, &mut created);
        created.push(b'"');
        format!(
            "{{\"epoch\":{},\"version\":{},\"created\":{},\"running\":{},\"freed\":{},\"head\":{},\"bytes\":{},\
             \"file_bytes\":{},\"checkpoint\":{}}}",
            self.epoch,
            self.version,
            String::from_utf8_lossy(&created),
            self.running,
            self.freed,
            self.head,
            self.bytes,
            self.file_bytes,
            self.checkpoint.map_or("null".into(), |offset| offset.to_string())
        )
    }
}
