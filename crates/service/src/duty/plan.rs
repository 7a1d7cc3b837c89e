//! Who should do what: decided from what all can see, by each for itself.

/// The duty of looking for what is due in the store, and for what dead lives have left in the outbox.
pub(crate) const LOOK: &str = "look";

/// The duty of taking events from the bus and sorting them into parts.
pub(crate) const SORT: &str = "sort";

const PART: &str = "part/";

/// The name of a part's duty.
pub(crate) fn part_name(part: u32) -> String {
    // With leading zeros, so that names and numbers stand in one order.
    format!("{PART}{part:04}")
}

/// Which part's duty that is.
pub(crate) fn part_of(name: &str) -> Option<u32> {
    name.strip_prefix(PART)?.parse().ok()
}

/// A life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkerRow {
    pub(crate) token: i64,
    /// Whether it was silent for too long.
    pub(crate) is_over: bool,
}

/// A duty, and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DutyRow {
    pub(crate) name: String,
    pub(crate) token: Option<i64>,
    /// Whether that life has not been declared dead.
    pub(crate) is_kept: bool,
    /// Whether something that it published has not left yet.
    pub(crate) has_said: bool,
}

/// How all stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) workers: Vec<WorkerRow>,
    pub(crate) duties: Vec<DutyRow>,
}

/// What one life does about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Lives to be declared dead.
    pub(crate) bury: Vec<i64>,
    /// Duties to be taken, and whom they were seen with.
    pub(crate) claim: Vec<(String, Option<i64>)>,
    /// Parts to be given up in good order.
    pub(crate) give_up: Vec<u32>,
}

/// What this life should do.
pub(crate) fn decide(view: &View, me: i64) -> Plan {
    let mut plan =
        Plan { bury: view.workers.iter().filter(|row| row.is_over).map(|row| row.token).collect(), ..Plan::default() };
    plan.bury.retain(|token| *token != me);
    let living: Vec<i64> =
        view.workers.iter().filter(|row| !row.is_over || row.token == me).map(|row| row.token).collect();
    if !living.contains(&me) {
        return Plan::default();
    }
    let (parts, others): (Vec<_>, Vec<_>) = view.duties.iter().partition(|duty| part_of(&duty.name).is_some());
    plan.claim.extend(others.into_iter().filter(|duty| !duty.is_kept).map(|duty| (duty.name.clone(), duty.token)));
    let held_by = |token: i64| parts.iter().filter(|duty| duty.is_kept && duty.token == Some(token)).count();
    let (least, most) = (parts.len() / living.len(), parts.len().div_ceil(living.len()));
    let mine = held_by(me);
    let free: Vec<_> = parts.iter().filter(|duty| !duty.is_kept).collect();
    // Those behind whom something is still to leave are free in a moment.
    let ready = free.iter().filter(|duty| !duty.has_said);
    plan.claim.extend(ready.take(most.saturating_sub(mine)).map(|duty| (duty.name.clone(), duty.token)));
    let is_one_poor = living.iter().any(|token| held_by(*token) < least);
    let is_first_rich = living.iter().find(|token| held_by(**token) == most) == Some(&me);
    let surplus = match mine.saturating_sub(most) {
        0 if free.is_empty() && is_one_poor && is_first_rich && mine > least => 1,
        surplus => surplus,
    };
    let held = parts.iter().filter(|duty| duty.is_kept && duty.token == Some(me));
    plan.give_up = held.rev().take(surplus).filter_map(|duty| part_of(&duty.name)).collect();
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(living: &[i64], over: &[i64], parts: &[Option<i64>]) -> View {
        let all = living.iter().chain(over);
        let mut workers: Vec<_> = all.map(|token| WorkerRow { token: *token, is_over: over.contains(token) }).collect();
        workers.sort_by_key(|row| row.token);
        let is_kept = |token: Option<i64>| token.is_some_and(|token| living.contains(&token) || over.contains(&token));
        let duty = |(at, token): (usize, &Option<i64>)| DutyRow {
            name: part_name(at as u32),
            token: *token,
            is_kept: is_kept(*token),
            has_said: false,
        };
        View { workers, duties: parts.iter().enumerate().map(duty).collect() }
    }

    /// Lets all decide in turn until nobody has anything to do; gives who has how many.
    fn settle(living: &[i64], mut parts: Vec<Option<i64>>) -> Vec<usize> {
        for _ in 0..100 {
            let mut is_quiet = true;
            for me in living {
                let plan = decide(&view(living, &[], &parts), *me);
                for (name, from) in &plan.claim {
                    let part = &mut parts[part_of(name).unwrap() as usize];
                    if part == from {
                        *part = Some(*me);
                    }
                }
                plan.give_up.iter().for_each(|part| parts[*part as usize] = None);
                is_quiet &= plan == Plan::default();
            }
            if is_quiet {
                return living.iter().map(|me| parts.iter().filter(|part| **part == Some(*me)).count()).collect();
            }
        }
        panic!("they never agree: {parts:?}");
    }

    #[test]
    fn each_gets_its_share_and_all_agree() {
        assert_eq!(settle(&[1], vec![None; 8]), [8]);
        for count in 1..=10_usize {
            let living: Vec<i64> = (1..=count as i64).collect();
            // One had all, another took everything from a dead one, or nobody had any.
            for parts in [vec![None; 8], vec![Some(1); 8], vec![Some(99); 8], vec![Some(count as i64); 8]] {
                let shares = settle(&living, parts);
                assert_eq!(shares.iter().sum::<usize>(), 8);
                assert!(shares.iter().all(|share| (8 / count..=8_usize.div_ceil(count)).contains(share)), "{shares:?}");
            }
        }
    }

    #[test]
    fn what_a_silent_one_has_is_taken_only_after_it_was_declared_dead_and_all_it_said_has_left() {
        let silent = view(&[1], &[2], &[Some(2), Some(1)]);
        let plan = decide(&silent, 1);
        assert_eq!(plan, Plan { bury: vec![2], ..Plan::default() });
        let mut dead = view(&[1], &[], &[Some(2), Some(1)]);
        dead.duties[0].has_said = true;
        assert_eq!(decide(&dead, 1), Plan::default());
        dead.duties[0].has_said = false;
        assert_eq!(decide(&dead, 1).claim, [(part_name(0), Some(2))]);
        dead.duties[0] = DutyRow { name: LOOK.into(), token: Some(2), is_kept: false, has_said: true };
        assert_eq!(decide(&dead, 1).claim, [(LOOK.to_owned(), Some(2))], "who looks sends it");
    }

    #[test]
    fn who_was_declared_dead_does_nothing() {
        assert_eq!(decide(&view(&[1], &[], &[None]), 2), Plan::default());
    }
}
