//! The rules of the shop, told by messages as a foreign front, inventory or order service would tell them.

use std::time::Duration;

use headwater_apps::shop::ShopSettings;
use headwater_event::{Clock, EventId, Time};
use headwater_service::Statement;
use serde_json::json;

use super::{Choice, Place, Shop, order_send};

async fn an_order_is_reserved_and_successful(place: Place) {
    let shop = place.shop().await;
    shop.send(&json!("a"), &[(1, 3), (2, 1)]).await;
    assert_eq!(shop.decided("a").await, "successful");
    assert_eq!((shop.balance(1).await, shop.balance(2).await), (197, 199));
    assert_eq!(shop.said("inventory/on-stock").await, [json!({ "orderId": "a" })]);
    shop.assert_books().await;
}

async fn lines_of_one_product_are_summed_before_anything_is_decided(place: Place) {
    let shop = place.shop().await;
    shop.say("shop/stock-edit", json!({ "inventoryId": 1, "balance": 199 })).await;
    shop.send(&json!("too much"), &[(1, 150), (1, 150)]).await;
    assert_eq!(shop.decided("too%20much").await, "unsuccessful");
    assert_eq!(shop.balance(1).await, 199);
    shop.send(&json!("just all"), &[(1, 100), (1, 99)]).await;
    assert_eq!(shop.decided("just%20all").await, "successful");
    assert_eq!(shop.balance(1).await, 0);
    shop.assert_books().await;
}

async fn all_lines_or_none(place: Place) {
    let shop = place.shop().await;
    for (order, items) in [("a", [(1, 5), (2, 201)]), ("b", [(2, 201), (1, 5)]), ("c", [(1, 5), (99, 1)])] {
        shop.send(&json!(order), &items).await;
        assert_eq!(shop.decided(order).await, "unsuccessful");
    }
    assert_eq!((shop.balance(1).await, shop.balance(2).await), (200, 200));
    assert_eq!(shop.said("inventory/out-of-stock").await.len(), 3);
    shop.assert_books().await;
}

async fn a_product_by_a_name_that_no_shelf_has_is_out_of_stock(place: Place) {
    let shop = place.shop().await;
    shop.say("public-front/order-send", json!({ "orderId": "a", "items": [{ "inventoryId": "sku-9", "count": 1 }] }))
        .await;
    assert_eq!(shop.decided("a").await, "unsuccessful");
    shop.assert_books().await;
}

async fn names_are_strings_or_numbers_and_spelt_either_way(place: Place) {
    let shop = place.shop().await;
    let items = json!([{ "inventory_id": "1", "count": 1 }, { "inventoryId": 2, "count": 2 }]);
    shop.say("public-front/order-send", json!({ "order_id": 17, "items": items })).await;
    assert_eq!(shop.decided("17").await, "successful");
    // A number comes back as the number that it was.
    assert_eq!(shop.said("inventory/on-stock").await, [json!({ "orderId": 17 })]);
    shop.say("public-front/order-canceled", json!({ "orderId": "17" })).await;
    assert_eq!(shop.status_other_than("17", "successful").await, "canceled");
    shop.balance_is(2, 200).await;
    assert_eq!(shop.balance(1).await, 200);
    shop.assert_books().await;
}

async fn an_order_that_comes_twice_counts_once_under_whatever_event_id(place: Place) {
    let shop = place.shop().await;
    let order = order_send(&json!("a"), &[(1, 10)]).to_string();
    for id in ["x", "x", "y"] {
        shop.say_as(id.parse::<EventId>().unwrap(), "public-front/order-send", order.clone()).await;
    }
    // The same order with other goods is still the same order: the first one counts.
    shop.send(&json!("a"), &[(2, 50)]).await;
    assert_eq!(shop.decided("a").await, "successful");
    shop.quiet().await;
    assert_eq!((shop.balance(1).await, shop.balance(2).await), (190, 200));
    assert_eq!(shop.said("inventory/on-stock").await.len(), 1);
    shop.assert_books().await;
}

async fn a_cancel_returns_the_stock_exactly_once(place: Place) {
    let shop = place.shop().await;
    shop.send(&json!("a"), &[(1, 10), (2, 1)]).await;
    shop.send(&json!("b"), &[(1, 5)]).await;
    assert_eq!(shop.decided("a").await, "successful");
    assert_eq!(shop.decided("b").await, "successful");
    for _ in 0..3 {
        shop.cancel(&json!("a")).await;
        shop.say("order/order-canceled", json!({ "orderId": "a" })).await;
    }
    assert_eq!(shop.status_other_than("a", "successful").await, "canceled");
    shop.balance_is(1, 195).await;
    shop.quiet().await;
    assert_eq!((shop.balance(1).await, shop.balance(2).await), (195, 200));
    // It isn't the tables' own rules that keep a second one from returning more.
    assert!(shop.dead_letters("shop_inventory").await.is_empty());
    assert_eq!(shop.get("/shop/order/b").await.json()["order_status"], "successful");
    shop.assert_books().await;
}

async fn an_order_that_was_refused_can_be_canceled_and_returns_nothing(place: Place) {
    let shop = place.shop().await;
    shop.send(&json!("a"), &[(1, 1), (6, 4)]).await;
    assert_eq!(shop.decided("a").await, "unsuccessful");
    shop.cancel(&json!("a")).await;
    assert_eq!(shop.status_other_than("a", "unsuccessful").await, "canceled");
    shop.quiet().await;
    assert_eq!((shop.balance(1).await, shop.balance(6).await), (200, 3));
    shop.assert_books().await;
}

async fn a_cancel_that_comes_before_its_order_cancels_it(place: Place) {
    let shop = place.shop().await;
    shop.cancel(&json!("a")).await;
    shop.quiet().await;
    shop.send(&json!("a"), &[(1, 10)]).await;
    shop.quiet().await;
    assert_eq!(shop.get("/shop/order/a").await.json()["order_status"], "canceled");
    assert_eq!(shop.balance(1).await, 200);
    assert_eq!(shop.said("order/order-canceled").await, [json!({ "orderId": "a" })]);
    shop.assert_books().await;
}

async fn stock_that_is_told_before_its_order_waits_for_it(place: Place) {
    let shop = place.shop_with(Choice { inventory: false, ..Choice::default() }).await;
    shop.say("inventory/on-stock", json!({ "orderId": "a" })).await;
    shop.say("inventory/out-of-stock", json!({ "order_id": "b" })).await;
    shop.quiet().await;
    // Nobody has heard of these orders.
    assert_eq!(shop.get("/shop/order/a").await.status, 404);
    shop.send(&json!("a"), &[(1, 1)]).await;
    shop.send(&json!("b"), &[(1, 1)]).await;
    assert_eq!(shop.decided("a").await, "successful");
    assert_eq!(shop.decided("b").await, "unsuccessful");
}

async fn a_status_never_goes_back(place: Place) {
    let shop = place.shop_with(Choice { inventory: false, ..Choice::default() }).await;
    shop.send(&json!("a"), &[(1, 1)]).await;
    shop.say("inventory/out-of-stock", json!({ "orderId": "a" })).await;
    assert_eq!(shop.decided("a").await, "unsuccessful");
    shop.say("inventory/on-stock", json!({ "orderId": "a" })).await;
    shop.send(&json!("a"), &[(1, 1)]).await;
    shop.quiet().await;
    assert_eq!(shop.get("/shop/order/a").await.json()["order_status"], "unsuccessful");
    shop.cancel(&json!("a")).await;
    assert_eq!(shop.status_other_than("a", "unsuccessful").await, "canceled");
    shop.say("inventory/on-stock", json!({ "orderId": "a" })).await;
    shop.send(&json!("a"), &[(1, 1)]).await;
    shop.quiet().await;
    assert_eq!(shop.get("/shop/order/a").await.json()["order_status"], "canceled");
}

async fn stock_of_an_order_that_never_comes_returns_after_the_deadline(place: Place) {
    let clock = Clock::manual(Time(1_800_000_000_000_000));
    let settings = ShopSettings { release_after: Duration::from_secs(60), ..ShopSettings::default() };
    // A foreign inventory has reserved for an order that the order service never hears of.
    let shop = place.shop_with(Choice { inventory: false, clock, settings, ..Choice::default() }).await;
    shop.say("inventory/on-stock", json!({ "orderId": "lost" })).await;
    shop.say("inventory/on-stock", json!({ "orderId": "late" })).await;
    shop.quiet().await;
    shop.send(&json!("late"), &[(1, 1)]).await;
    assert_eq!(shop.decided("late").await, "successful");
    shop.clock.advance(Duration::from_secs(59));
    shop.quiet().await;
    assert!(shop.said("order/order-canceled").await.is_empty());
    shop.clock.advance(Duration::from_secs(2));
    assert_eq!(shop.status_of("lost").await, "canceled");
    shop.quiet().await;
    assert_eq!(shop.said("order/order-canceled").await, [json!({ "orderId": "lost" })]);
    assert_eq!(shop.get("/shop/order/late").await.json()["order_status"], "successful");
    // It comes after all: too late.
    shop.send(&json!("lost"), &[(1, 1)]).await;
    shop.quiet().await;
    assert_eq!(shop.get("/shop/order/lost").await.json()["order_status"], "canceled");
}

impl Shop {
    async fn status_of(&self, order: &str) -> String {
        self.status_other_than(order, "").await
    }
}

async fn a_malformed_message_becomes_a_dead_letter_and_the_shop_lives(place: Place) {
    let shop = place.shop().await;
    let bad = [
        "{",
        "null",
        "[]",
        "17",
        r#"{"items":[{"inventoryId":1,"count":1}]}"#,
        r#"{"orderId":"a"}"#,
        r#"{"orderId":"a","items":[]}"#,
        r#"{"orderId":"a","items":[{"inventoryId":1,"count":-5}]}"#,
        r#"{"orderId":"a","items":[{"inventoryId":1,"count":0}]}"#,
        r#"{"orderId":"a","items":[{"inventoryId":1,"count":1.5}]}"#,
        r#"{"orderId":{},"items":[{"inventoryId":1,"count":1}]}"#,
        r#"{"orderId":"","items":[{"inventoryId":1,"count":1}]}"#,
        r#"{"orderId":"a","items":[{"inventoryId":1,"count":99999999999999999999}]}"#,
        r#"{"orderId":"a","items":{"inventoryId":1,"count":1}}"#,
    ];
    for payload in bad {
        shop.say_as(EventId::generate(), "public-front/order-send", payload.into()).await;
    }
    shop.say("order/order-canceled", json!({ "id": "a" })).await;
    shop.say("inventory/on-stock", json!({ "orderId": null })).await;
    shop.send(&json!("good"), &[(1, 1)]).await;
    assert_eq!(shop.decided("good").await, "successful");
    shop.quiet().await;
    let (stock, orders) = (shop.dead_letters("shop_inventory").await, shop.dead_letters("shop_order").await);
    assert_eq!((stock.len(), orders.len()), (bad.len() + 1, bad.len() + 1), "{stock:#?} {orders:#?}");
    assert!(stock.iter().any(|why| why.contains("items[0].count") && why.contains("-5")), "{stock:#?}");
    assert_eq!(shop.get("/shop/order/a").await.status, 404);
    shop.assert_books().await;
}

async fn the_latest_state_of_a_decided_order_ends_after_a_while(place: Place) {
    let clock = Clock::manual(Time(1_800_000_000_000_000));
    let settings = ShopSettings { notice_for: Duration::from_secs(60), ..ShopSettings::default() };
    let shop = place.shop_with(Choice { clock, settings, ..Choice::default() }).await;
    for order in ["a", "b"] {
        shop.send(&json!(order), &[(1, 1)]).await;
        assert_eq!(shop.decided(order).await, "successful");
    }
    shop.quiet().await;
    assert_eq!(shop.sticky("shop/order/#").await, ["shop/order/a", "shop/order/b"]);
    shop.clock.advance(Duration::from_secs(61));
    shop.until_sticky("shop/order/#", &[]).await;
    // The next one is told, and ends, too.
    shop.send(&json!("c"), &[(1, 1)]).await;
    shop.until_sticky("shop/order/#", &["shop/order/c"]).await;
    shop.clock.advance(Duration::from_secs(62));
    shop.until_sticky("shop/order/#", &[]).await;
    assert_eq!(shop.get("/shop/order/a").await.json()["order_status"], "successful");
}

async fn of_many_latest_states_the_oldest_end(place: Place) {
    let settings = ShopSettings { notices_max: 10, ..ShopSettings::default() };
    let shop = place.shop_with(Choice { settings, ..Choice::default() }).await;
    for order in 10..45 {
        shop.send(&json!(format!("o{order}")), &[(1, 1)]).await;
    }
    assert_eq!(shop.decided("o44").await, "successful");
    // Looked at after every tenth order: then ten stay, and at most ten come until the next look.
    let mut left = 35;
    let waiting = tokio::time::timeout(super::PATIENCE, async {
        while left > 20 {
            tokio::time::sleep(Duration::from_millis(5)).await; // sleep: a state that ends has no event of its own to wait for
            left = shop.sticky("shop/order/#").await.len();
        }
    });
    assert!(waiting.await.is_ok(), "{left} states are left");
    shop.quiet().await;
    // Every state that is left will end, too.
    let known = shop.orders.query(&NOTICES, &[]).await.unwrap()[0].int(0).unwrap();
    assert_eq!(shop.sticky("shop/order/#").await.len() as i64, known);
    assert!(known >= 10, "{known}");
}

static NOTICES: Statement = Statement::new("SELECT COUNT(*) FROM notices");

impl Shop {
    pub async fn sticky(&self, filter: &str) -> Vec<String> {
        let filter = headwater_event::Filter::new(filter).unwrap();
        let page = self.hub.latest(&headwater_event::Principal::anonymous(), &filter, None, 100).await.unwrap();
        page.events.iter().map(|event| event.event.topic.as_str().to_owned()).collect()
    }

    async fn until_sticky(&self, filter: &str, wanted: &[&str]) {
        let mut last = Vec::new();
        let waiting = tokio::time::timeout(super::PATIENCE, async {
            loop {
                last = self.sticky(filter).await;
                if last == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await; // sleep: a state that ends has no event of its own to wait for
            }
        });
        assert!(waiting.await.is_ok(), "{last:?} and never {wanted:?}");
    }
}

super::on_each_store! {
    an_order_is_reserved_and_successful,
    lines_of_one_product_are_summed_before_anything_is_decided,
    all_lines_or_none,
    a_product_by_a_name_that_no_shelf_has_is_out_of_stock,
    names_are_strings_or_numbers_and_spelt_either_way,
    an_order_that_comes_twice_counts_once_under_whatever_event_id,
    a_cancel_returns_the_stock_exactly_once,
    an_order_that_was_refused_can_be_canceled_and_returns_nothing,
    a_cancel_that_comes_before_its_order_cancels_it,
    stock_that_is_told_before_its_order_waits_for_it,
    a_status_never_goes_back,
    stock_of_an_order_that_never_comes_returns_after_the_deadline,
    a_malformed_message_becomes_a_dead_letter_and_the_shop_lives,
    the_latest_state_of_a_decided_order_ends_after_a_while,
    of_many_latest_states_the_oldest_end,
}
