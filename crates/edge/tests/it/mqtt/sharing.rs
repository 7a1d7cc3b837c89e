//! Shared subscriptions: each event goes to one of those who share.

use std::collections::BTreeSet;

use headwater_edge::mqtt::packet::{AckKind, Qos, Reason, Version};

use super::client::{BOTH, QOS, options, publication, text};
use super::place::Place;

#[tokio::test]
async fn each_event_goes_to_one_member_and_all_of_them_to_some() {
    let place = Place::new().await;
    for version in BOTH {
        let filter = format!("$share/{version:?}/work/+");
        let mut one = place.client(version, "one").await;
        let mut two = place.client(version, "two").await;
        let mut all = place.client(version, "all").await;
        for member in [&mut one, &mut two] {
            assert_eq!(member.subscribe(&filter, Qos::AtLeastOnce).await, Reason::GRANTED_QOS_1);
        }
        all.subscribe("work/+", Qos::AtLeastOnce).await;
        let mut source = place.client(version, "source").await;
        let expected: BTreeSet<_> = (0..20).map(|number| number.to_string()).collect();
        for payload in &expected {
            source.publish("work/x", payload).await;
        }
        let mut seen = BTreeSet::new();
        for _ in 0..expected.len() {
            let got = tokio::select! {
                got = one.take() => got,
                got = two.take() => got,
            };
            assert!(!got.retain);
            assert!(seen.insert(text(&got)), "twice");
        }
        assert_eq!(seen, expected);
        all.payloads(20).await;
    }
}

#[tokio::test]
async fn the_granted_quality_is_respected() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    for granted in QOS {
        let mut member = place.client(Version::V5, "member").await;
        member.subscribe("$share/g/a", granted).await;
        for published in QOS {
            source.publish_as(publication("a", "x"), published).await;
            assert_eq!(member.take().await.qos, published.min(granted));
        }
        member.unsubscribe(&["$share/g/a"]).await;
    }
}

#[tokio::test]
async fn retained_messages_are_not_told_to_those_who_share() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    source.retain("a", "state").await;
    let mut member = place.client(Version::V5, "member").await;
    member.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    source.publish("a", "event").await;
    assert_eq!(member.payloads(1).await, ["event"]);
}

#[tokio::test]
async fn shared_and_not_shared_are_two_subscriptions() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    let mut client = place.client(Version::V5, "c").await;
    client.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    source.publish("a", "x").await;
    assert_eq!(client.payloads(2).await, ["x", "x"]);
    assert_eq!(client.unsubscribe(&["$share/other/a"]).await, [Reason::NO_SUBSCRIPTION_EXISTED]);
    assert_eq!(client.unsubscribe(&["a"]).await, [Reason::SUCCESS]);
    source.publish("a", "shared").await;
    assert_eq!(client.payloads(1).await, ["shared"]);
    client.subscribe("a", Qos::AtLeastOnce).await;
    assert_eq!(client.unsubscribe(&["$share/g/a"]).await, [Reason::SUCCESS]);
    source.publish("a", "plain").await;
    source.publish("a", "sentinel").await;
    assert_eq!(client.payloads(2).await, ["plain", "sentinel"]);
}

#[tokio::test]
async fn what_a_member_refuses_goes_to_nobody_else() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    for (qos, kind) in [(Qos::AtLeastOnce, AckKind::PubAck), (Qos::ExactlyOnce, AckKind::PubRec)] {
        let filter = format!("$share/{qos:?}/a");
        let mut one = place.client(Version::V5, "one").await;
        one.subscribe(&filter, qos).await;
        source.publish_as(publication("a", "refused"), qos).await;
        let got = one.delivery().await;
        let mut two = place.client(Version::V5, "two").await;
        two.subscribe(&filter, qos).await;
        one.ack_with(kind, got.packet_id, Reason::UNSPECIFIED_ERROR).await;
        one.ping().await;
        one.unsubscribe(&[&filter]).await;
        one.leave().await;
        source.publish_as(publication("a", "next"), qos).await;
        assert_eq!(two.payloads(1).await, ["next"]);
        two.unsubscribe(&[&filter]).await;
    }
}

#[tokio::test]
async fn what_a_member_that_is_gone_has_not_acknowledged_goes_to_another() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    let mut one = place.client(Version::V5, "one").await;
    one.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    source.publish("a", "1").await;
    source.publish("a", "2").await;
    let first = one.delivery().await;
    one.delivery().await;
    one.settle(&first).await;
    one.ping().await;
    let mut two = place.client(Version::V5, "two").await;
    two.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    one.vanish();
    assert_eq!(two.payloads(1).await, ["2"]);
}

#[tokio::test]
async fn a_group_of_absent_sessions_misses_nothing() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    let (mut member, _) = place.kept(Version::V5, "member").await;
    member.subscribe("$share/g/a", Qos::AtLeastOnce).await;
    member.leave().await;
    for payload in ["1", "2", "3"] {
        source.publish("a", payload).await;
    }
    let (mut member, _) = place.kept(Version::V5, "member").await;
    assert_eq!(member.payloads(3).await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_qos_2_delivery_that_has_begun_stays_with_its_client() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    let (mut one, _) = place.kept(Version::V5, "one").await;
    one.subscribe("$share/g/a", Qos::ExactlyOnce).await;
    source.publish_as(publication("a", "once"), Qos::ExactlyOnce).await;
    let got = one.delivery().await;
    let mut two = place.client(Version::V5, "two").await;
    two.subscribe("$share/g/a", Qos::ExactlyOnce).await;
    one.vanish();
    source.publish_as(publication("a", "for the other"), Qos::ExactlyOnce).await;
    assert_eq!(two.payloads(1).await, ["for the other"]);
    let (mut one, present) = place.kept(Version::V5, "one").await;
    assert!(present);
    let again = one.take().await;
    assert_eq!((again.packet_id, again.dup, text(&again).as_str()), (got.packet_id, true, "once"));
}

#[tokio::test]
async fn a_qos_2_delivery_of_a_session_that_has_ended_goes_to_nobody_else() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    let (mut one, _) = place.kept(Version::V5, "one").await;
    one.subscribe("$share/g/a", Qos::ExactlyOnce).await;
    source.publish_as(publication("a", "once"), Qos::ExactlyOnce).await;
    one.delivery().await;
    let mut two = place.client(Version::V5, "two").await;
    two.subscribe("$share/g/a", Qos::ExactlyOnce).await;
    one.vanish();
    place.all_but(2).await;
    // Begins afresh: the session is over.
    place.client(Version::V5, "one").await.leave().await;
    source.publish_as(publication("a", "for the other"), Qos::ExactlyOnce).await;
    assert_eq!(two.payloads(1).await, ["for the other"]);
}

#[tokio::test]
async fn a_share_that_is_subscribed_again_sends_nothing_again() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    let mut client = place.client(Version::V5, "c").await;
    client.subscribe("$share/g/a", Qos::ExactlyOnce).await;
    for payload in ["1", "2"] {
        source.publish_as(publication("a", payload), Qos::ExactlyOnce).await;
    }
    let (one, two) = (client.delivery().await, client.delivery().await);
    client.ack(AckKind::PubRec, one.packet_id).await;
    assert_eq!(client.answer(AckKind::PubRel, one.packet_id).await, Reason::SUCCESS);
    assert_eq!(client.subscribe_with("$share/g/a", options(Qos::AtLeastOnce), Some(9)).await, Reason::GRANTED_QOS_1);
    client.ack(AckKind::PubComp, one.packet_id).await;
    client.settle(&two).await;
    source.publish_as(publication("a", "3"), Qos::ExactlyOnce).await;
    let three = client.take().await;
    assert_eq!((text(&three).as_str(), three.qos, three.dup), ("3", Qos::AtLeastOnce, false));
    assert_eq!(three.properties.unwrap().subscription_ids, [9]);
}
