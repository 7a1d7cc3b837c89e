//! The messages between front, inventory and order service. They are the contract with foreign implementations of any of the
//! three: what is written has exactly these fields, what is read may spell them either way.

use headwater_event::Event;
use headwater_service::{Failure, body};
use serde::{Deserialize, Serialize};

use super::basket::{Basket, Line};
use super::wire_id::WireId;

/// An order was placed: `{orderId, items: [{inventoryId, count}]}`.
pub const ORDER_SEND: &str = "public-front/order-send";
/// A customer cancels: `{order_id}`.
pub const CANCEL_ASKED: &str = "public-front/order-canceled";
/// The order service has canceled an order: `{orderId}`.
pub const ORDER_CANCELED: &str = "order/order-canceled";
/// All that an order wants is reserved: `{orderId}`.
pub const ON_STOCK: &str = "inventory/on-stock";
/// Not all of it could be reserved, so nothing is: `{orderId}`.
pub const OUT_OF_STOCK: &str = "inventory/out-of-stock";

/// An order was placed.
#[derive(Clone, Debug, Serialize)]
pub struct OrderSend<'a> {
    /// Its name.
    #[serde(rename = "orderId")]
    pub order: &'a WireId,
    /// Its lines as the customer wrote them.
    pub items: &'a [Line],
}

/// Names an order in what inventory and order service say.
#[derive(Clone, Debug, Serialize)]
pub struct OrderNamed<'a> {
    /// Its name.
    #[serde(rename = "orderId")]
    pub order: &'a WireId,
}

/// Names an order in what the front says of a cancel.
#[derive(Clone, Debug, Serialize)]
pub struct CancelAsked<'a> {
    /// Its name.
    #[serde(rename = "order_id")]
    pub order: &'a WireId,
}

/// An order as it was read: its name and the sums of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its name.
    pub order: WireId,
    /// What it wants.
    pub basket: Basket,
}

#[derive(Deserialize)]
struct Placing {
    #[serde(rename = "orderId")]
    camel: Option<WireId>,
    #[serde(rename = "order_id")]
    snake: Option<WireId>,
    items: Vec<Line>,
}

#[derive(Deserialize)]
struct Naming {
    #[serde(rename = "orderId")]
    camel: Option<WireId>,
    #[serde(rename = "order_id")]
    snake: Option<WireId>,
}

/// Reads `order-send`.
///
/// # Errors
/// `Dead` with the field that is wrong: trying again can't help.
pub fn read_placed(event: &Event) -> Result<Placed, Failure> {
    let read: Placing = body::read(event)?;
    let order = one_of(read.camel, read.snake)?;
    let basket = Basket::of(&read.items).map_err(|fault| Failure::dead(fault.to_string()))?;
    Ok(Placed { order, basket })
}

/// Reads a message that names an order.
///
/// # Errors
/// `Dead` when it names none.
pub fn read_order(event: &Event) -> Result<WireId, Failure> {
    let read: Naming = body::read(event)?;
    one_of(read.camel, read.snake)
}

fn one_of(camel: Option<WireId>, snake: Option<WireId>) -> Result<WireId, Failure> {
    camel.or(snake).ok_or_else(|| Failure::dead("orderId: the message names no order"))
}
