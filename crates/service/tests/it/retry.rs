//! Attempts: again after a while, then a dead letter that somebody can revive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headwater_event::{Event, GroupName};
use headwater_service::testing::until;
use headwater_service::{Failure, Tx};

use crate::kit::*;

on_both_stores! {
    what_fails_is_tried_again_after_its_wait_and_counts_once
    after_the_last_attempt_it_is_a_dead_letter_that_can_be_revived
    an_endless_wait_in_a_handler_ends
}

/// Fails so often, after having changed something, then works.
fn flaky(
    failures: usize,
) -> (Arc<AtomicUsize>, impl AsyncFn(&mut Tx<'_>, &Event) -> Result<(), Failure> + Send + Sync) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let handler = async move |tx: &mut Tx<'_>, event: &Event| {
        book(tx, event).await?;
        match counted.fetch_add(1, Ordering::SeqCst) {
            call if call < failures => Err(Failure::retry(format!("failed {}", call + 1))),
            _ => Ok(()),
        }
    };
    (calls, handler)
}

async fn called(house: &House, calls: &AtomicUsize, count: usize) {
    until(&format!("call {count} is over"), || {
        calls.load(Ordering::SeqCst) == count && house.stat("books").in_flight == 0
    })
    .await;
}

async fn what_fails_is_tried_again_after_its_wait_and_counts_once(house: House) {
    let (calls, handler) = flaky(2);
    let running = house.start(books().on("add", handler)).await;
    house.publish("add", &add("anna", 5)).await;
    called(&house, &calls, 1).await;
    // At least half of the first wait of a second.
    house.pass(Duration::from_millis(499));
    house.publish("other", "x").await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    house.pass(Duration::from_millis(501));
    called(&house, &calls, 2).await;
    house.pass(Duration::from_secs(2));
    house.settled("books").await;
    running.stop().await;
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 5);
    assert_eq!(house.all("booked").await.len(), 1);
    assert!(house.dead_letters("books").await.is_empty());
}

async fn after_the_last_attempt_it_is_a_dead_letter_that_can_be_revived(house: House) {
    let (calls, handler) = flaky(3);
    let running = house.start(books().on("add", handler)).await;
    house.publish("add", &add("anna", 5)).await;
    for call in 1..3 {
        called(&house, &calls, call).await;
        house.pass(Duration::from_secs(8));
    }
    called(&house, &calls, 3).await;
    until("it's given up", || house.stat("books").dead == 1).await;
    let dead = house.dead_letters("books").await;
    assert_eq!((dead[0].attempts, dead[0].why.as_str()), (3, "failed 3"));
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM account").await, 0);
    let group = GroupName::new("service/books").unwrap();
    assert_eq!(house.bus().revive(&group, vec![dead[0].recorded.position.seq], true).await, Ok(1));
    called(&house, &calls, 4).await;
    house.settled("books").await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 5);
    assert!(house.dead_letters("books").await.is_empty());
}

async fn an_endless_wait_in_a_handler_ends(house: House) {
    async fn waits(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
        book(tx, event).await?;
        std::future::pending().await
    }
    let mut options = headwater_service::ServiceOptions::default();
    (options.attempts_max, options.handler_time_max) = (1, Duration::from_millis(50));
    let running = house.start(books().on("open", waits).on("add", book).options(options)).await;
    house.publish("open", &add("anna", 5)).await;
    house.publish("add", &add("berta", 5)).await;
    house.settled("books").await;
    running.stop().await;
    assert!(house.dead_letters("books").await[0].why.contains("longer than 50ms"));
    assert_eq!(house.int("books", "SELECT SUM(changes) FROM account").await, 1);
}
