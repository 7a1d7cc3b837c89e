//! `GET /v1/admin/why`: why somebody doesn't see a topic, step by step, each with what was looked at and a sentence.

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use headwater_edge::http::{Problem, Query, bad_parameter};
use headwater_event::{Filter, Principal, Recorded, Topic};
use headwater_hub::Ask;
use headwater_hub::access::{Because, Explained, ToldRule};
use headwater_hub::inspect::Watched;
use headwater_hub::presence::{Connected, Search};
use serde_json::{Value, json};

use super::connections::{look, row, watched};
use super::recent::recent;
use crate::console::hint::hint;
use crate::console::rights::Viewer;
use crate::console::spelling::{answer, event, fault};
use crate::console::{Console, Shared};

/// How many connections of the one asked about are looked into.
const CONNECTIONS_MAX: usize = 20;

/// How many watches of each are looked at.
const WATCHES_MAX: usize = 1_000;

/// How many groups are looked at.
const GROUPS_MAX: usize = 1_000;

/// How many rules are told.
const RULES_MAX: usize = 50;

/// How many filters that don't match are explained.
const HINTS_MAX: usize = 5;

/// The longest name or client id that is asked about, in bytes.
const NAME_LEN_MAX: usize = 128;

/// What one step has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// This doesn't stand in the way.
    Good,
    /// This is why.
    Bad,
    /// It may be why, or couldn't be looked at.
    Unclear,
}

/// One step of the answer.
#[derive(Debug)]
struct Step {
    name: &'static str,
    found: Found,
    says: String,
}

/// Whom and what it is about.
struct Question<'a> {
    user: &'a str,
    client: &'a str,
    topic: &'a Topic,
}

/// `GET /v1/admin/why`
pub async fn why(
    State(console): State<Console>,
    Extension(viewer): Extension<Viewer>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read(request.uri().query(), &["user", "client", "topic"])?;
    let topic = query.get("topic").ok_or_else(|| bad_parameter("topic", "is missing"))?;
    let topic = Topic::new(topic).map_err(|error| bad_parameter("topic", error))?;
    let name = |parameter| match query.get(parameter).unwrap_or_default() {
        text if text.len() > NAME_LEN_MAX => Err(bad_parameter(parameter, format!("has at most {NAME_LEN_MAX} bytes"))),
        text => Ok(text),
    };
    let question = Question { user: name("user")?, client: name("client")?, topic: &topic };
    let shared = &*console.0;
    let (connections, is_whole) = connections_of(shared, &question).await;
    let watches = matching(&connections, &topic);
    let (last, last_step) = last_event(shared, &topic, viewer.rights).await?;
    let (rule_step, rules) = rule_step(shared, &question, &connections);
    let steps = [
        connected_step(&question, &connections, is_whole),
        rule_step,
        watch_step(&question, &connections, &watches),
        lag_step(&watches),
        last_step,
    ];
    let verdict = verdict(&steps);
    let groups = groups_for(shared, &topic);
    Ok(answer(&json!({
        "topic": topic.as_str(),
        "verdict": verdict,
        "steps": steps.iter().filter(|step| !step.says.is_empty()).map(spelt).collect::<Vec<_>>(),
        "connections": connections.iter().map(row).collect::<Vec<_>>(),
        "watches": watches.iter().map(|(at, watch)| {
            let mut shown = watched(watch);
            shown["connection"] = connections[*at].id.to_string().into();
            shown
        }).collect::<Vec<_>>(),
        "rules": rules.iter().take(RULES_MAX).map(rule).collect::<Vec<_>>(),
        "groups": groups,
        "last": last,
    })))
}

/// The connections of the one asked about. `false` when more could be there than were looked at.
async fn connections_of(shared: &Shared, question: &Question<'_>) -> (Vec<Connected>, bool) {
    let text = if question.client.is_empty() { question.user } else { question.client };
    let (mut kept, mut from) = (Vec::new(), 0);
    loop {
        let found = look(shared.hub.presence(), Search { protocol: None, text }, from, CONNECTIONS_MAX).await;
        kept.extend(found.connections.into_iter().filter(|connected| is_asked(question, connected)));
        match found.next {
            None => return (kept, true),
            // A search finds parts of names too; those that were none of the asked ones don't fill the room.
            Some(next) if kept.len() < CONNECTIONS_MAX && found.looked_at > 0 => from = next,
            Some(_) => {
                kept.truncate(CONNECTIONS_MAX);
                return (kept, false);
            }
        }
    }
}

fn is_asked(question: &Question<'_>, connected: &Connected) -> bool {
    (question.user.is_empty() || connected.who.name() == question.user)
        && (question.client.is_empty() || connected.client.as_deref() == Some(question.client))
}

/// The watches that match the topic, each with the place of its connection in the list.
fn matching(connections: &[Connected], topic: &Topic) -> Vec<(usize, Watched)> {
    let all = connections.iter().enumerate().flat_map(|(at, connected)| {
        let page = connected.outlet().map(|outlet| outlet.watched(0, WATCHES_MAX)).unwrap_or_default();
        page.watches.into_iter().map(move |watch| (at, watch))
    });
    all.filter(|(_, watch)| watch.filter.matches(topic.as_str())).collect()
}

fn whom(question: &Question<'_>) -> String {
    match (question.user, question.client) {
        ("", "") => "anybody".to_owned(),
        (user, "") => format!("user \u{201c}{user}\u{201d}"),
        ("", client) => format!("client \u{201c}{client}\u{201d}"),
        (user, client) => format!("user \u{201c}{user}\u{201d} with client id \u{201c}{client}\u{201d}"),
    }
}

fn connected_step(question: &Question<'_>, connections: &[Connected], is_whole: bool) -> Step {
    let whom = whom(question);
    let (found, says) = match (connections.len(), is_whole) {
        (0, true) => (Found::Bad, format!("There is no connection of {whom} at present.")),
        (0, false) => (Found::Unclear, format!("No connection of {whom} was found among those that were looked at.")),
        (1, _) => (Found::Good, format!("There is one connection of {whom}.")),
        (count, true) => (Found::Good, format!("There are {count} connections of {whom}.")),
        (count, false) => {
            (Found::Good, format!("There are {count} connections of {whom} or more; these were looked at."))
        }
    };
    Step { name: "connected", found, says }
}

/// Asks the rules for each connection, as rights may hang on a client id; where there is none, for the user as such.
fn rule_step(shared: &Shared, question: &Question<'_>, connections: &[Connected]) -> (Step, Vec<ToldRule>) {
    let name = "rule";
    let access = shared.hub.access();
    let filter = Filter::from(question.topic);
    let client = (!question.client.is_empty()).then_some(question.client);
    let mut asked: Vec<Principal> = connections.iter().map(|one| one.who.clone()).collect();
    if asked.is_empty() {
        asked.extend(access.principal_of(question.user, client));
    }
    let answers: Vec<Explained> = asked.iter().map(|who| access.explain(who, Ask::Watch(&filter))).collect();
    let denied = answers.iter().filter(|answer| !answer.is_allowed).count();
    let telling = answers.iter().find(|answer| !answer.is_allowed).or(answers.first());
    let (found, says) = match (telling, denied) {
        (None, _) => (Found::Unclear, "Nobody of this name is known here, so no rule can be asked.".to_owned()),
        (Some(answer), 0) => (Found::Good, reason(answer)),
        (Some(answer), denied) if denied == answers.len() => (Found::Bad, reason(answer)),
        (Some(answer), denied) => {
            (Found::Unclear, format!("{denied} of the {} connections may not: {}", answers.len(), reason(answer)))
        }
    };
    let rules = telling.map(|answer| answer.rules.clone()).unwrap_or_default();
    (Step { name, found, says }, rules)
}

/// What decided, with the rule.
fn reason(answer: &Explained) -> String {
    let rule = |denies: bool| {
        let told = answer.rules.iter().find(|rule| rule.applies && rule.denies == denies);
        told.map(|rule| format!(": \u{201c}{}\u{201d} of role {}", rule.pattern, rule.role)).unwrap_or_default()
    };
    match answer.because {
        Because::Allowed => format!("A rule allows it{}.", rule(false)),
        Because::Denied => format!("A rule denies it{}.", rule(true)),
        Because::NoRule => "No rule of theirs allows it, and what isn't allowed is forbidden.".to_owned(),
        Because::Reserved => "Topics that begin with $ belong to the hub.".to_owned(),
        Because::LoginEnded => "Their login no longer holds.".to_owned(),
        Because::Open => "Everybody may everything here.".to_owned(),
    }
}

fn watch_step(question: &Question<'_>, connections: &[Connected], watches: &[(usize, Watched)]) -> Step {
    let name = "subscription";
    if connections.is_empty() {
        return Step { name, found: Found::Unclear, says: String::new() };
    }
    if let Some((_, first)) = watches.first() {
        let more = if watches.len() > 1 { format!(" (and {} more)", watches.len() - 1) } else { String::new() };
        let says = format!("\u{201c}{}\u{201d} is subscribed to and matches{more}.", first.filter);
        return Step { name, found: Found::Good, says };
    }
    let others =
        connections.iter().filter_map(Connected::outlet).flat_map(|outlet| outlet.watched(0, WATCHES_MAX).watches);
    let (mut count, mut near) = (0, Vec::new());
    for watch in others {
        count += 1;
        if let Some(hint) = hint(watch.filter.as_str(), question.topic.as_str())
            && near.len() < HINTS_MAX
        {
            near.push(format!("\u{201c}{}\u{201d}: {hint}", watch.filter));
        }
    }
    let says = match (count, near.is_empty()) {
        (0, _) => "They have subscribed to nothing.".to_owned(),
        (count, true) => format!("None of their {count} subscriptions matches this topic."),
        (count, false) => {
            format!("None of their {count} subscriptions matches this topic. Near misses: {}.", near.join("; "))
        }
    };
    Step { name, found: Found::Bad, says }
}

fn lag_step(watches: &[(usize, Watched)]) -> Step {
    let name = "delivery";
    let Some(lag) = watches.iter().map(|(_, watch)| watch.lag).max() else {
        return Step { name, found: Found::Unclear, says: String::new() };
    };
    let (found, says) = match lag {
        0 => (Found::Good, "They have been handed all there is.".to_owned()),
        lag => (
            Found::Unclear,
            format!("They are {lag} places of the log behind: the client reads more slowly than events come."),
        ),
    };
    Step { name, found, says }
}

/// The last event of the topic: its state, or what is found by reading back.
async fn last_event(
    shared: &Shared,
    topic: &Topic,
    rights: crate::console::rights::Rights,
) -> Result<(Option<Value>, Step), Problem> {
    let name = "event";
    let spell = |recorded: &Recorded| event(recorded, rights);
    let filter = Filter::from(topic);
    let found = recent(shared, &filter, None, 1, &spell).await?;
    if let Some(last) = found.events.into_iter().next() {
        let says = format!("The last event was published at {}.", last["time"].as_str().unwrap_or_default());
        return Ok((Some(last), Step { name, found: Found::Good, says }));
    }
    let state = shared.log.latest(&filter, None, 1).await.map_err(fault)?.events.into_iter().next();
    if let Some(state) = state {
        let last = spell(&state);
        let says = format!("Its latest state is of {}; nothing came since.", last["time"].as_str().unwrap_or_default());
        return Ok((Some(last), Step { name, found: Found::Good, says }));
    }
    let (found, says) = match found.next {
        None => (Found::Bad, "Nothing was ever published to this topic, as far as the log reaches back.".to_owned()),
        Some(_) => {
            let says =
                format!("Nothing was published to this topic in the last {} places of the log.", found.looked_at);
            (Found::Unclear, says)
        }
    };
    Ok((None, Step { name, found, says }))
}

/// The groups (sessions among them) that want the topic.
fn groups_for(shared: &Shared, topic: &Topic) -> Value {
    let mut groups = shared.log.groups(None, GROUPS_MAX + 1);
    let is_whole = groups.len() <= GROUPS_MAX;
    groups.truncate(GROUPS_MAX);
    let wants = |group: &&headwater_event::GroupStat| group.filters.iter().any(|filter| filter.matches(topic.as_str()));
    let names: Vec<Value> = groups
        .iter()
        .filter(wants)
        .take(CONNECTIONS_MAX)
        .map(|group| json!({ "name": group.name.as_str(), "members": group.members, "settled": group.settled.to_string() }))
        .collect();
    json!({ "found": names, "all": is_whole })
}

/// The sentence for the hurried: the first thing that stands in the way.
fn verdict(steps: &[Step]) -> String {
    let worst = |wanted: Found| steps.iter().find(|step| step.found == wanted && !step.says.is_empty());
    match worst(Found::Bad).or_else(|| worst(Found::Unclear)) {
        Some(step) => step.says.clone(),
        None => "Nothing stands in the way: they are connected, allowed, subscribed, and were handed the last event."
            .to_owned(),
    }
}

fn rule(rule: &ToldRule) -> Value {
    json!({ "role": rule.role, "pattern": rule.pattern, "denies": rule.denies, "applies": rule.applies })
}

fn spelt(step: &Step) -> Value {
    let found = match step.found {
        Found::Good => "good",
        Found::Bad => "bad",
        Found::Unclear => "unclear",
    };
    json!({ "name": step.name, "found": found, "says": step.says })
}
