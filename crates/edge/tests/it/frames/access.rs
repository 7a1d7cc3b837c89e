//! Who may log messages, and what becomes of those who no longer may.

use std::time::{Duration, Instant};

use headwater_edge::frames::FrameSettings;
use headwater_edge::frames::wire::{Code, Hello};
use headwater_event::ProducerId;

use super::Edge;
use super::client::{Client, ack};
use crate::guarded::{self, PASSWORD};

async fn hello(edge: &Edge, id: u128, token: &str) -> (Client, u8) {
    let mut client = Client::connect(edge.addr).await;
    let mut bytes = Vec::new();
    Hello { client: ProducerId::from_u128(id), token: token.to_owned().into() }.encode(&mut bytes);
    client.write(&bytes).await;
    let status = client.welcome().await.status;
    (client, status)
}

#[tokio::test]
async fn who_may_publish_to_its_topic_is_welcome_and_nobody_else() {
    let (settings, _) = guarded::settings();
    let edge = Edge::with(FrameSettings::default(), settings).await;
    let (mut client, status) = hello(&edge, 1, &format!("ada:{PASSWORD}")).await;
    assert_eq!(status, 0);
    client.send(1, b"x").await;
    assert_eq!(client.answer().await, Some(ack(1, 1)));
    // Nobody, somebody with a wrong password, and somebody who may not: none of them learns where the numbers stand.
    for token in ["", "ada:wrong secret", "nobody:the secret", &format!("admin:{PASSWORD}"), "a.b.c"] {
        let (mut client, status) = hello(&edge, 1, token).await;
        assert_eq!((status, client.last_seq()), (Code::NotAllowed.byte(), 0), "{token}");
        assert_eq!(client.answer().await, None, "the connection is closed");
    }
    assert_eq!(edge.bus.payloads().len(), 1);
}

/// Class 6: another principal with the same client id takes nothing over.
#[tokio::test]
async fn class_6_a_client_id_is_taken_over_by_its_own_user_alone() {
    let (settings, _) = guarded::settings_with(&["intake/{client}"]);
    let edge = Edge::with(FrameSettings::default(), settings).await;
    let (mut ada, _) = hello(&edge, 1, &format!("ada:{PASSWORD}")).await;
    let (_stranger, status) = hello(&edge, 1, "").await;
    assert_eq!(status, 0);
    ada.send(1, b"still here").await;
    assert_eq!(ada.answer().await, Some(ack(1, 1)), "she was not sent away");
    let (_newer, _) = hello(&edge, 1, &format!("ada:{PASSWORD}")).await;
    assert_eq!(ada.answer().await, None, "but her own new connection takes over");
}

#[tokio::test]
async fn class_4_a_connection_of_the_frames_ends_with_its_login() {
    let (settings, access) = guarded::settings();
    let edge = Edge::with(FrameSettings::default(), settings).await;
    let (mut client, status) = hello(&edge, 1, &format!("ada:{PASSWORD}")).await;
    assert_eq!(status, 0);
    let began = Instant::now();
    access.replace(guarded::policy(Vec::new(), &[]));
    assert_eq!(client.answer().await, None);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// A message that is too long uses its number up, which is a record in the log: who may not write gets none.
#[tokio::test]
async fn who_may_no_longer_write_uses_up_no_number() {
    let (settings, access) = guarded::settings();
    let edge = Edge::with(FrameSettings { payload_max: 4, ..FrameSettings::default() }, settings).await;
    let (mut client, _) = hello(&edge, 1, &format!("ada:{PASSWORD}")).await;
    // The role is taken away, and not the login.
    let users = guarded::users().into_iter().map(|user| headwater_hub::access::User { roles: Vec::new(), ..user });
    access.replace(guarded::policy(users.collect(), &[]));
    client.send(1, b"longer than is taken").await;
    assert_eq!(client.answer().await, Some(super::client::nack(1, Code::NotAllowed)));
    assert_eq!(edge.hub.head().seq, 0);
}
