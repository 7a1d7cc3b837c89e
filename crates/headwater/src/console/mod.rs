//! The page at `/`: where the hub listens, how it stands right now, and where to go from here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use headwater_event::Health;
use headwater_hub::Hub;
use tokio::time::Instant;

use crate::config::App;

/// Nothing from anywhere else, nothing inline, no frame around it.
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// What the page needs to know when it's made.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Protocol and address of every listener.
    pub listening: &'a [(&'static str, std::net::SocketAddr)],
    /// The applications that run.
    pub apps: &'a [App],
}

/// The routes of the page.
pub fn routes(hub: Arc<Hub>, facts: &Facts<'_>) -> Router {
    let page = page(facts);
    let begun = Instant::now();
    let file = |kind: &'static str, text: &'static str| get(move || async move { answer(kind, text) });
    Router::new()
        .route("/", get(move || async move { answer("text/html; charset=utf-8", page) }))
        .route("/console/now", get(move || async move { answer("application/json", now(&hub, begun)) }))
        .route("/console/console.css", file("text/css; charset=utf-8", include_str!("console.css")))
        .route("/console/console.js", file("text/javascript; charset=utf-8", include_str!("console.js")))
        .route("/console/icon.svg", file("image/svg+xml", include_str!("icon.svg")))
}

fn answer(kind: &'static str, body: impl IntoResponse) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, body).into_response()
}

/// Addresses and names are our own, and hold nothing that HTML would take for markup.
fn page(facts: &Facts<'_>) -> String {
    let rows = facts.listening.iter().map(|(protocol, addr)| format!("<tr><td>{protocol}</td><td>{addr}</td></tr>"));
    let apps = facts
        .apps
        .iter()
        .map(|app| format!("<a href=\"/{0}/\"><b>{1}</b><span>{2}</span></a>\n", app.name(), app.title(), app.about()));
    // `http` where there is one, else `https`.
    let http = facts.listening.iter().filter(|(protocol, _)| protocol.starts_with("http")).min();
    let (scheme, addr) = http.map(|(scheme, addr)| (*scheme, addr.to_string())).unwrap_or_default();
    include_str!("index.html")
        .replace("{{addresses}}", &rows.collect::<String>())
        .replace("{{apps}}", &apps.collect::<String>())
        .replace("{{http}}", &format!("{scheme}://{addr}"))
        .replace("{{addr}}", &addr)
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
}

/// How the hub stands: a few counters, so that a hundred open pages cost nothing.
fn now(hub: &Hub, begun: Instant) -> String {
    let metrics = hub.metrics();
    let failing = match hub.health() {
        Health::Good => None,
        Health::Failing(why) => Some(why),
    };
    let refused: u64 = metrics.refused_by_name().map(|(_, count)| count).sum();
    serde_json::json!({
        "up_ms": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "head": hub.head().to_string(),
        "published": metrics.published.load(Ordering::Relaxed),
        "deliveries": metrics.deliveries.load(Ordering::Relaxed),
        "refused": refused,
        "watchers": metrics.watchers.load(Ordering::Relaxed),
        "failing": failing,
    })
    .to_string()
}
