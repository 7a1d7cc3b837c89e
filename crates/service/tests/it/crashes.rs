//! The worker dies between commit, settlement and relay; the next one makes it good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headwater_event::Event;
use headwater_service::testing::until;
use headwater_service::{Failure, Tx};

use crate::kit::*;

on_both_stores! {
    a_crash_between_commit_and_settlement_changes_nothing_twice
    a_crash_between_commit_and_relay_loses_nothing
    a_crash_between_relay_and_its_note_sends_the_same_events_again
    a_bus_that_refuses_is_asked_again_and_nothing_is_lost
    kills_at_any_moment_lose_nothing_and_double_nothing
    an_event_that_was_in_hand_at_every_death_is_given_up
    a_service_that_wants_other_events_goes_on_where_it_was
}

/// What was on the bus when a worker died before its note is there twice, with the same id: a log that recognises ids keeps
/// the first.
async fn distinct(house: &House) -> usize {
    let mut ids: Vec<_> = house.all("booked").await.into_iter().map(|recorded| recorded.event.id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

async fn a_crash_between_commit_and_settlement_changes_nothing_twice(house: House) {
    Faults::set(&house.faults.no_settle, true);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let handler = async move |tx: &mut Tx<'_>, event: &Event| -> Result<(), Failure> {
        counted.fetch_add(1, Ordering::SeqCst);
        book(tx, event).await
    };
    let running = house.start(books().on("add", handler)).await;
    for n in 0..10 {
        house.publish("add", &add("anna", n)).await;
    }
    house.seen("booked", 10).await;
    assert_eq!(house.stat("books").in_flight, 10);
    drop(running);
    Faults::set(&house.faults.no_settle, false);
    let running = house.start(books().on("add", book)).await;
    house.settled("books").await;
    running.stop().await;
    assert_eq!(calls.load(Ordering::SeqCst), 10);
    assert_eq!(house.int("books", "SELECT changes FROM account").await, 10);
    assert_eq!(distinct(&house).await, 10);
}

async fn a_crash_between_commit_and_relay_loses_nothing(house: House) {
    Faults::set(&house.faults.no_append, true);
    let running = house.start(books().on("add", book).key_of(account)).await;
    for n in 0..10 {
        house.publish("add", &add("anna", n)).await;
    }
    house.settled("books").await;
    drop(running);
    assert!(house.all("booked").await.is_empty());
    Faults::set(&house.faults.no_append, false);
    let running = house.start(books().on("add", book).key_of(account)).await;
    house.publish("add", &add("anna", 10)).await;
    let seen = house.seen("booked", 11).await;
    let amounts: Vec<i64> =
        seen.iter().map(|recorded| headwater_service::body::read::<Add>(&recorded.event).unwrap().amount).collect();
    assert_eq!(amounts, (0..=10).collect::<Vec<_>>(), "in the order of their commits");
    running.stop().await;
    assert_eq!(house.all("booked").await.len(), 11);
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM kit_outbox").await, 0);
}

async fn a_crash_between_relay_and_its_note_sends_the_same_events_again(house: House) {
    Faults::set(&house.faults.deaf_append, true);
    let running = house.start(books().on("add", book).key_of(account)).await;
    house.publish("add", &add("anna", 5)).await;
    house.seen("booked", 1).await;
    drop(running);
    Faults::set(&house.faults.deaf_append, false);
    let running = house.start(books().on("add", book).key_of(account)).await;
    // This log recognises nothing, so both are there; any other would keep the first alone.
    let seen = house.seen("booked", 2).await;
    assert_eq!(seen[0].event, seen[1].event);
    running.stop().await;
}

async fn a_bus_that_refuses_is_asked_again_and_nothing_is_lost(house: House) {
    Faults::set(&house.faults.fail_append, true);
    let running = house.start(books().on("add", book).key_of(account)).await;
    for n in 0..5 {
        house.publish("add", &add("anna", n)).await;
    }
    until("it says so", || running.health() != headwater_event::Health::Good).await;
    Faults::set(&house.faults.fail_append, false);
    house.settled("books").await;
    while house.all("booked").await.len() < 5 {
        house.pass(std::time::Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
    until("it's well again", || running.health() == headwater_event::Health::Good).await;
    running.stop().await;
    assert_eq!(house.all("booked").await.len(), 5);
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 10);
}

async fn kills_at_any_moment_lose_nothing_and_double_nothing(house: House) {
    let rounds = if cfg!(debug_assertions) { 12 } else { 50 };
    let mut dice = Dice(7);
    let mut sum = 0;
    for round in 0..rounds {
        let running = house.start(books().on("add", book).key_of(account)).await;
        let events: Vec<Event> = (0..30).map(|n| house.event("add", &add(&format!("a{}", n % 4), n))).collect();
        sum += (0..30).sum::<i64>();
        for part in events.chunks(1 + dice.roll(9)) {
            house.publish_all(part.to_vec()).await;
            for _ in 0..dice.roll(20) {
                tokio::task::yield_now().await;
            }
        }
        drop(running);
        assert!(house.stat("books").dead == 0, "round {round}");
    }
    let running = house.start(books().on("add", book).key_of(account)).await;
    house.settled("books").await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT SUM(sum) FROM account").await, sum);
    assert_eq!(distinct(&house).await, 30 * rounds);
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM kit_outbox").await, 0);
}

async fn an_event_that_was_in_hand_at_every_death_is_given_up(house: House) {
    Faults::set(&house.faults.no_settle, true);
    async fn fails(_: &mut Tx<'_>, _: &Event) -> Result<(), Failure> {
        Err(Failure::retry("never heard"))
    }
    house.publish("add", &add("anna", 5)).await;
    // With one attempt, eight deaths are believed to be chance.
    let options = headwater_service::ServiceOptions { attempts_max: 1, ..Default::default() };
    for death in 1..=8 {
        let running = house.start(books().on("add", fails).options(options.clone())).await;
        until(&format!("death {death}"), || house.stat("books").in_flight == 1).await;
        drop(running);
        until("it's given back", || house.stat("books").in_flight == 0).await;
    }
    assert_eq!(house.stat("books").dead, 0);
    Faults::set(&house.faults.no_settle, false);
    let running = house.start(books().on("add", book).options(options)).await;
    until("it's given up", || house.stat("books").dead == 1).await;
    assert!(house.dead_letters("books").await[0].why.contains("went away"));
    running.stop().await;
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM account").await, 0);
}

async fn a_service_that_wants_other_events_goes_on_where_it_was(house: House) {
    let running = house.start(books().on("add", book)).await;
    // In one append: what isn't wanted is settled for good with what is wanted around it.
    house.publish_all(vec![house.event("open", &add("anna", 2)), house.event("add", &add("anna", 1))]).await;
    house.settled("books").await;
    running.stop().await;
    house.publish("open", &add("anna", 4)).await;
    let running = house.start(books().on("add", book).on("open", book)).await;
    let other = house.try_start(books().on("add", book)).await;
    assert!(other.err().unwrap().to_string().contains("other workers"));
    house.publish("add", &add("anna", 8)).await;
    house.settled("books").await;
    running.stop().await;
    // What came before it was wanted stays unwanted; nothing that was handled is handled again.
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 13);
}
