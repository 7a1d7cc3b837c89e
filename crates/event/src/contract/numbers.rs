//! Producers that number their events: no hole, nothing twice, numbers that are used up without an event.

use super::given::{append, event, numbered, producer, soon};
use super::{Harness, duties};
use crate::bus::BusError;

duties! {
    #[needs(Numbers)] a_producer_that_is_not_known_has_no_number,
    #[needs(Numbers)] numbers_go_up_by_one_and_a_hole_fails_the_batch_whole,
    #[needs(Numbers)] a_known_number_adds_nothing,
    #[needs(Numbers)] each_producer_counts_for_itself,
    #[needs(Numbers)] numbers_are_checked_in_the_order_of_the_calls,
    #[needs(Numbers)] the_last_number_waits_for_what_was_appended_before,
    #[needs(Numbers)] numbers_survive_a_crash,
    #[needs(Numbers)] a_number_that_is_used_up_is_known_and_the_next_one_follows,
    #[needs(Numbers)] using_up_follows_the_same_order,
    #[needs(Numbers)] a_used_up_number_survives_a_crash,
}

async fn a_producer_that_is_not_known_has_no_number(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    assert_eq!(soon(bus.last_number(producer(1))).await, Ok(0));
    let refused = soon(bus.append(vec![numbered(1, 2)])).await;
    assert_eq!(refused, Err(BusError::OutOfOrder { expected: 1 }), "numbers start at 1");
    assert_eq!(soon(bus.last_number(producer(1))).await, Ok(0));
}

async fn numbers_go_up_by_one_and_a_hole_fails_the_batch_whole(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append(&*bus, vec![numbered(1, 1), numbered(1, 2)]).await;
    let beside = event("a", "beside");
    let batch = vec![beside.clone(), numbered(1, 3), numbered(1, 5)];
    assert_eq!(soon(bus.append(batch)).await, Err(BusError::OutOfOrder { expected: 4 }));
    assert_eq!(bus.head().seq, 2, "nothing was stored");
    assert_eq!(soon(bus.last_number(producer(1))).await, Ok(2));
    let receipts = append(&*bus, vec![beside, numbered(1, 3), numbered(1, 4)]).await;
    assert!(receipts.iter().all(|receipt| !receipt.duplicate), "nothing of the failed batch is remembered");
}

async fn a_known_number_adds_nothing(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append(&*bus, (1..=5).map(|number| numbered(1, number)).collect()).await;
    let receipts = append(&*bus, (3..=7).map(|number| numbered(1, number)).collect()).await;
    let got: Vec<_> = receipts.iter().map(|receipt| (receipt.position.seq, receipt.duplicate)).collect();
    assert_eq!(got, [(3, true), (4, true), (5, true), (6, false), (7, false)]);
    let receipts = append(&*bus, vec![numbered(1, 8), numbered(1, 8)]).await;
    let got: Vec<_> = receipts.iter().map(|receipt| (receipt.position.seq, receipt.duplicate)).collect();
    assert_eq!(got, [(8, false), (8, true)], "twice in one batch");
    assert_eq!(bus.head().seq, 8);
}

async fn each_producer_counts_for_itself(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append(&*bus, vec![numbered(1, 1), numbered(2, 1), numbered(1, 2), event("a", "x"), numbered(2, 2)]).await;
    assert_eq!(soon(bus.append(vec![numbered(2, 4)])).await, Err(BusError::OutOfOrder { expected: 3 }));
    append(&*bus, vec![numbered(1, 3)]).await;
    assert_eq!(soon(bus.last_number(producer(1))).await, Ok(3));
    assert_eq!(soon(bus.last_number(producer(2))).await, Ok(2));
}

async fn numbers_are_checked_in_the_order_of_the_calls(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let first = bus.append(vec![numbered(1, 1)]);
    let second = bus.append(vec![numbered(1, 2)]);
    let early = bus.append(vec![numbered(1, 4)]);
    let third = bus.append(vec![numbered(1, 3)]);
    let resent = bus.append(vec![numbered(1, 2)]);
    assert_eq!(soon(resent).await.map(|receipts| receipts.get(0).duplicate), Ok(true));
    assert_eq!(soon(early).await, Err(BusError::OutOfOrder { expected: 3 }), "though 3 was under way behind it");
    for append in [third, second, first] {
        assert!(!soon(append).await.expect("appended").get(0).duplicate);
    }
}

async fn the_last_number_waits_for_what_was_appended_before(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    for number in 1..=20 {
        drop(bus.append(vec![numbered(1, number)]));
        assert_eq!(soon(bus.last_number(producer(1))).await, Ok(number));
    }
}

async fn numbers_survive_a_crash(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append(&*bus, (1..=9).map(|number| numbered(1, number)).collect()).await;
    append(&*bus, vec![numbered(2, 1)]).await;
    drop(bus);
    harness.crash().await;
    let bus = harness.bus();
    assert_eq!(soon(bus.last_number(producer(1))).await, Ok(9));
    assert_eq!(soon(bus.last_number(producer(2))).await, Ok(1));
    assert!(append(&*bus, vec![numbered(1, 9)]).await.get(0).duplicate);
    assert_eq!(bus.head().seq, 10);
    assert!(!append(&*bus, vec![numbered(1, 10)]).await.get(0).duplicate);
}

async fn a_number_that_is_used_up_is_known_and_the_next_one_follows(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append(&*bus, vec![numbered(1, 1)]).await;
    assert_eq!(soon(bus.use_up(producer(1), 2)).await, Ok(()));
    assert_eq!(bus.head().seq, 1, "without an event");
    assert_eq!(soon(bus.last_number(producer(1))).await, Ok(2));
    assert_eq!(soon(bus.use_up(producer(1), 2)).await, Ok(()), "known");
    assert_eq!(soon(bus.use_up(producer(1), 1)).await, Ok(()), "known");
    assert_eq!(soon(bus.use_up(producer(1), 4)).await, Err(BusError::OutOfOrder { expected: 3 }));
    assert!(append(&*bus, vec![numbered(1, 2)]).await.get(0).duplicate, "adds nothing any more");
    assert!(!append(&*bus, vec![numbered(1, 3)]).await.get(0).duplicate);
    assert_eq!(bus.head().seq, 2);
}

async fn using_up_follows_the_same_order(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let first = bus.append(vec![numbered(1, 1)]);
    let used = bus.use_up(producer(1), 2);
    let third = bus.append(vec![numbered(1, 3)]);
    assert!(!soon(third).await.expect("appended").get(0).duplicate);
    assert_eq!(soon(used).await, Ok(()));
    assert!(soon(first).await.is_ok());
    drop(bus.use_up(producer(1), 4));
    append(&*bus, vec![numbered(1, 5)]).await;
}

async fn a_used_up_number_survives_a_crash(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    assert_eq!(soon(bus.use_up(producer(1), 1)).await, Ok(()));
    drop(bus);
    harness.crash().await;
    let bus = harness.bus();
    assert_eq!(soon(bus.last_number(producer(1))).await, Ok(1));
    append(&*bus, vec![numbered(1, 2)]).await;
}
