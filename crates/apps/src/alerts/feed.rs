//! What was sent to the public, for machines: an Atom feed, and each entry as a CAP 1.2 message.

use std::fmt::Write as _;

use axum::extract::{Path, Request, State};
use axum::http::{Extensions, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headwater_service::StoreError;
use quick_xml::escape::escape;

use super::answer::Problem;
use super::board::{Entry, may_watch, unread};
use super::cap::{self, Info, Kind, Written};
use super::lane::Lane;
use super::processor::tables;
use super::{Alerts, moment};

/// How many entries the feed has: the last hour of a bad day.
const ENTRIES_MAX: i64 = 100;

/// `GET /alerts/feed.atom`
pub async fn atom(State(alerts): State<Alerts>, request: Request) -> Result<Response, Problem> {
    may_watch(&alerts, request.extensions())?;
    let rows = alerts.reader()?.query(&tables::SENT, &[Lane::Actual.name().into(), ENTRIES_MAX.into()]).await;
    let entries: Result<Vec<Entry>, StoreError> = rows.map_err(unread)?.iter().map(Entry::of_row).collect();
    let entries = entries.map_err(unread)?;
    let tag = format!("\"{}\"", entries.first().map_or("empty", |entry| &entry.id));
    let is_known = request.headers().get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        answer(atom_of(&entries, &alerts.0.settings.cap_sender), "application/atom+xml; charset=utf-8")
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// `GET /alerts/cap/{id}`
pub async fn cap(
    State(alerts): State<Alerts>,
    extensions: Extensions,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    may_watch(&alerts, &extensions)?;
    let none = || Problem::not_found("there is no such alert");
    let entry = alerts.entry(&id).await?.ok_or_else(none)?;
    let (kind, response) = match entry.what.as_str() {
        "open" => (Kind::Alert, "Execute"),
        "close" | "update" => (Kind::Update, "Execute"),
        "pre-alert" => (Kind::Alert, "Prepare"),
        "all-clear" => (Kind::Cancel, "AllClear"),
        _ => return Err(none()),
    };
    let about = match kind {
        Kind::Alert => None,
        Kind::Update | Kind::Cancel => alerts.entry(&entry.opened_by).await?.filter(|about| about.id != entry.id),
    };
    // A cancel needs something to cancel; what ends without having begun here is told as news.
    let kind = if about.is_none() { Kind::Alert } else { kind };
    let mut info = serde_json::from_str(&entry.detail).unwrap_or_else(|_| Info::unknown());
    if response == "AllClear" {
        info.urgency = "Past".to_owned();
    } else if response == "Prepare" {
        info.urgency = "Future".to_owned();
    }
    let message = cap::write(&Written {
        identifier: &entry.id,
        sender: &alerts.0.settings.cap_sender,
        sent: entry.at,
        lane: Lane::named(&entry.status).unwrap_or(Lane::Test),
        kind,
        about: about.as_ref().map(|about| (about.id.as_str(), about.at)),
        event: &entry.kind,
        location: &entry.location,
        ends: entry.ends,
        response,
        info: &info,
    });
    Ok(answer(message, "application/cap+xml; charset=utf-8"))
}

impl Alerts {
    async fn entry(&self, id: &str) -> Result<Option<Entry>, Problem> {
        let row = self.reader()?.query_opt(&tables::AUDIT_ENTRY, &[id.into()]).await.map_err(unread)?;
        row.map(|row| Entry::of_row(&row)).transpose().map_err(unread)
    }
}

fn atom_of(entries: &[Entry], author: &str) -> String {
    let mut out = String::with_capacity(512 * (entries.len() + 1));
    let updated = entries.first().map_or("1970-01-01T00:00:00.000Z", |entry| &entry.time);
    // Writing into a String can't fail, here and below.
    let _ = writeln!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n\
         <id>urn:headwater:alerts</id>\n<title>Alerts</title>\n<updated>{updated}</updated>\n\
         <author><name>{}</name></author>\n<link rel=\"self\" href=\"feed.atom\" type=\"application/atom+xml\"/>",
        escape(author)
    );
    for entry in entries {
        let title = format!("{}: {} ({})", entry.location, entry.kind, entry.what);
        let summary = format!("{} until {}", entry.what, moment::spelt(entry.ends));
        let _ = writeln!(
            out,
            "<entry>\n<id>urn:headwater:alert:{id}</id>\n<title>{title}</title>\n<updated>{time}</updated>\n\
             <summary>{summary}</summary>\n<link rel=\"alternate\" href=\"cap/{id}\" type=\"application/cap+xml\"/>\n\
             <category term=\"{what}\"/>\n</entry>",
            id = escape(&entry.id),
            title = escape(&title),
            time = entry.time,
            summary = escape(&summary),
            what = escape(&entry.what),
        );
    }
    out.push_str("</feed>\n");
    out
}

fn answer(text: String, kind: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
