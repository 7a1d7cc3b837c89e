//! The groups and how far each is behind: in events, and in the age of the first that it hasn't settled.

use axum::extract::{Request, State};
use axum::response::Response;
use headwater_edge::http::{Problem, Query};
use headwater_event::{GroupName, GroupStat, Lag, Time};
use serde_json::{Value, json};

use crate::console::Console;
use crate::console::spelling::answer;

/// How many groups are listed unless the request says otherwise, and at the most: for each the log is read at one place.
const LISTED: usize = 25;
const LISTED_MAX: usize = 100;

/// How many filters of a group are shown.
const FILTERS_SHOWN: usize = 20;

/// `GET /v1/admin/groups`
pub async fn list(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    let query = Query::read(request.uri().query(), &["after", "limit"])?;
    let after = query.get("after").map(GroupName::new).transpose();
    let after = after.map_err(|error| headwater_edge::http::bad_parameter("after", error))?;
    let limit = query.limit(LISTED, LISTED_MAX)?;
    let mut groups = console.0.log.groups(after.as_ref(), limit + 1);
    let is_more = groups.len() > limit;
    groups.truncate(limit);
    let next = groups.last().filter(|_| is_more).map(|group| group.name.to_string());
    let mut rows = Vec::with_capacity(groups.len());
    for group in &groups {
        // An engine that is away knows nothing at present.
        let lag = console.0.log.lag(group).await.unwrap_or_default();
        rows.push(row(group, &lag, console.0.hub.now()));
    }
    Ok(answer(&json!({ "groups": rows, "next": next })))
}

fn row(group: &GroupStat, lag: &Lag, now: Time) -> Value {
    let filters: Vec<&str> = group.filters.iter().take(FILTERS_SHOWN).map(|filter| filter.as_str()).collect();
    json!({
        "name": group.name.as_str(),
        "filters": filters,
        "filters_total": group.filters.len(),
        "settled": group.settled.to_string(),
        "lag": lag.events,
        "lag_exact": lag.is_exact,
        "lag_s": lag.since.map(|since| now.since(since).as_secs_f64()),
        "members": group.members,
        "in_flight": group.in_flight,
        "waiting_retry": group.waiting_retry,
        "dead": group.dead,
        "dead_forgotten": group.dead_forgotten,
    })
}
