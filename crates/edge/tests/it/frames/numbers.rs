//! What becomes of each number, in what order, and not before it's on disk.

use headwater_edge::frames::wire::{CLAIM_LEN_MAX, Code, encode_message_head};
use headwater_hub::{Limits, Settings};

use super::Edge;
use super::bus::Disk;
use super::client::{ack, message, nack};

#[tokio::test]
async fn messages_are_stored_and_acknowledged_in_their_order() {
    let edge = Edge::start().await;
    let mut client = edge.client(0x1234).await;
    client.write(&[message(1, b"one"), message(2, b""), message(3, b"\xff\0")].concat()).await;
    assert_eq!(client.answers(3).await, [ack(1, 1), ack(2, 2), ack(3, 3)]);
    assert_eq!(edge.bus.payloads(), [&b"one"[..], b"", b"\xff\0"]);
    assert_eq!(edge.bus.topics()[0], "intake/00000000-0000-0000-0000-000000001234");
}

#[tokio::test]
async fn what_comes_together_is_one_append() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    let before = edge.bus.appends();
    client.write(&(1..=10).map(|seq| message(seq, b"x")).collect::<Vec<_>>().concat()).await;
    client.answers(10).await;
    assert_eq!(edge.bus.appends(), before + 1);
}

#[tokio::test]
async fn durable_before_ack() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    let before = edge.bus.appends();
    edge.bus.disk_is(Disk::Holding);
    client.send(1, b"one").await;
    edge.bus.appended(before + 1).await;
    // The edge has been round once more when it hands in the second: an ACK for the first would have been written.
    client.send(2, b"two").await;
    edge.bus.appended(before + 2).await;
    assert!(client.has_nothing());
    edge.bus.disk_is(Disk::Good);
    assert_eq!(client.answers(2).await, [ack(1, 1), ack(2, 2)]);
}

#[tokio::test]
async fn nothing_twice_from_a_resending_client() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    client.write(&[message(1, b"one"), message(2, b"two")].concat()).await;
    client.answers(2).await;
    let mut client = edge.client(1).await;
    assert_eq!(client.last_seq(), 2);
    client.write(&[message(2, b"two"), message(1, b"one"), message(3, b"three")].concat()).await;
    assert_eq!(client.answers(3).await, [ack(2, 2), ack(1, 1), ack(3, 3)]);
    assert_eq!(edge.bus.payloads(), [&b"one"[..], b"two", b"three"]);
}

#[tokio::test]
async fn a_resend_of_what_is_still_on_its_way_is_answered_when_it_is_durable() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    edge.bus.disk_is(Disk::Holding);
    client.write(&[message(1, b"one"), message(1, b"one"), message(2, b"two")].concat()).await;
    edge.bus.appended(2).await;
    edge.bus.disk_is(Disk::Good);
    assert_eq!(client.answers(3).await, [ack(1, 1), ack(1, 1), ack(2, 2)]);
    assert_eq!(edge.bus.payloads(), [b"one", b"two"]);
}

#[tokio::test]
async fn a_number_left_out_is_refused_until_it_comes() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    client.write(&[message(2, b"two"), message(3, b"three"), message(1, b"one"), message(2, b"two")].concat()).await;
    let out = Code::OutOfOrder;
    assert_eq!(client.answers(4).await, [nack(2, out), nack(3, out), ack(1, 1), ack(2, 2)]);
    assert_eq!(edge.bus.payloads(), [b"one", b"two"]);
}

#[tokio::test]
async fn number_zero_and_the_last_number_of_all_are_refused() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    client.write(&[message(0, b"zero"), message(u64::MAX, b"last"), message(1, b"one")].concat()).await;
    let expected = [nack(0, Code::Malformed), nack(u64::MAX, Code::OutOfOrder), ack(1, 1)];
    assert_eq!(client.answers(3).await, expected);
}

#[tokio::test]
async fn too_long_a_message_uses_its_number_up() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    client.write(&[message(1, &[b'a'; 256]), message(2, &[b'b'; 257]), message(3, b"c")].concat()).await;
    assert_eq!(client.answers(3).await, [ack(1, 1), nack(2, Code::TooLong), ack(3, 2)]);
    let mut client = edge.client(1).await;
    assert_eq!(client.last_seq(), 3);
    client.write(&[message(2, &[b'b'; 257]), message(4, &[b'd'; 257])].concat()).await;
    assert_eq!(client.answers(2).await, [nack(2, Code::TooLong), nack(4, Code::TooLong)]);
    assert_eq!(edge.client(1).await.last_seq(), 4);
}

#[tokio::test]
async fn a_refusal_for_good_is_told_once_it_is_durable_that_the_number_is_used_up() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    let before = edge.bus.appends();
    edge.bus.disk_is(Disk::Holding);
    client.send(1, &[b'a'; 300]).await;
    edge.bus.appended(before + 1).await;
    client.send(2, b"b").await;
    edge.bus.appended(before + 2).await;
    assert!(client.has_nothing());
    edge.bus.disk_is(Disk::Good);
    assert_eq!(client.answers(2).await, [nack(1, Code::TooLong), ack(2, 1)]);
}

#[tokio::test]
async fn too_long_a_message_out_of_order_uses_nothing_up() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    client.write(&[message(0, &[0; 300]), message(2, &[0; 300]), message(1, b"one")].concat()).await;
    let expected = [nack(0, Code::Malformed), nack(2, Code::OutOfOrder), ack(1, 1)];
    assert_eq!(client.answers(3).await, expected);
}

#[tokio::test]
async fn a_claim_that_nobody_would_wait_for_ends_the_connection() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    let mut bytes = message(1, b"one");
    encode_message_head(CLAIM_LEN_MAX as u32 + 1, 2, &mut bytes);
    client.write(&bytes).await;
    assert_eq!(client.answers(2).await, [ack(1, 1), nack(2, Code::TooLong)]);
    assert_eq!(client.answer().await, None);
    assert_eq!(edge.client(1).await.last_seq(), 2);
}

#[tokio::test]
async fn fsync_failure_stops_acks() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    edge.bus.disk_is(Disk::Holding);
    client.write(&[message(1, b"one"), message(2, b"two")].concat()).await;
    edge.bus.appended(2).await;
    edge.bus.disk_is(Disk::Failing);
    client.send(3, &[0; 300]).await;
    let failed = Code::StorageFailed;
    let answers = client.answers(3).await;
    assert_eq!(answers[..2], [nack(1, failed), nack(2, failed)]);
    assert!(matches!(answers[2], headwater_edge::frames::wire::Answer::Nack { seq: 3, code } if !code.is_final()));
}

#[tokio::test]
async fn overload_is_refused_not_suffered() {
    let limits = Limits { waiting_events_max: 3, ..Limits::default() };
    let edge = Edge::with(Default::default(), Settings { limits, ..Settings::default() }).await;
    let mut client = edge.client(1).await;
    let before = edge.bus.appends();
    edge.bus.disk_is(Disk::Holding);
    client.write(&(1..=5).map(|seq| message(seq, b"x")).collect::<Vec<_>>().concat()).await;
    edge.bus.appended(before + 1).await;
    edge.bus.disk_is(Disk::Good);
    let expected = [ack(1, 1), ack(2, 2), ack(3, 3), nack(4, Code::Overloaded), nack(5, Code::OutOfOrder)];
    assert_eq!(client.answers(5).await, expected);
    client.write(&[message(4, b"x"), message(5, b"x")].concat()).await;
    assert_eq!(client.answers(2).await, [ack(4, 4), ack(5, 5)]);
}

#[tokio::test]
async fn a_client_that_has_sent_its_last_message_still_gets_every_answer() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    edge.bus.disk_is(Disk::Holding);
    client.write(&[message(1, b"one"), message(2, b"two"), vec![0, 0]].concat()).await;
    client.end_of_sending().await;
    edge.bus.appended(2).await;
    edge.bus.disk_is(Disk::Good);
    assert_eq!(client.answers(2).await, [ack(1, 1), ack(2, 2)]);
    assert_eq!(client.answer().await, None);
}
