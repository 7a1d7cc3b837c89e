//! What the processor makes of reports: the issue's table, once for each raw event, whatever happens.

use std::time::Duration;

use headwater_apps::alerts::tables;
use headwater_event::EventId;

use super::support::{App, Given, HAIFA, lines, on_both_stores, report};
use axum::http::{Request, StatusCode};

on_both_stores! {
    each_report_opens_and_a_later_end_also_closes_with_the_first_moment_and_the_new_end
    what_is_active_ends_by_itself_and_is_told
    what_ended_while_the_processor_was_away_is_told_before_what_comes_after
    a_later_end_moves_the_timer
    a_report_that_is_over_is_told_and_leaves_no_state
    the_same_content_within_the_window_is_one_and_after_it_is_another
    a_key_tells_two_of_the_same_content_apart
    every_raw_event_three_times_in_disorder_has_its_effect_once
    what_was_on_disk_when_everything_was_killed_is_told_once
    what_is_no_report_on_the_raw_topic_becomes_a_dead_letter_and_holds_up_nobody
    every_statement_can_be_prepared
}

async fn post(app: &App, kind: &str, minutes: u64) {
    assert_eq!(app.post("/api/alerts", &report(HAIFA, kind, minutes)).await.status, StatusCode::OK);
}

async fn each_report_opens_and_a_later_end_also_closes_with_the_first_moment_and_the_new_end(given: Given) {
    let app = App::start(given).await;
    post(&app, "Rockets", 10).await;
    let first = app.told("alerts/#", 1).await;
    let text = std::str::from_utf8(&first[0].event.payload).unwrap();
    assert_eq!(
        text,
        r#"{"eventType":"open","location":"Haifa","type":"Rockets","sentTime":"2026-11-21T07:15:00Z","duration":"2026-11-21T07:25:00.000Z"}"#,
        "letter by letter what existing clients read"
    );
    let later = report(HAIFA, "Rockets", 15).replace("07:15:00Z", "07:16:00Z");
    assert_eq!(app.post("/api/alerts", &later).await.status, StatusCode::OK);
    post(&app, "Fire", 5).await;
    post(&app, "Fire", 30).await;
    let told = lines(&app.told("alerts/#", 8).await);
    assert_eq!(
        told,
        [
            "alerts/Haifa/alert: open Rockets 07:15-07:25 sticky",
            "alerts/Haifa/alert: open Rockets 07:16-07:31",
            "alerts/Haifa/alert: close Rockets 07:15-07:31 sticky",
            "alerts/Haifa/alert: open Fire 07:15-07:20",
            "alerts/Haifa/update: update Mixed Threats 07:15-07:31 sticky",
            "alerts/Haifa/alert: open Fire 07:15-07:45",
            "alerts/Haifa/alert: close Mixed Threats 07:15-07:45 sticky",
            "alerts/Haifa/update: over sticky",
        ]
    );
    app.stop().await;
}

async fn what_is_active_ends_by_itself_and_is_told(given: Given) {
    let app = App::start(given).await;
    post(&app, "Rockets", 10).await;
    app.told("alerts/#", 1).await;
    app.clock.advance(Duration::from_secs(600));
    let told = lines(&app.told("alerts/#", 3).await);
    assert_eq!(told[1..], ["alerts/Haifa/all-clear: all-clear Rockets 07:15-07:25", "alerts/Haifa/alert: over sticky"]);
    let later = report(HAIFA, "Fire", 5).replace("07:15:00Z", "07:25:00Z");
    assert_eq!(app.post("/api/alerts", &later).await.status, StatusCode::OK);
    let told = lines(&app.told("alerts/#", 4).await);
    assert_eq!(told[3], "alerts/Haifa/alert: open Fire 07:25-07:30 sticky", "a new alert, not more of the old one");
    app.stop().await;
}

async fn what_ended_while_the_processor_was_away_is_told_before_what_comes_after(given: Given) {
    let mut app = App::start(given).await;
    post(&app, "Rockets", 10).await;
    app.told("alerts/#", 1).await;
    app.pause().await;
    app.clock.advance(Duration::from_secs(1_200));
    let later = report(HAIFA, "Fire", 10).replace("07:15:00Z", "07:35:00Z");
    assert_eq!(app.post("/api/alerts", &later).await.status, StatusCode::OK);
    app.go_on().await;
    let told = lines(&app.told("alerts/Haifa/#", 4).await);
    assert_eq!(told[1], "alerts/Haifa/all-clear: all-clear Rockets 07:15-07:25");
    assert_eq!(told[3], "alerts/Haifa/alert: open Fire 07:35-07:45 sticky");
    app.stop().await;
}

async fn a_later_end_moves_the_timer(given: Given) {
    let app = App::start(given).await;
    post(&app, "Rockets", 10).await;
    post(&app, "Rockets", 20).await;
    app.told("alerts/#", 3).await;
    app.clock.advance(Duration::from_secs(600));
    // Nothing can be waited for that doesn't come: what comes next is of another place.
    assert_eq!(app.post("/api/alerts", &report("Acre", "Fire", 60)).await.status, StatusCode::OK);
    let told = lines(&app.told("alerts/#", 4).await);
    assert_eq!(told[3], "alerts/Acre/alert: open Fire 07:15-08:15 sticky");
    app.clock.advance(Duration::from_secs(600));
    let told = lines(&app.told("alerts/#", 6).await);
    assert_eq!(told[4], "alerts/Haifa/all-clear: all-clear Rockets 07:15-07:35");
    app.stop().await;
}

async fn a_report_that_is_over_is_told_and_leaves_no_state(given: Given) {
    let app = App::start(given).await;
    let old = report(HAIFA, "Rockets", 10).replace("2026-11-21", "2024-01-01");
    assert_eq!(app.post("/api/alerts", &old).await.status, StatusCode::OK);
    assert_eq!(lines(&app.told("alerts/#", 1).await), ["alerts/Haifa/alert: open Rockets 07:15-07:25"]);
    assert_eq!(app.get("/alerts/api/active").await.json()["active"], serde_json::json!([]));
    app.stop().await;
}

/// Also where the window would be cut in two by a clock that counts minutes.
async fn the_same_content_within_the_window_is_one_and_after_it_is_another(given: Given) {
    let app = App::start(given).await;
    app.clock.advance(Duration::from_secs(30));
    post(&app, "Rockets", 90).await;
    app.told("alerts/#", 1).await;
    app.clock.advance(Duration::from_secs(59));
    post(&app, "Rockets", 90).await;
    post(&app, "Fire", 1).await;
    let told = lines(&app.told("alerts/#", 2).await);
    assert_eq!(told[1], "alerts/Haifa/alert: open Fire 07:15-07:16", "the second one counted as the first");
    app.clock.advance(Duration::from_secs(1));
    post(&app, "Rockets", 90).await;
    let told = lines(&app.until("alerts/+/alert", |all| all.len() >= 3).await);
    assert_eq!(told[2], "alerts/Haifa/alert: open Rockets 07:15-08:45");
    app.stop().await;
}

async fn a_key_tells_two_of_the_same_content_apart(given: Given) {
    let app = App::start(given).await;
    for key in ["a", "b", "a"] {
        let request = Request::post("/api/alerts").header("idempotency-key", key);
        assert_eq!(app.send(request, &report(HAIFA, "Rockets", 10)).await.status, StatusCode::OK);
    }
    post(&app, "Fire", 1).await;
    let told = lines(&app.until("alerts/+/alert", |all| all.len() >= 3).await);
    assert_eq!(told.iter().filter(|line| line.contains("open Rockets")).count(), 2, "{told:?}");
    assert!(told[2].contains("open Fire"), "{told:?}");
    app.stop().await;
}

/// Six places, five reports each, every one of them three times and in disorder.
async fn every_raw_event_three_times_in_disorder_has_its_effect_once(given: Given) {
    let app = App::start(given).await;
    let mut raw = Vec::new();
    for place in 0..6 {
        for number in 0..5_u64 {
            let location = format!("place {place}");
            let id = EventId::from_text(format!("{place}-{number}").into()).unwrap();
            let body = report(&location, if number == 4 { "Fire" } else { "Rockets" }, 60 + number);
            raw.extend(std::iter::repeat_n((id, format!("alerts-raw/{location}/report"), body), 3));
        }
    }
    // A shuffle that is the same each time: by steps of a number that has no divisor in common with how many there are.
    for at in 0..raw.len() {
        let (id, topic, body) = raw[at * 37 % raw.len()].clone();
        app.publish_as(id, &topic, &body).await;
    }
    let is_open =
        |recorded: &&headwater_event::Recorded| recorded.event.payload.starts_with(b"{\"eventType\":\"open\"");
    let told = app.until("alerts/#", |all| all.iter().filter(is_open).count() >= 30).await;
    for place in 0..6 {
        let level = format!("alerts/place {place}/");
        let own: Vec<_> = told.iter().filter(|recorded| recorded.event.topic.as_str().starts_with(&level)).collect();
        assert_eq!(own.iter().filter(|recorded| is_open(recorded)).count(), 5, "each report is told once");
    }
    let active = app.get("/alerts/api/active").await.json();
    let active = active["active"].as_array().unwrap();
    assert_eq!(active.len(), 6);
    for alert in active {
        assert_eq!(
            (&alert["type"], &alert["duration"]),
            (&"Mixed Threats".into(), &"2026-11-21T08:19:00.000Z".into()),
            "{alert}"
        );
    }
    app.stop().await;
}

async fn what_was_on_disk_when_everything_was_killed_is_told_once(given: Given) {
    let app = App::start(given.clone()).await;
    for number in 1..=20 {
        assert_eq!(app.post("/api/alerts", &report(&format!("p{number}"), "Fire", 60)).await.status, StatusCode::OK);
    }
    let app = app.killed(given).await;
    let told = lines(&app.told("alerts/#", 20).await);
    let mut unique = told.clone();
    unique.sort();
    unique.dedup();
    assert_eq!((told.len(), unique.len()), (20, 20), "{told:?}");
    app.stop().await;
}

async fn what_is_no_report_on_the_raw_topic_becomes_a_dead_letter_and_holds_up_nobody(given: Given) {
    let app = App::start(given).await;
    for (topic, payload) in [
        ("alerts-raw/Haifa/report", "{}"),
        ("alerts-raw/Acre/report", &report(HAIFA, "Fire", 5)),
        ("alerts-raw/Haifa/cap", "x"),
        ("alerts-raw/%41/report", &report("A", "Fire", 5)),
    ] {
        app.publish(topic, payload).await;
    }
    post(&app, "Rockets", 5).await;
    assert_eq!(lines(&app.told("alerts/#", 1).await), ["alerts/Haifa/alert: open Rockets 07:15-07:20 sticky"]);
    app.stop().await;
}

async fn every_statement_can_be_prepared(given: Given) {
    let app = App::start(given).await;
    app.store().prepare_all(tables::STATEMENTS).await.unwrap();
    app.stop().await;
}
