//! The way over HTTP: a GET that waits for packets, and a POST that brings some.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Response, StatusCode};
use futures_util::future::{Either, select};
use headwater_event::{Later, Principal};
use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::Incoming;

use super::engine::{self, read_payload, write_open};
use super::front::Front;
use super::hearing::Heard;
use super::request::{Asked, Wrong};
use super::session::{End, Session};
use super::way::Way;
use crate::accept::Stopping;
use crate::ws::{Opcode, write_frame_with};

/// How many publications of one payload may wait for the disk at once.
const IN_FLIGHT_MAX: usize = 256;

/// How long a payload may take to come: the longest at 33 KB/s.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a close waits for a poll that was sent before it, on another connection, and is read after it.
const CLOSE_WAIT: Duration = Duration::from_millis(100);

/// How a poll finds out that its client has gone.
pub(crate) trait Gone {
    /// Whether it has; the task is woken when it goes.
    fn is_gone(&self) -> bool;
}

/// Where a request comes from.
pub(crate) struct From<'a> {
    pub(crate) who: Option<Principal>,
    pub(crate) peer: SocketAddr,
    pub(crate) stopping: &'a Stopping,
}

/// Answers a request that isn't for a WebSocket. `from.who` is needed only where a session begins.
pub(crate) async fn answer(
    front: &Front,
    request: Request<Incoming>,
    from: From<'_>,
    gone: &(impl Gone + Sync),
) -> Response<Body> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned();
    let asked = Asked::read(&target);
    match judge(front, &asked, request.method()) {
        Err(wrong) => wrong.answer(),
        Ok(None) => open(front, from, &asked),
        Ok(Some(session)) if request.method() == Method::GET => poll(&session, gone).await,
        Ok(Some(session)) => post(&session, request.into_body()).await,
    }
}

/// Whether a request begins a session, and may.
pub(crate) fn begins(target: &str) -> bool {
    Asked::read(target).sid.is_none()
}

fn judge(front: &Front, asked: &Asked<'_>, method: &Method) -> Result<Option<Arc<Session>>, Wrong> {
    if asked.transport != Some("polling") {
        let is_known = asked.transport == Some("websocket");
        return Err(if is_known { Wrong::Request } else { Wrong::Transport });
    }
    let Some(sid) = asked.sid else {
        if method != Method::GET {
            return Err(Wrong::Method);
        }
        return asked.may_begin().map(|()| None);
    };
    let session = front.0.find(sid).ok_or(Wrong::Sid)?;
    if session.is_overdue() {
        session.end(End::Silent);
        return Err(Wrong::Sid);
    }
    if !session.way.is_polled() || !matches!(*method, Method::GET | Method::POST) {
        return Err(Wrong::Request);
    }
    Ok(Some(session))
}

fn open(front: &Front, from: From<'_>, asked: &Asked<'_>) -> Response<Body> {
    let settings = &front.0.settings;
    let mut body = Vec::new();
    let who = from.who.unwrap_or_else(Principal::anonymous);
    if let Err(too_many) = front.0.admit() {
        return too_many.answer();
    }
    let session = front.0.open(
        |sid| {
            write_open(sid, true, settings.ping_every, settings.pong_max, settings.payload_max, &mut body);
            Way::default()
        },
        who,
        from.peer,
        from.stopping,
    );
    session.tells_offset_apart.store(asked.is_transport_first, Ordering::Relaxed);
    payload(body)
}

fn payload(body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A poll that waits; when it's dropped without an answer, its client has gone, and the session with it.
struct Waiting<'a> {
    session: &'a Arc<Session>,
    is_answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.session.lock().is_polling = false;
        if !self.is_answered {
            self.session.end(End::Client);
        }
    }
}

async fn poll(session: &Arc<Session>, gone: &(impl Gone + Sync)) -> Response<Body> {
    {
        let mut state = session.lock();
        if state.is_polling {
            drop(state);
            session.end(End::Fault("two polls at once"));
            return Wrong::Request.answer();
        }
        state.is_polling = true;
        state.wake();
    }
    let mut waiting = Waiting { session, is_answered: false };
    let body = poll_fn(|cx| poll_payload(session, gone, cx)).await;
    waiting.is_answered = body.is_some();
    payload(body.unwrap_or_default())
}

/// What there is to be said; `None` when nobody is there to hear it.
fn poll_payload(session: &Session, gone: &impl Gone, cx: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
    if gone.is_gone() {
        return Poll::Ready(None);
    }
    session.wait_with_poll(cx);
    session.way.wait_with_poll(cx);
    let _ = session.poll_drive(cx);
    let mut body = session.way.take_payload();
    session.say_held();
    let last = session.last_packet();
    if last.is_none() && body.is_empty() {
        let is_leaving = session.lock().is_probing || !session.way.is_polled();
        // A packet that says nothing: the poll ends, and the client goes on over its WebSocket.
        return if is_leaving { Poll::Ready(Some(b"6".to_vec())) } else { Poll::Pending };
    }
    if let Some(last) = last {
        if !body.is_empty() {
            body.push(engine::SEPARATOR);
        }
        body.extend_from_slice(last);
    }
    Poll::Ready(Some(body))
}

/// One post at a time.
struct Posting<'a>(&'a Arc<Session>);

impl Drop for Posting<'_> {
    fn drop(&mut self) {
        self.0.lock().is_posting = false;
    }
}

async fn post(session: &Arc<Session>, body: Incoming) -> Response<Body> {
    {
        let mut state = session.lock();
        if state.is_posting {
            drop(state);
            session.end(End::Fault("two posts at once"));
            return Wrong::Request.answer();
        }
        state.is_posting = true;
    }
    let _posting = Posting(session);
    let max = session.shared.settings.payload_max;
    let read = tokio::time::timeout(BODY_TIME_MAX, Limited::new(body, max).collect()).await;
    let bytes = match read {
        Ok(Ok(read)) => read.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            session.end(End::Fault("too long a payload"));
            let mut response = Wrong::Request.answer();
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            return response;
        }
        Ok(Err(_)) | Err(_) => {
            session.end(End::Fault("a payload that didn't come whole"));
            return Wrong::Request.answer();
        }
    };
    match hear(session, &bytes).await {
        Ok(()) => payload(b"ok".to_vec()),
        Err(why) => {
            session.end(End::Fault(why));
            Wrong::Request.answer()
        }
    }
}

async fn hear(session: &Arc<Session>, bytes: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a payload that isn't UTF-8")?;
    let mut answers: VecDeque<Later<'static, ()>> = VecDeque::new();
    for packet in read_payload(text) {
        let packet = packet.map_err(|fault| fault.0)?;
        if matches!(packet, engine::Packet::Close) {
            let _ = tokio::time::timeout(CLOSE_WAIT, poll_fn(|cx| session.poll_polled(cx))).await;
        }
        let heard = session.hear(packet).map_err(|fault| fault.0)?;
        match heard {
            Heard::Done => {}
            Heard::Wait(wait) => wait.await,
            Heard::Answer(answer) => answers.push_back(answer),
        }
        if answers.len() >= IN_FLIGHT_MAX
            && let Some(oldest) = answers.pop_front()
        {
            oldest.await;
        }
        poll_fn(|cx| session.poll_said(cx)).await;
        if session.lock().ended.is_some() {
            break;
        }
    }
    for answer in answers {
        // A session that ends while it waits for the disk has nobody to tell.
        let ended = poll_fn(|cx| session.poll_ended(cx));
        if let Either::Right(_) = select(answer, ended).await {
            break;
        }
    }
    Ok(())
}

/// The frame that opens a session over a WebSocket.
pub(super) fn open_frame(front: &Front, sid: &str) -> Vec<u8> {
    let settings = &front.0.settings;
    let mut frame = Vec::new();
    write_frame_with(Opcode::Text, &mut frame, |out| {
        write_open(sid, false, settings.ping_every, settings.pong_max, settings.payload_max, out);
    });
    frame
}
