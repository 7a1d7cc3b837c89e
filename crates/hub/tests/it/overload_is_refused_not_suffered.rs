//! Above a number of waiting events new ones are refused at once, and what was accepted becomes durable all the same.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use headwater_event::*;
use headwater_hub::*;

use crate::bus::VecBus;
use crate::support::*;

fn hub(limits: Limits) -> (Arc<VecBus>, Arc<Hub>) {
    let bus = VecBus::new();
    (bus.clone(), Hub::start(bus, Settings { limits, ..Settings::default() }))
}

fn refused(hub: &Hub, batch: Vec<Publication>) -> Refusal {
    hub.publish(&anyone(), batch).err().expect("a refusal")
}

fn some(count: usize) -> Vec<Publication> {
    (0..count).map(|_| publication("a", "x")).collect()
}

#[tokio::test]
async fn beyond_the_waiting_events_a_batch_is_refused_whole_and_at_once() {
    let (bus, hub) = hub(Limits { waiting_events_max: 100, ..Limits::default() });
    bus.hold();
    let accepted: Vec<_> = (0..10).map(|_| hub.publish(&anyone(), some(10)).unwrap()).collect();
    assert_eq!(hub.room().events, 0);
    for _ in 0..1_000 {
        let refusal = refused(&hub, some(1));
        assert!(matches!(refusal, Refusal::Full { wait } if !wait.is_zero()), "{refusal:?}");
    }
    assert!(matches!(hub.precheck(&anyone(), &topic("a"), 1), Err(Refusal::Full { .. })));
    assert_eq!(hub.waiting().0, 100, "a refusal takes no room");
    bus.let_go();
    for receipts in accepted {
        assert_eq!(receipts.await.unwrap().len, 10);
    }
    assert_eq!(hub.waiting(), (0, 0));
    assert_eq!(publish(&hub, some(1)).await.get(0).position.seq, 101, "nothing of what was refused is there");
    assert_eq!(hub.metrics().refused_by_name().find(|(name, _)| *name == "full"), Some(("full", 1_001)));
}

#[tokio::test]
async fn beyond_the_waiting_bytes_too() {
    let (bus, hub) = hub(Limits { waiting_bytes_max: 1_000, ..Limits::default() });
    bus.hold();
    let accepted = hub.publish(&anyone(), vec![publication("a", vec![0; 800])]).unwrap();
    assert!(matches!(refused(&hub, vec![publication("a", vec![0; 300])]), Refusal::Full { .. }));
    let small = hub.publish(&anyone(), vec![publication("a", vec![0; 100])]).unwrap();
    bus.let_go();
    accepted.await.unwrap();
    small.await.unwrap();
    assert_eq!(refused(&hub, vec![publication("a", vec![0; 1_001])]), Refusal::TooLarge { max: 1_000 });
}

#[tokio::test]
async fn a_lane_of_its_own_is_never_refused_because_of_others() {
    let lane = Lane { events_max: 5, ..Lane::new("alerts-raw/") };
    let limits = Limits {
        waiting_events_max: 10,
        rate_events_per_s: 1,
        rate_burst_events: 10,
        lane: Some(lane),
        ..Limits::default()
    };
    let (bus, hub) = hub(limits);
    bus.hold();
    let others = hub.publish(&anyone(), some(10)).unwrap();
    assert!(matches!(refused(&hub, some(1)), Refusal::Full { .. }), "for all others there is neither room nor rate");
    let raw = |count: usize| (0..count).map(|_| publication("alerts-raw/north", "x")).collect::<Vec<_>>();
    assert!(hub.precheck(&anyone(), &topic("alerts-raw/north"), 1).is_ok());
    let mine = hub.publish(&anyone(), raw(5)).unwrap();
    assert!(matches!(refused(&hub, raw(1)), Refusal::Full { .. }), "it has its own bound");
    assert!(matches!(hub.precheck(&anyone(), &topic("alerts-raw/north"), 1), Err(Refusal::Full { .. })));
    let mixed = vec![publication("alerts-raw/north", "x"), publication("a", "x")];
    assert!(matches!(refused(&hub, mixed), Refusal::Full { .. }), "a batch can't bring others in with it");
    bus.let_go();
    assert_eq!((others.await.unwrap().len, mine.await.unwrap().len), (10, 5));
    assert_eq!(hub.publish(&anyone(), raw(5)).unwrap().await.unwrap().len, 5, "the room is given back");
}

#[tokio::test]
async fn room_is_held_until_the_log_is_done_even_if_nobody_waits() {
    let (bus, hub) = hub(Limits { waiting_events_max: 10, ..Limits::default() });
    bus.hold();
    drop(hub.publish(&anyone(), some(10)).unwrap());
    tokio::task::yield_now().await;
    assert!(matches!(refused(&hub, some(1)), Refusal::Full { .. }), "they are still on their way");
    bus.let_go();
    until("the room is given back", || hub.waiting() == (0, 0)).await;
    assert_eq!(hub.metrics().published.load(Ordering::Relaxed), 10);
}

#[tokio::test]
async fn clients_that_wait_for_their_acknowledgements_are_never_refused() {
    // 4 connections with 1,024 in flight each, over a real log: whatever the pace makes of its syncs.
    let house = house(Settings::default());
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let hub = Arc::clone(&house.hub);
            tokio::spawn(async move {
                for _ in 0..10 {
                    let batches: Vec<_> =
                        (0..16).map(|_| hub.publish(&anyone(), some(64)).expect("no refusal")).collect();
                    for receipts in batches {
                        receipts.await.unwrap();
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(house.hub.head().seq, 4 * 10 * 1_024);
}

#[tokio::test]
async fn who_is_over_its_rate_is_told_when_to_come_again() {
    let (_bus, hub) = hub(Limits { rate_events_per_s: 10, rate_burst_events: 20, ..Limits::default() });
    publish(&hub, some(20)).await;
    let refusal = refused(&hub, some(1));
    assert!(matches!(refusal, Refusal::TooFast { wait } if wait.as_millis() <= 100), "{refusal:?}");
    assert!(matches!(hub.precheck(&anyone(), &topic("a"), 1), Err(Refusal::TooFast { .. })));
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_and_after_it_was_read() {
    let (_bus, hub) = hub(Limits { payload_max: 10, ..Limits::default() });
    let too_large = Refusal::TooLarge { max: 10 };
    assert_eq!(hub.precheck(&anyone(), &topic("a"), 11), Err(too_large.clone()));
    assert_eq!(refused(&hub, vec![publication("a", "x"), publication("a", "12345678901")]), too_large);
    assert_eq!(hub.head().seq, 0);
    assert_eq!(hub.precheck(&anyone(), &topic("a"), 10), Ok(()));
}
