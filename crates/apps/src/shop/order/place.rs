//! `public-front/order-send`: an order is here. It counts once, under whatever event id it comes.

use headwater_event::Event;
use headwater_service::{Failure, Tx};

use super::tables::{COME, COME_CANCELED, PLACE, STATUS, status};
use super::{Orders, RELEASE, Status, notice};
use crate::shop::messages::read_placed;

pub(super) async fn place(orders: &Orders, tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let placed = read_placed(event)?;
    let (order, items) = (placed.order.as_str(), placed.basket.to_text());
    let (placed_at, now) = (event.at.as_micros() as i64, tx.now().as_micros() as i64);
    if tx.execute(&PLACE, &[order.into(), items.as_str().into(), placed_at.into(), now.into()]).await? == 1 {
        return Ok(());
    }
    let known = tx.query_opt(&STATUS, &[order.into()]).await?.map(|row| row.int(0)).transpose()?;
    let decided = match known {
        Some(status::EARLY_SUCCESSFUL) => Status::Successful,
        Some(status::EARLY_UNSUCCESSFUL) => Status::Unsuccessful,
        Some(status::CANCELED) => {
            tx.execute(&COME_CANCELED, &[items.into(), placed_at.into(), order.into()]).await?;
            return Ok(());
        }
        _ => return Ok(()),
    };
    let come = tx.execute(&COME, &[items.into(), placed_at.into(), now.into(), order.into()]).await?;
    if come == 0 {
        return Ok(());
    }
    tx.clear_timer(RELEASE, order);
    notice::tell(orders, tx, &placed.order, decided).await
}
