//! MQTT packets, as both sides read them.

use bytes::{BufMut as _, Bytes, BytesMut};
use headwater_edge::mqtt::packet::{
    Ack, Auth, ClientDecoder, ConnAck, ConnAckProperties, Connect, ConnectProperties, Decoder, Disconnect, Explanation,
    FromServer, Packet, Publish, PublishProperties, Qos, Reason, Secret, SubAck, Subscribe, SubscribeOptions, UnsubAck,
    Unsubscribe, Version, Will,
};
use headwater_event::{Filter, Text, Topic};

/// Small, so that the limit is met.
const PACKET_MAX: usize = 300;

/// The first byte says in what pieces the others come, and for a server's packets the version.
pub fn packets(data: &[u8]) {
    let Some((step, bytes)) = data.split_first() else { return };
    let whole = hear(bytes, bytes.len());
    assert_eq!(whole, hear(bytes, usize::from(*step % 32) + 1));
    let mut version = None;
    for packet in &whole.0 {
        if let Packet::Connect(connect) = packet {
            version = Some(connect.version);
        }
        judge(packet);
        let mut again = Vec::new();
        packet.encode(version.unwrap_or(Version::V5), &mut again).expect("what was read can be written");
        assert_eq!(hear_one(version, packet, &again).as_ref(), Some(packet), "what was written is read as it was");
    }
}

/// What a client says from its CONNECT on, and why it is heard no further.
fn hear(bytes: &[u8], step: usize) -> (Vec<Packet>, Option<(Reason, &'static str)>) {
    let (mut decoder, mut buffer, mut packets) = (Decoder::new(), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        buffer.put_slice(piece);
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(packet)) => {
                    if let Packet::Connect(connect) = &packet {
                        decoder.set(connect.version, PACKET_MAX);
                    }
                    packets.push(packet);
                }
                Ok(None) => break,
                Err(fault) => return (packets, Some((fault.reason, fault.why))),
            }
        }
        let waits_for = if packets.is_empty() { 64 * 1_024 } else { PACKET_MAX };
        assert!(!decoder.holds_packets() && buffer.len() < waits_for, "no more is kept than one packet");
    }
    (packets, None)
}

fn hear_one(version: Option<Version>, packet: &Packet, bytes: &[u8]) -> Option<Packet> {
    let mut decoder = Decoder::new();
    if let (Some(version), false) = (version, matches!(packet, Packet::Connect(_))) {
        // Defaults that were written out are left out, never the other way round: it doesn't get longer.
        decoder.set(version, PACKET_MAX);
    }
    decoder.next(&mut BytesMut::from(bytes)).ok().flatten()
}

/// What the decoder promises about names.
fn judge(packet: &Packet) {
    match packet {
        Packet::Publish(publish) => {
            let by_alias = publish.properties.as_ref().is_some_and(|properties| properties.topic_alias.is_some());
            assert!((publish.topic.is_empty() && by_alias) || Topic::new(publish.topic.clone()).is_ok());
            assert_eq!(publish.packet_id == 0, publish.qos == Qos::AtMostOnce);
        }
        Packet::Connect(connect) => {
            if let Some(will) = &connect.will {
                assert!(Topic::new(will.topic.clone()).is_ok());
            }
        }
        Packet::Subscribe(subscribe) => subscribe.filters.iter().for_each(|(filter, _)| judge_filter(filter)),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.iter().for_each(judge_filter),
        _ => {}
    }
}

fn judge_filter(filter: &Text) {
    let wanted = match filter.strip_prefix("$share/") {
        Some(shared) => shared.split_once('/').expect("a group and a filter").1,
        None => filter.as_str(),
    };
    assert!(Filter::new(wanted).is_ok());
}

/// The same for what a server says.
pub fn replies(data: &[u8]) {
    let Some((step, bytes)) = data.split_first() else { return };
    let version = if step & 0x80 == 0 { Version::V311 } else { Version::V5 };
    let whole = hear_server(version, bytes, bytes.len());
    assert_eq!(whole, hear_server(version, bytes, usize::from(*step % 32) + 1));
    let mut again = Vec::new();
    for packet in &whole.0 {
        packet.encode(version, &mut again).expect("what was read can be written");
    }
    assert_eq!(hear_server(version, &again, again.len()).0, whole.0, "what was written is read as it was");
}

fn hear_server(version: Version, bytes: &[u8], step: usize) -> (Vec<FromServer>, Option<(Reason, &'static str)>) {
    let (mut decoder, mut buffer, mut packets) = (ClientDecoder::new(version, PACKET_MAX), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        buffer.put_slice(piece);
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(fault) => return (packets, Some((fault.reason, fault.why))),
            }
        }
        assert!(buffer.len() < PACKET_MAX, "no more is kept than one packet");
    }
    (packets, None)
}

fn pairs() -> Vec<(Text, Text)> {
    vec![(Text::from("k"), Text::from("v")), (Text::from("k"), Text::from("ü"))]
}

fn explanation() -> Explanation {
    Explanation { reason_string: Some(Text::from("why")), user_properties: pairs() }
}

fn publish(version: Version, to_client: bool) -> Publish {
    let properties = PublishProperties {
        message_expiry: Some(60),
        topic_alias: Some(3),
        response_topic: Some(Text::from("answer/here")),
        correlation_data: Some(Bytes::from_static(b"\0\xff")),
        user_properties: pairs(),
        subscription_ids: if to_client { vec![1, 200] } else { Vec::new() },
        content_type: Some(Text::from("text/plain")),
        ..PublishProperties::default()
    };
    Publish {
        qos: Qos::AtLeastOnce,
        topic: Text::from("a/b"),
        packet_id: 7,
        properties: (version == Version::V5).then(|| Box::new(properties)),
        payload: Bytes::from_static(b"payload"),
        ..Publish::default()
    }
}

fn connect(version: Version) -> Connect {
    let properties = ConnectProperties {
        session_expiry: 60,
        receive_maximum: 10,
        maximum_packet_size: Some(1_000),
        topic_alias_maximum: 5,
        user_properties: pairs(),
        authentication_method: Some(Text::from("m")),
        authentication_data: Some(Secret::new(Bytes::from_static(b"d"))),
        ..ConnectProperties::default()
    };
    let will = PublishProperties { content_type: Some(Text::from("t")), ..PublishProperties::default() };
    Connect {
        version,
        clean_start: true,
        keep_alive: 30,
        client_id: Text::from("client"),
        will: Some(Will {
            topic: Text::from("gone/client"),
            payload: Bytes::from_static(b"bye"),
            qos: Qos::ExactlyOnce,
            retain: true,
            delay: if version == Version::V5 { 5 } else { 0 },
            properties: (version == Version::V5).then(|| Box::new(will)),
        }),
        user_name: Some(Text::from("user")),
        password: Some(Secret::new(Bytes::from_static(b"password"))),
        properties: if version == Version::V5 { properties } else { ConnectProperties::default() },
    }
}

fn ack(version: Version) -> Ack {
    let is_v5 = version == Version::V5;
    Ack { packet_id: 7, reason: Reason::SUCCESS, explanation: is_v5.then(|| Box::new(explanation())) }
}

/// A conversation in each version, and one that begins with the least CONNECT.
pub fn packet_seeds() -> Vec<Vec<u8>> {
    let conversation = |step: u8, version: Version, packets: &[Packet]| {
        let mut bytes = vec![step];
        for packet in packets {
            packet.encode(version, &mut bytes).expect("short enough");
        }
        bytes
    };
    let whole = |version: Version| {
        let is_v5 = version == Version::V5;
        let options = SubscribeOptions { qos: Qos::ExactlyOnce, ..SubscribeOptions::default() };
        let user_properties = if is_v5 { pairs() } else { Vec::new() };
        let filters = vec![(Text::from("a/+/#"), options), (Text::from("$share/g/b"), options)];
        vec![
            Packet::Connect(Box::new(connect(version))),
            Packet::Publish(publish(version, false)),
            Packet::PubAck(ack(version)),
            Packet::PubRec(ack(version)),
            Packet::PubRel(ack(version)),
            Packet::PubComp(ack(version)),
            Packet::Subscribe(Subscribe {
                packet_id: 1,
                id: is_v5.then_some(200),
                filters,
                user_properties: user_properties.clone(),
            }),
            Packet::Unsubscribe(Unsubscribe { packet_id: 2, filters: vec![Text::from("a/+/#")], user_properties }),
            Packet::PingReq,
            Packet::Disconnect(Disconnect {
                session_expiry: is_v5.then_some(5),
                ..Disconnect::because(if is_v5 { Reason::DISCONNECT_WITH_WILL } else { Reason::SUCCESS })
            }),
        ]
    };
    let auth = Packet::Auth(Auth {
        reason: Reason::CONTINUE_AUTHENTICATION,
        method: Some(Text::from("m")),
        data: None,
        explanation: Some(Box::new(explanation())),
    });
    let mut seeds = vec![conversation(0, Version::V311, &whole(Version::V311))];
    let five = whole(Version::V5);
    seeds.extend(
        five[1..].iter().chain([&auth]).map(|packet| conversation(9, Version::V5, &[five[0].clone(), packet.clone()])),
    );
    seeds.push([&b"\x05\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0"[..], b"\x30\x04\0\x01at\xc0\0"].concat());
    seeds
}

/// What a server says, in each version.
pub fn reply_seeds() -> Vec<Vec<u8>> {
    let replies = |step: u8, version: Version, packets: &[FromServer]| {
        let mut bytes = vec![step];
        for packet in packets {
            packet.encode(version, &mut bytes).expect("short enough");
        }
        bytes
    };
    let is_v5 = |version: Version| version == Version::V5;
    let whole = |version: Version| {
        let words = || is_v5(version).then(|| Box::new(explanation()));
        let properties = ConnAckProperties {
            session_expiry: Some(1),
            receive_maximum: 10,
            maximum_packet_size: Some(300),
            assigned_client_id: Some(Text::from("id")),
            server_keep_alive: Some(9),
            explanation: explanation(),
            ..ConnAckProperties::default()
        };
        let properties = if is_v5(version) { properties } else { ConnAckProperties::default() };
        let reasons = vec![Reason::GRANTED_QOS_1, Reason::UNSPECIFIED_ERROR];
        vec![
            FromServer::ConnAck(Box::new(ConnAck { session_present: true, reason: Reason::SUCCESS, properties })),
            FromServer::Publish(publish(version, true)),
            FromServer::PubRec(ack(version)),
            FromServer::SubAck(SubAck { packet_id: 1, reasons, explanation: words() }),
            FromServer::UnsubAck(UnsubAck {
                packet_id: 2,
                reasons: if is_v5(version) { vec![Reason::SUCCESS] } else { Vec::new() },
                explanation: words(),
            }),
            FromServer::PingResp,
        ]
    };
    let goodbye = FromServer::Disconnect(Disconnect {
        server_reference: Some(Text::from("elsewhere")),
        explanation: Some(Box::new(explanation())),
        ..Disconnect::because(Reason::USE_ANOTHER_SERVER)
    });
    let mut five = whole(Version::V5);
    five.push(goodbye);
    vec![replies(3, Version::V311, &whole(Version::V311)), replies(0x83, Version::V5, &five)]
}

/// Heads, lengths, and properties with the values that matter.
pub const WORDS: &[&[u8]] = &[
    b"\x10\x0d\0\x04MQTT\x05\x02\0\0\0\0\0",
    b"\0\x04MQTT\x04",
    b"\0\x06MQIsdp\x03",
    b"\x30\x05\0\x01a\0t",
    b"\x3a",
    b"\x82\x06\0\x01\0\x01a\0",
    b"\x62\x02\0\x01",
    b"\xc0\0",
    b"\xe0\0",
    b"\xf0\x06\x18\x04\x15\0\x01m",
    b"\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80",
    b"\x80\0",
    b"\0\0",
    b"\x01\x01",
    b"\x23\0\0",
    b"\x0b\0",
    b"\x26\0\x01k\0\x01v",
    b"\x1f\0\x01r",
    b"\x21\0\0",
    b"$share/",
    b"\xed\xa0\x80",
    b"\xc2\x85",
];
