//! `POST /v1/events`: CloudEvents 1.0 over HTTP, one in structured or binary mode, or many in one body.
//!
//! An event's `source` and `id` together name it (CloudEvents section 3.1): the event's id here is both, parted by a space,
//! which neither may hold. Its topic is its `subject`, and without one its `type`, dots made slashes. Attributes travel as
//! headers named `ce-...`, as in binary mode.

mod attributes;
mod binary;
mod structured;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Response, StatusCode};
use headwater_event::{Event, EventId, Headers, Publication, Text, Time, Topic};

use super::body;
use super::problem::Problem;
use super::publish::{append, caller, json, write_receipt};
use super::query::Query;
use super::routes::App;
use attributes::Attributes;

/// The media types of structured mode (HTTP binding section 3.2) and batched mode (section 3.3).
const ONE: &str = "application/cloudevents+json";
const MANY: &str = "application/cloudevents-batch+json";

/// Publishes one CloudEvent or a batch of them, all or none.
pub(super) async fn publish(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, Problem> {
    let who = caller(&request);
    let query = Query::read(request.uri().query(), &["sticky"])?;
    let sticky = query.flag("sticky")?.unwrap_or(false);
    let kind = media_type(&request);
    let is_batch = kind == MANY;
    let events = if kind == ONE || is_batch {
        // An event has room for its payload, escaped, and its attributes; a batch for many.
        let bytes = body::read(request.into_body(), app.limits.batch_len_max, &app.limits).await?;
        if is_batch { structured::many(&bytes)? } else { vec![structured::one(&bytes)?] }
    } else if request.headers().contains_key("ce-specversion") {
        vec![binary::one(&app, request).await?]
    } else {
        return Err(unsupported(&kind));
    };
    let batch: Vec<Publication> = events.into_iter().map(|event| Publication { event, sticky }).collect();
    let ids: Vec<EventId> = batch.iter().map(|publication| publication.event.id.clone()).collect();
    let receipts = append(&app, &who, batch).await?;
    let mut out = String::with_capacity(ids.len() * 96);
    for (id, receipt) in ids.iter().zip(receipts.iter()) {
        if is_batch {
            out.push(if out.is_empty() { '[' } else { ',' });
        }
        write_receipt(id, receipt, &mut out);
    }
    if is_batch {
        out.push_str(if ids.is_empty() { "[]" } else { "]" });
    }
    Ok(json(out))
}

fn media_type(request: &Request) -> String {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn unsupported(kind: &str) -> Problem {
    let detail = format!(
        "this address takes CloudEvents: {ONE}, {MANY}, or headers ce-*; not {kind:?}. Any other body goes to \
         /v1/events/TOPIC"
    );
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
}

/// An event of ours from a CloudEvent's attributes and data.
fn event(attributes: &Attributes, payload: bytes::Bytes) -> Result<Event, Problem> {
    let checked = attributes.checked()?;
    let id = format!("{} {}", checked.source, checked.id);
    let id = EventId::from_text(Text::from(id)).map_err(|_| {
        let max = EventId::LEN_MAX - 1;
        Problem::malformed(format!("id, source: have at most {max} bytes together, without control characters"))
    })?;
    let topic = match checked.subject {
        Some(subject) => Topic::new(subject).map_err(|error| Problem::malformed(format!("subject: {error}")))?,
        None => {
            Topic::new(checked.kind.replace('.', "/")).map_err(|error| Problem::malformed(format!("type: {error}")))?
        }
    };
    let headers = Headers::from_pairs(attributes.headers().iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .map_err(|error| Problem::malformed(error.to_string()))?;
    Ok(Event { id, topic, headers, payload, at: Time(0) })
}
