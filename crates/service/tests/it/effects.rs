//! Exactly one effect.

use headwater_event::Bus as _;

use crate::kit::*;

#[tokio::test]
async fn an_event_changes_the_tables_and_publishes_once() {
    let house = House::sqlite();
    let running = house.start(books().on("add", book)).await;
    house.publish("add", &add("anna", 5)).await;
    house.publish("add", &add("anna", 7)).await;
    assert_eq!(house.seen("booked", 2).await.len(), 2);
    house.settled("books").await;
    assert_eq!(house.int("books", "SELECT sum FROM account").await, 12);
    running.stop().await;
    assert!(house.bus().head().seq >= 4);
}
