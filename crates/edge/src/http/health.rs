//! `/healthz` and `/readyz`: whether the process lives, and whether it can do its work.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, Response, StatusCode};
use headwater_event::Health;
use headwater_event::json::write_str;

use super::publish::json;
use super::routes::App;

/// Alive, whatever else is wrong: an orchestrator that restarts us can't mend a full disk.
pub(super) async fn healthz() -> Response<Body> {
    fresh(json("{\"status\":\"ok\"}"))
}

/// A part of the program beside the log, whose failing makes it unready.
#[derive(Clone)]
pub struct Part {
    /// What it's called in /readyz, as `service/order`.
    pub name: String,
    /// How it is.
    pub health: Arc<dyn Fn() -> Health + Send + Sync>,
}

/// Ready to take events, or 503 with the parts that fail.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response<Body> {
    let parts = app.parts.iter().map(|part| (part.name.as_str(), (part.health)()));
    let mut parts: Vec<_> = std::iter::once(("log", app.hub.health())).chain(parts).collect();
    let is_good = parts.iter().all(|(_, health)| *health == Health::Good);
    parts.extend(app.beside.iter().map(|part| (part.name.as_str(), (part.health)())));
    let is_whole = parts.iter().all(|(_, health)| *health == Health::Good);
    let mut out = b"{\"status\":".to_vec();
    // What depends on others alone doesn't make us unready: there is nothing that a restart of ours would mend.
    write_str(if is_good && !is_whole { "degraded" } else { word(is_good) }, &mut out);
    // What clients are promised here, whatever the engine.
    out.extend_from_slice(b",\"durability\":");
    write_str(app.hub.abilities().durability.word(), &mut out);
    out.extend_from_slice(b",\"parts\":[");
    for (at, (name, health)) in parts.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"name\":" } else { b",{\"name\":" });
        write_str(name, &mut out);
        out.extend_from_slice(b",\"status\":");
        write_str(word(*health == Health::Good), &mut out);
        if let Health::Failing(why) = health {
            out.extend_from_slice(b",\"why\":");
            write_str(why, &mut out);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    let mut response = json(out);
    *response.status_mut() = if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    fresh(response)
}

const fn word(is_good: bool) -> &'static str {
    if is_good { "ok" } else { "failing" }
}

fn fresh(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
