//! CAP messages, from XML to what everybody hears, and back.

use axum::http::{Request, StatusCode};
use std::time::Duration;

use super::support::{App, Given, lines, on_both_stores};

on_both_stores! {
    an_alert_opens_in_each_of_its_areas_and_a_cancel_ends_it_there
    an_update_changes_what_it_names_and_ends_it_where_it_says_nothing
    a_cancel_that_comes_before_its_alert_counts_all_the_same
    a_cancel_ends_no_alert_that_others_have_joined
    a_test_or_exercise_is_told_elsewhere_in_other_words_and_ends_no_alert
    an_update_ends_nothing_where_it_says_something_in_whatever_order_its_parts_are_handled
    a_pre_alert_is_never_told_as_an_alert
    an_all_clear_by_cap_ends_what_is_active
    a_pre_alert_that_becomes_an_alert_gives_way_to_it_and_the_other_way_round
}

/// A message: its areas, what it refers to, how it's meant. It ends an hour after the tests' clock begins.
pub fn message(identifier: &str, kind: &str, references: &str, status: &str, areas: &[&str]) -> String {
    let references =
        if references.is_empty() { String::new() } else { format!("<references>{references}</references>") };
    let areas: String = areas.iter().map(|area| format!("<area><areaDesc>{area}</areaDesc></area>")).collect();
    let info = if areas.is_empty() {
        String::new()
    } else {
        format!(
            "<info><category>Met</category><event>Storm</event><urgency>Immediate</urgency><severity>Severe</severity>\
             <certainty>Observed</certainty><expires>2026-11-21T08:15:00-00:00</expires><headline>Stay in</headline>{areas}</info>"
        )
    };
    format!(
        "<alert xmlns=\"urn:oasis:names:tc:emergency:cap:1.2\"><identifier>{identifier}</identifier><sender>met@example</sender>\
         <sent>2026-11-21T07:15:00-00:00</sent><status>{status}</status><msgType>{kind}</msgType><scope>Public</scope>{references}{info}</alert>"
    )
}

/// How others refer to it.
fn about(identifier: &str) -> String {
    format!("met@example,{identifier},2026-11-21T07:15:00+00:00")
}

async fn send(app: &App, message: &str) {
    let request = Request::post("/api/alerts").header("content-type", "application/cap+xml");
    let answer = app.send(request, message).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
}

async fn an_alert_opens_in_each_of_its_areas_and_a_cancel_ends_it_there(given: Given) {
    let app = App::start(given).await;
    send(&app, &message("a", "Alert", "", "Actual", &["North", "South"])).await;
    let told = lines(&app.told("alerts/#", 2).await);
    assert!(told.contains(&"alerts/North/alert: open Storm 07:15-08:15 sticky".to_owned()), "{told:?}");
    assert!(told.contains(&"alerts/South/alert: open Storm 07:15-08:15 sticky".to_owned()), "{told:?}");
    send(&app, &message("c", "Cancel", &about("a"), "Actual", &[])).await;
    let told = lines(&app.told("alerts/#", 6).await);
    for place in ["North", "South"] {
        assert!(told.contains(&format!("alerts/{place}/all-clear: all-clear Storm 07:15-08:15")), "{told:?}");
        assert!(told.contains(&format!("alerts/{place}/alert: over sticky")), "{told:?}");
    }
    app.stop().await;
}

async fn an_update_changes_what_it_names_and_ends_it_where_it_says_nothing(given: Given) {
    let app = App::start(given).await;
    send(&app, &message("a", "Alert", "", "Actual", &["North", "South"])).await;
    app.told("alerts/#", 2).await;
    let update = message("b", "Update", &about("a"), "Actual", &["North"])
        .replace("08:15:00", "07:45:00")
        .replace("Storm", "Gale");
    send(&app, &update).await;
    let told = lines(&app.told("alerts/#", 5).await);
    assert!(told.contains(&"alerts/North/update: update Gale 07:15-07:45 sticky".to_owned()), "{told:?}");
    assert!(told.contains(&"alerts/South/all-clear: all-clear Storm 07:15-08:15".to_owned()), "{told:?}");
    // The update is what a cancel now has to name.
    send(&app, &message("c", "Cancel", &about("b"), "Actual", &[])).await;
    let told = lines(&app.told("alerts/North/#", 5).await);
    assert_eq!(
        told[2..],
        [
            "alerts/North/all-clear: all-clear Gale 07:15-07:45",
            "alerts/North/alert: over sticky",
            "alerts/North/update: over sticky"
        ]
    );
    app.stop().await;
}

async fn a_cancel_that_comes_before_its_alert_counts_all_the_same(given: Given) {
    let app = App::start(given).await;
    send(&app, &message("z", "Alert", "", "Actual", &["Zone"])).await;
    app.told("alerts/Zone/#", 1).await;
    let both = format!("{} {}", about("a"), about("z"));
    send(&app, &message("c", "Cancel", &both, "Actual", &[])).await;
    app.told("alerts/Zone/all-clear", 1).await;
    send(&app, &message("a", "Alert", "", "Actual", &["North"])).await;
    send(&app, &message("b", "Alert", "", "Actual", &["North"]).replace("Storm", "Gale")).await;
    let told = lines(&app.told("alerts/North/#", 1).await);
    assert_eq!(told, ["alerts/North/alert: open Gale 07:15-08:15 sticky"], "only the one that nobody cancelled");
    app.stop().await;
}

async fn a_cancel_ends_no_alert_that_others_have_joined(given: Given) {
    let app = App::start(given).await;
    send(&app, &message("a", "Alert", "", "Actual", &["North"])).await;
    send(&app, &message("b", "Alert", "", "Actual", &["North"])).await;
    app.told("alerts/#", 2).await;
    send(&app, &message("c", "Cancel", &about("a"), "Actual", &[])).await;
    app.told("alerts-raw/+/end", 1).await;
    send(&app, &message("d", "Alert", "", "Actual", &["North"])).await;
    let told = lines(&app.told("alerts/#", 3).await);
    assert!(told.iter().all(|line| line.contains(": open Storm")), "{told:?}");
    app.stop().await;
}

async fn a_test_or_exercise_is_told_elsewhere_in_other_words_and_ends_no_alert(given: Given) {
    let app = App::start(given).await;
    send(&app, &message("a", "Alert", "", "Actual", &["North"])).await;
    send(&app, &message("t", "Alert", "", "Test", &["North"])).await;
    send(&app, &message("e", "Alert", "", "Exercise", &["North"])).await;
    // A test's cancel is about the test of that name, and there is none.
    send(&app, &message("c", "Cancel", &about("a"), "Test", &[])).await;
    send(&app, &message("z", "Alert", "", "Actual", &["Zone"])).await;
    app.told("alerts/Zone/#", 1).await;
    send(&app, &message("y", "Cancel", &about("z"), "Actual", &[])).await;
    app.told("alerts/Zone/all-clear", 1).await;
    let test = lines(&app.told("alerts-test/#", 1).await);
    assert_eq!(test, ["alerts-test/North/alert: test-open TEST: Storm 07:15-08:15 sticky"]);
    let exercise = lines(&app.told("alerts-exercise/#", 1).await);
    assert_eq!(exercise, ["alerts-exercise/North/alert: exercise-open EXERCISE: Storm 07:15-08:15 sticky"]);
    assert_eq!(app.past("alerts/North/#").await.len(), 1, "nothing has ended it");
    send(&app, &message("x", "Cancel", &about("a"), "Actual", &[])).await;
    let told = lines(&app.told("alerts/North/#", 3).await);
    assert_eq!(told[0], "alerts/North/alert: open Storm 07:15-08:15 sticky");
    assert_eq!(told[1], "alerts/North/all-clear: all-clear Storm 07:15-08:15");
    app.clock.advance(Duration::from_secs(3_600));
    assert_eq!(
        lines(&app.told("alerts-test/#", 3).await)[1],
        "alerts-test/North/all-clear: test-all-clear TEST: Storm 07:15-08:15"
    );
    app.stop().await;
}

/// On several workers what an Update refers to may be handled before what it says itself.
async fn an_update_ends_nothing_where_it_says_something_in_whatever_order_its_parts_are_handled(given: Given) {
    let app = App::start(given).await;
    send(&app, &message("a", "Alert", "", "Actual", &["North", "South"])).await;
    app.told("alerts/#", 2).await;
    let identity = format!("met@example,a,{}", super::support::BEGIN.as_micros());
    let references = serde_json::json!({ "ends": [identity], "lane": "actual", "but": ["North"] });
    app.publish("alerts-raw/-/references", &references.to_string()).await;
    app.told("alerts/South/all-clear", 1).await;
    send(&app, &message("b", "Update", &about("a"), "Actual", &["North"]).replace("Storm", "Gale")).await;
    let told = lines(&app.told("alerts/North/#", 2).await);
    assert_eq!(told[1], "alerts/North/update: update Gale 07:15-08:15 sticky");
    app.stop().await;
}

async fn a_pre_alert_is_never_told_as_an_alert(given: Given) {
    let app = App::start(given).await;
    let warning = message("p", "Alert", "", "Actual", &["North"]).replace("Immediate", "Future");
    send(&app, &warning).await;
    assert_eq!(lines(&app.told("alerts/#", 1).await), ["alerts/North/pre-alert: pre-alert Storm 07:15-08:15 sticky"]);
    send(&app, &message("a", "Alert", "", "Actual", &["North"])).await;
    assert_eq!(lines(&app.told("alerts/+/alert", 1).await), ["alerts/North/alert: open Storm 07:15-08:15 sticky"]);
    app.clock.advance(Duration::from_secs(3_600));
    let told = lines(&app.told("alerts/+/pre-alert", 3).await);
    assert_eq!(
        told[1..],
        ["alerts/North/pre-alert: pre-alert-end Storm 07:15-08:15", "alerts/North/pre-alert: over sticky"]
    );
    app.stop().await;
}

async fn an_all_clear_by_cap_ends_what_is_active(given: Given) {
    let app = App::start(given).await;
    send(&app, &message("a", "Alert", "", "Actual", &["North"])).await;
    let clear = message("b", "Alert", "", "Actual", &["North"])
        .replace("<urgency>", "<responseType>AllClear</responseType><urgency>");
    send(&app, &clear).await;
    let told = lines(&app.told("alerts/#", 3).await);
    assert_eq!(told[1..], ["alerts/North/all-clear: all-clear Storm 07:15-08:15", "alerts/North/alert: over sticky"]);
    app.stop().await;
}

async fn a_pre_alert_that_becomes_an_alert_gives_way_to_it_and_the_other_way_round(given: Given) {
    let app = App::start(given).await;
    send(&app, &message("p", "Alert", "", "Actual", &["North"]).replace("Immediate", "Future")).await;
    app.told("alerts/#", 1).await;
    send(&app, &message("a", "Update", &about("p"), "Actual", &["North"])).await;
    let told = lines(&app.told("alerts/#", 4).await);
    assert_eq!(
        told[1..],
        [
            "alerts/North/alert: open Storm 07:15-08:15 sticky",
            "alerts/North/pre-alert: pre-alert-end Storm 07:15-08:15",
            "alerts/North/pre-alert: over sticky",
        ]
    );
    send(&app, &message("q", "Update", &about("a"), "Actual", &["North"]).replace("Immediate", "Future")).await;
    let told = lines(&app.told("alerts/#", 7).await);
    assert_eq!(
        told[4..],
        [
            "alerts/North/all-clear: all-clear Storm 07:15-08:15",
            "alerts/North/alert: over sticky",
            "alerts/North/pre-alert: pre-alert Storm 07:15-08:15 sticky",
        ]
    );
    send(&app, &message("c", "Cancel", &about("q"), "Actual", &[])).await;
    let told = lines(&app.told("alerts/#", 9).await);
    assert_eq!(told[7], "alerts/North/pre-alert: pre-alert-end Storm 07:15-08:15");
    app.stop().await;
}
