//! What is delivered to clients: at which quality, how many at a time, and what comes again after a broken connection.

use std::collections::HashSet;

use headwater_edge::mqtt::packet::{
    Ack, AckKind, ConnAck, Connect, FromServer, Packet, Publish, Qos, Reason, Subscribe, Unsubscribe, Version,
};

use super::client::{BOTH, QOS, hello, options, publication, text};
use super::place::Place;

#[tokio::test]
async fn a_delivery_has_the_lower_of_both_qualities() {
    let place = Place::new().await;
    for version in BOTH {
        let mut source = place.client(version, "source").await;
        for granted in QOS {
            let mut watcher = place.client(version, "watcher").await;
            watcher.subscribe("a", granted).await;
            for published in QOS {
                source.publish_as(publication("a", "x"), published).await;
                let got = watcher.take().await;
                assert_eq!(got.qos, published.min(granted));
                assert_eq!(got.packet_id == 0, got.qos == Qos::AtMostOnce);
            }
        }
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_with_its_id_in_order_and_first() {
    let place = Place::new().await;
    for version in BOTH {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let id = format!("{version:?}{qos:?}");
            let mut source = place.client(version, "source").await;
            let (mut client, _) = place.kept(version, &id).await;
            client.subscribe("a", qos).await;
            for payload in ["1", "2", "3", "4"] {
                source.publish_as(publication("a", payload), qos).await;
            }
            let mut first = Vec::new();
            for _ in 0..4 {
                let got = client.delivery().await;
                assert!(!got.dup);
                first.push(got);
            }
            client.settle(&first[1]).await;
            client.ping().await;
            client.vanish();
            source.publish_as(publication("a", "missed"), qos).await;
            let (mut client, present) = place.kept(version, &id).await;
            assert!(present);
            for before in [&first[0], &first[2], &first[3]] {
                let again = client.take().await;
                assert!(again.dup, "{again:?}");
                assert_eq!((again.packet_id, &again.payload, again.qos), (before.packet_id, &before.payload, qos));
            }
            let missed = client.take().await;
            assert_eq!((text(&missed).as_str(), missed.dup), ("missed", false));
            client.leave().await;
        }
    }
}

#[tokio::test]
async fn what_was_received_at_qos_2_is_released_again_and_not_delivered_again() {
    let place = Place::new().await;
    for version in BOTH {
        let id = format!("{version:?}");
        let mut source = place.client(version, "source").await;
        let (mut client, _) = place.kept(version, &id).await;
        client.subscribe("a", Qos::ExactlyOnce).await;
        source.publish_as(publication("a", "once"), Qos::ExactlyOnce).await;
        let got = client.delivery().await;
        client.ack(AckKind::PubRec, got.packet_id).await;
        assert_eq!(client.next().await, FromServer::PubRel(Ack::success(got.packet_id)));
        // Received twice, released twice: the exchange goes on from where it is.
        client.ack(AckKind::PubRec, got.packet_id).await;
        assert_eq!(client.next().await, FromServer::PubRel(Ack::success(got.packet_id)));
        client.vanish();
        let (mut client, present) = place.kept(version, &id).await;
        assert!(present);
        assert_eq!(client.next().await, FromServer::PubRel(Ack::success(got.packet_id)));
        client.ack(AckKind::PubComp, got.packet_id).await;
        source.publish_as(publication("a", "next"), Qos::ExactlyOnce).await;
        assert_eq!(client.payloads(1).await, ["next"]);
        client.leave().await;
        // Completed, it isn't spoken of again.
        let (mut client, _) = place.kept(version, &id).await;
        source.publish_as(publication("a", "last"), Qos::ExactlyOnce).await;
        assert_eq!(client.payloads(1).await, ["last"]);
        client.leave().await;
    }
}

#[tokio::test]
async fn nothing_comes_again_while_the_connection_lasts() {
    let place = Place::new().await;
    for version in BOTH {
        let mut source = place.client(version, "source").await;
        let mut client = place.client(version, "c").await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        source.publish("a", "1").await;
        let one = client.delivery().await;
        // The subscription is replaced, and another comes: neither is a reason to send again.
        client.subscribe("a", Qos::ExactlyOnce).await;
        client.subscribe("b", Qos::ExactlyOnce).await;
        source.publish("a", "2").await;
        let two = client.delivery().await;
        assert_eq!((text(&two).as_str(), two.dup), ("2", false));
        client.settle(&two).await;
        client.settle(&one).await;
        source.publish("a", "3").await;
        assert_eq!(client.payloads(1).await, ["3"]);
    }
}

#[tokio::test]
async fn a_delivery_that_was_refused_by_its_receiver_is_over() {
    let place = Place::new().await;
    for (qos, kind) in [(Qos::AtLeastOnce, AckKind::PubAck), (Qos::ExactlyOnce, AckKind::PubRec)] {
        let id = format!("{qos:?}");
        let mut source = place.client(Version::V5, "source").await;
        let (mut client, _) = place.kept(Version::V5, &id).await;
        client.subscribe("a", qos).await;
        source.publish_as(publication("a", "unwanted"), qos).await;
        let got = client.delivery().await;
        client.ack_with(kind, got.packet_id, Reason::UNSPECIFIED_ERROR).await;
        client.ping().await;
        client.vanish();
        let (mut client, _) = place.kept(Version::V5, &id).await;
        source.publish_as(publication("a", "next"), qos).await;
        assert_eq!(client.payloads(1).await, ["next"]);
        client.leave().await;
    }
}

#[tokio::test]
async fn a_receipt_of_nothing_is_told_so() {
    let place = Place::new().await;
    for (version, reason) in [(Version::V311, Reason::SUCCESS), (Version::V5, Reason::PACKET_ID_NOT_FOUND)] {
        let mut client = place.client(version, "c").await;
        client.ack(AckKind::PubRec, 9).await;
        assert_eq!(client.answer(AckKind::PubRel, 9).await, reason);
        // Others are passed over: they end something that has ended.
        client.ack(AckKind::PubAck, 9).await;
        client.ack(AckKind::PubComp, 9).await;
        client.ping().await;
    }
}

#[tokio::test]
async fn no_more_is_under_way_than_the_receive_maximum() {
    let place = Place::new().await;
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut connect = hello(Version::V5, "c");
        connect.properties.receive_maximum = 2;
        let (mut client, _) = place.connect(&connect).await;
        client.subscribe("a", qos).await;
        client.subscribe("free", Qos::AtMostOnce).await;
        let mut source = place.client(Version::V5, "source").await;
        for payload in ["1", "2", "3", "4", "5"] {
            source.publish_as(publication("a", payload), qos).await;
        }
        let (one, two) = (client.delivery().await, client.delivery().await);
        assert_eq!((text(&one).as_str(), text(&two).as_str()), ("1", "2"));
        // Everything else goes on: QoS 0, and answers.
        source.publish_as(publication("free", "free"), Qos::AtMostOnce).await;
        assert_eq!(text(&client.delivery().await), "free");
        client.publish("elsewhere", "x").await;
        client.ping().await;
        if qos == Qos::ExactlyOnce {
            // PUBREC alone gives nothing free.
            client.ack(AckKind::PubRec, one.packet_id).await;
            assert_eq!(client.next().await, FromServer::PubRel(Ack::success(one.packet_id)));
            source.publish_as(publication("free", "still"), Qos::AtMostOnce).await;
            assert_eq!(text(&client.delivery().await), "still");
            client.ack(AckKind::PubComp, one.packet_id).await;
        } else {
            client.settle(&one).await;
        }
        let three = client.delivery().await;
        assert_eq!(text(&three), "3");
        source.publish_as(publication("free", "and still"), Qos::AtMostOnce).await;
        assert_eq!(text(&client.delivery().await), "and still");
        client.settle(&three).await;
        assert_eq!(client.payloads(1).await, ["4"]);
        client.settle(&two).await;
        assert_eq!(client.payloads(1).await, ["5"]);
    }
}

#[tokio::test]
async fn the_receive_maximum_holds_for_what_comes_again_too() {
    let place = Place::new().await;
    let mut connect = Connect { clean_start: false, ..hello(Version::V5, "c") };
    connect.properties.session_expiry = 60;
    let (mut client, _) = place.connect(&connect).await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    let mut source = place.client(Version::V5, "source").await;
    for number in 0..10 {
        source.publish("a", &number.to_string()).await;
        client.delivery().await;
    }
    client.vanish();
    connect.properties.receive_maximum = 1;
    let (mut client, _) = place.connect(&connect).await;
    client.subscribe("free", Qos::AtMostOnce).await;
    for number in 0..10 {
        let again = client.delivery().await;
        assert_eq!((text(&again), again.dup), (number.to_string(), true));
        source.publish_as(publication("free", "free"), Qos::AtMostOnce).await;
        assert_eq!(text(&client.delivery().await), "free");
        client.settle(&again).await;
    }
}

#[tokio::test]
async fn what_is_too_large_for_a_client_is_left_out_and_the_rest_goes_on() {
    let place = Place::new().await;
    for qos in QOS {
        let mut connect = Connect { clean_start: false, ..hello(Version::V5, "c") };
        connect.properties.session_expiry = 60;
        connect.properties.maximum_packet_size = Some(100);
        let (mut client, _) = place.connect(&connect).await;
        client.subscribe("a", qos).await;
        let mut source = place.client(Version::V5, "source").await;
        // A head of 2, a topic of 3, an id of 2 above QoS 0, no properties: 1.
        let fits = "x".repeat(if qos == Qos::AtMostOnce { 94 } else { 92 });
        for payload in ["before", &format!("{fits}x"), &fits, "after"] {
            source.publish_as(publication("a", payload), qos).await;
        }
        assert_eq!(client.payloads(3).await, ["before", &fits, "after"]);
        client.leave().await;
        let (mut client, _) = place.connect(&connect).await;
        source.publish_as(publication("a", "later"), qos).await;
        assert_eq!(client.payloads(1).await, ["later"], "it counts as delivered");
        client.unsubscribe(&["a"]).await;
        client.leave().await;
    }
}

#[tokio::test]
async fn no_answer_is_larger_than_the_clients_maximum() {
    let place = Place::new().await;
    let filters: Vec<_> = (0..50).map(|number| headwater_event::Text::from(format!("a/{number}"))).collect();
    let subscribe = Subscribe {
        packet_id: 1,
        id: None,
        filters: filters.iter().map(|filter| (filter.clone(), options(Qos::AtMostOnce))).collect(),
        user_properties: Vec::new(),
    };
    let unsubscribe = Unsubscribe { packet_id: 1, filters, user_properties: Vec::new() };
    for packet in [Packet::Subscribe(subscribe), Packet::Unsubscribe(unsubscribe)] {
        // An answer of 55 bytes.
        for (most, is_answered) in [(55, true), (54, false)] {
            let mut connect = hello(Version::V5, "c");
            connect.properties.maximum_packet_size = Some(most);
            let (mut client, answer) = place.connect(&connect).await;
            assert_eq!(answer.reason, Reason::SUCCESS);
            client.say(&packet).await;
            if is_answered {
                let answer = client.next().await;
                assert!(matches!(answer, FromServer::SubAck(_) | FromServer::UnsubAck(_)), "{answer:?}");
            } else {
                // Its words are left out too, where they'd make it too large.
                assert_eq!(client.ended().await, Some(Reason::PACKET_TOO_LARGE));
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_cannot_take_its_connack_is_refused_with_less() {
    let place = Place::new().await;
    // 1 is less than any packet has; 5 bytes are a CONNACK without words; the whole one tells a client id of 36 bytes.
    for (most, answer) in
        [(1, None), (4, None), (5, Some(Reason::PACKET_TOO_LARGE)), (40, Some(Reason::PACKET_TOO_LARGE))]
    {
        let mut connect = hello(Version::V5, "");
        connect.properties.maximum_packet_size = Some(most);
        let mut client = place.open(Version::V5).await;
        client.say(&Packet::Connect(Box::new(connect))).await;
        let got = client.next_or_end().await;
        let expected = answer.map(|reason| FromServer::ConnAck(Box::new(ConnAck::because(reason))));
        assert_eq!(got, expected, "{most}");
        if got.is_some() {
            assert_eq!(client.next_or_end().await, None);
        }
    }
}

#[tokio::test]
async fn a_goodbye_is_no_larger_than_the_clients_maximum() {
    let place = Place::new().await;
    let mut connect = hello(Version::V5, "c");
    connect.properties.maximum_packet_size = Some(22);
    let (mut client, _) = place.connect(&connect).await;
    client.say(&Packet::Connect(Box::new(hello(Version::V5, "c")))).await;
    match client.next().await {
        FromServer::Disconnect(disconnect) => {
            // With its words it would have 25 bytes.
            assert_eq!((disconnect.reason, disconnect.explanation), (Reason::PROTOCOL_ERROR, None));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn overlapping_subscriptions_each_get_their_copy_with_ids_that_are_free() {
    let place = Place::new().await;
    for version in BOTH {
        let mut source = place.client(version, "source").await;
        let mut client = place.client(version, "c").await;
        client.subscribe("a/+", Qos::AtLeastOnce).await;
        client.subscribe("a/#", Qos::ExactlyOnce).await;
        client.subscribe("#", Qos::AtMostOnce).await;
        source.publish_as(publication("a/b", "x"), Qos::ExactlyOnce).await;
        let (mut under_way, mut qualities) = (HashSet::new(), Vec::new());
        for _ in 0..3 {
            let got = client.delivery().await;
            qualities.push(got.qos);
            if got.qos > Qos::AtMostOnce {
                assert!(under_way.insert(got.packet_id), "two deliveries with id {} are under way", got.packet_id);
            }
            client.settle(&got).await;
            under_way.remove(&got.packet_id);
        }
        qualities.sort_unstable();
        assert_eq!(qualities, QOS, "the highest is among them");
    }
}

#[tokio::test]
async fn an_absent_session_misses_nothing_above_qos_0() {
    let place = Place::new().await;
    for version in BOTH {
        let id = format!("{version:?}");
        let (mut client, _) = place.kept(version, &id).await;
        client.subscribe("a", Qos::ExactlyOnce).await;
        client.leave().await;
        let mut source = place.client(version, "source").await;
        for (payload, qos) in [("0", Qos::AtMostOnce), ("1", Qos::AtLeastOnce), ("2", Qos::ExactlyOnce)] {
            source.publish_as(publication("a", payload), qos).await;
        }
        source.publish("a", "last").await;
        let (mut client, _) = place.kept(version, &id).await;
        let mut missed = Vec::new();
        while missed.last().is_none_or(|last| last != "last") {
            let got = client.take().await;
            // QoS 0 may be kept for an absent session, or not.
            if got.qos > Qos::AtMostOnce {
                missed.push(text(&got));
            }
        }
        assert_eq!(missed, ["1", "2", "last"]);
        client.leave().await;
    }
}

#[tokio::test]
async fn a_delivery_of_a_session_that_changed_its_protocol_goes_on() {
    let place = Place::new().await;
    let (mut client, _) = place.kept(Version::V311, "c").await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    let mut source = place.client(Version::V5, "source").await;
    source.publish("a", "1").await;
    let before = client.delivery().await;
    client.vanish();
    let (mut client, present) = place.kept(Version::V5, "c").await;
    assert!(present);
    let again = client.take().await;
    assert_eq!((again.packet_id, again.dup, text(&again).as_str()), (before.packet_id, true, "1"));
}

#[tokio::test]
async fn publishes_of_a_client_reach_itself() {
    let place = Place::new().await;
    for version in BOTH {
        let mut client = place.client(version, "c").await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        let publish = Publish { qos: Qos::AtLeastOnce, packet_id: 900, ..publication("a", "echo") };
        client.say(&Packet::Publish(publish)).await;
        assert_eq!(client.answer(AckKind::PubAck, 900).await, Reason::SUCCESS);
        assert_eq!(client.payloads(1).await, ["echo"]);
    }
}

#[tokio::test]
async fn whatever_is_published_after_suback_is_delivered() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    for round in 0..200 {
        let mut client = place.client(Version::V5, "c").await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        source.publish("a", &round.to_string()).await;
        assert_eq!(client.payloads(1).await, [round.to_string()]);
    }
}
