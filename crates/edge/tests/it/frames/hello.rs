//! Who may talk, and for how long one waits for them.

use std::time::Duration;

use headwater_edge::frames::FrameSettings;
use headwater_edge::frames::wire::{Code, TOKEN_LEN_MAX};
use headwater_hub::{Limits, Settings};

use super::client::{Client, ack, message};
use super::{Edge, bus::Disk};

#[tokio::test]
async fn a_newcomer_learns_the_limit_and_that_nothing_of_its_is_there() {
    let edge = Edge::start().await;
    let mut client = Client::connect(edge.addr).await;
    client.say_hello(1).await;
    let welcome = client.welcome().await;
    assert_eq!((welcome.status, welcome.payload_max, welcome.last_seq), (0, 256, 0));
}

#[tokio::test]
async fn a_newcomer_is_promised_no_longer_payloads_than_the_hub_takes() {
    let frames = FrameSettings { payload_max: 2_000, ..FrameSettings::default() };
    let limits = Limits { payload_max: 1_000, ..Limits::default() };
    let edge = Edge::with(frames, Settings { limits, ..Settings::default() }).await;
    let mut client = Client::connect(edge.addr).await;
    client.say_hello(1).await;
    assert_eq!(client.welcome().await.payload_max, 1_000);
}

async fn refused_with(bytes: &[u8]) -> u8 {
    let settings = FrameSettings { hello_timeout: Duration::from_millis(50), ..FrameSettings::default() };
    let edge = Edge::with(settings, Settings::default()).await;
    let mut client = Client::connect(edge.addr).await;
    client.write(bytes).await;
    let status = client.welcome().await.status;
    assert_eq!(client.answer().await, None, "the connection is closed");
    status
}

#[tokio::test]
async fn another_protocol_is_told_so() {
    assert_eq!(refused_with(b"GET / HTTP/1.1\r\n\r\n").await, Code::Malformed.byte());
}

#[tokio::test]
async fn a_hello_that_does_not_come_is_not_waited_for() {
    assert_eq!(refused_with(b"HWF1").await, Code::Malformed.byte());
}

#[tokio::test]
async fn a_token_over_the_limit_is_refused() {
    let mut hello = b"HWF1".to_vec();
    hello.extend([1; 16]);
    hello.extend((TOKEN_LEN_MAX as u16 + 1).to_be_bytes());
    assert_eq!(refused_with(&hello).await, Code::TooLong.byte());
}

#[tokio::test]
async fn a_wrong_token_is_refused_also_where_none_is_needed() {
    let edge = Edge::start().await;
    let mut client = Client::connect(edge.addr).await;
    let mut hello = b"HWF1".to_vec();
    hello.extend([1; 16]);
    hello.extend((TOKEN_LEN_MAX as u16).to_be_bytes());
    hello.extend([b't'; TOKEN_LEN_MAX]);
    hello.extend(message(1, b"right behind"));
    client.write(&hello).await;
    assert_eq!(client.welcome().await.status, Code::NotAllowed.byte());
    assert_eq!(client.answer().await, None, "the connection is closed");
}

#[tokio::test]
async fn when_the_log_cannot_say_where_a_client_stands_it_is_told_so() {
    let edge = Edge::start().await;
    edge.bus.disk_is(Disk::Failing);
    let mut client = Client::connect(edge.addr).await;
    client.say_hello(1).await;
    assert_eq!(client.welcome().await.status, Code::StorageFailed.byte());
}

#[tokio::test]
async fn a_silent_connection_ends_but_one_that_waits_for_the_disk_does_not() {
    let settings = FrameSettings { idle_timeout: Duration::from_millis(100), ..FrameSettings::default() };
    let edge = Edge::with(settings, Settings::default()).await;
    let (mut waiting, mut silent) = (edge.client(1).await, edge.client(2).await);
    edge.bus.disk_is(Disk::Holding);
    waiting.send(1, b"slow disk").await;
    assert_eq!(silent.answer().await, None);
    edge.bus.disk_is(Disk::Good);
    assert_eq!(waiting.answer().await, Some(ack(1, 1)));
    assert_eq!(waiting.answer().await, None);
}
