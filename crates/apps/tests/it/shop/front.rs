//! The front: what a client of HTTP sees.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use headwater_hub::Access;
use serde_json::json;

use super::{Choice, Place, order_body};

async fn the_catalogue_has_the_seed_with_prices_as_numbers(place: Place) {
    let shop = place.shop().await;
    let answer = shop.get("/shop/inventory").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    let goods = answer.json();
    for (at, id) in [(0, 1), (1, 2)] {
        let product = goods[at].as_object().unwrap();
        assert_eq!((&product["id"], &product["balance"]), (&json!(id), &json!(200)));
        assert!(product["price"].is_number() && product["product_name"].is_string(), "{product:?}");
        assert_eq!(product.len(), 4);
    }
    assert_eq!(goods[0]["price"], json!(14.9));
    assert_eq!(shop.get("/inventory").await.body, answer.body);
}

async fn an_order_is_created_found_at_once_and_decided(place: Place) {
    let shop = place.shop().await;
    for (post, at) in [("/shop/order", "/shop/order/"), ("/order", "/order/")] {
        let answer = shop.post(post, order_body(&[(1, 2), (2, 1)])).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        let body = answer.json();
        let id = body["orderId"].as_str().unwrap();
        assert_eq!((&body["order_id"], &body["order_status"]), (&json!(id), &json!("unknown")));
        assert_eq!(answer.header("location"), format!("{at}{id}"));
        // Never 404, however far the order service is.
        let found = shop.get(answer.header("location")).await;
        assert_eq!(found.status, StatusCode::OK);
        assert_eq!(shop.decided(id).await, "successful");
    }
    assert_eq!((shop.balance(1).await, shop.balance(2).await), (196, 198));
}

async fn an_acknowledged_order_is_known_while_the_order_service_is_away(place: Place) {
    let shop = place.shop_with(Choice { order: false, ..Choice::default() }).await;
    // Its tables aren't even there.
    let id = shop.post("/shop/order", order_body(&[(1, 1)])).await.json()["orderId"].as_str().unwrap().to_owned();
    let found = shop.get(&format!("/shop/order/{id}")).await;
    assert_eq!((found.status, &found.json()["order_status"]), (StatusCode::OK, &json!("unknown")));
    assert_eq!(shop.get("/shop/order/17").await.status, StatusCode::NOT_FOUND);
    let other = place.shop().await;
    // Another front, which has never seen it, with an order service that hasn't either.
    let found = other.get(&format!("/shop/order/{id}")).await;
    assert_eq!((found.status, &found.json()["order_status"]), (StatusCode::OK, &json!("unknown")));
}

async fn an_order_that_nobody_knows_is_not_found(place: Place) {
    let shop = place.shop().await;
    for id in [
        "17",
        "nope",
        "018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a",
        "8d7f1f0e-2f65-4d4e-9a2b-3a2c6f1f7d11",
        "%00",
        "%ff",
        "a%2Fb",
        &"x".repeat(200),
    ] {
        for root in ["/shop/order", "/order"] {
            let answer = shop.get(&format!("{root}/{id}")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "GET {id}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!(shop.delete(&format!("{root}/{id}")).await.status, StatusCode::NOT_FOUND, "DELETE {id}");
        }
    }
    assert!(shop.said("public-front/order-canceled").await.is_empty());
}

async fn a_deleted_order_is_canceled_and_its_stock_returns(place: Place) {
    let shop = place.shop().await;
    let id = shop.post("/order", order_body(&[(1, 7)])).await.json()["orderId"].as_str().unwrap().to_owned();
    assert_eq!(shop.decided(&id).await, "successful");
    assert_eq!(shop.balance(1).await, 193);
    let deleted = shop.delete(&format!("/order/{id}")).await;
    assert_eq!(deleted.status, StatusCode::ACCEPTED);
    assert_eq!(shop.status_other_than(&id, "successful").await, "canceled");
    shop.balance_is(1, 200).await;
    assert_eq!(shop.delete(&format!("/order/{id}")).await.status, StatusCode::ACCEPTED);
    assert_eq!(shop.said("public-front/order-canceled").await, [json!({ "order_id": id })]);
    shop.assert_books().await;
}

async fn what_is_malformed_is_told_with_its_field_and_changes_nothing(place: Place) {
    let shop = place.shop().await;
    let many = order_body(&vec![(1, 1); 1_001]);
    for (body, field) in [
        ("", "body"),
        ("{", "body"),
        ("17", "body"),
        ("null", "body"),
        ("{}", "items"),
        (r#"{"items":null}"#, "items"),
        (r#"{"items":{}}"#, "items"),
        (r#"{"items":[]}"#, "items"),
        ("[]", "items"),
        (r#"{"items":[7]}"#, "items[0]"),
        (r#"{"items":[{"count":1}]}"#, "items[0].inventoryId"),
        (r#"{"items":[{"inventoryId":null,"count":1}]}"#, "items[0].inventoryId"),
        (r#"{"items":[{"inventoryId":1.5,"count":1}]}"#, "items[0].inventoryId"),
        (r#"{"items":[{"inventoryId":1}]}"#, "items[0].count"),
        (r#"{"items":[{"inventoryId":1,"count":1},{"inventoryId":2,"count":-5}]}"#, "items[1].count"),
        (r#"{"items":[{"inventoryId":1,"count":0}]}"#, "items[0].count"),
        (r#"{"items":[{"inventoryId":1,"count":1.5}]}"#, "items[0].count"),
        (r#"{"items":[{"inventoryId":1,"count":"3"}]}"#, "items[0].count"),
        (r#"{"items":[{"inventoryId":1,"count":1e99}]}"#, "items[0].count"),
        (r#"{"items":[{"inventoryId":1,"count":9223372036854775807}]}"#, "items[0].count"),
        (many.as_str(), "items"),
    ] {
        let answer = shop.post("/shop/order", body.to_owned()).await;
        let short: String = body.chars().take(80).collect();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{short}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["field"], field, "{short}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(field), "{problem}");
    }
    let long = shop.post("/shop/order", " ".repeat(64 * 1_024 + 1)).await;
    assert_eq!((long.status, long.header("content-type")), (StatusCode::PAYLOAD_TOO_LARGE, "application/problem+json"));
    assert!(shop.said("public-front/order-send").await.is_empty());
}

async fn the_catalogue_is_new_as_soon_as_an_order_is_successful(place: Place) {
    let shop = place.shop().await;
    let begun = Instant::now();
    for sold in 1..=50 {
        assert_eq!(shop.balance(1).await, 201 - sold);
        let id = shop.post("/order", order_body(&[(1, 1)])).await.json()["orderId"].as_str().unwrap().to_owned();
        assert_eq!(shop.decided(&id).await, "successful");
        shop.balance_is(1, 200 - sold).await;
    }
    // Without the events it would be looked at every five seconds.
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
}

async fn a_client_that_has_the_catalogue_is_told_so(place: Place) {
    let shop = place.shop().await;
    let first = shop.get("/inventory").await;
    let etag = first.header("etag").to_owned();
    assert!(first.header("age").parse::<u64>().is_ok());
    let again = |tag: String| {
        let request = Request::get("/inventory").header("if-none-match", tag).body(Body::empty()).unwrap();
        shop.ask(request)
    };
    for tag in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
        let answer = again(tag).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0));
    }
    let id = shop.post("/order", order_body(&[(1, 1)])).await.json()["orderId"].as_str().unwrap().to_owned();
    shop.decided(&id).await;
    shop.balance_is(1, 199).await;
    let answer = again(etag.clone()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_ne!(answer.header("etag"), etag);
    let status = shop.get(&format!("/order/{id}")).await;
    let request =
        Request::get(format!("/order/{id}")).header("if-none-match", status.header("etag")).body(Body::empty());
    assert_eq!(shop.ask(request.unwrap()).await.status, StatusCode::NOT_MODIFIED);
}

async fn root_paths_are_there_only_where_they_are_wanted(place: Place) {
    let shop = place.shop_with(Choice { root_paths: false, ..Choice::default() }).await;
    assert_eq!(shop.get("/inventory").await.status, StatusCode::NOT_FOUND);
    assert_eq!(shop.post("/order", order_body(&[(1, 1)])).await.status, StatusCode::NOT_FOUND);
    assert_eq!(shop.get("/shop/inventory").await.status, StatusCode::OK);
}

async fn who_may_not_publish_may_not_order(place: Place) {
    let shop = place.shop_with(Choice { access: Access::by(|_, _| false), ..Choice::default() }).await;
    let answer = shop.post("/shop/order", order_body(&[(1, 1)])).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::FORBIDDEN, "application/problem+json"));
}

async fn a_status_is_told_to_those_who_watch_its_topic(place: Place) {
    let shop = place.shop().await;
    let id = shop.post("/order", order_body(&[(1, 1)])).await.json()["orderId"].as_str().unwrap().to_owned();
    assert_eq!(shop.decided(&id).await, "successful");
    shop.quiet().await;
    let told = shop.said(&format!("shop/order/{id}")).await;
    assert_eq!(told, [json!({ "orderId": id, "order_status": "successful" })]);
    let shown = shop.until_said("shop/inventory/1", |shown| shown["balance"] == 199).await;
    assert_eq!(shown["id"], 1);
}

async fn the_page_asks_no_other_host_and_runs_nothing_inline(place: Place) {
    let shop = place.shop().await;
    assert_eq!(shop.get("/shop").await.header("location"), "/shop/");
    for file in ["", "shop.js", "shop.css", "icon.svg", "htm-preact.js"] {
        let answer = shop.get(&format!("/shop/{file}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{file}: {policy}");
        let text = String::from_utf8(answer.body.to_vec()).unwrap().replace("http://www.w3.org/", "");
        assert!(!text.contains("http://") && !text.contains("https://"), "{file} names another host");
    }
    assert_eq!(shop.get("/shop/secret.txt").await.status, StatusCode::NOT_FOUND);
}

super::on_each_store! {
    the_catalogue_has_the_seed_with_prices_as_numbers,
    an_order_is_created_found_at_once_and_decided,
    an_acknowledged_order_is_known_while_the_order_service_is_away,
    an_order_that_nobody_knows_is_not_found,
    a_deleted_order_is_canceled_and_its_stock_returns,
    what_is_malformed_is_told_with_its_field_and_changes_nothing,
    the_catalogue_is_new_as_soon_as_an_order_is_successful,
    a_client_that_has_the_catalogue_is_told_so,
    root_paths_are_there_only_where_they_are_wanted,
    who_may_not_publish_may_not_order,
    a_status_is_told_to_those_who_watch_its_topic,
    the_page_asks_no_other_host_and_runs_nothing_inline,
}
