//! What is said of routes that have no answer of their own.

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use axum::response::IntoResponse;

use super::problem::Problem;

/// `HEAD /v1/live`: what GET would begin with. (A GET that comes here has a body.)
pub(super) async fn live_head(method: Method) -> Response<Body> {
    if method != Method::HEAD {
        return Problem::malformed("a request for live events has no body").into_response();
    }
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `HEAD /v1/ws`, or a GET with a body: no WebSocket begins so.
pub(super) async fn ws_head() -> Response<Body> {
    let detail = "a WebSocket begins with GET and without a body";
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    response
}
