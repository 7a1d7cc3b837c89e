//! What the log knows of a group: changed by its records alone, so that folding them again gives the same.

use std::collections::{BTreeMap, BTreeSet};

use headwater_event::{Seq, Time};

use super::ranges::Ranges;
use super::record::{Dead, Retry, Revived, Settled};
use super::wire::{Broken, Cut, put_varint};

/// The most dead letters that a group keeps; with the longest reasons that's 2 MiB. Of more, the oldest are forgotten and
/// counted; the events themselves stay in the log.
pub(crate) const DEAD_MAX: usize = 4_096;

/// The durable state of one group: as large as what is unsettled, never as large as the backlog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durable {
    /// What never has to be looked at again: settled, or not wanted. Two ranges have something unsettled between them, so
    /// there's at most one more range than there are unsettled events below the last.
    pub(crate) settled: Ranges,
    /// What waits for its next attempt.
    pub(crate) retries: BTreeMap<Seq, Retry>,
    /// What was given up.
    pub(crate) dead: BTreeMap<Seq, Dead>,
    /// The same by age.
    dead_by_age: BTreeSet<(Time, Seq)>,
    /// How many dead letters were forgotten over [`DEAD_MAX`].
    pub(crate) dead_forgotten: u64,
}

impl Durable {
    /// Of a group that begins after this event.
    pub(crate) fn beginning_after(seq: Seq) -> Self {
        Self { settled: Ranges::up_to(seq), ..Self::default() }
    }

    /// Takes in a record of settlements.
    pub(crate) fn settle(&mut self, record: &Settled) {
        for (first, last) in &record.done {
            self.settled.insert(*first, *last);
            while let Some((&seq, _)) = self.retries.range(first..=last).next() {
                self.retries.remove(&seq);
            }
        }
        for retry in &record.retries {
            self.retries.insert(retry.seq, *retry);
        }
        for dead in &record.dead {
            self.retries.remove(&dead.seq);
            self.settled.insert(dead.seq, dead.seq);
            self.bury(dead.clone());
        }
    }

    fn bury(&mut self, dead: Dead) {
        self.dead_by_age.insert((dead.at, dead.seq));
        if let Some(before) = self.dead.insert(dead.seq, dead.clone())
            && before.at != dead.at
        {
            self.dead_by_age.remove(&(before.at, before.seq));
        }
        while self.dead.len() > DEAD_MAX {
            let Some((_, oldest)) = self.dead_by_age.pop_first() else { break };
            self.dead.remove(&oldest);
            self.dead_forgotten += 1;
        }
    }

    /// Takes in that dead letters were taken out; gives those that come again.
    pub(crate) fn revive(&mut self, record: &Revived) -> Vec<Retry> {
        let mut again = Vec::new();
        for seq in &record.seqs {
            let Some(dead) = self.dead.remove(seq) else { continue };
            self.dead_by_age.remove(&(dead.at, *seq));
            if record.again {
                // Due since for ever: by no attempt and at no time.
                let retry = Retry { seq: *seq, made: 0, due: Time(0) };
                self.retries.insert(*seq, retry);
                again.push(retry);
            }
        }
        again
    }

    /// The events up to here can't be read any more.
    pub(crate) fn freed(&mut self, up_to: Seq) {
        self.settled.insert(1, up_to);
        self.retries = self.retries.split_off(&up_to.saturating_add(1));
        let kept = self.dead.split_off(&up_to.saturating_add(1));
        for dead in std::mem::replace(&mut self.dead, kept).into_values() {
            self.dead_by_age.remove(&(dead.at, dead.seq));
        }
    }

    /// Everything up to here is settled.
    pub(crate) fn low(&self) -> Seq {
        // A revived event lies in what is settled, and yet waits.
        match self.retries.first_key_value() {
            Some((first, _)) => self.settled.low().min(first.saturating_sub(1)),
            None => self.settled.low(),
        }
    }

    /// Writes the state for a checkpoint; `passed` are further ranges that need no second look.
    pub(crate) fn save(&self, passed: &[(Seq, Seq)], out: &mut Vec<u8>) {
        let mut settled = self.settled.clone();
        for (first, last) in passed {
            settled.insert(*first, *last);
        }
        let whole = Settled {
            id: 0,
            done: settled.iter().collect(),
            retries: self.retries.values().copied().collect(),
            dead: self.dead.values().cloned().collect(),
        };
        whole.put(out);
        put_varint(out, self.dead_forgotten);
    }

    /// Reads what `save` wrote.
    pub(crate) fn load(cut: &mut Cut<'_>) -> Result<Self, Broken> {
        let whole = Settled::cut(cut)?;
        let mut durable = Self::default();
        // Ranges first, then what waits: a revived event waits although it lies in a settled range.
        durable.settle(&whole);
        durable.dead_forgotten = cut.varint()?;
        Ok(durable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(seq: Seq, at: u64) -> Settled {
        Settled { dead: vec![Dead { seq, attempts: 1, at: Time(at), why: String::new() }], ..Settled::default() }
    }

    #[test]
    fn of_too_many_dead_letters_the_oldest_is_forgotten_and_counted() {
        let mut durable = Durable::default();
        let many = DEAD_MAX as u64;
        for seq in 1..=many {
            // Given up in the opposite order: the last event is the oldest letter.
            durable.settle(&dead(seq, 1_000_000 - seq));
        }
        durable.settle(&dead(many + 1, 2_000_000));
        assert_eq!(durable.dead.len(), DEAD_MAX);
        assert!(!durable.dead.contains_key(&many));
        assert!(durable.dead.contains_key(&1) && durable.dead.contains_key(&(many + 1)));
        assert_eq!(durable.dead_forgotten, 1);
        assert!(durable.settled.contains(many), "forgotten, not undone");
    }

    #[test]
    fn a_letter_that_dies_twice_is_kept_once() {
        let mut durable = Durable::default();
        durable.settle(&dead(5, 1));
        durable.revive(&Revived { id: 0, again: true, seqs: vec![5] });
        durable.settle(&dead(5, 2));
        assert_eq!((durable.dead.len(), durable.dead_by_age.len(), durable.retries.len()), (1, 1, 0));
    }

    #[test]
    fn a_revived_event_holds_the_low_water_down() {
        let mut durable = Durable::beginning_after(0);
        durable.settle(&Settled { done: vec![(1, 4), (6, 9)], ..dead(5, 1) });
        assert_eq!(durable.low(), 9);
        durable.revive(&Revived { id: 0, again: true, seqs: vec![5, 6] });
        assert_eq!(durable.low(), 4);
        let mut saved = Vec::new();
        durable.save(&[], &mut saved);
        assert_eq!(Durable::load(&mut Cut::new(&saved)), Ok(durable));
    }
}
