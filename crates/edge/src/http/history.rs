//! `GET /v1/events`: the past, as JSON lines.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Response};
use bytes::Bytes;
use futures_util::stream;
use headwater_event::{Recorded, Refusal, json};
use headwater_hub::{From as Begin, History};

use super::problem::Problem;
use super::publish::caller;
use super::query::Query;
use super::routes::App;

/// Lines of an answer whose request names no limit: a screen's worth many times over.
const LIMIT: usize = 1_000;

/// The most lines of one answer. They are not held in memory; the bound keeps an answer from lasting for ever, and a
/// client goes on where it ended.
const LIMIT_MAX: usize = 1_000_000;

/// Bytes that are gathered before they are handed on: a handful of packets, and small beside a connection's buffers.
const PIECE_LEN: usize = 32 * 1_024;

/// Where the log stood when the reading began: whoever got fewer lines than the limit has all up to there.
pub(super) const HEAD: &str = "headwater-head";

/// Reads the past of a filter.
pub(super) async fn history(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, Problem> {
    let query = Query::read(request.uri().query(), &["filter", "from", "limit"])?;
    let from = query.from()?.unwrap_or(Begin::Oldest);
    let left = query.limit(LIMIT, LIMIT_MAX)?;
    let history = app.hub.history(&caller(&request), query.filter()?, from)?;
    let head = history.end();
    let lines = Lines { history, page: Vec::new().into_iter(), left };
    let body = match *request.method() {
        Method::HEAD => Body::empty(),
        _ => Body::from_stream(stream::try_unfold(lines, |lines| lines.next())),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(head) = HeaderValue::try_from(head.to_string()) {
        headers.insert(HEAD, head);
    }
    Ok(response)
}

/// A reading that goes as fast as the client takes it. It holds one read of the log and one piece.
struct Lines {
    history: History,
    page: std::vec::IntoIter<Recorded>,
    left: usize,
}

impl Lines {
    /// The next piece. An error breaks the answer off without its end, so that no client takes it for the whole.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Refusal> {
        let mut piece = Vec::new();
        while self.left > 0 && piece.len() < PIECE_LEN {
            let Some(recorded) = self.page.next() else {
                match self.history.next().await? {
                    Some(page) => self.page = page.into_iter(),
                    None => break,
                }
                continue;
            };
            json::write_event(&recorded, &mut piece);
            piece.push(b'\n');
            self.left -= 1;
        }
        Ok(if piece.is_empty() { None } else { Some((piece.into(), self)) })
    }
}
