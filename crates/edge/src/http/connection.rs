//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;
use headwater_event::Later;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::net::TcpStream;

use super::caller::telling;
use super::first::{Ended, First, read_first};
use super::front::{Front, Whence};
use super::handover::{Handover, Wanted};
use super::limits::Limits;
use super::linger::farewell;
use super::problem::Problem;
use super::wire::Wire;
use crate::accept::Connection;
use crate::{socketio, sse, ws};

/// How far hyper reads ahead, in bytes: bodies come in pieces of at most this length.
const HYPER_BUFFER_LEN: usize = 64 * 1_024;

/// What becomes of the socket.
enum Next {
    WebSocket(ws::Connection),
    Mqtt(Later<'static, ()>),
    SocketIo(socketio::Connection),
    Live(sse::Watcher),
    Requests(Connection, Bytes),
    Farewell(TcpStream, Vec<u8>),
    Nothing,
}

/// A connection being served, stage by stage.
///
/// Each stage lies in a box of its own size and is gone when the next begins: an idle watcher costs what watching needs,
/// and not what reading a head or a thousand requests needs.
pub(super) struct Serving(Later<'static, Option<Self>>);

impl Serving {
    fn last(stage: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(Last { stage }))
    }
}

impl Future for Serving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(next) = ready!(self.0.as_mut().poll(cx)) {
            *self = next;
        }
        Poll::Ready(())
    }
}

pin_project! {
    /// A stage that no other follows.
    struct Last<F> {
        #[pin]
        stage: F,
    }
}

impl<F: Future<Output = ()>> Future for Last<F> {
    type Output = Option<Serving>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().stage.poll(cx).map(|()| None)
    }
}

/// Serves a connection to its end.
pub(super) fn serve(connection: Connection, front: Arc<Front>) -> Serving {
    Serving(Box::pin(open(connection, front)))
}

async fn open(connection: Connection, front: Arc<Front>) -> Option<Serving> {
    let stopping = connection.stopping.clone();
    let mut next = begin(connection, &front).await;
    if let Next::Requests(connection, read) = next {
        next = Box::pin(serve_requests(connection, read, &front)).await;
    }
    match next {
        Next::WebSocket(connection) => Some(Serving::last(connection)),
        Next::SocketIo(connection) => Some(Serving::last(connection)),
        Next::Mqtt(talk) => Some(Serving::last(talk)),
        Next::Live(watcher) => Some(Serving::last(watcher.run(stopping))),
        Next::Farewell(stream, words) => Some(Serving::last(async move { farewell(stream, &words).await })),
        Next::Requests(..) | Next::Nothing => None,
    }
}

async fn begin(mut connection: Connection, front: &Arc<Front>) -> Next {
    let first = tokio::select! {
        first = read_first(&connection.stream, &front.limits) => first,
        () = connection.stopping.requested() => return Next::Nothing,
    };
    let First { bytes, head_len, has_body } = match first {
        Ok(first) => first,
        Err(Ended::Silent) => return Next::Nothing,
        Err(Ended::Answer(problem)) => return Next::Farewell(connection.stream, problem.last_words()),
    };
    let (head, leftover) = bytes.split_at(head_len);
    match target(head, front) {
        Target::WebSocket if !has_body => {
            let mut headers = [httparse::EMPTY_HEADER; Limits::HEADERS_MAX];
            let mut request = httparse::Request::new(&mut headers);
            // Nothing new can be wrong with it: it was read once.
            let _ = request.parse(head);
            upgrade(connection, &request, leftover, front).await
        }
        Target::Mqtt if !has_body => {
            let mut headers = [httparse::EMPTY_HEADER; Limits::HEADERS_MAX];
            let mut request = httparse::Request::new(&mut headers);
            let _ = request.parse(head);
            talk_mqtt(connection, &request, leftover, front)
        }
        Target::SocketIo if !has_body => {
            let mut headers = [httparse::EMPTY_HEADER; Limits::HEADERS_MAX];
            let mut request = httparse::Request::new(&mut headers);
            let _ = request.parse(head);
            upgrade_socketio(connection, &request, leftover, front).await
        }
        Target::Live if !has_body => {
            let mut headers = [httparse::EMPTY_HEADER; Limits::HEADERS_MAX];
            let mut request = httparse::Request::new(&mut headers);
            let _ = request.parse(head);
            let ask = sse::Ask::from_head(&request, &front.origins);
            let headers = telling(&request);
            watch(connection, ask, &headers, front).await
        }
        _ => Next::Requests(connection, Bytes::from(bytes)),
    }
}

enum Target {
    WebSocket,
    Mqtt,
    SocketIo,
    Live,
    Other,
}

/// Looks at the request line alone; the head was found good before.
fn target(head: &[u8], front: &Front) -> Target {
    let Some(rest) = head.strip_prefix(b"GET ") else { return Target::Other };
    let path = rest.split(|byte| matches!(byte, b' ' | b'?')).next().unwrap_or_default();
    match path {
        b"/v1/ws" => Target::WebSocket,
        b"/mqtt" => Target::Mqtt,
        b"/v1/live" => Target::Live,
        path if front
            .socketio
            .as_ref()
            .is_some_and(|front| std::str::from_utf8(path).is_ok_and(|path| front.is_at(path))) =>
        {
            let target = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
            if std::str::from_utf8(target).is_ok_and(socketio::is_upgrade) { Target::SocketIo } else { Target::Other }
        }
        _ => Target::Other,
    }
}

async fn watch(
    connection: Connection,
    ask: Result<sse::Ask, Problem>,
    headers: &HeaderMap,
    front: &Arc<Front>,
) -> Next {
    let whence = whence(&connection);
    let Connection { stream, peer, .. } = connection;
    let ask = match ask {
        Ok(ask) => ask,
        Err(problem) => return Next::Farewell(stream, problem.last_words()),
    };
    let caller = match front.caller(&whence, headers).await {
        Ok(caller) => caller,
        Err(problem) => return Next::Farewell(stream, problem.last_words()),
    };
    match sse::Watcher::open(stream, peer, ask, caller.who.clone(), &front.hub).await {
        Ok(watcher) => Next::Live(watcher),
        Err(refused) => match refused.stream {
            Some(stream) => Next::Farewell(stream, caller.told(Problem::from(refused.why), &front.hub).last_words()),
            None => Next::Nothing,
        },
    }
}

fn whence(connection: &Connection) -> Whence {
    Whence { peer: connection.peer, tls: connection.tls.clone(), stopping: connection.stopping.clone() }
}

async fn upgrade(connection: Connection, request: &httparse::Request<'_, '_>, leftover: &[u8], front: &Front) -> Next {
    let caller = match front.caller(&whence(&connection), &telling(request)).await {
        Ok(caller) => caller,
        Err(problem) => return Next::Farewell(connection.stream, problem.last_words()),
    };
    match ws::upgrade(connection, request, leftover, &front.hub, caller.who, &front.ws) {
        Ok(connection) => Next::WebSocket(connection),
        Err(refused) => Next::Farewell(refused.stream, refused.why.answer()),
    }
}

/// A Socket.IO client's WebSocket.
async fn upgrade_socketio(
    connection: Connection,
    request: &httparse::Request<'_, '_>,
    leftover: &[u8],
    front: &Front,
) -> Next {
    let Some(socketio) = &front.socketio else { return Next::Nothing };
    let caller = match front.caller(&whence(&connection), &telling(request)).await {
        Ok(caller) => caller,
        Err(problem) => return Next::Farewell(connection.stream, problem.last_words()),
    };
    match socketio::upgrade(socketio, connection, request, leftover, caller.who, &front.origins) {
        Ok(connection) => Next::SocketIo(connection),
        Err(refused) => Next::Farewell(refused.stream, refused.answer),
    }
}

/// MQTT over WebSocket: the handshake here, the rest there.
fn talk_mqtt(connection: Connection, request: &httparse::Request<'_, '_>, leftover: &[u8], front: &Front) -> Next {
    let Some(mqtt) = front.mqtt.clone() else {
        let problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "MQTT is switched off here".to_owned());
        return Next::Farewell(connection.stream, problem.last_words());
    };
    if let Err(problem) = front.is_for_us(&telling(request)) {
        return Next::Farewell(connection.stream, problem.last_words());
    }
    match ws::upgrade::judge_for(request, &front.ws, crate::mqtt::SUBPROTOCOL) {
        Ok(answer) => Next::Mqtt(Box::pin(crate::mqtt::serve_ws(connection, answer, leftover.to_vec(), mqtt))),
        Err(why) => Next::Farewell(connection.stream, why.answer()),
    }
}

/// Everything that is neither: hyper and the routes, request after request, until one of them wants the socket.
async fn serve_requests(connection: Connection, read: Bytes, front: &Arc<Front>) -> Next {
    let Connection { stream, peer, tls, mut stopping } = connection;
    let handover = Arc::new(Handover::default());
    let wire = Wire::new(stream, read, front.limits.stalled, Arc::clone(&handover));
    let (serving, wanted) = (Arc::clone(front), Arc::clone(&handover));
    let whence = Whence { peer, tls: tls.clone(), stopping: stopping.clone() };
    let service = service_fn(move |request| answer(Arc::clone(&serving), Arc::clone(&wanted), whence.clone(), request));
    let mut requests = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(front.limits.further_head)
        .max_buf_size(HYPER_BUFFER_LEN)
        .max_headers(Limits::HEADERS_MAX)
        // Who sends a request and closes its sending side still gets the answer.
        .half_close(true)
        .serve_connection(TokioIo::new(wire), service);
    let is_over = tokio::select! {
        // How it ended is the client's business: what we had to say is written.
        _ = poll_fn(|cx| requests.poll_without_shutdown(cx)) => true,
        () = stopping.requested() => false,
    };
    if !is_over {
        Pin::new(&mut requests).graceful_shutdown();
        let _ = poll_fn(|cx| requests.poll_without_shutdown(cx)).await;
    }
    let parts = requests.into_parts();
    let connection = Connection { stream: parts.io.into_inner().into_stream(), peer, tls, stopping };
    match handover.take() {
        None => Next::Farewell(connection.stream, Vec::new()),
        Some(Wanted::Live(ask, headers)) => watch(connection, Ok(ask), &headers, front).await,
        Some(Wanted::SocketIo(head)) => {
            let mut headers = head.headers();
            upgrade_socketio(connection, &head.request(&mut headers), &parts.read_buf, front).await
        }
        Some(Wanted::WebSocket(head)) => {
            let mut headers = head.headers();
            upgrade(connection, &head.request(&mut headers), &parts.read_buf, front).await
        }
    }
}

/// One request. Boxed, as hyper wants to move it; that's one allocation beside the dozen of a request.
fn answer(
    front: Arc<Front>,
    handover: Arc<Handover>,
    whence: Whence,
    request: Request<Incoming>,
) -> Later<'static, Result<Response<Body>, Infallible>> {
    Box::pin(async move { Ok(front.answer(request, &handover, &whence).await) })
}
