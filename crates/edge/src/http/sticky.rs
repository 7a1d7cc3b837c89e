//! `GET /v1/sticky/...`: the latest state of one topic as it was published, or of many as JSON.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH,
};
use axum::http::{HeaderValue, Response, StatusCode};
use headwater_event::{Filter, Position, Recorded, Topic, json};

use super::problem::Problem;
use super::publish::{HEADER_PREFIX, HEADERS_KEPT, caller, json as json_answer, topic};
use super::query::{Query, bad};
use super::routes::{App, rest_of_path};

/// Topics of a list whose request names no limit.
const LIMIT: usize = 100;

/// The most topics of one list.
const LIMIT_MAX: usize = 1_000;

/// A list ends early at this many bytes: it is held in memory, and states may have a megabyte each.
const LIST_LEN_MAX: usize = 4 << 20;

/// How many states are asked for at once, so that the bound above is passed by this many at most.
const ASKED_AT_ONCE: usize = 8;

/// Where the state stands in the log.
const POSITION: &str = "headwater-position";

/// What a stranger published is shown as it is, but never as a page of ours: no scripts, no forms, an origin of its own.
const FOREIGN_POLICY: &str = "default-src 'none'; sandbox";

/// The state of one topic.
pub(super) async fn one(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, Problem> {
    let topic = topic(rest_of_path(&request, "/v1/sticky/"))?;
    Query::read(request.uri().query(), &[])?;
    let page = app.hub.latest(&caller(&request), &Filter::from(&topic), None, 1).await?;
    let Some(recorded) = page.events.into_iter().next() else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_state", format!("{topic} has no sticky event")));
    };
    let etag = format!("\"{}\"", recorded.position);
    // What stands at no place was announced from memory: nothing tells two such states apart.
    let unchanged = recorded.position.seq > 0 && is_known(request.headers(), &etag);
    let mut response =
        Response::new(if unchanged { Body::empty() } else { Body::from(recorded.event.payload.clone()) });
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    describe(&recorded, &etag, response.headers_mut());
    Ok(response)
}

/// Whether the client has it already (RFC 9110 section 13.1.2; entity tags are compared weakly).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn describe(recorded: &Recorded, etag: &str, out: &mut HeaderMap) {
    let mut say = |name: &str, value: &str| {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else { return };
        out.append(name, value);
    };
    say(ETAG.as_str(), etag);
    say(POSITION, &recorded.position.to_string());
    say(CACHE_CONTROL.as_str(), "no-cache");
    say(CONTENT_SECURITY_POLICY.as_str(), FOREIGN_POLICY);
    for (name, value) in recorded.event.headers.iter() {
        let name = name.to_ascii_lowercase();
        let own = format!("{HEADER_PREFIX}{name}");
        // What HTTP can't write (a name with spaces, a line end in a value) is in the list and in the history. Our own
        // word on the position stands; there is one content type.
        match name.as_str() {
            "content-type" => {}
            name if HEADERS_KEPT.contains(&name) => say(name, value),
            _ if own == POSITION => {}
            _ => say(&own, value),
        }
    }
    let kind = recorded.event.headers.get("content-type").and_then(|kind| HeaderValue::try_from(kind).ok());
    out.insert(CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream")));
}

/// The states of all topics that a filter wants, page by page.
pub(super) async fn list(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, Problem> {
    let who = caller(&request);
    let query = Query::read(request.uri().query(), &["filter", "after", "limit"])?;
    let filter = query.filter()?;
    let mut after: Option<Topic> =
        query.get("after").map(Topic::new).transpose().map_err(|error| bad("after", error))?;
    let mut left = query.limit(LIMIT, LIMIT_MAX)?;
    let mut list = List::default();
    loop {
        let page = app.hub.latest(&who, &filter, after.as_ref(), left.min(ASKED_AT_ONCE)).await?;
        left -= page.events.len().min(left);
        list.add(&page.events, page.as_of);
        after = page.next;
        if after.is_none() || left == 0 || list.out.len() >= LIST_LEN_MAX {
            return Ok(json_answer(list.end(after.as_ref())));
        }
    }
}

#[derive(Default)]
struct List {
    out: Vec<u8>,
    /// Of the first page: a change of a topic on it, that happens while the others are read, comes after it.
    as_of: Option<Position>,
}

impl List {
    fn add(&mut self, events: &[Recorded], as_of: Position) {
        self.as_of.get_or_insert(as_of);
        for recorded in events {
            self.out.extend_from_slice(if self.out.is_empty() { b"{\"events\":[" } else { b"," });
            json::write_event(recorded, &mut self.out);
        }
    }

    fn end(mut self, next: Option<&Topic>) -> Vec<u8> {
        if self.out.is_empty() {
            self.out.extend_from_slice(b"{\"events\":[");
        }
        self.out.extend_from_slice(b"],\"as_of\":");
        let as_of = self.as_of.map(|as_of| as_of.to_string()).unwrap_or_default();
        json::write_str(&as_of, &mut self.out);
        self.out.extend_from_slice(b",\"next\":");
        match next {
            Some(topic) => json::write_str(topic.as_str(), &mut self.out),
            None => self.out.extend_from_slice(b"null"),
        }
        self.out.push(b'}');
        self.out
    }
}
