//! What all links of a load together came to.

use super::super::tally::Latencies;

/// Parts of a run whose latencies are told apart.
pub const PARTS: usize = 3;

/// Counts since the load was made.
pub struct Sum {
    /// Which part of the run it is.
    pub part: usize,
    /// Publications that were answered.
    pub answered: u64,
    /// Answered with a no.
    pub refused: u64,
    pub delivered: u64,
    /// Numbers that a subscriber never heard though it heard a later one.
    pub lost: u64,
    /// Numbers that a subscriber heard again, or too late.
    pub repeated: u64,
    /// From due to answered.
    pub answers: Vec<Latencies>,
    /// From due to heard.
    pub each: Vec<Latencies>,
    /// Of each publisher: how many deliveries came or are known to be lost, over all its subscribers.
    pub accounted: Vec<u64>,
}

impl Sum {
    pub fn new() -> Self {
        let latencies = || vec![Latencies::new(); PARTS];
        Self {
            part: 0,
            answered: 0,
            refused: 0,
            delivered: 0,
            lost: 0,
            repeated: 0,
            answers: latencies(),
            each: latencies(),
            accounted: Vec::new(),
        }
    }

    pub fn answer(&mut self, now: u64, since: u64) {
        self.answers[self.part].record(now.saturating_sub(since));
    }

    pub fn deliver(&mut self, now: u64, since: u64, is_timed: bool) {
        self.delivered += 1;
        if is_timed {
            self.each[self.part].record(now.saturating_sub(since));
        }
    }

    pub fn account(&mut self, publisher: u32, count: u64) {
        if let Some(accounted) = self.accounted.get_mut(publisher as usize) {
            *accounted += count;
        }
    }

    /// What changes as long as anything goes on.
    pub const fn progress(&self) -> u64 {
        self.answered + self.delivered
    }
}
