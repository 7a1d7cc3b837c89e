//! What clients publish: its exchanges, its properties, its aliases, its order.

use std::time::Duration;

use bytes::Bytes;
use headwater_edge::mqtt::packet::{
    Ack, AckKind, FromServer, Packet, PayloadFormat, Publish, PublishProperties, Qos, Reason, Version,
};
use headwater_event::Text;

use super::client::{BOTH, Client, QOS, publication, text, with_properties};
use super::place::Place;

/// A watcher of everything at QoS 2.
async fn watcher(place: &Place) -> Client {
    let mut watcher = place.client(Version::V5, "watcher").await;
    assert_eq!(watcher.subscribe("#", Qos::ExactlyOnce).await, Reason::GRANTED_QOS_2);
    watcher
}

#[tokio::test]
async fn each_quality_has_its_exchange() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    for version in BOTH {
        let mut client = place.client(version, "c").await;
        for (qos, id) in [(Qos::AtLeastOnce, 1), (Qos::ExactlyOnce, 65_535)] {
            client.say(&Packet::Publish(Publish { qos, packet_id: id, ..publication("a", "x") })).await;
            let ack = Ack::success(id);
            if qos == Qos::AtLeastOnce {
                assert_eq!(client.next().await, FromServer::PubAck(ack));
            } else {
                assert_eq!(client.next().await, FromServer::PubRec(ack.clone()));
                client.ack(AckKind::PubRel, id).await;
                assert_eq!(client.next().await, FromServer::PubComp(ack));
            }
            let got = watcher.take().await;
            assert_eq!((text(&got).as_str(), got.qos, got.dup, got.retain), ("x", qos, false, false));
        }
        client.publish_as(publication("a", "never mind"), Qos::AtMostOnce).await;
        assert_eq!(watcher.take().await.qos, Qos::AtMostOnce);
    }
}

#[tokio::test]
async fn acknowledgements_come_in_the_order_of_the_publications() {
    let place = Place::new().await;
    let mut client = place.client(Version::V5, "c").await;
    let mut expected = Vec::new();
    for id in 1..=200_u16 {
        let qos = if id % 3 == 0 { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
        client.say(&Packet::Publish(Publish { qos, packet_id: id, ..publication("a", "x") })).await;
        expected.push(match qos {
            Qos::ExactlyOnce => FromServer::PubRec(Ack::success(id)),
            _ => FromServer::PubAck(Ack::success(id)),
        });
    }
    for expected in expected {
        assert_eq!(client.next().await, expected);
    }
}

#[tokio::test]
async fn a_qos_2_publication_that_is_resent_before_its_release_is_told_once() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    for version in BOTH {
        let mut client = place.client(version, "c").await;
        let publish = Publish { qos: Qos::ExactlyOnce, packet_id: 7, ..publication("a", "once") };
        for dup in [false, true, false] {
            client.say(&Packet::Publish(Publish { dup, ..publish.clone() })).await;
            assert_eq!(client.answer(AckKind::PubRec, 7).await, Reason::SUCCESS);
        }
        client.ack(AckKind::PubRel, 7).await;
        assert_eq!(client.answer(AckKind::PubComp, 7).await, Reason::SUCCESS);
        // Released, the id stands for something new, DUP or not.
        let publish = Publish { dup: true, payload: Bytes::from_static(b"new"), ..publish };
        client.say(&Packet::Publish(publish)).await;
        assert_eq!(client.answer(AckKind::PubRec, 7).await, Reason::SUCCESS);
        assert_eq!(watcher.payloads(2).await, ["once", "new"]);
    }
}

#[tokio::test]
async fn an_id_of_qos_1_is_free_once_it_is_acknowledged_whatever_dup_says() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    let mut client = place.client(Version::V311, "c").await;
    for (payload, dup) in [("one", false), ("two", true)] {
        let publish = Publish { qos: Qos::AtLeastOnce, packet_id: 7, dup, ..publication("a", payload) };
        client.say(&Packet::Publish(publish)).await;
        assert_eq!(client.answer(AckKind::PubAck, 7).await, Reason::SUCCESS);
        let got = watcher.take().await;
        assert_eq!((text(&got).as_str(), got.dup), (payload, false), "DUP is not passed on");
    }
}

#[tokio::test]
async fn an_open_qos_2_publication_survives_the_connection() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    for version in BOTH {
        let publish = Publish { qos: Qos::ExactlyOnce, packet_id: 7, ..publication("a", "once") };
        let id = format!("{version:?}");
        let (mut client, _) = place.kept(version, &id).await;
        client.say(&Packet::Publish(publish.clone())).await;
        assert_eq!(client.answer(AckKind::PubRec, 7).await, Reason::SUCCESS);
        client.vanish();
        let (mut client, present) = place.kept(version, &id).await;
        assert!(present);
        client.say(&Packet::Publish(Publish { dup: true, ..publish })).await;
        assert_eq!(client.answer(AckKind::PubRec, 7).await, Reason::SUCCESS);
        client.ack(AckKind::PubRel, 7).await;
        assert_eq!(client.answer(AckKind::PubComp, 7).await, Reason::SUCCESS);
        client.publish("a", "next").await;
        assert_eq!(watcher.payloads(2).await, ["once", "next"]);
    }
}

#[tokio::test]
async fn a_release_of_nothing_is_completed_and_in_5_told_so() {
    let place = Place::new().await;
    for (version, reason) in [(Version::V311, Reason::SUCCESS), (Version::V5, Reason::PACKET_ID_NOT_FOUND)] {
        let mut client = place.client(version, "c").await;
        client.ack(AckKind::PubRel, 9).await;
        assert_eq!(client.answer(AckKind::PubComp, 9).await, reason);
    }
}

#[tokio::test]
async fn a_publication_that_is_not_allowed_is_refused_and_told_to_nobody() {
    let place = Place::with_secrets().await;
    let mut watcher = watcher(&place).await;
    let mut client = place.client(Version::V5, "c").await;
    for qos in QOS {
        let reason = client.publish_as(publication("secret", "x"), qos).await;
        assert_eq!(reason, if qos == Qos::AtMostOnce { Reason::SUCCESS } else { Reason::NOT_AUTHORIZED });
    }
    // Refused, the id of QoS 2 stands for something new (section 4.3.3).
    let refused = Publish { qos: Qos::ExactlyOnce, packet_id: 100, ..publication("secret", "x") };
    client.say(&Packet::Publish(refused)).await;
    assert_eq!(client.answer(AckKind::PubRec, 100).await, Reason::NOT_AUTHORIZED);
    let allowed = Publish { qos: Qos::ExactlyOnce, packet_id: 100, ..publication("open", "x") };
    client.say(&Packet::Publish(allowed)).await;
    assert_eq!(client.answer(AckKind::PubRec, 100).await, Reason::SUCCESS);
    assert_eq!(watcher.take().await.topic.as_str(), "open");
    // 3.1.1 has no word for it: the connection ends, and nothing is acknowledged.
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut client = place.client(Version::V311, "c").await;
        client.say(&Packet::Publish(Publish { qos, packet_id: 1, ..publication("secret", "x") })).await;
        assert_eq!(client.ended().await, None);
    }
}

#[tokio::test]
async fn all_properties_are_passed_on_unaltered_and_in_order() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    let mut client = place.client(Version::V5, "c").await;
    let pairs = [("b", "1"), ("a", "2"), ("b", "3"), ("", ""), ("content-type", "not it"), ("ü", "\u{feff}\u{1}")];
    for qos in QOS {
        for format in [None, Some(PayloadFormat::Bytes), Some(PayloadFormat::Text)] {
            let properties = PublishProperties {
                payload_format: format,
                message_expiry: Some(60),
                response_topic: Some(Text::from("answers/to me")),
                correlation_data: Some(Bytes::from_static(&[0, 255, 10])),
                user_properties: pairs.iter().map(|(name, value)| (Text::from(*name), Text::from(*value))).collect(),
                content_type: Some(Text::from("")),
                ..PublishProperties::default()
            };
            let publish = with_properties("a", "x", properties.clone());
            assert_eq!(client.publish_as(publish, qos).await, Reason::SUCCESS);
            let got = watcher.take().await;
            assert_eq!((got.qos, got.properties.as_deref()), (qos, Some(&properties)));
        }
    }
    let publish = with_properties("a", "x", PublishProperties::default());
    client.publish_as(publish, Qos::AtLeastOnce).await;
    assert_eq!(watcher.take().await.properties, None, "nothing is added");
}

#[tokio::test]
async fn correlation_data_that_is_empty_is_not_the_same_as_none() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    let mut client = place.client(Version::V5, "c").await;
    let properties = PublishProperties { correlation_data: Some(Bytes::new()), ..PublishProperties::default() };
    client.publish_as(with_properties("a", "x", properties.clone()), Qos::AtLeastOnce).await;
    assert_eq!(watcher.take().await.properties.as_deref(), Some(&properties));
}

#[tokio::test]
async fn properties_come_to_clients_of_3_1_1_as_nothing() {
    let place = Place::new().await;
    let mut watcher = place.client(Version::V311, "older").await;
    watcher.subscribe("#", Qos::AtLeastOnce).await;
    let mut client = place.client(Version::V5, "c").await;
    let properties = PublishProperties { content_type: Some(Text::from("t")), ..PublishProperties::default() };
    client.publish_as(with_properties("a", "x", properties), Qos::AtLeastOnce).await;
    let got = watcher.take().await;
    assert_eq!((text(&got).as_str(), got.properties), ("x", None));
}

#[tokio::test]
async fn what_expires_is_told_with_the_time_that_is_left_and_then_not_at_all() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    for version in BOTH {
        let id = format!("{version:?}");
        let (mut client, _) = place.kept(version, &id).await;
        client.subscribe("a", Qos::ExactlyOnce).await;
        client.leave().await;
        for (payload, seconds) in [("short", 10), ("long", 100)] {
            let properties = PublishProperties { message_expiry: Some(seconds), ..PublishProperties::default() };
            source.publish_as(with_properties("a", payload, properties), Qos::ExactlyOnce).await;
        }
        source.publish("a", "for ever").await;
        place.clock.advance(Duration::from_secs(10));
        let (mut client, _) = place.kept(version, &id).await;
        let long = client.take().await;
        assert_eq!(text(&long), "long");
        if version == Version::V5 {
            assert_eq!(long.properties.unwrap().message_expiry, Some(90));
        }
        assert_eq!(client.payloads(1).await, ["for ever"]);
        client.leave().await;
    }
}

#[tokio::test]
async fn what_was_sent_is_sent_again_though_it_has_expired() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    for version in BOTH {
        let id = format!("{version:?}");
        let (mut client, _) = place.kept(version, &id).await;
        client.subscribe("a", Qos::ExactlyOnce).await;
        let properties = PublishProperties { message_expiry: Some(10), ..PublishProperties::default() };
        source.publish_as(with_properties("a", "sent", properties), Qos::ExactlyOnce).await;
        let sent = client.delivery().await;
        client.vanish();
        place.all_but(1).await;
        place.clock.advance(Duration::from_secs(20));
        let (mut client, _) = place.kept(version, &id).await;
        let again = client.take().await;
        assert_eq!((again.packet_id, again.dup, text(&again).as_str()), (sent.packet_id, true, "sent"));
        client.leave().await;
    }
}

#[tokio::test]
async fn an_alias_stands_for_its_topic_until_the_connection_ends() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    let (mut client, answer) = place.connect(&super::client::hello(Version::V5, "c")).await;
    let most = answer.properties.topic_alias_maximum;
    assert!(most > 0);
    let by = |topic: &str, alias| {
        let properties = PublishProperties { topic_alias: Some(alias), ..PublishProperties::default() };
        with_properties(topic, "x", properties)
    };
    for (topic, alias, expected) in
        [("a", 1, "a"), ("", 1, "a"), ("b", most, "b"), ("", most, "b"), ("", 1, "a"), ("c", 1, "c"), ("", 1, "c")]
    {
        for qos in QOS {
            assert_eq!(client.publish_as(by(topic, alias), qos).await, Reason::SUCCESS);
            let got = watcher.take().await;
            assert_eq!((got.topic.as_str(), got.properties), (expected, None));
        }
    }
    client.leave().await;
    let mut client = place.client(Version::V5, "c").await;
    client.say(&Packet::Publish(by("", 1))).await;
    assert_eq!(client.ended().await, Some(Reason::PROTOCOL_ERROR), "the new connection knows no alias");
    let mut client = place.client(Version::V5, "c").await;
    client.say(&Packet::Publish(by("a", most + 1))).await;
    assert_eq!(client.ended().await, Some(Reason::TOPIC_ALIAS_INVALID));
}

#[tokio::test]
async fn publications_of_one_client_keep_their_order_at_each_quality() {
    let place = Place::new().await;
    for version in BOTH {
        let mut watcher = place.client(version, "watcher").await;
        watcher.subscribe("a/#", Qos::ExactlyOnce).await;
        let mut client = place.client(version, "c").await;
        for qos in QOS {
            for number in 0..100_u16 {
                let packet_id = if qos == Qos::AtMostOnce { 0 } else { number + 1 };
                let publish = Publish { qos, packet_id, ..publication("a/b", &number.to_string()) };
                client.say(&Packet::Publish(publish)).await;
            }
            let expected: Vec<_> = (0..100).map(|number: u16| number.to_string()).collect();
            assert_eq!(watcher.payloads(100).await, expected);
            if qos == Qos::ExactlyOnce {
                for id in 1..=100 {
                    client.ack(AckKind::PubRel, id).await;
                }
            }
            client.ping().await;
        }
    }
}

#[tokio::test]
async fn payloads_are_any_bytes_and_may_be_empty() {
    let place = Place::new().await;
    let mut watcher = watcher(&place).await;
    let mut client = place.client(Version::V311, "c").await;
    let all: Vec<u8> = (0..=255).collect();
    for payload in [Bytes::new(), Bytes::from(all), Bytes::from(vec![0xFF; 100_000])] {
        let publish = Publish { payload: payload.clone(), ..publication("a", "") };
        client.publish_as(publish, Qos::AtLeastOnce).await;
        assert_eq!(watcher.take().await.payload, payload);
    }
}

#[tokio::test]
async fn names_are_not_normalized() {
    let place = Place::new().await;
    let mut client = place.client(Version::V5, "c").await;
    let mut watcher = place.client(Version::V5, "watcher").await;
    // é as one character and as two; a byte order mark; case; blanks; empty levels.
    let names = ["\u{e9}", "e\u{301}", "\u{feff}a", "a", "A", " a", "a ", "/a", "a/", "a//b", "/"];
    for name in names {
        watcher.subscribe(name, Qos::AtLeastOnce).await;
    }
    for name in names {
        client.publish(name, name).await;
        let got = watcher.take().await;
        assert_eq!((got.topic.as_str(), text(&got).as_str()), (name, name));
    }
}
