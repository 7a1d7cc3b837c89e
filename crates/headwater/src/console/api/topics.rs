//! The tree of topics, level by level from the index of sticky topics, and one topic with its state and its history.

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use headwater_edge::http::{Problem, Query, bad_parameter};
use headwater_event::{Bus, BusError, Filter, Seq, Topic};
use serde_json::{Value, json};

use super::recent::recent;
use crate::console::Console;
use crate::console::rights::Viewer;
use crate::console::spelling::{answer, event, fault};

/// How many names of a level are listed unless the request says otherwise, and at the most.
const LISTED: usize = 100;
const LISTED_MAX: usize = 500;

/// Up to how many topics below a name are counted: beyond that it's "1,000 or more".
const COUNTED_MAX: usize = 1_000;

/// How many topics are asked for at once. Where most names of a level have none below them, this many come in one go.
const AT_ONCE: usize = 128;

/// Comes after every text that a level can begin with: the highest character that there is.
const LAST: char = '\u{10ffff}';

/// What the hub keeps for itself as states of topics: the sessions of MQTT, which are shown as sessions.
const HIDDEN: &str = "$session";

/// How many events of a topic's history are listed unless the request says otherwise, and at the most.
const HISTORY: usize = 20;
const HISTORY_MAX: usize = 100;

/// One name of a level.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    /// What stands between two slashes; may be empty.
    name: String,
    /// The whole path to it.
    path: String,
    /// Where the state of this very topic stands, if it has one.
    state: Option<Seq>,
    /// How many topics below it have a state, up to [`COUNTED_MAX`].
    below: usize,
}

/// `GET /v1/admin/topics`
pub async fn level(State(console): State<Console>, request: Request) -> Result<Response, Problem> {
    let query = Query::read(request.uri().query(), &["under", "after", "limit"])?;
    let under = query.get("under").map(Topic::new).transpose().map_err(|error| bad_parameter("under", error))?;
    let prefix = under.map(|topic| format!("{topic}/")).unwrap_or_default();
    let after = query.get("after").map(str::to_owned);
    if after.as_ref().is_some_and(|after| after.len() > headwater_event::topic::TOPIC_LEN_MAX + LAST.len_utf8() + 1) {
        return Err(bad_parameter("after", "is the `next` of the page before"));
    }
    let limit = query.limit(LISTED, LISTED_MAX)?;
    let (names, next) = names(&*console.0.log, &prefix, after, limit).await.map_err(fault)?;
    let rows: Vec<Value> = names
        .into_iter()
        .map(|name| {
            json!({
                "name": name.name,
                "topic": name.path,
                "state": name.state,
                "below": name.below,
                "below_more": name.below == COUNTED_MAX,
            })
        })
        .collect();
    Ok(answer(&json!({ "names": rows, "next": next })))
}

/// The names of one level, each once, and the text to go on from.
///
/// Topics come in the order of their bytes, and `a-b` stands between `a` and `a/x`. So a name is listed where it comes
/// first: at its own state if it has one (what lies below it is then looked up), else at the first topic below it. What
/// lies below is passed over with one step, whatever its number.
async fn names(
    bus: &dyn Bus,
    prefix: &str,
    after: Option<String>,
    limit: usize,
) -> Result<(Vec<Name>, Option<String>), BusError> {
    let (mut names, mut from) = (Vec::new(), after);
    loop {
        let page = bus.topics(prefix, from.as_deref(), AT_ONCE).await?;
        let mut passed_over = None;
        for (topic, seq) in &page.topics {
            let rest = &topic.as_str()[prefix.len()..];
            let (name, is_below) = rest.split_once('/').map_or((rest, false), |(name, _)| (name, true));
            let path = format!("{prefix}{name}");
            if names.len() == limit {
                return Ok((names, from));
            }
            let state = if is_below { state_of(bus, &path).await? } else { Some(*seq) };
            let is_hidden = path == HIDDEN;
            // One with a state of its own was listed there.
            if !is_hidden && (!is_below || state.is_none()) {
                let below = below(bus, &path).await?;
                names.push(Name { name: name.to_owned(), path: path.clone(), state, below });
            }
            if is_below {
                passed_over = Some(format!("{path}/{LAST}"));
                break;
            }
            from = Some(topic.to_string());
        }
        from = match (passed_over, page.next) {
            (Some(text), _) => Some(text),
            (None, Some(topic)) => Some(topic.to_string()),
            (None, None) => return Ok((names, None)),
        };
    }
}

/// Where the state of this very topic stands.
async fn state_of(bus: &dyn Bus, path: &str) -> Result<Option<Seq>, BusError> {
    let page = bus.topics(path, None, 1).await?;
    Ok(page.topics.first().filter(|(topic, _)| topic.as_str() == path).map(|(_, seq)| *seq))
}

async fn below(bus: &dyn Bus, path: &str) -> Result<usize, BusError> {
    Ok(bus.topics(&format!("{path}/"), None, COUNTED_MAX).await?.topics.len())
}

/// `GET /v1/admin/topic`
pub async fn one(
    State(console): State<Console>,
    Extension(viewer): Extension<Viewer>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read(request.uri().query(), &["topic", "before", "limit"])?;
    let topic = query.get("topic").ok_or_else(|| bad_parameter("topic", "is missing"))?;
    let topic = Topic::new(topic).map_err(|error| bad_parameter("topic", error))?;
    let before = query.parsed("before")?;
    let limit = query.limit(HISTORY, HISTORY_MAX)?;
    let filter = Filter::from(&topic);
    let state = console.0.log.latest(&filter, None, 1).await.map_err(fault)?.events.into_iter().next();
    let spell = |recorded: &headwater_event::Recorded| event(recorded, viewer.rights);
    let found = recent(&console.0, &filter, before, limit, &spell).await?;
    Ok(answer(&json!({
        "topic": topic.as_str(),
        "state": state.as_ref().map(spell),
        "events": found.events,
        "looked_at": found.looked_at,
        "next": found.next.map(|seq| seq.to_string()),
    })))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headwater_event::{Event, EventId, Headers, Publication, Time};
    use headwater_eventlog::{EventLog, OpenOptions};

    use super::*;

    async fn log(topics: impl IntoIterator<Item = String>) -> (Arc<EventLog>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(EventLog::open(OpenOptions::new(folder.path())).unwrap());
        let publications = topics.into_iter().map(|topic| {
            let (id, headers) = (EventId::generate(), Headers::none());
            let event = Event { id, topic: Topic::new(topic).unwrap(), headers, payload: "x".into(), at: Time(0) };
            Publication { event, sticky: true }
        });
        log.append(publications.collect()).await.unwrap();
        (log, folder)
    }

    /// All names of a level, page by page, as `name:state?:below`.
    async fn listed(log: &EventLog, prefix: &str, limit: usize) -> Vec<String> {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let (page, next) = names(log, prefix, from, limit).await.unwrap();
            assert!(page.len() <= limit);
            all.extend(page.iter().map(|name| format!("{}:{}:{}", name.name, name.state.is_some(), name.below)));
            match next {
                Some(_) => from = next,
                None => return all,
            }
        }
    }

    #[tokio::test]
    async fn each_name_of_a_level_comes_once_with_its_state_and_what_lies_below() {
        let topics =
            ["a", "a-b", "a/x", "a/y/z", "a.b/c", "b/1", "b/2", "/leading", "c", "c//d", "$SYS/n", "$session/mqtt/1"];
        let (log, _folder) = log(topics.map(str::to_owned)).await;
        for limit in [1, 2, 3, 100] {
            let mut all = listed(&log, "", limit).await;
            all.sort();
            let expected =
                ["$SYS:false:1", ":false:1", "a-b:true:0", "a.b:false:1", "a:true:2", "b:false:2", "c:true:1"];
            assert_eq!(all, expected, "{limit}");
            assert_eq!(listed(&log, "a/", limit).await, ["x:true:0", "y:false:1"]);
            assert_eq!(listed(&log, "c/", limit).await, [":false:1"]);
            assert_eq!(listed(&log, "c//", limit).await, ["d:true:0"]);
            assert!(listed(&log, "nothing/", limit).await.is_empty());
        }
    }

    #[tokio::test]
    async fn a_page_of_a_level_costs_no_more_with_a_hundred_thousand_topics_below_each_name() {
        let topics = (0..20).flat_map(|name| (0..5_000).map(move |n| format!("site/{name:02}/sensor/{n}")));
        let (log, _folder) = log(topics).await;
        assert_eq!(listed(&log, "", 10).await, ["site:false:1000"]);
        let sites = listed(&log, "site/", 7).await;
        assert_eq!((sites.len(), sites[19].as_str()), (20, "19:false:1000"));
        let (page, next) = names(&*log, "site/03/sensor/", None, 100).await.unwrap();
        assert_eq!((page.len(), next.is_some()), (100, true));
    }
}
