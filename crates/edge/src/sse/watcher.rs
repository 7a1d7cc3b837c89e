//! One watcher: a socket that the hub writes to, and that is read only to notice that the client has gone.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_event::{Position, Principal};
use headwater_hub::{Arrival, From as Begin, Hub, Outlet, OutletSettings, Present, Watch, WatchError};
use tokio::net::TcpStream;

use super::ask::Ask;
use super::spelling::{ServerSent, id};
use crate::accept::Stopping;
use crate::http::poll_discard;
use crate::ws::socket::Socket;

/// How often a silent connection shows that it lives: WHATWG HTML section 9.2.7 advises about 15 s, as proxies give up on
/// silent connections after 30 s or more.
const BEAT: Duration = Duration::from_secs(15);

/// A browser whose connection broke waits at least this long, in milliseconds.
const RETRY_MS_MIN: u64 = 1_000;

/// And at most this much longer: watchers of a hub that restarts come back spread over this time, and not all at once.
const RETRY_MS_SPREAD: u64 = 2_000;

/// All watchers spell alike, and share the one spelling.
static SPELLING: LazyLock<Arc<ServerSent>> = LazyLock::new(|| Arc::new(ServerSent));

/// A watching connection.
pub struct Watcher {
    socket: Arc<TcpStream>,
    outlet: Arc<Outlet>,
    /// Its place in the list of those who are connected.
    _present: Present,
}

/// A request that could not be granted, and its socket, to which nothing has been written.
pub struct Refused {
    /// Where the answer is to go; `None` when the hub still holds it and is about to close it.
    pub stream: Option<TcpStream>,
    /// What the answer is to be.
    pub why: WatchError,
}

impl Watcher {
    /// Begins to watch; the head of the answer is on its way when this gives `Ok`.
    ///
    /// # Errors
    /// Why the hub refuses.
    pub async fn open(
        stream: TcpStream,
        peer: SocketAddr,
        ask: Ask,
        who: Principal,
        hub: &Arc<Hub>,
    ) -> Result<Self, Box<Refused>> {
        let spelling = Arc::clone(&SPELLING);
        let head = head(&ask, hub, peer);
        let socket = Arc::new(stream);
        let settings = OutletSettings { beat: Some((BEAT, spelling.clone())), ..OutletSettings::default() };
        let outlet = hub.outlet(who, Box::new(Socket(Arc::clone(&socket))), settings);
        let Ask { filter, from, sticky, behind, .. } = ask;
        let watch = Watch {
            filter,
            from,
            sticky,
            encoder: spelling,
            behind,
            again: Vec::new(),
            is_only_states: false,
            is_only_again: false,
        };
        match outlet.watch_after(watch, |_, _| head).await {
            Ok(_) => {
                let arrival = Arrival { protocol: "sse", peer, who: outlet.who(), client: None };
                Ok(Self { _present: hub.presence().enter(arrival, &outlet), socket, outlet })
            }
            Err(why) => {
                drop(outlet);
                Err(Box::new(Refused { stream: Arc::into_inner(socket), why }))
            }
        }
    }

    /// Runs until the client goes, the hub ends the watch, or the end is requested.
    pub fn run(self, stopping: Stopping) -> Running {
        Running { watcher: self, stopping, is_asked: false }
    }
}

/// A watcher at work: all that it costs besides its socket and its place in the hub.
pub struct Running {
    watcher: Watcher,
    stopping: Stopping,
    is_asked: bool,
}

impl Future for Running {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { watcher: Watcher { socket, outlet, .. }, stopping, is_asked } = self.get_mut();
        if !*is_asked && stopping.poll_requested(cx).is_ready() {
            *is_asked = true;
            outlet.close();
        }
        // Nothing that a watcher says has a meaning. Its end has one.
        while let Poll::Ready(read) = poll_discard(socket, cx) {
            if !matches!(read, Ok(1..)) {
                return Poll::Ready(());
            }
        }
        outlet.poll_drive(cx, &mut |cx| socket.poll_write_ready(cx)).map(|_| ())
    }
}

/// The head of the answer, when to come back, and where to go on if the connection breaks before anything happens.
fn head(ask: &Ask, hub: &Hub, peer: SocketAddr) -> Bytes {
    let mut out = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
        X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"
        .to_vec();
    if let Some(origin) = &ask.origin {
        out.extend_from_slice(format!("Access-Control-Allow-Origin: {origin}\r\nVary: Origin\r\n").as_bytes());
    }
    // Neighbouring ports, as one client opens them, get waits that lie far apart.
    let retry = RETRY_MS_MIN + u64::from(peer.port()) * 7_919 % RETRY_MS_SPREAD;
    out.extend_from_slice(format!("\r\nretry: {retry}\n\n").as_bytes());
    if let Some(position) = begin(ask, hub) {
        id(position, &mut out);
        out.push(b'\n');
    }
    out.into()
}

/// Taken before the watch begins, so that whatever comes after it comes after this as well. With latest states there is
/// no such place until all of them have been told.
fn begin(ask: &Ask, hub: &Hub) -> Option<Position> {
    match ask.from {
        Begin::Now if ask.sticky => None,
        Begin::Now => Some(hub.head()),
        Begin::Oldest => Some(hub.oldest()),
        Begin::After(position) => Some(position),
    }
}
