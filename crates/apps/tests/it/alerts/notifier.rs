//! What shows what is told: JSON, Atom, CAP, the page.

use axum::http::{Request, StatusCode};
use headwater_hub::{Access, Ask};

use super::support::{App, Given, HAIFA, on_both_stores, report};

on_both_stores! {
    the_active_alerts_are_listed_until_they_end
    the_feed_leads_to_cap_messages_that_refer_to_each_other
    who_may_not_watch_the_alerts_may_not_read_them
    the_page_asks_no_other_host_and_runs_nothing_inline
}

async fn the_active_alerts_are_listed_until_they_end(given: Given) {
    let app = App::start(given).await;
    for (location, minutes) in [(HAIFA, 10), ("Acre", 5)] {
        assert_eq!(app.post("/api/alerts", &report(location, "Rockets", minutes)).await.status, StatusCode::OK);
    }
    app.told("alerts/#", 2).await;
    let board = app.get("/alerts/api/active").await.json();
    assert_eq!(board["now"], "2026-11-21T07:15:00.000Z");
    assert_eq!((&board["may_report"], &board["is_desk"]), (&true.into(), &false.into()));
    let first = &board["active"][0];
    for (field, text) in [
        ("location", "Acre"),
        ("type", "Rockets"),
        ("sentTime", "2026-11-21T07:15:00Z"),
        ("duration", "2026-11-21T07:20:00.000Z"),
        ("status", "actual"),
        ("stage", "alert"),
    ] {
        assert_eq!(first[field], text, "{board}");
    }
    app.clock.advance(std::time::Duration::from_secs(300));
    let board = app.get("/alerts/api/active").await.json();
    assert_eq!(board["active"].as_array().unwrap().len(), 1, "also while its all-clear is on the way");
    app.stop().await;
}

async fn the_feed_leads_to_cap_messages_that_refer_to_each_other(given: Given) {
    let app = App::start(given).await;
    assert_eq!(app.post("/api/alerts", &report("A & <B>", "Rockets", 10)).await.status, StatusCode::OK);
    app.told("alerts/#", 1).await;
    app.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(app.post("/api/alerts", &report("A & <B>", "Fire", 20)).await.status, StatusCode::OK);
    app.told("alerts/#", 3).await;
    let feed = app.get("/alerts/feed.atom").await;
    assert_eq!(feed.header("content-type"), "application/atom+xml; charset=utf-8");
    assert!(feed.text.contains("<title>A &amp; &lt;B&gt;: Mixed Threats (close)</title>"), "{}", feed.text);
    let links: Vec<&str> = feed.text.split("href=\"cap/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), 3);
    let known = Request::get("/alerts/feed.atom").header("if-none-match", feed.header("etag"));
    assert_eq!(app.send(known, "").await.status, StatusCode::NOT_MODIFIED);

    let first = app.get(&format!("/alerts/cap/{}", links[2])).await;
    assert_eq!(first.header("content-type"), "application/cap+xml; charset=utf-8");
    for text in [
        "<status>Actual</status>",
        "<msgType>Alert</msgType>",
        "<sent>2026-11-21T07:15:00-00:00</sent>",
        "<event>Rockets</event>",
        "<expires>2026-11-21T07:25:00-00:00</expires>",
        "<areaDesc>A &amp; &lt;B&gt;</areaDesc>",
        "<scope>Public</scope>",
    ] {
        assert!(first.text.contains(text), "{text}: {}", first.text);
    }
    let update = app.get(&format!("/alerts/cap/{}", links[0])).await.text;
    assert!(update.contains("<msgType>Update</msgType>"), "the close came after the open beside it: {update}");
    assert!(
        update
            .contains(&format!("<references>headwater@localhost,{},2026-11-21T07:15:00-00:00</references>", links[2])),
        "{update}"
    );

    // What is written is taken again: by another hub, for example.
    let taken = app.send(Request::post("/api/alerts").header("content-type", "application/cap+xml"), &first.text).await;
    assert_eq!(taken.status, StatusCode::OK);
    assert_eq!(app.get("/alerts/cap/none").await.status, StatusCode::NOT_FOUND);
    app.stop().await;
}

async fn who_may_not_watch_the_alerts_may_not_read_them(given: Given) {
    let access = Access::by(|_, ask| matches!(ask, Ask::Publish(_)));
    let app = App::start(Given { access, ..given }).await;
    for path in ["/alerts/api/active", "/alerts/feed.atom", "/alerts/cap/x"] {
        assert_eq!(app.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    app.stop().await;
}

async fn the_page_asks_no_other_host_and_runs_nothing_inline(given: Given) {
    let app = App::start(given).await;
    assert_eq!(app.get("/alerts").await.header("location"), "/alerts/");
    let files = [
        "",
        "alerts.css",
        "icon.svg",
        "map.LICENSE",
        "alarm.js",
        "alerts.js",
        "chart.js",
        "desk.js",
        "live.js",
        "map.js",
        "model.js",
        "places.js",
        "simulator.js",
        "htm-preact.js",
    ];
    for file in files {
        let answer = app.get(&format!("/alerts/{file}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{file}: {policy}");
        let text = answer.text.replace("http://www.w3.org/", "");
        assert!(!text.contains("http://") && !text.contains("https://"), "{file} names another host");
    }
    assert_eq!(app.get("/alerts/secret.txt").await.status, StatusCode::NOT_FOUND);
    app.stop().await;
}
