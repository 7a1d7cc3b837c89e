//! Who sends a request, and how they showed it: `Authorization`, a cookie, a client certificate, or nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderMap, HeaderName, ORIGIN};
use axum::http::{HeaderValue, Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use headwater_event::{Principal, Refusal, Text};
use headwater_hub::{Credentials, Hub, Proof, Secret};

use super::problem::Problem;
use crate::tls::TlsPeer;

/// How a WebSocket of a browser shows a token: as a subprotocol, since a page can set no headers there, and an address is
/// no place for a secret. What follows is the token.
pub const TOKEN_PROTOCOL: &str = "headwater.token.";

/// The same for a name and a password: `NAME:PASSWORD` in base64url without padding follows.
pub const PASSWORD_PROTOCOL: &str = "headwater.login.";

/// The headers that say who sends a request and whence: all that is taken over from a bare head.
static TELLING: [HeaderName; 5] =
    [AUTHORIZATION, COOKIE, HOST, ORIGIN, HeaderName::from_static("sec-websocket-protocol")];

/// Finds who a request's cookies stand for, where somebody keeps logins of browsers.
pub type Cookies = Arc<dyn Fn(&HeaderMap) -> Option<Principal> + Send + Sync>;

/// Who sends a request; the edge puts one beside each request before a route sees it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is.
    pub who: Principal,
    /// Where from.
    pub peer: SocketAddr,
    /// How they showed it.
    pub by: By,
}

/// How a caller showed who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Not at all.
    Nothing,
    /// By an `Authorization` header or a subprotocol: a program, or a page that means this very request.
    Header,
    /// By the cookie of a login. A browser sends it along by itself, so a request that changes something must also show
    /// that it comes from a page of ours.
    Cookie,
    /// By a client certificate. A browser sends it along by itself too.
    Certificate,
}

impl By {
    /// Whether a browser shows it without its page having meant to.
    #[must_use]
    pub const fn is_of_itself(self) -> bool {
        matches!(self, Self::Cookie | Self::Certificate)
    }
}

/// What is needed to find out.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) cookies: Option<&'a Cookies>,
    pub(crate) peer: SocketAddr,
    pub(crate) tls: Option<&'a TlsPeer>,
}

impl Caller {
    /// Who sends a request with these headers. What is wrong is never taken for nothing: a wrong password isn't anonymous.
    pub(crate) async fn find(seen: Seen<'_>, headers: &HeaderMap) -> Result<Self, Problem> {
        let caller = |who, by| Self { who, peer: seen.peer, by };
        let mut by = By::Header;
        let mut proof = match authorization(headers)? {
            Some(proof) => proof,
            None => by_protocol(headers)?,
        };
        if matches!(proof, Proof::None) {
            if let Some(who) = seen.cookies.and_then(|cookies| cookies(headers))
                && seen.hub.access().stands(&who)
            {
                return Ok(caller(who, By::Cookie));
            }
            by = By::Nothing;
            if let Some(peer) = seen.tls.filter(|peer| !peer.sans.is_empty()) {
                by = By::Certificate;
                proof = Proof::Certificate { names: peer.sans.clone() };
            }
        }
        let shown = Credentials { proof, client_id: None, peer: seen.peer.ip() };
        Ok(caller(seen.hub.authenticate(shown).await?, by))
    }

    /// Who sends this request, as a route is told.
    #[must_use]
    pub fn of(extensions: &axum::http::Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// How a problem reads for this caller: who has shown nothing, and might be allowed if they did, is asked to.
    pub(crate) fn told(&self, problem: Problem, hub: &Hub) -> Problem {
        let is_refused = problem.status == StatusCode::FORBIDDEN && problem.name == Refusal::NotAllowed.name();
        if is_refused && self.who.is_anonymous() && hub.access().takes_logins() {
            return Refusal::NotAuthenticated.into();
        }
        problem
    }
}

/// The telling headers of a head that hyper hasn't seen.
pub(super) fn telling(head: &httparse::Request<'_, '_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for header in &*head.headers {
        let Some(name) = TELLING.iter().find(|name| header.name.eq_ignore_ascii_case(name.as_str())) else { continue };
        if let Ok(value) = HeaderValue::from_bytes(header.value) {
            headers.append(name, value);
        }
    }
    headers
}

/// Whether this kind of request may change something.
pub(super) fn is_changing(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn authorization(headers: &HeaderMap) -> Result<Option<Proof>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.as_bytes(),
        (Some(_), Some(_)) => return Err(Problem::malformed("Authorization: stands here twice")),
    };
    let space = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(space);
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") && !rest.is_empty() {
        return Ok(Some(Proof::Token(Secret::new(rest))));
    }
    if scheme.eq_ignore_ascii_case(b"basic") {
        let decoded = STANDARD.decode(rest).map_err(|_| malformed("what follows Basic is no base64"))?;
        return login(Secret::new(decoded)).map(Some);
    }
    Err(malformed("it takes Basic and Bearer"))
}

/// Among the subprotocols that a WebSocket offers.
fn by_protocol(headers: &HeaderMap) -> Result<Proof, Problem> {
    let lines = headers.get_all("sec-websocket-protocol").iter().filter_map(|line| line.to_str().ok());
    for offer in lines.flat_map(|line| line.split(',')).map(str::trim) {
        if let Some(token) = offer.strip_prefix(TOKEN_PROTOCOL) {
            return Ok(Proof::Token(Secret::new(token)));
        }
        if let Some(encoded) = offer.strip_prefix(PASSWORD_PROTOCOL) {
            let decoded = URL_SAFE_NO_PAD.decode(encoded);
            return login(Secret::new(decoded.map_err(|_| malformed("a login's subprotocol is no base64url"))?));
        }
    }
    Ok(Proof::None)
}

/// `NAME:PASSWORD`.
fn login(pair: Secret) -> Result<Proof, Problem> {
    let bytes = pair.reveal();
    let colon = bytes.iter().position(|byte| *byte == b':').ok_or_else(|| malformed("there is no colon in it"))?;
    let user = std::str::from_utf8(&bytes[..colon]).map_err(|_| malformed("the user's name is not UTF-8"))?;
    Ok(Proof::from_login(Some(Text::from(user)), Some(Secret::new(&bytes[colon + 1..]))))
}

fn malformed(detail: &str) -> Problem {
    Problem::malformed(format!("Authorization: {detail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &'static str, value: &str) -> Result<String, Problem> {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())]);
        let proof = authorization(&headers)?.map_or_else(|| by_protocol(&headers), Ok)?;
        let text = |secret: &Secret| secret.reveal_text().unwrap().to_owned();
        Ok(match proof {
            Proof::None => "nothing".into(),
            Proof::Password { user, password } => format!("{user} with {}", text(&password)),
            Proof::Token(token) => format!("token {}", text(&token)),
            Proof::Certificate { .. } => "certificate".into(),
        })
    }

    #[test]
    fn each_way_of_showing_is_understood() {
        for (name, value, what) in [
            ("authorization", "Basic YWRhOmE6Yg==", "ada with a:b"),
            ("authorization", "basic  YWRhOg==", "ada with "),
            ("authorization", "Bearer ey.ey.x-_", "token ey.ey.x-_"),
            ("authorization", "Basic YmVhcmVyOmV5", "token ey"),
            ("sec-websocket-protocol", "headwater.v1", "nothing"),
            ("sec-websocket-protocol", "headwater.v1, headwater.token.ey.ey.x", "token ey.ey.x"),
            ("sec-websocket-protocol", "headwater.login.YWRhOmE6Yg", "ada with a:b"),
            ("cookie", "headwater-session=x", "nothing"),
        ] {
            assert_eq!(shown(name, value).unwrap(), what, "{value}");
        }
        for value in ["Basic YWRh", "Basic !", "Bearer", "Digest x", "", "Basic /zp4"] {
            let problem = shown("authorization", value).unwrap_err();
            assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{value}");
        }
        assert!(shown("sec-websocket-protocol", "headwater.login.!").is_err());
    }
}
