//! What is active, and what was sent, in JSON.

use axum::extract::{Query as Params, Request, State};
use axum::http::Extensions;
use axum::response::Response;
use headwater_event::{Filter, Principal, Time};
use headwater_hub::{From as Begin, WatchError};
use headwater_service::{Reader, Row, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::{self, Problem};
use super::lane::Lane;
use super::processor::{micros, tables, time};
use super::{Alerts, moment, topics};

/// The most active alerts that are listed: more than a country has places.
const ACTIVE_MAX: i64 = 10_000;
/// How many entries of the record a page has unless the request says otherwise, and at the most.
const ENTRIES: i64 = 100;
const ENTRIES_MAX: i64 = 1_000;

#[derive(Serialize)]
struct Board {
    now: String,
    /// Whether this caller may send reports.
    may_report: bool,
    /// Whether this caller looks after the alerts.
    is_desk: bool,
    active: Vec<Active>,
}

/// An active alert: what clients are told, and more.
#[derive(Serialize)]
struct Active {
    location: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "sentTime")]
    sent_time: String,
    /// The end.
    duration: String,
    status: String,
    stage: String,
    since: String,
    told: bool,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cap: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silenced: Option<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<Said>,
}

/// What the desk said.
#[derive(Serialize)]
struct Said {
    by: String,
    reason: String,
    until: String,
}

/// An entry on record.
#[derive(Serialize)]
pub struct Entry {
    pub id: String,
    pub time: String,
    pub who: String,
    pub what: String,
    pub status: String,
    pub location: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(rename = "sentTime")]
    pub sent_time: String,
    pub until: String,
    pub opened_by: String,
    pub detail: String,
    #[serde(skip)]
    pub at: Time,
    #[serde(skip)]
    pub ends: Time,
}

/// `GET /alerts/api/active`
pub async fn active(State(alerts): State<Alerts>, request: Request) -> Result<Response, Problem> {
    let who = may_watch(&alerts, request.extensions())?;
    let now = alerts.0.settings.clock.now();
    let rows = alerts.reader()?.query(&tables::ALL_ACTIVE, &[micros(now), ACTIVE_MAX.into()]).await;
    let sees_desk = alerts.is_desk(&who);
    let read = |row: &Row| Active::of_row(row, now, sees_desk);
    let active: Result<Vec<Active>, StoreError> = rows.map_err(unread)?.iter().map(read).collect();
    let board = Board {
        now: moment::spelt(now),
        may_report: alerts.may_report(&who),
        is_desk: sees_desk,
        active: active.map_err(unread)?,
    };
    Ok(answer::ok(&board))
}

/// What `/alerts/api/record` takes.
#[derive(Deserialize)]
pub struct RecordParams {
    before: Option<String>,
    limit: Option<i64>,
}

/// `GET /alerts/api/record`: for those who look after the hub.
pub async fn record(
    State(alerts): State<Alerts>,
    extensions: Extensions,
    params: Result<Params<RecordParams>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let who = (alerts.0.settings.who)(&extensions);
    if !alerts.is_desk(&who) {
        return Err(Problem::of(headwater_event::Refusal::NotAllowed, &who, &alerts.0.hub));
    }
    let Params(params) = params.map_err(|error| Problem::malformed(error.body_text()))?;
    let before = match params.before.as_deref() {
        None | Some("") => moment::LAST,
        Some(text) => moment::parse(text).ok_or_else(|| Problem::malformed("before: a moment in ISO 8601"))?,
    };
    let limit = params.limit.unwrap_or(ENTRIES).clamp(1, ENTRIES_MAX);
    let rows = alerts.reader()?.query(&tables::AUDIT, &[micros(before), limit.into()]).await.map_err(unread)?;
    let entries: Result<Vec<Entry>, StoreError> = rows.iter().map(Entry::of_row).collect();
    Ok(answer::ok(&serde_json::json!({ "record": entries.map_err(unread)? })))
}

impl Alerts {
    /// The processor's tables.
    pub(super) fn reader(&self) -> Result<&Reader, Problem> {
        self.0.settings.notifier.as_ref().ok_or_else(|| Problem::busy("this process shows no alerts"))
    }

    /// Whether somebody may send reports: of some place, as rules could name them.
    fn may_report(&self, who: &Principal) -> bool {
        let topic = topics::raw("somewhere", topics::raw::REPORT);
        topic.is_ok_and(|topic| self.0.hub.access().may_publish(who, &topic).is_ok())
    }

    /// Whether somebody may see what the desk has said and what is on record.
    fn is_desk(&self, who: &Principal) -> bool {
        let access = self.0.hub.access();
        access.may_administer(who) || access.holds(who, "observer")
    }
}

/// Who may watch the alerts may read them.
pub fn may_watch(alerts: &Alerts, extensions: &Extensions) -> Result<Principal, Problem> {
    let who = (alerts.0.settings.who)(extensions);
    let filter = Filter::new("alerts/#").expect("a constant that is a filter");
    match alerts.0.hub.history(&who, filter, Begin::Now) {
        Ok(_) => Ok(who),
        Err(WatchError::Refusal(refusal)) => Err(Problem::of(refusal, &who, &alerts.0.hub)),
        Err(error) => Err(Problem::busy(error.to_string())),
    }
}

/// The store can't be read now. What it says is for the program's own log.
pub fn unread(error: StoreError) -> Problem {
    tracing::warn!("the alerts' tables can't be read: {error}");
    Problem::busy("the state of the alerts can't be read now")
}

impl Active {
    fn of_row(row: &Row, now: Time, sees_desk: bool) -> Result<Self, StoreError> {
        let lane = Lane::named(row.text(0)?).unwrap_or(Lane::Test);
        let said = |first: usize| -> Result<Option<Said>, StoreError> {
            let Some(until) = row.int_opt(first + 2)?.map(time).filter(|until| sees_desk && *until > now) else {
                return Ok(None);
            };
            let text = |at| Ok::<_, StoreError>(row.text_opt(at)?.unwrap_or_default().to_owned());
            Ok(Some(Said { by: text(first)?, reason: text(first + 1)?, until: moment::spelt(until) }))
        };
        let info = row.text(9)?;
        Ok(Self {
            location: row.text(2)?.to_owned(),
            kind: lane.kind(row.text(3)?),
            sent_time: row.text(4)?.to_owned(),
            duration: moment::spelt(time(row.int(5)?)),
            status: lane.name().to_owned(),
            stage: row.text(1)?.to_owned(),
            since: moment::spelt(time(row.int(6)?)),
            told: row.int(7)? != 0,
            id: row.text(8)?.to_owned(),
            cap: if info.is_empty() { None } else { RawValue::from_string(info.to_owned()).ok() },
            silenced: said(10)?,
            acknowledged: said(13)?,
        })
    }
}

impl Entry {
    pub fn of_row(row: &Row) -> Result<Self, StoreError> {
        let text = |at: usize| Ok::<_, StoreError>(row.text(at)?.to_owned());
        let (at, ends) = (time(row.int(1)?), time(row.int(8)?));
        Ok(Self {
            id: text(0)?,
            time: moment::spelt(at),
            who: text(2)?,
            what: text(3)?,
            status: text(4)?,
            location: text(5)?,
            kind: text(6)?,
            sent_time: text(7)?,
            until: moment::spelt(ends),
            opened_by: text(9)?,
            detail: text(10)?,
            at,
            ends,
        })
    }
}
