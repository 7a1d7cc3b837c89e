//! What sources of alerts send: reports in JSON, messages in CAP.

use headwater_apps::alerts::cap::{self, Kind, Written};
use headwater_apps::alerts::report::Report;
use headwater_apps::alerts::{moment, place};
use headwater_event::Time;

/// Pieces of XML, of CAP and of JSON.
pub const WORDS: &[&[u8]] = &[
    b"<!DOCTYPE alert [<!ENTITY a \"b\">]>",
    b"&a;",
    b"&amp;",
    b"&#x41;",
    b"&#0;",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"<?xml version=\"1.0\"?>",
    b"<x>",
    b"</x>",
    b"<area>",
    b"</info><info>",
    b"xmlns=\"\"",
    b"Cancel",
    b"Test",
    b"2026-11-21T07:15:00-00:00",
    b"1e999",
    b"NaN",
    b"\"duration\":",
    b"\\ud800",
];

const CAP: &str = r#"<?xml version="1.0" encoding="UTF-8"?><alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><identifier>a</identifier>
<sender>b@c</sender><sent>2026-11-21T07:15:00-00:00</sent><status>Actual</status><msgType>Update</msgType><scope>Public</scope>
<references>b@c,z,2026-11-21T07:00:00-00:00</references><info><category>Met</category><event>Wind &amp; rain</event>
<responseType>Shelter</responseType><urgency>Immediate</urgency><severity>Severe</severity><certainty>Observed</certainty>
<expires>2026-11-21T08:15:00-00:00</expires><headline>h</headline><instruction><![CDATA[go <in>]]></instruction>
<area><areaDesc>North</areaDesc><polygon>1,1 1,2 2,2 1,1</polygon><geocode><valueName>n</valueName><value>v</value></geocode></area>
<area><areaDesc>South</areaDesc><circle>1,1 5</circle></area></info></alert>"#;

const REPORT: &str =
    r#"{"location":"Haifa","type":"Flood","timestamp":"2026-11-21T07:15:00.5+02:00","duration":5.5,"more":[1]}"#;

/// Valid ones of each.
#[must_use]
pub fn cap_seeds() -> Vec<Vec<u8>> {
    vec![CAP.into(), CAP.replace("Update", "Alert").into(), CAP.replace("Actual", "Exercise").into()]
}

/// Valid ones of each.
#[must_use]
pub fn report_seeds() -> Vec<Vec<u8>> {
    vec![REPORT.into(), REPORT.replace("Haifa", "תל אביב").into()]
}

/// What was taken can stand in a topic, speaks of at most a hundred areas, has no document type, and means the same when it
/// is written and read again.
///
/// # Panics
/// When one of these is broken.
pub fn cap(bytes: &[u8]) {
    let Ok(message) = cap::read(bytes) else { return };
    assert!(message.kind == Kind::Alert || !message.references.is_empty());
    assert!(message.pieces.len() <= 100 && (message.kind == Kind::Cancel) == message.pieces.is_empty());
    for piece in &message.pieces {
        assert!(place::is_name(&piece.kind));
        assert_eq!(place::location(&place::level(&piece.location)).as_deref(), Some(piece.location.as_str()));
        let written = cap::write(&Written {
            identifier: "i",
            sender: "s",
            sent: Time(0),
            lane: message.lane,
            kind: Kind::Alert,
            about: None,
            event: &piece.kind,
            location: &piece.location,
            ends: piece.end(),
            response: "Execute",
            info: &piece.info,
        });
        let again = cap::read(written.as_bytes()).unwrap_or_else(|error| panic!("{error}: {written}"));
        assert_eq!((again.lane, again.pieces.len()), (message.lane, 1));
        let again = &again.pieces[0];
        assert_eq!((&again.location, &again.kind, &again.info), (&piece.location, &piece.kind, &piece.info));
        assert_eq!(again.ends / 1_000_000, piece.ends / 1_000_000);
    }
}

/// What was taken has an end after its beginning, and a place that can stand in a topic.
///
/// # Panics
/// When one of these is broken.
pub fn report(bytes: &[u8]) {
    let Ok(report) = Report::read(bytes) else { return };
    let sent = moment::parse(&report.sent).expect("it was read");
    assert!(report.ends >= sent && report.ends <= moment::LAST);
    assert_eq!(moment::parse(&moment::spelt(report.ends)).map(|time| time.0 / 1_000), Some(report.ends.0 / 1_000));
    assert_eq!(place::location(&place::level(&report.location)), Some(report.location));
}
