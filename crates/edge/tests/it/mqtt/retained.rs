//! Retained messages: the latest of a topic, for whoever comes.

use headwater_edge::mqtt::packet::{Publish, Qos, Reason, RetainHandling, SubscribeOptions, Version};

use super::client::{BOTH, Client, QOS, options, publication, text, with_properties};
use super::place::Place;

fn retained(topic: &str, payload: &str) -> Publish {
    Publish { retain: true, ..publication(topic, payload) }
}

/// What a newcomer gets first for this filter, up to the sentinel that is published then.
async fn states(place: &Place, version: Version, filter: &str) -> Vec<Publish> {
    let mut source = place.client(version, "sentinel").await;
    let mut watcher = place.client(version, "newcomer").await;
    watcher.subscribe(filter, Qos::ExactlyOnce).await;
    source.publish("r/sentinel", "").await;
    let mut states = Vec::new();
    loop {
        let got = watcher.take().await;
        if got.topic.as_str() == "r/sentinel" {
            return states;
        }
        states.push(got);
    }
}

fn payloads(states: &[Publish]) -> Vec<String> {
    states.iter().map(text).collect()
}

#[tokio::test]
async fn a_newcomer_gets_the_latest_of_each_topic_as_retained() {
    let place = Place::new().await;
    for version in BOTH {
        let mut source = place.client(version, "source").await;
        for qos in QOS {
            source.publish_as(retained("r/a", "old"), qos).await;
            source.publish_as(retained("r/a", "new"), qos).await;
            source.publish_as(publication("r/a", "not kept"), Qos::AtLeastOnce).await;
            source.ping().await;
            let states = states(&place, version, "r/#").await;
            assert_eq!(payloads(&states), ["new"]);
            assert_eq!((states[0].retain, states[0].dup, states[0].qos), (true, false, qos));
        }
    }
}

#[tokio::test]
async fn an_empty_one_ends_the_state_and_is_told_to_those_who_watch() {
    let place = Place::new().await;
    for version in BOTH {
        let mut source = place.client(version, "source").await;
        let mut watcher = place.client(version, "watcher").await;
        watcher.subscribe("r/a", Qos::AtLeastOnce).await;
        for qos in QOS {
            source.publish_as(retained("r/a", "state"), qos).await;
            source.publish_as(retained("r/a", ""), qos).await;
            source.ping().await;
            assert_eq!(watcher.payloads(2).await, ["state", ""]);
            assert_eq!(payloads(&states(&place, version, "r/#").await), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn the_flag_is_gone_for_those_who_watch_unless_they_want_it_as_published() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    let mut plain = place.client(Version::V5, "plain").await;
    let mut older = place.client(Version::V311, "older").await;
    let mut faithful = place.client(Version::V5, "faithful").await;
    plain.subscribe("r/+", Qos::ExactlyOnce).await;
    older.subscribe("r/+", Qos::ExactlyOnce).await;
    let as_published = SubscribeOptions { retain_as_published: true, ..options(Qos::ExactlyOnce) };
    faithful.subscribe_with("r/+", as_published, None).await;
    for qos in QOS {
        for retain in [true, false] {
            let publish = Publish { retain, ..publication("r/a", "x") };
            source.publish_as(publish, qos).await;
            assert!(!plain.take().await.retain);
            assert!(!older.take().await.retain);
            assert_eq!(faithful.take().await.retain, retain);
        }
    }
}

#[tokio::test]
async fn a_state_is_told_at_the_lower_quality_with_its_properties() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    let properties = headwater_edge::mqtt::packet::PublishProperties {
        user_properties: vec![("k".into(), "v".into())],
        content_type: Some("t".into()),
        ..Default::default()
    };
    let state = Publish { retain: true, ..with_properties("r/a", "x", properties.clone()) };
    source.publish_as(state, Qos::ExactlyOnce).await;
    for granted in QOS {
        let mut watcher = place.client(Version::V5, "watcher").await;
        watcher.subscribe("r/a", granted).await;
        let got = watcher.take().await;
        assert_eq!((got.qos, got.retain, got.properties.as_deref()), (granted, true, Some(&properties)));
    }
}

async fn handles(client: &mut Client, handling: RetainHandling) -> Reason {
    client
        .subscribe_with("r/+", SubscribeOptions { retain_handling: handling, ..options(Qos::AtLeastOnce) }, None)
        .await
}

#[tokio::test]
async fn retain_handling_says_when_states_are_told() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    source.retain("r/a", "state").await;
    // (handling, told when new, told when it was there)
    for (handling, when_new, when_there) in [
        (RetainHandling::Always, true, true),
        (RetainHandling::WhenNew, true, false),
        (RetainHandling::Never, false, false),
    ] {
        let mut client = place.client(Version::V5, "c").await;
        for told in [when_new, when_there] {
            assert_eq!(handles(&mut client, handling).await, Reason::GRANTED_QOS_1);
            source.publish("r/b", "event").await;
            if told {
                let state = client.take().await;
                assert_eq!((text(&state).as_str(), state.retain), ("state", true), "{handling:?}");
            }
            let event = client.take().await;
            assert_eq!((text(&event).as_str(), event.retain), ("event", false), "{handling:?}");
        }
        // Unsubscribed, it is new again.
        client.unsubscribe(&["r/+"]).await;
        handles(&mut client, handling).await;
        source.publish("r/b", "event").await;
        let expected: &[&str] = if when_new { &["state", "event"] } else { &["event"] };
        assert_eq!(client.payloads(expected.len()).await, expected, "{handling:?}");
    }
}

#[tokio::test]
async fn a_subscription_of_3_1_1_that_is_made_again_tells_the_states_again() {
    let place = Place::new().await;
    let mut source = place.client(Version::V311, "source").await;
    source.retain("r/a", "state").await;
    let mut client = place.client(Version::V311, "c").await;
    for _ in 0..2 {
        client.subscribe("r/+", Qos::AtLeastOnce).await;
        let state = client.take().await;
        assert_eq!((text(&state).as_str(), state.retain), ("state", true));
    }
}

#[tokio::test]
async fn a_session_that_is_taken_up_is_not_told_the_states_again() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    source.retain("r/a", "state").await;
    let (mut client, _) = place.kept(Version::V5, "c").await;
    client.subscribe("r/+", Qos::AtLeastOnce).await;
    assert_eq!(client.payloads(1).await, ["state"]);
    client.leave().await;
    let (mut client, present) = place.kept(Version::V5, "c").await;
    assert!(present);
    source.publish("r/b", "event").await;
    assert_eq!(client.payloads(1).await, ["event"]);
}

#[tokio::test]
async fn states_do_not_end_with_the_session_of_whoever_published_them() {
    let place = Place::new().await;
    for version in BOTH {
        let mut source = place.client(version, "source").await;
        source.retain("r/a", "stays").await;
        source.leave().await;
        let newcomer = place.client(version, "source").await;
        assert_eq!(payloads(&states(&place, version, "r/#").await), ["stays"]);
        newcomer.leave().await;
    }
}

#[tokio::test]
async fn a_state_that_expired_is_not_told() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    let properties = headwater_edge::mqtt::packet::PublishProperties { message_expiry: Some(10), ..Default::default() };
    let state = Publish { retain: true, ..with_properties("r/a", "x", properties) };
    source.publish_as(state, Qos::AtLeastOnce).await;
    place.clock.advance(std::time::Duration::from_secs(4));
    let states_now = states(&place, Version::V5, "r/#").await;
    assert_eq!(states_now[0].properties.as_ref().unwrap().message_expiry, Some(6));
    place.clock.advance(std::time::Duration::from_secs(6));
    assert!(states(&place, Version::V5, "r/#").await.is_empty());
}

#[tokio::test]
async fn many_states_arrive_complete_under_a_small_window() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    for number in 0..300 {
        source.publish_as(retained(&format!("r/{number}"), &number.to_string()), Qos::AtMostOnce).await;
    }
    source.ping().await;
    let mut connect = super::client::hello(Version::V5, "c");
    connect.properties.receive_maximum = 3;
    let (mut client, _) = place.connect(&connect).await;
    client.subscribe("r/+", Qos::AtLeastOnce).await;
    let mut seen: Vec<u32> = Vec::new();
    for _ in 0..300 {
        let state = client.take().await;
        assert!(state.retain);
        seen.push(text(&state).parse().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
}
