//! Whatever order messages come in, and however often: the same end, and books that balance.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Place, Shop, order_send};

/// As many as make each order of two messages likely; a seed that fails is named.
const SEEDS: u64 = 100;

/// A small generator, so that a seed that fails can be tried again anywhere (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below as u64) as usize
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.roll(at + 1));
        }
    }
}

/// What customers of one round say: orders that can all be had, one that can't, cancels of some of them.
fn said(round: &str) -> Vec<(&'static str, Value)> {
    let id = |name: &str| json!(format!("{round}-{name}"));
    let mut all = Vec::new();
    for order in 0..6_i64 {
        let items = [(1, 10 + order), (2, 1), (1, 2)];
        all.push(("public-front/order-send", order_send(&id(&order.to_string()), &items)));
    }
    all.push(("public-front/order-send", order_send(&id("greedy"), &[(1, 1), (6, 4)])));
    for order in ["1", "4", "greedy"] {
        all.push(("public-front/order-canceled", json!({ "order_id": id(order) })));
    }
    all
}

/// What one can see of a round at its end.
async fn end_of(shop: &Shop, round: &str) -> BTreeMap<String, String> {
    let mut statuses = BTreeMap::new();
    for order in ["0", "1", "2", "3", "4", "5", "greedy"] {
        let answer = shop.get(&format!("/shop/order/{round}-{order}")).await;
        statuses.insert(order.to_owned(), answer.json()["order_status"].as_str().unwrap_or("none").to_owned());
    }
    statuses
}

async fn every_message_three_times_and_shuffled_comes_to_the_same_end(place: Place) {
    let shop = place.shop().await;
    for product in [1, 2] {
        shop.say("shop/stock-edit", json!({ "inventoryId": product, "balance": 100_000 })).await;
    }
    for (topic, body) in said("ordered") {
        shop.say(topic, body).await;
    }
    shop.quiet().await;
    let wanted = end_of(&shop, "ordered").await;
    assert_eq!(wanted["0"], "successful");
    assert_eq!((&*wanted["1"], &*wanted["greedy"]), ("canceled", "canceled"));
    let mut once = Vec::new();
    for product in [1, 2] {
        once.push((product, 100_000 - shop.balance(product).await));
    }
    for seed in 0..SEEDS {
        let mut all: Vec<_> =
            said(&seed.to_string()).into_iter().flat_map(|one| [one.clone(), one.clone(), one]).collect();
        Dice(seed).shuffle(&mut all);
        for (topic, body) in all {
            shop.say(topic, body).await;
        }
    }
    shop.quiet().await;
    for seed in 0..SEEDS {
        assert_eq!(end_of(&shop, &seed.to_string()).await, wanted, "seed {seed}");
    }
    for (product, sold) in once {
        shop.balance_is(product, 100_000 - sold * (SEEDS as i64 + 1)).await;
    }
    assert_eq!(shop.balance(6).await, 3);
    assert_eq!(shop.said("order/order-canceled").await.len() as u64, 3 * (SEEDS + 1));
    shop.assert_books().await;
}

/// The same for what the services tell each other: a test plays the inventory, and tells the order service everything in any
/// order.
async fn what_the_inventory_says_may_come_in_any_order_too(place: Place) {
    let shop = place.shop_with(super::Choice { inventory: false, ..super::Choice::default() }).await;
    for seed in 0..SEEDS {
        let id = |name: &str| json!(format!("{seed}-{name}"));
        let mut all = Vec::new();
        for name in ["yes", "no", "off", "off2"] {
            all.push(("public-front/order-send", order_send(&id(name), &[(1, 1)])));
        }
        all.push(("inventory/on-stock", json!({ "orderId": id("yes") })));
        all.push(("inventory/out-of-stock", json!({ "orderId": id("no") })));
        all.push(("inventory/on-stock", json!({ "orderId": id("off") })));
        all.push(("public-front/order-canceled", json!({ "order_id": id("off") })));
        all.push(("public-front/order-canceled", json!({ "order_id": id("off2") })));
        let mut all: Vec<_> = all.into_iter().flat_map(|one| [one.clone(), one.clone(), one]).collect();
        Dice(seed).shuffle(&mut all);
        for (topic, body) in all {
            shop.say(topic, body).await;
        }
    }
    shop.quiet().await;
    for seed in 0..SEEDS {
        for (name, status) in [("yes", "successful"), ("no", "unsuccessful"), ("off", "canceled"), ("off2", "canceled")]
        {
            let answer = shop.get(&format!("/shop/order/{seed}-{name}")).await;
            assert_eq!(answer.json()["order_status"], status, "seed {seed}, {name}");
        }
    }
    // Each canceled once.
    assert_eq!(shop.said("order/order-canceled").await.len() as u64, 2 * SEEDS);
    assert!(shop.dead_letters("shop_order").await.is_empty());
}

super::on_each_store! {
    every_message_three_times_and_shuffled_comes_to_the_same_end,
    what_the_inventory_says_may_come_in_any_order_too,
}
