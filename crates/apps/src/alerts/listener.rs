//! The listener: what sources send becomes a raw event on disk before it is answered.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header, request};
use axum::response::Response;
use bytes::Bytes;
use headwater_event::{Event, EventId, Headers, Principal, Publication, Time, Topic};

use super::answer::{self, Problem};
use super::cap::{self, Kind, Message};
use super::incoming::{self, Fault};
use super::processor::{Note, References};
use super::report::{self, Report};
use super::topics::{self, KEYED, SOURCE, raw};
use super::{Alerts, place};

/// The longest `Idempotency-Key`: with its sender's name it is an event's id of at most 255 bytes.
const KEY_MAX: usize = 128;
/// The longest name of a sender that is told apart in an id.
const NAME_MAX: usize = 100;

/// `POST /api/alerts`: a report in JSON, or a CAP message where the content type says so.
pub async fn alerts(State(alerts): State<Alerts>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let taken =
        if is_xml(&head.headers) { message(&alerts, &head, body).await } else { report(&alerts, &head, body).await };
    answered(&alerts, &head.headers, &taken)
}

/// `POST /alerts/api/cap`: a CAP message, whatever the content type says.
pub async fn cap(State(alerts): State<Alerts>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let taken = message(&alerts, &head, body).await;
    answered(&alerts, &head.headers, &taken)
}

/// `POST /alerts/api/silences`
pub async fn silence(State(alerts): State<Alerts>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let taken = note(&alerts, &head, body, raw::SILENCE).await;
    answered(&alerts, &head.headers, &taken)
}

/// `POST /alerts/api/acknowledgements`
pub async fn acknowledge(State(alerts): State<Alerts>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let taken = note(&alerts, &head, body, raw::ACKNOWLEDGE).await;
    answered(&alerts, &head.headers, &taken)
}

fn answered(alerts: &Alerts, headers: &HeaderMap, taken: &Result<(), Problem>) -> Response {
    alerts.0.counts.note(taken);
    match taken {
        Ok(()) => answer::ok(&answer::PROCESSED),
        Err(problem) => problem.answer(headers),
    }
}

async fn report(alerts: &Alerts, head: &request::Parts, body: Body) -> Result<(), Problem> {
    let who = alerts.who(head);
    let key = key(&head.headers)?;
    let body = read(alerts, &who, body, report::BODY_MAX).await?;
    let report = Report::read(&body).map_err(Problem::malformed)?;
    let topic = topics::raw(&report.location, raw::REPORT).map_err(|error| Problem::malformed(error.to_string()))?;
    store_one(alerts, &who, topic, body, key).await
}

async fn note(alerts: &Alerts, head: &request::Parts, body: Body, what: &str) -> Result<(), Problem> {
    let who = alerts.who(head);
    let key = key(&head.headers)?;
    let body = read(alerts, &who, body, report::BODY_MAX).await?;
    let note = Note::read(&body).map_err(Problem::malformed)?;
    let topic = topics::raw(&note.location, what).map_err(|error| Problem::malformed(error.to_string()))?;
    store_one(alerts, &who, topic, body, key).await
}

async fn message(alerts: &Alerts, head: &request::Parts, body: Body) -> Result<(), Problem> {
    let who = alerts.who(head);
    let body = read(alerts, &who, body, cap::BODY_MAX).await?;
    let message = cap::read(&body).map_err(Problem::malformed)?;
    let mut batch = Vec::with_capacity(message.pieces.len() + 1);
    // A message is known by its identity: sent twice, it is one, whatever the request says.
    let id = |part: &str| named(&format!("cap/{}/{part}", message.identity));
    for piece in &message.pieces {
        let topic = topics::raw(&piece.location, raw::CAP).map_err(|error| Problem::malformed(error.to_string()))?;
        let id = id(&format!("{}/{}", message.lane.name(), place::level(&piece.location)))?;
        batch.push(publication(&who, topic, json(piece)?, id, false)?);
    }
    if message.kind != Kind::Alert {
        let topic = Topic::new(format!("{}/{}/{}", topics::RAW, place::NOWHERE, raw::REFERENCES));
        let topic = topic.map_err(|error| Problem::malformed(error.to_string()))?;
        batch.push(publication(&who, topic, json(&references(&message))?, id("references")?, false)?);
    }
    store(alerts, &who, batch).await
}

/// What an Update or Cancel ends: all that it refers to, but where an Update says something itself.
fn references(message: &Message) -> References {
    References {
        ends: message.references.clone(),
        lane: message.lane,
        but: message.pieces.iter().map(|piece| piece.location.clone()).collect(),
    }
}

/// Stores one event; with a key it's the same one each time.
async fn store_one(
    alerts: &Alerts,
    who: &Principal,
    topic: Topic,
    body: Bytes,
    key: Option<String>,
) -> Result<(), Problem> {
    let Some(key) = key else {
        let publication = publication(who, topic, body, EventId::generate(), false)?;
        return store(alerts, who, vec![publication]).await;
    };
    // One sender's key is no other's.
    let name = who.name();
    if name.len() > NAME_MAX {
        return Err(Problem::malformed(format!("Idempotency-Key: needs a name of at most {NAME_MAX} bytes")));
    }
    let id = format!("alert/{}/{name}/{key}", name.len());
    if alerts.0.keys.is_of_another(&id, &body) {
        return Err(Problem::other_content());
    }
    let publication = publication(who, topic, body.clone(), named(&id)?, true)?;
    store(alerts, who, vec![publication]).await?;
    alerts.0.keys.note(&id, &body);
    Ok(())
}

async fn store(alerts: &Alerts, who: &Principal, batch: Vec<Publication>) -> Result<(), Problem> {
    let hub = &alerts.0.hub;
    let refused = |refusal| Problem::of(refusal, who, hub);
    hub.publish(who, batch).map_err(refused)?.await.map_err(refused)?;
    Ok(())
}

fn publication(
    who: &Principal,
    topic: Topic,
    payload: Bytes,
    id: EventId,
    keyed: bool,
) -> Result<Publication, Problem> {
    let kind = (Headers::CONTENT_TYPE, "application/json");
    let source = (SOURCE, who.name());
    let pairs: &[(&str, &str)] = if keyed { &[kind, source, (KEYED, "1")] } else { &[kind, source] };
    let headers = Headers::from_pairs(pairs.iter().copied()).map_err(|error| Problem::malformed(error.to_string()))?;
    // The hub stamps the time.
    let event = Event { id, topic, headers, payload, at: Time(0) };
    Ok(Publication { event, sticky: false })
}

async fn read(alerts: &Alerts, who: &Principal, body: Body, max: usize) -> Result<Bytes, Problem> {
    incoming::read(body, max).await.map_err(|fault| match fault {
        Fault::Refused(refusal) => Problem::of(refusal, who, &alerts.0.hub),
        Fault::Problem(problem) => problem,
    })
}

/// `Idempotency-Key`, if there is one.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(Problem::malformed("Idempotency-Key: stands here twice")),
    };
    let key = value.to_str().ok().filter(|key| !key.trim().is_empty() && key.len() <= KEY_MAX);
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::malformed(format!("Idempotency-Key: 1 to {KEY_MAX} letters of ASCII"))),
    }
}

/// An id of this text; of its digest where it would be too long.
fn named(text: &str) -> Result<EventId, Problem> {
    let short = if text.len() <= EventId::LEN_MAX {
        text.to_owned()
    } else {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().fold("digest/".to_owned(), |out, byte| out + &format!("{byte:02x}"))
    };
    EventId::from_text(short.into()).map_err(|error| Problem::malformed(error.to_string()))
}

fn json(value: &impl serde::Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| Problem::malformed(error.to_string()))
}

/// Whether the content type is one of XML's.
fn is_xml(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(kind.as_str(), "application/xml" | "text/xml") || kind.ends_with("+xml")
}
