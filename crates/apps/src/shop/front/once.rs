//! `Idempotency-Key`: an order that is sent again under its key is the same order.
//!
//! The front keeps no answers. The order's name follows from caller and key, so a repeated request means the same order, on
//! every front and after every crash; the log takes an event of one name once; and whether the repeated request wants the
//! same goods is seen in the order service's table, or, before it is there, in the event itself. So the answer is kept as long
//! as the order is, which is longer than the 24 hours that are promised.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use headwater_event::{EventId, Position, Principal};
use uuid::Uuid;

use super::problem::Problem;
use super::{Front, place, rows_of_orders};
use crate::shop::basket::{Basket, Line};
use crate::shop::messages::{self, ORDER_SEND};
use crate::shop::minted;
use crate::shop::order::tables::ORDER;

const KEY: &str = "idempotency-key";
/// The longest key: UUIDs and hashes are far shorter.
const KEY_LEN_MAX: usize = 255;
/// How long is waited for the first event's bytes: they are durable, so only a disk in trouble needs longer.
const READ_TIME_MAX: Duration = Duration::from_secs(2);

/// The requests with a key that have no answer yet; no more than there are connections.
#[derive(Default)]
pub struct Turns(Mutex<HashSet<Uuid>>);

/// One of them, until its answer is there.
struct Turn<'a> {
    turns: &'a Turns,
    id: Uuid,
}

impl Turns {
    fn begin(&self, id: Uuid) -> Option<Turn<'_>> {
        let is_first = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        is_first.then_some(Turn { turns: self, id })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// The key of a request, if it has one.
pub fn key_of(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut keys = headers.get_all(KEY).iter();
    let key = match (keys.next(), keys.next()) {
        (None, _) => return Ok(None),
        (Some(key), None) => key.to_str().ok().filter(|key| (1..=KEY_LEN_MAX).contains(&key.len())),
        (Some(_), Some(_)) => None,
    };
    let why = format!("one key of 1 to {KEY_LEN_MAX} visible ASCII characters belongs here");
    key.map(Some).ok_or_else(|| Problem::wrong_field("Idempotency-Key", why))
}

/// Places an order under its key; gives its name, if it wants what the first one under this key wanted.
pub async fn place(
    front: &Front,
    who: &Principal,
    key: &str,
    lines: &[Line],
    basket: &Basket,
) -> Result<Uuid, Problem> {
    let id = minted::for_key(who.name(), key);
    let _turn = front.0.turns.begin(id).ok_or_else(Problem::still_running)?;
    if let Some(first) = basket_in_table(front, id).await? {
        return is_same(id, &first, basket);
    }
    let Some(earlier) = place::send(front, who, EventId::Uuid(id), lines).await? else { return Ok(id) };
    match tokio::time::timeout(READ_TIME_MAX, basket_in_log(front, earlier)).await.ok().flatten() {
        Some(first) => is_same(id, &first, basket),
        // A log that can't be read back: the order service will have it in a moment.
        None => match basket_in_table(front, id).await? {
            Some(first) => is_same(id, &first, basket),
            None => Err(Problem::still_running()),
        },
    }
}

fn is_same(id: Uuid, first: &Basket, basket: &Basket) -> Result<Uuid, Problem> {
    if first == basket { Ok(id) } else { Err(Problem::other_body()) }
}

/// What the first order of this name wanted, as the order service knows it.
async fn basket_in_table(front: &Front, id: Uuid) -> Result<Option<Basket>, Problem> {
    let row = rows_of_orders(front, &ORDER, &id.to_string()).await?;
    let Some(row) = row else { return Ok(None) };
    // An order of which only a cancel is known yet wants nothing.
    Ok(Basket::from_text(row.text(2)?).ok())
}

/// The same, out of the event itself.
async fn basket_in_log(front: &Front, at: Position) -> Option<Basket> {
    let before = Position::new(at.epoch, at.seq.checked_sub(1)?);
    let mut tail = front.0.bus.tail(before).ok()?;
    loop {
        let batch = tail.next_now(&|topic| topic == ORDER_SEND).await.ok()??;
        if let Some(first) = batch.events.iter().find(|recorded| recorded.position.seq == at.seq) {
            return messages::read_placed(&first.event).ok().map(|placed| placed.basket);
        }
        if batch.up_to >= at.seq {
            return None;
        }
    }
}
