//! The processes that share the work, and what their engine's acknowledgements mean.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use headwater_edge::http::{Problem, Query};
use headwater_event::Durability;
use headwater_service::Store;
use serde_json::{Value, json};

use crate::console::spelling::answer;
use crate::console::{Console, Shared};
use crate::nodes::{self, BEAT_EVERY, LOOK_EVERY, MISSED_BEATS, Seen, Watching};

/// How many nodes are listed unless the request says otherwise, and at the most.
const LISTED: usize = 100;
const LISTED_MAX: usize = 256;

/// How long a store may take to say who has what; the page asks again every 2 s.
const LEASES_WAIT: Duration = Duration::from_secs(1);

/// `GET /v1/admin/nodes`
pub async fn list(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    let query = Query::read(request.uri().query(), &["after", "limit"])?;
    let after = query.get("after");
    let limit = query.limit(LISTED, LISTED_MAX)?;
    let mut list = list_of(&console.0, after, limit);
    list["leases"] = leases(&console.0.facts.stores).await;
    Ok(answer(&list))
}

/// What one process has at a time, of every service whose store this process knows; `null` where nothing is leased.
async fn leases(stores: &[Store]) -> Value {
    let mut rows = Vec::new();
    for store in stores {
        // A store that gives no answer is told by /readyz; the other processes are told here all the same.
        let Ok(Ok(leases)) = tokio::time::timeout(LEASES_WAIT, store.leases()).await else { continue };
        rows.extend(leases.into_iter().map(|lease| {
            json!({
                "name": format!("{}/{}", store.name(), lease.name),
                "holder": lease.holder,
                "fence": lease.fence,
                "left_ms": u64::try_from(lease.left.as_millis()).unwrap_or(u64::MAX),
            })
        }));
    }
    if rows.is_empty() { Value::Null } else { rows.into() }
}

fn list_of(shared: &Shared, after: Option<&str>, limit: usize) -> Value {
    let nodes = &shared.facts.nodes;
    let all = nodes.all();
    let count = |state: nodes::State| all.iter().filter(|seen| seen.beat.state == state).count();
    let later = all.iter().filter(|seen| after.is_none_or(|after| seen.beat.id.as_str() > after));
    let page: Vec<&Seen> = later.take(limit + 1).collect();
    let next = page.get(limit).and(page.get(limit.wrapping_sub(1))).map(|seen| seen.beat.id.clone());
    let (engine, durability) = nodes.engine();
    json!({
        "me": nodes.me(),
        "watching": match nodes.watching() {
            Watching::Here => "here",
            Watching::Engine => "engine",
            Watching::Others => "others",
        },
        "beat_every_ms": u64::try_from(BEAT_EVERY.as_millis()).unwrap_or(u64::MAX),
        "missed_within_ms":
            u64::try_from((BEAT_EVERY * MISSED_BEATS + LOOK_EVERY).as_millis()).unwrap_or(u64::MAX),
        "engine": {
            "at": engine,
            "durability": durability.word(),
            "means": meant(durability),
        },
        "alive": count(nodes::State::Alive),
        "missed": count(nodes::State::Missed),
        "ended": count(nodes::State::Ended),
        "nodes": page.iter().take(limit).map(|seen| row(seen, nodes.me())).collect::<Vec<_>>(),
        "next": next,
    })
}

fn row(seen: &Seen, me: &str) -> Value {
    let mut row = seen.beat.to_json();
    row["is_me"] = (seen.beat.id == me).into();
    row["heard"] = seen.is_heard.into();
    row["age_ms"] = u64::try_from(seen.heard_at.elapsed().as_millis()).unwrap_or(u64::MAX).into();
    row
}

/// What a client may rely on when its event was acknowledged.
const fn meant(durability: Durability) -> &'static str {
    match durability {
        Durability::Written => "the engine has it; a power cut there may lose it",
        Durability::Quorum => "a quorum of the engine's machines has it; the loss of one loses nothing",
        Durability::Synced => "it is on disk: neither a kill nor a power cut loses it",
    }
}
