//! Packets of every kind that both sides may send, to be written and read again.

use bytes::Bytes;
use headwater_event::Text;
use proptest::option::of;
use proptest::prelude::*;

use super::*;

pub fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V311), Just(Version::V5)]
}

fn text() -> impl Strategy<Value = Text> {
    "[a-z \n\u{1}é\u{10ffff}]{0,8}".prop_map(Text::from)
}

fn topic() -> impl Strategy<Value = Text> {
    "[a-z$ é/]{1,12}".prop_map(Text::from)
}

fn filter() -> impl Strategy<Value = Text> {
    "(\\$share/[a-z]{1,3}/)?(\\+|[a-z é]{0,3})(/(\\+|[a-z]{1,3})){1,3}(/#)?".prop_map(Text::from)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

/// Above 127 bytes now and then, so that lengths of two bytes occur.
fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 100..300),
    ]
    .prop_map(Bytes::from)
}

fn pairs() -> impl Strategy<Value = Vec<(Text, Text)>> {
    prop::collection::vec((text(), text()), 0..4)
}

fn packet_id() -> impl Strategy<Value = u16> {
    1..=u16::MAX
}

fn qos() -> impl Strategy<Value = Qos> {
    prop_oneof![Just(Qos::AtMostOnce), Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)]
}

fn format() -> impl Strategy<Value = PayloadFormat> {
    prop_oneof![Just(PayloadFormat::Bytes), Just(PayloadFormat::Text)]
}

fn subscription_id() -> impl Strategy<Value = u32> {
    prop_oneof![1..1_000_u32, 1..=varint::MAX]
}

fn one_of(reasons: &'static [Reason]) -> impl Strategy<Value = Reason> {
    prop::sample::select(reasons)
}

fn explanation() -> impl Strategy<Value = Explanation> {
    (of(text()), pairs()).prop_map(|(reason_string, user_properties)| Explanation { reason_string, user_properties })
}

fn boxed_explanation(version: Version) -> impl Strategy<Value = Option<Box<Explanation>>> {
    explanation().prop_map(move |explanation| if version == Version::V5 { explanation.boxed() } else { None })
}

fn properties(to_client: bool) -> impl Strategy<Value = PublishProperties> {
    let ids = prop::collection::vec(subscription_id(), 0..if to_client { 4 } else { 1 });
    (of(format()), of(any::<u32>()), of(1..=u16::MAX), of(topic()), of(bytes()), pairs(), ids, of(text())).prop_map(
        |(payload_format, message_expiry, topic_alias, response_topic, correlation_data, user, ids, content_type)| {
            PublishProperties {
                payload_format,
                message_expiry,
                topic_alias,
                response_topic,
                correlation_data,
                user_properties: user,
                subscription_ids: ids,
                content_type,
            }
        },
    )
}

pub fn publish(version: Version, to_client: bool) -> impl Strategy<Value = Publish> {
    let head = (any::<bool>(), qos(), any::<bool>(), packet_id(), any::<bool>());
    (head, topic(), properties(to_client), payload()).prop_map(move |(head, topic, properties, payload)| {
        let (dup, qos, retain, packet_id, by_alias) = head;
        let with_properties = version == Version::V5 && properties != PublishProperties::default();
        let by_alias = by_alias && with_properties && properties.topic_alias.is_some();
        Publish {
            dup: dup && qos != Qos::AtMostOnce,
            qos,
            retain,
            topic: if by_alias { Text::default() } else { topic },
            packet_id: if qos == Qos::AtMostOnce { 0 } else { packet_id },
            properties: with_properties.then(|| Box::new(properties)),
            payload,
        }
    })
}

fn ack(reasons: &'static [Reason], version: Version) -> impl Strategy<Value = Ack> {
    (packet_id(), one_of(reasons), boxed_explanation(version)).prop_map(move |(packet_id, reason, explanation)| Ack {
        packet_id,
        reason: if version == Version::V5 { reason } else { Reason::SUCCESS },
        explanation,
    })
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    (topic(), bytes(), qos(), any::<bool>(), any::<u32>(), properties(false)).prop_map(
        move |(topic, payload, qos, retain, delay, mut properties)| {
            properties.topic_alias = None;
            let with_properties = version == Version::V5 && properties != PublishProperties::default();
            let delay = if version == Version::V5 { delay } else { 0 };
            Will { topic, payload, qos, retain, delay, properties: with_properties.then(|| Box::new(properties)) }
        },
    )
}

fn connect_properties() -> impl Strategy<Value = ConnectProperties> {
    let numbers = (any::<u32>(), 1..=u16::MAX, of(1..=u32::MAX), any::<u16>());
    let method = of((text(), of(bytes())));
    (numbers, any::<bool>(), any::<bool>(), pairs(), method).prop_map(|(numbers, response, problem, pairs, method)| {
        let (method, data) = method.map_or((None, None), |(method, data)| (Some(method), data));
        ConnectProperties {
            session_expiry: numbers.0,
            receive_maximum: numbers.1,
            maximum_packet_size: numbers.2,
            topic_alias_maximum: numbers.3,
            request_response_information: response,
            request_problem_information: problem,
            user_properties: pairs,
            authentication_method: method,
            authentication_data: data.map(Secret::new),
        }
    })
}

pub fn connect(version: Version) -> impl Strategy<Value = Connect> {
    let name = "[a-zé]{0,6}".prop_map(Text::from);
    let user = (of("[a-zé]{0,6}".prop_map(Text::from)), of(bytes()));
    (any::<bool>(), any::<u16>(), name, of(will(version)), user, connect_properties()).prop_map(
        move |(clean_start, keep_alive, client_id, will, (user_name, password), properties)| Connect {
            version,
            clean_start,
            keep_alive,
            client_id,
            will,
            password: password.filter(|_| version == Version::V5 || user_name.is_some()).map(Secret::new),
            user_name,
            properties: if version == Version::V5 { properties } else { ConnectProperties::default() },
        },
    )
}

fn subscribe(version: Version) -> impl Strategy<Value = Subscribe> {
    let handling =
        prop_oneof![Just(RetainHandling::Always), Just(RetainHandling::WhenNew), Just(RetainHandling::Never)];
    let options = (qos(), any::<bool>(), any::<bool>(), handling);
    let filters = prop::collection::vec((filter(), options), 1..5);
    (packet_id(), of(subscription_id()), filters, pairs()).prop_map(move |(packet_id, id, filters, pairs)| {
        let is_v5 = version == Version::V5;
        let filters = filters.into_iter().map(|(filter, (qos, no_local, retain_as_published, retain_handling))| {
            let no_local = no_local && split_shared(&filter).is_none();
            let options = SubscribeOptions { qos, no_local, retain_as_published, retain_handling };
            (filter, if is_v5 { options } else { SubscribeOptions { qos, ..SubscribeOptions::default() } })
        });
        Subscribe {
            packet_id,
            id: id.filter(|_| is_v5),
            filters: filters.collect(),
            user_properties: if is_v5 { pairs } else { Vec::new() },
        }
    })
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe> {
    (packet_id(), prop::collection::vec(filter(), 1..5), pairs()).prop_map(move |(packet_id, filters, pairs)| {
        Unsubscribe { packet_id, filters, user_properties: if version == Version::V5 { pairs } else { Vec::new() } }
    })
}

fn disconnect(version: Version, to_client: bool) -> impl Strategy<Value = Disconnect> {
    const CLIENTS: &[Reason] = &[Reason::SUCCESS, Reason::DISCONNECT_WITH_WILL, Reason::PAYLOAD_FORMAT_INVALID];
    const SERVERS: &[Reason] = &[Reason::SUCCESS, Reason::SESSION_TAKEN_OVER, Reason::KEEP_ALIVE_TIMEOUT];
    let reason = one_of(if to_client { SERVERS } else { CLIENTS });
    (reason, of(any::<u32>()), of(text()), explanation()).prop_map(move |(reason, expiry, reference, explanation)| {
        if version == Version::V311 {
            return Disconnect::because(Reason::SUCCESS);
        }
        Disconnect {
            reason,
            session_expiry: expiry.filter(|_| !to_client),
            server_reference: reference.filter(|_| to_client),
            explanation: explanation.boxed(),
        }
    })
}

fn auth(reasons: &'static [Reason]) -> impl Strategy<Value = Auth> {
    (one_of(reasons), text(), of(bytes()), explanation()).prop_map(|(reason, method, data, explanation)| Auth {
        reason,
        method: Some(method),
        data: data.map(Secret::new),
        explanation: explanation.boxed(),
    })
}

const PUB_REASONS: &[Reason] = &[Reason::SUCCESS, Reason::NO_MATCHING_SUBSCRIBERS, Reason::QUOTA_EXCEEDED];
const REL_REASONS: &[Reason] = &[Reason::SUCCESS, Reason::PACKET_ID_NOT_FOUND];

/// Anything that a client may send behind CONNECT.
pub fn from_client(version: Version) -> BoxedStrategy<Packet> {
    let auth = match version {
        Version::V5 => auth(&[Reason::CONTINUE_AUTHENTICATION, Reason::RE_AUTHENTICATE]).prop_map(Packet::Auth).boxed(),
        Version::V311 => Just(Packet::PingReq).boxed(),
    };
    prop_oneof![
        publish(version, false).prop_map(Packet::Publish),
        ack(PUB_REASONS, version).prop_map(Packet::PubAck),
        ack(PUB_REASONS, version).prop_map(Packet::PubRec),
        ack(REL_REASONS, version).prop_map(Packet::PubRel),
        ack(REL_REASONS, version).prop_map(Packet::PubComp),
        subscribe(version).prop_map(Packet::Subscribe),
        unsubscribe(version).prop_map(Packet::Unsubscribe),
        Just(Packet::PingReq),
        disconnect(version, false).prop_map(Packet::Disconnect),
        auth,
    ]
    .boxed()
}

pub fn connack(version: Version) -> BoxedStrategy<ConnAck> {
    let reasons: &[Reason] = match version {
        Version::V311 => &[Reason::SUCCESS, Reason::NOT_AUTHORIZED, Reason::BAD_USER_NAME_OR_PASSWORD],
        Version::V5 => &[Reason::SUCCESS, Reason::NOT_AUTHORIZED, Reason::CONNECTION_RATE_EXCEEDED],
    };
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let numbers = (of(any::<u32>()), 1..=u16::MAX, of(1..=u32::MAX), any::<u16>(), of(any::<u16>()));
    let texts = (of(text()), of(text()), of(text()), of(text()), of(bytes()));
    (any::<bool>(), one_of(reasons), flags, numbers, texts, explanation(), qos())
        .prop_map(move |(present, reason, flags, numbers, texts, explanation, maximum_qos)| {
            let properties = ConnAckProperties {
                session_expiry: numbers.0,
                receive_maximum: numbers.1,
                maximum_qos,
                retain_available: flags.0,
                maximum_packet_size: numbers.2,
                assigned_client_id: texts.0,
                topic_alias_maximum: numbers.3,
                explanation,
                wildcards_available: flags.1,
                subscription_ids_available: flags.2,
                shared_available: flags.3,
                server_keep_alive: numbers.4,
                response_information: texts.1,
                server_reference: texts.2,
                authentication_method: texts.3,
                authentication_data: texts.4.map(Secret::new),
            };
            let properties = if version == Version::V5 { properties } else { ConnAckProperties::default() };
            ConnAck { session_present: present && reason == Reason::SUCCESS, reason, properties }
        })
        .boxed()
}

fn suback(version: Version) -> impl Strategy<Value = SubAck> {
    const V311: &[Reason] = &[Reason::SUCCESS, Reason::GRANTED_QOS_1, Reason::GRANTED_QOS_2, Reason::UNSPECIFIED_ERROR];
    const V5: &[Reason] =
        &[Reason::GRANTED_QOS_1, Reason::NOT_AUTHORIZED, Reason::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED];
    let reasons = prop::collection::vec(one_of(if version == Version::V5 { V5 } else { V311 }), 1..5);
    (packet_id(), reasons, boxed_explanation(version)).prop_map(|(packet_id, reasons, explanation)| SubAck {
        packet_id,
        reasons,
        explanation,
    })
}

fn unsuback(version: Version) -> impl Strategy<Value = UnsubAck> {
    const REASONS: &[Reason] = &[Reason::SUCCESS, Reason::NO_SUBSCRIPTION_EXISTED, Reason::NOT_AUTHORIZED];
    let reasons = prop::collection::vec(one_of(REASONS), 1..5);
    (packet_id(), reasons, boxed_explanation(version)).prop_map(move |(packet_id, reasons, explanation)| {
        let reasons = if version == Version::V5 { reasons } else { Vec::new() };
        UnsubAck { packet_id, reasons, explanation }
    })
}

/// Anything that a server may send behind CONNACK.
pub fn from_server(version: Version) -> BoxedStrategy<FromServer> {
    let words = match version {
        Version::V5 => prop_oneof![
            auth(&[Reason::SUCCESS, Reason::CONTINUE_AUTHENTICATION]).prop_map(FromServer::Auth),
            disconnect(version, true).prop_map(FromServer::Disconnect),
        ]
        .boxed(),
        Version::V311 => Just(FromServer::PingResp).boxed(),
    };
    prop_oneof![
        publish(version, true).prop_map(FromServer::Publish),
        ack(PUB_REASONS, version).prop_map(FromServer::PubAck),
        ack(PUB_REASONS, version).prop_map(FromServer::PubRec),
        ack(REL_REASONS, version).prop_map(FromServer::PubRel),
        ack(REL_REASONS, version).prop_map(FromServer::PubComp),
        suback(version).prop_map(FromServer::SubAck),
        unsuback(version).prop_map(FromServer::UnsubAck),
        Just(FromServer::PingResp),
        words,
    ]
    .boxed()
}
