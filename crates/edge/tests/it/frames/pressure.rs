//! Clients that take no answers, or send faster than the disk: bounded, and nobody else notices.

use std::io;

use headwater_edge::frames::FrameSettings;
use headwater_edge::frames::wire::Answer;
use headwater_hub::Settings;

use super::Edge;
use super::bus::Disk;
use super::client::message;

#[tokio::test]
async fn a_client_that_reads_no_answers_is_left_to_wait() {
    let settings = FrameSettings { in_flight_max: 100, ..FrameSettings::default() };
    let edge = Edge::with(settings, Settings::default()).await;
    let client = edge.client(1).await;
    edge.bus.disk_is(Disk::Holding);
    let mut sent = 0;
    // As much as the sockets hold while the edge reads no more; a second without room means that it doesn't.
    let mut rest = Vec::new();
    loop {
        if rest.is_empty() {
            sent += 1;
            rest = message(sent, &[b'x'; 200]);
        }
        match client.stream.try_write(&rest) {
            Ok(len) => drop(rest.drain(..len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let writable = client.stream.writable();
                if tokio::time::timeout(std::time::Duration::from_secs(1), writable).await.is_err() {
                    break;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
    let taken = edge.bus.payloads().len();
    assert!((100..=100 + 64 * 1_024 / 212).contains(&taken), "{taken} of {sent} were taken");
    edge.bus.disk_is(Disk::Good);
    let (mut read_half, mut write_half) = client.stream.into_split();
    let finish = async {
        use tokio::io::AsyncWriteExt;
        write_half.write_all(&rest).await.unwrap();
        write_half.shutdown().await.unwrap();
    };
    let answers = async {
        use tokio::io::AsyncReadExt;
        let mut bytes = Vec::new();
        read_half.read_to_end(&mut bytes).await.unwrap();
        let mut bytes = &bytes[..];
        std::iter::from_fn(|| Answer::decode(&mut bytes).unwrap()).collect::<Vec<_>>()
    };
    let ((), answers) = tokio::join!(finish, answers);
    let expected: Vec<_> = (1..=sent).map(|seq| Answer::Ack { seq, log_seq: seq }).collect();
    assert!(answers == expected, "{} answers to {sent} messages", answers.len());
}
