//! The window of recent event ids: whether an event is a resend, and where its original stands.
//!
//! Entries leave in the order in which they came, so they lie in a ring of 24 bytes each; a table of 32-bit places finds
//! them by hash. With the default window of 1,000,000 ids that is 24 MB and 8 MiB.

use std::collections::VecDeque;
use std::hash::Hasher;
use std::time::Duration;

use headwater_event::{EventId, Seq, Time};
use siphasher::sip128::{Hasher128, SipHasher13};

/// A 128-bit hash of an id under the log's own key: nobody outside can choose two ids that collide, and by chance two
/// among a billion do with a probability of 1 to 10^20.
pub(crate) type IdHash = [u64; 2];

/// Entries that are allocated, copied for the checkpoint and freed together: 96 KiB, copied in some 10 us.
pub(crate) const CHUNK: usize = 4_096;

/// The table never starts larger than what the default window needs; it's zeroed memory, which costs nothing until used.
const TABLE_START_MAX: usize = 1 << 21;

/// How exactly the age of entries is known.
const AGE_STEP: Duration = Duration::from_secs(60);

const EMPTY: u32 = 0;

/// An id that was stored, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub hash: IdHash,
    pub seq: Seq,
}

/// The window.
pub(crate) struct Ids {
    hasher: SipHasher13,
    count_max: usize,
    age_max: Duration,
    /// Places are counted from 1 for ever; those from `first` to before `next` are in the window.
    first: u64,
    next: u64,
    /// The chunk of place `p` is number `p / CHUNK - chunk_first`.
    chunks: VecDeque<Vec<Entry>>,
    chunk_first: u64,
    /// Low 32 bits of places, found by hash with linear probing. Empty while the log is being read back: then entries
    /// are only lined up, as most of a long log's ids have left the window before its end is reached.
    table: Vec<u32>,
    /// From which place on entries are not older than this moment, about one a minute.
    moments: VecDeque<(Time, u64)>,
}

impl Ids {
    /// An empty window, for reading a log back; [`Ids::build`] makes it findable.
    pub(crate) fn new(key: &[u8; 16], count_max: usize, age_max: Duration) -> Self {
        Self {
            hasher: SipHasher13::new_with_key(key),
            // Places must be told apart by 32 bits with room for one append beyond the window.
            count_max: count_max.min(1 << 30),
            age_max,
            first: 1,
            next: 1,
            chunks: VecDeque::new(),
            chunk_first: 0,
            table: Vec::new(),
            moments: VecDeque::new(),
        }
    }

    /// An empty window of the same kind.
    pub(crate) fn emptied(&self) -> Self {
        Self {
            chunks: VecDeque::new(),
            table: Vec::new(),
            moments: VecDeque::new(),
            first: 1,
            next: 1,
            chunk_first: 0,
            ..*self
        }
    }

    /// The hash of an id.
    pub(crate) fn hash(&self, id: &EventId) -> IdHash {
        match id {
            EventId::Uuid(uuid) => self.hash_stored(1, uuid.as_bytes()),
            EventId::Text(text) => self.hash_stored(3, text.as_bytes()),
            // These are recognised by their number, or never need to be.
            EventId::Numbered { .. } | EventId::Own(_) => [0, 0],
        }
    }

    /// The hash of an id as a record holds it.
    pub(crate) fn hash_stored(&self, kind: u8, id: &[u8]) -> IdHash {
        let mut hasher = self.hasher;
        hasher.write(&[kind]);
        hasher.write(id);
        let hash = hasher.finish128();
        [hash.h1, hash.h2]
    }

    /// Where the original of this id stands.
    pub(crate) fn find(&self, hash: IdHash) -> Option<Seq> {
        let at = self.slot_of(hash)?;
        Some(self.entry(self.place(self.table[at])).seq)
    }

    /// Adds an id that is not in the window.
    pub(crate) fn add(&mut self, hash: IdHash, seq: Seq, now: Time) {
        if self.count_max == 0 {
            return;
        }
        self.push(Entry { hash, seq }, now);
        if self.table.len() < 2 * self.len() {
            self.build();
        } else {
            self.link(self.next - 1);
        }
    }

    /// Lines up an id while a log is read back.
    pub(crate) fn line_up(&mut self, hash: IdHash, seq: Seq, at: Time) {
        if self.count_max > 0 {
            self.push(Entry { hash, seq }, at);
            self.trim(at);
        }
    }

    /// Makes all entries findable.
    pub(crate) fn build(&mut self) {
        let least = (2 * self.count_max).min(TABLE_START_MAX).max(2 * (self.len() + 1)).next_power_of_two();
        self.table = vec![EMPTY; least];
        for place in self.first..self.next {
            self.link(place);
        }
    }

    /// Lets what is beyond the window go. Called after an append, so that a refused one can be taken back.
    pub(crate) fn trim(&mut self, now: Time) {
        while self.len() > self.count_max {
            self.pop();
        }
        let Some(oldest) = now.as_micros().checked_sub(u64::try_from(self.age_max.as_micros()).unwrap_or(u64::MAX))
        else {
            return;
        };
        // An entry is as old as the moment before it at the most, so it may go once the moment after it is too old.
        while self.moments.get(1).is_some_and(|(at, _)| at.as_micros() < oldest) {
            self.moments.pop_front();
            let keep = self.moments[0].1;
            while self.first < keep.min(self.next) {
                self.pop();
            }
        }
    }

    /// The place that the next entry gets; what [`Ids::take_back`] goes back to.
    pub(crate) const fn mark(&self) -> u64 {
        self.next
    }

    /// Removes all entries from this place on.
    pub(crate) fn take_back(&mut self, mark: u64) {
        while self.next > mark.max(self.first) {
            self.unlink(self.next - 1);
            self.next -= 1;
            self.chunk_mut(self.next).pop();
        }
        while self.moments.back().is_some_and(|(_, place)| *place >= self.next) {
            self.moments.pop_back();
        }
    }

    /// How many ids are in the window.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.next - self.first).unwrap_or(usize::MAX)
    }

    /// The entries from this place on, at most one chunk, and the place after them; `None` at the end.
    pub(crate) fn slice(&self, from: u64) -> Option<(&[Entry], u64)> {
        let from = from.max(self.first);
        if from >= self.next {
            return None;
        }
        let chunk = &self.chunks[self.chunk_number(from)];
        let entries = &chunk[usize::try_from(from % CHUNK as u64).unwrap_or(0)..];
        Some((entries, from + entries.len() as u64))
    }

    /// The moments of entries, for the checkpoint: how old is what has this sequence number or a higher one.
    pub(crate) fn moments(&self) -> Vec<(Time, Seq)> {
        let known = self.moments.iter().filter(|(_, place)| *place < self.next);
        known.map(|(at, place)| (*at, self.entry((*place).max(self.first)).seq)).collect()
    }

    fn push(&mut self, entry: Entry, at: Time) {
        // The number 0 means "no place" in the table, so the one place in 2^32 that has it stays unused.
        if self.next as u32 == EMPTY {
            self.store(Entry { hash: [0, 0], seq: 0 });
        }
        if self.moments.back().is_none_or(|(last, _)| at.since(*last) >= AGE_STEP) {
            self.moments.push_back((at, self.next));
        }
        self.store(entry);
    }

    fn store(&mut self, entry: Entry) {
        if self.chunks.is_empty() {
            self.chunk_first = self.next / CHUNK as u64;
            let mut chunk = Vec::with_capacity(CHUNK);
            // Places begin anywhere in a chunk only once, at 1.
            chunk.resize(usize::try_from(self.next % CHUNK as u64).unwrap_or(0), Entry { hash: [0, 0], seq: 0 });
            self.chunks.push_back(chunk);
        }
        if self.chunk_number(self.next) == self.chunks.len() {
            self.chunks.push_back(Vec::with_capacity(CHUNK));
        }
        self.chunk_mut(self.next).push(entry);
        self.next += 1;
    }

    fn pop(&mut self) {
        self.unlink(self.first);
        self.first += 1;
        while self.chunk_first < self.first / CHUNK as u64 && !self.chunks.is_empty() {
            self.chunks.pop_front();
            self.chunk_first += 1;
        }
    }

    fn chunk_number(&self, place: u64) -> usize {
        usize::try_from(place / CHUNK as u64 - self.chunk_first).unwrap_or(usize::MAX)
    }

    fn chunk_mut(&mut self, place: u64) -> &mut Vec<Entry> {
        let number = self.chunk_number(place);
        &mut self.chunks[number]
    }

    fn entry(&self, place: u64) -> &Entry {
        &self.chunks[self.chunk_number(place)][usize::try_from(place % CHUNK as u64).unwrap_or(0)]
    }

    /// The whole place of its low 32 bits.
    const fn place(&self, low: u32) -> u64 {
        self.first + low.wrapping_sub(self.first as u32) as u64
    }

    const fn home(&self, hash: IdHash) -> usize {
        hash[0] as usize & (self.table.len() - 1)
    }

    fn slot_of(&self, hash: IdHash) -> Option<usize> {
        if self.table.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        // Ends at an empty slot: the table is never more than half full.
        while self.table[at] != EMPTY {
            if self.entry(self.place(self.table[at])).hash == hash {
                return Some(at);
            }
            at = (at + 1) & (self.table.len() - 1);
        }
        None
    }

    /// Makes the entry at a place findable; a newer one of the same id takes the older one's slot.
    fn link(&mut self, place: u64) {
        let low = place as u32;
        if low == EMPTY {
            return;
        }
        let hash = self.entry(place).hash;
        let mut at = self.home(hash);
        while self.table[at] != EMPTY && self.entry(self.place(self.table[at])).hash != hash {
            at = (at + 1) & (self.table.len() - 1);
        }
        self.table[at] = low;
    }

    /// Forgets the slot of a place, and moves up what was pushed aside by it.
    fn unlink(&mut self, place: u64) {
        if self.table.is_empty() || place as u32 == EMPTY {
            return;
        }
        let mask = self.table.len() - 1;
        let mut at = self.home(self.entry(place).hash);
        while self.table[at] != place as u32 {
            if self.table[at] == EMPTY {
                return; // A newer entry of the same id has its slot.
            }
            at = (at + 1) & mask;
        }
        let mut hole = at;
        loop {
            at = (at + 1) & mask;
            if self.table[at] == EMPTY {
                break;
            }
            let home = self.home(self.entry(self.place(self.table[at])).hash);
            // May it move into the hole? Only when its home doesn't lie between the hole and where it is.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.table[hole] = self.table[at];
                hole = at;
            }
        }
        self.table[hole] = EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn window(count: usize) -> Ids {
        let mut ids = Ids::new(&[7; 16], count, DAY);
        ids.build();
        ids
    }

    fn hash(ids: &Ids, number: u64) -> IdHash {
        ids.hash_stored(3, &number.to_be_bytes())
    }

    #[test]
    fn the_window_forgets_the_oldest_first() {
        let mut ids = window(10_000);
        for number in 0..25_000 {
            let hash = hash(&ids, number);
            assert_eq!(ids.find(hash), None);
            ids.add(hash, number + 1, Time(0));
            ids.trim(Time(0));
        }
        for number in 0..25_000 {
            let expected = (number >= 15_000).then_some(number + 1);
            assert_eq!(ids.find(hash(&ids, number)), expected, "{number}");
        }
    }

    #[test]
    fn an_id_older_than_the_age_is_forgotten_within_a_minute() {
        let mut ids = window(1_000);
        let minute = 60_000_000;
        for number in 0..100 {
            ids.add(hash(&ids, number), number + 1, Time(number * minute));
        }
        let now = Time(DAY.as_secs() * 1_000_000 + 50 * minute + 1);
        ids.trim(now);
        assert_eq!(ids.find(hash(&ids, 40)), None);
        assert_eq!(ids.find(hash(&ids, 52)), Some(53));
    }

    #[test]
    fn a_window_of_nothing_remembers_nothing() {
        let mut ids = window(0);
        ids.add(hash(&ids, 1), 1, Time(0));
        ids.trim(Time(0));
        assert_eq!(ids.find(hash(&ids, 1)), None);
    }

    #[test]
    fn places_pass_the_end_of_32_bits() {
        let mut ids = window(100);
        ids.first = u64::from(u32::MAX) - 50;
        ids.next = ids.first;
        for number in 0..200 {
            ids.add(hash(&ids, number), number + 1, Time(0));
            ids.trim(Time(0));
        }
        for number in 110..200 {
            assert_eq!(ids.find(hash(&ids, number)), Some(number + 1), "{number}");
        }
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_map(steps in proptest::collection::vec((0_u64..60, 0_u8..10), 1..400)) {
            let mut ids = window(32);
            // All ids share few homes in a tiny table, so that entries are pushed aside often.
            ids.table = vec![EMPTY; 128];
            let (mut model, mut order, mut seq) = (HashMap::new(), VecDeque::new(), 0);
            for (number, what) in steps {
                let hash = [number % 5, number];
                prop_assert_eq!(ids.find(hash), model.get(&number).copied());
                if model.contains_key(&number) {
                    continue;
                }
                seq += 1;
                let mark = ids.mark();
                ids.add(hash, seq, Time(0));
                if what == 0 {
                    ids.take_back(mark);
                    continue;
                }
                model.insert(number, seq);
                order.push_back(number);
                if order.len() > 32 {
                    model.remove(&order.pop_front().unwrap());
                }
                ids.trim(Time(0));
            }
        }
    }
}
