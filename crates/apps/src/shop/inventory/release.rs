//! `order/order-canceled`: what was reserved returns, once; what was not yet asked for never will be reserved.

use headwater_event::Event;
use headwater_service::{Failure, Tx};

use super::tables::{BURY, END, GIVE_BACK, ITEMS, RESERVED};
use super::{Inventory, tell};
use crate::shop::basket::Basket;
use crate::shop::messages::read_order;

pub(super) async fn release(inventory: &Inventory, tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let order = read_order(event)?;
    let now = tx.now().as_micros() as i64;
    if tx.execute(&BURY, &[order.as_str().into(), now.into()]).await? == 1 {
        return Ok(());
    }
    // Looked at after the insert: by then whoever reserves in another process has committed.
    let Some(row) = tx.query_opt(&ITEMS, &[order.as_str().into()]).await? else { return Ok(()) };
    // The one that ends it gives back; a second one finds nothing to end.
    let ended = tx.execute(&END, &[now.into(), order.as_str().into()]).await?;
    if ended == 0 || row.int(1)? != RESERVED {
        return Ok(());
    }
    let basket = Basket::from_text(row.text(0)?).map_err(|error| Failure::dead(error.to_string()))?;
    for (product, count) in basket.numbered().unwrap_or_default() {
        tx.execute(&GIVE_BACK, &[count.into(), product.into()]).await?;
    }
    tell::soon(inventory, tx)
}
