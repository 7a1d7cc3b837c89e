//! Two edges over one log: a client has one connection among both, one session, and one will.

use std::time::Duration;

use headwater_edge::mqtt::packet::{Connect, FromServer, Qos, Reason, Version, Will};
use tokio::time::timeout;

use super::client::{Client, PATIENCE, hello, text, will};
use super::place::Place;

/// A client whose session lasts, with a will that waits for `delay` seconds.
fn patient(delay: u32) -> Connect {
    let mut connect = hello(Version::V5, "c");
    connect.clean_start = false;
    connect.properties.session_expiry = 3_600;
    connect.will = Some(Will { delay, ..will("gone", "late") });
    connect
}

async fn watcher(place: &Place) -> Client {
    let mut watcher = place.client(Version::V5, "watcher").await;
    watcher.subscribe("gone", Qos::AtLeastOnce).await;
    watcher
}

#[tokio::test]
async fn a_take_over_by_another_edge_publishes_the_will_unless_it_waits_for_the_same_session() {
    let (one, other) = Place::pair().await;
    let mut watcher = watcher(&other).await;
    let mut source = other.client(Version::V5, "source").await;
    for (delay, clean_start, is_published) in
        [(0, false, true), (0, true, true), (3_600, true, true), (3_600, false, false)]
    {
        let (mut old, _) = one.connect(&patient(delay)).await;
        let new = Connect { clean_start, will: None, ..patient(0) };
        let (mut new, _) = other.connect(&new).await;
        assert_eq!(old.ended().await, Some(Reason::SESSION_TAKEN_OVER));
        source.publish("gone", "sentinel").await;
        let expected: &[&str] = if is_published { &["late", "sentinel"] } else { &["sentinel"] };
        assert_eq!(watcher.payloads(expected.len()).await, expected, "delay {delay}, clean start {clean_start}");
        new.ping().await;
        new.leave().await;
    }
}

#[tokio::test]
async fn a_will_that_waits_at_one_edge_hears_of_its_client_at_another() {
    let (one, other) = Place::pair().await;
    let mut watcher = watcher(&other).await;
    // Back to its session: the will is taken away, and the one of a later client with the same delay comes first.
    let (client, _) = one.connect(&patient(1)).await;
    client.vanish();
    one.all_have_left().await;
    let (back, answer) = other.connect(&Connect { will: None, ..patient(0) }).await;
    assert!(answer.session_present);
    let mut later = patient(1);
    (later.client_id, later.will) = ("later".into(), Some(Will { delay: 1, ..will("gone", "the later one's") }));
    let (later, _) = one.connect(&later).await;
    later.vanish();
    assert_eq!(watcher.payloads(1).await, ["the later one's"]);
    back.leave().await;
    // Back without it: the session has ended, so the will is published now.
    let (client, _) = one.connect(&patient(3_600)).await;
    client.vanish();
    one.all_have_left().await;
    let (_back, answer) = other.connect(&hello(Version::V5, "c")).await;
    assert!(!answer.session_present);
    assert_eq!(watcher.payloads(1).await, ["late"]);
}

#[tokio::test]
async fn of_many_that_come_to_both_edges_at_once_one_stays_and_goes_on_with_the_session() {
    let (one, other) = Place::pair().await;
    let (mut first, _) = one.kept(Version::V5, "c").await;
    first.subscribe("a", Qos::AtLeastOnce).await;
    first.leave().await;
    let mut kept = hello(Version::V5, "c");
    kept.clean_start = false;
    kept.properties.session_expiry = 3_600;
    let (tell, mut told) = tokio::sync::mpsc::channel(16);
    let mut clients = tokio::task::JoinSet::new();
    for place in [&one, &other, &one, &other] {
        let mut client = Client::open(place.addr, Version::V5).await;
        let mut bytes = Vec::new();
        kept.encode(&mut bytes).unwrap();
        // Nobody waits for the answer: they get into each other's way.
        client.send(&bytes).await;
        let tell = tell.clone();
        clients.spawn(async move {
            while let Some(packet) = client.next_or_end().await {
                if let FromServer::Publish(publish) = packet {
                    client.settle(&publish).await;
                    tell.send(text(&publish)).await.unwrap();
                }
            }
        });
    }
    for _ in 0..3 {
        timeout(PATIENCE, clients.join_next()).await.expect("two stay").unwrap().unwrap();
    }
    other.client(Version::V5, "source").await.publish("a", "for the last").await;
    assert_eq!(timeout(PATIENCE, told.recv()).await.expect("nobody has the session").unwrap(), "for the last");
}

#[tokio::test]
async fn a_session_expires_for_all_edges_from_the_moment_when_its_client_left_the_last() {
    let (one, other) = Place::pair().await;
    let (mut client, _) = one.kept(Version::V5, "c").await;
    client.subscribe("a", Qos::AtLeastOnce).await;
    client.leave().await;
    one.all_have_left().await;
    other.clock.advance(Duration::from_secs(3_599));
    let (client, is_present) = other.kept(Version::V5, "c").await;
    assert!(is_present);
    client.leave().await;
    other.all_have_left().await;
    other.clock.advance(Duration::from_secs(3_600));
    // Its time is over; what the other edge then finds is the new one.
    for (place, is_there) in [(&one, false), (&other, true)] {
        let (client, is_present) = place.kept(Version::V5, "c").await;
        assert_eq!(is_present, is_there);
        client.leave().await;
        place.all_have_left().await;
    }
}
