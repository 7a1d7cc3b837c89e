//! All groups of one log: by name and number, folded from the log's records, saved in its checkpoint.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater_event::{GroupName, Recorded, Seq, Start, Tail, Time};
use tokio::sync::Notify;

use super::durable::Durable;
use super::group::Group;
use super::record::{GroupId, GroupRecord, Made};
use super::wire::{Broken, Cut, put_varint};
use crate::derived::{Derived, LoadError};

/// The form of the checkpoint's section of groups.
const SAVED_VERSION: u8 = 1;

/// The most groups of one log: each costs about a KiB of memory and of every checkpoint.
pub(crate) const GROUPS_MAX: usize = 100_000;

/// What the fold and the members share. Locks are taken in this order: registry, then one seat, then the log's own; the
/// log calls `fold` with none of its own held.
#[derive(Default)]
pub(crate) struct Shared {
    registry: Mutex<Registry>,
}

/// Which groups there are.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) names: BTreeMap<GroupName, GroupId>,
    /// By number. One that was ended stays until its record is on disk: until then a crash would bring it back.
    pub(crate) seats: HashMap<GroupId, Arc<Seat>>,
    /// The highest number given so far.
    pub(crate) id_last: GroupId,
    /// Events up to here are freed.
    freed: Seq,
    /// The log is closed.
    pub(crate) closed: bool,
    /// Set when a record could not be understood: where the groups stand is then not known, and must not be guessed.
    pub(crate) unreadable: Option<&'static str>,
}

/// One group with what its members share.
pub(crate) struct Seat {
    table: Mutex<Table>,
    /// There may be something to do: room, a retry, the end.
    pub(crate) changed: Notify,
}

/// A group and what was read ahead for it.
pub(crate) struct Table {
    pub(crate) group: Group,
    /// Wanted events that were read and not handed out yet, in order: the rest of one batch.
    pub(crate) ahead: VecDeque<Recorded>,
    /// Everything up to here was read: it stands in `ahead` or was passed.
    pub(crate) read_to: Seq,
    /// The reader that stands at `read_to`, when nobody is reading with it.
    pub(crate) tail: Option<Box<dyn Tail>>,
}

impl Seat {
    fn new(group: Group) -> Arc<Self> {
        let table = Table { read_to: group.scanned(), group, ahead: VecDeque::new(), tail: None };
        Arc::new(Self { table: Mutex::new(table), changed: Notify::new() })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group is over for its members.
    pub(crate) fn close(&self) {
        let mut table = self.lock();
        table.group.ended = true;
        table.forget_read();
        drop(table);
        self.changed.notify_waiters();
    }
}

impl Table {
    /// Forgets what was read ahead; it's read again.
    pub(crate) fn forget_read(&mut self) {
        self.ahead = VecDeque::new();
        self.tail = None;
        self.read_to = self.group.scanned();
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// The group of this name.
    pub(crate) fn seat(&self, name: &GroupName) -> Option<Arc<Seat>> {
        self.names.get(name).and_then(|id| self.seats.get(id)).cloned()
    }

    fn make(&mut self, made: Made, seq: Seq) {
        self.id_last = self.id_last.max(made.id);
        // Two that met while joining have both asked for it; the first one made it.
        if self.names.contains_key(&made.name) {
            return;
        }
        let after = match made.options.start {
            Start::Now => seq,
            Start::Oldest => self.freed,
            Start::After(after) => after.max(self.freed),
        };
        self.insert(Group::new(made, after));
    }

    fn insert(&mut self, group: Group) {
        self.names.insert(group.name.clone(), group.id);
        self.seats.insert(group.id, Seat::new(group));
    }

    fn end(&mut self, id: GroupId) {
        let Some(seat) = self.seats.remove(&id) else { return };
        let name = seat.lock().group.name.clone();
        // While the program runs the name was freed, and the members were told, when the end was asked for.
        if self.names.get(&name) == Some(&id) {
            self.names.remove(&name);
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        out.push(SAVED_VERSION);
        put_varint(out, self.id_last);
        put_varint(out, self.seats.len() as u64);
        for seat in self.seats.values() {
            let table = seat.lock();
            let group = &table.group;
            Made { id: group.id, name: group.name.clone(), options: group.options.clone() }.put(out);
            group.durable.save(&group.passed(), out);
        }
    }

    fn load(saved: &[u8]) -> Result<Self, Broken> {
        let mut cut = Cut::new(saved);
        if cut.byte()? != SAVED_VERSION {
            return Err(Broken("groups saved by another version"));
        }
        let mut registry = Self { id_last: cut.varint()?, ..Self::default() };
        for _ in 0..cut.count(usize::MAX)? {
            let made = Made::cut(&mut cut)?;
            let durable = Durable::load(&mut cut)?;
            registry.insert(Group::with(made, durable));
        }
        cut.end()?;
        Ok(registry)
    }
}

/// The log's end of the groups.
pub(crate) struct Fold(pub(crate) Arc<Shared>);

impl Derived for Fold {
    fn fold(&mut self, record: &[u8], seq: Seq, _at: Time) {
        let mut registry = self.0.lock();
        let record = match GroupRecord::decode(record) {
            Ok(record) => record,
            Err(Broken(what)) => {
                tracing::error!(after = seq, what, "a group record can't be read: no group is served");
                registry.unreadable = Some(what);
                return;
            }
        };
        let seat = match &record {
            GroupRecord::Made(_) | GroupRecord::Ended(_) => None,
            GroupRecord::Settled(settled) => registry.seats.get(&settled.id).cloned(),
            GroupRecord::Revived(revived) => registry.seats.get(&revived.id).cloned(),
        };
        match record {
            GroupRecord::Made(made) => registry.make(made, seq),
            GroupRecord::Ended(id) => registry.end(id),
            GroupRecord::Settled(settled) => seat.iter().for_each(|seat| seat.lock().group.fold(&settled)),
            GroupRecord::Revived(revived) => seat.iter().for_each(|seat| seat.lock().group.fold_revived(&revived)),
        }
        drop(registry);
        // There's room again, or something to try again.
        if let Some(seat) = seat {
            seat.changed.notify_waiters();
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        self.0.lock().save(out);
    }

    fn load(&mut self, saved: &[u8]) -> Result<(), LoadError> {
        *self.0.lock() = Registry::load(saved).map_err(|_| LoadError)?;
        Ok(())
    }

    fn freed(&mut self, up_to: Seq) {
        let mut registry = self.0.lock();
        registry.freed = registry.freed.max(up_to);
        for seat in registry.seats.values() {
            let mut table = seat.lock();
            table.group.freed(up_to);
            // A reader that stands before what is left is of no use; what was read ahead beyond it is.
            if table.read_to < up_to {
                table.forget_read();
            }
            drop(table);
            seat.changed.notify_waiters();
        }
    }
}
