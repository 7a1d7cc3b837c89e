//! What readers see: everything up to the last sync, and nothing behind it.

use std::collections::VecDeque;

use bytes::Bytes;
use headwater_event::{Epoch, Seq};

use crate::header::Head;
use crate::places::{Place, Places};
use crate::record::{Kind, MARK_LEN, Mark};
use crate::recovery::Recovered;
use crate::scan::records;
use crate::sticky::{Sticky, StickyPlace};

/// How many bytes of the newest batches stay in memory for readers that keep up: at 300 MB/s the last 25 ms, many times
/// what lies between a commit and the readers that it wakes.
pub(crate) const HOT_BYTES_MAX: usize = 8 << 20;

/// A durable batch that is still in memory.
#[derive(Clone)]
pub(crate) struct HotBatch {
    /// Where it stands in the file.
    pub offset: u64,
    /// The last event before it.
    pub before: Seq,
    /// The whole batch with its mark.
    pub bytes: Bytes,
}

/// The durable state of the log, changed by commits alone.
pub(crate) struct View {
    /// The last durable event.
    pub head: Seq,
    /// Where the durable part of the file ends.
    pub end: u64,
    /// Where the last durable batch begins; 0 when there's none.
    pub last_batch: u64,
    /// All events up to and with this one are freed.
    pub freed: Seq,
    /// Where the first batch that is kept begins.
    pub first: u64,
    pub places: Places,
    pub sticky: Sticky,
    hot: VecDeque<HotBatch>,
    hot_bytes: usize,
}

impl View {
    /// The state that was read back from the file.
    pub(crate) fn new(recovered: Recovered, head: Head) -> Self {
        let Recovered { last, end, last_batch, places, sticky, .. } = recovered;
        let (freed, first) = (head.freed, head.first);
        Self { head: last, end, last_batch, freed, first, places, sticky, hot: VecDeque::new(), hot_bytes: 0 }
    }

    /// Takes a batch that has just become durable.
    pub(crate) fn commit(&mut self, mark: &Mark, bytes: Bytes, has_sticky: bool, epoch: Epoch) {
        if has_sticky {
            fold_sticky(&mut self.sticky, mark, &bytes[MARK_LEN..], epoch);
        }
        self.places.add(Place { before: mark.before, offset: mark.offset, at: mark.at });
        self.head = mark.before + mark.events;
        self.end = mark.end();
        self.last_batch = mark.offset;
        self.hot_bytes += bytes.len();
        self.hot.push_back(HotBatch { offset: mark.offset, before: mark.before, bytes });
        // The newest batch stays whatever its size: somebody has just been woken for it.
        while self.hot_bytes > HOT_BYTES_MAX && self.hot.len() > 1 {
            self.hot_bytes -= self.hot.pop_front().map_or(0, |batch| batch.bytes.len());
        }
    }

    /// The batch in memory that holds this place of the file.
    pub(crate) fn hot(&self, offset: u64) -> Option<&HotBatch> {
        let behind = self.hot.partition_point(|batch| batch.offset <= offset);
        let batch = self.hot.get(behind.checked_sub(1)?)?;
        (offset < batch.offset + batch.bytes.len() as u64).then_some(batch)
    }

    /// The batch in memory that holds the event after this one, or begins right behind `after`.
    pub(crate) fn hot_after(&self, after: Seq) -> Option<&HotBatch> {
        let behind = self.hot.partition_point(|batch| batch.before <= after);
        self.hot.get(behind.checked_sub(1)?)
    }
}

/// Takes the sticky events of a batch's records.
pub(crate) fn fold_sticky(sticky: &mut Sticky, mark: &Mark, body: &[u8], epoch: Epoch) {
    for (at, record) in records(body, epoch) {
        let place = StickyPlace { seq: record.seq, offset: mark.offset + (MARK_LEN + at) as u64 };
        match record.kind {
            Kind::Event if record.sticky => sticky.set(record.topic, place, record.payload.is_empty()),
            Kind::Kept => sticky.carry(record.topic, place),
            _ => {}
        }
    }
}
