//! The one table of routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodRouter, get, post};
use headwater_hub::Hub;

use super::limits::Limits;
use super::{cloudevents, docs, health, history, metrics, publish, sticky};
use crate::accept::AcceptCounts;

/// What the routes work with.
pub struct App {
    pub(super) hub: Arc<Hub>,
    pub(super) limits: Limits,
    pub(super) listeners: Vec<(&'static str, Arc<AcceptCounts>)>,
}

impl App {
    pub(super) fn new(hub: Arc<Hub>, limits: Limits, listeners: Vec<(&'static str, Arc<AcceptCounts>)>) -> Arc<Self> {
        Arc::new(Self { hub, limits, listeners })
    }
}

type Methods = MethodRouter<Arc<App>>;

/// Every route: its path as OpenAPI writes it, its methods, and who answers.
fn table() -> Vec<(&'static str, &'static [&'static str], Methods)> {
    vec![
        ("/v1/events", &["get", "post"], get(history::history).post(cloudevents::publish)),
        ("/v1/events/{topic}", &["post"], post(publish::publish)),
        ("/v1/sticky", &["get"], get(sticky::list)),
        ("/v1/sticky/{topic}", &["get"], get(sticky::one)),
        // GET is answered before the routes are asked, on the bare socket; what comes here is HEAD.
        ("/v1/live", &["get"], get(docs::live_head)),
        ("/v1/ws", &["get"], get(docs::ws_head)),
        ("/healthz", &["get"], get(health::healthz)),
        ("/readyz", &["get"], get(health::readyz)),
        ("/metrics", &["get"], get(metrics::metrics)),
    ]
}

/// The routes over a hub.
pub(super) fn routes(app: Arc<App>) -> Router {
    let all = table().into_iter().fold(Router::new(), |router, (path, _, methods)| {
        // A topic has slashes of its own.
        router.route(&path.replace("{topic}", "{*topic}"), methods)
    });
    all.with_state(app)
}

/// The rest of a request's path behind a prefix, as it was written.
pub(super) fn rest_of_path<'r>(request: &'r Request, prefix: &str) -> &'r str {
    request.uri().path().strip_prefix(prefix).unwrap_or_default()
}
