//! What is for administrators: stock, orders, timelines, books.

use axum::http::StatusCode;
use headwater_hub::Access;
use serde_json::json;

use super::{Choice, Place, order_body};

async fn stock_is_booked_in_and_out_and_the_books_know_it(place: Place) {
    let shop = place.shop().await;
    for (edit, balance) in [
        (json!({ "inventoryId": 1, "change": 50 }), 250),
        (json!({ "inventoryId": 1, "change": -100 }), 150),
        (json!({ "inventory_id": 1, "balance": 7, "price": 19.99, "product_name": "Mug, green" }), 7),
    ] {
        let answer = shop.post("/shop/api/stock", edit.to_string()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{:?}", answer.body);
        shop.balance_is(1, balance).await;
        shop.assert_books().await;
    }
    let new = json!({ "inventoryId": 40, "product_name": "Kite", "price": 31, "balance": 5 });
    assert_eq!(shop.post("/shop/api/stock", new.to_string()).await.status, StatusCode::ACCEPTED);
    shop.quiet().await;
    shop.balance_is(40, 5).await;
    let goods = shop.get("/shop/inventory").await.json();
    assert_eq!(goods[0], json!({ "id": 1, "product_name": "Mug, green", "price": 19.99, "balance": 7 }));
    assert_eq!(goods[6], json!({ "id": 40, "product_name": "Kite", "price": 31.0, "balance": 5 }));
    shop.assert_books().await;
}

async fn an_edit_that_makes_no_sense_changes_nothing(place: Place) {
    let shop = place.shop().await;
    for (edit, field) in [
        (json!({}), "body"),
        (json!({ "inventoryId": 1 }), "change"),
        (json!({ "inventoryId": 0, "change": 1 }), "inventoryId"),
        (json!({ "inventoryId": 1, "change": 1, "balance": 1 }), "change"),
        (json!({ "inventoryId": 1, "balance": -1 }), "balance"),
        (json!({ "inventoryId": 1, "price": -0.5 }), "price"),
        (json!({ "inventoryId": 1, "product_name": " " }), "product_name"),
        (json!({ "inventoryId": 1, "change": 1.5 }), "body"),
    ] {
        let answer = shop.post("/shop/api/stock", edit.to_string()).await;
        assert_eq!((answer.status, &answer.json()["field"]), (StatusCode::BAD_REQUEST, &json!(field)), "{edit}");
    }
    // What only the shelf can tell becomes a dead letter with its reason.
    for edit in [json!({ "inventoryId": 1, "change": -201 }), json!({ "inventoryId": 77, "change": 1 })] {
        assert_eq!(shop.post("/shop/api/stock", edit.to_string()).await.status, StatusCode::ACCEPTED);
    }
    shop.quiet().await;
    assert_eq!(shop.dead_letters("shop_inventory").await.len(), 2);
    assert_eq!(shop.balance(1).await, 200);
    shop.assert_books().await;
}

async fn only_who_may_administer_sees_and_does_it(place: Place) {
    let shop = place.shop_with(Choice { access: Access::open(), ..Choice::default() }).await;
    for path in ["/shop/api/orders", "/shop/api/audit", "/shop/api/orders/x/timeline"] {
        assert_eq!(shop.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let edit = json!({ "inventoryId": 1, "change": 1 }).to_string();
    assert_eq!(shop.post("/shop/api/stock", edit).await.status, StatusCode::FORBIDDEN);
    assert_eq!(shop.get("/shop/api/me").await.json()["admin"], false);
    assert!(shop.said("shop/stock-edit").await.is_empty());
}

async fn orders_are_found_by_name_status_and_time(place: Place) {
    let shop = place.shop().await;
    for (order, count) in [("alpha-1", 1), ("alpha-2", 500), ("beta%", 2)] {
        shop.send(&json!(order), &[(1, count)]).await;
        shop.quiet().await;
    }
    let asked = &shop;
    let found = |query: &'static str| async move {
        let answer = asked.get(&format!("/shop/api/orders{query}")).await.json();
        let orders = answer["orders"].as_array().unwrap().clone();
        orders.iter().map(|order| order["order_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("").await, ["beta%", "alpha-2", "alpha-1"]);
    assert_eq!(found("?text=alpha-1").await, ["alpha-1"]);
    assert_eq!(found("?text=alpha").await, ["alpha-2", "alpha-1"]);
    assert_eq!(found("?text=alpha&status=unsuccessful").await, ["alpha-2"]);
    assert_eq!(found("?status=successful").await, ["beta%", "alpha-1"]);
    assert_eq!(found("?text=beta%25").await, ["beta%"]);
    assert!(found("?text=%25").await.is_empty() && found("?text=nobody").await.is_empty());
    assert_eq!(shop.get("/shop/api/orders?status=lost").await.status, StatusCode::BAD_REQUEST);
    let long = format!("/shop/api/orders?text={}", "x".repeat(200));
    assert_eq!(shop.get(&long).await.status, StatusCode::BAD_REQUEST);
}

async fn an_orders_story_is_told_out_of_the_log(place: Place) {
    let shop = place.shop().await;
    for other in 0..200 {
        shop.send(&json!(format!("other-{other}")), &[(2, 1)]).await;
    }
    let id = shop.post("/order", order_body(&[(1, 1)])).await.json()["orderId"].as_str().unwrap().to_owned();
    shop.decided(&id).await;
    shop.delete(&format!("/order/{id}")).await;
    shop.balance_is(1, 200).await;
    shop.quiet().await;
    let story = shop.get(&format!("/shop/api/orders/{id}/timeline")).await.json();
    assert_eq!(story["complete"], true);
    let topics: Vec<&str> =
        story["events"].as_array().unwrap().iter().map(|event| event["topic"].as_str().unwrap()).collect();
    let status = format!("shop/order/{id}");
    let wanted = ["public-front/order-send", "inventory/on-stock", &status, "public-front/order-canceled"];
    assert_eq!(topics[..4], wanted);
    assert_eq!(topics.len(), 6);
    assert_eq!(shop.get("/shop/api/orders/nobody/timeline").await.status, StatusCode::NOT_FOUND);
}

async fn the_books_tell_when_they_are_wrong(place: Place) {
    let shop = place.shop().await;
    shop.send(&json!("a"), &[(1, 3)]).await;
    shop.decided("a").await;
    let answer = shop.get("/shop/api/audit").await.json();
    assert_eq!((&answer["balanced"], &answer["report"]["products"]["1"]["sold"]), (&json!(true), &json!(3)));
    let report = shop.audit().await;
    assert_eq!((report.products[&1].stock, report.products[&1].reserved(), report.products[&1].sold), (197, 0, 3));
    assert!(report.to_string().contains("the books are right"));
}

super::on_each_store! {
    stock_is_booked_in_and_out_and_the_books_know_it,
    an_edit_that_makes_no_sense_changes_nothing,
    only_who_may_administer_sees_and_does_it,
    orders_are_found_by_name_status_and_time,
    an_orders_story_is_told_out_of_the_log,
    the_books_tell_when_they_are_wrong,
}
