//! The state machine of a group against the plainest model of one, over random histories with crashes.
//!
//! The model keeps every event by itself and looks through all of them each time. After each step both must give the
//! same deliveries with the same attempts in the same order, and the same durable state; so nothing is lost, nothing is
//! delivered while it is leased or after it is settled, and the in-flight bound holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use headwater_event::{Backoff, GroupName, GroupOptions, Seq, Settlement, Tag, Time};
use proptest::prelude::*;

use super::durable::Durable;
use super::group::{Group, MemberId};
use super::record::{GroupRecord, Made, Settled};
use super::wire::Cut;

const LEASE: Duration = Duration::from_millis(50);
const BASE: Duration = Duration::from_millis(10);
const CAP: Duration = Duration::from_millis(35);
const ATTEMPTS_MAX: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<bool>),
    Take { who: usize, max: usize },
    Settle { who: usize, picks: Vec<(usize, u8)> },
    Commit(usize),
    Pass(u64),
    Leave(usize),
    Renew { who: usize, pick: usize },
    Revive { again: bool, pick: usize },
    Checkpoint,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0_usize..3;
    prop_oneof![
        4 => prop::collection::vec(any::<bool>(), 1..8).prop_map(Step::Append),
        6 => (who.clone(), 1_usize..6).prop_map(|(who, max)| Step::Take { who, max }),
        6 => (who.clone(), prop::collection::vec((0_usize..12, 0_u8..6), 1..6))
            .prop_map(|(who, picks)| Step::Settle { who, picks }),
        5 => (1_usize..4).prop_map(Step::Commit),
        3 => (1_u64..60).prop_map(Step::Pass),
        1 => who.clone().prop_map(Step::Leave),
        1 => (who, 0_usize..12).prop_map(|(who, pick)| Step::Renew { who, pick }),
        1 => (any::<bool>(), 0_usize..4).prop_map(|(again, pick)| Step::Revive { again, pick }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
    ]
}

/// Where one event of the model is.
#[derive(Clone, Debug, PartialEq)]
enum At {
    Unseen,
    Out { attempt: u32, member: MemberId, ends: u64 },
    Waiting { made: u32, due: u64 },
    Done,
    Dead,
}

/// What an operation changes for good, once its record is on disk.
type Effect = Vec<(Seq, At)>;

struct World {
    group: Group,
    events: Vec<bool>,
    now: u64,
    in_flight_max: usize,
    /// Members of this life of the process, by their place in the steps.
    members: BTreeMap<usize, MemberId>,
    /// Every tag that was ever handed out, also by members that are gone.
    tags: Vec<(MemberId, Tag)>,
    at: BTreeMap<Seq, At>,
    /// What was handed to the log: the group's records and the model's effects.
    handed: Vec<(Vec<GroupRecord>, Effect)>,
    committed: usize,
    /// The durable state after so many commits, for the folds at the end.
    saved: Option<(usize, Vec<u8>)>,
    /// How many retries came through crashes and rests.
    recovered: usize,
}

fn made(in_flight_max: usize) -> Made {
    let options = GroupOptions {
        in_flight_max,
        lease: LEASE,
        attempts_max: ATTEMPTS_MAX,
        backoff: Backoff { base: BASE, cap: CAP },
        ..GroupOptions::new(vec!["#".parse().unwrap()])
    };
    Made { id: 1, name: GroupName::new("g").unwrap(), options }
}

impl World {
    fn new(in_flight_max: usize) -> Self {
        Self {
            group: Group::new(made(in_flight_max), 0),
            events: Vec::new(),
            now: 1,
            in_flight_max,
            members: BTreeMap::new(),
            tags: Vec::new(),
            at: BTreeMap::new(),
            handed: Vec::new(),
            committed: 0,
            saved: None,
            recovered: 0,
        }
    }

    fn member(&mut self, who: usize) -> MemberId {
        let options = made(self.in_flight_max).options;
        *self.members.entry(who).or_insert_with(|| self.group.join(options))
    }

    fn hand(&mut self, records: Vec<Settled>, effect: Effect) {
        let records: Vec<_> = records.into_iter().map(GroupRecord::Settled).collect();
        assert_eq!(records.is_empty(), effect.is_empty(), "a record for each change and none for nothing");
        if !records.is_empty() {
            self.handed.push((records, effect));
        }
    }

    /// The model's view of what's handed over and not on disk: it takes up room.
    fn settling(&self) -> usize {
        let handed = self.handed[self.committed..].iter();
        let settled = handed.filter(|(records, _)| matches!(records[0], GroupRecord::Settled(_)));
        let effects = settled.flat_map(|(_, effect)| effect);
        let settling: BTreeSet<Seq> =
            effects.filter(|(_, at)| matches!(at, At::Done | At::Dead)).map(|(seq, _)| *seq).collect();
        settling.len()
    }

    fn room(&self) -> usize {
        let out = self.at.values().filter(|at| matches!(at, At::Out { .. })).count();
        let taken = out + self.settling();
        assert!(taken <= self.in_flight_max, "{taken} in flight");
        self.in_flight_max - taken
    }

    fn end_attempt(attempt: u32, due: u64) -> At {
        if attempt >= ATTEMPTS_MAX { At::Dead } else { At::Waiting { made: attempt, due } }
    }

    /// Ends leases in the model, and gives what that changes.
    fn end_leases(&mut self, over: impl Fn(MemberId, u64) -> bool) -> Effect {
        let now = self.now;
        let mut effect = Effect::new();
        for (seq, at) in &mut self.at {
            if let At::Out { attempt, member, ends } = *at
                && over(member, ends)
            {
                *at = Self::end_attempt(attempt, now);
                effect.push((*seq, at.clone()));
            }
        }
        effect
    }

    fn expire(&mut self) {
        let now = self.now;
        let effect = self.end_leases(|_, ends| ends <= now);
        let records = self.group.expire(Time(now));
        self.hand(records, effect);
    }

    fn take(&mut self, who: usize, max: usize) {
        let member = self.member(who);
        self.expire();
        let expected = self.model_take(member, max);
        let given = self.group_take(member, max);
        assert_eq!(given, expected, "deliveries at {}", self.now);
        self.tags.extend(given.into_iter().map(|tag| (member, tag)));
    }

    fn model_take(&mut self, member: MemberId, max: usize) -> Vec<Tag> {
        let (room, now) = (self.room().min(max), self.now);
        let mut due: Vec<(u64, Seq, u32)> = Vec::new();
        for (seq, at) in &self.at {
            if let At::Waiting { made, due: when } = at
                && *when <= now
            {
                due.push((*when, *seq, made + 1));
            }
        }
        due.sort_unstable();
        let mut tags: Vec<Tag> = due.into_iter().take(room).map(|(_, seq, attempt)| Tag { seq, attempt }).collect();
        if tags.is_empty() {
            let unseen = self.at.iter().filter(|(_, at)| **at == At::Unseen);
            tags = unseen.take(room).map(|(seq, _)| Tag { seq: *seq, attempt: 1 }).collect();
        }
        let ends = now + micros(LEASE);
        for tag in &tags {
            self.at.insert(tag.seq, At::Out { attempt: tag.attempt, member, ends });
        }
        tags
    }

    /// What a worker does, without waiting.
    fn group_take(&mut self, member: MemberId, max: usize) -> Vec<Tag> {
        let now = Time(self.now);
        let due = self.group.due(now, max);
        if !due.is_empty() {
            let leased = due.into_iter().map(|seq| (seq, self.group.lease_due(seq, member, now)));
            return leased.map(|(seq, attempt)| Tag { seq, attempt: attempt.expect("due") }).collect();
        }
        let room = max.min(self.group.fresh_room());
        let mut tags = Vec::new();
        for seq in self.group.scanned() + 1..=self.events.len() as u64 {
            if tags.len() == room {
                return tags;
            }
            if self.events[seq as usize - 1] && self.group.offer(seq, member, now) {
                tags.push(Tag { seq, attempt: 1 });
            }
        }
        if room > 0 {
            self.group.pass(self.events.len() as u64);
        }
        tags
    }

    fn settle(&mut self, who: usize, picks: &[(usize, u8)]) {
        let member = self.member(who);
        let now = self.now;
        // Ended leases first, as the group does it in the same step.
        let mut effect = self.end_leases(|_, ends| ends <= now);
        let mut settlements = Vec::new();
        let mut counted = 0;
        for (pick, how) in picks {
            // From behind, so that the latest tags are the likeliest.
            let Some((_, tag)) = self.tags.iter().rev().nth(*pick) else { continue };
            let settlement = settlement(*how);
            let at = self.at.get_mut(&tag.seq).expect("known");
            if matches!(at, At::Out { attempt, member: holder, .. } if *attempt == tag.attempt && *holder == member) {
                *at = model_end(tag.attempt, &settlement, now);
                effect.push((tag.seq, at.clone()));
                counted += 1;
            }
            settlements.push((*tag, settlement));
        }
        let (count, records) = self.group.settle(member, settlements, Time(now), &mut || 0.0);
        assert_eq!(count, counted, "settlements that counted");
        self.hand(records, effect);
    }

    fn commit(&mut self, count: usize) {
        for _ in 0..count.min(self.handed.len() - self.committed) {
            let (records, _) = &self.handed[self.committed];
            for record in records {
                // Through its bytes, as the log does it.
                match GroupRecord::decode(&record.encode()).unwrap() {
                    GroupRecord::Settled(settled) => self.group.fold(&settled),
                    GroupRecord::Revived(revived) => self.group.fold_revived(&revived),
                    other => panic!("{other:?}"),
                }
            }
            self.committed += 1;
            // What is revived waits from the moment on in which it's on disk.
            if let (records, effect) = &self.handed[self.committed - 1]
                && matches!(records[0], GroupRecord::Revived(_))
            {
                self.at.extend(effect.iter().cloned());
            }
            self.rested();
            self.check_durable();
        }
    }

    /// Without members the group forgets what is live, as in a crash.
    fn rested(&mut self) {
        if self.members.is_empty() {
            self.recovered += self.group.durable.retries.len();
        }
    }

    /// The model as of the records on disk.
    fn durable_model(&self) -> BTreeMap<Seq, At> {
        let wanted = self.events.iter().enumerate().filter(|(_, wanted)| **wanted);
        let mut at: BTreeMap<Seq, At> = wanted.map(|(index, _)| (index as u64 + 1, At::Unseen)).collect();
        for (_, effect) in &self.handed[..self.committed] {
            at.extend(effect.iter().cloned());
        }
        at
    }

    fn check_durable(&self) {
        let durable = &self.group.durable;
        for (seq, at) in self.durable_model() {
            let waits = durable.retries.get(&seq).map(|retry| (retry.made, retry.due.0));
            match at {
                At::Unseen => assert!(!durable.settled.contains(seq) && waits.is_none(), "{seq} is neither"),
                At::Waiting { made, due } => assert_eq!(waits, Some((made, due)), "{seq} waits"),
                At::Done => assert!(durable.settled.contains(seq) && !durable.dead.contains_key(&seq), "{seq} is done"),
                At::Dead => assert!(durable.settled.contains(seq) && durable.dead.contains_key(&seq), "{seq} is dead"),
                At::Out { .. } => unreachable!(),
            }
            assert!(waits.is_none() || matches!(at, At::Waiting { .. }));
        }
        // The memory: not more ranges than unsettled events and one. (Retries known from before a crash or a rest stand above what
        // is looked through and are settled each for itself.)
        let unsettled = self.at.values().filter(|at| !matches!(at, At::Done | At::Dead)).count();
        assert!(durable.settled.len() <= unsettled + self.settling() + 1 + self.recovered);
    }

    fn renew(&mut self, who: usize, pick: usize) {
        let member = self.member(who);
        let Some((_, tag)) = self.tags.iter().rev().nth(pick).copied() else { return };
        let (now, until) = (self.now, self.now + micros(LEASE));
        if let Some(At::Out { attempt, member: holder, ends }) = self.at.get_mut(&tag.seq)
            && (*attempt, *holder) == (tag.attempt, member)
            && *ends > now
        {
            *ends = until;
        }
        self.group.renew(member, &[tag], Time(now));
    }

    fn leave(&mut self, who: usize) {
        let Some(member) = self.members.remove(&who) else { return };
        let effect = self.end_leases(|holder, _| holder == member);
        let records = self.group.leave(member, Time(self.now));
        match records.last() {
            // The last one gone has told what was looked through, in a record of its own; it changes nothing.
            Some(Settled { retries, dead, .. }) if effect.is_empty() && retries.is_empty() && dead.is_empty() => {
                self.handed.push((records.into_iter().map(GroupRecord::Settled).collect(), effect));
            }
            _ => self.hand(records, effect),
        }
        self.rested();
    }

    fn revive(&mut self, again: bool, pick: usize) {
        let dead = self.group.durable.dead.keys().copied().collect::<Vec<_>>();
        let Some(seq) = dead.get(pick).copied() else { return };
        let records = self.group.revive(vec![seq, seq, 9_999], again);
        assert_eq!(self.group.revive(vec![seq], again), [], "taken out once");
        let under_way = self.handed[self.committed..].iter().flat_map(|(records, _)| records);
        let before = under_way.filter(|record| matches!(record, GroupRecord::Revived(r) if r.seqs == [seq])).count();
        assert_eq!(records.len(), 1 - before);
        let effect = vec![(seq, if again { At::Waiting { made: 0, due: 0 } } else { At::Done })];
        if let [record] = &records[..] {
            self.handed.push((vec![GroupRecord::Revived(record.clone())], effect));
        }
    }

    fn checkpoint(&mut self) {
        let mut bytes = Vec::new();
        self.group.durable.save(&self.group.passed(), &mut bytes);
        let loaded = Durable::load(&mut Cut::new(&bytes)).unwrap();
        assert_eq!((&loaded.retries, &loaded.dead), (&self.group.durable.retries, &self.group.durable.dead));
        let mut again = Vec::new();
        loaded.save(&[], &mut again);
        assert_eq!(again, bytes);
        self.saved = Some((self.committed, bytes));
    }

    /// The process dies and a new one folds what is on disk, with or without a checkpoint.
    fn crash(&mut self) {
        let (from, durable) = match &self.saved {
            Some((from, bytes)) => (*from, Durable::load(&mut Cut::new(bytes)).unwrap()),
            None => (0, Durable::beginning_after(0)),
        };
        self.group = Group::with(made(self.in_flight_max), durable);
        for record in self.handed[from..self.committed].iter().flat_map(|(records, _)| records) {
            match record {
                GroupRecord::Settled(settled) => self.group.fold(settled),
                GroupRecord::Revived(revived) => self.group.fold_revived(revived),
                other => panic!("{other:?}"),
            }
        }
        self.recovered += self.group.durable.retries.len();
        self.handed.truncate(self.committed);
        self.members.clear();
        self.tags.clear();
        self.at = self.durable_model();
        self.check_durable();
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Append(wanted) => {
                for wanted in wanted {
                    self.events.push(wanted);
                    if wanted {
                        self.at.insert(self.events.len() as u64, At::Unseen);
                    }
                }
            }
            Step::Take { who, max } => self.take(who, max),
            Step::Settle { who, picks } => self.settle(who, &picks),
            Step::Commit(count) => self.commit(count),
            Step::Pass(millis) => self.now += millis * 1_000,
            Step::Leave(who) => self.leave(who),
            Step::Renew { who, pick } => self.renew(who, pick),
            Step::Revive { again, pick } => self.revive(again, pick),
            Step::Checkpoint => self.checkpoint(),
            Step::Crash => self.crash(),
        }
    }

    /// Everything that's left is delivered and settled, and then nothing is.
    fn finish(&mut self) {
        for _ in 0..1_000 {
            self.now += 1_000_000;
            self.take(0, 100);
            let picks: Vec<_> = (0..self.tags.len().min(100)).map(|pick| (pick, 0)).collect();
            self.settle(0, &picks);
            self.commit(usize::MAX);
            if self.at.values().all(|at| matches!(at, At::Done | At::Dead)) {
                self.take(0, 1);
                assert_eq!(self.group.low(), self.events.len() as u64, "the low-water has moved over all");
                return;
            }
        }
        panic!("never delivered: {:?}", self.at);
    }
}

fn settlement(how: u8) -> Settlement {
    match how {
        0..=2 => Settlement::Done,
        3 => Settlement::Retry { after: None, why: "busy".into() },
        4 => Settlement::Retry { after: Some(Duration::from_millis(5)), why: "soon".into() },
        _ => Settlement::Dead { why: "never".into() },
    }
}

fn model_end(attempt: u32, settlement: &Settlement, now: u64) -> At {
    match settlement {
        Settlement::Done => At::Done,
        Settlement::Dead { .. } => At::Dead,
        Settlement::Retry { after, .. } => {
            let doubled = [10_000, 20_000, 35_000][attempt as usize - 1];
            World::end_attempt(attempt, now + after.map_or(doubled, micros))
        }
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn a_group_does_what_the_plainest_model_does(
        in_flight_max in 1_usize..9,
        steps in prop::collection::vec(step(), 1..90),
    ) {
        let mut world = World::new(in_flight_max);
        for step in steps {
            world.run(step);
        }
        world.finish();
    }
}

/// The last member leaves behind what was looked through. A letter that is being revived at that moment lies within, and
/// its revival stands before it in the log: it must not be settled again.
#[test]
fn a_revival_under_way_is_not_undone_by_the_last_member_that_leaves() {
    let mut world = World::new(8);
    world.run(Step::Append(vec![true, true, false, false, false, false, false, false]));
    world.run(Step::Take { who: 0, max: 2 });
    world.run(Step::Settle { who: 0, picks: vec![(0, 5)] });
    world.run(Step::Take { who: 0, max: 1 });
    world.run(Step::Commit(1));
    world.run(Step::Revive { again: true, pick: 0 });
    world.run(Step::Leave(0));
    world.run(Step::Commit(9));
    world.run(Step::Crash);
    world.finish();
}

/// The same with a settlement: its range would reach over the letter that is being revived.
#[test]
fn a_revival_under_way_is_not_undone_by_a_neighbours_settlement() {
    let mut world = World::new(8);
    world.run(Step::Append(vec![true, true, false]));
    world.run(Step::Take { who: 0, max: 2 });
    world.run(Step::Settle { who: 0, picks: vec![(0, 5)] });
    world.run(Step::Commit(1));
    world.run(Step::Revive { again: true, pick: 0 });
    world.run(Step::Settle { who: 0, picks: vec![(1, 0)] });
    world.run(Step::Commit(9));
    world.run(Step::Crash);
    world.finish();
}
