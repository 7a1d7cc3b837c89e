//! `inventory/on-stock` and `inventory/out-of-stock`: the inventory has decided.

use headwater_event::Event;
use headwater_service::{Failure, Outgoing, Timer, Tx};

use super::tables::{DECIDE, EXPECT, GIVE_UP, status};
use super::{Orders, RELEASE, Status, notice};
use crate::shop::messages::{ORDER_CANCELED, OrderNamed, read_order};
use crate::shop::wire_id::WireId;

pub(super) async fn on_stock(orders: &Orders, tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let order = read_order(event)?;
    if !decide(orders, tx, &order, Status::Successful, status::EARLY_SUCCESSFUL).await? {
        return Ok(());
    }
    // Stock is held for an order that isn't here. It will come; if it never does, the stock must not be held for ever.
    let due = tx.now().plus(orders.settings.release_after);
    let named = serde_json::to_vec(&order).map_err(|error| Failure::dead(error.to_string()))?;
    tx.set_timer(RELEASE, order.as_str(), due, named)
}

pub(super) async fn out_of_stock(orders: &Orders, tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let order = read_order(event)?;
    decide(orders, tx, &order, Status::Unsuccessful, status::EARLY_UNSUCCESSFUL).await?;
    Ok(())
}

/// Decides an order that waits; keeps the decision for one that isn't here yet, and then gives `true`. One that was decided
/// before or canceled stays as it is.
async fn decide(
    orders: &Orders,
    tx: &mut Tx<'_>,
    order: &WireId,
    decided: Status,
    early: i64,
) -> Result<bool, Failure> {
    let now = tx.now().as_micros() as i64;
    let (column, id) = (decided as i64, order.as_str());
    if tx.execute(&DECIDE, &[column.into(), now.into(), id.into()]).await? == 1 {
        notice::tell(orders, tx, order, decided).await?;
        return Ok(false);
    }
    if tx.execute(&EXPECT, &[id.into(), early.into(), now.into(), now.into()]).await? == 1 {
        return Ok(true);
    }
    // It is here. Where two processes work on one order, it may have come between the two statements.
    if tx.execute(&DECIDE, &[column.into(), now.into(), id.into()]).await? == 1 {
        notice::tell(orders, tx, order, decided).await?;
    }
    Ok(false)
}

/// The order never came: it is canceled, and so its stock returns.
pub(super) async fn release(orders: &Orders, tx: &mut Tx<'_>, timer: &Timer) -> Result<(), Failure> {
    let order: WireId = serde_json::from_slice(&timer.payload).map_err(|error| Failure::dead(error.to_string()))?;
    let now = tx.now().as_micros() as i64;
    if tx.execute(&GIVE_UP, &[now.into(), order.as_str().into()]).await? == 0 {
        return Ok(());
    }
    tracing::warn!(%order, "stock was reserved for an order that never came; it returns");
    tx.publish(Outgoing::json(ORDER_CANCELED, &OrderNamed { order: &order })?)?;
    notice::tell(orders, tx, &order, Status::Canceled).await
}
