//! What a request's address says, and the answers to those that say something wrong.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};

use super::front::TooMany;

/// The query of a request, as far as it means anything; the rest (`t`, and what applications add) is passed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    pub(super) version: Option<&'a str>,
    pub(super) transport: Option<&'a str>,
    pub(super) sid: Option<&'a str>,
    /// `transport` stands before `EIO`. `socket.io-client`, the one library that keeps offsets, writes them the other way.
    pub(super) is_transport_first: bool,
}

/// What is wrong with a request, by the numbers of the reference server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Transport,
    Sid,
    Method,
    Request,
    Forbidden,
    Version,
}

impl<'a> Asked<'a> {
    /// Reads a request's target.
    pub(super) fn read(target: &'a str) -> Self {
        let mut asked = Self::default();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            asked.is_transport_first |= name == "transport" && asked.version.is_none();
            let place = match name {
                "EIO" => &mut asked.version,
                "transport" => &mut asked.transport,
                "sid" => &mut asked.sid,
                _ => continue,
            };
            // The first counts, as two readers could choose differently otherwise.
            place.get_or_insert(value);
        }
        asked
    }

    /// Whether a session may begin with it.
    pub(super) fn may_begin(&self) -> Result<(), Wrong> {
        if self.version == Some("4") { Ok(()) } else { Err(Wrong::Version) }
    }
}

/// Whether the bare socket is wanted.
pub(crate) fn is_upgrade(target: &str) -> bool {
    Asked::read(target).transport == Some("websocket")
}

impl Wrong {
    pub(super) fn answer(self) -> Response<Body> {
        let (status, body) = self.said();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    const fn said(self) -> (StatusCode, &'static str) {
        let bad = StatusCode::BAD_REQUEST;
        match self {
            Self::Transport => (bad, "{\"code\":0,\"message\":\"Transport unknown\"}"),
            Self::Sid => (bad, "{\"code\":1,\"message\":\"Session ID unknown\"}"),
            Self::Method => (bad, "{\"code\":2,\"message\":\"Bad handshake method\"}"),
            Self::Request => (bad, "{\"code\":3,\"message\":\"Bad request\"}"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "{\"code\":4,\"message\":\"Forbidden\"}"),
            Self::Version => (bad, "{\"code\":5,\"message\":\"Unsupported protocol version\"}"),
        }
    }

    /// The whole answer on a bare socket.
    pub(super) fn last_words(self) -> Vec<u8> {
        let (status, body) = self.said();
        last_words(status, "", body)
    }
}

fn last_words(status: StatusCode, more: &str, body: &str) -> Vec<u8> {
    let phrase = status.canonical_reason().unwrap_or_default();
    format!(
        "HTTP/1.1 {} {phrase}\r\n{more}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        status.as_u16(),
        body.len()
    )
    .into_bytes()
}

impl TooMany {
    fn said(&self) -> (u32, String) {
        let body = format!("{{\"message\":\"too many connect at once\",\"retryAfterMs\":{}}}", self.retry_ms);
        (self.retry_ms.div_ceil(1_000), body)
    }

    pub(super) fn answer(&self) -> Response<Body> {
        let (seconds, body) = self.said();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
        response
    }

    pub(super) fn last_words(&self) -> Vec<u8> {
        let (seconds, body) = self.said();
        last_words(StatusCode::SERVICE_UNAVAILABLE, &format!("Retry-After: {seconds}\r\n"), &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_by_its_first_words() {
        let asked = Asked::read("/socket.io/?EIO=4&transport=polling&t=x&sid=abc&sid=def");
        let (version, transport, sid) = (Some("4"), Some("polling"), Some("abc"));
        assert_eq!(asked, Asked { version, transport, sid, is_transport_first: false });
        assert!(Asked::read("/socket.io/?transport=polling&EIO=4&t=1.5").is_transport_first);
        assert_eq!(Asked::read("/socket.io"), Asked::default());
        assert!(is_upgrade("/socket.io/?transport=websocket") && !is_upgrade("/socket.io/?transport=polling"));
        assert_eq!(Asked::read("/?EIO=3").may_begin(), Err(Wrong::Version));
    }
}
