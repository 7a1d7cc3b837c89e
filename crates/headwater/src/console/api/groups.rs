//! The groups and how far each is behind: in events, and in the age of the first that it hasn't settled.

use axum::extract::{Request, State};
use axum::response::Response;
use headwater_edge::http::{Problem, Query};
use headwater_event::{Bus, GroupName, GroupStat, Position, Time};
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
        let lag = lag(&*console.0.log, group).await;
        rows.push(row(group, &lag, console.0.hub.now()));
    }
    Ok(answer(&json!({ "groups": rows, "next": next })))
}

/// How far a group is behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Events; places of the log where not all of it could be looked at.
    pub events: u64,
    /// Whether that is the very number, and not a bound above it.
    pub is_exact: bool,
    /// When the first of them happened.
    pub since: Option<Time>,
}

/// Reads the log once from where the group stands: what is found there tells the age, and if the reading comes to the end
/// of the log, the number too.
pub async fn lag(bus: &dyn Bus, group: &GroupStat) -> Lag {
    let head = bus.head();
    let places = head.seq.saturating_sub(group.settled.seq);
    if places == 0 {
        return Lag { is_exact: true, ..Lag::default() };
    }
    let after = Position::new(head.epoch, group.settled.seq.max(bus.oldest().seq));
    let wanted = |topic: &str| group.filters.iter().any(|filter| filter.matches(topic));
    let Ok(mut tail) = bus.tail(after) else { return Lag { events: places, ..Lag::default() } };
    // The places that were passed over as nobody wanted them are no lag.
    match tail.next_now(&wanted).await {
        Ok(None) => Lag { is_exact: true, ..Lag::default() },
        Ok(Some(batch)) => {
            let is_exact = batch.up_to >= head.seq;
            let rest = head.seq.saturating_sub(batch.up_to);
            Lag {
                events: batch.events.len() as u64 + rest,
                is_exact,
                since: batch.events.first().map(|recorded| recorded.event.at),
            }
        }
        Err(_) => Lag { events: places, ..Lag::default() },
    }
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
