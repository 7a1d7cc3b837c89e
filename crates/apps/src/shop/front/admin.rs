//! What an administrator sees and does: stock, orders, the books.

use axum::extract::{Query as Params, State};
use axum::http::{Extensions, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use headwater_event::{EventId, Time, json};
use headwater_service::{Row, StoreError};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::{Front, body_of, json_answer};
use crate::shop::audit;
use crate::shop::basket::Basket;
use crate::shop::inventory::{STOCK_EDIT, StockEdit};
use crate::shop::order::Status;
use crate::shop::order::tables::{LATEST, LATEST_OF, LIKE, ORDER};
use crate::shop::wire_id::ID_LEN_MAX;

/// `GET /shop/api/me`: whether the page shows what is for administrators.
pub async fn me(State(front): State<Front>, extensions: Extensions) -> Result<Response, Problem> {
    let who = front.who(&extensions);
    let is_admin = front.0.hub.access().may_administer(&who);
    json_answer(&serde_json::json!({ "name": who.name(), "admin": is_admin }))
}

/// A stock edit as a person writes it: the price in units.
#[derive(Deserialize)]
struct Edit {
    price: Option<f64>,
    #[serde(flatten)]
    edit: StockEdit,
}

/// `POST /shop/api/stock`
pub async fn edit_stock(
    State(front): State<Front>,
    extensions: Extensions,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Problem> {
    let who = front.admin(&extensions)?;
    let read: Edit = serde_json::from_slice(&body_of(body)?)
        .map_err(|error| Problem::wrong_field("body", format!("this is no edit: {error}")))?;
    let mut edit = read.edit;
    if let Some(price) = read.price {
        edit.price_cents = Some(cents_of(price).ok_or_else(|| Problem::wrong_field("price", "a price is 0 or more"))?);
    }
    edit.check().map_err(|(field, why)| Problem::wrong_field(field, why))?;
    front.publish(&who, STOCK_EDIT, EventId::generate(), &edit)?.await?;
    Ok((StatusCode::ACCEPTED, json_answer(&edit)?).into_response())
}

fn cents_of(price: f64) -> Option<i64> {
    let cents = (price * 100.0).round();
    // Beyond this no f64 has cents; what is allowed is checked with the edit.
    (0.0..9e15).contains(&cents).then_some(cents as i64)
}

/// What `/shop/api/orders` takes.
#[derive(Deserialize)]
pub struct OrdersParams {
    #[serde(default)]
    text: String,
    status: Option<Status>,
}

#[derive(Serialize)]
struct OrderRow {
    order_id: String,
    order_status: &'static str,
    items: Option<Basket>,
    placed_at: String,
    changed_at: String,
}

/// `GET /shop/api/orders`: one by its name, those whose name begins so, or the latest.
pub async fn orders(
    State(front): State<Front>,
    extensions: Extensions,
    params: Result<Params<OrdersParams>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    front.admin(&extensions)?;
    let Params(params) = params.map_err(|error| Problem::wrong_field("query", error.body_text()))?;
    let text = params.text.trim();
    if text.len() > ID_LEN_MAX || text.contains(char::is_control) {
        return Err(Problem::wrong_field(
            "text",
            format!("an order's name has at most {ID_LEN_MAX} bytes, and no control characters"),
        ));
    }
    let orders = &front.0.orders;
    let mut rows = match (text, params.status) {
        ("", None) => orders.query(&LATEST, &[]).await?,
        ("", Some(status)) => orders.query(&LATEST_OF, &[(status as i64).into()]).await?,
        (text, _) => orders.query(&ORDER, &[text.into()]).await?,
    };
    if rows.is_empty() && !text.is_empty() {
        // What LIKE would read as a sign stands for itself.
        let escaped: String =
            text.chars().flat_map(|c| ['!'].into_iter().filter(move |_| "!%_".contains(c)).chain([c])).collect();
        let pattern = format!("{escaped}%");
        rows = orders.query(&LIKE, &[pattern.into()]).await?;
    }
    let rows = rows.iter().map(order_row).collect::<Result<Vec<_>, _>>()?;
    let wanted = |row: &OrderRow| params.status.is_none_or(|status| row.order_status == status.word());
    let rows: Vec<OrderRow> = rows.into_iter().filter(wanted).collect();
    json_answer(&serde_json::json!({ "orders": rows }))
}

fn order_row(row: &Row) -> Result<OrderRow, StoreError> {
    Ok(OrderRow {
        order_id: row.text(0)?.into(),
        order_status: Status::from_column(row.int(1)?).map_or("awaited", Status::word),
        items: Basket::from_text(row.text(2)?).ok(),
        placed_at: spelt_time(row.int(3)?),
        changed_at: spelt_time(row.int(4)?),
    })
}

pub(super) fn spelt_time(micros: i64) -> String {
    let mut out = Vec::new();
    json::write_time(Time(u64::try_from(micros).unwrap_or_default()), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// `GET /shop/api/audit`
pub async fn audit(State(front): State<Front>, extensions: Extensions) -> Result<Response, Problem> {
    front.admin(&extensions)?;
    let report = audit::audit(&front.0.inventory, Some(&front.0.orders)).await?;
    let balanced = report.is_balanced();
    json_answer(&serde_json::json!({ "balanced": balanced, "report": report }))
}
