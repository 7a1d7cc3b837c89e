//! Errors as problem documents (RFC 9457), through hyper or straight onto a socket.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use headwater_event::json::write_str;

/// How somebody can show who they are. A browser asks its user for a name and a password then.
const CHALLENGE: &str = "Bearer realm=\"headwater\", Basic realm=\"headwater\", charset=\"UTF-8\"";

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, as HTTP says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// What a program can tell problems of one status apart by: a refusal's name, for example.
    pub name: &'static str,
    /// What a person can do about it.
    pub detail: String,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
    /// Further members, texts all of them.
    pub more: Vec<(&'static str, String)>,
}

impl Problem {
    /// A problem with a sentence.
    pub fn new(status: StatusCode, name: &'static str, detail: impl Into<String>) -> Self {
        Self { status, name, detail: detail.into(), retry_after: None, more: Vec::new() }
    }

    /// 400: the client has to mend its request.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// The same with a further member.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.more.push((name, value.to_string()));
        self
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        out.extend_from_slice(b"{\"type\":\"about:blank\",\"title\":");
        write_str(self.title(), &mut out);
        out.extend_from_slice(format!(",\"status\":{},\"name\":", self.status.as_u16()).as_bytes());
        write_str(self.name, &mut out);
        out.extend_from_slice(b",\"detail\":");
        write_str(&self.detail, &mut out);
        if let Some(wait) = self.retry_after {
            out.extend_from_slice(format!(",\"retry_after_ms\":{}", wait.as_millis()).as_bytes());
        }
        for (name, value) in &self.more {
            out.push(b',');
            write_str(name, &mut out);
            out.push(b':');
            write_str(value, &mut out);
        }
        out.push(b'}');
        out
    }

    /// The whole answer for a connection that ends with it.
    #[must_use]
    pub fn last_words(&self) -> Vec<u8> {
        let document = self.document();
        let challenge =
            if self.asks_for_login() { format!("WWW-Authenticate: {CHALLENGE}\r\n") } else { String::new() };
        let wait = self.retry_after.map(|wait| format!("Retry-After: {}\r\n", whole_seconds(wait))).unwrap_or_default();
        let mut out = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {PROBLEM_JSON}\r\nContent-Length: {}\r\n{wait}{challenge}Cache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
            self.status.as_u16(),
            self.title(),
            document.len()
        )
        .into_bytes();
        out.extend_from_slice(&document);
        out
    }

    fn asks_for_login(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Error")
    }
}

/// `Retry-After` counts whole seconds (RFC 9110 section 10.2.3): rounded up, since too early is of no use.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.document()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if self.asks_for_login() {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        // For the front, which spells some of them otherwise for those who have shown nothing.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_the_same_on_both_ways() {
        let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "full", "say \"hi\"").with("oldest", "7:1");
        problem.retry_after = Some(Duration::from_millis(1_001));
        let document = String::from_utf8(problem.document()).unwrap();
        assert_eq!(
            document,
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"name":"full","detail":"say \"hi\"","retry_after_ms":1001,"oldest":"7:1"}"#
        );
        let words = String::from_utf8(problem.last_words()).unwrap();
        assert!(words.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && words.ends_with(&document), "{words}");
        assert!(words.contains("\r\nRetry-After: 2\r\n"), "{words}");
        assert_eq!(problem.into_response().headers()[RETRY_AFTER], "2");
    }
}
