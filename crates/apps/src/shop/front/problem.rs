//! What a request can't have, as `application/problem+json` (RFC 9457), with the field that is wrong where there is one.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headwater_event::Refusal;
use headwater_service::StoreError;

/// How somebody can show who they are.
const CHALLENGE: &str = "Bearer realm=\"headwater\", Basic realm=\"headwater\", charset=\"UTF-8\"";

/// A refused request.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    name: &'static str,
    detail: String,
    field: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    fn new(status: StatusCode, name: &'static str, detail: impl Into<String>) -> Self {
        Self { status, name, detail: detail.into(), field: None, retry_after: None }
    }

    /// 400: this field has to be mended.
    pub fn malformed(field: impl Into<String>, why: impl Into<String>) -> Self {
        let (field, why) = (field.into(), why.into());
        Self {
            field: Some(field.clone()),
            ..Self::new(StatusCode::BAD_REQUEST, "malformed", format!("{field}: {why}"))
        }
    }

    /// 404: there is no such order.
    pub fn no_order(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no order {id}"))
    }

    /// 422: the key was used with another body.
    pub fn other_body() -> Self {
        let detail = "this Idempotency-Key came with another order before: take a new key for a new order";
        let field = Some("Idempotency-Key".into());
        Self { field, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", detail) }
    }

    /// 409: the first request with this key has no answer yet.
    pub fn still_running() -> Self {
        let detail = "the first request with this Idempotency-Key is still running: ask again in a moment";
        let retry_after = Some(Duration::from_secs(1));
        Self { retry_after, ..Self::new(StatusCode::CONFLICT, "still_running", detail) }
    }

    /// 503: too much of this is going on, or what is needed isn't there now.
    pub fn busy(detail: impl Into<String>) -> Self {
        let retry_after = Some(Duration::from_secs(1));
        Self { retry_after, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail) }
    }

    /// 500: a fault of ours.
    pub fn broken(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", detail)
    }

    /// Whether it says that a right is missing.
    pub fn is_not_allowed(&self) -> bool {
        self.status == StatusCode::FORBIDDEN
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::NotAuthenticated => StatusCode::UNAUTHORIZED,
            Refusal::NotAllowed => StatusCode::FORBIDDEN,
            Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
            Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooFast { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::OutOfOrder { .. } => StatusCode::CONFLICT,
            Refusal::Full { .. } | Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { retry_after: refusal.retry_after(), ..Self::new(status, refusal.name(), refusal.to_string()) }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the shop's tables can't be read");
        Self::busy("the shop's books can't be read at present: try again in a moment")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut document = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("refused"),
            "status": self.status.as_u16(),
            "name": self.name,
            "detail": self.detail,
        });
        if let Some(field) = self.field {
            document["field"] = field.into();
        }
        let mut response = (self.status, document.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            // Whole seconds (RFC 9110 section 10.2.3), rounded up: too early is of no use.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response
    }
}
