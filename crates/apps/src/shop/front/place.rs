//! `POST /shop/order`: answered when the order is durable.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use headwater_event::EventId;
use serde_json::Value;
use uuid::Uuid;

use super::problem::Problem;
use super::{Front, body_of, once};
use crate::shop::basket::{Basket, LINES_MAX, Line};
use crate::shop::messages::{ORDER_SEND, OrderSend};
use crate::shop::minted;
use crate::shop::wire_id::WireId;

/// Where the orders of this route are found afterwards.
#[derive(Clone, Copy)]
pub struct At(pub &'static str);

/// `POST /shop/order`
pub async fn place(
    State(front): State<Front>,
    Extension(at): Extension<At>,
    headers: HeaderMap,
    extensions: axum::http::Extensions,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Problem> {
    let key = once::key_of(&headers)?;
    let lines = lines_of(&body_of(body)?)?;
    let basket = Basket::of(&lines).map_err(|fault| Problem::wrong_field(fault.field, fault.why))?;
    let who = front.who(&extensions);
    let id = match key {
        None => {
            let id = minted::new();
            send(&front, &who, EventId::Own(id), &lines).await?;
            id
        }
        Some(key) => once::place(&front, &who, key, &lines, &basket).await?,
    };
    Ok(created(at, id))
}

/// Publishes it under an id that is the order's own name; gives the place of an earlier event of this id, when there is one.
pub(super) async fn send(
    front: &Front,
    who: &headwater_event::Principal,
    id: EventId,
    lines: &[Line],
) -> Result<Option<headwater_event::Position>, Problem> {
    let order = WireId::new(id.to_string()).map_err(|error| Problem::broken(error.to_string()))?;
    let message = OrderSend { order: &order, items: lines };
    let receipts = front.publish(who, ORDER_SEND, id, &message)?.await?;
    let receipt = receipts.get(0);
    Ok(receipt.duplicate.then_some(receipt.position))
}

/// `201`: the same for the first request and for each that is sent again.
fn created(at: At, id: Uuid) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::LOCATION, format!("{}/{id}", at.0)),
    ];
    let body = format!(r#"{{"orderId":"{id}","order_id":"{id}","order_status":"unknown"}}"#);
    (StatusCode::CREATED, headers, body).into_response()
}

/// The lines of an order, from `{"items": [..]}` or from the bare list.
fn lines_of(body: &[u8]) -> Result<Vec<Line>, Problem> {
    let read: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::wrong_field("body", format!("this is no JSON: {error}")))?;
    let items = match read {
        Value::Array(items) => items,
        Value::Object(mut members) => match members.remove("items") {
            Some(Value::Array(items)) => items,
            Some(_) => {
                return Err(Problem::wrong_field("items", "a list of {\"inventoryId\", \"count\"} belongs here"));
            }
            None => return Err(Problem::wrong_field("items", "it is missing: a list of {\"inventoryId\", \"count\"}")),
        },
        _ => return Err(Problem::wrong_field("body", "an object with \"items\" belongs here")),
    };
    // Before the lines are looked at one by one.
    if items.is_empty() || items.len() > LINES_MAX {
        let why = format!("an order has 1 to {LINES_MAX} lines, not {}", items.len());
        return Err(Problem::wrong_field("items", why));
    }
    items.into_iter().enumerate().map(|(at, item)| line_of(at, item)).collect()
}

fn line_of(at: usize, item: Value) -> Result<Line, Problem> {
    let Value::Object(mut members) = item else {
        return Err(Problem::wrong_field(
            format!("items[{at}]"),
            "an object {\"inventoryId\", \"count\"} belongs here",
        ));
    };
    let product = members.remove("inventoryId").or_else(|| members.remove("inventory_id"));
    let product = product.ok_or_else(|| Problem::wrong_field(format!("items[{at}].inventoryId"), "it is missing"))?;
    let product = serde_json::from_value(product).map_err(|_| {
        Problem::wrong_field(format!("items[{at}].inventoryId"), crate::shop::wire_id::WireIdError.to_string())
    })?;
    let field = || format!("items[{at}].count");
    let count = members.remove("count").ok_or_else(|| Problem::wrong_field(field(), "it is missing"))?;
    let whole = count
        .as_i64()
        .ok_or_else(|| Problem::wrong_field(field(), format!("a count is a whole number above 0, not {count}")))?;
    Ok(Line { product, count: whole })
}
