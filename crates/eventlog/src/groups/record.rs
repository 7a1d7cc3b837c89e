//! What groups write into the log: the records' binary form, as docs/file-format.md section "Group records" lays it down.

use std::time::Duration;

use headwater_event::{Backoff, Filter, GroupName, GroupOptions, Seq, Start, Text, Time};

use super::wire::{Broken, Cut, put_text, put_varint};

/// The number of a group within its log; never used again, so that what was still under way for an ended group can't
/// reach a new one of the same name.
pub(crate) type GroupId = u64;

/// The form of records described here; a reader that meets a higher one must not guess.
const VERSION: u8 = 1;

/// The longest reason that is kept, in bytes: a sentence and the head of a stack; longer ones are cut.
pub(crate) const WHY_LEN_MAX: usize = 512;

/// The most filters of one group: with 1,024 bytes each it still fits a record of 1 MiB.
pub(crate) const FILTERS_MAX: usize = 1_000;

/// One change of what the log knows about groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupRecord {
    /// A group begins to exist.
    Made(Made),
    /// Deliveries were settled.
    Settled(Settled),
    /// A group is forgotten.
    Ended(GroupId),
    /// Dead letters were taken out.
    Revived(Revived),
}

/// A new group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) id: GroupId,
    pub(crate) name: GroupName,
    pub(crate) options: GroupOptions,
}

/// What became of some deliveries of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) id: GroupId,
    /// Events that never come again, as ranges with both ends inside, ascending; what the group doesn't want or has
    /// settled before may lie within.
    pub(crate) done: Vec<(Seq, Seq)>,
    /// Events that come again.
    pub(crate) retries: Vec<Retry>,
    /// Events that were given up; they never come again by themselves.
    pub(crate) dead: Vec<Dead>,
}

/// An event that waits for its next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) seq: Seq,
    /// Attempts made so far.
    pub(crate) made: u32,
    pub(crate) due: Time,
}

/// An event that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) seq: Seq,
    pub(crate) attempts: u32,
    pub(crate) at: Time,
    pub(crate) why: String,
}

/// Dead letters that were taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revived {
    pub(crate) id: GroupId,
    /// Whether they are tried anew, from attempt 1.
    pub(crate) again: bool,
    /// Ascending.
    pub(crate) seqs: Vec<Seq>,
}

impl GroupRecord {
    /// The bytes that go into the log.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Made(made) => {
                out.push(1);
                made.put(&mut out);
            }
            Self::Settled(settled) => {
                out.push(2);
                settled.put(&mut out);
            }
            Self::Ended(id) => {
                out.push(3);
                put_varint(&mut out, *id);
            }
            Self::Revived(revived) => {
                out.push(4);
                revived.put(&mut out);
            }
        }
        out
    }

    /// Reads a record back; every byte must have a meaning.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Broken> {
        let mut cut = Cut::new(bytes);
        if cut.byte()? != VERSION {
            return Err(Broken("a group record of a version that this program doesn't know"));
        }
        let record = match cut.byte()? {
            1 => Self::Made(Made::cut(&mut cut)?),
            2 => Self::Settled(Settled::cut(&mut cut)?),
            3 => Self::Ended(cut.varint()?),
            4 => Self::Revived(Revived::cut(&mut cut)?),
            _ => return Err(Broken("a group record of an unknown kind")),
        };
        cut.end()?;
        Ok(record)
    }
}

impl Made {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.id);
        put_text(out, self.name.as_str());
        match self.options.start {
            Start::Now => out.push(0),
            Start::Oldest => out.push(1),
            Start::After(seq) => {
                out.push(2);
                put_varint(out, seq);
            }
        }
        put_varint(out, self.options.in_flight_max as u64);
        put_varint(out, micros(self.options.lease));
        put_varint(out, u64::from(self.options.attempts_max));
        put_varint(out, micros(self.options.backoff.base));
        put_varint(out, micros(self.options.backoff.cap));
        put_varint(out, self.options.filters.len() as u64);
        for filter in &self.options.filters {
            put_text(out, filter.as_str());
        }
    }

    pub(crate) fn cut(cut: &mut Cut<'_>) -> Result<Self, Broken> {
        let id = cut.varint()?;
        let name = GroupName::new(Text::from(cut.text(GroupName::LEN_MAX)?)).map_err(|_| Broken("a group's name"))?;
        let start = match cut.byte()? {
            0 => Start::Now,
            1 => Start::Oldest,
            2 => Start::After(cut.varint()?),
            _ => return Err(Broken("a group's start")),
        };
        let in_flight_max = usize::try_from(cut.varint()?).unwrap_or(usize::MAX);
        let lease = Duration::from_micros(cut.varint()?);
        let attempts_max = cut.varint_u32()?;
        let backoff = Backoff { base: Duration::from_micros(cut.varint()?), cap: Duration::from_micros(cut.varint()?) };
        let filters = (0..cut.count(FILTERS_MAX)?).map(|_| {
            let text = cut.text(headwater_event::topic::TOPIC_LEN_MAX)?;
            Filter::new(text).map_err(|_| Broken("a group's filter"))
        });
        let filters = filters.collect::<Result<_, _>>()?;
        Ok(Self {
            id,
            name,
            options: GroupOptions { filters, start, in_flight_max, lease, attempts_max, backoff, alone: false },
        })
    }
}

impl Settled {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.id);
        put_varint(out, self.done.len() as u64);
        let mut before = 0;
        for (first, last) in &self.done {
            // Ascending, so that a distance of two bytes stands for a number of five.
            put_varint(out, first - before);
            put_varint(out, last - first);
            before = *last;
        }
        put_varint(out, self.retries.len() as u64);
        for retry in &self.retries {
            retry.put(out);
        }
        put_varint(out, self.dead.len() as u64);
        for dead in &self.dead {
            dead.put(out);
        }
    }

    pub(crate) fn cut(cut: &mut Cut<'_>) -> Result<Self, Broken> {
        let mut settled = Self { id: cut.varint()?, ..Self::default() };
        let mut before: Seq = 0;
        for _ in 0..cut.count(usize::MAX)? {
            let first = before.checked_add(cut.varint()?).ok_or(Broken("a settled range"))?;
            let last = first.checked_add(cut.varint()?).ok_or(Broken("a settled range"))?;
            settled.done.push((first, last));
            before = last;
        }
        for _ in 0..cut.count(usize::MAX)? {
            settled.retries.push(Retry::cut(cut)?);
        }
        for _ in 0..cut.count(usize::MAX)? {
            settled.dead.push(Dead::cut(cut)?);
        }
        Ok(settled)
    }
}

impl Retry {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.seq);
        put_varint(out, u64::from(self.made));
        put_varint(out, self.due.0);
    }

    fn cut(cut: &mut Cut<'_>) -> Result<Self, Broken> {
        Ok(Self { seq: cut.varint()?, made: cut.varint_u32()?, due: Time(cut.varint()?) })
    }
}

impl Dead {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.seq);
        put_varint(out, u64::from(self.attempts));
        put_varint(out, self.at.0);
        put_text(out, &self.why);
    }

    fn cut(cut: &mut Cut<'_>) -> Result<Self, Broken> {
        let (seq, attempts, at) = (cut.varint()?, cut.varint_u32()?, Time(cut.varint()?));
        Ok(Self { seq, attempts, at, why: cut.text(WHY_LEN_MAX)?.to_owned() })
    }
}

impl Revived {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.id);
        out.push(u8::from(self.again));
        put_varint(out, self.seqs.len() as u64);
        for seq in &self.seqs {
            put_varint(out, *seq);
        }
    }

    fn cut(cut: &mut Cut<'_>) -> Result<Self, Broken> {
        let id = cut.varint()?;
        let again = match cut.byte()? {
            0 => false,
            1 => true,
            _ => return Err(Broken("whether a dead letter is tried again")),
        };
        let seqs = (0..cut.count(usize::MAX)?).map(|_| cut.varint()).collect::<Result<_, _>>()?;
        Ok(Self { id, again, seqs })
    }
}

/// A reason as it is kept: the first [`WHY_LEN_MAX`] bytes, cut between two characters.
pub(crate) fn reason(mut why: String) -> String {
    why.truncate(why.floor_char_boundary(WHY_LEN_MAX));
    why
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::derived::Derived;
    use crate::groups::registry::{Fold, Shared};

    fn samples() -> Vec<GroupRecord> {
        let filters = vec!["a/+".parse().unwrap(), "b/#".parse().unwrap()];
        let options = GroupOptions { start: Start::After(300), ..GroupOptions::new(filters) };
        vec![
            GroupRecord::Made(Made { id: 1, name: GroupName::new("workers").unwrap(), options }),
            GroupRecord::Settled(Settled {
                id: 1,
                done: vec![(1, 3), (5, 5), (1_000, 2_000_000)],
                retries: vec![Retry { seq: 4, made: 2, due: Time(1_700_000_000_000_000) }],
                dead: vec![Dead { seq: 6, attempts: 8, at: Time(9), why: "no such patient: ü".into() }],
            }),
            GroupRecord::Ended(300),
            GroupRecord::Revived(Revived { id: 1, again: true, seqs: vec![6, 900] }),
        ]
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        for record in samples() {
            assert_eq!(GroupRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn a_cut_or_lengthened_record_is_refused_at_every_place() {
        for record in samples() {
            let whole = record.encode();
            for len in 0..whole.len() {
                assert!(GroupRecord::decode(&whole[..len]).is_err(), "cut at {len} of {record:?}");
            }
            assert!(GroupRecord::decode(&[&whole[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_reserves_nothing() {
        // kind "settled", group 1, then u64::MAX ranges.
        let lie = [&[1, 2, 1][..], &[0xFF; 9], &[1]].concat();
        assert!(GroupRecord::decode(&lie).is_err());
    }

    /// The worked example of docs/file-format.md.
    #[test]
    fn the_documented_example_is_what_is_written() {
        let settled = Settled {
            id: 3,
            done: vec![(41, 43), (45, 300)],
            retries: vec![Retry { seq: 44, made: 1, due: Time(1_000_000) }],
            dead: Vec::new(),
        };
        let hex = "01 02 03 02 29 02 02 ff 01 01 2c 01 c0 84 3d 00";
        let bytes: Vec<u8> = hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        assert_eq!(GroupRecord::Settled(settled).encode(), bytes);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let kept = reason("ü".repeat(WHY_LEN_MAX) + "x");
        assert_eq!(kept.len(), WHY_LEN_MAX);
        assert_eq!(reason(format!("x{}", "ü".repeat(WHY_LEN_MAX))).len(), WHY_LEN_MAX - 1);
    }

    proptest! {
        /// Whatever stands in the file: it's refused, or folded and saved and loaded again.
        #[test]
        fn hostile_bytes_are_refused_or_folded(
            which in 0_usize..4,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            tail in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes = samples()[which].encode();
            for (at, byte) in changes {
                *at.get_mut(&mut bytes) = byte;
            }
            bytes.extend(tail);
            let mut fold = Fold(std::sync::Arc::new(Shared::default()));
            for record in samples().iter().map(GroupRecord::encode).chain([bytes.clone()]) {
                fold.fold(&record, 5, Time(0));
            }
            fold.freed(3);
            let mut saved = Vec::new();
            fold.save(&mut saved);
            let mut again = Fold(std::sync::Arc::new(Shared::default()));
            prop_assert!(again.load(&saved).is_ok());
            prop_assert!(again.load(&bytes).is_err() || bytes.len() < 4);
        }
    }
}
