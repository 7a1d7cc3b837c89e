//! The producers that number their events: up to which number everything is stored, however long ago that was.

use std::collections::{HashMap, VecDeque};

use headwater_event::{ProducerId, Seq};

/// How many runs of a producer's events are remembered by place: a receipt for a resent event names the original's
/// place as long as it lies in one of them. A client that comes back asks for the last number and resends nothing
/// older, so few are enough.
const RUNS_MAX: usize = 8;

/// Of how many producers runs are remembered: 4,096 x 8 x 24 bytes are 768 KiB.
const RUNS_PRODUCERS_MAX: usize = 4_096;

/// The place of an original that is known to be stored, but no longer where: it stands before the first event.
pub(crate) const PLACE_FORGOTTEN: Seq = 0;

/// What became of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It's the next one, and is taken now; the one before it was this.
    New { before: u64 },
    /// It was taken before, at this place or [`PLACE_FORGOTTEN`].
    Known(Seq),
    /// Only this one could be taken.
    Expected(u64),
}

/// Numbers that follow each other at places that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub number: u64,
    pub seq: Seq,
    pub len: u64,
}

/// The highest number of each producer. 1,000,000 producers take some 40 MB.
#[derive(Default)]
pub(crate) struct Numbers {
    highest: HashMap<ProducerId, u64>,
    runs: HashMap<ProducerId, VecDeque<Run>>,
    /// The producers in `runs`, in the order in which they came.
    runs_order: VecDeque<ProducerId>,
}

impl Numbers {
    /// The highest number that was taken, 0 when there is none.
    pub(crate) fn highest(&self, producer: &ProducerId) -> u64 {
        self.highest.get(producer).copied().unwrap_or(0)
    }

    /// Takes a number for the event at `seq`, or says why not.
    pub(crate) fn take(&mut self, producer: ProducerId, number: u64, seq: Seq) -> Taken {
        let highest = self.highest.entry(producer).or_insert(0);
        // Numbers start at 1; a 0 is before all of them, and was never stored by anybody.
        if number == 0 || number > highest.saturating_add(1) {
            return Taken::Expected(highest.saturating_add(1));
        }
        if number <= *highest {
            return Taken::Known(self.place(&producer, number));
        }
        let before = *highest;
        *highest = number;
        self.remember(producer, number, seq);
        Taken::New { before }
    }

    /// Takes so many more numbers of a producer, whose highest one has just been taken for the event before theirs.
    pub(crate) fn take_more(&mut self, producer: &ProducerId, more: u64) {
        if let Some(highest) = self.highest.get_mut(producer) {
            *highest += more;
        }
        if let Some(run) = self.runs.get_mut(producer).and_then(VecDeque::back_mut) {
            run.len += more;
        }
    }

    /// Uses a number up without an event.
    pub(crate) fn use_up(&mut self, producer: ProducerId, number: u64) -> Taken {
        let highest = self.highest.entry(producer).or_insert(0);
        if number == 0 || number > highest.saturating_add(1) {
            return Taken::Expected(highest.saturating_add(1));
        }
        if number <= *highest {
            return Taken::Known(PLACE_FORGOTTEN);
        }
        let before = *highest;
        *highest = number;
        Taken::New { before }
    }

    /// Goes back to a lower number: the append that took the higher ones was refused.
    pub(crate) fn take_back(&mut self, producer: ProducerId, highest: u64) {
        if highest == 0 {
            self.highest.remove(&producer);
        } else {
            self.highest.insert(producer, highest);
        }
        if let Some(runs) = self.runs.get_mut(&producer) {
            runs.retain(|run| run.number <= highest);
            if let Some(last) = runs.back_mut() {
                last.len = last.len.min(highest - last.number + 1);
            }
        }
    }

    /// Takes what a log or a checkpoint says. Numbers only rise, whatever is read in which order.
    pub(crate) fn fold(&mut self, producer: ProducerId, number: u64, seq: Option<Seq>) {
        let highest = self.highest.entry(producer).or_insert(0);
        if number <= *highest {
            return;
        }
        *highest = number;
        if let Some(seq) = seq {
            self.remember(producer, number, seq);
        }
    }

    /// Takes numbers of a log that follow each other, as do their places.
    pub(crate) fn fold_run(&mut self, producer: ProducerId, run: Run) {
        let before = self.highest(&producer);
        let Some(last) = run.number.checked_add(run.len - 1) else { return };
        if run.len > 1 && before < run.number {
            self.fold(producer, run.number, Some(run.seq));
            self.take_more(&producer, run.len - 1);
            return;
        }
        for number in run.number.max(before.saturating_add(1))..=last {
            self.fold(producer, number, Some(run.seq + (number - run.number)));
        }
    }

    /// All producers with their highest number, for the checkpoint.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&ProducerId, u64)> {
        self.highest.iter().map(|(producer, highest)| (producer, *highest))
    }

    /// The runs that are remembered, oldest producer first, for the checkpoint.
    pub(crate) fn runs(&self) -> Vec<(ProducerId, Run)> {
        let mut all = Vec::new();
        for producer in &self.runs_order {
            all.extend(self.runs.get(producer).into_iter().flatten().map(|run| (*producer, *run)));
        }
        all
    }

    /// Takes a run of a checkpoint. It may know of numbers beyond those that became durable; such a run is read back
    /// from the log again, and one that is not there never is asked for.
    pub(crate) fn add_run(&mut self, producer: ProducerId, run: Run) {
        self.make_runs(producer).push_back(run);
    }

    /// How many producers are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.highest.len()
    }

    fn place(&self, producer: &ProducerId, number: u64) -> Seq {
        let holds = |run: &&Run| number.checked_sub(run.number).is_some_and(|at| at < run.len);
        let found = self.runs.get(producer).and_then(|runs| runs.iter().rev().find(holds));
        found.map_or(PLACE_FORGOTTEN, |run| run.seq + (number - run.number))
    }

    fn make_runs(&mut self, producer: ProducerId) -> &mut VecDeque<Run> {
        if !self.runs.contains_key(&producer) {
            if self.runs_order.len() == RUNS_PRODUCERS_MAX
                && let Some(oldest) = self.runs_order.pop_front()
            {
                self.runs.remove(&oldest);
            }
            self.runs_order.push_back(producer);
        }
        let runs = self.runs.entry(producer).or_default();
        if runs.len() == RUNS_MAX {
            runs.pop_front();
        }
        runs
    }

    fn remember(&mut self, producer: ProducerId, number: u64, seq: Seq) {
        if let Some(last) = self.runs.get_mut(&producer).and_then(VecDeque::back_mut)
            && number.checked_sub(last.number) == Some(last.len)
            && seq.checked_sub(last.seq) == Some(last.len)
        {
            last.len += 1;
            return;
        }
        self.make_runs(producer).push_back(Run { number, seq, len: 1 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: ProducerId = ProducerId::from_u128(1);

    #[test]
    fn numbers_step_by_one_and_a_known_one_names_its_place() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.take(ANNA, 2, 10), Taken::Expected(1));
        assert_eq!(numbers.take(ANNA, 0, 10), Taken::Expected(1));
        assert_eq!(numbers.take(ANNA, 1, 10), Taken::New { before: 0 });
        assert_eq!(numbers.take(ANNA, 2, 17), Taken::New { before: 1 });
        assert_eq!(numbers.use_up(ANNA, 3), Taken::New { before: 2 });
        assert_eq!(numbers.take(ANNA, 5, 18), Taken::Expected(4));
        assert_eq!(numbers.take(ANNA, 4, 18), Taken::New { before: 3 });
        assert_eq!(numbers.take(ANNA, 1, 99), Taken::Known(10));
        assert_eq!(numbers.take(ANNA, 2, 99), Taken::Known(17));
        assert_eq!(numbers.take(ANNA, 3, 99), Taken::Known(PLACE_FORGOTTEN));
        assert_eq!(numbers.take(ANNA, 4, 99), Taken::Known(18));
    }

    #[test]
    fn numbers_taken_together_are_as_if_taken_one_by_one() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.take(ANNA, 1, 10), Taken::New { before: 0 });
        numbers.take_more(&ANNA, 3);
        assert_eq!(numbers.highest(&ANNA), 4);
        assert_eq!(numbers.take(ANNA, 6, 14), Taken::Expected(5));
        assert_eq!(numbers.take(ANNA, 4, 99), Taken::Known(13));
        assert_eq!(numbers.take(ANNA, 5, 14), Taken::New { before: 4 });
        assert_eq!(numbers.runs(), [(ANNA, Run { number: 1, seq: 10, len: 5 })]);
    }

    #[test]
    fn a_run_that_is_read_back_is_as_if_its_numbers_were_read_one_by_one() {
        // A checkpoint may know of none, of some, or of all numbers of a run, and of others.
        for known in [0, 1, 3, 4, 6, 7, 20] {
            for len in [1, 4] {
                let (mut one_by_one, mut together) = (Numbers::default(), Numbers::default());
                for numbers in [&mut one_by_one, &mut together] {
                    (1..=known).for_each(|number| numbers.fold(ANNA, number, Some(100 + number)));
                }
                (0..len).for_each(|at| one_by_one.fold(ANNA, 4 + at, Some(500 + at)));
                together.fold_run(ANNA, Run { number: 4, seq: 500, len });
                assert_eq!(together.highest(&ANNA), one_by_one.highest(&ANNA), "{known} {len}");
                assert_eq!(together.runs(), one_by_one.runs(), "{known} {len}");
            }
        }
    }

    #[test]
    fn what_was_refused_is_taken_back() {
        let mut numbers = Numbers::default();
        for number in 1..=5 {
            numbers.take(ANNA, number, number);
        }
        numbers.take_back(ANNA, 3);
        assert_eq!(numbers.take(ANNA, 5, 9), Taken::Expected(4));
        assert_eq!(numbers.take(ANNA, 4, 9), Taken::New { before: 3 });
        assert_eq!(numbers.take(ANNA, 3, 0), Taken::Known(3));
        assert_eq!(numbers.take(ANNA, 4, 0), Taken::Known(9));
        numbers.take_back(ANNA, 0);
        assert_eq!(numbers.len(), 0);
    }

    #[test]
    fn the_last_number_there_is_can_be_taken_and_no_other_follows() {
        let mut numbers = Numbers::default();
        numbers.fold(ANNA, u64::MAX - 1, None);
        assert_eq!(numbers.take(ANNA, u64::MAX, 1), Taken::New { before: u64::MAX - 1 });
        assert_eq!(numbers.take(ANNA, u64::MAX, 1), Taken::Known(1));
        assert_eq!(numbers.highest(&ANNA), u64::MAX);
    }
}
