//! Two connections with one client id, and a program that is about to stop.

use super::Edge;
use super::bus::Disk;
use super::client::{Client, ack};

#[tokio::test]
async fn the_newest_connection_takes_over_and_learns_what_the_older_one_brought() {
    let edge = Edge::start().await;
    let mut older = edge.client(1).await;
    let before = edge.bus.appends();
    edge.bus.disk_is(Disk::Holding);
    older.send(1, b"one").await;
    edge.bus.appended(before + 1).await;
    let mut newer = Client::connect(edge.addr).await;
    newer.say_hello(1).await;
    // Asked for where the client stands: the older one has left by now, and WELCOME waits for the disk.
    edge.bus.appended(before + 2).await;
    assert!(newer.has_nothing());
    edge.bus.disk_is(Disk::Good);
    assert_eq!(newer.welcome().await.last_seq, 1);
    assert_eq!(older.answer().await, None);
    newer.send(2, b"two").await;
    assert_eq!(newer.answer().await, Some(ack(2, 2)));
}

#[tokio::test]
async fn other_clients_are_left_alone() {
    let edge = Edge::start().await;
    let (mut one, mut two) = (edge.client(1).await, edge.client(2).await);
    one.send(1, b"a").await;
    two.send(1, b"b").await;
    assert_eq!(one.answer().await.is_some(), two.answer().await.is_some());
}

#[tokio::test]
async fn a_program_that_stops_answers_what_it_has_read() {
    let edge = Edge::start().await;
    let mut client = edge.client(1).await;
    let before = edge.bus.appends();
    edge.bus.disk_is(Disk::Holding);
    client.send(1, b"one").await;
    edge.bus.appended(before + 1).await;
    edge.drain();
    edge.bus.disk_is(Disk::Good);
    assert_eq!(client.answer().await, Some(ack(1, 1)));
    assert_eq!(client.answer().await, None);
}
