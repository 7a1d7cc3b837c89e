//! SUBSCRIBE and UNSUBSCRIBE: what is answered, what is wanted, and in which way.

use headwater_edge::mqtt::packet::{
    FromServer, Packet, Qos, Reason, Subscribe, SubscribeOptions, Unsubscribe, Version,
};
use headwater_event::Text;

use super::client::{BOTH, QOS, options, publication, text};
use super::place::Place;

const GRANTED: [Reason; 3] = [Reason::SUCCESS, Reason::GRANTED_QOS_1, Reason::GRANTED_QOS_2];

#[tokio::test]
async fn each_filter_has_its_answer_in_order_under_the_packets_id() {
    let place = Place::with_secrets().await;
    for version in BOTH {
        let mut client = place.client(version, "c").await;
        let filters = [("a", 2), ("secret/#", 1), ("b", 0), ("$session/#", 1), ("c", 1)];
        let subscribe = Subscribe {
            packet_id: 65_535,
            id: None,
            filters: filters.iter().map(|(filter, qos)| (Text::from(*filter), options(QOS[*qos]))).collect(),
            user_properties: Vec::new(),
        };
        client.say(&Packet::Subscribe(subscribe)).await;
        let no = if version == Version::V5 { Reason::NOT_AUTHORIZED } else { Reason::UNSPECIFIED_ERROR };
        match client.next().await {
            FromServer::SubAck(answer) => {
                assert_eq!(answer.packet_id, 65_535);
                assert_eq!(answer.reasons, [GRANTED[2], no, GRANTED[0], no, GRANTED[1]]);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_subscription_of_the_same_filter_replaces_the_one_before() {
    let place = Place::new().await;
    for version in BOTH {
        let mut source = place.client(version, "source").await;
        let mut client = place.client(version, "c").await;
        for qos in [Qos::ExactlyOnce, Qos::AtMostOnce, Qos::AtLeastOnce] {
            assert_eq!(client.subscribe("a/+", qos).await, GRANTED[usize::from(qos.bits())]);
            source.publish_as(publication("a/b", "x"), Qos::ExactlyOnce).await;
            // Were there two subscriptions, the second copy would come before the next round's.
            assert_eq!(client.take().await.qos, qos);
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_while_a_subscription_is_replaced() {
    let place = Place::new().await;
    for version in BOTH {
        let mut source = place.client(version, "source").await;
        let mut client = place.client(version, "c").await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        let sender = tokio::spawn(async move {
            for number in 0..300 {
                source.publish("a", &number.to_string()).await;
            }
        });
        let mut next = 0;
        while next < 300 {
            if next % 50 == 25 {
                client.subscribe("a", Qos::AtLeastOnce).await;
            }
            let got = client.take().await;
            assert_eq!((text(&got), got.dup), (next.to_string(), false));
            next += 1;
        }
        sender.await.unwrap();
    }
}

#[tokio::test]
async fn an_unsubscribed_filter_is_told_nothing_more_and_others_go_on() {
    let place = Place::new().await;
    for version in BOTH {
        let mut source = place.client(version, "source").await;
        let mut client = place.client(version, "c").await;
        for filter in ["a/+", "b", "c"] {
            client.subscribe(filter, Qos::AtLeastOnce).await;
        }
        // Compared character by character: what matches the same topics is another filter.
        let reasons = client.unsubscribe(&["a/#", "A/+", "b"]).await;
        let (gone, none) = (Reason::SUCCESS, Reason::NO_SUBSCRIPTION_EXISTED);
        let expected: &[Reason] = if version == Version::V5 { &[none, none, gone] } else { &[] };
        assert_eq!(reasons, expected);
        for topic in ["b", "a/x", "c"] {
            source.publish(topic, topic).await;
        }
        assert_eq!(client.payloads(2).await, ["a/x", "c"]);
        client.unsubscribe(&["a/+", "c"]).await;
        client.subscribe("last", Qos::AtLeastOnce).await;
        for topic in ["a/x", "c", "last"] {
            source.publish(topic, topic).await;
        }
        assert_eq!(client.payloads(1).await, ["last"]);
    }
}

#[tokio::test]
async fn unsuback_has_the_packets_id_also_where_nothing_was_subscribed() {
    let place = Place::new().await;
    for version in BOTH {
        let mut client = place.client(version, "c").await;
        let filters = vec![Text::from("nothing")];
        let unsubscribe = Unsubscribe { packet_id: 4_711, filters, user_properties: Vec::new() };
        client.say(&Packet::Unsubscribe(unsubscribe)).await;
        assert!(matches!(client.next().await, FromServer::UnsubAck(answer) if answer.packet_id == 4_711));
    }
}

#[tokio::test]
async fn a_delivery_that_has_begun_is_completed_after_unsubscribe() {
    let place = Place::new().await;
    for version in BOTH {
        let mut source = place.client(version, "source").await;
        let mut client = place.client(version, "c").await;
        client.subscribe("a", Qos::ExactlyOnce).await;
        source.publish_as(publication("a", "x"), Qos::ExactlyOnce).await;
        let got = client.delivery().await;
        client.unsubscribe(&["a"]).await;
        client.settle(&got).await;
        client.ping().await;
    }
}

#[tokio::test]
async fn a_delivery_that_has_begun_comes_again_after_unsubscribe_and_reconnect() {
    let place = Place::new().await;
    for version in BOTH {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut source = place.client(version, "source").await;
            let id = format!("{version:?}{qos:?}");
            let (mut client, _) = place.kept(version, &id).await;
            client.subscribe("a", qos).await;
            client.subscribe("b", qos).await;
            for payload in ["done", "begun", "begun too"] {
                source.publish_as(publication("a", payload), qos).await;
            }
            let (done, one, two) = (client.delivery().await, client.delivery().await, client.delivery().await);
            client.settle(&done).await;
            client.unsubscribe(&["a"]).await;
            for (topic, payload) in [("a", "unwanted"), ("b", "wanted")] {
                source.publish_as(publication(topic, payload), qos).await;
            }
            assert_eq!(client.payloads(1).await, ["wanted"]);
            client.ping().await;
            client.vanish();
            source.publish_as(publication("a", "unwanted"), qos).await;
            // As often as it takes.
            let (mut client, _) = place.kept(version, &id).await;
            for before in [&one, &two] {
                let again = client.delivery().await;
                assert_eq!((again.packet_id, again.dup, &again.payload), (before.packet_id, true, &before.payload));
            }
            client.settle(&one).await;
            client.ping().await;
            client.vanish();
            let (mut client, _) = place.kept(version, &id).await;
            let again = client.take().await;
            assert_eq!((again.packet_id, again.dup, text(&again).as_str()), (two.packet_id, true, "begun too"));
            client.leave().await;
            let (mut client, _) = place.kept(version, &id).await;
            source.publish_as(publication("b", "last"), qos).await;
            assert_eq!(client.payloads(1).await, ["last"]);
            client.leave().await;
        }
    }
}

#[tokio::test]
async fn wildcards_match_as_the_specification_says() {
    let place = Place::new().await;
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "sport/tennis/player1/#",
            &["sport/tennis/player1", "sport/tennis/player1/score/wimbledon"],
            &["sport/tennis"],
        ),
        ("sport/#", &["sport", "sport/"], &["sports"]),
        ("sport/tennis/+", &["sport/tennis/player1", "sport/tennis/"], &["sport/tennis", "sport/tennis/p/ranking"]),
        ("+", &["finance"], &["/finance"]),
        ("+/+", &["/finance"], &["finance"]),
        ("/+", &["/finance"], &["finance"]),
        ("+/tennis/#", &["sport/tennis", "/tennis/x"], &["tennis"]),
        ("a//b", &["a//b"], &["a/b", "a/x/b"]),
    ];
    let mut source = place.client(Version::V5, "source").await;
    for (filter, matching, others) in cases {
        let mut client = place.client(Version::V311, "c").await;
        client.subscribe(filter, Qos::AtLeastOnce).await;
        for topic in others.iter().chain(*matching) {
            source.publish(topic, topic).await;
        }
        assert_eq!(client.payloads(matching.len()).await, *matching, "{filter}");
    }
}

#[tokio::test]
async fn a_wildcard_at_the_beginning_matches_nothing_that_begins_with_a_dollar() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    for (filter, matching) in [("#", "a/b"), ("+/broker/#", "x/broker/version")] {
        let mut client = place.client(Version::V5, "c").await;
        // $SYS topics have states, so one that matched would come first.
        client.subscribe(filter, Qos::AtLeastOnce).await;
        source.publish(matching, "x").await;
        assert_eq!(client.take().await.topic.as_str(), matching);
    }
}

#[tokio::test]
async fn sys_topics_are_told_to_those_who_ask_and_taken_from_nobody() {
    let place = Place::new().await;
    for version in BOTH {
        let mut client = place.client(version, "c").await;
        client.subscribe("$SYS/broker/version", Qos::AtLeastOnce).await;
        let got = client.take().await;
        assert_eq!((got.topic.as_str(), got.retain), ("$SYS/broker/version", true));
        assert!(text(&got).starts_with("headwater "));
    }
    let mut client = place.client(Version::V5, "c").await;
    let reason = client.publish_as(publication("$SYS/broker/version", "mine"), Qos::AtLeastOnce).await;
    assert_eq!(reason, Reason::NOT_AUTHORIZED);
}

#[tokio::test]
async fn no_local_keeps_a_clients_own_publications_away() {
    let place = Place::new().await;
    let no_local = SubscribeOptions { no_local: true, ..options(Qos::ExactlyOnce) };
    let mut other = place.client(Version::V5, "other").await;
    let (mut client, _) = place.kept(Version::V5, "c").await;
    client.subscribe_with("a", no_local, None).await;
    for qos in QOS {
        client.publish_as(publication("a", "own"), qos).await;
        other.publish_as(publication("a", "other"), qos).await;
        assert_eq!(client.payloads(1).await, ["other"]);
    }
    // The same client on another connection is still the same client.
    client.publish("a", "own").await;
    client.leave().await;
    let (mut client, present) = place.kept(Version::V5, "c").await;
    assert!(present);
    client.publish("a", "own").await;
    other.publish("a", "other").await;
    assert_eq!(client.payloads(1).await, ["other"]);
}

#[tokio::test]
async fn no_local_keeps_a_clients_own_states_away() {
    let place = Place::new().await;
    let no_local = SubscribeOptions { no_local: true, ..options(Qos::AtLeastOnce) };
    let mut client = place.client(Version::V5, "c").await;
    client.retain("a/own", "own").await;
    place.client(Version::V5, "other").await.retain("a/other", "other").await;
    client.subscribe_with("a/+", no_local, None).await;
    place.client(Version::V5, "other").await.publish("a/event", "event").await;
    assert_eq!(client.payloads(2).await, ["other", "event"]);
}

#[tokio::test]
async fn deliveries_carry_the_identifier_of_their_subscription() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    let (mut client, _) = place.kept(Version::V5, "c").await;
    source.retain("a/state", "state").await;
    let ids = |publish: &headwater_edge::mqtt::packet::Publish| {
        publish.properties.as_ref().map_or_else(Vec::new, |properties| properties.subscription_ids.clone())
    };
    client.subscribe_with("a/state", options(Qos::AtLeastOnce), Some(1)).await;
    assert_eq!(ids(&client.take().await), [1]);
    client.subscribe_with("a/b", options(Qos::ExactlyOnce), Some(268_435_455)).await;
    for qos in QOS {
        source.publish_as(publication("a/b", "x"), qos).await;
        assert_eq!(ids(&client.take().await), [268_435_455]);
    }
    // Replaced without one, it has none; with another, that one.
    for (id, expected) in [(None, vec![]), (Some(7), vec![7])] {
        client.subscribe_with("a/b", options(Qos::AtLeastOnce), id).await;
        source.publish("a/b", "x").await;
        assert_eq!(ids(&client.take().await), expected);
    }
    // It belongs to the session.
    client.leave().await;
    source.publish("a/b", "missed").await;
    let (mut client, _) = place.kept(Version::V5, "c").await;
    assert_eq!(ids(&client.take().await), [7]);
    // Subscriptions that overlap tell all of their identifiers, each with its copy.
    client
        .subscribe_with(
            "a/+",
            SubscribeOptions {
                retain_handling: headwater_edge::mqtt::packet::RetainHandling::Never,
                ..options(Qos::AtLeastOnce)
            },
            Some(8),
        )
        .await;
    source.publish("a/b", "both").await;
    let mut both = [ids(&client.take().await), ids(&client.take().await)].concat();
    both.sort_unstable();
    assert_eq!(both, [7, 8]);
}

#[tokio::test]
async fn user_properties_of_subscribe_and_unsubscribe_are_taken() {
    let place = Place::new().await;
    let mut client = place.client(Version::V5, "c").await;
    let pairs = vec![(Text::from("k"), Text::from("v")); 2];
    let filters = vec![(Text::from("a"), options(Qos::AtMostOnce))];
    let subscribe = Subscribe { packet_id: 1, id: Some(1), filters, user_properties: pairs.clone() };
    client.say(&Packet::Subscribe(subscribe)).await;
    assert!(matches!(client.next().await, FromServer::SubAck(answer) if answer.reasons == [Reason::SUCCESS]));
    let unsubscribe = Unsubscribe { packet_id: 2, filters: vec![Text::from("a")], user_properties: pairs };
    client.say(&Packet::Unsubscribe(unsubscribe)).await;
    assert!(matches!(client.next().await, FromServer::UnsubAck(answer) if answer.reasons == [Reason::SUCCESS]));
}
