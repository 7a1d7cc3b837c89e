//! The JSON routes below `/intake/api/`, documented in `docs/intake.md`.

use std::time::Duration;

use axum::extract::{Query as Params, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use headwater_event::{ProducerId, Time, json};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::Intake;
use super::search::{self, FOUND_MAX, Query};
use super::tally::Order;
use crate::problem::Problem;

/// How many clients are listed unless the request says otherwise, and at the most.
const CLIENTS_LISTED: usize = 50;
const CLIENTS_LISTED_MAX: usize = 1_000;
/// How many messages a search gives unless the request says otherwise.
const FOUND: usize = 50;
/// The longest text that is looked for, in bytes: the default length of a message.
const TEXT_LEN_MAX: usize = 256;
/// How long a search waits for its turn.
const TURN_TIME_MAX: Duration = Duration::from_secs(5);

/// An answer that is JSON and out of date at once.
fn json_answer(value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_string(value).map_err(|error| Problem::busy(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// What `/intake/api/summary` says.
#[derive(Serialize)]
pub struct Summary {
    messages: u64,
    bytes: u64,
    rate: f64,
    clients: usize,
    forgotten_clients: u64,
    forgotten_messages: u64,
    uncounted: u64,
    epoch: u32,
    head: u64,
    oldest: u64,
    frames: Option<String>,
}

impl Intake {
    /// The counts as they are now.
    pub(super) fn summary(&self) -> Summary {
        let follower = &self.0.follower;
        let (now, uncounted) = (follower.clock().now(), follower.uncounted());
        let (head, oldest) = (self.0.hub.head(), self.0.hub.oldest());
        let board = follower.board();
        Summary {
            messages: board.tally.messages,
            bytes: board.tally.bytes,
            rate: board.tally.rate(now),
            clients: board.tally.clients(),
            forgotten_clients: board.tally.forgotten_clients,
            forgotten_messages: board.tally.forgotten_messages,
            uncounted,
            epoch: head.epoch,
            head: head.seq,
            oldest: oldest.seq,
            frames: self.0.settings.frames.clone(),
        }
    }
}

/// `GET /intake/api/summary`
pub async fn summary(State(intake): State<Intake>) -> Result<Response, Problem> {
    intake.0.follower.look();
    json_answer(&intake.summary())
}

/// What `/intake/api/clients` takes.
#[derive(Deserialize)]
pub struct ClientsParams {
    #[serde(default)]
    order: Order,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct ClientRow {
    client: String,
    messages: u64,
    bytes: u64,
    rate: f64,
    last_number: u64,
    first_at: String,
    last_at: String,
}

/// `GET /intake/api/clients`
pub async fn clients(
    State(intake): State<Intake>,
    params: Result<Params<ClientsParams>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Params(params) = params.map_err(|error| Problem::malformed(error.body_text()))?;
    intake.0.follower.look();
    let limit = params.limit.unwrap_or(CLIENTS_LISTED).min(CLIENTS_LISTED_MAX);
    let top = intake.0.follower.board().tally.top(params.order, limit, intake.0.follower.clock().now());
    let rows: Vec<ClientRow> = top
        .into_iter()
        .map(|(client, rate, counts)| ClientRow {
            client: client.to_string(),
            messages: counts.messages,
            bytes: counts.bytes,
            rate,
            last_number: counts.number,
            first_at: spelt_time(counts.first_at),
            last_at: spelt_time(counts.last_at),
        })
        .collect();
    json_answer(&serde_json::json!({ "clients": rows }))
}

fn spelt_time(time: Time) -> String {
    let mut out = Vec::new();
    json::write_time(time, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// What `/intake/api/search` takes.
#[derive(Deserialize)]
pub struct SearchParams {
    #[serde(default)]
    text: String,
    client: Option<String>,
    before: Option<u64>,
    limit: Option<usize>,
}

/// `GET /intake/api/search`
pub async fn search(
    State(intake): State<Intake>,
    params: Result<Params<SearchParams>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Params(params) = params.map_err(|error| Problem::malformed(error.body_text()))?;
    let query = query_of(params)?;
    let turn = timeout(TURN_TIME_MAX, intake.0.searches.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Problem::busy("too many searches at once: try again in a moment"));
    };
    json_answer(&search::search(&intake.0.hub, &query).await?)
}

fn query_of(params: SearchParams) -> Result<Query, Problem> {
    if params.text.len() > TEXT_LEN_MAX {
        return Err(Problem::malformed(format!("text has at most {TEXT_LEN_MAX} bytes")));
    }
    let client = match params.client.as_deref().filter(|client| !client.is_empty()) {
        None => None,
        Some(text) => Some(
            ProducerId::try_parse(text)
                .map_err(|_| Problem::malformed("client is a UUID, as 6b1f2d3e-4a5b-4c6d-8e7f-0a1b2c3d4e5f"))?,
        ),
    };
    let limit = params.limit.unwrap_or(FOUND).clamp(1, FOUND_MAX);
    Ok(Query { text: params.text, client, before: params.before, limit })
}
