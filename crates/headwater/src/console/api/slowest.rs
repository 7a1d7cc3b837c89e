//! Who is furthest behind. All connections are looked at, at most once in a while, however many ask.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use headwater_edge::http::{Problem, Query};
use headwater_hub::Presence;
use headwater_hub::presence::{Connected, Search};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::connections::row;
use crate::console::Console;
use crate::console::spelling::answer;

/// How many are kept: whoever wants more than the worst looks at the metrics.
const KEPT: usize = 50;

/// How many are shown unless the request says otherwise.
const SHOWN: usize = 10;

/// How long an answer is good enough for the next who asks.
const FRESH: Duration = Duration::from_secs(2);

/// How many connections are looked at in one go, before others have the thread.
const AT_ONCE: usize = 256;

/// How many connections one look passes, at the most: more than a process has sockets by default.
const LOOKED_AT_MAX: usize = 200_000;

/// How many watches of each connection are looked at.
const WATCHES_LOOKED_AT: usize = 64;

/// The last look.
#[derive(Default)]
pub struct Slowest(Mutex<Option<Look>>);

struct Look {
    at: Instant,
    worst: Vec<(u64, Connected)>,
    looked_at: usize,
    is_whole: bool,
}

/// `GET /v1/admin/slowest`
pub async fn slowest(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    let query = Query::read(request.uri().query(), &["limit"])?;
    let limit = query.limit(SHOWN, KEPT)?;
    // Whoever comes while somebody looks waits here, and finds what they saw.
    let mut last = console.0.slowest.0.lock().await;
    let look = match last.take().filter(|look| look.at.elapsed() < FRESH) {
        Some(look) => look,
        None => look(console.0.hub.presence()).await,
    };
    let look = last.insert(look);
    let rows: Vec<Value> = look.worst.iter().take(limit).map(|(_, connected)| row(connected)).collect();
    Ok(answer(&json!({ "connections": rows, "looked_at": look.looked_at, "all": look.is_whole })))
}

async fn look(presence: &Presence) -> Look {
    let mut look = Look { at: Instant::now(), worst: Vec::new(), looked_at: 0, is_whole: false };
    let mut from = Some(0);
    while let Some(place) = from
        && look.looked_at < LOOKED_AT_MAX
    {
        let page = presence.page(Search::default(), place, AT_ONCE);
        look.looked_at += page.looked_at;
        let behind = page.found.into_iter().filter_map(|connected| {
            let stat = connected.outlet()?.stat(WATCHES_LOOKED_AT);
            (stat.lag > 0).then_some((stat.lag, connected))
        });
        look.worst.extend(behind);
        look.worst.sort_by_key(|(lag, _)| std::cmp::Reverse(*lag));
        look.worst.truncate(KEPT);
        from = page.next;
        tokio::task::yield_now().await;
    }
    look.is_whole = from.is_none();
    look
}
