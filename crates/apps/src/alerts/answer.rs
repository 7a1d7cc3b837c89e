//! How the application answers: the words that existing sources expect, or a problem document where one is asked for.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub(super) use crate::problem::Problem;

/// What a source reads when its report is on disk.
pub const PROCESSED: &str = "Event processed successfully";
/// What a source reads when its report is none.
pub const INVALID: &str = "Invalid event data";
/// What a source reads when its report could not be stored.
const NOT_STORED: &str = "Event could not be stored";

impl Problem {
    /// 408: it took too long.
    pub(super) fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", detail)
    }

    /// 422: the same `Idempotency-Key` with something else.
    pub(super) fn other_content() -> Self {
        let detail = "Idempotency-Key: was used for another report";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "other_content", detail)
    }

    /// The answer: for sources that don't ask for a problem document their own words where they have some.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response {
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
