//! Groups: one cursor for all members, where it begins, what it wants, and that it survives.

use std::collections::BTreeSet;
use std::time::Duration;

use super::given::{
    append, append_many, event, filter, group, join, next, next_payloads, next_tags, options, pairs, payload,
    poll_and_drop, settle_done, soon, stays_quiet,
};
use super::{Harness, duties};
use crate::bus::{Bus, BusError, Replay};
use crate::delivery::{GroupOptions, Start};

duties! {
    #[needs(Replay)] a_group_begins_where_it_was_told_to,
    #[needs(Replay)] a_start_that_the_log_does_not_have_is_refused,
    a_group_gets_what_its_filters_want_once_each,
    deliveries_hold_the_event_as_it_was_stored,
    first_attempts_come_in_the_order_of_the_log,
    next_gives_no_more_than_asked_for_and_waits_for_the_first,
    members_share_one_cursor,
    groups_do_not_disturb_each_other,
    the_in_flight_bound_holds_over_all_members,
    dropping_a_wait_for_deliveries_loses_nothing,
    what_is_settled_stays_settled_over_a_crash_and_the_rest_comes_again,
    a_new_member_goes_on_where_the_last_one_stopped,
    a_later_join_replaces_the_options_but_not_what_the_group_wants,
    an_ended_group_is_forgotten,
    an_ended_group_stays_forgotten_over_a_crash,
    groups_are_listed_by_name_with_how_they_stand,
    #[needs(Memory)] groups_are_listed_after_a_crash,
}

async fn join_as(bus: &dyn Bus, name: &str, options: GroupOptions) -> Box<dyn crate::bus::Member> {
    soon(bus.join(&group(name), options)).await.expect("joined")
}

async fn a_group_begins_where_it_was_told_to(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let before = bus.append((0..5).map(|at| event("g/x", &at.to_string())).collect());
    let at = |start| GroupOptions { start, ..options(&*harness) };
    // Called after the append, so after its events, durable or not.
    let mut now = join_as(&*bus, "now", at(Start::Now)).await;
    soon(before).await.expect("appended");
    let mut oldest = join_as(&*bus, "oldest", at(Start::Oldest)).await;
    let mut after = join_as(&*bus, "after", at(Start::After(3))).await;
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *now, 1).await, [(6, 1)]);
    assert_eq!(next_tags(&mut *after, 3).await, [(4, 1), (5, 1), (6, 1)]);
    assert_eq!(next_tags(&mut *oldest, 6).await, (1..=6).map(|seq| (seq, 1)).collect::<Vec<_>>());
    [now, oldest, after].into_iter().for_each(std::mem::forget);
    drop(bus);
    harness.crash().await;
    let bus = harness.bus();
    for (name, first) in [("now", 6), ("oldest", 1), ("after", 4)] {
        // Where it begins was said when it was made.
        let mut member = join_as(&*bus, name, GroupOptions { start: Start::Now, ..options(&*harness) }).await;
        assert_eq!(next_tags(&mut *member, 1).await[0].0, first, "{name} after a crash");
    }
}

async fn a_start_that_the_log_does_not_have_is_refused(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append_many(&*bus, "g/x", 3).await;
    let ahead = GroupOptions { start: Start::After(4), ..options(&*harness) };
    let refused = soon(bus.join(&group("ahead"), ahead)).await.err();
    assert_eq!(refused, Some(BusError::NoSuchPosition { head: bus.head() }));
    assert_eq!(bus.groups(None, 10), [], "nothing was made");
}

async fn a_group_gets_what_its_filters_want_once_each(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let filters = vec![filter("g/+"), filter("g/a"), filter("other/#")];
    let mut member = join(&*bus, GroupOptions { filters, ..options(&*harness) }).await;
    for topic in ["g/a", "unwanted", "g/a/deep", "g", "other", "g/b", "$SYS/g", "other/x/y"] {
        append(&*bus, vec![event(topic, topic)]).await;
    }
    let mut got = Vec::new();
    while got.len() < 4 {
        got.extend(next(&mut *member, 10).await.iter().map(|delivery| payload(&delivery.recorded)));
    }
    assert_eq!(got, ["g/a", "other", "g/b", "other/x/y"], "though two filters want the first");
    append(&*bus, vec![event("g/last", "last")]).await;
    assert_eq!(payload(&next(&mut *member, 10).await[0].recorded), "last");
}

async fn deliveries_hold_the_event_as_it_was_stored(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    let publication = event("g/x", "payload");
    let receipt = append(&*bus, vec![publication.clone()]).await.get(0);
    let delivery = next(&mut *member, 1).await.remove(0);
    assert_eq!(delivery.recorded.event, publication.event);
    assert_eq!(delivery.recorded.position, receipt.position);
    assert_eq!((delivery.tag().seq, delivery.tag().attempt), (receipt.position.seq, 1));
}

async fn first_attempts_come_in_the_order_of_the_log(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    let mut last = 0;
    for round in 0..20 {
        append_many(&*bus, "g/x", 7).await;
        for (seq, attempt) in next_tags(&mut *member, 7).await {
            assert_eq!((seq, attempt), (last + 1, 1));
            last = seq;
        }
        let upwards: Vec<_> = (last - 6..=last).map(|seq| (seq, 1)).collect();
        // Settled in any order.
        let tags: Vec<_> = if round % 2 == 0 { upwards } else { upwards.into_iter().rev().collect() };
        assert_eq!(settle_done(&mut *member, &tags).await, 7);
    }
}

async fn next_gives_no_more_than_asked_for_and_waits_for_the_first(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    let mut waiting = member.next(10);
    assert!(stays_quiet(&mut waiting).await, "there is nothing");
    append_many(&*bus, "g/x", 5).await;
    let first = soon(waiting).await.expect("deliveries");
    assert!(!first.is_empty());
    let left = 5 - first.len();
    append_many(&*bus, "g/x", 5).await;
    let mut got = pairs(&first);
    while got.len() < left + 8 {
        // `next` itself checks that there are at most two.
        got.extend(pairs(&next(&mut *member, 2).await));
        if got.len() >= 10 {
            break;
        }
    }
}

async fn members_share_one_cursor(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let members = 4;
    let settled = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..members {
        let mut member = join(&*bus, options(&*harness)).await;
        let settled = std::sync::Arc::clone(&settled);
        tasks.spawn(async move {
            loop {
                let deliveries = next(&mut *member, 5).await;
                let tags = pairs(&deliveries);
                assert_eq!(settle_done(&mut *member, &tags).await, tags.len());
                let mut settled = settled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                settled.extend(tags);
                if settled.len() >= 400 {
                    return;
                }
            }
        });
    }
    for _ in 0..40 {
        append_many(&*bus, "g/x", 10).await;
    }
    soon(tasks.join_next()).await.expect("a member").expect("its work");
    tasks.shutdown().await;
    let mut tags = settled.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    tags.sort_unstable();
    assert_eq!(tags, (1..=400).map(|seq| (seq, 1)).collect::<Vec<_>>(), "each event to one member, once");
}

async fn groups_do_not_disturb_each_other(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut first = join_as(&*bus, "first", options(&*harness)).await;
    let mut second = join_as(&*bus, "second", options(&*harness)).await;
    append_many(&*bus, "g/x", 3).await;
    let tags = next_tags(&mut *first, 3).await;
    assert_eq!(settle_done(&mut *first, &tags).await, 3);
    assert_eq!(settle_done(&mut *second, &tags).await, 0, "these are the other group's");
    assert_eq!(next_tags(&mut *second, 3).await, tags);
}

async fn the_in_flight_bound_holds_over_all_members(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let bounded = GroupOptions { in_flight_max: 5, ..options(&*harness) };
    let (mut first, mut second) = (join(&*bus, bounded.clone()).await, join(&*bus, bounded).await);
    append_many(&*bus, "g/x", 20).await;
    let held = next_tags(&mut *first, 3).await;
    assert_eq!(next_tags(&mut *second, 2).await, [(4, 1), (5, 1)]);
    let mut waiting = second.next(10);
    assert!(stays_quiet(&mut waiting).await, "five are out");
    assert_eq!(settle_done(&mut *first, &held[..2]).await, 2);
    let freed = pairs(&soon(waiting).await.expect("deliveries"));
    assert!(!freed.is_empty() && freed.len() <= 2, "room for two was made: {freed:?}");
    let in_flight = bus.groups(None, 1)[0].in_flight;
    assert!(in_flight <= 5, "{in_flight} are out");
}

async fn dropping_a_wait_for_deliveries_loses_nothing(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    let mut got = Vec::new();
    for round in 0..60 {
        let append = bus.append(vec![event("g/x", "a"), event("unwanted", "b"), event("g/x", "c")]);
        for _ in 0..round % 5 {
            if let Some(deliveries) = poll_and_drop(member.next(3)).await {
                got.extend(pairs(&deliveries.expect("deliveries")));
            }
            tokio::task::yield_now().await;
        }
        soon(append).await.expect("appended");
        if round % 3 == 0
            && let Some(deliveries) = poll_and_drop(member.next(3)).await
        {
            got.extend(pairs(&deliveries.expect("deliveries")));
        }
    }
    let missing = 120 - got.len();
    got.extend(next_tags(&mut *member, missing).await);
    let wanted: Vec<_> = (1..=180).filter(|seq| seq % 3 != 2).map(|seq| (seq, 1)).collect();
    assert_eq!(got, wanted, "each once, with the first attempt, in order");
}

async fn what_is_settled_stays_settled_over_a_crash_and_the_rest_comes_again(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 10).await;
    append_many(&*bus, "unwanted", 10).await;
    let tags = next_tags(&mut *member, 8).await;
    let (done, open): (Vec<_>, Vec<_>) = tags.into_iter().partition(|(seq, _)| seq % 3 != 0);
    assert_eq!(settle_done(&mut *member, &done).await, 6);
    // The crash takes the member with it; it doesn't give anything back.
    std::mem::forget(member);
    drop(bus);
    harness.crash().await;
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    append(&*bus, vec![event("g/x", "new")]).await;
    let again = next_payloads(&mut *member, 5).await;
    let payloads: BTreeSet<_> = again.iter().map(|(payload, _)| payload.clone()).collect();
    // The payload of the first event is 0.
    let wanted = open.iter().map(|(seq, _)| (seq - 1).to_string()).chain(["8", "9", "new"].map(str::to_owned));
    assert_eq!(payloads, wanted.collect());
    assert!(again.iter().all(|(_, attempt)| *attempt <= 2), "a crash counts as one attempt at the most");
}

async fn a_new_member_goes_on_where_the_last_one_stopped(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 4).await;
    let tags = next_tags(&mut *member, 4).await;
    assert_eq!(settle_done(&mut *member, &tags).await, 4);
    drop(member);
    append_many(&*bus, "g/x", 3).await;
    let mut member = join(&*bus, GroupOptions { start: Start::Now, ..options(&*harness) }).await;
    assert_eq!(next_tags(&mut *member, 3).await, [(5, 1), (6, 1), (7, 1)], "what came while nobody was there");
}

async fn a_later_join_replaces_the_options_but_not_what_the_group_wants(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut first = join(&*bus, GroupOptions { in_flight_max: 1, ..options(&*harness) }).await;
    append_many(&*bus, "g/x", 4).await;
    append_many(&*bus, "other", 1).await;
    assert_eq!(next_tags(&mut *first, 1).await, [(1, 1)]);
    let lease = harness.span() * 50;
    let later = GroupOptions {
        filters: vec![filter("other")],
        start: Start::Now,
        in_flight_max: 3,
        lease,
        ..options(&*harness)
    };
    let mut second = join(&*bus, later).await;
    assert_eq!(second.lease(), lease);
    assert_eq!(next_tags(&mut *second, 2).await, [(2, 1), (3, 1)]);
    assert!(stays_quiet(&mut second.next(10)).await, "three are out");
    assert_eq!(bus.groups(None, 1)[0].filters, [filter("g/#")]);
}

async fn an_ended_group_is_forgotten(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 3).await;
    let tags = next_tags(&mut *member, 2).await;
    assert_eq!(settle_done(&mut *member, &tags[..1]).await, 1);
    {
        // Nobody else is woken by anything but the end.
        let mut idle = soon(bus.join(&group("idle"), GroupOptions { start: Start::Now, ..options(&*harness) }))
            .await
            .expect("joined");
        let mut waiting = idle.next(1);
        assert!(stays_quiet(&mut waiting).await);
        soon(bus.end_group(&group("idle"))).await.expect("ended");
        assert_eq!(soon(waiting).await, Err(BusError::Closed), "who waits is told");
    }
    soon(bus.end_group(&group("workers"))).await.expect("ended");
    assert_eq!(soon(member.next(1)).await, Err(BusError::Closed));
    assert_eq!(soon(member.settle(vec![])).await, Err(BusError::Closed));
    assert_eq!(bus.groups(None, 10), []);
    soon(bus.end_group(&group("workers"))).await.expect("ending what isn't there is nothing to complain of");
    let mut fresh = join(&*bus, options(&*harness)).await;
    drop(member);
    knows_nothing(&*bus, &mut *fresh, 3).await;
}

/// A new group of an old name begins where it was told to, or with what comes where there's nothing to begin with.
async fn knows_nothing(bus: &dyn Bus, fresh: &mut dyn crate::bus::Member, stored: u64) {
    if bus.abilities().replay == Replay::Full {
        let count = usize::try_from(stored).expect("a few");
        assert_eq!(next_tags(fresh, count).await, (1..=stored).map(|seq| (seq, 1)).collect::<Vec<_>>());
        return;
    }
    append(bus, vec![event("g/x", "new")]).await;
    assert_eq!(next_payloads(fresh, 1).await, [("new".to_owned(), 1)]);
}

async fn an_ended_group_stays_forgotten_over_a_crash(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 2).await;
    let tags = next_tags(&mut *member, 2).await;
    assert_eq!(settle_done(&mut *member, &tags).await, 2);
    soon(bus.end_group(&group("workers"))).await.expect("ended");
    drop((member, bus));
    harness.crash().await;
    let bus = harness.bus();
    assert_eq!(bus.groups(None, 10), []);
    let mut member = join(&*bus, options(&*harness)).await;
    knows_nothing(&*bus, &mut *member, 2).await;
}

async fn groups_are_listed_by_name_with_how_they_stand(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let names = ["c", "a", "b"];
    let mut members = Vec::new();
    for name in names {
        members.push(join_as(&*bus, name, options(&*harness)).await);
    }
    append_many(&*bus, "g/x", 6).await;
    append_many(&*bus, "unwanted", 3).await;
    let member = &mut members[1];
    let tags = next_tags(&mut **member, 5).await;
    let settlements = vec![
        (super::given::tag(1, 1), crate::delivery::Settlement::Done),
        (super::given::tag(2, 1), super::given::dead()),
        (super::given::tag(4, 1), super::given::retry(Some(Duration::from_secs(3_600)))),
    ];
    assert_eq!(tags.len(), 5);
    assert_eq!(soon(member.settle(settlements)).await, Ok(3));
    let stat = bus.groups(None, 1).remove(0);
    assert_eq!((stat.name.as_str(), &stat.filters[..]), ("a", &[filter("g/#")][..]));
    assert_eq!((stat.settled.seq, stat.in_flight, stat.dead, stat.members), (2, 2, 1, 1));
    assert_eq!(stat.settled.epoch, bus.head().epoch);
    assert_eq!(stat.waiting_retry, 1);
    let listed = |after: Option<&str>, limit| {
        let stats = harness.bus().groups(after.map(group).as_ref(), limit);
        stats.iter().map(|stat| stat.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, 10), ["a", "b", "c"]);
    assert_eq!(listed(None, 2), ["a", "b"]);
    assert_eq!(listed(Some("a"), 2), ["b", "c"]);
    assert_eq!(listed(Some("bb"), 2), ["c"]);
    assert_eq!(listed(Some("c"), 2), Vec::<String>::new());
}

async fn groups_are_listed_after_a_crash(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut members = Vec::new();
    for name in ["c", "a", "b"] {
        members.push(join_as(&*bus, name, options(&*harness)).await);
    }
    append_many(&*bus, "g/x", 3).await;
    assert_eq!(next_tags(&mut *members[1], 3).await.len(), 3);
    let settlements = vec![
        (super::given::tag(1, 1), crate::delivery::Settlement::Done),
        (super::given::tag(2, 1), super::given::dead()),
    ];
    assert_eq!(soon(members[1].settle(settlements)).await, Ok(2));
    drop((members, bus));
    harness.crash().await;
    let stats = harness.bus().groups(None, 10);
    assert_eq!(stats.iter().map(|stat| stat.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(stats.iter().all(|stat| stat.members == 0 && stat.in_flight == 0));
    assert_eq!((stats[0].settled.seq, stats[0].dead), (2, 1));
}
