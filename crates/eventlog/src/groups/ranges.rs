//! A set of sequence numbers, kept as the few ranges that it consists of.

use std::collections::BTreeMap;

use headwater_event::Seq;

/// Sequence numbers as ranges with both ends inside; ranges that touch are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// First number to last number of each range.
    ends: BTreeMap<Seq, Seq>,
}

impl Ranges {
    /// The set of all numbers up to and with this one (0 gives the empty set).
    pub(crate) fn up_to(last: Seq) -> Self {
        let mut ranges = Self::default();
        ranges.insert(1, last);
        ranges
    }

    /// Adds all numbers from `first` to `last`; nothing when `last` lies before `first`.
    pub(crate) fn insert(&mut self, first: Seq, last: Seq) {
        if last < first {
            return;
        }
        let (mut first, mut last) = (first, last);
        // Ranges that begin at or before the number after `last` and reach the one before `first` become part of this one;
        // from behind, and only as long as they do: the others aren't looked at.
        while let Some((&begin, &end)) = self.ends.range(..=last.saturating_add(1)).next_back() {
            if end < first.saturating_sub(1) {
                break;
            }
            self.ends.remove(&begin);
            first = first.min(begin);
            last = last.max(end);
        }
        self.ends.insert(first, last);
    }

    /// Whether this number is in the set.
    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.ends.range(..=seq).next_back().is_some_and(|(_, end)| *end >= seq)
    }

    /// The last number before which none is missing, counted from 1.
    pub(crate) fn low(&self) -> Seq {
        match self.ends.first_key_value() {
            Some((1, end)) => *end,
            _ => 0,
        }
    }

    /// The ranges in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Seq, Seq)> + '_ {
        self.ends.iter().map(|(first, last)| (*first, *last))
    }

    /// How many ranges there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_hold_what_a_plain_set_holds(inserts in prop::collection::vec((1_u64..60, 0_u64..8), 0..40)) {
            let (mut ranges, mut plain) = (Ranges::default(), BTreeSet::new());
            for (first, len) in inserts {
                ranges.insert(first, first + len);
                plain.extend(first..=first + len);
                for seq in 0..70 {
                    prop_assert_eq!(ranges.contains(seq), plain.contains(&seq));
                }
                prop_assert_eq!(ranges.low(), (1..).find(|seq| !plain.contains(seq)).unwrap_or(1) - 1);
                // Touching ranges are one: between two there is always a number missing.
                let list: Vec<_> = ranges.iter().collect();
                prop_assert!(list.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            }
        }
    }

    #[test]
    fn the_ends_of_the_numbers_do_not_overflow() {
        let mut ranges = Ranges::up_to(0);
        assert_eq!(ranges.len(), 0);
        ranges.insert(u64::MAX, u64::MAX);
        ranges.insert(0, u64::MAX - 1);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, u64::MAX)]);
    }
}
