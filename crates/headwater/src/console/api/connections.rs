//! Who is connected: listed and searched page by page, one with its watches, and sent away.

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use headwater_edge::http::{Problem, Query, bad_parameter};
use headwater_hub::inspect::{Source, Watched};
use headwater_hub::presence::{Connected, ConnectionId, Search};
use headwater_hub::{Hub, Presence};
use serde_json::{Value, json};

use crate::console::Console;
use crate::console::rights::Viewer;
use crate::console::spelling::{answer, moment};

/// How many connections are listed unless the request says otherwise, and at the most.
const LISTED: usize = 50;
const LISTED_MAX: usize = 500;

/// How many connections one search looks at; whoever wants to look further goes on from `next`.
const LOOKED_AT_MAX: usize = 32_768;

/// The longest text that is looked for, in bytes: longer than any address, and what is kept of a client's id.
const TEXT_LEN_MAX: usize = 128;

/// How many watches of a connection are looked at for its lag in a list.
const WATCHES_LOOKED_AT: usize = 16;

/// How many watches of one connection are listed unless the request says otherwise, and at the most.
const WATCHES: usize = 100;
const WATCHES_MAX: usize = 1_000;

/// `GET /v1/admin/connections`
pub async fn list(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    let query = Query::read(request.uri().query(), &["search", "protocol", "after", "limit"])?;
    let text = query.get("search").unwrap_or_default();
    if text.len() > TEXT_LEN_MAX {
        return Err(bad_parameter("search", format!("has at most {TEXT_LEN_MAX} bytes")));
    }
    let search = Search { protocol: query.get("protocol"), text };
    let limit = query.limit(LISTED, LISTED_MAX)?;
    let found = look(console.0.hub.presence(), search, query.parsed("after")?.unwrap_or(0), limit).await;
    let rows: Vec<Value> = found.connections.iter().map(row).collect();
    Ok(answer(&json!({
        "connections": rows,
        "looked_at": found.looked_at,
        "total": console.0.hub.presence().len(),
        "next": found.next.map(|place| place.to_string()),
    })))
}

/// What a search has found.
pub struct Found {
    pub connections: Vec<Connected>,
    pub looked_at: usize,
    /// Where to go on.
    pub next: Option<u32>,
}

/// Looks through a bounded number of connections; others have their turn between the pages.
pub async fn look(presence: &Presence, search: Search<'_>, from: u32, limit: usize) -> Found {
    let mut found = Found { connections: Vec::new(), looked_at: 0, next: Some(from) };
    while let Some(place) = found.next
        && found.connections.len() < limit
        && found.looked_at < LOOKED_AT_MAX
    {
        let page = presence.page(search, place, limit - found.connections.len());
        found.looked_at += page.looked_at;
        found.connections.extend(page.found);
        found.next = page.next;
        tokio::task::yield_now().await;
    }
    found
}

/// One connection, as lists show it.
pub fn row(connected: &Connected) -> Value {
    let stat = connected.outlet().map(|outlet| outlet.stat(WATCHES_LOOKED_AT));
    json!({
        "id": connected.id.to_string(),
        "protocol": connected.protocol,
        "peer": connected.peer.to_string(),
        "user": connected.who.name(),
        "client": connected.client,
        "since": moment(connected.since),
        "watches": stat.map(|stat| stat.watches),
        "lag": stat.map(|stat| stat.lag),
        "waiting_bytes": stat.map(|stat| stat.waiting_bytes),
        "blocked": stat.map(|stat| stat.is_blocked),
    })
}

fn find(hub: &Hub, id: &str) -> Result<Connected, Problem> {
    let gone = || Problem::new(StatusCode::NOT_FOUND, "not_found", "this connection has ended, or never was");
    let id: ConnectionId = id.parse().map_err(|error| Problem::malformed(format!("{error}")))?;
    hub.presence().find(id).ok_or_else(gone)
}

/// `GET /v1/admin/connections/{id}`
pub async fn one(
    State(console): State<Console>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read(request.uri().query(), &["after", "limit"])?;
    let from = query.parsed("after")?.unwrap_or(0);
    let limit = query.limit(WATCHES, WATCHES_MAX)?;
    let connected = find(&console.0.hub, &id)?;
    let mut shown = row(&connected);
    let page = connected.outlet().map(|outlet| outlet.watched(from, limit)).unwrap_or_default();
    shown["filters"] = page.watches.iter().map(watched).collect();
    shown["next"] = page.next.map(|place| place.to_string()).into();
    Ok(answer(&shown))
}

/// One watch.
pub fn watched(watched: &Watched) -> Value {
    let source = match watched.source {
        Source::Ring => "memory",
        Source::Log => "log",
    };
    json!({ "filter": watched.filter.as_str(), "spelling": watched.encoder, "source": source, "lag": watched.lag })
}

/// `DELETE /v1/admin/connections/{id}`
pub async fn disconnect(
    State(console): State<Console>,
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let connected = find(&console.0.hub, &id)?;
    let peer = connected.peer.to_string();
    let details = [
        ("connection", id.as_str()),
        ("protocol", connected.protocol),
        ("peer", peer.as_str()),
        ("whose", connected.who.name()),
        ("client", connected.client.as_deref().unwrap_or_default()),
    ];
    console.0.hub.record_change(&viewer.who, "disconnect", &details).await?;
    // Gone meanwhile: that's what was wanted.
    connected.dismiss();
    Ok(StatusCode::NO_CONTENT.into_response())
}
