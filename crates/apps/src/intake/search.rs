//! Looking for messages in the history, newest first, a bounded part of the log at a time.

use std::collections::VecDeque;
use std::time::Duration;

use headwater_event::{Filter, Position, Principal, ProducerId, Recorded, Seq};
use headwater_hub::{From, Hub};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::all_messages;
use super::board::spelt;
use crate::problem::Problem;

/// How many places of the log are read in one go. A reading runs forward and the newest are wanted first, so the log is
/// read in pieces from its end; a piece that is begun is read to its end.
const PIECE: u64 = 4_096;
/// How long one request looks. The page asks again for as long as its user waits.
const LOOK_FOR: Duration = Duration::from_millis(250);
/// How many places one request looks at, at the most.
const PLACES_MAX: u64 = 250_000;
/// How many messages one request gives, at the most.
pub const FOUND_MAX: usize = 200;

/// What is looked for.
#[derive(Debug)]
pub struct Query {
    /// Text in the payload, without regard to ASCII case; empty finds everything.
    pub text: String,
    /// Whose messages; everybody's when `None`.
    pub client: Option<ProducerId>,
    /// Only what stands before this place.
    pub before: Option<Seq>,
    /// How many at the most.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Messages, newest first, in the JSON of an event.
    pub messages: Vec<Box<RawValue>>,
    /// How many places of the log this request has looked at.
    pub looked_at: Seq,
    /// How many are left, older than those.
    pub left: Seq,
    /// To look further: the same request with `before` set to this. Absent at the beginning of the log.
    pub next: Option<Seq>,
}

/// Looks once.
///
/// # Errors
/// When the log can't be read.
pub async fn search(hub: &Hub, query: &Query) -> Result<Found, Problem> {
    let begun = Instant::now();
    let (head, oldest) = (hub.head(), hub.oldest());
    let filter = match query.client {
        Some(client) => {
            Filter::new(format!("intake/{client}")).map_err(|error| Problem::malformed(error.to_string()))?
        }
        None => all_messages(),
    };
    let newest = query.before.map_or(head.seq, |before| before.saturating_sub(1)).min(head.seq);
    let mut found = Vec::new();
    let mut end = newest;
    while end > oldest.seq && found.len() < query.limit && newest - end < PLACES_MAX && begun.elapsed() < LOOK_FOR {
        let begin = end.saturating_sub(PIECE).max(oldest.seq);
        let room = query.limit - found.len();
        let (mut piece, is_cut) =
            search_piece(hub, &filter, &query.text, Position::new(head.epoch, begin), end, room).await?;
        // A piece that had more than there was room for ends at the oldest that was kept.
        end = match piece.front() {
            Some((seq, _)) if is_cut => seq - 1,
            _ => begin,
        };
        found.extend(piece.drain(..).rev().map(|(_, message)| message));
    }
    Ok(Found {
        messages: found.into_iter().filter_map(|message| RawValue::from_string(message).ok()).collect(),
        looked_at: newest - end,
        left: end - oldest.seq.min(end),
        next: (end > oldest.seq).then_some(end + 1),
    })
}

/// The latest `room` messages in a piece of the log, oldest first, and whether there were more.
async fn search_piece(
    hub: &Hub,
    filter: &Filter,
    text: &str,
    after: Position,
    end: Seq,
    room: usize,
) -> Result<(VecDeque<(Seq, String)>, bool), Problem> {
    let from = if after.seq == 0 { From::Oldest } else { From::After(after) };
    let mut history = hub.history(&Principal::anonymous(), filter.clone(), from)?;
    let mut found = VecDeque::new();
    let mut is_cut = false;
    while let Some(page) = history.next().await? {
        for recorded in page.iter().take_while(|recorded| recorded.position.seq <= end) {
            if !has_text(recorded, text) {
                continue;
            }
            if found.len() == room {
                found.pop_front();
                is_cut = true;
            }
            found.push_back((recorded.position.seq, spelt(recorded)));
        }
        if history.position().seq >= end {
            break;
        }
    }
    Ok((found, is_cut))
}

fn has_text(recorded: &Recorded, text: &str) -> bool {
    let (payload, text) = (&recorded.event.payload[..], text.as_bytes());
    text.is_empty() || payload.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
}
