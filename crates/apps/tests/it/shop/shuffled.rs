//! Whatever order messages come in, and however often: the same end, and books that balance.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Shop, order_send};

/// As many as the issue asks for; each is a shop of its own.
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

/// What customers say: orders that can all be had, one that can't, cancels of some of them.
fn said() -> Vec<(&'static str, Value)> {
    let mut all = Vec::new();
    for order in 0..6_i64 {
        let id = if order % 2 == 0 { json!(order) } else { json!(order.to_string()) };
        all.push(("public-front/order-send", order_send(&id, &[(1, 10 + order), (2, 1), (1, 2)])));
    }
    all.push(("public-front/order-send", order_send(&json!("greedy"), &[(1, 1), (2, 1_000)])));
    for order in ["1", "4", "greedy"] {
        all.push(("public-front/order-canceled", json!({ "order_id": order })));
    }
    all
}

/// What one can see of a shop at the end.
async fn end_of(shop: &Shop) -> (BTreeMap<String, String>, Vec<i64>) {
    shop.quiet().await;
    let mut statuses = BTreeMap::new();
    for order in ["0", "1", "2", "3", "4", "5", "greedy"] {
        let answer = shop.get(&format!("/shop/order/{order}")).await;
        statuses.insert(order.to_owned(), answer.json()["order_status"].as_str().unwrap().to_owned());
    }
    let goods = shop.get("/shop/inventory").await.json();
    let balances = goods.as_array().unwrap().iter().map(|shown| shown["balance"].as_i64().unwrap()).collect();
    shop.assert_books().await;
    (statuses, balances)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_three_times_and_shuffled_comes_to_the_same_end() {
    let ordered = Shop::start().await;
    for (topic, body) in said() {
        ordered.say(topic, body).await;
    }
    let wanted = end_of(&ordered).await;
    assert_eq!(wanted.0["0"], "successful");
    assert_eq!((&*wanted.0["1"], &*wanted.0["greedy"]), ("canceled", "canceled"));
    ordered.stop().await;
    for seed in 0..SEEDS {
        let shop = Shop::start().await;
        let mut dice = Dice(seed);
        let mut all: Vec<_> = said().into_iter().flat_map(|one| [one.clone(), one.clone(), one]).collect();
        dice.shuffle(&mut all);
        for (topic, body) in all {
            shop.say(topic, body).await;
        }
        assert_eq!(end_of(&shop).await, wanted, "seed {seed}");
        shop.stop().await;
    }
}

/// The same for what the services tell each other: a test plays the inventory, and tells the order service everything in any
/// order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_inventory_says_may_come_in_any_order_too() {
    let shop = Shop::start_with(super::Choice { inventory: false, ..super::Choice::default() }).await;
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
