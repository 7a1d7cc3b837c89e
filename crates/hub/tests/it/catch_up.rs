//! A client that comes back with a position gets what it missed, or is told that it can't.

use headwater_event::*;
use headwater_hub::*;

use crate::bus::{EPOCH, VecBus};
use crate::support::*;

fn after(hub: &Hub, seq: Seq) -> From {
    From::After(Position::new(hub.head().epoch, seq))
}

fn events(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|seq| format!("event {seq} a x")).collect()
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_and_then_what_happens() {
    let house = house(Settings::default());
    let hub = &house.hub;
    publish(hub, (0..100).map(|_| publication("a", "x")).collect()).await;
    let mut stream = hub.stream(&anyone(), Watch { from: after(hub, 40), ..watch("a") }).await.unwrap();
    publish(hub, vec![publication("a", "x"), publication("b", "not wanted"), publication("a", "x")]).await;
    let mut expected = events(41..=101);
    expected.extend(events(103..=103));
    assert_eq!(lines(&mut stream, 62).await, expected);
}

#[tokio::test]
async fn from_the_oldest_on_everything_comes() {
    let house = house(Settings::default());
    publish(&house.hub, (0..10).map(|_| publication("a", "x")).collect()).await;
    let mut stream = house.hub.stream(&anyone(), Watch { from: From::Oldest, ..watch("a") }).await.unwrap();
    assert_eq!(lines(&mut stream, 10).await, events(1..=10));
}

#[tokio::test]
async fn a_past_longer_than_many_pages_comes_whole() {
    let house = house(small_rings(1_000));
    let hub = &house.hub;
    for _ in 0..20 {
        publish(hub, (0..500).map(|_| publication("a", "x".repeat(100))).collect()).await;
    }
    let mut stream = hub.stream(&anyone(), Watch { from: From::Oldest, ..watch("a") }).await.unwrap();
    let seen = lines(&mut stream, 10_000).await;
    let seqs = seen.iter().map(|line| line.split(' ').nth(1).unwrap().parse::<u64>().unwrap());
    assert!(seqs.eq(1..=10_000));
}

#[tokio::test]
async fn what_the_ring_still_has_is_not_read_from_the_log() {
    let bus = VecBus::new();
    let hub = Hub::start(bus.clone(), Settings::default());
    let mut first = hub.stream(&anyone(), watch("a")).await.unwrap();
    until("the ring is begun", || hub.metrics().rings.load(std::sync::atomic::Ordering::Relaxed) == 1).await;
    publish(&hub, (0..5).map(|_| publication("a", "x")).collect()).await;
    lines(&mut first, 5).await;
    // Live itself looks once more whether there is more.
    until("live waits", || bus.reads() >= 3).await;
    let reads = bus.reads();
    let mut second = hub.stream(&anyone(), Watch { from: after(&hub, 2), ..watch("a") }).await.unwrap();
    assert_eq!(lines(&mut second, 3).await, events(3..=5));
    assert_eq!(bus.reads(), reads);
}

#[tokio::test]
async fn a_position_of_another_log_or_ahead_of_it_is_refused() {
    let bus = VecBus::new();
    let hub = Hub::start(bus, Settings::default());
    publish(&hub, vec![publication("a", "x")]).await;
    let head = hub.head();
    for position in [Position::new(EPOCH + 1, 1), Position::new(EPOCH, 2)] {
        let refused = hub.stream(&anyone(), Watch { from: From::After(position), ..watch("a") }).await.err();
        assert_eq!(refused, Some(WatchError::NoSuchPosition { head }));
    }
}

#[tokio::test]
async fn what_retention_freed_is_told_as_gone() {
    let bus = VecBus::new();
    let hub = Hub::start(bus.clone(), Settings::default());
    publish(&hub, (0..5).map(|_| publication("a", "x")).collect()).await;
    bus.free(3);
    let oldest = Position::new(EPOCH, 3);
    let refused = hub.stream(&anyone(), Watch { from: after(&hub, 2), ..watch("a") }).await.err();
    assert_eq!(refused, Some(WatchError::Gone { oldest }));
    let mut stream = hub.stream(&anyone(), Watch { from: From::Oldest, ..watch("a") }).await.unwrap();
    assert_eq!(lines(&mut stream, 2).await, events(4..=5));
}

#[tokio::test]
async fn a_reader_that_retention_overtakes_is_told_the_gap() {
    let bus = VecBus::new();
    let hub = Hub::start(bus.clone(), small_rings(60));
    publish(&hub, (0..30).map(|_| publication("a", "x")).collect()).await;
    let socket = Socket::stalled();
    let (outlet, _task) = connect(&hub, &socket);
    outlet.watch(Watch { from: From::Oldest, ..watch("a") }).await.unwrap();
    socket.allow(20);
    until("it stalls in the second frame", || socket.refused() > 0 && socket.text().len() == 20).await;
    bus.free(25);
    socket.allow(usize::MAX);
    until("it's at the head", || socket.text().ends_with("event 30 a x\n")).await;
    let mut expected = events(1..=2);
    expected.push("gap 7:2 7:25".into());
    expected.extend(events(26..=30));
    assert_eq!(socket.lines(), expected);
}

#[tokio::test]
async fn history_ends_where_the_log_stood() {
    let house = house(Settings::default());
    let hub = &house.hub;
    publish(hub, vec![publication("a", "1"), publication("b", "2"), publication("a", "3")]).await;
    let mut history = hub.history(&anyone(), filter("a"), From::Oldest).unwrap();
    publish(hub, vec![publication("a", "later")]).await;
    let mut seen = Vec::new();
    while let Some(page) = history.next().await.unwrap() {
        seen.extend(page.into_iter().map(|recorded| recorded.position.seq));
    }
    assert_eq!(seen, [1, 3]);
}
