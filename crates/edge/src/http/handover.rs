//! A later request of a connection may want the bare socket too: how it gets it from hyper.
//!
//! A browser likes to ask for `/v1/live` on the connection that brought the page. The request's handler leaves its wish
//! here and answers nothing of meaning; from then on nothing that hyper writes reaches the client, and when hyper is done,
//! the socket goes to where the first request of a connection would have brought it. Nothing of an earlier answer is lost:
//! hyper reads a request only after the answer before it has been flushed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::sse;

/// What the socket is wanted for.
pub(super) enum Wanted {
    /// A WebSocket, as this request asks for it.
    WebSocket(Head),
    /// Server-sent events, and what tells who asks.
    Live(sse::Ask, HeaderMap),
    /// A Socket.IO client's WebSocket.
    SocketIo(Head),
}

/// The wish of one connection, shared between its routes and its socket.
#[derive(Default)]
pub(super) struct Handover {
    is_wanted: AtomicBool,
    wanted: Mutex<Option<Wanted>>,
    /// A request waits for something that only a client that is still there wants.
    watches_end: AtomicBool,
    is_gone: AtomicBool,
}

impl Handover {
    pub(super) fn want(&self, wanted: Wanted) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
        self.is_wanted.store(true, Ordering::Release);
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Acquire)
    }

    /// From now on the client's going is noticed while a request waits.
    pub(super) fn watch_end(&self) {
        self.watches_end.store(true, Ordering::Release);
    }

    pub(super) fn watches_end(&self) -> bool {
        self.watches_end.load(Ordering::Acquire) && !self.is_gone.load(Ordering::Acquire)
    }

    /// The client has gone.
    pub(super) fn gone(&self) {
        self.is_gone.store(true, Ordering::Release);
    }

    pub(super) fn take(&self) -> Option<Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl crate::socketio::Gone for Handover {
    fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handover").field("is_wanted", &self.is_wanted).finish()
    }
}

/// A head that hyper has read, to be seen again as it came.
pub(super) struct Head(pub(super) Parts);

impl Head {
    /// Shows the head.
    pub(super) fn with<T>(&self, look: impl FnOnce(&httparse::Request<'_, '_>) -> T) -> T {
        look(&self.request(&mut self.headers()))
    }

    /// Its headers.
    pub(super) fn headers(&self) -> Vec<httparse::Header<'_>> {
        let headers = self.0.headers.iter();
        headers.map(|(name, value)| httparse::Header { name: name.as_str(), value: value.as_bytes() }).collect()
    }

    /// The head over these headers.
    pub(super) fn request<'h, 'b>(&'b self, headers: &'h mut [httparse::Header<'b>]) -> httparse::Request<'h, 'b> {
        let Parts { method, uri, version, .. } = &self.0;
        let mut request = httparse::Request::new(headers);
        request.method = Some(method.as_str());
        request.path = Some(uri.path_and_query().map_or(uri.path(), |whole| whole.as_str()));
        request.version = Some(u8::from(*version == axum::http::Version::HTTP_11));
        request
    }
}
