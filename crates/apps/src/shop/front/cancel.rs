//! `DELETE /shop/order/{id}`: answered when the wish is durable; it will be carried out.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use headwater_event::EventId;

use super::problem::Problem;
use super::status::known;
use super::{Front, order_of};
use crate::shop::messages::{CANCEL_ASKED, CancelAsked};
use crate::shop::order::Status;

/// `DELETE /shop/order/{id}`
pub async fn cancel(
    State(front): State<Front>,
    path: Result<Path<String>, PathRejection>,
    extensions: axum::http::Extensions,
) -> Result<Response, Problem> {
    let order = order_of(path)?;
    let id = order.as_str();
    let status = known(&front, id).await?.ok_or_else(|| Problem::no_order(id))?;
    if status != Status::Canceled {
        let who = front.who(&extensions);
        front.publish(&who, CANCEL_ASKED, EventId::generate(), &CancelAsked { order: &order })?.await?;
    }
    let body = serde_json::json!({ "orderId": id, "order_id": id, "order_status": status });
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::ACCEPTED, headers, body.to_string()).into_response())
}
