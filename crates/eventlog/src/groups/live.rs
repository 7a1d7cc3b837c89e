//! What is under way in a group: it lies over the durable state and may be thrown away with the group's members.

use std::collections::{BTreeMap, BTreeSet};

use headwater_event::{Seq, Time};

use super::group::MemberId;
use super::record::{Retry, Settled};

/// What is under way in a group with members.
#[derive(Default)]
pub(crate) struct Live {
    /// Every event up to here was looked at.
    pub(crate) scanned: Seq,
    pub(crate) open: BTreeMap<Seq, Open>,
    /// What is out, by the end of its lease.
    pub(crate) leases: BTreeSet<(Time, Seq)>,
    /// What waits, by when it is due.
    pub(crate) due: BTreeSet<(Time, Seq)>,
    /// What is settled for good by a record that isn't on disk yet; it still takes up room, so that a slow disk slows
    /// down the deliveries rather than filling the memory with records.
    pub(crate) settling: BTreeSet<Seq>,
    pub(crate) members: BTreeSet<MemberId>,
}

/// An unsettled event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// Leased to a member, for this attempt.
    Out { attempt: u32, member: MemberId, ends: Time },
    /// Waits for the attempt after so many.
    Waiting { made: u32, due: Time },
}

impl Live {
    /// Puts an event among the waiting.
    pub(crate) fn wait(&mut self, retry: Retry) {
        self.take_back(retry.seq);
        self.open.insert(retry.seq, Open::Waiting { made: retry.made, due: retry.due });
        self.due.insert((retry.due, retry.seq));
    }

    /// Takes an event from where it is.
    pub(crate) fn take_back(&mut self, seq: Seq) {
        match self.open.remove(&seq) {
            Some(Open::Out { ends, .. }) => self.leases.remove(&(ends, seq)),
            Some(Open::Waiting { due, .. }) => self.due.remove(&(due, seq)),
            None => false,
        };
    }

    /// Puts an event out to a member.
    pub(crate) fn hand_out(&mut self, seq: Seq, attempt: u32, member: MemberId, ends: Time) {
        self.take_back(seq);
        self.open.insert(seq, Open::Out { attempt, member, ends });
        self.leases.insert((ends, seq));
    }

    /// What a member holds: event and attempt.
    pub(crate) fn held_by(&self, member: MemberId) -> Vec<(Seq, u32)> {
        let held = self.open.iter().filter_map(|(seq, open)| match open {
            Open::Out { member: holder, attempt, .. } if *holder == member => Some((*seq, *attempt)),
            _ => None,
        });
        held.collect()
    }

    /// Of what the lease has ended: event and attempt.
    pub(crate) fn over(&self, now: Time) -> Vec<(Seq, u32)> {
        let over = self.leases.iter().take_while(|(ends, _)| *ends <= now);
        let over = over.filter_map(|(_, seq)| match self.open.get(seq) {
            Some(Open::Out { attempt, .. }) => Some((*seq, *attempt)),
            _ => None,
        });
        over.collect()
    }

    /// A record is on disk: what it settles takes up no room any more.
    pub(crate) fn settled(&mut self, record: &Settled) {
        for (first, last) in &record.done {
            while let Some(&seq) = self.settling.range(first..=last).next() {
                self.settling.remove(&seq);
            }
        }
        for dead in &record.dead {
            self.settling.remove(&dead.seq);
        }
    }

    /// The first event that is not settled on disk.
    pub(crate) fn first_unsettled(&self) -> Option<Seq> {
        let open = self.open.first_key_value().map(|(seq, _)| *seq);
        open.into_iter().chain(self.settling.first().copied()).min()
    }

    /// The ranges from `low` to what was looked through without what is unsettled, or `kept` out of them.
    pub(crate) fn passed(&self, low: Seq, kept: &BTreeSet<Seq>) -> Vec<(Seq, Seq)> {
        let unsettled: BTreeSet<Seq> = self.open.keys().chain(&self.settling).chain(kept).copied().collect();
        let mut first = low.saturating_add(1);
        let mut passed = Vec::new();
        for seq in unsettled.range(first..).take_while(|seq| **seq <= self.scanned) {
            passed.push((first, seq - 1));
            first = seq + 1;
        }
        passed.push((first, self.scanned));
        passed.retain(|(first, last)| first <= last);
        passed
    }
}
