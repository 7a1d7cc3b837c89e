//! Leases: what becomes of deliveries whose worker says nothing.

use super::given::{append_many, join, next_tags, options, settle, settle_done, soon, tag};
use super::{Harness, duties};
use crate::delivery::{GroupOptions, Settlement};

duties! {
    a_member_says_how_long_its_leases_are,
    a_lease_that_ends_gives_the_delivery_to_another_member,
    a_settlement_after_the_lease_has_ended_is_passed_over,
    an_ended_lease_delivers_once_more_and_not_many_times,
    a_waiting_member_gets_what_another_one_held_too_long,
    a_renewed_lease_goes_on,
    only_its_own_member_renews_a_lease,
    a_dropped_member_gives_back_at_once,
    ended_leases_use_attempts_up,
    dropped_members_use_attempts_up,
}

async fn a_member_says_how_long_its_leases_are(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let member = join(&*bus, options(&*harness)).await;
    assert_eq!(member.lease(), harness.span() * 2);
}

async fn a_lease_that_ends_gives_the_delivery_to_another_member(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut frozen = join(&*bus, options(&*harness)).await;
    let mut other = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 2).await;
    assert_eq!(next_tags(&mut *frozen, 1).await, [(1, 1)]);
    assert_eq!(next_tags(&mut *other, 1).await, [(2, 1)], "it is leased");
    assert_eq!(settle(&mut *other, tag(2, 1), Settlement::Done).await, 1);
    harness.pass(harness.span() * 3).await;
    assert_eq!(next_tags(&mut *other, 1).await, [(1, 2)]);
    assert_eq!(settle(&mut *other, tag(1, 2), Settlement::Done).await, 1);
    assert_eq!(bus.groups(None, 1)[0].settled.seq, 2);
}

async fn a_settlement_after_the_lease_has_ended_is_passed_over(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut late = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *late, 1).await, [(1, 1)]);
    harness.pass(harness.span() * 3).await;
    assert_eq!(settle(&mut *late, tag(1, 1), Settlement::Done).await, 0);
    assert_eq!(next_tags(&mut *late, 1).await, [(1, 2)], "it comes again");
    assert_eq!(settle(&mut *late, tag(1, 1), Settlement::Done).await, 0, "the old tag is void");
    assert_eq!(settle(&mut *late, tag(1, 2), Settlement::Done).await, 1);
}

async fn an_ended_lease_delivers_once_more_and_not_many_times(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut frozen = join(&*bus, options(&*harness)).await;
    let mut other = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 3).await;
    assert_eq!(next_tags(&mut *frozen, 3).await.len(), 3);
    // Many leases' time, and still one redelivery.
    for _ in 0..5 {
        harness.pass(harness.span() * 3).await;
    }
    append_many(&*bus, "g/x", 1).await;
    let tags = next_tags(&mut *other, 4).await;
    assert_eq!(tags, [(1, 2), (2, 2), (3, 2), (4, 1)]);
    assert_eq!(settle_done(&mut *other, &tags).await, 4);
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *other, 1).await, [(5, 1)]);
}

async fn a_waiting_member_gets_what_another_one_held_too_long(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut frozen = join(&*bus, options(&*harness)).await;
    let mut waiting = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *frozen, 1).await, [(1, 1)]);
    let waits = tokio::spawn(async move { next_tags(&mut *waiting, 1).await });
    harness.pass(harness.span() * 3).await;
    assert_eq!(soon(waits).await.expect("the member"), [(1, 2)]);
}

async fn a_renewed_lease_goes_on(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 2).await;
    assert_eq!(next_tags(&mut *member, 2).await, [(1, 1), (2, 1)]);
    for _ in 0..4 {
        harness.pass(harness.span()).await;
        // A tag that is nobody's does no harm.
        member.renew(&[tag(1, 1), tag(2, 7), tag(99, 1)]);
    }
    assert_eq!(settle(&mut *member, tag(1, 1), Settlement::Done).await, 1);
    assert_eq!(settle(&mut *member, tag(2, 1), Settlement::Done).await, 0, "this one was not renewed");
    harness.pass(harness.span() * 3).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(2, 2)]);
    harness.pass(harness.span() * 3).await;
    member.renew(&[tag(2, 2)]);
    assert_eq!(
        settle(&mut *member, tag(2, 2), Settlement::Done).await,
        0,
        "renewed after its end is no more than ended"
    );
}

async fn only_its_own_member_renews_a_lease(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    let mut other = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(1, 1)]);
    for _ in 0..3 {
        harness.pass(harness.span()).await;
        other.renew(&[tag(1, 1)]);
    }
    assert_eq!(next_tags(&mut *other, 1).await, [(1, 2)]);
}

async fn a_dropped_member_gives_back_at_once(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let far = GroupOptions { lease: harness.span() * 100, ..options(&*harness) };
    let mut member = join(&*bus, far.clone()).await;
    let mut other = join(&*bus, far).await;
    append_many(&*bus, "g/x", 4).await;
    assert_eq!(next_tags(&mut *member, 3).await.len(), 3);
    assert_eq!(settle(&mut *member, tag(2, 1), Settlement::Done).await, 1);
    assert_eq!(next_tags(&mut *other, 1).await, [(4, 1)]);
    let waits = tokio::spawn(async move { (next_tags(&mut *other, 2).await, other) });
    tokio::task::yield_now().await;
    drop(member);
    let (tags, _other) = soon(waits).await.expect("the member");
    assert_eq!(tags, [(1, 2), (3, 2)], "at once, with the attempt counted");
    assert_eq!(bus.groups(None, 1)[0].members, 1);
}

async fn ended_leases_use_attempts_up(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, GroupOptions { attempts_max: 2, ..options(&*harness) }).await;
    append_many(&*bus, "g/x", 1).await;
    for attempt in 1..=2 {
        assert_eq!(next_tags(&mut *member, 1).await, [(1, attempt)]);
        harness.pass(harness.span() * 3).await;
    }
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(2, 1)]);
    assert_eq!(settle(&mut *member, tag(2, 1), Settlement::Done).await, 1);
    let letters = soon(bus.dead_letters(&super::given::group("workers"), 0, 10)).await.expect("letters");
    assert_eq!(letters.iter().map(|l| (l.recorded.position.seq, l.attempts)).collect::<Vec<_>>(), [(1, 2)]);
    assert!(!letters[0].why.is_empty(), "says that nobody answered");
}

async fn dropped_members_use_attempts_up(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    // The group is there before its events.
    drop(join(&*bus, options(&*harness)).await);
    append_many(&*bus, "g/x", 2).await;
    for attempt in 1..=3 {
        let mut member = join(&*bus, options(&*harness)).await;
        assert_eq!(next_tags(&mut *member, 1).await, [(1, attempt)]);
    }
    let mut member = join(&*bus, options(&*harness)).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(2, 1)], "three attempts at most");
    assert_eq!(settle(&mut *member, tag(2, 1), Settlement::Done).await, 1);
    assert_eq!(bus.groups(None, 1)[0].dead, 1);
}
