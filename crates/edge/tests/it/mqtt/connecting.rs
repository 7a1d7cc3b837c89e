//! CONNECT and CONNACK, keep alive, sessions and who takes over whose.

use std::time::Duration;

use headwater_edge::mqtt::MqttSettings;
use headwater_edge::mqtt::packet::{
    Ack, Connect, Disconnect, FromServer, Packet, Publish, Qos, Reason, SubAck, Subscribe, UnsubAck, Unsubscribe,
    Version,
};
use headwater_hub::Access;

use super::client::{BOTH, hello, options, publication, text, will};
use super::place::Place;

#[tokio::test]
async fn client_ids_that_every_server_must_take_are_taken() {
    let place = Place::new().await;
    for version in BOTH {
        for id in ["a", "0", "ABCDEFGHIJKLMNOPQRSTUVW", "XYZ0123456789abcdefghij", "klmnopqrstuvwxyz"] {
            place.client(version, id).await.leave().await;
        }
    }
}

#[tokio::test]
async fn a_client_without_an_id_is_given_one() {
    let place = Place::new().await;
    let (_first, one) = place.connect(&hello(Version::V5, "")).await;
    let (_second, other) = place.connect(&hello(Version::V5, "")).await;
    let (one, other) = (one.properties.assigned_client_id.unwrap(), other.properties.assigned_client_id.unwrap());
    assert_ne!(one, other);
    // It is an id like any other: whoever shows it is that client.
    let (_again, answer) = place.connect(&hello(Version::V5, &one)).await;
    assert_eq!((answer.reason, answer.properties.assigned_client_id), (Reason::SUCCESS, None));
    let mut first = _first;
    assert_eq!(first.ended().await, Some(Reason::SESSION_TAKEN_OVER));
    let (_third, answer) = place.connect(&hello(Version::V311, "")).await;
    assert_eq!(answer.reason, Reason::SUCCESS);
}

#[tokio::test]
async fn a_session_without_an_id_can_be_kept_in_5_and_not_in_3_1_1() {
    let place = Place::new().await;
    let (mut client, answer) = place.connect(&Connect { clean_start: false, ..hello(Version::V311, "") }).await;
    assert_eq!(answer.reason, Reason::CLIENT_ID_NOT_VALID);
    assert_eq!(client.next_or_end().await, None);
    let mut connect = Connect { clean_start: false, ..hello(Version::V5, "") };
    connect.properties.session_expiry = 60;
    let (client, answer) = place.connect(&connect).await;
    let id = answer.properties.assigned_client_id.unwrap();
    assert!(!answer.session_present);
    client.leave().await;
    assert!(place.kept(Version::V5, &id).await.1);
}

#[tokio::test]
async fn a_session_is_present_only_where_it_was_kept() {
    let place = Place::new().await;
    for version in BOTH {
        let id = format!("{version:?}");
        let (client, present) = place.kept(version, &id).await;
        assert!(!present);
        client.leave().await;
        let (client, present) = place.kept(version, &id).await;
        assert!(present);
        client.vanish();
        let (client, present) = place.kept(version, &id).await;
        assert!(present, "also when the connection broke");
        client.leave().await;
        // Whoever begins afresh ends the one before, and in 3.1.1 leaves none.
        place.client(version, &id).await.leave().await;
        assert!(!place.kept(version, &id).await.1);
    }
}

#[tokio::test]
async fn a_clean_start_ends_the_session_before_and_its_subscriptions() {
    let place = Place::new().await;
    let mut source = place.client(Version::V5, "source").await;
    for version in BOTH {
        let id = format!("{version:?}");
        let (mut client, _) = place.kept(version, &id).await;
        client.subscribe("a", Qos::AtLeastOnce).await;
        client.leave().await;
        source.publish("a", "missed").await;
        let mut connect = hello(version, &id);
        connect.properties.session_expiry = if version == Version::V5 { 60 } else { 0 };
        let (mut client, answer) = place.connect(&connect).await;
        assert!(!answer.session_present);
        client.subscribe("b", Qos::AtLeastOnce).await;
        source.publish("a", "unwanted").await;
        source.publish("b", "wanted").await;
        assert_eq!(client.payloads(1).await, ["wanted"]);
        client.leave().await;
        // In 5.0 the new session outlives its connection, if it asks for that.
        assert_eq!(place.kept(version, &id).await.1, version == Version::V5);
    }
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over() {
    let place = Place::new().await;
    let mut connect = Connect { clean_start: false, ..hello(Version::V5, "c") };
    connect.properties.session_expiry = 100;
    let (client, answer) = place.connect(&connect).await;
    assert_eq!(answer.properties.session_expiry.unwrap_or(100), 100);
    // Time with a connection doesn't count.
    place.clock.advance(Duration::from_secs(1_000));
    client.leave().await;
    place.all_have_left().await;
    place.clock.advance(Duration::from_secs(99));
    let (client, answer) = place.connect(&connect).await;
    assert!(answer.session_present);
    client.leave().await;
    place.all_have_left().await;
    place.clock.advance(Duration::from_secs(100));
    let (client, answer) = place.connect(&connect).await;
    assert!(!answer.session_present);
    client.leave().await;
}

#[tokio::test]
async fn an_expiry_of_0_ends_the_session_with_its_connection() {
    let place = Place::new().await;
    let connect = Connect { clean_start: false, ..hello(Version::V5, "c") };
    for _ in 0..2 {
        let (mut client, answer) = place.connect(&connect).await;
        assert!(!answer.session_present);
        client.subscribe("a", Qos::AtLeastOnce).await;
        client.leave().await;
    }
}

#[tokio::test]
async fn disconnect_may_change_how_long_the_session_lasts() {
    let place = Place::new().await;
    let goodbye = |seconds| Disconnect { session_expiry: Some(seconds), ..Disconnect::because(Reason::SUCCESS) };
    let (client, _) = place.kept(Version::V5, "c").await;
    client.leave_with(goodbye(0)).await;
    let (client, present) = place.kept(Version::V5, "c").await;
    assert!(!present, "ended by DISCONNECT");
    client.leave_with(goodbye(10_000)).await;
    place.all_have_left().await;
    place.clock.advance(Duration::from_secs(9_999));
    assert!(place.kept(Version::V5, "c").await.1, "longer than CONNECT said");
}

#[tokio::test]
async fn a_newer_connection_of_the_same_client_takes_over() {
    let place = Place::new().await;
    for version in BOTH {
        let id = format!("{version:?}");
        let (mut old, _) = place.kept(version, &id).await;
        old.subscribe("a", Qos::AtLeastOnce).await;
        let (mut new, present) = place.kept(version, &id).await;
        assert!(present);
        let told = if version == Version::V5 { Some(Reason::SESSION_TAKEN_OVER) } else { None };
        assert_eq!(old.ended().await, told);
        let mut source = place.client(version, "source").await;
        source.publish("a", "to the new one").await;
        assert_eq!(new.payloads(1).await, ["to the new one"]);
        // The rightful owner is not disturbed by the old one's end.
        new.ping().await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_can_be_taken_over() {
    let place = Place::new().await;
    let (mut stalled, _) = place.kept(Version::V5, "c").await;
    stalled.subscribe("flood", Qos::AtLeastOnce).await;
    let mut source = place.client(Version::V5, "source").await;
    let payload = "x".repeat(100_000);
    for _ in 0..100 {
        source.publish("flood", &payload).await;
    }
    // More than the sockets' buffers hold, so a frame is half written when the newer one comes.
    let (mut new, present) = place.kept(Version::V5, "c").await;
    assert!(present);
    for _ in 0..100 {
        assert_eq!(new.take().await.payload.len(), 100_000);
    }
}

#[tokio::test]
async fn a_client_that_is_silent_for_one_and_a_half_keep_alives_is_gone() {
    let place = Place::new().await;
    for version in BOTH {
        let mut watcher = place.client(version, "watcher").await;
        watcher.subscribe("gone", Qos::AtLeastOnce).await;
        let connect = Connect { keep_alive: 1, will: Some(will("gone", "silent")), ..hello(version, "c") };
        let begun = tokio::time::Instant::now();
        let (mut client, answer) = place.connect(&connect).await;
        assert_eq!(answer.properties.server_keep_alive, None, "the client's own keep alive is used");
        let told = if version == Version::V5 { Some(Reason::KEEP_ALIVE_TIMEOUT) } else { None };
        assert_eq!(client.ended().await, told);
        assert!(begun.elapsed() >= Duration::from_millis(1_490), "{:?}", begun.elapsed());
        assert_eq!(text(&watcher.take().await), "silent");
    }
}

#[tokio::test]
async fn any_packet_keeps_a_client_alive() {
    let place = Place::new().await;
    let connect = Connect { keep_alive: 1, ..hello(Version::V5, "c") };
    let (mut client, _) = place.connect(&connect).await;
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(2_500) {
        // Answered at once: the loop is a busy client, not a sleeping test.
        client.ping().await;
    }
    client.leave().await;
}

#[tokio::test]
async fn a_server_that_wants_a_shorter_keep_alive_says_so() {
    let settings = MqttSettings { keep_alive_max: Duration::from_secs(1), ..MqttSettings::default() };
    let place = Place::with(settings, Access::open()).await;
    for asked in [0, 60] {
        let (mut client, answer) = place.connect(&Connect { keep_alive: asked, ..hello(Version::V5, "c") }).await;
        assert_eq!(answer.properties.server_keep_alive, Some(1));
        assert_eq!(client.ended().await, Some(Reason::KEEP_ALIVE_TIMEOUT));
    }
}

#[tokio::test]
async fn response_information_is_not_given_unasked() {
    let place = Place::new().await;
    let (_client, answer) = place.connect(&hello(Version::V5, "c")).await;
    assert_eq!(answer.properties.response_information, None);
}

#[tokio::test]
async fn a_server_that_stops_tells_its_clients() {
    let place = Place::new().await;
    let mut five = place.client(Version::V5, "five").await;
    let mut older = place.client(Version::V311, "older").await;
    place.stop.request();
    assert_eq!(five.ended().await, Some(Reason::SERVER_SHUTTING_DOWN));
    assert_eq!(older.ended().await, None);
}

#[tokio::test]
async fn a_client_that_wants_no_words_is_told_codes_alone() {
    let place = Place::with_secrets().await;
    let mut connect = hello(Version::V5, "c");
    connect.properties.request_problem_information = false;
    let (mut client, _) = place.connect(&connect).await;
    client.say(&Packet::Publish(Publish { qos: Qos::AtLeastOnce, packet_id: 1, ..publication("secret", "x") })).await;
    let refused = Ack { packet_id: 1, reason: Reason::NOT_AUTHORIZED, explanation: None };
    assert_eq!(client.next().await, FromServer::PubAck(refused));
    let filters = vec![("secret".into(), options(Qos::AtMostOnce))];
    client.say(&Packet::Subscribe(Subscribe { packet_id: 2, id: None, filters, user_properties: Vec::new() })).await;
    let refused = SubAck { packet_id: 2, reasons: vec![Reason::NOT_AUTHORIZED], explanation: None };
    assert_eq!(client.next().await, FromServer::SubAck(refused));
    let unsubscribe = Unsubscribe { packet_id: 3, filters: vec!["x".into()], user_properties: Vec::new() };
    client.say(&Packet::Unsubscribe(unsubscribe)).await;
    let none = vec![Reason::NO_SUBSCRIPTION_EXISTED];
    assert_eq!(client.next().await, FromServer::UnsubAck(UnsubAck { packet_id: 3, reasons: none, explanation: None }));
}

#[tokio::test]
async fn a_client_is_told_what_the_server_takes() {
    let place = Place::new().await;
    let (_client, answer) = place.connect(&hello(Version::V5, "c")).await;
    let properties = answer.properties;
    assert_eq!(properties.maximum_qos, Qos::ExactlyOnce);
    assert!(properties.retain_available && properties.wildcards_available);
    assert!(properties.subscription_ids_available && properties.shared_available);
    assert_eq!(properties.receive_maximum, MqttSettings::IN_FLIGHT_MAX);
    assert_eq!(properties.maximum_packet_size, u32::try_from(MqttSettings::PACKET_LEN_MAX).ok());
    assert_eq!((properties.authentication_method, properties.assigned_client_id), (None, None));
}
