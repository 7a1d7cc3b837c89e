//! What is written, byte by byte, where the specification leaves a choice or gives an example.

use bytes::Bytes;
use headwater_event::{Headers, Text};

use super::*;

fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<(), TooLong>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    out
}

#[test]
fn acks_are_as_short_as_they_may_be() {
    let with = |reason, explanation| Ack { packet_id: 7, reason, explanation };
    let words = Explanation { reason_string: Some(Text::from("no")), user_properties: Vec::new() };
    for (version, ack, bytes) in [
        (Version::V311, with(Reason::QUOTA_EXCEEDED, None), &b"\x40\x02\0\x07"[..]),
        (Version::V5, with(Reason::SUCCESS, None), b"\x40\x02\0\x07"),
        (Version::V5, with(Reason::SUCCESS, Some(Box::default())), b"\x40\x02\0\x07"),
        (Version::V5, with(Reason::QUOTA_EXCEEDED, None), b"\x40\x03\0\x07\x97"),
        (Version::V5, with(Reason::SUCCESS, Some(Box::new(words))), b"\x40\x09\0\x07\0\x05\x1f\0\x02no"),
    ] {
        assert_eq!(written(|out| ack.encode(AckKind::PubAck, version, out)), bytes, "{ack:?}");
    }
    for (kind, version, reason, bytes) in [
        (AckKind::PubAck, Version::V5, Reason::SUCCESS, &b"\x40\x02\0\x07"[..]),
        (AckKind::PubRec, Version::V5, Reason::QUOTA_EXCEEDED, b"\x50\x03\0\x07\x97"),
        (AckKind::PubRel, Version::V311, Reason::PACKET_ID_NOT_FOUND, b"\x62\x02\0\x07"),
        (AckKind::PubComp, Version::V5, Reason::PACKET_ID_NOT_FOUND, b"\x70\x03\0\x07\x92"),
    ] {
        let mut out = Vec::new();
        encode_ack(kind, version, 7, reason, &mut out);
        assert_eq!(out, bytes);
    }
}

#[test]
fn goodbyes_are_as_short_as_they_may_be() {
    let mut disconnect = Disconnect::because(Reason::SUCCESS);
    assert_eq!(written(|out| disconnect.encode(Version::V5, out)), b"\xe0\0");
    disconnect.reason = Reason::SESSION_TAKEN_OVER;
    assert_eq!(written(|out| disconnect.encode(Version::V5, out)), b"\xe0\x01\x8e");
    assert_eq!(written(|out| disconnect.encode(Version::V311, out)), b"\xe0\0");
    disconnect.session_expiry = Some(1);
    assert_eq!(written(|out| disconnect.encode(Version::V5, out)), b"\xe0\x07\x8e\x05\x11\0\0\0\x01");
}

#[test]
fn an_older_client_hears_no_connack_that_its_protocol_has_no_code_for() {
    let connack = |reason| ConnAck { session_present: true, ..ConnAck::because(reason) };
    assert_eq!(written(|out| connack(Reason::PACKET_TOO_LARGE).encode(Version::V311, out)), b"");
    assert_eq!(written(|out| connack(Reason::SUCCESS).encode(Version::V311, out)), b"\x20\x02\x01\0");
    // A session is never present where the connection is refused.
    assert_eq!(written(|out| connack(Reason::NOT_AUTHORIZED).encode(Version::V311, out)), b"\x20\x02\0\x05");
    assert_eq!(written(|out| connack(Reason::NOT_AUTHORIZED).encode(Version::V5, out)), b"\x20\x03\0\x87\0");
}

#[test]
fn an_older_client_hears_one_kind_of_no_to_a_subscription() {
    let reasons = vec![Reason::GRANTED_QOS_2, Reason::NOT_AUTHORIZED];
    let suback = SubAck { packet_id: 7, reasons, explanation: None };
    assert_eq!(written(|out| suback.encode(Version::V311, out)), b"\x90\x04\0\x07\x02\x80");
    assert_eq!(written(|out| suback.encode(Version::V5, out)), b"\x90\x05\0\x07\0\x02\x87");
}

#[test]
fn a_publication_is_written_out_of_borrowed_parts() {
    let headers = Headers::from_pairs([("k", "v"), ("k", "w")]).unwrap();
    let parts = PublishParts {
        qos: Qos::AtLeastOnce,
        retain: true,
        topic: "a/b",
        packet_id: 0x0102,
        user_properties: Some(&headers),
        subscription_ids: &[1, 200],
        payload: b"hi",
        ..PublishParts::default()
    };
    let mut out = b"before".to_vec();
    let packet_id_at = encode_publish(Version::V5, &parts, &mut out).unwrap();
    let properties = b"\x26\0\x01k\0\x01v\x26\0\x01k\0\x01w\x0b\x01\x0b\xc8\x01";
    let expected = [&b"before\x33\x1d\0\x03a/b\x01\x02\x13"[..], properties, b"hi"].concat();
    assert_eq!(out, expected);
    assert_eq!(out[packet_id_at..packet_id_at + 2], [1, 2]);
    out.clear();
    encode_publish(Version::V311, &parts, &mut out).unwrap();
    assert_eq!(out, b"\x33\x09\0\x03a/b\x01\x02hi");
}

#[test]
fn what_mqtt_has_no_words_for_is_not_half_written() {
    let long = "x".repeat(65_536);
    let headers = Headers::from_pairs([("k", "v")]).unwrap();
    for parts in [
        PublishParts { topic: &long, ..PublishParts::default() },
        PublishParts { topic: "a", content_type: Some(&long), ..PublishParts::default() },
        PublishParts { topic: "a", correlation_data: Some(long.as_bytes()), ..PublishParts::default() },
        PublishParts {
            topic: "a",
            user_properties: Some(&headers),
            response_topic: Some(&long),
            ..PublishParts::default()
        },
    ] {
        let mut out = b"before".to_vec();
        assert_eq!(encode_publish(Version::V5, &parts, &mut out), Err(TooLong));
        assert_eq!(publish_len(Version::V5, &parts), Err(TooLong));
        assert_eq!(out, b"before");
    }
    let mut out = Vec::new();
    let fits = PublishParts { topic: &long[1..], ..PublishParts::default() };
    assert_eq!(encode_publish(Version::V5, &fits, &mut out), Ok(out.len() - 1));
    let disconnect = Disconnect {
        explanation: Some(Box::new(Explanation {
            reason_string: Some(Text::from(long.as_str())),
            user_properties: Vec::new(),
        })),
        ..Disconnect::because(Reason::PROTOCOL_ERROR)
    };
    assert_eq!(disconnect.encode(Version::V5, &mut out), Err(TooLong));
    let subscribe = Subscribe {
        packet_id: 1,
        id: Some(varint::MAX + 1),
        filters: vec![(Text::from("a"), SubscribeOptions::default())],
        user_properties: Vec::new(),
    };
    assert_eq!(subscribe.encode(Version::V5, &mut out), Err(TooLong));
}

#[test]
fn no_debug_text_shows_a_secret() {
    let connect = Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive: 0,
        client_id: Text::from("id"),
        will: None,
        user_name: Some(Text::from("user")),
        password: Some(Secret::new(Bytes::from_static(b"canary"))),
        properties: ConnectProperties {
            authentication_method: Some(Text::from("m")),
            authentication_data: Some(Secret::new(Bytes::from_static(b"canary"))),
            ..ConnectProperties::default()
        },
    };
    let (mut decoder, mut bytes) = (Decoder::new(), Vec::new());
    connect.encode(&mut bytes).unwrap();
    bytes.extend_from_slice(b"\x10\x03canary");
    let mut buffer = BytesMut::from(&bytes[..]);
    let packet = decoder.next(&mut buffer).unwrap().unwrap();
    for text in [format!("{packet:?}"), format!("{decoder:?}"), format!("{connect:#?}")] {
        assert!(!text.contains("canary"), "{text}");
        assert!(!text.contains(&format!("{:?}", b"canary".as_slice())), "{text}");
    }
}
