//! Who is looking, and how they log in and out.

use axum::extract::{Request, State};
use axum::http::header::{ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use headwater_edge::http::{By, Problem, Query};
use headwater_event::{Refusal, Text};
use headwater_hub::{Credentials, Proof, Secret};
use serde::Deserialize;
use serde_json::json;

use crate::console::Console;
use crate::console::rights::{Rights, caller, must_come_from_here};
use crate::console::spelling::answer;

/// The longest login that is read, in bytes: names and passwords have a few hundred at most.
const BODY_LEN_MAX: usize = 8 * 1_024;

/// `GET /v1/admin/me`
pub async fn me(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    Query::read(request.uri().query(), &[])?;
    let caller = caller(&request);
    Ok(answer(&json!({
        "user": caller.who.user(),
        "rights": console.rights(&caller.who).map(Rights::name),
        "by_cookie": caller.by == By::Cookie,
        "can_login": console.0.hub.access().takes_logins(),
    })))
}

/// What a login form sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    user: String,
    password: String,
}

/// `POST /v1/admin/login`
pub async fn login(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    let (caller, headers) = (caller(&request), request.headers().clone());
    // A page of another site must not be able to log its visitor in as somebody else either.
    must_come_from_here(&headers, By::Nothing)?;
    let body = axum::body::to_bytes(request.into_body(), BODY_LEN_MAX).await;
    let body = body.map_err(|_| Problem::malformed(format!("a login has at most {BODY_LEN_MAX} bytes")))?;
    // What serde says may quote what was sent, and that's a secret.
    let form: Form = serde_json::from_slice(&body)
        .map_err(|_| Problem::malformed("a login is {\"user\":\"...\",\"password\":\"...\"}"))?;
    let proof = Proof::Password { user: Text::from(form.user), password: Secret::new(form.password) };
    let shown = Credentials { proof, client_id: None, peer: caller.peer.ip() };
    let who = console.0.hub.authenticate(shown).await?;
    if who.is_anonymous() {
        return Err(Refusal::NotAuthenticated.into());
    }
    let rights = console.rights(&who).map(Rights::name);
    let mut response = answer(&json!({ "user": who.user(), "rights": rights }));
    let cookie = console.0.facts.logins.begin(who, is_secure(&headers));
    set_cookie(&mut response, &cookie);
    Ok(response)
}

/// `POST /v1/admin/logout`
pub async fn logout(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    must_come_from_here(request.headers(), caller(&request).by)?;
    let mut response = answer(&json!({}));
    set_cookie(&mut response, &console.0.facts.logins.end(request.headers(), is_secure(request.headers())));
    Ok(response)
}

fn set_cookie(response: &mut Response, line: &str) {
    // Letters, digits and signs of a cookie line are a good value.
    if let Ok(line) = HeaderValue::try_from(line) {
        response.headers_mut().insert(SET_COOKIE, line);
    }
}

/// A browser's page says by which scheme it came, whoever ends TLS on the way.
fn is_secure(headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}
