//! Messages as services send them, and as those do who mean harm.

use super::*;
use crate::alerts::moment;

const GOOD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2">
  <identifier>KSTO1055887203</identifier><sender>KSTO@NWS.NOAA.GOV</sender><sent>2026-06-17T14:57:00-07:00</sent>
  <status>Actual</status><msgType>Alert</msgType><scope>Public</scope>
  <info>
    <category>Met</category><event>SEVERE THUNDERSTORM</event><responseType>Shelter</responseType>
    <urgency>Immediate</urgency><severity>Severe</severity><certainty>Observed</certainty>
    <expires>2026-06-17T16:00:00-07:00</expires>
    <headline>Wind &amp; hail</headline><description>Line one
line two</description><instruction>TAKE COVER &#x41;&#66;</instruction>
    <area><areaDesc>Alpine County</areaDesc>
      <polygon>38.47,-120.14 38.34,-119.95 38.52,-119.74 38.62,-119.89 38.47,-120.14</polygon>
      <geocode><valueName>SAME</valueName><value>006109</value></geocode></area>
    <area><areaDesc>Tuolumne County</areaDesc><circle>38,-120 10</circle></area>
  </info>
</alert>"#;

fn with(from: &str, to: &str) -> Result<Message, String> {
    assert!(GOOD.contains(from), "{from}");
    read(GOOD.replacen(from, to, 1).as_bytes())
}

#[test]
fn each_area_becomes_a_piece_with_all_that_is_said() {
    let message = read(GOOD.as_bytes()).unwrap();
    let sent = moment::parse("2026-06-17T21:57:00Z").unwrap().as_micros();
    assert_eq!(message.identity, format!("KSTO@NWS.NOAA.GOV,KSTO1055887203,{sent}"));
    assert_eq!((message.lane, message.kind, message.pieces.len()), (Lane::Actual, Kind::Alert, 2));
    let piece = &message.pieces[0];
    assert_eq!((piece.location.as_str(), piece.kind.as_str()), ("Alpine County", "SEVERE THUNDERSTORM"));
    assert_eq!(piece.sent, "2026-06-17T14:57:00-07:00");
    assert_eq!(moment::spelt(piece.end()), "2026-06-17T23:00:00.000Z");
    assert_eq!((piece.info.headline.as_str(), piece.info.instruction.as_str()), ("Wind & hail", "TAKE COVER AB"));
    assert_eq!(piece.info.geocodes, [("SAME".to_owned(), "006109".to_owned())]);
    assert_eq!((piece.info.polygons.len(), message.pieces[1].info.circles.len()), (1, 1));
    assert_eq!(piece.stage, Stage::Alert);
}

#[test]
fn a_test_or_exercise_is_one_and_nothing_else_is_sent() {
    assert_eq!(with("Actual", "Test").unwrap().lane, Lane::Test);
    assert_eq!(with("Actual", "Exercise").unwrap().lane, Lane::Exercise);
    for status in ["System", "Draft", "actual", "ACTUAL", "", "Actual Test"] {
        assert!(with("Actual", status).unwrap_err().contains("status"), "{status}");
    }
    for scope in ["Private", "Restricted", "public", ""] {
        assert!(with("Public", scope).unwrap_err().contains("scope"), "{scope}");
    }
}

#[test]
fn what_is_to_be_done_makes_the_stage() {
    for (from, to, stage) in [
        (">Immediate<", ">Future<", Stage::PreAlert),
        (">Immediate<", ">Expected<", Stage::Alert),
        (">Immediate<", ">Unknown<", Stage::Alert),
        (">Immediate<", ">Past<", Stage::AllClear),
        (">Shelter<", ">AllClear<", Stage::AllClear),
    ] {
        assert_eq!(with(from, to).unwrap().pieces[0].stage, stage, "{to}");
    }
}

#[test]
fn an_update_and_a_cancel_name_what_they_are_about() {
    let about =
        "<msgType>Update</msgType><references>a@b,1,2026-06-17T21:57:00Z c@d,2,2026-06-17T14:57:00-07:00</references>";
    let sent = moment::parse("2026-06-17T21:57:00Z").unwrap().as_micros();
    let update = with("<msgType>Alert</msgType>", about).unwrap();
    assert_eq!(update.references, [format!("a@b,1,{sent}"), format!("c@d,2,{sent}")]);
    assert_eq!((update.kind, &update.pieces[0].revises), (Kind::Update, &update.references));
    let cancel = with("<msgType>Alert</msgType>", &about.replace("Update", "Cancel")).unwrap();
    assert_eq!((cancel.kind, cancel.pieces.len()), (Kind::Cancel, 0));
    for kind in ["Update", "Cancel"] {
        let bare = with("<msgType>Alert</msgType>", &format!("<msgType>{kind}</msgType>"));
        assert!(bare.unwrap_err().contains("references"));
    }
    for references in ["a", "a,b", "a,b,c", "a,b,2026-06-17T21:57:00Z,d", ",b,2026-06-17T21:57:00Z"] {
        let text = format!("<msgType>Cancel</msgType><references>{references}</references>");
        assert!(with("<msgType>Alert</msgType>", &text).unwrap_err().contains("references"), "{references}");
    }
    for kind in ["Ack", "Error", "alert", ""] {
        assert!(with("<msgType>Alert<", &format!("<msgType>{kind}<")).unwrap_err().contains("msgType"), "{kind}");
    }
}

#[test]
fn infos_in_another_language_say_the_same_once_more() {
    let other = "<info><language>fr</language><category>Met</category><event>ORAGE</event><urgency>Immediate</urgency>\
                 <severity>Severe</severity><certainty>Observed</certainty><area><areaDesc>Comté</areaDesc></area></info></alert>";
    assert_eq!(with("</alert>", other).unwrap().pieces.len(), 2);
    let same = other.replace("<language>fr</language>", "");
    assert_eq!(with("</alert>", &same).unwrap().pieces.len(), 3);
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    for (from, to, word) in [
        ("<identifier>KSTO1055887203</identifier>", "", "identifier"),
        ("KSTO1055887203", "a b", "identifier"),
        ("KSTO1055887203", "a,b", "identifier"),
        ("<sender>KSTO@NWS.NOAA.GOV</sender>", "<sender></sender>", "sender"),
        ("</sender>", "</sender><sender>x</sender>", "sender"),
        ("2026-06-17T14:57:00-07:00", "yesterday", "sent"),
        ("2026-06-17T14:57:00-07:00", "2026-06-17", "sent"),
        ("2026-06-17T16:00:00-07:00", "later", "expires"),
        ("<category>Met</category>", "", "category"),
        (">Met<", ">Weather<", "category"),
        (">Immediate<", ">Soon<", "urgency"),
        (">Severe<", "><", "severity"),
        (">Observed<", ">Perhaps<", "certainty"),
        ("<event>SEVERE THUNDERSTORM</event>", "", "event"),
        ("Alpine County", "", "areaDesc"),
        ("38.47,-120.14 38.34", "38.34", "polygon"),
        ("38,-120 10", "38,-120", "circle"),
        ("<value>006109</value>", "", "value"),
    ] {
        let error = with(from, to).expect_err(to);
        assert!(error.contains(word), "{to}: {error}");
    }
    let bare = GOOD.split("<info>").next().unwrap().to_owned() + "</alert>";
    assert!(read(bare.as_bytes()).unwrap_err().contains("info"));
}

#[test]
fn an_end_that_is_not_said_is_an_hour_away() {
    let message = with("<expires>2026-06-17T16:00:00-07:00</expires>", "").unwrap();
    assert_eq!(moment::spelt(message.pieces[0].end()), "2026-06-17T22:57:00.000Z");
}

/// Files that mean harm, each with a word of the answer.
#[test]
fn hostile_files_are_refused() {
    let doctype = |inner: &str| GOOD.replace("<alert ", &format!("<!DOCTYPE alert [{inner}]><alert "));
    let lol = "<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">";
    let deep = |count: usize| format!("{}{}", "<x>".repeat(count), "</x>".repeat(count));
    let cases: Vec<(String, &str)> = vec![
        (doctype(lol).replace("Alpine", "&c;"), "document type"),
        (doctype("<!ENTITY x SYSTEM \"file:///etc/passwd\">").replace("Alpine", "&x;"), "document type"),
        (doctype("<!ENTITY % x SYSTEM \"http://example.com/x\"> %x;"), "document type"),
        (GOOD.replace("<alert ", "<!DOCTYPE alert SYSTEM \"http://example.com/x\"><alert "), "document type"),
        (GOOD.replace("Alpine", "&nbsp;"), "entity"),
        (GOOD.replace("Alpine", "&#0;"), "control"),
        (GOOD.replace("Alpine", "&#x1b;"), "control"),
        (GOOD.replace("Alpine", "&#xD800;"), "no character"),
        (GOOD.replace("Alpine", "&#99999999999;"), "entity"),
        (GOOD.replace("Alpine", "&#+65;"), "entity"),
        (GOOD.replace("Alpine", "a\u{0}b"), "control"),
        (GOOD.replace("<info>", &format!("{}<info>", deep(16))), "deep"),
        (GOOD.replace("<info>", &format!("{}<info>", deep(10_000))), "deep"),
        (GOOD.replace("<info>", &format!("<s xmlns=\"other\">{}</s><info>", deep(15))), "deep"),
        (GOOD.replace("UTF-8", "UTF-16"), "UTF-8"),
        (GOOD.replace("<alert ", "<?xml-stylesheet href=\"http://example.com/x\"?><alert "), "processing"),
        (GOOD.replace("<alert ", "<alerts "), ""),
        (GOOD.replace("</alert>", ""), ""),
        (GOOD.replace("</info>", ""), ""),
        (GOOD.replace("</area>", "</info>"), ""),
        (format!("{GOOD}<alert/>"), "second"),
        (format!("{GOOD} text"), "outside"),
        (GOOD.replace("cap:1.2", "cap:1.1"), "CAP 1.2"),
        (GOOD.replace(" xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\"", ""), "CAP 1.2"),
        ("<alert xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\"><alert><info/></alert></alert>".to_owned(), ""),
        (
            GOOD.replace(
                "</area>\n    <area>",
                &format!("</area>{}<area>", "<area><areaDesc>x</areaDesc></area>".repeat(100)),
            ),
            "area",
        ),
        (GOOD.replace("Line one", &"x".repeat(9_000)), "description"),
        (GOOD.replace("Line one", &"x".repeat(300_000)), "bytes"),
        (String::new(), "no element"),
        ("<".to_owned(), ""),
        ("&amp;".to_owned(), ""),
        ("{\"location\":\"Haifa\"}".to_owned(), ""),
        ("<html xmlns=\"http://www.w3.org/1999/xhtml\"/>".to_owned(), "CAP 1.2"),
        (GOOD.replace("identifier>K", "identifier><![CDATA[a b]]>K"), "identifier"),
    ];
    for (text, word) in cases {
        let error = read(text.as_bytes()).expect_err(&text[..text.len().min(300)]);
        assert!(error.contains(word), "{error}: {}", &text[..text.len().min(300)]);
    }
    assert!(read(b"<alert xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\">\xff</alert>").unwrap_err().contains("UTF-8"));
}

#[test]
fn every_cut_of_a_message_is_refused() {
    for len in (0..GOOD.len()).filter(|len| GOOD.is_char_boundary(*len)) {
        assert!(read(&GOOD.as_bytes()[..len]).is_err(), "{len}");
    }
}

#[test]
fn a_signature_and_comments_are_passed_over() {
    let signed = GOOD.replace(
        "<info>",
        "<!-- <!DOCTYPE x> --><ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:identifier>x</ds:identifier></ds:Signature><info>",
    );
    assert_eq!(read(signed.as_bytes()).unwrap(), read(GOOD.as_bytes()).unwrap());
    let prefixed = GOOD.replace("xmlns=", "xmlns:cap=").replace("</", "</cap:").replace("<", "<cap:");
    let prefixed = prefixed.replace("<cap:/cap:", "</cap:").replace("<cap:?", "<?");
    assert_eq!(read(prefixed.as_bytes()).unwrap(), read(GOOD.as_bytes()).unwrap());
}

#[test]
fn what_is_written_is_read_again() {
    let message = read(GOOD.as_bytes()).unwrap();
    let piece = &message.pieces[0];
    let sent = moment::parse(&piece.sent).unwrap();
    let written = write(&Written {
        identifier: "x1",
        sender: "a@b",
        sent,
        lane: Lane::Exercise,
        kind: Kind::Update,
        about: Some(("x0", sent)),
        event: "Fire <&> \"smoke\"",
        location: "A & B",
        ends: piece.end(),
        response: "Shelter",
        info: &piece.info,
    });
    let again = read(written.as_bytes()).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!((again.lane, again.kind, again.pieces.len()), (Lane::Exercise, Kind::Update, 1));
    assert_eq!(again.references, [format!("a@b,x0,{}", sent.as_micros())]);
    let found = &again.pieces[0];
    assert_eq!((found.location.as_str(), found.kind.as_str()), ("A & B", "Fire <&> \"smoke\""));
    assert_eq!((&found.info, found.ends), (&piece.info, piece.ends));
}
