//! The status of an order as the latest state of its topic: whoever watches is told at once, whoever begins a little later is
//! told first. A state for each order that ever was would fill the memory, so each ends a while after it was told.

use std::time::Duration;

use headwater_event::Time;
use headwater_service::{Failure, Outgoing, Tx};
use serde::Serialize;

use super::tables::{DUE, FORGET, NEXT_DUE, REMEMBER};
use super::{Orders, STATUS_TOPICS, Status};
use crate::shop::wire_id::WireId;

/// The states that end at once; more end in the next transaction.
const AT_ONCE: usize = 500;

#[derive(Serialize)]
struct Told<'a> {
    #[serde(rename = "orderId")]
    order: &'a WireId,
    order_status: Status,
}

/// Tells what became of an order.
pub(super) async fn tell(orders: &Orders, tx: &mut Tx<'_>, order: &WireId, status: Status) -> Result<(), Failure> {
    // A foreign name that can be no level of a topic has no topic; its status can be asked for.
    if !order.is_level() {
        return Ok(());
    }
    let topic = format!("{STATUS_TOPICS}/{order}");
    tx.publish(Outgoing::json(&topic, &Told { order, order_status: status })?.sticky())?;
    let clear_at = tx.now().plus(orders.settings.notice_for).as_micros() as i64;
    tx.execute(&REMEMBER, &[clear_at.into(), order.as_str().into()]).await?;
    orders.clear.set(tx, orders.settings.notice_for)
}

/// Ends the states whose time has come, and looks when the next one's does.
pub(super) async fn clear(orders: &Orders, tx: &mut Tx<'_>) -> Result<(), Failure> {
    orders.clear.clear();
    let now = tx.now();
    let due = tx.query(&DUE, &[(now.as_micros() as i64).into()]).await?;
    for row in &due {
        tx.publish(Outgoing::clear(&format!("{STATUS_TOPICS}/{}", row.text(1)?))?)?;
    }
    if let Some(last) = due.last() {
        let (at, order) = (last.int(0)?, last.text(1)?);
        tx.execute(&FORGET, &[at.into(), at.into(), order.into()]).await?;
    }
    if due.len() == AT_ONCE {
        return orders.clear.set_again(tx, Duration::ZERO);
    }
    let Some(next) = tx.query_opt(&NEXT_DUE, &[]).await? else { return Ok(()) };
    let next = Time(u64::try_from(next.int(0)?).unwrap_or_default());
    // Not for each by itself: those of a second end together.
    orders.clear.set_again(tx, next.since(now).max(Duration::from_secs(1)))
}
