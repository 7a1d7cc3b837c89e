//! One group as a state machine: what is out, what waits, what is settled. It does no I/O and asks no clock.
//!
//! Two layers. [`Durable`] is what the log knows, changed by folded records alone. [`Live`] is what is under way: it lies
//! over the durable state while there are members, and may be thrown away with them. A settlement takes effect in
//! `Live` at once and gives a record; when that record is on disk, [`Group::fold`] makes it part of `Durable`.
//!
//! The invariants, which `model_tests` checks:
//! 1. An event up to `scanned` is settled, not wanted, on its way to be settled, or in `open`; never two of these.
//! 2. What is in `settling` is settled by a record that was handed to the log, in the order of the settlements.
//! 3. `out + settling` stays within `in_flight_max`; `waiting` within [`WAITING_MAX`] and one in-flight bound more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use headwater_event::{Filter, GroupName, GroupOptions, Seq, Settlement, Tag, Time};

use super::durable::Durable;
use super::live::{Live, Open};
use super::record::{Dead, GroupId, Made, Retry, Revived, Settled, reason};

/// The most events that wait for a further attempt before a group gets new ones; about 6 MiB of memory. A group whose
/// every event has to wait would otherwise hold its whole backlog here, and its workers are in no state to take more.
pub(crate) const WAITING_MAX: usize = 65_536;

/// The longest wait before a retry, whatever a worker asks for: a typing error must not hide an event for ever.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How many settlements one record holds at most: with the longest reasons that's about half a MiB.
pub(crate) const SETTLED_PER_RECORD_MAX: usize = 1_024;

/// From how many events on it's worth a record that they need no second look when the last member leaves; looking through
/// 10,000 takes about 10 ms. The model has short logs.
pub(crate) const PASSED_RECORD_MIN: u64 = if cfg!(test) { 4 } else { 10_000 };

/// Which member, within one life of the process.
pub(crate) type MemberId = u64;

/// One group.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) name: GroupName,
    pub(crate) filters: Arc<[Filter]>,
    pub(crate) options: GroupOptions,
    /// Set when it was ended: the record may still be under way.
    pub(crate) ended: bool,
    pub(crate) durable: Durable,
    live: Option<Live>,
    /// Records that were handed to the log and not folded yet.
    under_way: usize,
    /// Dead letters that are being taken out.
    reviving: BTreeSet<Seq>,
    /// Retention freed events that this group may not have seen; a member is told once.
    pub(crate) overtaken: bool,
    members_made: MemberId,
}

/// What a delivery ended with.
enum End {
    Done,
    Retry { after: Duration, made: u32 },
    Dead { attempts: u32, why: String },
}

impl Group {
    pub(crate) fn new(made: Made, after: Seq) -> Self {
        Self::with(made, Durable::beginning_after(after))
    }

    pub(crate) fn with(made: Made, durable: Durable) -> Self {
        Self {
            id: made.id,
            name: made.name,
            filters: made.options.filters.clone().into(),
            options: made.options,
            ended: false,
            durable,
            live: None,
            under_way: 0,
            reviving: BTreeSet::new(),
            overtaken: false,
            members_made: 0,
        }
    }

    /// A new member; its options replace those before, but for filters and start.
    pub(crate) fn join(&mut self, options: GroupOptions) -> MemberId {
        self.options = GroupOptions { filters: self.filters.to_vec(), start: self.options.start, ..options };
        self.members_made += 1;
        let member = self.members_made;
        self.live_mut().members.insert(member);
        member
    }

    /// A member is gone: what it held comes again at once, and the attempt counts.
    pub(crate) fn leave(&mut self, member: MemberId, now: Time) -> Vec<Settled> {
        let Some(live) = &mut self.live else { return Vec::new() };
        live.members.remove(&member);
        let held = live.held_by(member);
        let mut records = self.give_back(held, now, "its worker went away without an answer");
        records.extend(self.passed_record());
        self.rest();
        records
    }

    /// When nobody is left who remembers what was looked through, and it was much, the log remembers it.
    fn passed_record(&mut self) -> Option<Settled> {
        let live = self.live.as_ref().filter(|live| live.members.is_empty())?;
        if live.scanned.saturating_sub(self.durable.settled.low()) < PASSED_RECORD_MIN {
            return None;
        }
        self.under_way += 1;
        Some(Settled { id: self.id, done: self.passed(), ..Settled::default() })
    }

    /// Ends the leases that are over: those events come again at once, and the attempt counts.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<Settled> {
        let Some(live) = &self.live else { return Vec::new() };
        self.give_back(live.over(now), now, "its worker gave no answer in time")
    }

    fn give_back(&mut self, held: Vec<(Seq, u32)>, now: Time, why: &str) -> Vec<Settled> {
        let ends = held.into_iter().map(|(seq, attempt)| {
            let end = match self.attempts_used_up(attempt) {
                true => End::Dead { attempts: attempt, why: why.to_owned() },
                false => End::Retry { after: Duration::ZERO, made: attempt },
            };
            (seq, end)
        });
        let ends = ends.collect();
        self.settle_ends(ends, now)
    }

    /// Which waiting events are due, the longest due first; at most `max`, and no more than there's room for.
    pub(crate) fn due(&self, now: Time, max: usize) -> Vec<Seq> {
        let Some(live) = &self.live else { return Vec::new() };
        let due = live.due.iter().take_while(|(due, _)| *due <= now).map(|(_, seq)| *seq);
        due.take(max.min(self.room())).collect()
    }

    /// Leases a waiting event that is due; gives the attempt, or `None` when it's no longer there to take.
    pub(crate) fn lease_due(&mut self, seq: Seq, member: MemberId, now: Time) -> Option<u32> {
        let (room, ends) = (self.room(), now.plus(self.lease()));
        let live = self.live.as_mut()?;
        let Some(Open::Waiting { made, due }) = live.open.get(&seq).copied() else { return None };
        if due > now || room == 0 {
            return None;
        }
        let attempt = made.saturating_add(1);
        live.hand_out(seq, attempt, member, ends);
        Some(attempt)
    }

    /// How many events may be handed out for the first time now.
    pub(crate) fn fresh_room(&self) -> usize {
        match &self.live {
            Some(live) if live.due.len() < WAITING_MAX => self.room(),
            _ => 0,
        }
    }

    /// Up to where the log was looked through for wanted events.
    pub(crate) fn scanned(&self) -> Seq {
        self.live.as_ref().map_or_else(|| self.durable.settled.low(), |live| live.scanned)
    }

    /// A wanted event, in the order of the log; `true` when it is now leased to this member for its first attempt,
    /// `false` when it is settled or under way already. There must be [room](Self::fresh_room).
    pub(crate) fn offer(&mut self, seq: Seq, member: MemberId, now: Time) -> bool {
        let ends = now.plus(self.lease());
        let Some(live) = &mut self.live else { return false };
        if seq <= live.scanned {
            return false;
        }
        live.scanned = seq;
        if live.open.contains_key(&seq) || live.settling.contains(&seq) || self.durable.settled.contains(seq) {
            return false;
        }
        live.hand_out(seq, 1, member, ends);
        true
    }

    /// Nothing further is wanted up to here.
    pub(crate) fn pass(&mut self, up_to: Seq) {
        if let Some(live) = &mut self.live {
            live.scanned = live.scanned.max(up_to);
        }
    }

    /// What became of deliveries; gives how many counted, and the records that make it durable. `random` gives numbers
    /// from 0 to 1.
    pub(crate) fn settle(
        &mut self,
        member: MemberId,
        settlements: Vec<(Tag, Settlement)>,
        now: Time,
        random: &mut dyn FnMut() -> f64,
    ) -> (usize, Vec<Settled>) {
        let mut records = self.expire(now);
        let mut ends: Vec<(Seq, End)> = Vec::with_capacity(settlements.len());
        for (tag, settlement) in settlements {
            if self.is_out_to(tag, member) {
                ends.push((tag.seq, self.end_of(tag, settlement, random)));
            }
        }
        // Named twice in one call: the first one counts (the order is kept among equals).
        ends.sort_by_key(|(seq, _)| *seq);
        ends.dedup_by_key(|(seq, _)| *seq);
        let counted = ends.len();
        records.extend(self.settle_ends(ends, now));
        (counted, records)
    }

    fn end_of(&self, tag: Tag, settlement: Settlement, random: &mut dyn FnMut() -> f64) -> End {
        match settlement {
            Settlement::Done => End::Done,
            Settlement::Dead { why } => End::Dead { attempts: tag.attempt, why },
            Settlement::Retry { why, .. } if self.attempts_used_up(tag.attempt) => {
                End::Dead { attempts: tag.attempt, why }
            }
            Settlement::Retry { after, .. } => {
                let after = after.unwrap_or_else(|| self.backoff(tag.attempt, random()));
                End::Retry { after: after.min(RETRY_AFTER_MAX), made: tag.attempt }
            }
        }
    }

    /// Retention has freed the events up to here. What is out stays out; the rest below is over.
    pub(crate) fn freed(&mut self, up_to: Seq) {
        let waited = self.durable.retries.first_key_value().is_some_and(|(seq, _)| *seq <= up_to);
        self.overtaken |= waited || self.scanned() < up_to;
        self.durable.freed(up_to);
        let Some(live) = &mut self.live else { return };
        live.scanned = live.scanned.max(up_to);
        let below = live.due.iter().map(|(_, seq)| *seq).filter(|seq| *seq <= up_to).collect::<Vec<_>>();
        below.into_iter().for_each(|seq| live.take_back(seq));
    }

    /// Events that turned out not to be readable any more: as if they had been settled.
    pub(crate) fn lost(&mut self, seqs: Vec<Seq>, now: Time) -> Vec<Settled> {
        let Some(live) = &mut self.live else { return Vec::new() };
        let gone = seqs.into_iter().filter(|seq| live.open.contains_key(seq));
        let gone = gone.map(|seq| (seq, End::Done)).collect();
        self.settle_ends(gone, now)
    }

    /// Begins leases anew.
    pub(crate) fn renew(&mut self, member: MemberId, tags: &[Tag], now: Time) {
        let until = now.plus(self.lease());
        for tag in tags.iter().filter(|tag| self.is_out_to(**tag, member)).copied().collect::<Vec<_>>() {
            let Some(live) = &mut self.live else { return };
            if let Some(Open::Out { ends, .. }) = live.open.get(&tag.seq)
                && *ends > now
            {
                live.hand_out(tag.seq, tag.attempt, member, until);
            }
        }
    }

    /// Takes those of these dead letters out that there are, and that nobody else is taking out: the record that does it.
    pub(crate) fn revive(&mut self, seqs: Vec<Seq>, again: bool) -> Vec<Revived> {
        let mut found: Vec<Seq> = seqs.into_iter().filter(|seq| self.durable.dead.contains_key(seq)).collect();
        found.retain(|seq| self.reviving.insert(*seq));
        found.sort_unstable();
        let records = found.chunks(SETTLED_PER_RECORD_MAX);
        let records: Vec<_> = records.map(|seqs| Revived { id: self.id, again, seqs: seqs.to_vec() }).collect();
        self.under_way += records.len();
        records
    }

    /// A record of settlements is on disk.
    pub(crate) fn fold(&mut self, record: &Settled) {
        self.durable.settle(record);
        if let Some(live) = &mut self.live {
            live.settled(record);
        }
        self.folded();
    }

    /// A record of revived dead letters is on disk.
    pub(crate) fn fold_revived(&mut self, record: &Revived) {
        for seq in &record.seqs {
            self.reviving.remove(seq);
        }
        for retry in self.durable.revive(record) {
            if let Some(live) = &mut self.live {
                live.wait(retry);
            }
        }
        self.folded();
    }

    fn folded(&mut self) {
        // At recovery nothing was handed out by this process.
        self.under_way = self.under_way.saturating_sub(1);
        self.rest();
    }

    /// A group without members needs no more than what is durable: a million sessions that are away cost their cursor.
    fn rest(&mut self) {
        if self.under_way == 0 && self.live.as_ref().is_some_and(|live| live.members.is_empty()) {
            self.live = None;
        }
    }

    /// When something becomes due, or a lease ends; waits that no room is there for don't count.
    pub(crate) fn next_moment(&self) -> Option<Time> {
        let live = self.live.as_ref()?;
        let lease = live.leases.first().map(|(ends, _)| *ends);
        let due = live.due.first().map(|(due, _)| *due).filter(|_| self.room() > 0);
        [lease, due].into_iter().flatten().min()
    }

    /// What was looked through and needs no second look, beside what is durable; only the checkpoint asks for it.
    pub(crate) fn passed(&self) -> Vec<(Seq, Seq)> {
        let Some(live) = &self.live else { return Vec::new() };
        // A dead letter that is being revived is written down before this, and must not be settled by it.
        live.passed(self.durable.settled.low(), &self.reviving)
    }

    /// Everything up to here is settled or not wanted, as far as is known.
    pub(crate) fn low(&self) -> Seq {
        let Some(live) = &self.live else { return self.durable.low() };
        let looked_through = live.scanned.max(self.durable.settled.low());
        live.first_unsettled().map_or(looked_through, |first| looked_through.min(first.saturating_sub(1)))
    }

    /// Deliveries that are out, waiting retries and members.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        match &self.live {
            Some(live) => (live.leases.len(), live.due.len(), live.members.len()),
            None => (0, self.durable.retries.len(), 0),
        }
    }

    /// Members may lease each delivery for this long.
    pub(crate) fn lease(&self) -> Duration {
        // A lease of nothing would end before its worker has seen the delivery.
        self.options.lease.max(Duration::from_millis(1))
    }

    /// Deliveries that may be handed out now.
    fn room(&self) -> usize {
        let taken = self.live.as_ref().map_or(0, |live| live.leases.len() + live.settling.len());
        self.options.in_flight_max.max(1).saturating_sub(taken)
    }

    fn attempts_used_up(&self, attempt: u32) -> bool {
        self.options.attempts_max != 0 && attempt >= self.options.attempts_max
    }

    /// `min(cap, base * 2^(attempt - 1))`, of which a random half is taken off.
    fn backoff(&self, attempt: u32, random: f64) -> Duration {
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.options.backoff.base.saturating_mul(doubled).min(self.options.backoff.cap);
        whole.min(RETRY_AFTER_MAX).mul_f64(1.0 - 0.5 * random.clamp(0.0, 1.0))
    }

    fn is_out_to(&self, tag: Tag, member: MemberId) -> bool {
        let open = self.live.as_ref().and_then(|live| live.open.get(&tag.seq));
        matches!(open, Some(Open::Out { attempt, member: holder, .. }) if *attempt == tag.attempt && *holder == member)
    }

    /// Carries out ends of deliveries and gives the records that say so, in their order.
    fn settle_ends(&mut self, mut ends: Vec<(Seq, End)>, now: Time) -> Vec<Settled> {
        ends.sort_by_key(|(seq, _)| *seq);
        let mut records = Vec::new();
        let mut ends = ends.into_iter().peekable();
        while ends.peek().is_some() {
            let mut record = Settled { id: self.id, ..Settled::default() };
            let part: Vec<_> = ends.by_ref().take(SETTLED_PER_RECORD_MAX).collect();
            let mut done = Vec::with_capacity(part.len());
            for (seq, end) in part {
                self.settle_end(seq, end, now, &mut record, &mut done);
            }
            record.done = self.widened(&done);
            records.push(record);
        }
        self.under_way += records.len();
        records
    }

    fn settle_end(&mut self, seq: Seq, end: End, now: Time, record: &mut Settled, done: &mut Vec<Seq>) {
        let Some(live) = &mut self.live else { return };
        live.take_back(seq);
        match end {
            End::Done => {
                live.settling.insert(seq);
                done.push(seq);
            }
            End::Dead { attempts, why } => {
                live.settling.insert(seq);
                // Settled like any other, so that what isn't wanted around it is settled with it.
                done.push(seq);
                record.dead.push(Dead { seq, attempts, at: now, why: reason(why) });
            }
            End::Retry { after, made } => {
                let retry = Retry { seq, made, due: now.plus(after) };
                live.wait(retry);
                record.retries.push(retry);
            }
        }
    }

    /// The ranges around these (ascending) that hold nothing unsettled: so what isn't wanted is settled without a word of
    /// its own, and a group that has settled everything consists of one range.
    fn widened(&self, done: &[Seq]) -> Vec<(Seq, Seq)> {
        let Some(live) = &self.live else { return Vec::new() };
        let low = self.durable.settled.low();
        let mut ranges: Vec<(Seq, Seq)> = Vec::new();
        for &seq in done {
            if ranges.last().is_some_and(|(_, last)| *last >= seq) {
                continue;
            }
            // Above `scanned` (a retry known from before a crash) and below the low-water (a revived one) stands each for
            // itself: of its neighbours nothing is known here, or nothing has to be said.
            if seq > live.scanned || seq <= low {
                ranges.push((seq, seq));
                continue;
            }
            let (before, after) = self.neighbours(live, seq);
            ranges.push((
                before.unwrap_or(0).max(low) + 1,
                after.map_or(live.scanned, |after| live.scanned.min(after - 1)),
            ));
        }
        ranges
    }

    /// The nearest events before and after this one that aren't settled, or won't be when the records under way are on
    /// disk: a dead letter that is being revived would be settled again by a range that is written after it.
    fn neighbours(&self, live: &Live, seq: Seq) -> (Option<Seq>, Option<Seq>) {
        let before = live.open.range(..seq).next_back().map(|(open, _)| *open);
        let after = live.open.range(seq..).next().map(|(open, _)| *open);
        let revived_before = self.reviving.range(..seq).next_back().copied();
        let revived_after = self.reviving.range(seq..).next().copied();
        // `None` is the smallest: right for the maximum, to be left out of the minimum.
        (before.max(revived_before), after.into_iter().chain(revived_after).min())
    }

    fn live_mut(&mut self) -> &mut Live {
        let durable = &self.durable;
        self.live.get_or_insert_with(|| {
            let mut live = Live { scanned: durable.settled.low(), ..Live::default() };
            durable.retries.values().for_each(|retry| live.wait(*retry));
            live
        })
    }
}
