//! The latest events of a filter, newest first, by reading back in the log a bounded part at a time.

use std::collections::VecDeque;
use std::time::Duration;

use headwater_edge::http::Problem;
use headwater_event::{Bus, Filter, Position, Recorded, Seq};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::console::Shared;
use crate::console::spelling::fault;

/// How many places of the log are read in one go. A reading runs forward and the newest are wanted first, so the log is
/// read in pieces from its end.
const PIECE: u64 = 4_096;

/// How long one request looks. The page asks again for as long as its user waits.
const LOOK_FOR: Duration = Duration::from_millis(250);

/// How many places one request looks at, at the most.
const PLACES_MAX: u64 = 250_000;

/// How long a request waits for its turn to read.
const TURN_TIME_MAX: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Debug, Default)]
pub struct Recent {
    /// Newest first, spelt.
    pub events: Vec<Value>,
    /// How many places of the log were looked at.
    pub looked_at: u64,
    /// To look further back, look before this place; `None` at the beginning of the log.
    pub next: Option<Seq>,
}

/// Looks once, before place `before` or from the end.
///
/// # Errors
/// When the log can't be read, or too many want to.
pub async fn recent(
    shared: &Shared,
    filter: &Filter,
    before: Option<Seq>,
    limit: usize,
    spell: &(dyn Fn(&Recorded) -> Value + Sync),
) -> Result<Recent, Problem> {
    let busy = || Problem::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, "busy", "too many readings: try again");
    let _turn = timeout(TURN_TIME_MAX, shared.readings.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())?;
    let bus: &dyn Bus = &*shared.log;
    let (begun, head, oldest) = (Instant::now(), bus.head(), bus.oldest().seq);
    let newest = before.map_or(head.seq, |before| before.saturating_sub(1)).min(head.seq);
    let mut found = Recent::default();
    let mut end = newest;
    while end > oldest && found.events.len() < limit && newest - end < PLACES_MAX && begun.elapsed() < LOOK_FOR {
        let after = Position::new(head.epoch, end.saturating_sub(PIECE).max(oldest));
        let piece = piece(bus, filter, after, end, limit - found.events.len(), spell).await?;
        // A piece that had more than there was room for ends at the oldest that was kept.
        end = if piece.is_cut { piece.first - 1 } else { after.seq };
        found.events.extend(piece.events.into_iter().rev());
    }
    found.looked_at = newest - end;
    found.next = (end > oldest).then_some(end + 1);
    Ok(found)
}

#[derive(Default)]
struct Piece {
    /// Oldest first.
    events: VecDeque<Value>,
    /// Where they stand.
    seqs: VecDeque<Seq>,
    first: Seq,
    is_cut: bool,
}

async fn piece(
    bus: &dyn Bus,
    filter: &Filter,
    after: Position,
    end: Seq,
    room: usize,
    spell: &(dyn Fn(&Recorded) -> Value + Sync),
) -> Result<Piece, Problem> {
    let mut tail = bus.tail(after).map_err(fault)?;
    let mut piece = Piece::default();
    while let Some(batch) = tail.next_now(&|topic| filter.matches(topic)).await.map_err(fault)? {
        for recorded in batch.events.iter().take_while(|recorded| recorded.position.seq <= end) {
            if piece.events.len() == room {
                piece.events.pop_front();
                piece.seqs.pop_front();
                piece.is_cut = true;
            }
            piece.events.push_back(spell(recorded));
            piece.seqs.push_back(recorded.position.seq);
        }
        if batch.up_to >= end {
            break;
        }
    }
    piece.first = piece.seqs.front().copied().unwrap_or(after.seq + 1);
    Ok(piece)
}
