//! What a request can't have, as `application/problem+json` (RFC 9457), for all applications alike.
//!
//! What only one of them has to say stands in its own folder, as further ways to make one.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headwater_event::{Principal, Refusal};
use headwater_hub::{Hub, WatchError};

/// How somebody can show who they are.
const CHALLENGE: &str = "Bearer realm=\"headwater\", Basic realm=\"headwater\", charset=\"UTF-8\"";

/// After how long a client comes again that is told nothing better.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A refused request: the status, a word for programs, and a sentence that says what to mend.
#[derive(Debug)]
pub struct Problem {
    pub(crate) status: StatusCode,
    name: &'static str,
    detail: String,
    /// The field that is wrong, where there is one.
    field: Option<String>,
    retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, name: &'static str, detail: impl Into<String>) -> Self {
        Self { status, name, detail: detail.into(), field: None, retry_after: None }
    }

    /// It's this field that is wrong.
    pub(crate) fn about(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// It may work in a moment.
    pub(crate) fn for_now(self) -> Self {
        Self { retry_after: Some(AGAIN_AFTER), ..self }
    }

    /// 400: the request says something that can't be.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// 404: there is no such thing.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 503: too much of this is going on, or what is needed isn't there now.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).for_now()
    }

    /// 500: a fault of ours.
    pub(crate) fn broken(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", detail)
    }

    /// What a refusal is for this caller: who has shown nothing, and might be allowed if they did, is asked to.
    pub(crate) fn of(refusal: Refusal, who: &Principal, hub: &Hub) -> Self {
        let asks_for_login = refusal == Refusal::NotAllowed && who.is_anonymous() && hub.access().takes_logins();
        if asks_for_login { Refusal::NotAuthenticated.into() } else { refusal.into() }
    }

    /// Whether the request itself is at fault.
    pub(crate) fn is_malformed(&self) -> bool {
        matches!(
            self.status,
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY
        )
    }

    /// The answer with this body in place of the document.
    pub(crate) fn dressed(&self, body: String, kind: &'static str) -> Response {
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
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

    pub(crate) fn document(&self) -> Response {
        let mut document = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("refused"),
            "status": self.status.as_u16(),
            "name": self.name,
            "detail": self.detail,
        });
        if let Some(field) = &self.field {
            document["field"] = field.as_str().into();
        }
        self.dressed(document.to_string(), "application/problem+json")
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

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Refusal(refusal) => refusal.into(),
            gone => Self::new(StatusCode::GONE, "gone", gone.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.document()
    }
}
