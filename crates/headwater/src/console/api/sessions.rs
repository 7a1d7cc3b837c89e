//! What is kept of MQTT clients between their connections.

use axum::extract::{Request, State};
use axum::response::Response;
use headwater_edge::http::{Problem, Query, bad_parameter};
use headwater_edge::mqtt::KeptSession;
use headwater_event::{Time, Topic};
use serde_json::{Value, json};

use crate::console::Console;
use crate::console::spelling::{answer, moment};

/// How many filters of a session are shown.
const FILTERS_SHOWN: usize = 20;

/// An expiry that never comes (MQTT 5.0 section 3.1.2.11.2).
const NEVER: u32 = u32::MAX;

/// `GET /v1/admin/sessions`
pub async fn list(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    let query = Query::read(request.uri().query(), &["after"])?;
    let after = query.get("after").map(Topic::new).transpose().map_err(|error| bad_parameter("after", error))?;
    let Some(front) = &console.0.facts.mqtt else { return Ok(answer(&json!({ "sessions": [], "next": null }))) };
    let (sessions, next) = front.sessions(after.as_ref()).await?;
    let now = console.0.hub.now();
    let rows: Vec<Value> = sessions.iter().map(|session| row(session, now)).collect();
    Ok(answer(&json!({ "sessions": rows, "next": next.map(|topic| topic.to_string()) })))
}

fn row(session: &KeptSession, now: Time) -> Value {
    let kept_s = (session.expiry_s != NEVER).then_some(session.expiry_s);
    let left_s =
        session.ended.zip(kept_s).map(|(ended, kept)| u64::from(kept).saturating_sub(now.since(ended).as_secs()));
    json!({
        "user": session.principal,
        "client": session.client,
        "filters": session.filters.iter().take(FILTERS_SHOWN).collect::<Vec<_>>(),
        "filters_total": session.filters.len(),
        "kept_s": kept_s,
        "ended": session.ended.map(moment),
        "left_s": left_s,
        "saved": moment(session.saved),
        "behind": session.behind,
    })
}
