//! When the storage fails, when retention overtakes a group, and at the end of the program.

use super::given::{
    append, append_many, event, everything, join, next_tags, options, producer, read_after, settle_done, soon, start,
    stays_quiet, sticky,
};
use super::{Harness, Verdict, duties};
use crate::bus::{BusError, Health, Replay};
use crate::delivery::GroupOptions;

duties! {
    failed_storage_acknowledges_nothing_and_reads_go_on,
    what_was_acknowledged_before_the_storage_failed_is_there_after_a_crash,
    #[needs(Replay)] a_group_that_retention_overtook_is_told_once_and_goes_on,
    a_closed_engine_says_so,
}

async fn failed_storage_acknowledges_nothing_and_reads_go_on(mut harness: Box<dyn Harness>) -> Verdict {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    append(&*bus, vec![sticky("s", "state")]).await;
    append_many(&*bus, "g/x", 3).await;
    let tags = next_tags(&mut *member, 3).await;
    let head = bus.head();
    if !harness.fail_storage().await {
        return Verdict::Declared("be given a disk that fails");
    }
    for _ in 0..3 {
        let refused = soon(bus.append(vec![event("a", "lost")])).await;
        assert!(matches!(refused, Err(BusError::Storage(_))), "{refused:?}");
    }
    let refused = soon(bus.use_up(producer(1), 1)).await;
    assert!(matches!(refused, Err(BusError::Storage(_))), "{refused:?}");
    let settlements = tags.iter().map(|(seq, attempt)| (super::given::tag(*seq, *attempt), crate::Settlement::Done));
    let refused = soon(member.settle(settlements.collect())).await;
    assert!(matches!(refused, Err(BusError::Storage(_))), "{refused:?}");
    assert!(matches!(bus.health(), Health::Failing(why) if !why.is_empty()));
    assert_eq!(bus.head(), head, "what is not durable is not there");
    if bus.abilities().replay == Replay::Full {
        assert_eq!(read_after(&*bus, start(&*bus)).await.len(), 4);
    }
    let page = soon(bus.latest(&super::given::filter("#"), None, 10)).await.expect("states");
    assert_eq!(page.events.len(), 1);
    Verdict::Kept
}

async fn what_was_acknowledged_before_the_storage_failed_is_there_after_a_crash(
    mut harness: Box<dyn Harness>,
) -> Verdict {
    let bus = harness.bus();
    append_many(&*bus, "a", 10).await;
    let publication = event("a", "perhaps");
    if !harness.fail_storage().await {
        return Verdict::Declared("be given a disk that fails");
    }
    soon(bus.append(vec![publication.clone()])).await.expect_err("storage fails");
    drop(bus);
    harness.crash().await;
    let bus = harness.bus();
    assert_eq!(bus.health(), Health::Good);
    assert!(bus.head().seq == 10 || bus.head().seq == 11, "it may or may not be there");
    append(&*bus, vec![publication]).await;
    assert_eq!(bus.head().seq, 11, "and with the same id it is there once");
    Verdict::Kept
}

async fn a_group_that_retention_overtook_is_told_once_and_goes_on(mut harness: Box<dyn Harness>) -> Verdict {
    let bus = harness.bus();
    let mut member = join(&*bus, GroupOptions { lease: harness.span() * 100, ..options(&*harness) }).await;
    // Enough that an engine that frees by the block has whole blocks to free.
    for _ in 0..40 {
        let mut batch: Vec<_> = (0..4).map(|_| event("g/x", "")).collect();
        batch.iter_mut().for_each(|publication| publication.event.payload = vec![b'x'; 50_000].into());
        append(&*bus, batch).await;
    }
    let held = next_tags(&mut *member, 1).await;
    assert_eq!(held, [(1, 1)]);
    if !harness.free(150).await {
        return Verdict::Declared("be told to free events");
    }
    let oldest = bus.oldest();
    assert!(oldest.seq > 1, "some events: {oldest}");
    assert_eq!(soon(member.next(1)).await, Err(BusError::Gone { oldest }));
    let count = usize::try_from(160 - oldest.seq).expect("a few");
    let wanted: Vec<_> = (oldest.seq + 1..=160).map(|seq| (seq, 1)).collect();
    assert_eq!(next_tags(&mut *member, count).await, wanted);
    assert_eq!(settle_done(&mut *member, &held).await, 1, "what was out can still be settled");
    assert_eq!(settle_done(&mut *member, &wanted).await, count);
    assert_eq!(bus.groups(None, 1)[0].settled.seq, 160);
    Verdict::Kept
}

async fn a_closed_engine_says_so(mut harness: Box<dyn Harness>) -> Verdict {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    let mut tail = bus.tail(bus.head()).expect("a tail");
    let mut reading = tail.next(&everything);
    let mut waiting = member.next(1);
    assert!(stays_quiet(&mut waiting).await && stays_quiet(&mut reading).await);
    if !harness.close().await {
        return Verdict::Declared("be closed");
    }
    assert_eq!(soon(waiting).await, Err(BusError::Closed), "a member that waits");
    assert_eq!(soon(reading).await, Err(BusError::Closed), "a reader that waits");
    assert_eq!(soon(bus.append(vec![event("a", "late")])).await, Err(BusError::Closed));
    assert_eq!(soon(bus.use_up(producer(1), 1)).await, Err(BusError::Closed));
    let joined = soon(bus.join(&super::given::group("late"), options(&*harness))).await;
    assert_eq!(joined.err(), Some(BusError::Closed));
    Verdict::Kept
}
