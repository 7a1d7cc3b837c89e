//! Every packet type with every value of its flags, in both versions, before and after the greeting.

use super::*;

/// What a server thinks of a first byte alone; the rest of the packet never comes.
fn judged(version: Option<Version>, first: u8) -> Option<Reason> {
    heard(version, &[first]).err()
}

const TYPES: [&str; 16] = [
    "reserved",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];

/// The flags that tables 2-2 of both specifications allow each type.
fn may_have(kind: &str, flags: u8) -> bool {
    match kind {
        // QoS 3 isn't there, and DUP at QoS 0 neither.
        "PUBLISH" => [0, 1, 2, 3, 4, 5, 10, 11, 12, 13].contains(&flags),
        "PUBREL" | "SUBSCRIBE" | "UNSUBSCRIBE" => flags == 2,
        "reserved" => false,
        _ => flags == 0,
    }
}

fn each(mut judge: impl FnMut(&'static str, u8, u8)) {
    for (nibble, kind) in (0..).zip(TYPES) {
        for flags in 0..16 {
            judge(kind, flags, nibble << 4 | flags);
        }
    }
}

#[test]
fn before_connect_nothing_else_is_taken() {
    each(|kind, flags, first| {
        let expected = match kind {
            _ if !may_have(kind, flags) => Some(Reason::MALFORMED_PACKET),
            "CONNECT" => None,
            _ => Some(Reason::PROTOCOL_ERROR),
        };
        assert_eq!(judged(None, first), expected, "{kind} with flags {flags:04b}");
    });
}

#[test]
fn after_connect_only_what_a_client_sends_is_taken() {
    for version in [Version::V311, Version::V5] {
        each(|kind, flags, first| {
            let expected = match kind {
                "AUTH" if version == Version::V311 => Some(Reason::MALFORMED_PACKET),
                _ if !may_have(kind, flags) => Some(Reason::MALFORMED_PACKET),
                "CONNECT" | "CONNACK" | "SUBACK" | "UNSUBACK" | "PINGRESP" => Some(Reason::PROTOCOL_ERROR),
                _ => None,
            };
            assert_eq!(judged(Some(version), first), expected, "{kind} with flags {flags:04b}, {version:?}");
        });
    }
}

#[test]
fn before_connack_a_client_takes_nothing_else() {
    for version in [Version::V311, Version::V5] {
        each(|kind, flags, first| {
            let expected = match kind {
                "AUTH" if version == Version::V311 => Some(Reason::MALFORMED_PACKET),
                _ if !may_have(kind, flags) => Some(Reason::MALFORMED_PACKET),
                "CONNACK" => None,
                "AUTH" => None,
                _ => Some(Reason::PROTOCOL_ERROR),
            };
            let judged = ClientDecoder::new(version, PACKET_MAX).next(&mut BytesMut::from(&[first][..]));
            assert_eq!(judged.err().map(|fault| fault.reason), expected, "{kind} with flags {flags:04b}, {version:?}");
        });
    }
}

#[test]
fn after_connack_a_client_takes_only_what_a_server_sends() {
    for version in [Version::V311, Version::V5] {
        each(|kind, flags, first| {
            let expected = match kind {
                "AUTH" if version == Version::V311 => Some(Reason::MALFORMED_PACKET),
                _ if !may_have(kind, flags) => Some(Reason::MALFORMED_PACKET),
                "DISCONNECT" if version == Version::V311 => Some(Reason::PROTOCOL_ERROR),
                "CONNECT" | "CONNACK" | "SUBSCRIBE" | "UNSUBSCRIBE" | "PINGREQ" => Some(Reason::PROTOCOL_ERROR),
                _ => None,
            };
            let judged = heard_by_client(version, &[first]).err();
            assert_eq!(judged, expected, "{kind} with flags {flags:04b}, {version:?}");
        });
    }
}

#[test]
fn lengths_that_a_type_never_has_are_refused_with_the_head() {
    for version in [Version::V311, Version::V5] {
        assert_eq!(heard(Some(version), &[0xC0, 1]), Err(Reason::MALFORMED_PACKET));
        assert_eq!(heard_by_client(version, &[0xD0, 1]), Err(Reason::MALFORMED_PACKET));
    }
    for first in [0x40, 0x50, 0x62, 0x70] {
        assert_eq!(heard(Some(Version::V311), &[first, 3]), Err(Reason::MALFORMED_PACKET));
        assert_eq!(heard(Some(Version::V311), &[first, 1]), Err(Reason::MALFORMED_PACKET));
        assert_eq!(heard(Some(Version::V5), &[first, 3]), Ok(None));
    }
    assert_eq!(heard(Some(Version::V311), &[0xE0, 1]), Err(Reason::MALFORMED_PACKET));
    assert_eq!(heard_by_client(Version::V311, &[0xB0, 3]), Err(Reason::MALFORMED_PACKET));
}

#[test]
fn a_length_above_the_limit_is_refused_with_the_head() {
    // 64 KiB less a head of 4 are taken before CONNECT, and not a byte more.
    assert_eq!(heard(None, &[0x10, 0xFC, 0xFF, 0x03]), Ok(None));
    assert_eq!(heard(None, &[0x10, 0xFD, 0xFF, 0x03]), Err(Reason::PACKET_TOO_LARGE));
    assert_eq!(heard(None, &[0x10, 0xFF, 0xFF, 0xFF, 0x7F]), Err(Reason::PACKET_TOO_LARGE));
    for version in [None, Some(Version::V311), Some(Version::V5)] {
        let first = if version.is_none() { 0x10 } else { 0x30 };
        assert_eq!(heard(version, &[first, 0xFF, 0xFF, 0xFF, 0xFF]), Err(Reason::MALFORMED_PACKET));
        assert_eq!(heard(version, &[first, 0xFF, 0xFF, 0xFF]), Ok(None));
    }
}

#[test]
fn a_connect_of_5_0_has_the_shortest_length() {
    let connect = |level: u8| {
        let body = [&b"\0\x04MQTT"[..], &[level], b"\x02\0\0\0\0\0"].concat();
        let body = if level == 4 { &body[..12] } else { &body[..] };
        let len = u8::try_from(body.len()).unwrap();
        [&[0x10, 0x80 | len, 0][..], body].concat()
    };
    assert_eq!(heard(None, &connect(5)), Err(Reason::MALFORMED_PACKET));
    assert!(heard(None, &connect(4)).is_ok());
}
