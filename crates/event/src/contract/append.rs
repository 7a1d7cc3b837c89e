//! Appending: order, all or none, duplicates, what a dropped future means.

use super::given::{append, append_many, event, payloads, poll_and_drop, read_after, soon, start, with_id};
use super::{Harness, duties};
use crate::bus::BusError;
use crate::id::EventId;
use crate::position::Position;

duties! {
    an_empty_engine_stands_at_the_start,
    #[needs(Replay)] events_come_out_as_they_went_in,
    #[needs(Replay)] positions_count_up_by_one_in_the_order_of_the_batch,
    #[needs(Replay)] nothing_comes_between_the_events_of_a_batch,
    #[needs(Replay)] appends_take_effect_in_the_order_of_the_calls_whatever_is_polled_first,
    #[needs(Replay)] dropping_the_future_does_not_take_the_append_back,
    #[needs(Replay)] what_was_acknowledged_survives_a_crash,
    a_known_id_adds_nothing_and_gets_the_place_of_the_original,
    an_id_twice_in_one_batch_is_stored_once,
    new_events_beside_duplicates_stand_one_after_the_other,
    #[needs(Replay)] a_duplicate_of_an_append_under_way_is_durable_when_it_is_acknowledged,
    #[needs(Memory)] an_id_is_known_after_a_crash,
    an_event_that_is_too_large_fails_its_batch_whole,
}

async fn an_empty_engine_stands_at_the_start(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    assert_ne!(bus.head().epoch, 0, "an epoch is never 0");
    assert_eq!(bus.head().seq, 0);
    assert_eq!(bus.oldest(), start(&*bus), "nothing was ever freed");
    assert_eq!(bus.health(), crate::bus::Health::Good);
}

async fn events_come_out_as_they_went_in(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut batch =
        vec![event("a/b", "payload"), event("ü/€", ""), with_id("order-17".parse().expect("an id"), "c", "x")];
    batch.push(super::given::sticky("s", "state"));
    append(&*bus, batch.clone()).await;
    for (recorded, publication) in read_after(&*bus, start(&*bus)).await.into_iter().zip(&batch) {
        assert_eq!(recorded.event, publication.event);
        assert_eq!(recorded.sticky, publication.sticky);
    }
}

async fn positions_count_up_by_one_in_the_order_of_the_batch(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    for round in 0..3_u64 {
        let receipts = append(&*bus, vec![event("a", "0"), event("a", "1"), event("a", "2")]).await;
        let seqs: Vec<_> = receipts.iter().map(|receipt| receipt.position.seq).collect();
        assert_eq!(seqs, [round * 3 + 1, round * 3 + 2, round * 3 + 3]);
        assert!(receipts.iter().all(|receipt| !receipt.duplicate && receipt.position.epoch == bus.head().epoch));
        assert_eq!(bus.head().seq, round * 3 + 3, "the head stands behind what is durable");
    }
    let events = read_after(&*bus, start(&*bus)).await;
    assert_eq!(payloads(&events), ["0", "1", "2", "0", "1", "2", "0", "1", "2"]);
    let seqs: Vec<_> = events.iter().map(|recorded| recorded.position.seq).collect();
    assert_eq!(seqs, (1..=9).collect::<Vec<_>>());
}

async fn nothing_comes_between_the_events_of_a_batch(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let writers = (0..8).map(|writer| {
        let bus = harness.bus();
        tokio::spawn(async move {
            for round in 0..20 {
                let batch = (0..5).map(|at| event("a", &format!("{writer}/{round}/{at}"))).collect();
                let receipts = append(&*bus, batch).await;
                assert_eq!((receipts.len, receipts.duplicates.len()), (5, 0));
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer");
    }
    let payloads = payloads(&read_after(&*bus, start(&*bus)).await);
    assert_eq!(payloads.len(), 800);
    for batch in payloads.chunks(5) {
        let (name, _) = batch[0].rsplit_once('/').expect("a name");
        let whole: Vec<_> = (0..5).map(|at| format!("{name}/{at}")).collect();
        assert_eq!(batch, whole);
    }
}

async fn appends_take_effect_in_the_order_of_the_calls_whatever_is_polled_first(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let appends: Vec<_> = (0..50).map(|at| bus.append(vec![event("a", &at.to_string())])).collect();
    // The last one is waited for first.
    for (at, append) in appends.into_iter().enumerate().rev() {
        assert_eq!(soon(append).await.expect("appended").get(0).position.seq, at as u64 + 1);
    }
    let wanted: Vec<_> = (0..50).map(|at| at.to_string()).collect();
    assert_eq!(payloads(&read_after(&*bus, start(&*bus)).await), wanted);
}

async fn dropping_the_future_does_not_take_the_append_back(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    drop(bus.append(vec![event("a", "never polled")]));
    poll_and_drop(bus.append(vec![event("a", "polled once")])).await;
    append(&*bus, vec![event("a", "last")]).await;
    assert_eq!(payloads(&read_after(&*bus, start(&*bus)).await), ["never polled", "polled once", "last"]);
}

async fn what_was_acknowledged_survives_a_crash(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append_many(&*bus, "a", 40).await;
    let last = append(&*bus, vec![event("a", "last")]).await.get(0).position;
    drop(bus);
    harness.crash().await;
    let bus = harness.bus();
    assert_eq!(bus.head(), last, "the same log, and nothing more");
    assert_eq!(payloads(&read_after(&*bus, Position::new(last.epoch, 39)).await), ["39", "last"]);
}

async fn a_known_id_adds_nothing_and_gets_the_place_of_the_original(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let uuid = "018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a";
    let ids: [EventId; 2] = [uuid.parse().expect("an id"), "order-17".parse().expect("an id")];
    for (at, id) in ids.into_iter().enumerate() {
        let original = append(&*bus, vec![with_id(id.clone(), "a", "first")]).await.get(0);
        append_many(&*bus, "a", 3).await;
        let head = bus.head();
        let again = append(&*bus, vec![with_id(id, "b", "another payload")]).await.get(0);
        assert!(!original.duplicate && again.duplicate, "id {at}");
        assert_eq!(again.position, original.position, "id {at}");
        assert_eq!(bus.head(), head, "id {at} adds nothing");
    }
}

async fn an_id_twice_in_one_batch_is_stored_once(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let twice = event("a", "twice");
    let receipts = append(&*bus, vec![event("a", "0"), twice.clone(), twice, event("a", "3")]).await;
    let got: Vec<_> = receipts.iter().map(|receipt| (receipt.position.seq, receipt.duplicate)).collect();
    assert_eq!(got, [(1, false), (2, false), (2, true), (3, false)]);
    assert_eq!(bus.head().seq, 3);
}

async fn new_events_beside_duplicates_stand_one_after_the_other(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let (first, second) = (event("a", "first"), event("a", "second"));
    append(&*bus, vec![first.clone(), event("a", "between"), second.clone()]).await;
    let receipts = append(&*bus, vec![second.clone(), event("a", "new"), first.clone(), event("a", "newer")]).await;
    let got: Vec<_> = receipts.iter().map(|receipt| (receipt.position.seq, receipt.duplicate)).collect();
    assert_eq!(got, [(3, true), (4, false), (1, true), (5, false)]);
    let receipts = append(&*bus, vec![first, second]).await;
    assert!(receipts.iter().all(|receipt| receipt.duplicate) && bus.head().seq == 5);
}

async fn a_duplicate_of_an_append_under_way_is_durable_when_it_is_acknowledged(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let publication = event("a", "once");
    drop(bus.append(vec![publication.clone()]));
    let receipt = append(&*bus, vec![publication]).await.get(0);
    assert_eq!((receipt.position.seq, receipt.duplicate), (1, true));
    drop(bus);
    harness.crash().await;
    let bus = harness.bus();
    assert_eq!(payloads(&read_after(&*bus, start(&*bus)).await), ["once"]);
}

async fn an_id_is_known_after_a_crash(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let (early, late) = (event("a", "early"), with_id("late".parse().expect("an id"), "a", "late"));
    append(&*bus, vec![early.clone()]).await;
    append_many(&*bus, "a", 10).await;
    append(&*bus, vec![late.clone()]).await;
    drop(bus);
    harness.crash().await;
    let bus = harness.bus();
    let receipts = append(&*bus, vec![late, early]).await;
    let got: Vec<_> = receipts.iter().map(|receipt| (receipt.position.seq, receipt.duplicate)).collect();
    assert_eq!(got, [(12, true), (1, true)]);
    assert_eq!(bus.head().seq, 12);
}

async fn an_event_that_is_too_large_fails_its_batch_whole(harness: Box<dyn Harness>) -> super::Verdict {
    let bus = harness.bus();
    let Some(len) = harness.too_large() else { return super::Verdict::Declared("be given too large an event") };
    let small = event("a", "small");
    let mut large = event("a", "");
    large.event.payload = vec![b'x'; len].into();
    match soon(bus.append(vec![small.clone(), large])).await {
        Err(BusError::TooLarge { max }) => assert!(max <= len),
        other => panic!("{other:?}"),
    }
    assert_eq!(bus.head().seq, 0, "nothing was stored");
    assert!(!append(&*bus, vec![small]).await.get(0).duplicate, "and no id is remembered");
    super::Verdict::Kept
}
