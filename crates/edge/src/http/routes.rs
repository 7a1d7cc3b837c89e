//! The one table of routes. `openapi.json` describes each of them, and a test compares the two.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodRouter, get, post};
use headwater_hub::Hub;

use super::health::Part;
use super::limits::Limits;
use super::{cloudevents, docs, health, history, metrics, publish, sticky};
use crate::accept::AcceptCounts;

/// What the routes work with.
pub struct App {
    pub(super) hub: Arc<Hub>,
    pub(super) limits: Limits,
    pub(super) listeners: Vec<(&'static str, Arc<AcceptCounts>)>,
    pub(super) mqtt: Option<crate::mqtt::Front>,
    pub(super) socketio: Option<crate::socketio::Front>,
    pub(super) parts: Vec<Part>,
    pub(super) groups: Option<metrics::Groups>,
    pub(super) beside: Vec<Part>,
    pub(super) figures: Vec<metrics::Figure>,
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
        // Another name for it: what Kubernetes' own servers call it.
        ("/livez", &["get"], get(health::healthz)),
        ("/readyz", &["get"], get(health::readyz)),
        ("/metrics", &["get"], get(metrics::metrics)),
        ("/openapi.json", &["get"], get(docs::openapi)),
        ("/docs", &["get"], get(docs::page)),
        ("/docs/docs.css", &["get"], get(docs::style)),
        ("/docs/docs.js", &["get"], get(docs::script)),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The files behind `/docs` and nothing else: they are part of a page, not of the interface.
    fn is_described(path: &str) -> bool {
        !path.starts_with("/docs/")
    }

    #[test]
    fn every_route_is_described_and_every_description_has_its_route() {
        let document: serde_json::Value = serde_json::from_str(docs::OPENAPI).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            // Those are served, and compared, by the console.
            .filter(|(path, _)| !path.starts_with("/v1/admin/"))
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(move |method| (path.clone(), method.clone()))
            })
            .filter(|(_, method)| method != "parameters")
            .collect();
        let served: BTreeSet<(String, String)> = table()
            .iter()
            .filter(|(path, _, _)| is_described(path))
            .flat_map(|(path, methods, _)| methods.iter().map(|method| ((*path).to_owned(), (*method).to_owned())))
            .collect();
        assert_eq!(served, described);
    }
}
