//! Several workers for one service on PostgreSQL: each event counts once, keys keep their order, and who dies is replaced.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headwater_event::{Event, Health};
use headwater_service::testing::until;
use headwater_service::{Failure, Running, Service, ServiceOptions, Tx, body};

use crate::kit::*;

/// Within what time others have the work of one that died.
const TAKEOVER_MAX: Duration = Duration::from_secs(5);

/// What each account's handler was called with, over all workers, in the order of calls.
type Calls = Arc<Mutex<HashMap<String, Vec<i64>>>>;

/// A worker that counts what it handles itself.
async fn worker(house: &House, calls: &Calls, options: ServiceOptions) -> (Running, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let (counted, noted) = (Arc::clone(&count), Arc::clone(calls));
    let handler = async move |tx: &mut Tx<'_>, event: &Event| -> Result<(), Failure> {
        book(tx, event).await?;
        let add: Add = body::read(event)?;
        noted.lock().unwrap().entry(account(event).unwrap()).or_default().push(add.amount);
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let service: Service = books().on("add", handler).key_of(account).options(options);
    (house.start(service).await, count)
}

/// Publishes so many events over 40 accounts, numbered from here on.
async fn publish(house: &House, from: i64, count: i64) {
    let events: Vec<Event> =
        (from..from + count).map(|n| house.event("add", &add(&format!("a{}", n % 40), n))).collect();
    for part in events.chunks(50) {
        house.publish_all(part.to_vec()).await;
    }
}

/// What the store has of each account, in the order of commits, is what was published, in its order.
async fn all_is_there_in_order(house: &House, count: i64) {
    for key in 0..40 {
        let reader = house.store("books").await.reader();
        let name = format!("a{key}");
        let rows = reader.query(&ENTRIES, &[name.as_str().into()]).await.unwrap();
        let found: Vec<i64> = rows.iter().map(|row| row.int(0).unwrap()).collect();
        let expected: Vec<i64> = (0..count).filter(|n| n % 40 == key).collect();
        assert_eq!(found, expected, "account {key}");
    }
}

/// How many parts this many living ones have, the fewest first.
async fn shares(house: &House) -> Vec<i64> {
    static SHARES: headwater_service::Statement = headwater_service::Statement::new(
        "SELECT (SELECT COUNT(*) FROM kit_duty d WHERE d.token = w.token AND d.name LIKE 'part/%') FROM kit_worker w",
    );
    let reader = house.store("books").await.reader();
    let mut shares: Vec<i64> =
        reader.query(&SHARES, &[]).await.unwrap().iter().map(|row| row.int(0).unwrap()).collect();
    shares.sort_unstable();
    shares
}

async fn shares_become(house: &House, expected: &[i64]) -> Duration {
    let begun = Instant::now();
    while shares(house).await != expected {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?} and never {expected:?}", shares(house).await);
        tokio::time::sleep(Duration::from_millis(5)).await; // sleep: the table tells nobody
    }
    begun.elapsed()
}

#[tokio::test]
async fn several_workers_share_the_keys_and_each_key_keeps_its_order() {
    let Some(house) = House::postgres().await else { return };
    let calls = Calls::default();
    let first = worker(&house, &calls, ServiceOptions::default()).await;
    publish(&house, 0, 400).await;
    let second = worker(&house, &calls, ServiceOptions::default()).await;
    let third = worker(&house, &calls, ServiceOptions::default()).await;
    publish(&house, 400, 400).await;
    let waited = shares_become(&house, &[8, 8, 8]).await;
    assert!(waited < TAKEOVER_MAX, "newcomers got their share after {waited:?}");
    publish(&house, 800, 1_200).await;
    house.settled("books").await;
    all_is_there_in_order(&house, 2_000).await;
    for (_, count) in [&first, &second, &third] {
        assert!(count.load(Ordering::SeqCst) > 0, "each has done something");
    }
    let begun = Instant::now();
    third.0.stop().await;
    shares_become(&house, &[12, 12]).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "who leaves in good order is not waited for");
    publish(&house, 2_000, 200).await;
    house.settled("books").await;
    for (running, _) in [first, second] {
        assert_eq!(running.health(), Health::Good);
        running.stop().await;
    }
    all_is_there_in_order(&house, 2_200).await;
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM entry").await, 2_200, "nothing twice");
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM kit_worker").await, 0, "all have left");
}

#[tokio::test]
async fn who_dies_is_replaced_within_five_seconds_and_its_keys_keep_their_order() {
    let Some(house) = House::postgres().await else { return };
    let calls = Calls::default();
    let first = worker(&house, &calls, ServiceOptions::default()).await;
    let second = worker(&house, &calls, ServiceOptions::default()).await;
    shares_become(&house, &[12, 12]).await;
    publish(&house, 0, 500).await;
    // The first one sorts and looks: all that must be done once has to change hands.
    drop(first);
    let begun = Instant::now();
    publish(&house, 500, 500).await;
    shares_become(&house, &[24]).await;
    let waited = begun.elapsed();
    assert!(waited < TAKEOVER_MAX, "{waited:?}");
    house.settled("books").await;
    second.0.stop().await;
    all_is_there_in_order(&house, 1_000).await;
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM kit_outbox").await, 0);
    let mut said = HashMap::<String, Vec<i64>>::new();
    for recorded in house.all("booked").await {
        let add: Add = body::read(&recorded.event).unwrap();
        let amounts = said.entry(add.account).or_default();
        if !amounts.contains(&add.amount) {
            amounts.push(add.amount);
        }
    }
    for (account, amounts) in said {
        assert!(amounts.is_sorted(), "{account}: what is said leaves in the order of commits, {amounts:?}");
    }
}

/// Who sorts now, by its name.
async fn sorter(house: &House) -> Option<String> {
    let leases = house.store("books").await.leases().await.unwrap();
    leases.into_iter().find(|lease| lease.name == "sort").and_then(|lease| lease.holder)
}

#[tokio::test]
async fn keys_keep_their_order_whoever_sorts_after_whom() {
    let Some(house) = House::postgres().await else { return };
    let mut workers = HashMap::new();
    for name in ["a", "b", "c", "d", "e"] {
        let options = ServiceOptions { hold: Duration::from_millis(600), ..ServiceOptions::default() };
        let service = books().on("add", book).key_of(account).options(options).at(name);
        workers.insert(name.to_owned(), house.start(service).await);
    }
    // Of four that take over in turn some are older than those before them.
    for round in 0..5 {
        let at = loop {
            match sorter(&house).await.filter(|name| workers.contains_key(name)) {
                Some(name) => break name,
                None => tokio::time::sleep(Duration::from_millis(5)).await, // sleep: the table tells nobody
            }
        };
        publish(&house, round * 400, 400).await;
        let head = house.bus().head();
        until("all of it is sorted", || house.stat("books").settled.seq >= head.seq).await;
        if round < 4 {
            drop(workers.remove(&at));
        }
    }
    house.settled("books").await;
    all_is_there_in_order(&house, 2_000).await;
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM entry").await, 2_000, "nothing twice");
}

#[tokio::test]
async fn an_event_that_is_given_up_is_a_dead_letter_of_the_group_and_can_be_revived() {
    let Some(house) = House::postgres().await else { return };
    let is_broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let broken = Arc::clone(&is_broken);
    let handler = async move |tx: &mut Tx<'_>, event: &Event| -> Result<(), Failure> {
        if broken.load(Ordering::SeqCst) {
            return Err(Failure::dead("can't be"));
        }
        book(tx, event).await
    };
    let running = house.start(books().on("add", handler).key_of(account)).await;
    let id = house.publish("add", &add("anna", 7)).await;
    until("it's given up", || house.stat("books").dead == 1).await;
    let letters = house.dead_letters("books").await;
    assert_eq!(letters[0].why, "can't be");
    assert_eq!(letters[0].recorded.event.headers.get("late-id"), Some(id.to_string().as_str()));
    house.settled("books").await;
    is_broken.store(false, Ordering::SeqCst);
    let group = headwater_event::GroupName::new("service/books").unwrap();
    assert_eq!(house.bus().revive(&group, vec![letters[0].recorded.position.seq], true).await.unwrap(), 1);
    until("it's gone", || house.stat("books").dead == 0).await;
    let begun = Instant::now();
    while house.int("books", "SELECT COUNT(*) FROM entry").await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(5)).await; // sleep: the table tells nobody
    }
    house.settled("books").await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 7);
}

#[tokio::test]
async fn the_number_of_partitions_is_the_stores_and_changes_only_while_nobody_works() {
    let Some(house) = House::postgres().await else { return };
    let with = |partitions| {
        let options = ServiceOptions { partitions, ..ServiceOptions::default() };
        books().on("add", book).key_of(account).options(options)
    };
    let running = house.start(with(8)).await;
    let refused = house.try_start(with(4)).await.err().unwrap().to_string();
    assert!(refused.contains("it has 8 partitions, and 4 are wanted"), "{refused}");
    running.stop().await;
    let running = house.start(with(4)).await;
    shares_become(&house, &[4]).await;
    publish(&house, 0, 80).await;
    house.settled("books").await;
    running.stop().await;
    all_is_there_in_order(&house, 80).await;
}
