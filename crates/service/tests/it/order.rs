//! Order per key, also where an earlier event has to be tried again.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headwater_event::Event;
use headwater_service::{Failure, StoreUrl, Tx, Value, body};

use crate::kit::*;

on_both_stores! {
    events_of_one_key_are_handled_in_their_order
    a_later_event_of_a_key_waits_while_an_earlier_one_is_to_be_tried_again
    several_workers_share_a_group_and_each_event_counts_once
}

async fn entries(house: &House, account: &str) -> Vec<i64> {
    let reader = house.store("books").await.reader();
    let rows = reader.query(&ENTRIES, &[Value::from(account)]).await.unwrap();
    rows.iter().map(|row| row.int(0).unwrap()).collect()
}

/// Waits until so many events are to be tried again, and so many are out: on the bus, or sorted in the store.
async fn stands(house: &House, what: &str, expected: (usize, usize)) {
    let begun = Instant::now();
    loop {
        let found = match house.url() {
            StoreUrl::Sqlite { .. } => (house.stat("books").waiting_retry, house.stat("books").in_flight),
            StoreUrl::Postgres { .. } => {
                let again = house.int("books", "SELECT COUNT(*) FROM kit_work WHERE attempts > 0").await;
                let out = house.int("books", "SELECT COUNT(*) FROM kit_work WHERE attempts = 0").await;
                (usize::try_from(again).unwrap(), usize::try_from(out).unwrap())
            }
        };
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}; {found:?}");
        tokio::time::sleep(Duration::from_millis(2)).await; // sleep: the table tells nobody
    }
}

async fn events_of_one_key_are_handled_in_their_order(house: House) {
    let running = house.start(books().on("add", book).key_of(account)).await;
    for n in 0..300 {
        house.publish("add", &add(&format!("a{}", n % 3), n)).await;
    }
    house.settled("books").await;
    running.stop().await;
    for key in 0..3 {
        let expected: Vec<i64> = (0..300).filter(|n| n % 3 == key).collect();
        assert_eq!(entries(&house, &format!("a{key}")).await, expected);
    }
}

async fn a_later_event_of_a_key_waits_while_an_earlier_one_is_to_be_tried_again(house: House) {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let handler = async move |tx: &mut Tx<'_>, event: &Event| -> Result<(), Failure> {
        let add: Add = body::read(event)?;
        book(tx, event).await?;
        match add.amount == 1 && is_broken.load(Ordering::SeqCst) {
            true => Err(Failure::retry("not yet")),
            false => Ok(()),
        }
    };
    for n in 1..=3 {
        house.publish("add", &add("anna", n)).await;
        house.publish("add", &add("berta", n)).await;
    }
    let handler = Arc::new(handler);
    let called = Arc::clone(&handler);
    let service = books().on("add", async move |tx: &mut Tx<'_>, event: &Event| {
        match account(event).as_deref() {
            // Only anna's first one fails.
            Some("anna") => called(tx, event).await,
            _ => book(tx, event).await,
        }
    });
    let running = house.start(service.key_of(account)).await;
    stands(&house, "the first one waits for its second attempt, and the other key is through", (1, 2)).await;
    assert_eq!(entries(&house, "berta").await, [1, 2, 3]);
    // One that comes only now waits, too.
    house.publish("add", &add("anna", 4)).await;
    stands(&house, "it waits", (1, 3)).await;
    assert!(entries(&house, "anna").await.is_empty());
    broken.store(false, Ordering::SeqCst);
    house.pass(Duration::from_secs(1));
    house.settled("books").await;
    running.stop().await;
    assert_eq!(entries(&house, "anna").await, [1, 2, 3, 4]);
}

async fn several_workers_share_a_group_and_each_event_counts_once(house: House) {
    let mut workers = Vec::new();
    for _ in 0..3 {
        workers.push(house.start(books().on("add", book)).await);
    }
    let events: Vec<Event> = (0..200).map(|n| house.event("add", &add(&format!("a{}", n % 5), 1))).collect();
    for part in events.chunks(25) {
        house.publish_all(part.to_vec()).await;
        house.publish_all(part.to_vec()).await;
    }
    // On PostgreSQL workers that touch the same rows in another order get into each other's way, and try again.
    passing(&house, "all is settled", || {
        let stat = house.stat("books");
        stat.in_flight == 0 && stat.settled.seq >= house.bus().head().seq
    })
    .await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(house.int("books", "SELECT SUM(sum) FROM account").await, 200);
    // The bus of this house remembers no ids, and its clock runs ahead: a row of the outbox that one worker is slow with is
    // appended by another one too. It is the same event then, and says so by its id.
    let said: HashSet<_> = house.all("booked").await.into_iter().map(|recorded| recorded.event.id).collect();
    assert_eq!(said.len(), 200);
}
