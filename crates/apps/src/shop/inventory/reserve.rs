//! `public-front/order-send`: all that an order wants, or nothing.

use headwater_event::Event;
use headwater_service::{Failure, Outgoing, Tx};

use super::tables::{BEGIN, GIVE_BACK, REFUSE, TAKE};
use super::{Inventory, tell};
use crate::shop::messages::{ON_STOCK, OUT_OF_STOCK, OrderNamed, read_placed};

pub(super) async fn reserve(inventory: &Inventory, tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let placed = read_placed(event)?;
    let now = tx.now().as_micros() as i64;
    let order = placed.order.as_str();
    // An order that was here before is not asked again, under whatever event id it comes; and one that was canceled before it
    // came takes nothing.
    if tx.execute(&BEGIN, &[order.into(), placed.basket.to_text().into(), now.into()]).await? == 0 {
        return Ok(());
    }
    let named = OrderNamed { order: &placed.order };
    if take_all(tx, placed.basket.numbered().as_deref()).await? {
        tell::soon(inventory, tx)?;
        return tx.publish(Outgoing::json(ON_STOCK, &named)?);
    }
    tx.execute(&REFUSE, &[now.into(), order.into()]).await?;
    tx.publish(Outgoing::json(OUT_OF_STOCK, &named)?)
}

/// Takes every line, or leaves all as it was.
async fn take_all(tx: &mut Tx<'_>, wanted: Option<&[(i64, i64)]>) -> Result<bool, Failure> {
    let Some(wanted) = wanted else { return Ok(false) };
    for (at, (product, count)) in wanted.iter().enumerate() {
        if tx.execute(&TAKE, &[(*count).into(), (*product).into()]).await? == 1 {
            continue;
        }
        for (product, count) in &wanted[..at] {
            tx.execute(&GIVE_BACK, &[(*count).into(), (*product).into()]).await?;
        }
        return Ok(false);
    }
    Ok(true)
}
