//! Timers: at their moment, once, also after a restart.

use std::time::Duration;

use headwater_event::{Event, GroupName, Time};
use headwater_service::testing::until;
use headwater_service::{Failure, Outgoing, Service, Timer, Tx, body};

use crate::kit::*;

on_both_stores! {
    a_timer_fires_at_its_moment_once
    a_timer_that_was_replaced_or_cleared_fires_as_it_is_now
    a_timer_survives_a_restart
    a_timer_that_fails_is_tried_again_and_then_becomes_a_dead_letter
}

/// `add` sets a timer in so many seconds; 0 clears it.
async fn plan(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let add: Add = body::read(event)?;
    match u64::try_from(add.amount) {
        Ok(0) => tx.clear_timer("ring", &add.account),
        Ok(seconds) => {
            let due = tx.now().plus(Duration::from_secs(seconds));
            tx.set_timer("ring", &add.account, due, add.amount.to_string().into_bytes())?;
        }
        Err(_) => return Err(Failure::dead("a time in the past")),
    }
    Ok(())
}

async fn ring(tx: &mut Tx<'_>, timer: &Timer) -> Result<(), Failure> {
    let amount: i64 = String::from_utf8_lossy(&timer.payload).parse().map_err(|_| Failure::dead("no number"))?;
    tx.execute(&ADD, &[timer.key.as_str().into(), amount.into()]).await?;
    tx.publish(Outgoing::json("booked", &add(&timer.key, amount))?)
}

async fn refuses(tx: &mut Tx<'_>, timer: &Timer) -> Result<(), Failure> {
    ring(tx, timer).await?;
    Err(Failure::retry("not today"))
}

fn service() -> Service {
    books().on("add", plan).on_timer("ring", ring).key_of(account)
}

fn after(seconds: u64) -> Time {
    START.plus(Duration::from_secs(seconds))
}

async fn a_timer_fires_at_its_moment_once(house: House) {
    let running = house.start(service()).await;
    house.publish("add", &add("anna", 60)).await;
    house.publish("add", &add("berta", 3_600)).await;
    house.settled("books").await;
    house.pass(Duration::from_secs(59));
    house.publish("add", &add("clara", 3_600)).await;
    house.settled("books").await;
    assert!(house.all("booked").await.is_empty());
    house.pass(Duration::from_secs(1));
    let seen = house.seen("booked", 1).await;
    assert_eq!(body::read::<Add>(&seen[0].event).unwrap(), add("anna", 60));
    assert_eq!(seen[0].event.at, after(60));
    house.pass(Duration::from_secs(600));
    house.publish("add", &add("clara", 3_600)).await;
    house.settled("books").await;
    running.stop().await;
    assert_eq!(house.all("booked").await.len(), 1);
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM kit_timer").await, 2);
}

async fn a_timer_that_was_replaced_or_cleared_fires_as_it_is_now(house: House) {
    let running = house.start(service()).await;
    for (account, seconds) in [("anna", 60), ("anna", 120), ("berta", 60), ("berta", 0), ("clara", 60)] {
        house.publish("add", &add(account, seconds)).await;
    }
    house.settled("books").await;
    house.pass(Duration::from_secs(60));
    let seen = house.seen("booked", 1).await;
    assert_eq!(body::read::<Add>(&seen[0].event).unwrap(), add("clara", 60));
    house.pass(Duration::from_secs(60));
    let seen = house.seen("booked", 2).await;
    assert_eq!(body::read::<Add>(&seen[1].event).unwrap(), add("anna", 120));
    running.stop().await;
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM kit_timer").await, 0);
    assert_eq!(house.int("books", "SELECT SUM(changes) FROM account").await, 2);
}

async fn a_timer_survives_a_restart(house: House) {
    let running = house.start(service()).await;
    house.publish("add", &add("anna", 60)).await;
    house.settled("books").await;
    drop(running);
    house.pass(Duration::from_secs(90));
    let running = house.start(service()).await;
    house.seen("booked", 1).await;
    running.stop().await;
    let running = house.start(service()).await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT changes FROM account").await, 1);
    assert_eq!(house.all("booked").await.len(), 1);
}

async fn a_timer_that_fails_is_tried_again_and_then_becomes_a_dead_letter(house: House) {
    let running = house.start(books().on("add", plan).on_timer("ring", refuses)).await;
    house.publish("add", &add("anna", 60)).await;
    house.settled("books").await;
    for _ in 0..3 {
        assert_eq!(house.stat("books").dead, 0);
        house.pass(Duration::from_secs(60));
        let before = house.clock().now();
        until("it's tried", || house.clock().now() == before).await;
        tried(&house).await;
    }
    until("it's given up", || house.stat("books").dead == 1).await;
    let dead = house.dead_letters("books").await.remove(0);
    assert_eq!(dead.why, "not today");
    assert_eq!(dead.recorded.event.headers.get("late-key"), Some("anna"));
    running.stop().await;
    // A later version knows better.
    let running = house.start(service()).await;
    let group = GroupName::new("service/books").unwrap();
    assert_eq!(house.bus().revive(&group, vec![dead.recorded.position.seq], true).await, Ok(1));
    house.seen("booked", 1).await;
    house.settled("books").await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 60);
}

/// Waits until no timer is due: the one that was has a later moment now, or is gone.
async fn tried(house: &House) {
    let now = i64::try_from(house.clock().now().as_micros()).unwrap();
    loop {
        let next = house.int("books", "SELECT COALESCE(MIN(next), 9000000000000000000) FROM kit_timer").await;
        if next > now {
            return;
        }
        tokio::task::yield_now().await;
    }
}
