//! The latest state of each product, told to whoever watches: soon after it changed, and once for many orders.

use std::time::Duration;

use headwater_service::{Failure, Outgoing, Row, StoreError, Tx};
use serde::Serialize;

use super::tables::{CHANGED, TOLD};
use super::{Inventory, PRODUCT_TOPICS};

/// How long changes are gathered: a person sees no difference, and thousands of orders make one event.
const GATHER: Duration = Duration::from_millis(200);

/// A product as the front shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// Its number.
    pub id: i64,
    /// What it is called.
    pub product_name: String,
    /// What one costs. Kept in whole cents, shown in units.
    pub price: f64,
    /// How many are there to be ordered.
    pub balance: i64,
}

impl Shown {
    /// Out of a row of the catalogue.
    ///
    /// # Errors
    /// When the row has other columns.
    pub fn from_row(row: &Row) -> Result<Self, StoreError> {
        let (id, product_name, cents, balance) = (row.int(0)?, row.text(1)?, row.int(2)?, row.int(3)?);
        Ok(Self { id, product_name: product_name.into(), price: cents as f64 / 100.0, balance })
    }
}

/// Something changed.
pub(super) fn soon(inventory: &Inventory, tx: &mut Tx<'_>) -> Result<(), Failure> {
    inventory.tell.set(tx, GATHER)
}

/// Tells what has changed.
pub(super) async fn tell(inventory: &Inventory, tx: &mut Tx<'_>) -> Result<(), Failure> {
    inventory.tell.clear();
    let changed = tx.query(&CHANGED, &[]).await?;
    for row in &changed {
        let shown = Shown::from_row(row)?;
        tx.publish(Outgoing::json(&format!("{PRODUCT_TOPICS}/{}", shown.id), &shown)?.sticky())?;
        tx.execute(&TOLD, &[shown.balance.into(), shown.id.into()]).await?;
    }
    if changed.is_empty() {
        return Ok(());
    }
    // Once more: what another transaction was just about to change has not set the timer.
    inventory.tell.set_again(tx, GATHER)
}
