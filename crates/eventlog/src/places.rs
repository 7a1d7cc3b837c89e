//! Where in the file a sequence number stands: one place every 128 KiB, which a reader goes on from.

use headwater_event::{Seq, Time};

/// How many bytes lie between two places at least. A reader that begins anywhere reads half of it in vain on average,
/// some 20 us; 24 bytes each make 192 KiB a GiB of log.
pub(crate) const STRIDE: u64 = 128 << 10;

/// The beginning of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The last event before it.
    pub before: Seq,
    /// Where its mark stands.
    pub offset: u64,
    /// When it was written.
    pub at: Time,
}

/// Some beginnings of batches, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Vec<Place>);

impl Places {
    /// Takes the beginning of a batch, if it lies far enough behind the last.
    pub(crate) fn add(&mut self, place: Place) {
        if self.0.last().is_none_or(|last| place.offset >= last.offset.saturating_add(STRIDE)) {
            self.0.push(place);
        }
    }

    /// The last known beginning from where one comes to the event after `seq`.
    pub(crate) fn find(&self, after: Seq) -> Option<Place> {
        let behind = self.0.partition_point(|place| place.before <= after);
        behind.checked_sub(1).map(|at| self.0[at])
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Place] {
        &self.0
    }

    /// Forgets what lies before this offset.
    pub(crate) fn drop_before(&mut self, offset: u64) {
        let gone = self.0.partition_point(|place| place.offset < offset);
        self.0.drain(..gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_begins_at_or_before_what_it_wants() {
        let mut places = Places::default();
        for number in 0..100 {
            places.add(Place { before: number * 10, offset: 16_384 + number * (STRIDE / 2), at: Time(0) });
        }
        assert_eq!(places.all().len(), 50);
        assert_eq!(places.find(0).unwrap().before, 0);
        assert_eq!(places.find(19).unwrap().before, 0);
        assert_eq!(places.find(20).unwrap().before, 20);
        assert_eq!(places.find(5_000).unwrap().before, 980);
        places.drop_before(16_384 + STRIDE);
        assert_eq!(places.find(19), None);
        assert_eq!(places.find(20).unwrap().before, 20);
    }
}
