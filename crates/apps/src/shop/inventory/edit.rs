//! `shop/stock-edit`: an administrator books goods in or out, or changes a product. Every change of stock is on record.

use headwater_event::Event;
use headwater_service::{Failure, Tx, body};
use serde::{Deserialize, Serialize};

use super::tables::{ADD_PRODUCT, BOOK, COUNT_PRODUCTS, PRODUCT, RENAME, REPRICE, SUPPLY};
use super::{Inventory, tell};

/// How many products there may be: the catalogue is one answer, and is held ready as a whole.
pub const PRODUCTS_MAX: i64 = 1_000;
/// The longest name of a product, in characters.
pub const PRODUCT_NAME_MAX: usize = 120;
/// The highest price in cents, and the most of one product: sums of both stay far below 2^53, so that every JSON reader has
/// them exactly.
pub const AMOUNT_MAX: i64 = 1_000_000_000;

/// What is to change of one product; what isn't named stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StockEdit {
    /// Which product; a number that isn't there yet is a new one, and needs a name and a price.
    #[serde(rename = "inventoryId", alias = "inventory_id")]
    pub product: i64,
    /// So many more, or fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<i64>,
    /// So many from now on, in place of a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<i64>,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_name: Option<String>,
    /// What one costs, in cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_cents: Option<i64>,
}

impl StockEdit {
    /// Whether it can be carried out, as far as one can tell without looking at the shelf.
    ///
    /// # Errors
    /// The field, and what belongs there.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.product < 1 {
            return Err(("inventoryId", "a product's number is a whole number from 1 on".into()));
        }
        if self.change.is_some() && self.balance.is_some() {
            return Err(("change", "either a change or a balance, not both".into()));
        }
        if self.change.is_some_and(|change| !(-AMOUNT_MAX..=AMOUNT_MAX).contains(&change)) {
            return Err(("change", format!("a change is a whole number from -{AMOUNT_MAX} to {AMOUNT_MAX}")));
        }
        if self.balance.is_some_and(|balance| !(0..=AMOUNT_MAX).contains(&balance)) {
            return Err(("balance", format!("a balance is a whole number from 0 to {AMOUNT_MAX}")));
        }
        if self.price_cents.is_some_and(|price| !(0..=AMOUNT_MAX).contains(&price)) {
            return Err(("price", format!("a price is at most {}", AMOUNT_MAX / 100)));
        }
        let is_bad = |name: &str| {
            let len = name.chars().count();
            name.trim().is_empty() || len > PRODUCT_NAME_MAX || name.chars().any(char::is_control)
        };
        if self.product_name.as_deref().is_some_and(is_bad) {
            return Err(("product_name", format!("a name is 1 to {PRODUCT_NAME_MAX} characters")));
        }
        if (self.change, self.balance, &self.product_name, self.price_cents) == (None, None, &None, None) {
            return Err(("change", "nothing is to change".into()));
        }
        Ok(())
    }
}

pub(super) async fn edit(inventory: &Inventory, tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let edit: StockEdit = body::read(event)?;
    edit.check().map_err(|(field, why)| Failure::dead(format!("{field}: {why}")))?;
    let id = edit.product;
    let before = match tx.query_opt(&PRODUCT, &[id.into()]).await? {
        Some(row) => row.int(0)?,
        None => add(tx, &edit).await?,
    };
    if let Some(name) = &edit.product_name {
        tx.execute(&RENAME, &[name.as_str().into(), id.into()]).await?;
    }
    if let Some(price) = edit.price_cents {
        tx.execute(&REPRICE, &[price.into(), id.into()]).await?;
    }
    let change = edit.change.or(edit.balance.map(|balance| balance - before)).unwrap_or(0);
    if before + change > AMOUNT_MAX {
        return Err(Failure::dead(format!("balance: there may be at most {AMOUNT_MAX} of product {id}")));
    }
    if change != 0 {
        if tx.execute(&SUPPLY, &[change.into(), id.into()]).await? == 0 {
            return Err(Failure::dead(format!("change: there are fewer than {} of product {id}", -change)));
        }
        let now = tx.now().as_micros() as i64;
        let booked_as = event.id.to_string();
        tx.execute(&BOOK, &[booked_as.into(), id.into(), change.into(), now.into()]).await?;
    }
    tell::soon(inventory, tx)
}

/// A new product; gives how many there are of it.
async fn add(tx: &mut Tx<'_>, edit: &StockEdit) -> Result<i64, Failure> {
    let (Some(name), Some(price)) = (&edit.product_name, edit.price_cents) else {
        let why = format!("inventoryId: there is no product {}; a new one needs a name and a price", edit.product);
        return Err(Failure::dead(why));
    };
    let count = tx.query_opt(&COUNT_PRODUCTS, &[]).await?.map_or(Ok(0), |row| row.int(0))?;
    if count >= PRODUCTS_MAX {
        return Err(Failure::dead(format!("inventoryId: there are {PRODUCTS_MAX} products, no more fit")));
    }
    tx.execute(&ADD_PRODUCT, &[edit.product.into(), name.as_str().into(), price.into()]).await?;
    Ok(0)
}
