//! What all HTTP connections share, and what happens to every request: whence it may come, who answers it, and what every
//! answer says.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    COOKIE, HOST, HeaderMap, ORIGIN, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use axum::response::IntoResponse;
use headwater_hub::Hub;
use hyper::Request;
use hyper::body::Incoming;
use tower_service::Service;

use super::caller::{Caller, Cookies, Seen, is_changing, telling};
use super::handover::{Handover, Head, Wanted};
use super::hosts::Hosts;
use super::limits::Limits;
use super::problem::Problem;
use crate::accept::Stopping;
use crate::socketio;
use crate::sse;
use crate::tls::TlsPeer;
use crate::ws;

/// For pages: nothing from anywhere else, nothing inline, no frame around them.
pub(super) const PAGE_POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// All headers that a page of an allowed origin may read.
const EXPOSED: &str = "etag, headwater-head, headwater-position, retry-after";

/// The headers that a page of an allowed origin may send.
const ALLOWED_HEADERS: &str = "authorization, content-type, idempotency-key, if-none-match, last-event-id";

/// How long a browser may remember that, in seconds: the most that browsers keep it.
const ALLOWED_AGE: &str = "7200";

/// What all connections share.
pub(super) struct Front {
    pub(super) hub: Arc<Hub>,
    pub(super) routes: Router,
    pub(super) limits: Limits,
    pub(super) origins: ws::Origins,
    pub(super) ws: Arc<ws::Settings>,
    /// What MQTT over WebSocket goes to, where there is MQTT.
    pub(super) mqtt: Option<crate::mqtt::Front>,
    /// What Socket.IO clients are answered by, where they are.
    pub(super) socketio: Option<socketio::Front>,
    pub(super) hosts: Hosts,
    pub(super) cookies: Option<Cookies>,
}

/// Where a connection comes from.
#[derive(Clone)]
pub(super) struct Whence {
    pub(super) peer: SocketAddr,
    pub(super) tls: Option<Arc<TlsPeer>>,
    /// When its connections are to end.
    pub(super) stopping: Stopping,
}

impl Front {
    /// Answers one request that came through hyper.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        handover: &Handover,
        whence: &Whence,
    ) -> Response<Body> {
        let origin = request.headers().get(ORIGIN).cloned();
        let shared = origin.filter(|origin| self.is_allowed_by_name(origin));
        let mut response = match self.guard(&request) {
            Err(problem) => problem.into_response(),
            Ok(()) if shared.is_some() && is_preflight(&request) => preflight(),
            Ok(()) if self.is_socketio(request.uri().path()) => {
                self.answer_socketio(request, handover, whence).await.unwrap_or_else(IntoResponse::into_response)
            }
            Ok(()) => match self.hand_over(request, handover) {
                Err(problem) => problem.into_response(),
                Ok(None) => unseen(),
                Ok(Some(request)) => self.answer_caller(request, whence).await,
            },
        };
        finish(&mut response, shared);
        response
    }

    fn is_socketio(&self, path: &str) -> bool {
        self.socketio.as_ref().is_some_and(|front| front.is_at(path))
    }

    /// Answers a Socket.IO client's poll or post, or takes the bare socket for its WebSocket. Who sends it has to be known
    /// where a session begins; later its id, which nobody can guess, says that.
    async fn answer_socketio(
        &self,
        request: Request<Incoming>,
        handover: &Handover,
        whence: &Whence,
    ) -> Result<Response<Body>, Problem> {
        let Some(front) = &self.socketio else { return Ok(unseen()) };
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        if request.method() == Method::GET && socketio::is_upgrade(target) {
            handover.want(Wanted::SocketIo(Head(request.into_parts().0)));
            return Ok(unseen());
        }
        let who = if socketio::begins(target) {
            Some(self.caller(whence, request.headers()).await?.who)
        } else {
            self.is_for_us(request.headers())?;
            None
        };
        let from = socketio::From { who, peer: whence.peer, stopping: &whence.stopping };
        handover.watch_end();
        Ok(socketio::answer(front, request, from, handover).await)
    }

    /// Answers one whose sender has to be known.
    async fn answer_caller(&self, mut request: Request<Incoming>, whence: &Whence) -> Response<Body> {
        let caller = match self.caller(whence, request.headers()).await {
            Ok(caller) => caller,
            Err(problem) => return problem.into_response(),
        };
        if caller.by.is_of_itself() && is_changing(request.method()) && !self.is_of_a_page_of_ours(request.headers()) {
            let detail = "a browser shows this login by itself: say by Origin that a page of this hub asks";
            return Problem::new(StatusCode::FORBIDDEN, "origin", detail).into_response();
        }
        request.extensions_mut().insert(caller.clone());
        let response = self.route(request).await;
        match response.extensions().get::<Problem>() {
            Some(problem) if problem.status == StatusCode::FORBIDDEN => {
                caller.told(problem.clone(), &self.hub).into_response()
            }
            _ => response,
        }
    }

    /// Whether it was sent to a name that is ours.
    pub(super) fn is_for_us(&self, headers: &HeaderMap) -> Result<(), Problem> {
        self.hosts.check(host_of(headers))
    }

    /// Who sends a request with these headers.
    pub(super) async fn caller(&self, whence: &Whence, headers: &HeaderMap) -> Result<Caller, Problem> {
        self.is_for_us(headers)?;
        let seen =
            Seen { hub: &self.hub, cookies: self.cookies.as_ref(), peer: whence.peer, tls: whence.tls.as_deref() };
        Caller::find(seen, headers).await
    }

    /// A program that shows a certificate has no `Origin`, and is no browser; a browser says where its page is from.
    fn is_of_a_page_of_ours(&self, headers: &HeaderMap) -> bool {
        let is_browser = headers.contains_key(COOKIE) || headers.contains_key("sec-fetch-site");
        !is_browser || headers.contains_key(ORIGIN) && self.may_come_from(headers)
    }

    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let Ok(response) = self.routes.clone().call(request).await;
        // What no route answered for has no document yet.
        if response.headers().contains_key(CONTENT_TYPE) {
            return response;
        }
        match response.status() {
            StatusCode::NOT_FOUND => {
                Problem::new(StatusCode::NOT_FOUND, "not_found", format!("nothing is served at {path}")).into_response()
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                let allow = response.headers().get(ALLOW).cloned();
                let said = allow.as_ref().and_then(|allow| allow.to_str().ok()).unwrap_or("none");
                let detail = format!("{path} doesn't take {method}; it takes {said}");
                let mut response =
                    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).into_response();
                if let Some(allow) = allow {
                    response.headers_mut().insert(ALLOW, allow);
                }
                response
            }
            _ => response,
        }
    }

    /// A browser lets a page of any site send requests here, in the name of who visits it. Those that change something
    /// must come from our own pages, from an origin that was allowed by name, or from no browser at all.
    fn guard(&self, request: &Request<Incoming>) -> Result<(), Problem> {
        if !is_changing(request.method()) {
            return Ok(());
        }
        if self.may_come_from(request.headers()) {
            return Ok(());
        }
        let detail = "pages of this origin may not publish; `http.origins` can allow them";
        Err(Problem::new(StatusCode::FORBIDDEN, "origin", detail))
    }

    fn may_come_from(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let host = host_of(headers);
        match (origins.next(), origins.next()) {
            (None, _) => true,
            (Some(origin), None) => origin.to_str().is_ok_and(|origin| self.origins.may_connect(Some(origin), host)),
            (Some(_), Some(_)) => false,
        }
    }

    fn is_allowed_by_name(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.origins.may_connect(Some(origin), ""))
    }

    /// Takes those requests out that want the bare socket.
    fn hand_over(&self, request: Request<Incoming>, handover: &Handover) -> Result<Option<Request<Incoming>>, Problem> {
        let is_plain = request.method() == Method::GET && hyper::body::Body::is_end_stream(request.body());
        let wanted = match request.uri().path() {
            "/v1/ws" if is_plain => Wanted::WebSocket(Head(request.into_parts().0)),
            "/v1/live" if is_plain => {
                let head = Head(request.into_parts().0);
                let ask = head.with(|head| sse::Ask::from_head(head, &self.origins))?;
                Wanted::Live(ask, head.with(telling))
            }
            _ => return Ok(Some(request)),
        };
        handover.want(wanted);
        Ok(None)
    }
}

fn host_of(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// What hyper is told when the socket has another purpose from now on; nobody sees it.
fn unseen() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn is_preflight(request: &Request<Incoming>) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key("access-control-request-method")
}

fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST, DELETE"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_HEADERS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(ALLOWED_AGE));
    response
}

/// What every answer says, whoever made it.
fn finish(response: &mut Response<Body>, shared: Option<HeaderValue>) {
    let headers = response.headers_mut();
    let mut say = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    say(X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(REFERRER_POLICY, "no-referrer");
    say(CONTENT_SECURITY_POLICY, PAGE_POLICY);
    if let Some(origin) = shared {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
}
