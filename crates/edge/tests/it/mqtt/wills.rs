//! Wills: when they're published and when they aren't.

use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_edge::mqtt::packet::{Connect, Disconnect, PayloadFormat, PublishProperties, Qos, Reason, Version, Will};

use super::client::{BOTH, Client, QOS, hello, publication, text, will};
use super::place::Place;

async fn watcher(place: &Place) -> Client {
    let mut watcher = place.client(Version::V5, "watcher").await;
    watcher.subscribe("gone", Qos::ExactlyOnce).await;
    watcher
}

/// Publishes "sentinel" where wills go: what comes before it was published before.
async fn sentinel(place: &Place) {
    place.client(Version::V5, "sentinel").await.publish_as(publication("gone", "sentinel"), Qos::ExactlyOnce).await;
}

fn with_will(version: Version, will: Will) -> Connect {
    Connect { will: Some(will), ..hello(version, "c") }
}

#[tokio::test]
async fn a_connection_that_breaks_publishes_the_will() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    for version in BOTH {
        for qos in QOS {
            let (client, _) = place.connect(&with_will(version, Will { qos, ..will("gone", "broke") })).await;
            client.vanish();
            let got = watcher.take().await;
            assert_eq!((text(&got).as_str(), got.qos, got.retain), ("broke", qos, false));
        }
    }
}

#[tokio::test]
async fn a_good_bye_takes_the_will_away() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    for version in BOTH {
        let (client, _) = place.connect(&with_will(version, will("gone", "unwanted"))).await;
        client.leave().await;
        place.all_but(1).await;
        sentinel(&place).await;
        assert_eq!(watcher.payloads(1).await, ["sentinel"]);
        // It was this connection's will: the next one has none.
        let (client, _) = place.connect(&hello(version, "c")).await;
        client.vanish();
        place.all_but(1).await;
        sentinel(&place).await;
        assert_eq!(watcher.payloads(1).await, ["sentinel"]);
    }
}

#[tokio::test]
async fn disconnect_with_any_other_reason_publishes_the_will() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    for reason in [Reason::DISCONNECT_WITH_WILL, Reason::UNSPECIFIED_ERROR, Reason::QUOTA_EXCEEDED] {
        let (client, _) = place.connect(&with_will(Version::V5, will("gone", "on purpose"))).await;
        client.leave_with(Disconnect::because(reason)).await;
        assert_eq!(watcher.payloads(1).await, ["on purpose"]);
    }
}

#[tokio::test]
async fn a_client_that_breaks_a_rule_has_its_will_published() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    for version in BOTH {
        let (mut client, _) = place.connect(&with_will(version, will("gone", "broke a rule"))).await;
        client.send(b"\x36").await;
        client.ended().await;
        assert_eq!(watcher.payloads(1).await, ["broke a rule"]);
    }
}

#[tokio::test]
async fn a_will_may_be_retained() {
    let place = Place::new().await;
    for version in BOTH {
        for retain in [true, false] {
            let topic = format!("wills/{version:?}/{retain}");
            let mut now = place.client(Version::V5, "now").await;
            now.subscribe("wills/#", Qos::AtMostOnce).await;
            let (client, _) = place.connect(&with_will(version, Will { retain, ..will(&topic, "x") })).await;
            client.vanish();
            while now.delivery().await.topic.as_str() != topic {}
        }
    }
    let mut newcomer = place.client(Version::V5, "newcomer").await;
    newcomer.subscribe("wills/#", Qos::AtLeastOnce).await;
    place.client(Version::V5, "sentinel").await.publish("wills/sentinel", "sentinel").await;
    let (one, two) = (newcomer.take().await, newcomer.take().await);
    assert!(one.retain && two.retain);
    assert_eq!((one.topic.as_str(), two.topic.as_str()), ("wills/V311/true", "wills/V5/true"));
    assert_eq!(newcomer.payloads(1).await, ["sentinel"]);
}

#[tokio::test]
async fn a_wills_properties_are_passed_on_in_order() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    let properties = PublishProperties {
        payload_format: Some(PayloadFormat::Text),
        message_expiry: Some(60),
        response_topic: Some("answers".into()),
        correlation_data: Some(Bytes::from_static(b"\0\xff")),
        user_properties: vec![("b".into(), "1".into()), ("a".into(), "2".into()), ("b".into(), "3".into())],
        content_type: Some("t".into()),
        ..PublishProperties::default()
    };
    let will = Will { properties: Some(Box::new(properties.clone())), ..will("gone", "x") };
    let (client, _) = place.connect(&with_will(Version::V5, will)).await;
    client.vanish();
    assert_eq!(watcher.take().await.properties.as_deref(), Some(&properties));
}

/// A client whose session lasts, with a will that waits for `delay` seconds.
fn patient(delay: u32, expiry: u32) -> Connect {
    let mut connect = with_will(Version::V5, Will { delay, ..will("gone", "late") });
    connect.clean_start = false;
    connect.properties.session_expiry = expiry;
    connect
}

#[tokio::test]
async fn a_will_waits_for_its_delay() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    let (client, _) = place.connect(&patient(1, 60)).await;
    let begun = Instant::now();
    client.vanish();
    assert_eq!(watcher.payloads(1).await, ["late"]);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_that_comes_back_to_its_session_in_time_has_its_will_taken_away() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    let (client, _) = place.connect(&patient(1, 60)).await;
    client.vanish();
    place.all_but(1).await;
    let (_client, answer) = place.connect(&Connect { will: None, ..patient(0, 60) }).await;
    assert!(answer.session_present);
    // The will of a later client, with the same delay, comes first.
    let mut other = patient(1, 60);
    other.client_id = "other".into();
    other.will = Some(Will { delay: 1, ..will("gone", "the other's") });
    let (other, _) = place.connect(&other).await;
    other.vanish();
    assert_eq!(watcher.payloads(1).await, ["the other's"]);
}

#[tokio::test]
async fn a_session_that_ends_before_the_delay_publishes_the_will_then() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    // The session ends with the connection.
    let (client, _) = place.connect(&patient(3_600, 0)).await;
    client.vanish();
    assert_eq!(watcher.payloads(1).await, ["late"]);
    // The session ends a second after it.
    let (client, _) = place.connect(&patient(3_600, 1)).await;
    client.vanish();
    assert_eq!(watcher.payloads(1).await, ["late"]);
}

#[tokio::test]
async fn a_clean_start_ends_the_session_and_so_publishes_the_will_that_waits() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    let (client, _) = place.connect(&patient(3_600, 3_600)).await;
    client.vanish();
    place.all_but(1).await;
    let (_client, answer) = place.connect(&hello(Version::V5, "c")).await;
    assert!(!answer.session_present);
    assert_eq!(watcher.payloads(1).await, ["late"]);
}

#[tokio::test]
async fn a_take_over_publishes_the_will_unless_it_waits_for_the_same_session() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    for (delay, clean_start, is_published) in
        [(0, false, true), (0, true, true), (3_600, true, true), (3_600, false, false)]
    {
        let (mut old, _) = place.connect(&patient(delay, 3_600)).await;
        let new = Connect { clean_start, will: None, ..patient(0, 3_600) };
        let (new, _) = place.connect(&new).await;
        assert_eq!(old.ended().await, Some(Reason::SESSION_TAKEN_OVER));
        sentinel(&place).await;
        let expected: &[&str] = if is_published { &["late", "sentinel"] } else { &["sentinel"] };
        assert_eq!(watcher.payloads(expected.len()).await, expected, "delay {delay}, clean start {clean_start}");
        new.leave_with(Disconnect { session_expiry: Some(0), ..Disconnect::because(Reason::SUCCESS) }).await;
    }
}

#[tokio::test]
async fn a_will_for_what_may_not_be_published_refuses_the_connection() {
    let place = Place::with_secrets().await;
    for version in BOTH {
        let (mut client, answer) = place.connect(&with_will(version, will("secret", "x"))).await;
        assert_eq!(answer.reason, Reason::NOT_AUTHORIZED);
        assert_eq!(client.next_or_end().await, None);
        let (_client, answer) = place.connect(&with_will(version, will("$SYS/x", "x"))).await;
        assert_eq!(answer.reason, Reason::NOT_AUTHORIZED);
    }
}
