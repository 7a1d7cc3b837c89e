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

/// Ready to take events, or 503 with the part that fails.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response<Body> {
    let (status, document) = match app.hub.health() {
        Health::Good => {
            (StatusCode::OK, b"{\"status\":\"ok\",\"parts\":[{\"name\":\"log\",\"status\":\"ok\"}]}".to_vec())
        }
        Health::Failing(why) => {
            let mut out =
                b"{\"status\":\"failing\",\"parts\":[{\"name\":\"log\",\"status\":\"failing\",\"why\":".to_vec();
            write_str(&why, &mut out);
            out.extend_from_slice(b"}]}");
            (StatusCode::SERVICE_UNAVAILABLE, out)
        }
    };
    let mut response = json(document);
    *response.status_mut() = status;
    fresh(response)
}

fn fresh(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
