//! Who may look at the hub from inside, and who may change something: asked here for every route below `/v1/admin`.

use axum::extract::{Request, State};
use axum::http::header::{HOST, HeaderMap, ORIGIN};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headwater_edge::http::{By, Caller, Problem};
use headwater_event::{Principal, Refusal};
use headwater_hub::Access;
use headwater_hub::access::{ADMIN, OBSERVER};

use super::Console;
use crate::config::Open;

/// What somebody may do here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// See topics, sizes, connections.
    Observer,
    /// See payloads too, and change things.
    Admin,
}

impl Rights {
    /// The role's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observer => OBSERVER,
            Self::Admin => ADMIN,
        }
    }
}

/// Who is looking; made by the [`guard`] alone.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Who it is.
    pub who: Principal,
    /// What they may do.
    pub rights: Rights,
}

/// What somebody may do here now: the one place that decides it. Roles are asked for at every request, so who loses one sees
/// nothing more.
///
/// On a machine that tries the hub out (no settings file, no rules, loopback only) everybody may everything, as everybody may
/// publish and watch everything. Where a setting lets anonymous clients in they may look, and that is all.
pub fn may_administer(access: &Access, who: &Principal, open: Open) -> Option<Rights> {
    if access.may_administer(who) {
        return Some(Rights::Admin);
    }
    let may_look = access.holds(who, OBSERVER) || (open == Open::BySetting && access.stands(who));
    may_look.then_some(Rights::Observer)
}

impl Console {
    /// What somebody may do here now.
    pub fn rights(&self, who: &Principal) -> Option<Rights> {
        may_administer(self.0.hub.access(), who, self.0.facts.open)
    }
}

/// Lets through who may, and tells the route who it is.
pub async fn guard(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    match admit(&console, &request) {
        Ok(viewer) => {
            request.extensions_mut().insert(viewer);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn admit(console: &Console, request: &Request) -> Result<Viewer, Problem> {
    let caller = caller(request);
    let Some(rights) = console.rights(&caller.who) else {
        let refusal = if caller.who.is_anonymous() { Refusal::NotAuthenticated } else { Refusal::NotAllowed };
        return Err(refusal.into());
    };
    let headers = request.headers();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        if rights < Rights::Admin {
            return Err(Refusal::NotAllowed.into());
        }
        must_come_from_here(headers, caller.by)?;
    }
    Ok(Viewer { who: caller.who, rights })
}

/// Who sends a request, as the edge has found out; nobody where it hasn't.
pub fn caller(request: &Request) -> Caller {
    Caller::of(request.extensions()).cloned().unwrap_or_else(|| Caller {
        who: Principal::anonymous(),
        peer: ([0, 0, 0, 0], 0).into(),
        by: By::Nothing,
    })
}

/// A browser sends cookies along with what any site makes it send (CSRF). So a request that changes something must show
/// that a page of ours makes it, or carry what no other site can: a header with a secret.
pub fn must_come_from_here(headers: &HeaderMap, by: By) -> Result<(), Problem> {
    if by == By::Header {
        return Ok(());
    }
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes() == b"same-origin");
    let origin =
        headers.get(ORIGIN).map(|origin| origin.to_str().is_ok_and(|origin| is_origin_of(origin, host(headers))));
    match (site, origin) {
        (Some(false), _) | (_, Some(false)) => Err(strange("another site's page can't do this")),
        (None, None) if by.is_of_itself() => {
            Err(strange("a browser says where a request comes from, and this one doesn't"))
        }
        _ => Ok(()),
    }
}

fn strange(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "origin", detail)
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// Whether an origin is that of this very host and port.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let bare = |authority: &str, port: &str| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
    match origin.split_once("://") {
        Some(("http", authority)) => bare(authority, ":80") == bare(host, ":80"),
        Some(("https", authority)) => bare(authority, ":443") == bare(host, ":443"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_must_come_from_a_page_of_ours_or_carry_a_secret() {
        let headers = |pairs: &[(&'static str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            pairs.chain([(HOST, "hub.example:8080".parse().unwrap())]).collect::<HeaderMap>()
        };
        let own = ("origin", "http://hub.example:8080");
        let other = ("origin", "http://evil.example");
        for (pairs, by, good) in [
            (&[own][..], By::Cookie, true),
            (&[("sec-fetch-site", "same-origin")], By::Cookie, true),
            (&[own, ("sec-fetch-site", "same-origin")], By::Cookie, true),
            (&[], By::Cookie, false),
            (&[], By::Certificate, false),
            (&[other], By::Cookie, false),
            (&[("origin", "null")], By::Cookie, false),
            (&[("origin", "http://hub.example:8081")], By::Cookie, false),
            (&[own, ("sec-fetch-site", "cross-site")], By::Cookie, false),
            (&[("sec-fetch-site", "same-site")], By::Cookie, false),
            (&[other], By::Nothing, false),
            (&[], By::Nothing, true),
            (&[other], By::Header, true),
        ] {
            assert_eq!(must_come_from_here(&headers(pairs), by).is_ok(), good, "{pairs:?} {by:?}");
        }
    }
}
