//! `Idempotency-Key`: the same key is the same order, whoever answers and whatever was killed meanwhile.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;

use super::{Answer, Choice, Place, Shop, order_body};

impl Shop {
    async fn post_under(&self, key: &str, body: String) -> Answer {
        self.ask(Request::post("/order").header("idempotency-key", key).body(Body::from(body)).unwrap()).await
    }
}

async fn the_same_key_and_body_give_the_stored_answer_and_one_order(place: Place) {
    let shop = place.shop().await;
    let first = shop.post_under("k1", order_body(&[(1, 2)])).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let id = first.json()["orderId"].as_str().unwrap().to_owned();
    // Before the order service has it, and after.
    for _ in 0..2 {
        let again = shop.post_under("k1", order_body(&[(1, 2)])).await;
        assert_eq!((again.status, &again.body), (StatusCode::CREATED, &first.body));
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(shop.decided(&id).await, "successful");
    }
    let other = shop.post_under("k2", order_body(&[(1, 2)])).await;
    assert_ne!(other.json()["orderId"], json!(id));
    shop.decided(other.json()["orderId"].as_str().unwrap()).await;
    assert_eq!(shop.balance(1).await, 196);
}

async fn the_same_key_with_another_body_is_refused(place: Place) {
    let shop = place.shop().await;
    let first = shop.post_under("k", order_body(&[(1, 2)])).await;
    for _ in 0..2 {
        let other = shop.post_under("k", order_body(&[(1, 3)])).await;
        assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(other.json()["field"], "Idempotency-Key");
        shop.decided(first.json()["orderId"].as_str().unwrap()).await;
    }
    shop.quiet().await;
    assert_eq!(shop.balance(1).await, 198);
}

/// Before the order service has it, the log itself remembers.
async fn the_log_remembers_what_the_first_one_wanted(place: Place) {
    let mut shop = place.shop().await;
    shop.stop_services().await;
    let first = shop.post_under("k", order_body(&[(1, 2)])).await;
    for _ in 0..2 {
        let same = shop.post_under("k", order_body(&[(1, 2)])).await;
        assert_eq!((same.status, &same.body), (StatusCode::CREATED, &first.body));
        assert_eq!(shop.post_under("k", order_body(&[(1, 3)])).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(shop.said("public-front/order-send").await.len(), 1);
}

async fn while_the_first_one_runs_the_others_are_asked_to_come_again(place: Place) {
    let shop = place.shop_with(Choice { sync_delay: Duration::from_millis(500), ..Choice::default() }).await;
    let shop = Arc::new(shop);
    let asking: Vec<_> = (0..2)
        .map(|_| {
            let shop = shop.clone();
            tokio::spawn(async move { shop.post_under("k", order_body(&[(1, 2)])).await })
        })
        .collect();
    let mut statuses = Vec::new();
    for asked in asking {
        let answer = asked.await.unwrap();
        assert_eq!(answer.headers.contains_key("retry-after"), answer.status == StatusCode::CONFLICT);
        statuses.push(answer.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [StatusCode::CREATED, StatusCode::CONFLICT]);
    assert_eq!(shop.said("public-front/order-send").await.len(), 1);
}

async fn a_hundred_requests_with_one_key_at_once_make_one_order(place: Place) {
    let shop = Arc::new(place.shop().await);
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let shop = shop.clone();
            tokio::spawn(async move { shop.post_under("k", order_body(&[(1, 1)])).await })
        })
        .collect();
    let mut created = Vec::new();
    for asked in asking {
        let answer = asked.await.unwrap();
        match answer.status {
            StatusCode::CREATED => created.push(answer.json()["orderId"].clone()),
            status => assert_eq!(status, StatusCode::CONFLICT),
        }
    }
    assert!(!created.is_empty() && created.iter().all(|id| *id == created[0]), "{created:?}");
    shop.decided(created[0].as_str().unwrap()).await;
    shop.quiet().await;
    assert_eq!(shop.balance(1).await, 199);
}

async fn a_key_must_be_one_that_can_be_read(place: Place) {
    let shop = place.shop().await;
    for key in ["", &"x".repeat(256), "ä"] {
        let request =
            Request::post("/order").header("idempotency-key", key.as_bytes()).body(Body::from(order_body(&[(1, 1)])));
        let answer = shop.ask(request.unwrap()).await;
        assert_eq!((answer.status, &answer.json()["field"]), (StatusCode::BAD_REQUEST, &json!("Idempotency-Key")));
    }
    let twice = Request::post("/order").header("idempotency-key", "a").header("idempotency-key", "b");
    assert_eq!(shop.ask(twice.body(Body::from(order_body(&[(1, 1)]))).unwrap()).await.status, StatusCode::BAD_REQUEST);
}

async fn an_order_that_was_canceled_before_it_came_can_still_be_sent_under_its_key(place: Place) {
    let shop = place.shop_with(Choice::default()).await;
    let first = shop.post_under("k", order_body(&[(1, 1)])).await;
    let id = first.json()["orderId"].as_str().unwrap().to_owned();
    shop.delete(&format!("/order/{id}")).await;
    shop.quiet().await;
    let again = shop.post_under("k", order_body(&[(1, 1)])).await;
    assert_eq!((again.status, again.body), (StatusCode::CREATED, first.body));
    assert_eq!(shop.get(&format!("/order/{id}")).await.json()["order_status"], "canceled");
    shop.balance_is(1, 200).await;
}

super::on_each_store! {
    the_same_key_and_body_give_the_stored_answer_and_one_order,
    the_same_key_with_another_body_is_refused,
    the_log_remembers_what_the_first_one_wanted,
    while_the_first_one_runs_the_others_are_asked_to_come_again,
    a_hundred_requests_with_one_key_at_once_make_one_order,
    a_key_must_be_one_that_can_be_read,
    an_order_that_was_canceled_before_it_came_can_still_be_sent_under_its_key,
}
