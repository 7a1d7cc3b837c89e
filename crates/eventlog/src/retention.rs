//! Giving the head of the file back, so that the log keeps to its bounds: in place, and no position ever changes.
//!
//! The order of steps makes each crash harmless: sticky events move forward; two checkpoints come to know what lies before
//! the new head (which producers, which groups); then a note in the first pages moves the head, durably; and only then is
//! the space given back.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use headwater_event::{BusError, Seq, Text};

use crate::core::Core;
use crate::header::{DATA_START, Head, PAGE};
use crate::log::wait_blocking;
use crate::open::LOG_NAME;
use crate::places::Place;
use crate::tail::read_record;

/// What the log keeps at the most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    pub bytes: Option<u64>,
    pub age: Option<Duration>,
}

/// How many sticky events are carried forward with one sync.
const CARRIED_AT_ONCE: usize = 256;

impl Core {
    /// Frees what lies beyond the bounds, on this thread; gives how many bytes that were.
    pub(crate) fn free(self: &Arc<Self>) -> Result<u64, BusError> {
        let _one_at_a_time = self.freeing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = self.new_head() else { return Ok(0) };
        self.carry_sticky(place.offset)?;
        while self.keeper.covered_twice() < place.offset {
            self.checkpoint()?;
        }
        let failed = |error: io::Error| BusError::Storage(format!("the head of the log can't be freed: {error}"));
        let bytes = self.move_head(&place).map_err(failed)?;
        tracing::info!(up_to = place.before, bytes, "retention has freed events");
        Ok(bytes)
    }

    /// Where the log would begin if it kept to its bounds; `None` when it does.
    fn new_head(&self) -> Option<Place> {
        let view = self.view();
        let places = view.places.all();
        let by_bytes = self.bounds.bytes.and_then(|bytes| {
            let from = view.end.saturating_sub(bytes);
            // The last batch stays, whatever its size.
            places.iter().find(|place| place.offset >= from).or(places.last()).copied()
        });
        let by_age = self.bounds.age.and_then(|age| {
            let now = self.clock.now();
            // All before a batch were written before it.
            places.iter().rev().find(|place| now.since(place.at) >= age).copied()
        });
        let place = [by_bytes, by_age].into_iter().flatten().max_by_key(|place| place.offset)?;
        (place.offset > view.first).then_some(place)
    }

    /// Copies the sticky events that stand before this offset to the end of the log.
    fn carry_sticky(self: &Arc<Self>, offset: u64) -> Result<(), BusError> {
        self.intake().touched = Some(HashSet::new());
        let carried = self.carry_untouched(offset);
        self.intake().touched = None;
        carried
    }

    fn carry_untouched(self: &Arc<Self>, offset: u64) -> Result<(), BusError> {
        // What was published before `touched` began is in the view after this; what comes later is in `touched`.
        wait_blocking(self.flush())?;
        let mut after: Option<Text> = None;
        loop {
            let slice = self.view().sticky.slice(after.as_ref(), CARRIED_AT_ONCE);
            let Some((last, _)) = slice.last() else { return Ok(()) };
            after = Some(last.clone());
            let mut carried = Vec::new();
            for (_, place) in slice.iter().filter(|(_, place)| place.offset < offset) {
                carried.extend(read_record(self, place.offset)?.filter(|read| read.position.seq == place.seq));
            }
            if !carried.is_empty() {
                let put = self.put(|intake| carried.iter().try_for_each(|recorded| intake.put_kept(recorded)));
                wait_blocking(put)?;
            }
        }
    }

    fn move_head(&self, place: &Place) -> io::Result<u64> {
        let mut note = self.head_note.lock().unwrap_or_else(PoisonError::into_inner);
        let old = *note;
        let new = Head { generation: old.generation + 1, freed: place.before, first: place.offset };
        let file = self.disk.open(LOG_NAME, true)?;
        let (at, bytes) = new.encode(&self.identity);
        file.write_at(at, &bytes)?;
        file.sync()?;
        *note = new;
        {
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            (view.freed, view.first) = (new.freed, new.first);
            view.places.drop_before(new.first);
        }
        self.tell_freed(new.freed);
        match file.punch(page_of(old.first), page_of(new.first) - page_of(old.first)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::warn!("this file system can't give the space of freed events back");
            }
            other => other?,
        }
        Ok(new.first - old.first)
    }

    fn tell_freed(&self, freed: Seq) {
        self.derived.lock().unwrap_or_else(PoisonError::into_inner).state.freed(freed);
    }

    /// Gives the space before the head back once more: the last time may have been cut short.
    pub(crate) fn punch_freed(&self) {
        let head = *self.head_note.lock().unwrap_or_else(PoisonError::into_inner);
        if head.generation > 0
            && let Ok(file) = self.disk.open(LOG_NAME, true)
            && let Err(error) = file.punch(DATA_START, page_of(head.first) - DATA_START)
        {
            tracing::debug!(%error, "the space of freed events could not be given back");
        }
    }
}

/// The page that this place lies in; the first batch that is kept may begin in its middle.
const fn page_of(offset: u64) -> u64 {
    offset - offset % PAGE as u64
}
