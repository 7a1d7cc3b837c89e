//! What no client may say, and packets out of their place: the server ends the connection, and 5.0 is told why.

use headwater_edge::mqtt::MqttSettings;
use headwater_edge::mqtt::packet::{Auth, ConnAck, Connect, FromServer, Packet, Qos, Reason, Version};
use headwater_event::Text;
use headwater_hub::Access;

use super::client::{BOTH, hello, publication, text, will};
use super::place::Place;

#[tokio::test]
async fn nothing_is_heard_before_connect() {
    let place = Place::new().await;
    for bytes in [
        &b"\x30\x03\0\x01a"[..],
        b"\x40\x02\0\x01",
        b"\x82\x06\0\x01\0\x01a\0",
        b"\xa2\x05\0\x01\0\x01a",
        b"\xc0\0",
        b"\xe0\0",
        b"\xf0\0",
        b"\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut client = place.open(Version::V5).await;
        client.send(bytes).await;
        assert_eq!(client.next_or_end().await, None, "{bytes:x?} is not answered");
    }
    assert_eq!(place.hub.head().seq, 0);
}

#[tokio::test]
async fn a_second_connect_ends_the_connection_and_publishes_the_will() {
    let place = Place::new().await;
    for version in BOTH {
        let mut watcher = place.client(version, "watcher").await;
        watcher.subscribe("gone", Qos::AtLeastOnce).await;
        let connect = Connect { will: Some(will("gone", "twice")), ..hello(version, "c") };
        let (mut client, _) = place.connect(&connect).await;
        client.say(&Packet::Connect(Box::new(connect))).await;
        let expected = if version == Version::V5 { Some(Reason::PROTOCOL_ERROR) } else { None };
        assert_eq!(client.ended().await, expected);
        assert_eq!(text(&watcher.take().await), "twice");
    }
}

/// What is broken, its bytes, and what 5.0 is told.
type Row = (&'static str, &'static [u8], Reason);

const IN_BOTH: &[Row] = &[
    ("packet type 0", b"\0\0", Reason::MALFORMED_PACKET),
    ("CONNACK", b"\x20\x03\0\0\0", Reason::PROTOCOL_ERROR),
    ("SUBACK", b"\x90\x04\0\x01\0\0", Reason::PROTOCOL_ERROR),
    ("UNSUBACK", b"\xb0\x04\0\x01\0\0", Reason::PROTOCOL_ERROR),
    ("PINGRESP", b"\xd0\0", Reason::PROTOCOL_ERROR),
    ("QoS 3", b"\x36\x06\0\x01a\0\x01\0", Reason::MALFORMED_PACKET),
    ("DUP at QoS 0", b"\x38\x04\0\x01a\0", Reason::MALFORMED_PACKET),
    ("PUBREL without its flags", b"\x60\x02\0\x01", Reason::MALFORMED_PACKET),
    ("SUBSCRIBE without its flags", b"\x80\x06\0\x01\0\x01a\0", Reason::MALFORMED_PACKET),
    ("UNSUBSCRIBE without its flags", b"\xa0\x05\0\x01\0\x01a", Reason::MALFORMED_PACKET),
    ("PINGREQ with flags", b"\xc1\0", Reason::MALFORMED_PACKET),
    ("PINGREQ with a body", b"\xc0\x01\0", Reason::MALFORMED_PACKET),
    ("DISCONNECT with flags", b"\xe1\0", Reason::MALFORMED_PACKET),
    ("a length of five bytes", b"\x30\xff\xff\xff\xff\x01", Reason::MALFORMED_PACKET),
    ("a packet that is too large", b"\x30\xff\xff\xff\x7f", Reason::PACKET_TOO_LARGE),
    ("a topic that isn't UTF-8", b"\x30\x05\0\x02\xc3\x28\0", Reason::MALFORMED_PACKET),
    ("a topic with U+0000", b"\x30\x04\0\x01\0\0", Reason::MALFORMED_PACKET),
    ("a topic with a line break", b"\x30\x04\0\x01\n\0", Reason::TOPIC_NAME_INVALID),
    ("a topic with a wildcard", b"\x30\x04\0\x01#\0", Reason::TOPIC_NAME_INVALID),
    ("packet id 0", b"\x32\x06\0\x01a\0\0\0", Reason::PROTOCOL_ERROR),
];

const IN_311: &[Row] = &[
    ("AUTH", b"\xf0\0", Reason::MALFORMED_PACKET),
    ("an empty topic", b"\x30\x02\0\0", Reason::TOPIC_NAME_INVALID),
    ("a reserved bit of SUBSCRIBE", b"\x82\x06\0\x01\0\x01a\x04", Reason::MALFORMED_PACKET),
    ("QoS 3 in SUBSCRIBE", b"\x82\x06\0\x01\0\x01a\x03", Reason::MALFORMED_PACKET),
    ("SUBSCRIBE without a filter", b"\x82\x02\0\x01", Reason::PROTOCOL_ERROR),
    ("UNSUBSCRIBE without a filter", b"\xa2\x02\0\x01", Reason::PROTOCOL_ERROR),
    ("an empty filter", b"\x82\x05\0\x01\0\0\0", Reason::TOPIC_FILTER_INVALID),
    ("a filter with # amid", b"\x82\x08\0\x01\0\x03#/a\0", Reason::TOPIC_FILTER_INVALID),
    ("DISCONNECT with a body", b"\xe0\x01\0", Reason::MALFORMED_PACKET),
];

const IN_5: &[Row] = &[
    ("AUTH without a method", b"\xf0\x06\x18\x04\x15\0\x01m", Reason::PROTOCOL_ERROR),
    ("a length longer than needed", b"\xc0\x80\0", Reason::MALFORMED_PACKET),
    ("an empty topic", b"\x30\x03\0\0\0", Reason::PROTOCOL_ERROR),
    ("alias 0", b"\x30\x07\0\x01a\x03\x23\0\0", Reason::TOPIC_ALIAS_INVALID),
    ("an alias beyond the maximum", b"\x30\x07\0\x01a\x03\x23\xff\xff", Reason::TOPIC_ALIAS_INVALID),
    ("an alias that has no topic yet", b"\x30\x06\0\0\x03\x23\0\x01", Reason::PROTOCOL_ERROR),
    ("a client's subscription identifier", b"\x30\x06\0\x01a\x02\x0b\x01", Reason::PROTOCOL_ERROR),
    ("a property twice", b"\x30\x08\0\x01a\x04\x01\0\x01\0", Reason::PROTOCOL_ERROR),
    ("a property of another packet", b"\x30\x07\0\x01a\x03\x21\0\x01", Reason::MALFORMED_PACKET),
    ("a response topic with a wildcard", b"\x30\x08\0\x01a\x04\x08\0\x01+", Reason::TOPIC_NAME_INVALID),
    ("a reserved bit of SUBSCRIBE", b"\x82\x07\0\x01\0\0\x01a\x40", Reason::MALFORMED_PACKET),
    ("retain handling 3", b"\x82\x07\0\x01\0\0\x01a\x30", Reason::PROTOCOL_ERROR),
    ("no local on a share", b"\x82\x10\0\x01\0\0\x0a$share/g/a\x04", Reason::PROTOCOL_ERROR),
    ("a share without a name", b"\x82\x0f\0\x01\0\0\x09$share//a\0", Reason::TOPIC_FILTER_INVALID),
    ("a share with a wildcard in its name", b"\x82\x10\0\x01\0\0\x0a$share/+/a\0", Reason::TOPIC_FILTER_INVALID),
    ("a share without a filter", b"\x82\x0f\0\x01\0\0\x09$share/g/\0", Reason::TOPIC_FILTER_INVALID),
    ("SUBSCRIBE without a filter", b"\x82\x03\0\x01\0", Reason::PROTOCOL_ERROR),
    ("UNSUBSCRIBE without a filter", b"\xa2\x03\0\x01\0", Reason::PROTOCOL_ERROR),
    ("a reason code that PUBACK doesn't have", b"\x40\x03\0\x01\x8e", Reason::MALFORMED_PACKET),
    ("a reason code that DISCONNECT doesn't have", b"\xe0\x01\x8e", Reason::MALFORMED_PACKET),
    ("an expiry where CONNECT had none", b"\xe0\x07\0\x05\x11\0\0\0\x01", Reason::PROTOCOL_ERROR),
];

#[tokio::test]
async fn what_is_malformed_ends_the_connection_and_changes_nothing() {
    let place = Place::new().await;
    let rows = [(Version::V311, IN_BOTH), (Version::V5, IN_BOTH), (Version::V311, IN_311), (Version::V5, IN_5)];
    for (version, rows) in rows {
        for (what, bytes, reason) in rows {
            let mut client = place.client(version, "hostile").await;
            client.send(bytes).await;
            let expected = if version == Version::V5 { Some(*reason) } else { None };
            assert_eq!(client.ended().await, expected, "{what}, {version:?}");
        }
    }
    assert_eq!(place.hub.head().seq, 0, "nothing was published, no session was kept");
}

#[tokio::test]
async fn packets_before_a_bad_one_are_answered_before_the_end() {
    let place = Place::new().await;
    let mut client = place.client(Version::V5, "c").await;
    client.send(b"\xc0\0\x32\x06\0\x01a\0\x07\0\xc1\0").await;
    assert_eq!(client.next().await, FromServer::PingResp);
    // The publication may be answered or not; it is stored all the same, as it was good.
    let last = match client.next_or_end().await {
        Some(FromServer::PubAck(ack)) => {
            assert_eq!(ack.packet_id, 7);
            client.next_or_end().await
        }
        other => other,
    };
    assert!(matches!(last, Some(FromServer::Disconnect(why)) if why.reason == Reason::MALFORMED_PACKET));
}

/// CONNECTs that aren't good, and what is answered before the end: in 3.1.1 a return code or nothing.
#[tokio::test]
async fn a_bad_connect_is_refused_in_its_own_language() {
    let place = Place::new().await;
    let rows: &[(&str, Version, &[u8], Option<Reason>)] = &[
        ("level 3", Version::V311, b"\x10\x0c\0\x04MQTT\x03\x02\0\0\0\0", Some(Reason::UNSUPPORTED_PROTOCOL_VERSION)),
        (
            "MQTT 3.1",
            Version::V311,
            b"\x10\x0e\0\x06MQIsdp\x03\x02\0\0\0\0",
            Some(Reason::UNSUPPORTED_PROTOCOL_VERSION),
        ),
        ("level 6", Version::V5, b"\x10\x0d\0\x04MQTT\x06\x02\0\0\0\0\0", Some(Reason::UNSUPPORTED_PROTOCOL_VERSION)),
        ("another protocol", Version::V5, b"\x10\x0d\0\x04MQXX\x05\x02\0\0\0\0\0", None),
        ("the reserved flag", Version::V311, b"\x10\x0c\0\x04MQTT\x04\x03\0\0\0\0", None),
        ("the reserved flag", Version::V5, b"\x10\x0d\0\x04MQTT\x05\x03\0\0\0\0\0", Some(Reason::MALFORMED_PACKET)),
        ("will QoS 3", Version::V311, b"\x10\x11\0\x04MQTT\x04\x1e\0\0\0\0\0\x01a\0\0", None),
        ("will flags without a will", Version::V311, b"\x10\x0c\0\x04MQTT\x04\x22\0\0\0\0", None),
        ("a password without a user", Version::V311, b"\x10\x0f\0\x04MQTT\x04\x42\0\0\0\0\0\x01p", None),
        ("a user that is missing", Version::V311, b"\x10\x0c\0\x04MQTT\x04\x82\0\0\0\0", None),
        ("bytes left over", Version::V311, b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\0x", None),
        ("bytes left over", Version::V5, b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\0x", Some(Reason::MALFORMED_PACKET)),
        (
            "receive maximum 0",
            Version::V5,
            b"\x10\x10\0\x04MQTT\x05\x02\0\0\x03\x21\0\0\0\0",
            Some(Reason::PROTOCOL_ERROR),
        ),
        (
            "a will to #",
            Version::V5,
            b"\x10\x12\0\x04MQTT\x05\x06\0\0\0\0\0\0\0\x01#\0\0",
            Some(Reason::TOPIC_NAME_INVALID),
        ),
        (
            "an id with a line break",
            Version::V311,
            b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01\n",
            Some(Reason::CLIENT_ID_NOT_VALID),
        ),
    ];
    for (what, version, bytes, reason) in rows {
        let mut client = place.open(*version).await;
        client.send(bytes).await;
        let answer = client.next_or_end().await;
        let expected = reason.map(|reason| FromServer::ConnAck(Box::new(ConnAck::because(reason))));
        assert_eq!(answer, expected, "{what}, {version:?}");
        if answer.is_some() {
            assert_eq!(client.next_or_end().await, None, "{what}, {version:?}");
        }
    }
}

#[tokio::test]
async fn what_follows_a_refused_connect_is_not_heard() {
    let place = Place::with_secrets().await;
    for version in BOTH {
        let connect = Connect { will: Some(will("secret", "x")), ..hello(version, "c") };
        let mut bytes = Vec::new();
        connect.encode(&mut bytes).unwrap();
        Packet::Publish(publication("a", "behind")).encode(version, &mut bytes).unwrap();
        let retained = headwater_edge::mqtt::packet::Publish { retain: true, ..publication("b", "behind") };
        Packet::Publish(retained).encode(version, &mut bytes).unwrap();
        let mut client = place.open(version).await;
        client.send(&bytes).await;
        assert_eq!(client.connack().await.reason, Reason::NOT_AUTHORIZED);
        assert_eq!(client.next_or_end().await, None);
    }
    assert_eq!(place.hub.head().seq, 0);
}

#[tokio::test]
async fn an_authentication_method_that_nobody_knows_is_refused() {
    let place = Place::new().await;
    let mut connect = hello(Version::V5, "c");
    connect.properties.authentication_method = Some(Text::from("KERBEROS"));
    let (mut client, answer) = place.connect(&connect).await;
    assert_eq!(answer.reason, Reason::BAD_AUTHENTICATION_METHOD);
    assert!(!answer.session_present);
    assert_eq!(client.next_or_end().await, None);
}

#[tokio::test]
async fn auth_is_refused_where_no_method_was_agreed_on() {
    let place = Place::new().await;
    for reason in [Reason::CONTINUE_AUTHENTICATION, Reason::RE_AUTHENTICATE] {
        let mut client = place.client(Version::V5, "c").await;
        let method = Some(Text::from("m"));
        client.say(&Packet::Auth(Auth { reason, method, data: None, explanation: None })).await;
        assert_eq!(client.ended().await, Some(Reason::PROTOCOL_ERROR));
    }
}

#[tokio::test]
async fn a_packet_above_the_announced_maximum_is_refused_before_it_comes() {
    let settings = MqttSettings { packet_len_max: 1_000, ..MqttSettings::default() };
    let place = Place::with(settings, Access::open()).await;
    let (mut client, answer) = place.connect(&hello(Version::V5, "c")).await;
    assert_eq!(answer.properties.maximum_packet_size, Some(1_000));
    // 1,000 bytes in all are taken: a head of 3 bytes, a topic of 3, no properties.
    let fits = publication("a", &"x".repeat(1_000 - 3 - 2 - 3 - 1));
    assert_eq!(client.publish_as(fits, Qos::AtLeastOnce).await, Reason::SUCCESS);
    client.send(b"\x32\xe6\x07").await;
    assert_eq!(client.ended().await, Some(Reason::PACKET_TOO_LARGE));
}

#[tokio::test]
async fn more_under_way_than_the_receive_maximum_ends_the_connection() {
    let settings = MqttSettings { in_flight_max: 3, ..MqttSettings::default() };
    let place = Place::with(settings, Access::open()).await;
    let (mut client, answer) = place.connect(&hello(Version::V5, "c")).await;
    assert_eq!(answer.properties.receive_maximum, 3);
    // Received and not released: they are under way until PUBCOMP.
    for id in 1..=3 {
        let publish = publication("a", "x");
        client
            .say(&Packet::Publish(headwater_edge::mqtt::packet::Publish {
                qos: Qos::ExactlyOnce,
                packet_id: id,
                ..publish
            }))
            .await;
        client.answer(headwater_edge::mqtt::packet::AckKind::PubRec, id).await;
    }
    let publish = publication("a", "x");
    client
        .say(&Packet::Publish(headwater_edge::mqtt::packet::Publish { qos: Qos::ExactlyOnce, packet_id: 4, ..publish }))
        .await;
    assert_eq!(client.ended().await, Some(Reason::RECEIVE_MAXIMUM_EXCEEDED));
}
