//! How the application answers: the words that existing sources expect, or a problem document where one is asked for.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headwater_event::{Principal, Refusal};
use headwater_hub::Hub;
use serde::Serialize;

/// What a source reads when its report is on disk.
pub const PROCESSED: &str = "Event processed successfully";
/// What a source reads when its report is none.
pub const INVALID: &str = "Invalid event data";
/// What a source reads when its report could not be stored.
const NOT_STORED: &str = "Event could not be stored";

/// A refused request: the status, a word and a sentence that says what to mend.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    name: &'static str,
    detail: String,
    wait: u64,
}

impl Problem {
    fn new(status: StatusCode, name: &'static str, detail: impl Into<String>) -> Self {
        Self { status, name, detail: detail.into(), wait: 1 }
    }

    /// 400: the request says something that can't be.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 408: it took too long.
    pub fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail)
    }

    /// 422: the same `Idempotency-Key` with something else.
    pub fn other_content() -> Self {
        let detail = "Idempotency-Key: was used for another report";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "other_content", detail)
    }

    /// 503: it can't be read now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    /// What a refusal is for this caller: who has shown nothing, and might be allowed if they did, is asked to.
    pub fn of(refusal: Refusal, who: &Principal, hub: &Hub) -> Self {
        let asks_for_login = refusal == Refusal::NotAllowed && who.is_anonymous() && hub.access().takes_logins();
        let refusal = if asks_for_login { Refusal::NotAuthenticated } else { refusal };
        let status = match refusal {
            Refusal::NotAuthenticated => StatusCode::UNAUTHORIZED,
            Refusal::NotAllowed => StatusCode::FORBIDDEN,
            Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
            Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooFast { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::OutOfOrder { .. } => StatusCode::CONFLICT,
            Refusal::Full { .. } | Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let wait = refusal.retry_after().map_or(1, |wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        Self { wait, ..Self::new(status, refusal.name(), refusal.to_string()) }
    }

    /// Whether the request itself is at fault.
    pub fn is_malformed(&self) -> bool {
        matches!(
            self.status,
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY
        )
    }

    /// The answer: for sources that don't ask for a problem document their own words where they have some.
    pub fn answer(&self, headers: &HeaderMap) -> Response {
        let words = match self.status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Some(INVALID),
            StatusCode::SERVICE_UNAVAILABLE => Some(NOT_STORED),
            _ => None,
        };
        match words.filter(|_| !asks_for_problems(headers)) {
            Some(words) => self.dressed(json(&words), "application/json"),
            None => self.document(),
        }
    }

    fn document(&self) -> Response {
        let document = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("refused"),
            "status": self.status.as_u16(),
            "name": self.name,
            "detail": self.detail,
        });
        self.dressed(document.to_string(), "application/problem+json")
    }

    fn dressed(&self, body: String, kind: &'static str) -> Response {
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.wait));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let ways = "Bearer realm=\"headwater\", Basic realm=\"headwater\", charset=\"UTF-8\"";
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(ways));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.document()
    }
}

/// An answer in JSON that is out of date at once.
pub fn ok(value: &impl Serialize) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, json(value)).into_response()
}

fn json(value: &impl Serialize) -> String {
    // What is answered here are texts, numbers and structs of these, which always can be written.
    serde_json::to_string(value).unwrap_or_default()
}

/// Whether `Accept` names problem documents.
fn asks_for_problems(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/problem+json")
    })
}
