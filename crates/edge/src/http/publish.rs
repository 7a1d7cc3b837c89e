//! `POST /v1/events/{topic}`: the body is the payload.

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderValue, Response};
use headwater_event::json::write_str;
use headwater_event::{Event, EventId, Headers, Principal, Publication, Receipt, Receipts, Time, Topic};

use super::body::{self, told_len};
use super::caller::Caller;
use super::escape::unescape;
use super::problem::Problem;
use super::query::Query;
use super::routes::{App, rest_of_path};

/// Request headers that begin so are the event's own, under the rest of their name.
pub(super) const HEADER_PREFIX: &str = "headwater-";

/// Headers that keep their name on the way: what the payload is, and the trace that it belongs to
/// (W3C Trace Context).
pub(super) const HEADERS_KEPT: [&str; 3] = [Headers::CONTENT_TYPE, "traceparent", "tracestate"];

/// Publishes the body. Whatever can be refused before the body is read is refused before it is read.
pub(super) async fn publish(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, Problem> {
    let who = caller(&request);
    let topic = topic(rest_of_path(&request, "/v1/events/"))?;
    let query = Query::read(request.uri().query(), &["sticky"])?;
    let sticky = query.flag("sticky")?.unwrap_or(false);
    let id = event_id(request.headers())?;
    let headers = event_headers(request.headers())?;
    app.hub.precheck(&who, &topic, told_len(request.body()))?;
    let payload = body::read(request.into_body(), app.hub.limits().payload_max, &app.limits).await?;
    // The hub stamps the time.
    let event = Event { id: id.clone(), topic, headers, payload, at: Time(0) };
    let receipts = append(&app, &who, vec![Publication { event, sticky }]).await?;
    let mut out = String::with_capacity(96);
    write_receipt(&id, receipts.get(0), &mut out);
    Ok(json(out))
}

/// Who sends a request. Nobody, where the front has not found out: then rules for anonymous clients hold.
pub(super) fn caller(request: &Request) -> Principal {
    Caller::of(request.extensions()).map_or_else(Principal::anonymous, |caller| caller.who.clone())
}

/// Publishes a batch and waits until it is durable.
pub(super) async fn append(app: &App, who: &Principal, batch: Vec<Publication>) -> Result<Receipts, Problem> {
    Ok(app.hub.publish(who, batch)?.await?)
}

/// The topic that a part of a path names.
pub(super) fn topic(escaped: &str) -> Result<Topic, Problem> {
    let text = unescape(escaped).ok_or_else(|| Problem::malformed("topic: is not percent-encoded UTF-8"))?;
    Topic::new(text).map_err(|error| Problem::malformed(format!("topic: {error}")))
}

/// `Idempotency-Key`, or a new id.
fn event_id(headers: &HeaderMap) -> Result<EventId, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    match (keys.next(), keys.next()) {
        (None, _) => Ok(EventId::generate()),
        (Some(key), None) => {
            text_of(key)?.parse().map_err(|error| Problem::malformed(format!("Idempotency-Key: {error}")))
        }
        (Some(_), Some(_)) => Err(Problem::malformed("Idempotency-Key: stands here twice")),
    }
}

/// The headers that travel with the event.
fn event_headers(headers: &HeaderMap) -> Result<Headers, Problem> {
    let mut pairs = Vec::new();
    for (name, value) in headers {
        let name = name.as_str();
        match name.strip_prefix(HEADER_PREFIX) {
            _ if HEADERS_KEPT.contains(&name) => pairs.push((name, text_of(value)?)),
            // Each of these has its own place, and there is one of each.
            Some(own) if HEADERS_KEPT.contains(&own) => {
                return Err(Problem::malformed(format!("{name}: send this one as {own}")));
            }
            Some(own) => pairs.push((own, text_of(value)?)),
            None => {}
        }
    }
    if pairs.iter().filter(|(name, _)| *name == CONTENT_TYPE.as_str()).count() > 1 {
        return Err(Problem::malformed("Content-Type: stands here twice"));
    }
    Headers::from_pairs(pairs).map_err(|error| Problem::malformed(error.to_string()))
}

/// The text of a header's value.
pub(super) fn text_of(value: &HeaderValue) -> Result<&str, Problem> {
    std::str::from_utf8(value.as_bytes()).map_err(|_| Problem::malformed("a header's value is not UTF-8"))
}

/// Appends `{"id","epoch","seq"}`, with `"duplicate":true` for an event that was there already.
pub(super) fn write_receipt(id: &EventId, receipt: Receipt, out: &mut String) {
    let mut text = Vec::new();
    write_str(&id.to_string(), &mut text);
    out.push_str("{\"id\":");
    out.push_str(&String::from_utf8_lossy(&text));
    // Writing into a String can't fail.
    let _ = write!(out, ",\"epoch\":{},\"seq\":{}", receipt.position.epoch, receipt.position.seq);
    out.push_str(if receipt.duplicate { ",\"duplicate\":true}" } else { "}" });
}

/// An answer in JSON.
pub(super) fn json(text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
