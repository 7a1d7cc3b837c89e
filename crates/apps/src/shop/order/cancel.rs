//! `public-front/order-canceled`: an order ends, also one that hasn't come yet. The stock returns, once.

use headwater_event::Event;
use headwater_service::{Failure, Outgoing, Tx};

use super::tables::{CANCEL, EXPECT, status};
use super::{Orders, RELEASE, Status, notice};
use crate::shop::messages::{ORDER_CANCELED, OrderNamed, read_order};

pub(super) async fn cancel(orders: &Orders, tx: &mut Tx<'_>, event: &Event) -> Result<(), Failure> {
    let order = read_order(event)?;
    let now = tx.now().as_micros() as i64;
    let id = order.as_str();
    let mut ended = tx.execute(&CANCEL, &[now.into(), id.into()]).await?;
    if ended == 0 {
        ended = tx.execute(&EXPECT, &[id.into(), status::CANCELED.into(), now.into(), now.into()]).await?;
    }
    if ended == 0 {
        // Canceled before; or, where two processes work on one order, it has come between the two statements.
        ended = tx.execute(&CANCEL, &[now.into(), id.into()]).await?;
    }
    if ended == 0 {
        return Ok(());
    }
    tx.clear_timer(RELEASE, id);
    tx.publish(Outgoing::json(ORDER_CANCELED, &OrderNamed { order: &order })?)?;
    notice::tell(orders, tx, &order, Status::Canceled).await
}
