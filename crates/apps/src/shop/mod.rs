//! `shop`: a web shop in three services, which shows that books stay right whatever is killed, repeated or comes out of order.
//!
//! *Front* answers over HTTP and keeps nothing. *Inventory* has products and reservations, *order* has orders and their
//! status. They talk by the [messages] alone, so each may run in a process of its own, and be swapped with a foreign one that
//! speaks the same. The choices that the messages leave open are written down in `docs/shop.md`.

mod alarm;
pub mod audit;
pub mod basket;
pub mod front;
pub mod inventory;
pub mod messages;
mod minted;
pub mod order;
pub mod wire_id;

use std::time::Duration;

pub use front::{FrontSettings, routes};

/// What the services are told by the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShopSettings {
    /// How long stock is kept for an order that never came: the order service has heard that the stock is there, and not of
    /// the order. Then it cancels the order, and the stock returns.
    pub release_after: Duration,
    /// How long a decided order's status stays the latest state of its topic, for those who begin to watch late.
    pub notice_for: Duration,
    /// How many statuses may be latest states, whatever their age: after so many more orders those beyond it end, the oldest
    /// first.
    pub notices_max: u32,
}

impl Default for ShopSettings {
    fn default() -> Self {
        // An hour: longer than a service is down in any ordinary mishap, so that no order that will still come loses its
        // stock. A minute is long enough for a page to begin to watch, and 50,000 states are 10 MB of the log's index.
        Self { release_after: Duration::from_secs(3_600), notice_for: Duration::from_secs(60), notices_max: 50_000 }
    }
}
