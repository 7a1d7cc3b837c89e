//! Services that are killed and come back: no order is lost, none is stuck, and the books balance.

use serde_json::json;

use super::{Place, Shop, order_body};

const ROUNDS: usize = 30;
const ORDERS_A_ROUND: usize = 20;

async fn services_that_are_killed_again_and_again_lose_and_double_nothing(place: Place) {
    let mut shop = place.shop().await;
    shop.say("shop/stock-edit", json!({ "inventoryId": 1, "balance": 100_000 })).await;
    let mut orders = Vec::new();
    for round in 0..ROUNDS {
        for at in 0..ORDERS_A_ROUND {
            // Every fifth wants more than there is of another product.
            let items = if at % 5 == 0 { [(1, 1), (6, 50)] } else { [(1, 2), (1, 1)] };
            let answer = shop.post("/shop/order", order_body(&items)).await;
            orders.push(answer.json()["orderId"].as_str().unwrap().to_owned());
        }
        if round % 3 == 0 {
            shop.delete(&format!("/shop/order/{}", orders[round * ORDERS_A_ROUND + 1])).await;
        }
        // In the middle of what it was doing.
        if round % 2 == 0 { shop.start_inventory().await } else { shop.start_order().await }
    }
    for (at, id) in orders.iter().enumerate() {
        let is_canceled = at % ORDERS_A_ROUND == 1 && (at / ORDERS_A_ROUND).is_multiple_of(3);
        let wanted = match at % ORDERS_A_ROUND % 5 {
            _ if is_canceled => "canceled",
            0 => "unsuccessful",
            _ => "successful",
        };
        if is_canceled {
            shop.status_other_than(id, "unknown").await;
            shop.quiet().await;
        }
        assert_eq!(shop.decided(id).await, wanted, "order {at}");
    }
    shop.quiet().await;
    let successful = ROUNDS * (ORDERS_A_ROUND - ORDERS_A_ROUND / 5) - ROUNDS.div_ceil(3);
    assert_eq!(shop.said("inventory/on-stock").await.len() + shop.said("inventory/out-of-stock").await.len(), {
        // An order that was canceled before the inventory saw it is answered by nothing.
        let report = shop.audit().await;
        assert_eq!(report.orders["successful"], successful as i64);
        let unanswered = ROUNDS.div_ceil(3) - answered_and_canceled(&shop, &orders).await;
        orders.len() - unanswered
    });
    assert_eq!(shop.balance(1).await, 100_000 - 3 * successful as i64);
    assert!(shop.dead_letters("shop_order").await.is_empty() && shop.dead_letters("shop_inventory").await.is_empty());
    shop.assert_books().await;
}

/// How many of the canceled orders the inventory had answered before.
async fn answered_and_canceled(shop: &Shop, orders: &[String]) -> usize {
    let answered = shop.said("inventory/on-stock").await;
    let canceled = (0..ROUNDS).step_by(3).map(|round| &orders[round * ORDERS_A_ROUND + 1]);
    canceled.filter(|id| answered.iter().any(|said| said["orderId"] == **id)).count()
}

async fn orders_that_come_while_the_inventory_is_away_are_decided_when_it_is_back(place: Place) {
    let mut shop = place.shop().await;
    shop.stop_inventory().await;
    let mut orders = Vec::new();
    for _ in 0..100 {
        let answer = shop.post("/shop/order", order_body(&[(2, 3)])).await;
        orders.push(answer.json()["orderId"].as_str().unwrap().to_owned());
    }
    shop.quiet_order().await;
    assert!(shop.said("inventory/on-stock").await.is_empty());
    assert_eq!(shop.get(&format!("/shop/order/{}", orders[99])).await.json()["order_status"], "unknown");
    shop.start_inventory().await;
    for (at, id) in orders.iter().enumerate() {
        // 200 of it: enough for 66 orders, in the order in which they came.
        assert_eq!(shop.decided(id).await, if at < 66 { "successful" } else { "unsuccessful" }, "order {at}");
    }
    assert_eq!(shop.balance(2).await, 2);
    shop.assert_books().await;
}

impl Shop {
    /// Waits until the order service has every order in its table.
    async fn quiet_order(&self) {
        headwater_service::testing::until("the order service has all orders", || {
            let groups = headwater_event::Bus::groups(&*self.log, None, 10);
            let order = groups.iter().find(|group| group.name.as_str() == "service/shop_order").unwrap();
            order.in_flight == 0 && order.settled.seq >= headwater_event::Bus::head(&*self.log).seq
        })
        .await;
        while super::sorted(&self.orders).await > 0 {
            tokio::task::yield_now().await;
        }
    }
}

super::on_each_store! {
    services_that_are_killed_again_and_again_lose_and_double_nothing,
    orders_that_come_while_the_inventory_is_away_are_decided_when_it_is_back,
}
