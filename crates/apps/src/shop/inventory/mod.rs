//! The inventory: products, their stock, and what of it is reserved for which order.
//!
//! All that changes stock goes through one lane: popular products would make parallel transactions wait for each other's rows
//! anyway, and here none of them can block another. (Without a key the kit has one lane. It needs no order either: whatever
//! comes first, the end is the same.)

mod edit;
mod release;
mod reserve;
pub mod seed;
pub(crate) mod tables;
mod tell;

use std::sync::Arc;

use headwater_event::Event;
use headwater_service::{Migration, Service, Timer, Tx};

use super::alarm::Alarm;
use super::messages::{ON_STOCK, ORDER_CANCELED, ORDER_SEND, OUT_OF_STOCK};

pub use edit::StockEdit;
pub use tell::Shown;

/// The name of the service, its group and its store.
pub const NAME: &str = "shop_inventory";

/// An administrator changes stock, or a product.
pub const STOCK_EDIT: &str = "shop/stock-edit";

/// Where the latest state of each product is told: below this, its number.
pub const PRODUCT_TOPICS: &str = "shop/inventory";

/// The timer that tells what has changed.
const TELL: &str = "tell";

static MIGRATIONS: [Migration; 1] = [Migration { name: "001_stock", sql: include_str!("001_stock.sql") }];

/// What the handlers share: which products changed is told once for many orders.
struct Inventory {
    tell: Alarm,
}

/// The service.
pub fn service() -> Service {
    let inventory = Arc::new(Inventory { tell: Alarm::new(TELL) });
    let (reserving, releasing, editing, telling) = (inventory.clone(), inventory.clone(), inventory.clone(), inventory);
    Service::new(NAME)
        .migrations(&MIGRATIONS)
        .statements(tables::ALL)
        .publishes(&[ON_STOCK, OUT_OF_STOCK, "shop/inventory/+"])
        .seed(async |tx: &mut Tx<'_>| seed::seed(tx).await)
        .on(ORDER_SEND, async move |tx: &mut Tx<'_>, event: &Event| reserve::reserve(&reserving, tx, event).await)
        .on(ORDER_CANCELED, async move |tx: &mut Tx<'_>, event: &Event| release::release(&releasing, tx, event).await)
        .on(STOCK_EDIT, async move |tx: &mut Tx<'_>, event: &Event| edit::edit(&editing, tx, event).await)
        .on_timer(TELL, async move |tx: &mut Tx<'_>, _: &Timer| tell::tell(&telling, tx).await)
}
