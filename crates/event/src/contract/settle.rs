//! Settlements: done, retry after a wait, and which of them count.

use std::time::Duration;

use super::given::{
    append, append_many, dead, event, join, next_payloads, next_tags, options, pairs, poll_times_and_drop, retry,
    settle, settle_done, soon, tag,
};
use super::{Harness, duties};
use crate::delivery::{GroupOptions, Settlement};

duties! {
    what_is_done_never_comes_again,
    a_settlement_counts_once_and_only_for_what_is_out,
    #[needs(DelayedRetry)] a_retry_comes_after_its_wait_and_not_before,
    #[needs(DelayedRetry)] without_a_wait_the_groups_back_off_counts,
    #[needs(DelayedRetry)] the_back_off_doubles_up_to_its_cap,
    a_retry_comes_again_with_the_next_attempt,
    a_retry_that_is_due_comes_before_new_events,
    dropping_a_wait_for_a_retry_loses_nothing,
    #[needs(DelayedRetry)] a_retry_survives_a_crash_with_its_attempt,
    #[needs(DelayedRetry)] a_wait_goes_on_over_a_crash,
    an_event_behind_a_waiting_one_can_be_settled,
    settling_does_not_wait_for_being_polled,
}

async fn what_is_done_never_comes_again(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 3).await;
    let tags = next_tags(&mut *member, 3).await;
    assert_eq!(settle_done(&mut *member, &tags).await, 3);
    harness.pass(harness.span() * 10).await;
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(4, 1)]);
    drop(member);
    let mut member = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 1).await;
    let seqs: Vec<_> = next_tags(&mut *member, 2).await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, [4, 5]);
}

async fn a_settlement_counts_once_and_only_for_what_is_out(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    let mut other = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 3).await;
    assert_eq!(next_tags(&mut *member, 2).await, [(1, 1), (2, 1)]);
    for (what, void) in [
        ("an attempt that was not made", tag(1, 2)),
        ("an attempt 0", tag(1, 0)),
        ("an event that is not out", tag(3, 1)),
        ("an event that isn't there", tag(99, 1)),
        ("the event before the first", tag(0, 1)),
    ] {
        assert_eq!(settle(&mut *member, void, Settlement::Done).await, 0, "{what}");
    }
    assert_eq!(settle(&mut *other, tag(1, 1), Settlement::Done).await, 0, "it's another member's");
    let twice = vec![(tag(1, 1), Settlement::Done), (tag(1, 1), dead()), (tag(9, 9), Settlement::Done)];
    assert_eq!(soon(member.settle(twice)).await, Ok(1));
    assert_eq!(settle(&mut *member, tag(1, 1), Settlement::Done).await, 0, "it is settled");
    assert_eq!(soon(member.settle(vec![])).await, Ok(0));
    assert_eq!(bus.groups(None, 1)[0].dead, 0);
    assert_eq!(next_tags(&mut *member, 1).await, [(3, 1)]);
}

async fn a_retry_comes_after_its_wait_and_not_before(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, GroupOptions { lease: harness.span() * 100, ..options(&*harness) }).await;
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(1, 1)]);
    assert_eq!(settle(&mut *member, tag(1, 1), retry(Some(harness.span() * 5))).await, 1);
    // Later events come first: that one waits.
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(2, 1)]);
    harness.pass(harness.span() * 3).await;
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(3, 1)]);
    harness.pass(harness.span() * 3).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(1, 2)]);
}

/// The base is two spans, of which up to a half is taken off.
async fn without_a_wait_the_groups_back_off_counts(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, GroupOptions { lease: harness.span() * 100, ..options(&*harness) }).await;
    append_many(&*bus, "g/x", 40).await;
    let tags = next_tags(&mut *member, 40).await;
    let settlements = tags.iter().map(|(seq, attempt)| (tag(*seq, *attempt), retry(None))).collect();
    assert_eq!(soon(member.settle(settlements)).await, Ok(40));
    harness.pass(harness.span() / 2).await;
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(41, 1)], "none comes before half of it");
    harness.pass(harness.span() * 3).await;
    let mut again = next_tags(&mut *member, 40).await;
    let came = again.clone();
    again.sort_unstable();
    assert_eq!(again, (1..=40).map(|seq| (seq, 2)).collect::<Vec<_>>());
    assert_ne!(came, again, "what failed together doesn't come back together");
}

async fn the_back_off_doubles_up_to_its_cap(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let far = GroupOptions { attempts_max: 0, lease: harness.span() * 100, ..options(&*harness) };
    let mut member = join(&*bus, far).await;
    append_many(&*bus, "g/x", 1).await;
    let mut seq = 1;
    // Two, four, eight, and no more than the cap of eight spans; never less than half of it.
    for (attempt, whole) in [(1, 2), (2, 4), (3, 8), (4, 8), (5, 8)] {
        assert_eq!(next_tags(&mut *member, 1).await, [(1, attempt)]);
        assert_eq!(settle(&mut *member, tag(1, attempt), retry(None)).await, 1);
        harness.pass(harness.span() * whole / 2 - harness.span() / 4).await;
        append_many(&*bus, "g/x", 1).await;
        seq += 1;
        assert_eq!(next_tags(&mut *member, 1).await, [(seq, 1)], "not yet after attempt {attempt}");
        assert_eq!(settle(&mut *member, tag(seq, 1), Settlement::Done).await, 1);
        harness.pass(harness.span() * whole / 2 + harness.span() / 2).await;
    }
}

async fn a_retry_comes_again_with_the_next_attempt(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, GroupOptions { attempts_max: 0, ..options(&*harness) }).await;
    append_many(&*bus, "g/x", 1).await;
    for attempt in 1..=12 {
        assert_eq!(next_tags(&mut *member, 1).await, [(1, attempt)]);
        assert_eq!(settle(&mut *member, tag(1, attempt), retry(Some(harness.span()))).await, 1);
        assert_eq!(settle(&mut *member, tag(1, attempt), Settlement::Done).await, 0, "that attempt is over");
        harness.pass(harness.span() * 2).await;
    }
    assert_eq!(next_tags(&mut *member, 1).await, [(1, 13)], "0 attempts at most means: as many as it takes");
    assert_eq!(settle(&mut *member, tag(1, 13), Settlement::Done).await, 1);
    assert_eq!(bus.groups(None, 1)[0].settled.seq, 1);
}

async fn a_retry_that_is_due_comes_before_new_events(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, GroupOptions { lease: harness.span() * 100, ..options(&*harness) }).await;
    append_many(&*bus, "g/x", 20).await;
    assert_eq!(next_tags(&mut *member, 2).await, [(1, 1), (2, 1)]);
    assert_eq!(settle(&mut *member, tag(1, 1), retry(Some(harness.span()))).await, 1);
    harness.pass(harness.span() * 2).await;
    assert_eq!(next_tags(&mut *member, 2).await, [(1, 2), (3, 1)]);
}

/// Dropped at whatever place: it's not an attempt that nobody has seen.
async fn dropping_a_wait_for_a_retry_loses_nothing(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let far = GroupOptions { attempts_max: 0, lease: harness.span() * 1_000, ..options(&*harness) };
    let mut member = join(&*bus, far).await;
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(1, 1)]);
    for attempt in 1..=30_u32 {
        assert_eq!(settle(&mut *member, tag(1, attempt), retry(Some(Duration::ZERO))).await, 1);
        let again = (1, attempt + 1);
        match poll_times_and_drop(member.next(1), attempt as usize % 10).await {
            Some(deliveries) => assert_eq!(pairs(&deliveries.expect("deliveries")), [again]),
            None => assert_eq!(next_tags(&mut *member, 1).await, [again]),
        }
    }
}

async fn a_retry_survives_a_crash_with_its_attempt(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 2).await;
    assert_eq!(next_tags(&mut *member, 2).await, [(1, 1), (2, 1)]);
    assert_eq!(settle(&mut *member, tag(2, 1), retry(Some(harness.span()))).await, 1);
    assert_eq!(settle(&mut *member, tag(1, 1), Settlement::Done).await, 1);
    drop((member, bus));
    harness.crash().await;
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    harness.pass(harness.span() * 2).await;
    assert_eq!(next_payloads(&mut *member, 1).await, [("1".to_owned(), 2)]);
}

async fn a_wait_goes_on_over_a_crash(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    append_many(&*bus, "g/x", 2).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(1, 1)]);
    assert_eq!(settle(&mut *member, tag(1, 1), retry(Some(harness.span() * 100))).await, 1);
    drop((member, bus));
    harness.crash().await;
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(2, 1)], "the other one waits");
    assert_eq!(bus.groups(None, 1)[0].waiting_retry, 1);
}

async fn an_event_behind_a_waiting_one_can_be_settled(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, GroupOptions { lease: harness.span() * 100, ..options(&*harness) }).await;
    append_many(&*bus, "g/x", 50).await;
    let tags = next_tags(&mut *member, 50).await;
    assert_eq!(settle_done(&mut *member, &tags[1..]).await, 49);
    assert_eq!(bus.groups(None, 1)[0].settled.seq, 0, "everything up to here is settled, and 1 isn't");
    drop((member, bus));
    harness.crash().await;
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    append(&*bus, vec![event("g/x", "new")]).await;
    let mut payloads: Vec<_> = next_payloads(&mut *member, 2).await.into_iter().map(|(payload, _)| payload).collect();
    // Which of the two comes first is told elsewhere.
    payloads.sort_unstable();
    assert_eq!(payloads, ["0", "new"]);
}

async fn settling_does_not_wait_for_being_polled(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let bounded = GroupOptions { in_flight_max: 1, lease: harness.span() * 100, ..options(&*harness) };
    let mut member = join(&*bus, bounded).await;
    append_many(&*bus, "g/x", 2).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(1, 1)]);
    drop(member.settle(vec![(tag(1, 1), Settlement::Done)]));
    assert_eq!(next_tags(&mut *member, 1).await, [(2, 1)]);
}
