//! The interface described: `/openapi.json` for programs, `/docs` for people.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::response::IntoResponse;

use super::page::File;
use super::problem::Problem;

/// The description, kept by hand beside the routes; tests compare the two, here and where the routes of `/v1/admin` are.
pub const OPENAPI: &str = include_str!("openapi.json");

static DOCUMENT: LazyLock<File> = LazyLock::new(|| File::new("openapi.json", OPENAPI.as_bytes()));
static PAGE: LazyLock<File> = LazyLock::new(|| File::new("docs.html", include_bytes!("docs/docs.html")));
static STYLE: LazyLock<File> = LazyLock::new(|| File::new("docs.css", include_bytes!("docs/docs.css")));
static SCRIPT: LazyLock<File> = LazyLock::new(|| File::new("docs.js", include_bytes!("docs/docs.js")));

pub(super) async fn openapi(headers: HeaderMap) -> Response<Body> {
    DOCUMENT.answer(&headers)
}

pub(super) async fn page(headers: HeaderMap) -> Response<Body> {
    PAGE.answer(&headers)
}

pub(super) async fn style(headers: HeaderMap) -> Response<Body> {
    STYLE.answer(&headers)
}

pub(super) async fn script(headers: HeaderMap) -> Response<Body> {
    SCRIPT.answer(&headers)
}

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
