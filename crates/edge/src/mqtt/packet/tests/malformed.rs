//! Packets that the specifications forbid, and a few that they nearly do, each with what it is answered.

use super::*;

const MALFORMED: Option<Reason> = Some(Reason::MALFORMED_PACKET);
const PROTOCOL: Option<Reason> = Some(Reason::PROTOCOL_ERROR);
const TOPIC: Option<Reason> = Some(Reason::TOPIC_NAME_INVALID);
const FILTER: Option<Reason> = Some(Reason::TOPIC_FILTER_INVALID);
const GOOD: Option<Reason> = None;

/// What is tried, the body, and how it's judged.
type Row<'a> = (&'a str, &'a [u8], Option<Reason>);

fn check(version: Option<Version>, first: u8, rows: &[Row<'_>]) {
    for (what, body, expected) in rows {
        let heard = heard(version, &packet(first, body));
        assert_eq!(heard.as_ref().err(), expected.as_ref(), "{what} ({version:?}, {first:#04x}): {heard:?}");
        assert_ne!(heard, Ok(None), "{what} ({version:?}, {first:#04x}) is waited for");
    }
}

fn check_client(version: Version, first: u8, rows: &[Row<'_>]) {
    for (what, body, expected) in rows {
        let heard = heard_by_client(version, &packet(first, body));
        assert_eq!(heard.as_ref().err(), expected.as_ref(), "{what} ({version:?}, {first:#04x}): {heard:?}");
        assert_ne!(heard, Ok(None), "{what} ({version:?}, {first:#04x}) is waited for");
    }
}

const V311: Option<Version> = Some(Version::V311);
const V5: Option<Version> = Some(Version::V5);

#[test]
fn a_connect_of_3_1_1_is_judged_field_by_field() {
    let unsupported = Some(Reason::UNSUPPORTED_PROTOCOL_VERSION);
    check(
        None,
        0x10,
        &[
            ("the least", b"\0\x04MQTT\x04\x02\0\0\0\0", GOOD),
            ("empty", b"", MALFORMED),
            ("no level", b"\0\x04MQTT", MALFORMED),
            ("no flags", b"\0\x04MQTT\x04", MALFORMED),
            ("half a keep alive", b"\0\x04MQTT\x04\x02\0", MALFORMED),
            ("no client id", b"\0\x04MQTT\x04\x02\0\0", MALFORMED),
            ("a client id cut short", b"\0\x04MQTT\x04\x02\0\0\0\x02a", MALFORMED),
            ("bytes left over", b"\0\x04MQTT\x04\x02\0\0\0\0x", MALFORMED),
            ("level 3", b"\0\x04MQTT\x03\x02\0\0\0\0", unsupported),
            ("level 0", b"\0\x04MQTT\0\x02\0\0\0\0", unsupported),
            ("level 6", b"\0\x04MQTT\x06\x02\0\0\0\0\0", unsupported),
            ("a bridge's level", b"\0\x04MQTT\x84\x02\0\0\0\0", unsupported),
            ("MQTT 3.1", b"\0\x06MQIsdp\x03\x02\0\0\0\0", unsupported),
            ("another name", b"\0\x04mqtt\x04\x02\0\0\0\0", unsupported),
            ("a longer name", b"\0\x05MQTTS\x04\x02\0\0\0\0", unsupported),
            ("the reserved flag", b"\0\x04MQTT\x04\x03\0\0\0\0", MALFORMED),
            ("will QoS without a will", b"\0\x04MQTT\x04\x08\0\0\0\0", MALFORMED),
            ("will retain without a will", b"\0\x04MQTT\x04\x20\0\0\0\0", MALFORMED),
            ("will QoS 3", b"\0\x04MQTT\x04\x1c\0\0\0\0\0\x01a\0\0", MALFORMED),
            ("a will", b"\0\x04MQTT\x04\x34\0\0\0\0\0\x01a\0\0", GOOD),
            ("a will without payload", b"\0\x04MQTT\x04\x04\0\0\0\0\0\x01a", MALFORMED),
            ("a will to a wildcard", b"\0\x04MQTT\x04\x04\0\0\0\0\0\x01#\0\0", TOPIC),
            ("a will to nowhere", b"\0\x04MQTT\x04\x04\0\0\0\0\0\0\0\0", TOPIC),
            ("a will to U+0000", b"\0\x04MQTT\x04\x04\0\0\0\0\0\x01\0\0\0", MALFORMED),
            ("a password without a user", b"\0\x04MQTT\x04\x40\0\0\0\0\0\x01p", MALFORMED),
            ("a user", b"\0\x04MQTT\x04\x80\0\0\0\0\0\x01u", GOOD),
            ("a user and a password", b"\0\x04MQTT\x04\xc0\0\0\0\0\0\x01u\0\x01p", GOOD),
            ("a password of any bytes", b"\0\x04MQTT\x04\xc0\0\0\0\0\0\x01u\0\x03\0\xff\n", GOOD),
            ("a password missing", b"\0\x04MQTT\x04\xc0\0\0\0\0\0\x01u", MALFORMED),
            ("a user missing", b"\0\x04MQTT\x04\x80\0\0\0\0", MALFORMED),
            ("a user that isn't UTF-8", b"\0\x04MQTT\x04\x80\0\0\0\0\0\x01\xff", MALFORMED),
            ("a user with U+0000", b"\0\x04MQTT\x04\x80\0\0\0\0\0\x01\0", MALFORMED),
            (
                "a user with a line break",
                b"\0\x04MQTT\x04\x80\0\0\0\0\0\x02u\n",
                Some(Reason::BAD_USER_NAME_OR_PASSWORD),
            ),
            ("a client id with U+0000", b"\0\x04MQTT\x04\x02\0\0\0\x01\0", MALFORMED),
            ("a client id with a line break", b"\0\x04MQTT\x04\x02\0\0\0\x01\n", Some(Reason::CLIENT_ID_NOT_VALID)),
            ("a client id with a surrogate", b"\0\x04MQTT\x04\x02\0\0\0\x03\xed\xa0\x80", MALFORMED),
            ("a client id in a longer form than needed", b"\0\x04MQTT\x04\x02\0\0\0\x02\xc0\x80", MALFORMED),
            ("properties", b"\0\x04MQTT\x04\x02\0\0\0\0\0", MALFORMED),
        ],
    );
}

/// A 5.0 CONNECT with these properties.
fn connect_5(properties: &[u8]) -> Vec<u8> {
    [b"\0\x04MQTT\x05\x02\0\0", &[u8::try_from(properties.len()).unwrap()][..], properties, b"\0\0"].concat()
}

#[test]
fn a_connect_of_5_0_is_judged_field_by_field() {
    check(
        None,
        0x10,
        &[
            ("the least", b"\0\x04MQTT\x05\x02\0\0\0\0\0", GOOD),
            ("no properties", b"\0\x04MQTT\x05\x02\0\0", MALFORMED),
            ("properties beyond the end", b"\0\x04MQTT\x05\x02\0\0\x09\0\0", MALFORMED),
            ("a length of five bytes", b"\0\x04MQTT\x05\x02\0\0\x80\x80\x80\x80\0\0\0", MALFORMED),
            ("a length longer than needed", b"\0\x04MQTT\x05\x02\0\0\x80\0\0\0", MALFORMED),
            ("bytes left over", b"\0\x04MQTT\x05\x02\0\0\0\0\0x", MALFORMED),
            ("a password without a user", b"\0\x04MQTT\x05\x40\0\0\0\0\0\0\x01p", GOOD),
            ("the reserved flag", b"\0\x04MQTT\x05\x03\0\0\0\0\0", MALFORMED),
            ("will QoS 3", b"\0\x04MQTT\x05\x1c\0\0\0\0\0\0\0\x01a\0\0", MALFORMED),
            ("a will", b"\0\x04MQTT\x05\x04\0\0\0\0\0\0\0\x01a\0\0", GOOD),
            ("a will with a delay", b"\0\x04MQTT\x05\x04\0\0\0\0\0\x05\x18\0\0\0\x01\0\x01a\0\0", GOOD),
            ("a will with an alias", b"\0\x04MQTT\x05\x04\0\0\0\0\0\x03\x23\0\x01\0\x01a\0\0", MALFORMED),
            ("a will with an identifier", b"\0\x04MQTT\x05\x04\0\0\0\0\0\x02\x0b\x01\0\x01a\0\0", MALFORMED),
            ("a will of format 2", b"\0\x04MQTT\x05\x04\0\0\0\0\0\x02\x01\x02\0\x01a\0\0", PROTOCOL),
            ("a will with an answer to #", b"\0\x04MQTT\x05\x04\0\0\0\0\0\x04\x08\0\x01#\0\x01a\0\0", TOPIC),
            ("a will to a wildcard", b"\0\x04MQTT\x05\x04\0\0\0\0\0\0\0\x01+\0\0", TOPIC),
        ],
    );
    let rows: &[Row<'_>] = &[
        ("session expiry", b"\x11\0\0\0\x01", GOOD),
        ("session expiry twice", b"\x11\0\0\0\x01\x11\0\0\0\x01", PROTOCOL),
        ("session expiry cut", b"\x11\0\0\0", MALFORMED),
        ("receive maximum 0", b"\x21\0\0", PROTOCOL),
        ("receive maximum", b"\x21\0\x01", GOOD),
        ("receive maximum twice", b"\x21\0\x01\x21\0\x01", PROTOCOL),
        ("maximum packet size 0", b"\x27\0\0\0\0", PROTOCOL),
        ("maximum packet size twice", b"\x27\0\0\0\x01\x27\0\0\0\x01", PROTOCOL),
        ("topic alias maximum", b"\x22\0\0", GOOD),
        ("topic alias maximum twice", b"\x22\0\0\x22\0\0", PROTOCOL),
        ("request response information 2", b"\x19\x02", PROTOCOL),
        ("request response information", b"\x19\x01", GOOD),
        ("request response information twice", b"\x19\x01\x19\x01", PROTOCOL),
        ("request problem information 2", b"\x17\x02", PROTOCOL),
        ("request problem information twice", b"\x17\x01\x17\x01", PROTOCOL),
        ("user properties twice", b"\x26\0\x01a\0\x01b\x26\0\x01a\0\x01b", GOOD),
        ("a user property without value", b"\x26\0\x01a", MALFORMED),
        ("a user property with U+0000", b"\x26\0\x01a\0\x01\0", MALFORMED),
        ("a user property that isn't UTF-8", b"\x26\0\x01a\0\x01\xff", MALFORMED),
        ("a method", b"\x15\0\x01m", GOOD),
        ("a method twice", b"\x15\0\x01m\x15\0\x01m", PROTOCOL),
        ("a method and data", b"\x15\0\x01m\x16\0\x01d", GOOD),
        ("data before its method", b"\x16\0\x01d\x15\0\x01m", GOOD),
        ("data without a method", b"\x16\0\x01d", PROTOCOL),
        ("data twice", b"\x15\0\x01m\x16\0\x01d\x16\0\x01d", PROTOCOL),
        ("property 0", b"\0", MALFORMED),
        ("property 0x7F", b"\x7f\0", MALFORMED),
        ("property 0x111, which ends as one that is known", b"\x91\x02\0\0\0\x01", MALFORMED),
        ("an identifier longer than needed", b"\x91\x00\0\0\0\x01", MALFORMED),
    ];
    for (what, properties, expected) in rows {
        check(None, 0x10, &[(what, &connect_5(properties), *expected)]);
    }
}

/// Every property there is, with a value that is right.
const PROPERTIES: [(u8, &[u8]); 27] = [
    (0x01, b"\x01\x01"),
    (0x02, b"\x02\0\0\0\x01"),
    (0x03, b"\x03\0\x01t"),
    (0x08, b"\x08\0\x01t"),
    (0x09, b"\x09\0\x01b"),
    (0x0B, b"\x0b\x01"),
    (0x11, b"\x11\0\0\0\x01"),
    (0x12, b"\x12\0\x01c"),
    (0x13, b"\x13\0\x01"),
    (0x15, b"\x15\0\x01m"),
    (0x16, b"\x16\0\x01d"),
    (0x17, b"\x17\x01"),
    (0x18, b"\x18\0\0\0\x01"),
    (0x19, b"\x19\x01"),
    (0x1A, b"\x1a\0\x01r"),
    (0x1C, b"\x1c\0\x01s"),
    (0x1F, b"\x1f\0\x01r"),
    (0x21, b"\x21\0\x01"),
    (0x22, b"\x22\0\x01"),
    (0x23, b"\x23\0\x01"),
    (0x24, b"\x24\x01"),
    (0x25, b"\x25\x01"),
    (0x26, b"\x26\0\x01n\0\x01v"),
    (0x27, b"\x27\0\0\0\x01"),
    (0x28, b"\x28\x01"),
    (0x29, b"\x29\x01"),
    (0x2A, b"\x2a\x01"),
];

/// A packet with one property: its name, first byte, what stands before and behind the properties, whose properties
/// table 2-4 gives it, and who hears it.
type Holder = (&'static str, u8, &'static [u8], &'static [u8], &'static [u8]);

/// What clients send. (A will's table is tested with CONNECT.)
const FROM_CLIENT: [Holder; 9] = [
    ("PUBLISH", 0x30, b"\0\x01t", b"", &[0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26]),
    ("PUBACK", 0x40, b"\0\x01\0", b"", &[0x1F, 0x26]),
    ("PUBREC", 0x50, b"\0\x01\0", b"", &[0x1F, 0x26]),
    ("PUBREL", 0x62, b"\0\x01\0", b"", &[0x1F, 0x26]),
    ("PUBCOMP", 0x70, b"\0\x01\0", b"", &[0x1F, 0x26]),
    ("SUBSCRIBE", 0x82, b"\0\x01", b"\0\x01t\0", &[0x0B, 0x26]),
    ("UNSUBSCRIBE", 0xA2, b"\0\x01", b"\0\x01t", &[0x26]),
    ("DISCONNECT", 0xE0, b"\0", b"", &[0x11, 0x1F, 0x26]),
    ("AUTH", 0xF0, b"\x18", b"", &[0x15, 0x1F, 0x26]),
];

const FROM_SERVER: [Holder; 8] = [
    ("PUBLISH", 0x30, b"\0\x01t", b"", &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26]),
    ("PUBACK", 0x40, b"\0\x01\0", b"", &[0x1F, 0x26]),
    ("PUBREC", 0x50, b"\0\x01\0", b"", &[0x1F, 0x26]),
    ("PUBREL", 0x62, b"\0\x01\0", b"", &[0x1F, 0x26]),
    ("PUBCOMP", 0x70, b"\0\x01\0", b"", &[0x1F, 0x26]),
    ("SUBACK", 0x90, b"\0\x01", b"\0", &[0x1F, 0x26]),
    ("UNSUBACK", 0xB0, b"\0\x01", b"\0", &[0x1F, 0x26]),
    ("DISCONNECT", 0xE0, b"\0", b"", &[0x1C, 0x1F, 0x26]),
];

fn with_property((_, first, before, behind, _): Holder, property: &[u8]) -> Vec<u8> {
    // AUTH without a method is another fault than the one looked for.
    let method: &[u8] = if first == 0xF0 && property.first() != Some(&0x15) { b"\x15\0\x01m" } else { b"" };
    let len = u8::try_from(property.len() + method.len()).unwrap();
    packet(first, &[before, &[len], property, method, behind].concat())
}

#[test]
fn each_packet_has_only_the_properties_of_table_2_4() {
    for holder in FROM_CLIENT {
        for (id, property) in PROPERTIES {
            let heard = heard(V5, &with_property(holder, property)).map(|_| ());
            let expected = match (holder.0, id) {
                (_, id) if holder.4.contains(&id) => Ok(()),
                // AUTH has data too; and a client may say neither of the other two, which it takes from a server.
                ("AUTH", 0x16) => Ok(()),
                ("PUBLISH", 0x0B) => Err(Reason::PROTOCOL_ERROR),
                _ => Err(Reason::MALFORMED_PACKET),
            };
            assert_eq!(heard, expected, "{} with {id:#04x}", holder.0);
        }
    }
    for holder in FROM_SERVER {
        for (id, property) in PROPERTIES {
            let heard = heard_by_client(Version::V5, &with_property(holder, property)).map(|_| ());
            let expected = match (holder.0, id) {
                (_, id) if holder.4.contains(&id) => Ok(()),
                ("DISCONNECT", 0x11) => Err(Reason::PROTOCOL_ERROR),
                _ => Err(Reason::MALFORMED_PACKET),
            };
            assert_eq!(heard, expected, "{} with {id:#04x}", holder.0);
        }
    }
}

#[test]
fn each_property_stands_once_where_it_may_not_repeat() {
    for holder in FROM_CLIENT {
        for (id, property) in PROPERTIES.iter().filter(|(id, _)| holder.4.contains(id)) {
            let heard = heard(V5, &with_property(holder, &property.repeat(2))).map(|_| ());
            let expected = if *id == 0x26 { Ok(()) } else { Err(Reason::PROTOCOL_ERROR) };
            assert_eq!(heard, expected, "{} with {id:#04x} twice", holder.0);
        }
    }
}

#[test]
fn connack_has_only_its_properties() {
    let own = [0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A];
    for (id, property) in PROPERTIES {
        for times in [1, 2] {
            let properties = property.repeat(times);
            let body = [&[0, 0, u8::try_from(properties.len()).unwrap()][..], &properties].concat();
            let mut decoder = ClientDecoder::new(Version::V5, PACKET_MAX);
            let heard = decoder.next(&mut BytesMut::from(&packet(0x20, &body)[..]));
            let expected = match (own.contains(&id), times) {
                (false, _) => MALFORMED,
                (true, 2) if id != 0x26 => PROTOCOL,
                (true, _) => GOOD,
            };
            assert_eq!(heard.err().map(|fault| fault.reason), expected, "{id:#04x}, {times} times");
        }
    }
}

#[test]
fn a_publish_is_judged_field_by_field() {
    let long = [&[4, 1][..], &[b'x'; 1_025]].concat();
    let deep = [&[0, 128][..], &[b'/'; 128]].concat();
    let names: &[Row<'_>] = &[
        ("a topic", b"\0\x01a", GOOD),
        ("no topic", b"", MALFORMED),
        ("half a length", b"\0", MALFORMED),
        ("a topic cut short", b"\0\x02a", MALFORMED),
        ("a topic that isn't UTF-8", b"\0\x02\xc3\x28", MALFORMED),
        ("a topic with a surrogate", b"\0\x03\xed\xbf\xbf", MALFORMED),
        ("a topic in a longer form than needed", b"\0\x02\xc0\xaf", MALFORMED),
        ("a topic with U+0000", b"\0\x03a\0b", MALFORMED),
        ("a topic with U+0001", b"\0\x01\x01", TOPIC),
        ("a topic with U+007F", b"\0\x01\x7f", TOPIC),
        ("a topic with U+0085", b"\0\x02\xc2\x85", TOPIC),
        ("a topic with U+00A0", b"\0\x02\xc2\xa0", GOOD),
        ("a topic with a byte order mark", b"\0\x03\xef\xbb\xbf", GOOD),
        ("a topic with +", b"\0\x03a/+", TOPIC),
        ("a topic with #", b"\0\x01#", TOPIC),
        ("a topic of 1,025 bytes", &long, TOPIC),
        ("a topic of 129 levels", &deep, TOPIC),
    ];
    for (what, topic, expected) in names {
        check(V311, 0x30, &[(what, topic, *expected)]);
        let with_properties = if topic.len() > 2 { [topic, &b"\0"[..]].concat() } else { topic.to_vec() };
        check(V5, 0x30, &[(what, &with_properties, *expected)]);
    }
    for version in [V311, V5] {
        check(
            version,
            0x32,
            &[
                ("no packet id", b"\0\x01a", MALFORMED),
                ("half a packet id", b"\0\x01a\0", MALFORMED),
                ("packet id 0", b"\0\x01a\0\0\0", PROTOCOL),
                ("a packet id", b"\0\x01a\0\x01\0", GOOD),
            ],
        );
    }
    check(V311, 0x30, &[("an empty topic", b"\0\0", TOPIC)]);
    check(
        V5,
        0x30,
        &[
            ("an empty topic", b"\0\0\0", PROTOCOL),
            ("an empty topic with an alias", b"\0\0\x03\x23\0\x01", GOOD),
            ("alias 0", b"\0\x01a\x03\x23\0\0", Some(Reason::TOPIC_ALIAS_INVALID)),
            ("no properties", b"\0\x01a", MALFORMED),
            ("properties beyond the end", b"\0\x01a\x05\x02\0\0\0", MALFORMED),
            ("a property beyond the properties", b"\0\x01a\x04\x02\0\0\0\x01", MALFORMED),
            ("format 2", b"\0\x01a\x02\x01\x02", PROTOCOL),
            ("an answer to +", b"\0\x01a\x04\x08\0\x01+", TOPIC),
            ("an answer to nowhere", b"\0\x01a\x03\x08\0\0", TOPIC),
            ("an answer to U+0000", b"\0\x01a\x04\x08\0\x01\0", MALFORMED),
            ("a content type with U+0000", b"\0\x01a\x04\x03\0\x01\0", MALFORMED),
            ("a client's subscription identifier", b"\0\x01a\x02\x0b\x01", PROTOCOL),
            ("correlation data of any bytes", b"\0\x01a\x05\x09\0\x02\0\xff", GOOD),
        ],
    );
    check_client(
        Version::V5,
        0x30,
        &[
            ("subscription identifiers", b"\0\x01a\x05\x0b\x01\x0b\x80\x01", GOOD),
            ("subscription identifier 0", b"\0\x01a\x02\x0b\0", PROTOCOL),
            ("alias 0", b"\0\x01a\x03\x23\0\0", Some(Reason::TOPIC_ALIAS_INVALID)),
        ],
    );
}

#[test]
fn an_acknowledgement_is_judged_field_by_field() {
    for first in [0x40, 0x50, 0x62, 0x70] {
        check(V311, first, &[("packet id 0", b"\0\0", PROTOCOL), ("a packet id", b"\0\x01", GOOD)]);
        check(
            V5,
            first,
            &[
                ("empty", b"", MALFORMED),
                ("half a packet id", b"\0", MALFORMED),
                ("packet id 0", b"\0\0", PROTOCOL),
                ("a packet id", b"\0\x01", GOOD),
                ("a reason", b"\0\x01\0", GOOD),
                ("no properties", b"\0\x01\0\0", GOOD),
                ("bytes left over", b"\0\x01\0\0x", MALFORMED),
                ("a reason that isn't", b"\0\x01\x7f", MALFORMED),
                ("a reason of another packet", b"\0\x01\x8e", MALFORMED),
                ("properties beyond the end", b"\0\x01\0\x03", MALFORMED),
                ("a reason string", b"\0\x01\0\x04\x1f\0\x01r", GOOD),
                ("a reason string that isn't UTF-8", b"\0\x01\0\x04\x1f\0\x01\xff", MALFORMED),
            ],
        );
    }
    for (first, own, other) in [(0x40, 0x97, 0x92), (0x50, 0x97, 0x92), (0x62, 0x92, 0x97), (0x70, 0x92, 0x10)] {
        check(V5, first, &[("own", &[0, 1, own], GOOD), ("other", &[0, 1, other], MALFORMED)]);
    }
}

#[test]
fn a_subscribe_is_judged_field_by_field() {
    check(
        V311,
        0x82,
        &[
            ("a filter", b"\0\x01\0\x01a\x02", GOOD),
            ("no filter", b"\0\x01", PROTOCOL),
            ("packet id 0", b"\0\0\0\x01a\0", PROTOCOL),
            ("no options", b"\0\x01\0\x01a", MALFORMED),
            ("QoS 3", b"\0\x01\0\x01a\x03", MALFORMED),
            ("no local", b"\0\x01\0\x01a\x04", MALFORMED),
            ("a reserved bit", b"\0\x01\0\x01a\x80", MALFORMED),
            ("an empty filter", b"\0\x01\0\0\0", FILTER),
            ("a second filter cut short", b"\0\x01\0\x01a\0\0\x02a", MALFORMED),
            ("a filter that isn't UTF-8", b"\0\x01\0\x01\xff\0", MALFORMED),
            ("a filter with U+0000", b"\0\x01\0\x01\0\0", MALFORMED),
            ("a filter with a line break", b"\0\x01\0\x01\n\0", FILTER),
            ("# amid", b"\0\x01\0\x03#/a\0", FILTER),
            ("+ beside others", b"\0\x01\0\x02a+\0", FILTER),
        ],
    );
    check(
        V5,
        0x82,
        &[
            ("a filter", b"\0\x01\0\0\x01a\x2e", GOOD),
            ("no filter", b"\0\x01\0", PROTOCOL),
            ("no properties", b"\0\x01", MALFORMED),
            ("packet id 0", b"\0\0\0\0\x01a\0", PROTOCOL),
            ("QoS 3", b"\0\x01\0\0\x01a\x03", PROTOCOL),
            ("retain handling 3", b"\0\x01\0\0\x01a\x30", PROTOCOL),
            ("reserved bit 6", b"\0\x01\0\0\x01a\x40", MALFORMED),
            ("reserved bit 7", b"\0\x01\0\0\x01a\x80", MALFORMED),
            ("identifier 0", b"\0\x01\x02\x0b\0\0\x01a\0", PROTOCOL),
            ("an identifier", b"\0\x01\x02\x0b\x01\0\x01a\0", GOOD),
            ("an identifier of five bytes", b"\0\x01\x06\x0b\x80\x80\x80\x80\x01\0\x01a\0", MALFORMED),
            ("shared", b"\0\x01\0\0\x0a$share/g/a\0", GOOD),
            ("shared without own publications", b"\0\x01\0\0\x0a$share/g/a\x04", PROTOCOL),
            ("shared without filter", b"\0\x01\0\0\x09$share/g/\0", FILTER),
            ("shared without group", b"\0\x01\0\0\x09$share//a\0", FILTER),
            ("shared by a wildcard", b"\0\x01\0\0\x0a$share/+/a\0", FILTER),
        ],
    );
}

#[test]
fn an_unsubscribe_is_judged_field_by_field() {
    check(
        V311,
        0xA2,
        &[
            ("a filter", b"\0\x01\0\x01a", GOOD),
            ("no filter", b"\0\x01", PROTOCOL),
            ("packet id 0", b"\0\0\0\x01a", PROTOCOL),
            ("an empty filter", b"\0\x01\0\0", FILTER),
            ("a filter cut short", b"\0\x01\0\x02a", MALFORMED),
            ("a filter with U+0000", b"\0\x01\0\x01\0", MALFORMED),
        ],
    );
    check(
        V5,
        0xA2,
        &[
            ("a filter", b"\0\x01\0\0\x01a", GOOD),
            ("no filter", b"\0\x01\0", PROTOCOL),
            ("no properties", b"\0\x01", MALFORMED),
            ("# amid", b"\0\x01\0\0\x03#/a", FILTER),
            ("shared without filter", b"\0\x01\0\0\x09$share/g/", FILTER),
        ],
    );
}

#[test]
fn a_disconnect_is_judged_field_by_field() {
    check(
        V5,
        0xE0,
        &[
            ("empty", b"", GOOD),
            ("a reason", b"\x04", GOOD),
            ("no properties", b"\0\0", GOOD),
            ("a server's reason", b"\x8e", MALFORMED),
            ("a reason that isn't", b"\x05", MALFORMED),
            ("bytes left over", b"\0\0x", MALFORMED),
            ("properties beyond the end", b"\0\x05", MALFORMED),
        ],
    );
    check_client(
        Version::V5,
        0xE0,
        &[("a server's reason", b"\x8e", GOOD), ("a client's reason", b"\x04", MALFORMED), ("empty", b"", GOOD)],
    );
}

#[test]
fn an_auth_is_judged_field_by_field() {
    check(
        V5,
        0xF0,
        &[
            ("empty", b"", PROTOCOL),
            ("a server's success", b"\0\x04\x15\0\x01m", MALFORMED),
            ("no properties", b"\x18", MALFORMED),
            ("no method", b"\x18\0", PROTOCOL),
            ("a method", b"\x18\x04\x15\0\x01m", GOOD),
            ("again", b"\x19\x04\x15\0\x01m", GOOD),
            ("bytes left over", b"\x18\x04\x15\0\x01mx", MALFORMED),
        ],
    );
    check_client(
        Version::V5,
        0xF0,
        &[
            ("empty", b"", GOOD),
            ("a method", b"\x18\x04\x15\0\x01m", GOOD),
            ("a client's reason", b"\x19\x04\x15\0\x01m", MALFORMED),
        ],
    );
}

#[test]
fn what_only_a_client_hears() {
    for (version, rows) in [
        (
            Version::V311,
            &[
                ("one answer", &b"\0\x01\x80"[..], GOOD),
                ("none", b"\0\x01", PROTOCOL),
                ("a reason of 5.0", b"\0\x01\x87", MALFORMED),
                ("packet id 0", b"\0\0\0", PROTOCOL),
            ][..],
        ),
        (
            Version::V5,
            &[
                ("one answer", b"\0\x01\0\x87", GOOD),
                ("none", b"\0\x01\0", PROTOCOL),
                ("another packet's reason", b"\0\x01\0\x11", MALFORMED),
            ],
        ),
    ] {
        check_client(version, 0x90, rows);
    }
    check_client(Version::V311, 0xB0, &[("an answer", b"\0\x01", GOOD), ("packet id 0", b"\0\0", PROTOCOL)]);
    check_client(
        Version::V5,
        0xB0,
        &[
            ("an answer", b"\0\x01\0\x11", GOOD),
            ("none", b"\0\x01\0", PROTOCOL),
            ("another packet's reason", b"\0\x01\0\x01", MALFORMED),
        ],
    );
    for (version, body, expected) in [
        (Version::V311, &b"\0\0"[..], GOOD),
        (Version::V311, b"\x01\0", GOOD),
        (Version::V311, b"\x02\0", MALFORMED),
        (Version::V311, b"\0\x06", MALFORMED),
        (Version::V311, b"\x01\x05", PROTOCOL),
        (Version::V5, b"\0\0\0", GOOD),
        (Version::V5, b"\0\0", MALFORMED),
        (Version::V5, b"\x01\x87\0", PROTOCOL),
        (Version::V5, b"\0\x8e\0", MALFORMED),
        (Version::V5, b"\0\0\x03\x21\0\0", PROTOCOL),
        (Version::V5, b"\0\0\x02\x24\x02", PROTOCOL),
        (Version::V5, b"\0\0\0x", MALFORMED),
    ] {
        let heard = ClientDecoder::new(version, PACKET_MAX).next(&mut BytesMut::from(&packet(0x20, body)[..]));
        assert_eq!(heard.err().map(|fault| fault.reason), expected, "{version:?} {body:?}");
    }
}

#[test]
fn a_packet_holds_a_bounded_number_of_small_things() {
    // No bytes of its own, five on the wire each.
    let pairs = |count| b"\x26\0\0\0\0".repeat(count);
    let publish = |count: usize| {
        let (len, used) = varint::bytes(u32::try_from(count * 5).unwrap());
        packet(0x30, &[b"\0\x01t", &len[..used], &pairs(count)].concat())
    };
    assert!(heard(V5, &publish(USER_PROPERTIES_MAX)).is_ok());
    assert_eq!(heard(V5, &publish(USER_PROPERTIES_MAX + 1)), Err(Reason::QUOTA_EXCEEDED));
    let subscribe = |count| packet(0x82, &[&b"\0\x01"[..], &b"\0\x01a\0".repeat(count)].concat());
    assert!(heard(V311, &subscribe(FILTERS_MAX)).is_ok());
    assert_eq!(heard(V311, &subscribe(FILTERS_MAX + 1)), Err(Reason::QUOTA_EXCEEDED));
    let unsubscribe = |count| packet(0xA2, &[&b"\0\x01"[..], &b"\0\x01a".repeat(count)].concat());
    assert!(heard(V311, &unsubscribe(FILTERS_MAX)).is_ok());
    assert_eq!(heard(V311, &unsubscribe(FILTERS_MAX + 1)), Err(Reason::QUOTA_EXCEEDED));
}

#[test]
fn a_fault_knows_the_language_of_its_answer() {
    let version =
        |body: &[u8]| Decoder::new().next(&mut BytesMut::from(&packet(0x10, body)[..])).expect_err("a fault").version;
    assert_eq!(version(b"\0\x06MQIsdp\x03\x02\0\0\0\0"), V311);
    assert_eq!(version(b"\0\x04MQTT\x03\x02\0\0\0\0"), V311);
    assert_eq!(version(b"\0\x04MQTT\x06\x02\0\0\0\0"), V5);
    assert_eq!(version(b"\0\x04MQTT\x04\x03\0\0\0\0"), V311);
    assert_eq!(version(b"\0\x04MQTT\x05\x03\0\0\0\0"), V5);
    assert_eq!(version(b"\0\x03ABC\x05\x03\0\0\0\0"), None);
    let fault = decoder(V5).next(&mut BytesMut::from(&[0x36][..])).expect_err("a fault");
    assert_eq!(fault.version, V5);
    assert_eq!(fault.to_string(), "0x81 Malformed packet: there is no QoS 3");
}
