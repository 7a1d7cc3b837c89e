//! `GET /shop/api/orders/{id}/timeline`: what happened to one order, out of the log.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Extensions;
use axum::response::Response;
use headwater_event::{Bus, Position, Recorded, Time, json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};

use super::problem::Problem;
use super::{Front, json_answer, order_of};
use crate::shop::messages::{CANCEL_ASKED, ON_STOCK, ORDER_CANCELED, ORDER_SEND, OUT_OF_STOCK};
use crate::shop::order::STATUS_TOPICS;
use crate::shop::order::tables::ORDER;
use crate::shop::wire_id::WireId;

/// How far before an order's own time its story may begin: clocks of several machines differ a little.
const BEFORE: Duration = Duration::from_secs(5);
/// How far after its last change it may go on.
const AFTER: Duration = Duration::from_secs(90);
/// How long one request reads.
const READ_FOR: Duration = Duration::from_secs(1);
/// How many events are told.
const TOLD_MAX: usize = 200;
/// How long a request waits for its turn.
const TURN_TIME_MAX: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Story {
    events: Vec<Box<RawValue>>,
    /// Whether all of the time in question was looked at.
    complete: bool,
}

/// `GET /shop/api/orders/{id}/timeline`
pub async fn timeline(
    State(front): State<Front>,
    path: Result<Path<String>, PathRejection>,
    extensions: Extensions,
) -> Result<Response, Problem> {
    front.admin(&extensions)?;
    let order = order_of(path)?;
    let id = order.as_str();
    let turn = timeout(TURN_TIME_MAX, front.0.timelines.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Problem::busy("too many timelines at once: try again in a moment"));
    };
    let row = front.0.orders.query_opt(&ORDER, &[id.into()]).await?;
    let row = row.ok_or_else(|| Problem::no_order(id))?;
    let time = |at: i64| Time(u64::try_from(at).unwrap_or_default());
    let (placed, changed) = (time(row.int(3)?), time(row.int(4)?));
    let from = Time(placed.min(changed).as_micros().saturating_sub(BEFORE.as_micros() as u64));
    json_answer(&story(&*front.0.bus, id, from, changed.plus(AFTER)).await?)
}

async fn story(bus: &dyn Bus, id: &str, from: Time, until: Time) -> Result<Story, Problem> {
    let begun = Instant::now();
    let begin = place_of(bus, from).await?;
    let mut story = Story { events: Vec::new(), complete: true };
    let mut tail = bus.tail(begin).map_err(unreadable)?;
    let status = format!("{STATUS_TOPICS}/{id}");
    let wanted = move |topic: &str| {
        [ORDER_SEND, CANCEL_ASKED, ORDER_CANCELED, ON_STOCK, OUT_OF_STOCK].contains(&topic) || topic == status
    };
    while let Some(batch) = tail.next_now(&wanted).await.map_err(unreadable)? {
        for recorded in &batch.events {
            if recorded.event.at > until {
                return Ok(story);
            }
            if !names(recorded, id) {
                continue;
            }
            if story.events.len() == TOLD_MAX {
                return Ok(Story { complete: false, ..story });
            }
            let mut spelt = Vec::new();
            json::write_event(recorded, &mut spelt);
            story.events.extend(String::from_utf8(spelt).ok().and_then(|text| RawValue::from_string(text).ok()));
        }
        if begun.elapsed() > READ_FOR {
            return Ok(Story { complete: false, ..story });
        }
    }
    Ok(story)
}

fn unreadable(error: headwater_event::BusError) -> Problem {
    Problem::busy(format!("the log can't be read back: {error}"))
}

/// Whether an event speaks of this order.
fn names(recorded: &Recorded, id: &str) -> bool {
    #[derive(Deserialize)]
    struct Naming {
        #[serde(rename = "orderId")]
        camel: Option<WireId>,
        #[serde(rename = "order_id")]
        snake: Option<WireId>,
    }
    let payload = &recorded.event.payload;
    if payload.is_empty() {
        return recorded.event.topic.as_str().ends_with(id);
    }
    // First the bytes: of thousands of events a handful is of this order.
    if !payload.windows(id.len()).any(|part| part == id.as_bytes()) {
        return false;
    }
    let Ok(naming) = serde_json::from_slice::<Naming>(payload) else { return false };
    naming.camel.or(naming.snake).is_some_and(|named| named.as_str() == id)
}

/// A place in the log before which everything is older than this: found by halving, since time grows with the places.
async fn place_of(bus: &dyn Bus, time: Time) -> Result<Position, Problem> {
    let (head, oldest) = (bus.head(), bus.oldest());
    let (mut low, mut high) = (oldest.seq, head.seq);
    while low < high {
        let middle = low + (high - low) / 2;
        let mut tail = bus.tail(Position::new(head.epoch, middle)).map_err(unreadable)?;
        let batch = tail.next_now(&|_| true).await.map_err(unreadable)?;
        let first = batch.as_ref().and_then(|batch| batch.events.first());
        match first {
            Some(first) if first.event.at < time => low = first.position.seq.max(middle + 1),
            _ => high = middle,
        }
    }
    Ok(Position::new(head.epoch, low.saturating_sub(1).max(oldest.seq)))
}
