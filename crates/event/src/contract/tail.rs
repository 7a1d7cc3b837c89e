//! Reading: from every position, only what is wanted, waiting, and what can't be read any more.

use std::collections::BTreeSet;

use super::given::{
    append, append_many, event, everything, payload, payloads, poll_and_drop, read_after, read_on, soon, start,
    stays_quiet,
};
use super::{Harness, Verdict, duties};
use crate::bus::{Bus, BusError, Replay};
use crate::position::Position;

duties! {
    #[needs(Replay)] a_tail_begins_after_any_position,
    a_tail_at_the_head_sees_what_comes,
    #[needs(Replay)] every_wanted_event_comes_once_and_in_order,
    up_to_says_how_far_the_log_was_read,
    dropping_a_wait_for_events_loses_nothing,
    reading_without_waiting_says_where_the_head_is,
    #[needs(Replay)] tails_do_not_disturb_each_other,
    a_position_of_another_log_or_ahead_is_refused,
    what_an_engine_cannot_replay_it_refuses,
    #[needs(Replay)] one_call_reads_a_bounded_number_of_bytes,
    #[needs(Replay)] a_tail_before_what_retention_kept_is_told_so,
    #[needs(Replay)] positions_stay_good_over_a_crash,
}

async fn a_tail_begins_after_any_position(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    for part in 0..4 {
        append(&*bus, (0..3).map(|at| event("a", &(part * 3 + at).to_string())).collect()).await;
    }
    for after in 0..=12_u64 {
        let events = read_after(&*bus, Position::new(bus.head().epoch, after)).await;
        let wanted: Vec<_> = (after..12).map(|at| at.to_string()).collect();
        assert_eq!(payloads(&events), wanted, "after {after}");
    }
}

async fn a_tail_at_the_head_sees_what_comes(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append_many(&*bus, "a", 3).await;
    let mut tail = bus.tail(bus.head()).expect("a tail");
    assert_eq!(tail.position(), bus.head());
    for round in 0..5 {
        let mut next = tail.next(&everything);
        assert!(stays_quiet(&mut next).await, "nothing has come yet");
        append(&*bus, vec![event("a", &round.to_string())]).await;
        let batch = soon(next).await.expect("a batch");
        assert_eq!(payloads(&batch.events), [round.to_string()]);
        assert_eq!(batch.up_to, bus.head().seq);
        assert_eq!(tail.position(), bus.head());
    }
}

async fn every_wanted_event_comes_once_and_in_order(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let writer = {
        let bus = harness.bus();
        tokio::spawn(async move {
            for at in 0..300 {
                append(&*bus, vec![event(["a", "b", "c"][at % 3], &at.to_string())]).await;
            }
        })
    };
    let mut tail = bus.tail(start(&*bus)).expect("a tail");
    let mut got = Vec::new();
    let mut up_to = 0;
    while up_to < 300 {
        let batch = soon(tail.next(&|topic| topic == "b")).await.expect("a batch");
        assert!(batch.up_to > up_to, "a batch moves on");
        assert!(batch.events.iter().all(|e| e.position.seq > up_to && e.position.seq <= batch.up_to));
        up_to = batch.up_to;
        got.extend(payloads(&batch.events));
    }
    writer.await.expect("the writer");
    let wanted: Vec<_> = (0..300).filter(|at| at % 3 == 1).map(|at| at.to_string()).collect();
    assert_eq!(got, wanted);
}

async fn up_to_says_how_far_the_log_was_read(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut tail = bus.tail(bus.head()).expect("a tail");
    append_many(&*bus, "unwanted", 20).await;
    let mut up_to = 0;
    while up_to < 20 {
        let batch = soon(tail.next(&|_| false)).await.expect("a batch");
        assert!(batch.events.is_empty() && batch.up_to > up_to);
        up_to = batch.up_to;
        assert_eq!(tail.position(), Position::new(bus.head().epoch, up_to));
    }
}

async fn dropping_a_wait_for_events_loses_nothing(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut tail = bus.tail(bus.head()).expect("a tail");
    let mut got = Vec::new();
    for at in 0..50 {
        if let Some(batch) = poll_and_drop(tail.next(&everything)).await {
            got.extend(payloads(&batch.expect("a batch").events));
        }
        let append = bus.append(vec![event("a", &at.to_string())]);
        for _ in 0..at % 4 {
            if let Some(batch) = poll_and_drop(tail.next(&everything)).await {
                got.extend(payloads(&batch.expect("a batch").events));
            }
            tokio::task::yield_now().await;
        }
        soon(append).await.expect("appended");
        if let Some(batch) = poll_and_drop(tail.next_now(&everything)).await {
            got.extend(batch.expect("read").iter().flat_map(|batch| payloads(&batch.events)));
        }
    }
    got.extend(payloads(&read_on(&mut *tail).await));
    let wanted: Vec<_> = (0..50).map(|at| at.to_string()).collect();
    assert_eq!(got, wanted);
}

async fn reading_without_waiting_says_where_the_head_is(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut tail = bus.tail(bus.head()).expect("a tail");
    assert_eq!(soon(tail.next_now(&everything)).await, Ok(None));
    append_many(&*bus, "a", 3).await;
    assert_eq!(read_on(&mut *tail).await.len(), 3);
    assert_eq!(soon(tail.next_now(&everything)).await, Ok(None));
    assert_eq!(tail.position(), bus.head());
}

async fn tails_do_not_disturb_each_other(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append_many(&*bus, "a", 10).await;
    let mut first = bus.tail(start(&*bus)).expect("a tail");
    let mut second = bus.tail(Position::new(bus.head().epoch, 5)).expect("a tail");
    assert_eq!(read_on(&mut *first).await.len(), 10);
    drop(first);
    assert_eq!(read_on(&mut *second).await.len(), 5);
}

async fn a_position_of_another_log_or_ahead_is_refused(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append_many(&*bus, "a", 3).await;
    let head = bus.head();
    let elsewhere = [
        Position::new(head.epoch.wrapping_add(1), 0),
        Position::new(head.epoch.wrapping_add(1), head.seq),
        Position::new(head.epoch, head.seq + 1),
        Position::new(head.epoch, u64::MAX),
    ];
    for position in elsewhere {
        assert_eq!(bus.tail(position).err(), Some(BusError::NoSuchPosition { head }), "{position}");
    }
}

async fn what_an_engine_cannot_replay_it_refuses(harness: Box<dyn Harness>) -> Verdict {
    let bus = harness.bus();
    append_many(&*bus, "a", 3).await;
    if bus.abilities().replay == Replay::Full {
        // The other side of the same duty: who says that it can, can.
        assert_eq!(read_after(&*bus, start(&*bus)).await.len(), 3);
        return Verdict::Kept;
    }
    assert!(matches!(bus.tail(start(&*bus)), Err(BusError::Unable(_))));
    Verdict::Kept
}

/// Far more than a reader may take at once: 24 events of 1 MiB.
async fn one_call_reads_a_bounded_number_of_bytes(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    for _ in 0..24 {
        let mut large = event("a", "");
        large.event.payload = vec![b'x'; 1_000_000].into();
        append(&*bus, vec![large]).await;
    }
    let mut tail = bus.tail(start(&*bus)).expect("a tail");
    let mut total = 0;
    while let Some(batch) = soon(tail.next_now(&everything)).await.expect("a batch") {
        assert!(batch.events.len() <= 16, "{} MB in one batch", batch.events.len());
        total += batch.events.len();
    }
    assert_eq!(total, 24);
}

async fn a_tail_before_what_retention_kept_is_told_so(mut harness: Box<dyn Harness>) -> Verdict {
    let bus = harness.bus();
    // Enough that an engine that frees by the block has whole blocks to free.
    for _ in 0..40 {
        let mut batch: Vec<_> = (0..4).map(|_| event("a", "")).collect();
        batch.iter_mut().for_each(|publication| publication.event.payload = vec![b'x'; 50_000].into());
        append(&*bus, batch).await;
    }
    let mut overtaken = bus.tail(start(&*bus)).expect("a tail");
    if !harness.free(120).await {
        return Verdict::Declared("be told to free events");
    }
    let oldest = bus.oldest();
    assert!(oldest.seq > 0 && oldest.seq <= 120, "some events, and only those: {oldest}");
    assert_eq!(bus.tail(start(&*bus)).err(), Some(BusError::Gone { oldest }));
    assert_eq!(bus.tail(Position::new(oldest.epoch, oldest.seq - 1)).err(), Some(BusError::Gone { oldest }));
    let events = read_after(&*bus, oldest).await;
    let seqs: BTreeSet<_> = events.iter().map(|recorded| recorded.position.seq).collect();
    assert_eq!(seqs, (oldest.seq + 1..=160).collect(), "positions stay what they were");
    loop {
        match soon(overtaken.next_now(&everything)).await {
            // What it had read ahead before it may still give, as long as there's no gap.
            Ok(Some(batch)) => assert!(batch.events.iter().all(|recorded| payload(recorded).len() == 50_000)),
            Ok(None) => break,
            Err(error) => {
                assert!(matches!(error, BusError::Gone { .. }), "{error}");
                break;
            }
        }
    }
    Verdict::Kept
}

async fn positions_stay_good_over_a_crash(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append_many(&*bus, "a", 6).await;
    let middle = Position::new(bus.head().epoch, 4);
    drop(bus);
    harness.crash().await;
    let bus: std::sync::Arc<dyn Bus> = harness.bus();
    append(&*bus, vec![event("a", "new")]).await;
    assert_eq!(payloads(&read_after(&*bus, middle).await), ["4", "5", "new"]);
}
