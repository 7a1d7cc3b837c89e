//! The desk: silence, taking note, and the record.

use std::time::Duration;

use axum::http::StatusCode;
use headwater_event::Clock;
use headwater_hub::Access;
use headwater_hub::access::{Openness, Policy, Rules, Users};

use super::support::{App, BEGIN, Given, HAIFA, lines, on_both_stores, report};

on_both_stores! {
    a_silence_keeps_back_what_is_told_and_its_end_tells_what_is_still_so
    a_silence_is_over_alerts_alone_and_not_over_tests
    a_silence_is_lifted_by_one_of_no_length
    the_public_hears_the_end_of_what_it_has_heard_of_also_under_a_silence
    a_note_without_a_reason_or_of_too_great_a_length_is_refused
    whoever_looks_after_the_hub_sees_who_did_what_and_all_that_was_sent
    nobody_else_does
}

fn note(minutes: u32) -> String {
    format!("{{\"location\":\"Haifa\",\"reason\":\"a sensor is broken\",\"minutes\":{minutes}}}")
}

async fn a_silence_keeps_back_what_is_told_and_its_end_tells_what_is_still_so(given: Given) {
    let app = App::start(given).await;
    assert_eq!(app.post("/alerts/api/silences", &note(10)).await.status, StatusCode::OK);
    assert_eq!(app.post("/api/alerts", &report(HAIFA, "Rockets", 60)).await.status, StatusCode::OK);
    assert_eq!(app.post("/api/alerts", &report("Acre", "Fire", 60)).await.status, StatusCode::OK);
    let kept_back = lines(&app.told("alerts-silenced/#", 1).await);
    assert_eq!(kept_back, ["alerts-silenced/Haifa/alert: open Rockets 07:15-08:15"]);
    assert_eq!(lines(&app.told("alerts/#", 1).await), ["alerts/Acre/alert: open Fire 07:15-08:15 sticky"]);
    app.clock.advance(Duration::from_secs(600));
    let told = lines(&app.told("alerts/#", 2).await);
    assert_eq!(told[1], "alerts/Haifa/alert: open Rockets 07:15-08:15 sticky");
    app.stop().await;
}

async fn a_silence_is_over_alerts_alone_and_not_over_tests(given: Given) {
    let app = App::start(given).await;
    assert_eq!(app.post("/alerts/api/silences", &note(10)).await.status, StatusCode::OK);
    let test = super::cap::message("t", "Alert", "", "Test", &[HAIFA]);
    assert_eq!(app.post("/alerts/api/cap", &test).await.status, StatusCode::OK);
    let told = lines(&app.told("alerts-test/#", 1).await);
    assert_eq!(told, ["alerts-test/Haifa/alert: test-open TEST: Storm 07:15-08:15 sticky"]);
    app.stop().await;
}

async fn a_silence_is_lifted_by_one_of_no_length(given: Given) {
    let app = App::start(given).await;
    assert_eq!(app.post("/alerts/api/silences", &note(10)).await.status, StatusCode::OK);
    assert_eq!(app.post("/api/alerts", &report(HAIFA, "Rockets", 60)).await.status, StatusCode::OK);
    assert_eq!(app.post("/alerts/api/silences", &note(0)).await.status, StatusCode::OK);
    assert_eq!(lines(&app.told("alerts/#", 1).await), ["alerts/Haifa/alert: open Rockets 07:15-08:15 sticky"]);
    app.stop().await;
}

async fn the_public_hears_the_end_of_what_it_has_heard_of_also_under_a_silence(given: Given) {
    let app = App::start(given).await;
    assert_eq!(app.post("/api/alerts", &report(HAIFA, "Rockets", 10)).await.status, StatusCode::OK);
    assert_eq!(app.post("/alerts/api/silences", &note(60)).await.status, StatusCode::OK);
    app.told("alerts-desk/#", 1).await;
    app.clock.advance(Duration::from_secs(600));
    let told = lines(&app.told("alerts/#", 3).await);
    assert_eq!(told[1], "alerts/Haifa/all-clear: all-clear Rockets 07:15-07:25");
    app.stop().await;
}

async fn a_note_without_a_reason_or_of_too_great_a_length_is_refused(given: Given) {
    let app = App::start(given).await;
    for body in [
        note(7 * 24 * 60 + 1),
        note(5).replace("a sensor is broken", " "),
        note(5).replace("Haifa", ""),
        note(5).replace("minutes\":5", "minutes\":-1"),
        note(5).replace("minutes\":5", "minutes\":1.5"),
        note(5).replace('}', ",\"other\":1}"),
    ] {
        for path in ["/alerts/api/silences", "/alerts/api/acknowledgements"] {
            assert_eq!(app.post(path, &body).await.status, StatusCode::BAD_REQUEST, "{body}");
        }
    }
    assert!(app.raw().await.is_empty());
    app.stop().await;
}

async fn whoever_looks_after_the_hub_sees_who_did_what_and_all_that_was_sent(given: Given) {
    let clock = Clock::manual(BEGIN);
    let everybody =
        Access::keeping(Policy::new(Openness::ThisMachine, Rules::default(), Users::default(), None), clock);
    let app = App::start(Given { access: everybody, ..given }).await;
    assert_eq!(app.post("/api/alerts", &report(HAIFA, "Rockets", 10)).await.status, StatusCode::OK);
    assert_eq!(app.post("/alerts/api/acknowledgements", &note(10)).await.status, StatusCode::OK);
    app.told("alerts-desk/#", 1).await;
    app.told("alerts/#", 1).await;
    let active = app.get("/alerts/api/active").await.json();
    assert_eq!(active["active"][0]["acknowledged"]["reason"], "a sensor is broken", "{active}");
    app.clock.advance(Duration::from_secs(600));
    app.told("alerts/#", 3).await;
    let record = app.get("/alerts/api/record").await.json();
    let what: Vec<&str> =
        record["record"].as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert_eq!((what.len(), what[0]), (3, "all-clear"), "{record}");
    assert!(what.contains(&"open") && what.contains(&"acknowledge"), "{what:?}");
    assert_eq!(app.get("/alerts/api/record?limit=1").await.json()["record"].as_array().unwrap().len(), 1);
    assert_eq!(app.get("/alerts/api/record?before=x").await.status, StatusCode::BAD_REQUEST);
    app.stop().await;
}

async fn nobody_else_does(given: Given) {
    let app = App::start(given).await;
    assert_eq!(app.get("/alerts/api/record").await.status, StatusCode::FORBIDDEN);
    app.stop().await;
}
