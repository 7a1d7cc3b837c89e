//! The status of an order as the latest state of its topic: whoever watches is told at once, whoever begins a little later is
//! told first. A state for each order that ever was would fill the memory, so each ends a while after it was told.

use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_event::Time;
use headwater_service::{Failure, Outgoing, Tx};
use serde::Serialize;

use super::tables::{COUNT, FORGET, NEXT_DUE, REMEMBER};
use super::{Orders, STATUS_TOPICS, Status};
use crate::shop::wire_id::WireId;

/// How many states end at once; more end in the next transaction.
const AT_ONCE: i64 = 500;
/// How soon those end that are too many.
const SOON: Duration = Duration::from_millis(500);

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
    if (orders.told.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(orders.settings.notices_max.max(1).into()) {
        return orders.clear.set_again(tx, SOON);
    }
    orders.clear.set(tx, orders.settings.notice_for)
}

/// Ends the states whose time has come, and looks when the next one's does.
pub(super) async fn clear(orders: &Orders, tx: &mut Tx<'_>) -> Result<(), Failure> {
    orders.clear.clear();
    let now = tx.now();
    let mut over = tx.query(&FORGET, &[(now.as_micros() as i64).into(), AT_ONCE.into()]).await?;
    let kept = tx.query_opt(&COUNT, &[]).await?.map_or(Ok(0), |row| row.int(0))?;
    let beyond = (kept - i64::from(orders.settings.notices_max)).clamp(0, AT_ONCE - over.len() as i64);
    if beyond > 0 {
        over.extend(tx.query(&FORGET, &[i64::MAX.into(), beyond.into()]).await?);
    }
    for row in &over {
        tx.publish(Outgoing::clear(&format!("{STATUS_TOPICS}/{}", row.text(0)?))?)?;
    }
    if over.len() as i64 == AT_ONCE {
        return orders.clear.set_again(tx, Duration::ZERO);
    }
    let Some(next) = tx.query_opt(&NEXT_DUE, &[]).await? else { return Ok(()) };
    let next = Time(u64::try_from(next.int(0)?).unwrap_or_default());
    // Not for each by itself: those of a second end together.
    orders.clear.set_again(tx, next.since(now).max(Duration::from_secs(1)))
}
