//! Dead letters: events that ran out of attempts in a group, with the reason; to be tried anew, or to be forgotten.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::Response;
use headwater_edge::http::{Problem, Query, bad_parameter};
use headwater_event::{DeadLetter, GroupName, Seq};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::console::Console;
use crate::console::rights::{Rights, Viewer};
use crate::console::spelling::{answer, event, fault, moment};

/// How many letters are listed unless the request says otherwise, and at the most.
const LISTED: usize = 20;
const LISTED_MAX: usize = 64;

/// How many letters one request may take out.
const TAKEN_MAX: usize = 1_000;

/// How many of their numbers stand in the audit entry.
const RECORDED_MAX: usize = 20;

/// `GET /v1/admin/dead-letters`
pub async fn list(
    State(console): State<Console>,
    Extension(viewer): Extension<Viewer>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read(request.uri().query(), &["group", "after", "limit"])?;
    let group = group(query.get("group").unwrap_or_default())?;
    let after: Seq = query.parsed("after")?.unwrap_or(0);
    let limit = query.limit(LISTED, LISTED_MAX)?;
    let letters = console.0.log.dead_letters(&group, after, limit).await.map_err(fault)?;
    let next = letters.last().filter(|_| letters.len() == limit).map(|letter| letter.recorded.position.seq);
    let rows: Vec<Value> = letters.iter().map(|letter| row(letter, viewer.rights)).collect();
    Ok(answer(&json!({ "letters": rows, "next": next.map(|seq| seq.to_string()) })))
}

fn row(letter: &DeadLetter, rights: Rights) -> Value {
    // Why a handler gave up may name what it read.
    let why = (rights >= Rights::Admin).then_some(letter.why.as_str());
    json!({
        "event": event(&letter.recorded, rights),
        "attempts": letter.attempts,
        "why": why,
        "at": moment(letter.at),
    })
}

fn group(name: &str) -> Result<GroupName, Problem> {
    GroupName::new(name).map_err(|error| bad_parameter("group", error))
}

/// Which letters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    group: String,
    seqs: Vec<Seq>,
}

/// `POST /v1/admin/dead-letters/retry`
pub async fn retry(
    State(console): State<Console>,
    Extension(viewer): Extension<Viewer>,
    body: Bytes,
) -> Result<Response, Problem> {
    take(&console, &viewer, &body, true).await
}

/// `POST /v1/admin/dead-letters/discard`
pub async fn discard(
    State(console): State<Console>,
    Extension(viewer): Extension<Viewer>,
    body: Bytes,
) -> Result<Response, Problem> {
    take(&console, &viewer, &body, false).await
}

async fn take(console: &Console, viewer: &Viewer, body: &[u8], again: bool) -> Result<Response, Problem> {
    let which: Which = serde_json::from_slice(body).map_err(|error| Problem::malformed(error.to_string()))?;
    let group = group(&which.group)?;
    if which.seqs.is_empty() || which.seqs.len() > TAKEN_MAX {
        return Err(Problem::malformed(format!("seqs: from 1 to {TAKEN_MAX} numbers")));
    }
    let what = if again { "retry dead letters" } else { "discard dead letters" };
    let seqs = which.seqs.iter().take(RECORDED_MAX).map(Seq::to_string).collect::<Vec<_>>().join(" ");
    let count = which.seqs.len().to_string();
    let details = [("group", group.as_str()), ("count", count.as_str()), ("seqs", seqs.as_str())];
    console.0.hub.record_change(&viewer.who, what, &details).await?;
    let count = console.0.log.revive(&group, which.seqs, again).await.map_err(fault)?;
    Ok(answer(&json!({ "taken": count })))
}
