//! The order service: orders, and their status, which only ever goes forward.
//!
//! Whatever comes too early is kept in the order's own row: what the inventory said of an order that isn't here yet waits in it,
//! and a cancel ends it before it began. So every order of arrival gives the same end.

mod cancel;
mod decide;
mod notice;
mod place;
pub(crate) mod tables;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use headwater_event::Event;
use headwater_service::{Migration, Service, Timer, Tx};
use serde::{Deserialize, Serialize};

use super::ShopSettings;
use super::alarm::Alarm;
use super::messages::{CANCEL_ASKED, ON_STOCK, ORDER_CANCELED, ORDER_SEND, OUT_OF_STOCK};

/// The name of the service, its group and its store.
pub const NAME: &str = "shop_order";

/// Where the status of an order is told: below this, its name.
pub const STATUS_TOPICS: &str = "shop/order";

/// The timer of stock that waits for its order; the key is the order.
const RELEASE: &str = "release";
/// The timer that ends the latest states of orders that were decided a while ago.
const CLEAR: &str = "clear";

static MIGRATIONS: [Migration; 1] = [Migration { name: "001_orders", sql: include_str!("001_orders.sql") }];

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing yet.
    Unknown,
    /// All of it is reserved.
    Successful,
    /// Not all of it was there.
    Unsuccessful,
    /// It was canceled.
    Canceled,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Successful => "successful",
            Self::Unsuccessful => "unsuccessful",
            Self::Canceled => "canceled",
        }
    }

    /// Out of the column; `None` for an order that hasn't come yet, of which the inventory has spoken.
    #[must_use]
    pub const fn from_column(status: i64) -> Option<Self> {
        match status {
            tables::status::UNKNOWN => Some(Self::Unknown),
            tables::status::SUCCESSFUL => Some(Self::Successful),
            tables::status::UNSUCCESSFUL => Some(Self::Unsuccessful),
            tables::status::CANCELED => Some(Self::Canceled),
            _ => None,
        }
    }
}

/// What the handlers share.
struct Orders {
    settings: ShopSettings,
    clear: Alarm,
    /// How many statuses this process has told.
    told: AtomicU64,
}

/// The service.
pub fn service(settings: ShopSettings) -> Service {
    let orders = Arc::new(Orders { settings, clear: Alarm::new(CLEAR), told: AtomicU64::new(0) });
    let (placing, canceling, hearing_yes, hearing_no, releasing) =
        (orders.clone(), orders.clone(), orders.clone(), orders.clone(), orders.clone());
    Service::new(NAME)
        .migrations(&MIGRATIONS)
        .statements(tables::ALL)
        .publishes(&[ORDER_CANCELED, "shop/order/+"])
        .key_of(key_of)
        .on(ORDER_SEND, async move |tx: &mut Tx<'_>, event: &Event| place::place(&placing, tx, event).await)
        .on(CANCEL_ASKED, async move |tx: &mut Tx<'_>, event: &Event| cancel::cancel(&canceling, tx, event).await)
        .on(ON_STOCK, async move |tx: &mut Tx<'_>, event: &Event| decide::on_stock(&hearing_yes, tx, event).await)
        .on(OUT_OF_STOCK, async move |tx: &mut Tx<'_>, event: &Event| {
            decide::out_of_stock(&hearing_no, tx, event).await
        })
        .on_timer(RELEASE, async move |tx: &mut Tx<'_>, timer: &Timer| decide::release(&releasing, tx, timer).await)
        .on_timer(CLEAR, async move |tx: &mut Tx<'_>, _: &Timer| notice::clear(&orders, tx).await)
}

/// Events of one order keep their order; what names none is handled by itself, and refused there.
fn key_of(event: &Event) -> Option<String> {
    super::messages::read_order(event).ok().map(|order| order.as_str().to_owned())
}
