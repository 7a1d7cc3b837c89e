//! A CAP 1.2 message out of XML.

use std::time::Duration;

use headwater_event::Time;

use super::area::{is_circle, is_polygon};
use super::xml::{Found, walk};
use super::{Info, Kind, Message, NAMESPACE, Piece, Stage};
use crate::alerts::lane::Lane;
use crate::alerts::{moment, place};

/// The longest message in bytes: those of weather services have some dozen KiB, their polygons being the most of it.
pub const BODY_MAX: usize = 256 * 1_024;
/// The most areas of one message: each becomes an event.
const AREAS_MAX: usize = 100;
/// The most polygons, circles and codes of one area.
const SHAPES_MAX: usize = 64;
/// The longest description or instruction in bytes: four pages.
const TEXT_MAX: usize = 8 * 1_024;
/// The longest headline, identifier, sender or code in bytes.
const LINE_MAX: usize = 256;
/// The most messages that one can refer to.
const REFERENCES_MAX: usize = 64;
/// How long an alert lasts that doesn't say it. CAP leaves it to who receives it (section 3.2.2, `expires`).
const UNSAID_DURATION: Duration = Duration::from_secs(3_600);

const CATEGORIES: [&str; 12] =
    ["Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env", "Transport", "Infra", "CBRNE", "Other"];
const URGENCIES: [&str; 5] = ["Immediate", "Expected", "Future", "Past", "Unknown"];
const SEVERITIES: [&str; 5] = ["Extreme", "Severe", "Moderate", "Minor", "Unknown"];
const CERTAINTIES: [&str; 6] = ["Observed", "Likely", "Possible", "Unlikely", "Unknown", "Very Likely"];
const RESPONSES: [&str; 9] =
    ["Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None"];

/// Reads a message.
///
/// # Errors
/// A sentence that names the element and what it should be.
pub fn read(body: &[u8]) -> Result<Message, String> {
    if body.len() > BODY_MAX {
        return Err(format!("a CAP message has at most {BODY_MAX} bytes"));
    }
    let text = std::str::from_utf8(body).map_err(|_| "the encoding is UTF-8".to_owned())?;
    let mut draft = Draft::default();
    walk(text.trim_start_matches('\u{feff}'), NAMESPACE, |path, found| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match found {
            Found::Begin => draft.begin(&path),
            Found::End(text) => draft.end(&path, text),
        }
    })?;
    draft.message()
}

/// What was read so far.
#[derive(Default)]
struct Draft {
    is_alert: bool,
    head: Head,
    infos: Vec<InfoDraft>,
    areas: usize,
}

#[derive(Default)]
struct Head {
    identifier: Option<String>,
    sender: Option<String>,
    sent: Option<String>,
    status: Option<String>,
    kind: Option<String>,
    scope: Option<String>,
    references: Option<String>,
}

#[derive(Default)]
struct InfoDraft {
    language: Option<String>,
    categories: Vec<String>,
    event: Option<String>,
    responses: Vec<String>,
    urgency: Option<String>,
    severity: Option<String>,
    certainty: Option<String>,
    expires: Option<String>,
    headline: Option<String>,
    description: Option<String>,
    instruction: Option<String>,
    areas: Vec<AreaDraft>,
}

#[derive(Default)]
struct AreaDraft {
    name: Option<String>,
    polygons: Vec<String>,
    circles: Vec<String>,
    geocodes: Vec<(String, String)>,
    code_name: Option<String>,
    code_value: Option<String>,
}

impl Draft {
    fn begin(&mut self, path: &[&str]) -> Result<(), String> {
        match path {
            ["alert"] => self.is_alert = true,
            [_] => return Err("the root is not CAP 1.2's alert".to_owned()),
            ["alert", "info"] => self.infos.push(InfoDraft::default()),
            ["alert", "info", "area"] => {
                self.areas += 1;
                if self.areas > AREAS_MAX {
                    return Err(format!("area: at most {AREAS_MAX} in a message"));
                }
                self.info()?.areas.push(AreaDraft::default());
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, path: &[&str], text: &str) -> Result<(), String> {
        match path {
            ["alert", name] => self.head.field(name, text),
            ["alert", "info", name] => self.info()?.field(name, text),
            ["alert", "info", "area", name] => self.area()?.field(name, text),
            ["alert", "info", "area", "geocode", name] => self.area()?.code(name, text),
            _ => Ok(()),
        }
    }

    fn info(&mut self) -> Result<&mut InfoDraft, String> {
        self.infos.last_mut().ok_or_else(|| "info: is missing".to_owned())
    }

    fn area(&mut self) -> Result<&mut AreaDraft, String> {
        self.info()?.areas.last_mut().ok_or_else(|| "area: is missing".to_owned())
    }

    fn message(self) -> Result<Message, String> {
        if !self.is_alert {
            return Err("this is no message of CAP 1.2".to_owned());
        }
        let head = self.head;
        let sender = word("sender", head.sender)?;
        let identifier = word("identifier", head.identifier)?;
        let sent = needed("sent", head.sent)?;
        let at = moment::parse(&sent)
            .filter(|_| sent.contains('T'))
            .ok_or("sent: a moment, as 2026-11-21T07:15:00-00:00")?;
        let lane = match needed("status", head.status)?.as_str() {
            "Actual" => Lane::Actual,
            "Exercise" => Lane::Exercise,
            "Test" => Lane::Test,
            "System" | "Draft" => return Err("status: only Actual, Exercise and Test can be sent".to_owned()),
            _ => return Err("status: one of CAP's".to_owned()),
        };
        match needed("scope", head.scope)?.as_str() {
            "Public" => {}
            "Restricted" | "Private" => return Err("scope: what is not Public is not sent to the public".to_owned()),
            _ => return Err("scope: one of CAP's".to_owned()),
        }
        let references = references(head.references.as_deref().unwrap_or_default())?;
        let kind = match needed("msgType", head.kind)?.as_str() {
            "Alert" => Kind::Alert,
            "Update" => Kind::Update,
            "Cancel" => Kind::Cancel,
            "Ack" | "Error" => {
                return Err("msgType: only Alert, Update and Cancel say something to the public".to_owned());
            }
            _ => return Err("msgType: one of CAP's".to_owned()),
        };
        if kind != Kind::Alert && references.is_empty() {
            return Err("references: an Update or Cancel names what it is about".to_owned());
        }
        let identity = identity(&sender, &identifier, at);
        let given = Given { identity: &identity, sent: &sent, at, lane, revises: &references };
        let pieces = if kind == Kind::Cancel { Vec::new() } else { given.pieces(self.infos)? };
        Ok(Message { identity, lane, kind, references, pieces })
    }
}

impl Head {
    fn field(&mut self, name: &str, text: &str) -> Result<(), String> {
        let (slot, max) = match name {
            "identifier" => (&mut self.identifier, LINE_MAX),
            "sender" => (&mut self.sender, LINE_MAX),
            "sent" => (&mut self.sent, LINE_MAX),
            "status" => (&mut self.status, LINE_MAX),
            "msgType" => (&mut self.kind, LINE_MAX),
            "scope" => (&mut self.scope, LINE_MAX),
            "references" => (&mut self.references, TEXT_MAX),
            _ => return Ok(()),
        };
        once(slot, name, text, max)
    }
}

impl InfoDraft {
    fn field(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "category" => return listed(&mut self.categories, name, text, &CATEGORIES),
            "responseType" => return listed(&mut self.responses, name, text, &RESPONSES),
            _ => {}
        }
        let (slot, max) = match name {
            "language" => (&mut self.language, LINE_MAX),
            "event" => (&mut self.event, LINE_MAX),
            "urgency" => (&mut self.urgency, LINE_MAX),
            "severity" => (&mut self.severity, LINE_MAX),
            "certainty" => (&mut self.certainty, LINE_MAX),
            "expires" => (&mut self.expires, LINE_MAX),
            "headline" => (&mut self.headline, LINE_MAX * 4),
            "description" => (&mut self.description, TEXT_MAX),
            "instruction" => (&mut self.instruction, TEXT_MAX),
            _ => return Ok(()),
        };
        once(slot, name, text, max)
    }

    fn stage(&self) -> Stage {
        if self.responses.iter().any(|response| response == "AllClear") || self.urgency.as_deref() == Some("Past") {
            return Stage::AllClear;
        }
        if self.urgency.as_deref() == Some("Future") { Stage::PreAlert } else { Stage::Alert }
    }
}

impl AreaDraft {
    fn field(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "areaDesc" => once(&mut self.name, name, text, place::LEN_MAX),
            "polygon" if is_polygon(text) => shape(&mut self.polygons, name, text.to_owned()),
            "polygon" => {
                Err("polygon: latitude,longitude pairs, at least four, the last one the first again".to_owned())
            }
            "circle" if is_circle(text) => shape(&mut self.circles, name, text.to_owned()),
            "circle" => Err("circle: latitude,longitude and a radius in kilometres".to_owned()),
            "geocode" => {
                let code = (needed("valueName", self.code_name.take())?, needed("value", self.code_value.take())?);
                shape(&mut self.geocodes, name, code)
            }
            _ => Ok(()),
        }
    }

    fn code(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "valueName" => once(&mut self.code_name, name, text, LINE_MAX),
            "value" => once(&mut self.code_value, name, text, LINE_MAX),
            _ => Ok(()),
        }
    }
}

/// What all pieces of a message share.
struct Given<'a> {
    identity: &'a str,
    sent: &'a str,
    at: Time,
    lane: Lane,
    revises: &'a [String],
}

impl Given<'_> {
    fn pieces(&self, infos: Vec<InfoDraft>) -> Result<Vec<Piece>, String> {
        // Several infos of one language are parts of the message, those of others say the same once more.
        let language = infos.first().and_then(|info| info.language.clone());
        let mut pieces: Vec<Piece> = Vec::new();
        for info in infos.into_iter().filter(|info| info.language == language) {
            for piece in self.pieces_of(info)? {
                if pieces.iter().all(|other| other.location != piece.location) {
                    pieces.push(piece);
                }
            }
        }
        if pieces.is_empty() {
            return Err("info: an Alert or Update has one with an area".to_owned());
        }
        Ok(pieces)
    }

    fn pieces_of(&self, mut info: InfoDraft) -> Result<Vec<Piece>, String> {
        let stage = info.stage();
        let kind = needed("event", info.event.take())?;
        let ends = match info.expires.take() {
            None => self.at.plus(UNSAID_DURATION),
            Some(text) => moment::parse(&text).ok_or("expires: a moment, as 2026-11-21T07:15:00-00:00")?,
        };
        if !place::is_name(&kind) {
            return Err("event: some text in one line".to_owned());
        }
        let said = Info {
            category: needed("category", info.categories.into_iter().next())?,
            urgency: one_of("urgency", info.urgency, &URGENCIES)?,
            severity: one_of("severity", info.severity, &SEVERITIES)?,
            certainty: one_of("certainty", info.certainty, &CERTAINTIES)?,
            headline: info.headline.unwrap_or_default(),
            description: info.description.unwrap_or_default(),
            instruction: info.instruction.unwrap_or_default(),
            ..Info::default()
        };
        let piece = |area: AreaDraft| {
            let location = needed("areaDesc", area.name)?;
            let location = if place::is_name(&location) { location } else { one_line(&location) };
            Ok(Piece {
                location,
                kind: kind.clone(),
                sent: self.sent.to_owned(),
                ends: ends.as_micros(),
                lane: self.lane,
                stage,
                identity: self.identity.to_owned(),
                revises: self.revises.to_vec(),
                info: Info { polygons: area.polygons, circles: area.circles, geocodes: area.geocodes, ..said.clone() },
            })
        };
        info.areas.into_iter().map(piece).collect()
    }
}

/// Sender, identifier and moment: one text for one message, however its moment is written.
fn identity(sender: &str, identifier: &str, sent: Time) -> String {
    format!("{sender},{identifier},{}", sent.as_micros())
}

/// `sender,identifier,sent`, parted by white space.
fn references(text: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for reference in text.split_whitespace() {
        let mut parts = reference.split(',');
        let (sender, identifier, sent) = (parts.next(), parts.next(), parts.next().and_then(moment::parse));
        match (sender, identifier, sent, parts.next()) {
            (Some(sender), Some(identifier), Some(sent), None) if !sender.is_empty() && !identifier.is_empty() => {
                all.push(identity(sender, identifier, sent));
            }
            _ => return Err("references: sender,identifier,sent of each message".to_owned()),
        }
        if all.len() > REFERENCES_MAX {
            return Err(format!("references: at most {REFERENCES_MAX}"));
        }
    }
    Ok(all)
}

fn once(slot: &mut Option<String>, name: &str, text: &str, max: usize) -> Result<(), String> {
    if slot.is_some() {
        return Err(format!("{name}: stands here twice"));
    }
    if text.len() > max {
        return Err(format!("{name}: at most {max} bytes"));
    }
    *slot = Some(text.to_owned());
    Ok(())
}

fn listed(list: &mut Vec<String>, name: &str, text: &str, known: &[&str]) -> Result<(), String> {
    if !known.contains(&text) {
        return Err(format!("{name}: one of CAP's"));
    }
    shape(list, name, text.to_owned())
}

fn shape<T>(list: &mut Vec<T>, name: &str, one: T) -> Result<(), String> {
    if list.len() >= SHAPES_MAX {
        return Err(format!("{name}: at most {SHAPES_MAX}"));
    }
    list.push(one);
    Ok(())
}

fn needed(name: &str, found: Option<String>) -> Result<String, String> {
    found.filter(|text| !text.is_empty()).ok_or_else(|| format!("{name}: is missing"))
}

/// One word: CAP forbids spaces, commas and markup in what messages are referred to by (section 3.2.1).
fn word(name: &str, found: Option<String>) -> Result<String, String> {
    let text = needed(name, found)?;
    if text.contains(|letter: char| letter.is_whitespace() || letter.is_control() || matches!(letter, ',' | '<' | '&'))
    {
        return Err(format!("{name}: has no spaces, commas, < and &"));
    }
    Ok(text)
}

fn one_of(name: &str, found: Option<String>, known: &[&str]) -> Result<String, String> {
    let text = needed(name, found)?;
    if known.contains(&text.as_str()) { Ok(text) } else { Err(format!("{name}: one of CAP's")) }
}

/// Lines of a description are put into one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
