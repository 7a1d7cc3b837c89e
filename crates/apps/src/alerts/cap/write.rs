//! A CAP 1.2 message in XML.

use std::fmt::Write as _;

use headwater_event::Time;
use quick_xml::escape::escape;

use super::{Info, Kind, NAMESPACE};
use crate::alerts::lane::Lane;
use crate::alerts::moment;

/// What is written.
#[derive(Clone, Debug)]
pub struct Written<'a> {
    /// Its own name.
    pub identifier: &'a str,
    /// Who says it.
    pub sender: &'a str,
    /// When.
    pub sent: Time,
    /// How it's meant.
    pub lane: Lane,
    /// What it is.
    pub kind: Kind,
    /// Identifier and moment of the one that it is about.
    pub about: Option<(&'a str, Time)>,
    /// The type of event.
    pub event: &'a str,
    /// Where.
    pub location: &'a str,
    /// When it ends.
    pub ends: Time,
    /// What is to be done, one of CAP's.
    pub response: &'a str,
    /// What else there is to say.
    pub info: &'a Info,
}

/// The message.
pub fn write(it: &Written<'_>) -> String {
    let mut out = String::with_capacity(1_024);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing into a String can't fail, here and below.
    let _ = writeln!(out, "<alert xmlns=\"{NAMESPACE}\">");
    let kind = match it.kind {
        Kind::Alert => "Alert",
        Kind::Update => "Update",
        Kind::Cancel => "Cancel",
    };
    element(&mut out, "identifier", it.identifier);
    element(&mut out, "sender", it.sender);
    element(&mut out, "sent", &moment::spelt_cap(it.sent));
    element(&mut out, "status", it.lane.cap());
    element(&mut out, "msgType", kind);
    element(&mut out, "scope", "Public");
    if let Some((identifier, sent)) = it.about {
        element(&mut out, "references", &format!("{},{identifier},{}", it.sender, moment::spelt_cap(sent)));
    }
    out.push_str("<info>\n");
    element(&mut out, "category", &it.info.category);
    element(&mut out, "event", it.event);
    element(&mut out, "responseType", it.response);
    element(&mut out, "urgency", &it.info.urgency);
    element(&mut out, "severity", &it.info.severity);
    element(&mut out, "certainty", &it.info.certainty);
    element(&mut out, "expires", &moment::spelt_cap(it.ends));
    for (name, text) in
        [("headline", &it.info.headline), ("description", &it.info.description), ("instruction", &it.info.instruction)]
    {
        if !text.is_empty() {
            element(&mut out, name, text);
        }
    }
    out.push_str("<area>\n");
    element(&mut out, "areaDesc", it.location);
    it.info.polygons.iter().for_each(|polygon| element(&mut out, "polygon", polygon));
    it.info.circles.iter().for_each(|circle| element(&mut out, "circle", circle));
    for (name, value) in &it.info.geocodes {
        out.push_str("<geocode>\n");
        element(&mut out, "valueName", name);
        element(&mut out, "value", value);
        out.push_str("</geocode>\n");
    }
    out.push_str("</area>\n</info>\n</alert>\n");
    out
}

fn element(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "<{name}>{}</{name}>", escape(text));
}
