//! Exactly one effect: whatever comes twice, fails, or stands beside something bad.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headwater_event::{Event, EventId, Headers};
use headwater_service::testing::until;
use headwater_service::{Failure, Outgoing, Tx, body};

use crate::kit::*;

on_both_stores! {
    an_event_changes_the_tables_and_publishes_once
    what_comes_three_times_in_any_order_counts_once
    a_bad_event_is_a_dead_letter_and_its_neighbours_do_not_notice
    a_handler_that_fails_leaves_nothing
    a_failed_statement_is_final_even_if_its_handler_goes_on
    publishing_what_is_not_declared_is_a_failure
    a_panic_is_tried_again_and_then_told_in_the_dead_letter
    answers_go_where_the_request_wants_them_in_its_format
    a_seed_is_sown_once
}

async fn an_event_changes_the_tables_and_publishes_once(house: House) {
    let running = house.start(books().on("add", book).key_of(account)).await;
    house.publish("add", &add("anna", 5)).await;
    house.publish("add", &add("anna", 7)).await;
    let booked = house.seen("booked", 2).await;
    assert_eq!(body::read::<Add>(&booked[1].event).unwrap(), add("anna", 7));
    house.settled("books").await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 12);
    running.stop().await;
    assert_eq!(house.all("booked").await.len(), 2);
}

async fn what_comes_three_times_in_any_order_counts_once(house: House) {
    let running = house.start(books().on("add", book).key_of(account)).await;
    let mut sum = 0;
    for seed in 0..5 {
        let mut dice = Dice(seed);
        let events: Vec<Event> = (0..40).map(|n| house.event("add", &add(&format!("a{}", n % 7), n))).collect();
        let mut thrice: Vec<Event> = (0..3).flat_map(|_| events.iter().cloned()).collect();
        dice.shuffle(&mut thrice);
        for part in thrice.chunks(17) {
            house.publish_all(part.to_vec()).await;
        }
        house.settled("books").await;
        sum += (0..40).sum::<i64>();
        assert_eq!(house.int("books", "SELECT SUM(sum) FROM account").await, sum, "seed {seed}");
    }
    running.stop().await;
    let mut ids: Vec<EventId> = house.all("booked").await.into_iter().map(|recorded| recorded.event.id).collect();
    assert_eq!(ids.len(), 200);
    ids.sort_by_key(ToString::to_string);
    ids.dedup();
    assert_eq!(ids.len(), 200);
}

async fn a_bad_event_is_a_dead_letter_and_its_neighbours_do_not_notice(house: House) {
    // All of them wait when the service starts, so they share a commit.
    for n in 0..10 {
        house.publish("add", &add("anna", n)).await;
        if n == 4 {
            house.publish_bytes("add", b"{\"account\":\"anna\",\"amount\":\"many\"}").await;
        }
    }
    let running = house.start(books().on("add", book)).await;
    house.settled("books").await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 45);
    let dead = house.dead_letters("books").await;
    assert_eq!(dead.len(), 1);
    assert!(dead[0].why.contains("amount"), "{}", dead[0].why);
    assert_eq!(dead[0].attempts, 1);
    house.publish("add", &add("anna", 1)).await;
    house.settled("books").await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 46);
    running.stop().await;
}

async fn a_handler_that_fails_leaves_nothing(house: House) {
    async fn fails(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
        book(tx, event).await?;
        tx.set_timer("never", "x", tx.now(), Vec::new())?;
        tx.arrived("x");
        Err(Failure::dead("after all"))
    }
    async fn never(_: &mut Tx<'_>, _: &headwater_service::Timer) -> Result<(), Failure> {
        panic!("it was undone")
    }
    let running = house.start(books().on("add", fails).on_timer("never", never)).await;
    house.publish("add", &add("anna", 5)).await;
    house.settled("books").await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM account").await, 0);
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM kit_timer").await, 0);
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM kit_inbox").await, 0);
    assert!(house.all("booked").await.is_empty());
    assert_eq!(house.dead_letters("books").await[0].why, "after all");
}

async fn a_failed_statement_is_final_even_if_its_handler_goes_on(house: House) {
    async fn opens_twice(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
        let add: Add = body::read(event)?;
        tx.execute(&OPEN, &[add.account.as_str().into()]).await?;
        // A constraint says no, and the handler doesn't care.
        let _ = tx.execute(&OPEN, &[add.account.as_str().into()]).await;
        Ok(())
    }
    let running = house.start(books().on("add", opens_twice).on("open", book)).await;
    house.publish("add", &add("anna", 5)).await;
    house.publish("open", &add("berta", 5)).await;
    house.settled("books").await;
    running.stop().await;
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM opened").await, 0);
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM account").await, 1);
    assert!(house.dead_letters("books").await[0].why.contains("a rule of the tables"));
}

async fn publishing_what_is_not_declared_is_a_failure(house: House) {
    async fn shouts(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
        book(tx, event).await?;
        tx.publish(Outgoing::json("elsewhere", "x")?)
    }
    let running = house.start(books().on("add", shouts)).await;
    house.publish("add", &add("anna", 5)).await;
    house.settled("books").await;
    running.stop().await;
    assert!(house.all("elsewhere").await.is_empty() && house.all("booked").await.is_empty());
    assert!(house.dead_letters("books").await[0].why.contains("elsewhere"));
    assert_eq!(house.int("books", "SELECT COUNT(*) FROM account").await, 0);
}

async fn a_panic_is_tried_again_and_then_told_in_the_dead_letter(house: House) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let panics = async move |tx: &mut Tx<'_>, event: &Event| -> Result<(), Failure> {
        counted.fetch_add(1, Ordering::SeqCst);
        book(tx, event).await?;
        panic!("no such luck")
    };
    let running = house.start(books().on("open", panics).on("add", book)).await;
    house.publish("open", &add("anna", 5)).await;
    house.publish("add", &add("berta", 5)).await;
    for attempts in 1..3 {
        until("it is tried", || calls.load(Ordering::SeqCst) == attempts && house.stat("books").waiting_retry == 1)
            .await;
        house.pass(std::time::Duration::from_secs(10));
    }
    house.settled("books").await;
    running.stop().await;
    let dead = house.dead_letters("books").await;
    assert_eq!((dead.len(), dead[0].attempts), (1, 3));
    assert!(dead[0].why.contains("no such luck"), "{}", dead[0].why);
    assert_eq!(house.int("books", "SELECT SUM(changes) FROM account").await, 1);
}

async fn answers_go_where_the_request_wants_them_in_its_format(house: House) {
    async fn answers(tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
        let add: Add = body::read(event)?;
        tx.reply(event, body::json(&Add { amount: add.amount * 2, ..add })?)
    }
    let request = |pairs: &[(&str, &str)], body: headwater_service::Body| Event {
        headers: Headers::from_pairs(pairs.iter().copied()).unwrap(),
        payload: body.bytes,
        ..house.event("ask", "")
    };
    let (json, cbor) = (body::json(&add("anna", 4)).unwrap(), body::cbor(&add("anna", 5)).unwrap());
    let running = house.start(books().on("ask", answers)).await;
    house
        .publish_all(vec![
            request(&[("mqtt-response-topic", "reply/1"), ("mqtt-correlation-data", "AQI")], json.clone()),
            request(&[("reply-to", "reply/2"), ("correlation-id", "7"), ("content-type", "application/cbor")], cbor),
            request(&[], json.clone()),
            request(&[("reply-to", "booked")], json),
        ])
        .await;
    house.settled("books").await;
    running.stop().await;
    let first = house.seen("reply/1", 1).await.remove(0).event;
    assert_eq!(body::read::<Add>(&first).unwrap(), add("anna", 8));
    assert_eq!(first.headers.get("mqtt-correlation-data"), Some("AQI"));
    let second = house.seen("reply/2", 1).await.remove(0).event;
    assert_eq!(body::read::<Add>(&second).unwrap(), add("anna", 10));
    assert_eq!(second.headers.get("content-type"), Some("application/cbor"));
    assert_eq!(second.headers.get("correlation-id"), Some("7"));
    // A request may not choose a topic on which an event means something.
    let dead = house.dead_letters("books").await;
    assert_eq!(dead.len(), 1);
    assert!(dead[0].why.contains("booked"), "{}", dead[0].why);
    assert!(house.all("booked").await.is_empty());
}

async fn a_seed_is_sown_once(house: House) {
    async fn seed(tx: &mut Tx<'_>) -> Result<(), Failure> {
        tx.execute(&ADD, &["anna".into(), 200.into()]).await?;
        tx.publish(Outgoing::json("booked", &add("anna", 200))?)
    }
    async fn fails(tx: &mut Tx<'_>) -> Result<(), Failure> {
        seed(tx).await?;
        Err(Failure::dead("not yet"))
    }
    let refused = house.try_start(books().on("add", book).seed(fails)).await;
    assert!(refused.err().unwrap().to_string().contains("not yet"));
    for _ in 0..3 {
        let running = house.start(books().on("add", book).seed(seed)).await;
        house.seen("booked", 1).await;
        running.stop().await;
    }
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 200);
    assert_eq!(house.all("booked").await.len(), 1);
}
