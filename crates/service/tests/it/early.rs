//! What came too early: it waits for its cause, not for ever, and is not lost meanwhile.

use std::time::Duration;

use headwater_event::{Event, GroupName};
use headwater_service::testing::until;
use headwater_service::{Failure, Service, Tx, body};

use crate::kit::*;

on_both_stores! {
    an_early_event_is_handled_when_its_cause_arrives
    a_cause_in_the_same_batch_wakes_what_came_before_it
    what_nobody_wakes_looks_again_by_itself
    a_parked_event_survives_a_restart
    what_waits_too_long_becomes_a_dead_letter_that_can_be_revived
}

/// Adds only to accounts that are open.
async fn careful(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let add: Add = body::read(event)?;
    if tx.query_opt(&IS_OPEN, &[add.account.as_str().into()]).await?.is_none() {
        return Err(Failure::early(format!("account/{}", add.account)));
    }
    book(tx, event).await
}

async fn open(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    quiet(tx, event).await?;
    let add: Add = body::read(event)?;
    tx.arrived(&format!("account/{}", add.account));
    Ok(())
}

/// Opens, and forgets to say so.
async fn quiet(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let add: Add = body::read(event)?;
    tx.execute(&OPEN, &[add.account.as_str().into()]).await.map(drop)
}

fn service() -> Service {
    books().on("add", careful).on("open", open)
}

async fn parked(house: &House) -> i64 {
    house.int("books", "SELECT COUNT(*) FROM kit_parked").await
}

async fn an_early_event_is_handled_when_its_cause_arrives(house: House) {
    let running = house.start(service()).await;
    house.publish("add", &add("anna", 5)).await;
    house.publish("add", &add("berta", 7)).await;
    house.settled("books").await;
    assert_eq!(parked(&house).await, 2);
    house.publish("open", &add("anna", 0)).await;
    house.seen("booked", 1).await;
    assert_eq!(house.int("books", "SELECT SUM(sum) FROM account").await, 5);
    assert_eq!(parked(&house).await, 1);
    running.stop().await;
}

async fn a_cause_in_the_same_batch_wakes_what_came_before_it(house: House) {
    for n in 0..20 {
        house.publish("add", &add(&format!("a{n}"), 1)).await;
    }
    for n in 0..20 {
        house.publish("open", &add(&format!("a{n}"), 0)).await;
        house.publish("add", &add(&format!("a{n}"), 1)).await;
    }
    let running = house.start(service()).await;
    // Where transactions run side by side, an event and its cause can pass each other: then it looks again.
    let mut seen = 0;
    while seen < 40 {
        house.pass(Duration::from_millis(100));
        tokio::task::yield_now().await;
        seen = house.all("booked").await.len();
    }
    house.settled("books").await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT SUM(sum) FROM account").await, 40);
    assert_eq!(parked(&house).await, 0);
}

async fn what_nobody_wakes_looks_again_by_itself(house: House) {
    let running = house.start(books().on("add", careful).on("open", quiet)).await;
    house.publish("add", &add("anna", 5)).await;
    house.settled("books").await;
    house.publish("open", &add("anna", 0)).await;
    house.settled("books").await;
    assert_eq!(parked(&house).await, 1);
    house.pass(Duration::from_secs(1));
    house.seen("booked", 1).await;
    assert_eq!(parked(&house).await, 0);
    running.stop().await;
}

async fn a_parked_event_survives_a_restart(house: House) {
    let running = house.start(service()).await;
    house.publish("add", &add("anna", 5)).await;
    house.settled("books").await;
    drop(running);
    let running = house.start(service()).await;
    house.publish("open", &add("anna", 0)).await;
    house.seen("booked", 1).await;
    house.settled("books").await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 5);
}

async fn what_waits_too_long_becomes_a_dead_letter_that_can_be_revived(house: House) {
    let running = house.start(service()).await;
    house.publish("add", &add("anna", 5)).await;
    house.settled("books").await;
    house.pass(Duration::from_secs(59));
    house.publish("other", "x").await;
    assert_eq!(house.stat("books").dead, 0);
    house.pass(Duration::from_secs(1));
    until("it's given up", || house.stat("books").dead == 1).await;
    assert_eq!(parked(&house).await, 0);
    let dead = house.dead_letters("books").await;
    assert!(dead[0].why.contains("account/anna"), "{}", dead[0].why);
    // Whoever reads the dead letter sees the event.
    assert_eq!(body::read::<Add>(&dead[0].recorded.event).unwrap(), add("anna", 5));
    assert_eq!(dead[0].recorded.event.headers.get("late-topic"), Some("add"));
    house.publish("open", &add("anna", 0)).await;
    house.settled("books").await;
    let group = GroupName::new("service/books").unwrap();
    assert_eq!(house.bus().revive(&group, vec![dead[0].recorded.position.seq], true).await, Ok(1));
    house.seen("booked", 1).await;
    house.settled("books").await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 5);
    assert!(house.dead_letters("books").await.is_empty());
}
