//! `GET /shop/order/{id}`: what became of an order.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use super::{Front, has_already, order_of, rows_of_orders};
use crate::shop::minted;
use crate::shop::order::Status;
use crate::shop::order::tables::STATUS;

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "orderId")]
    camel: &'a str,
    #[serde(rename = "order_id")]
    snake: &'a str,
    order_status: Status,
}

/// `GET /shop/order/{id}`
pub async fn status(
    State(front): State<Front>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let order = order_of(path)?;
    let id = order.as_str();
    let status = known(&front, id).await?.ok_or_else(|| Problem::no_order(id))?;
    let etag = format!("\"{}\"", status.word());
    let common = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if has_already(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let shown = Shown { camel: id, snake: id, order_status: status };
    let body = serde_json::to_vec(&shown).map_err(|error| Problem::broken(error.to_string()))?;
    Ok((common, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// What is known of an order; `None` when there is none.
pub(super) async fn known(front: &Front, id: &str) -> Result<Option<Status>, Problem> {
    let row = rows_of_orders(front, &STATUS, id).await?;
    let status = row.map(|row| row.int(0)).transpose()?.and_then(Status::from_column);
    // Acknowledged by a front, and on its way to the order service.
    Ok(status.or_else(|| minted::is_minted(id).then_some(Status::Unknown)))
}
