//! No buffer without a bound: slow watchers cost no memory, whatever they miss, and what nobody needs goes away.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use headwater_hub::*;

use crate::bus::VecBus;
use crate::support::*;

const RING: usize = 20_000;

/// Publishes so many events of 100 bytes, in batches, and waits until the fan-out has seen them.
async fn pour(hub: &Hub, witness: &Socket, count: usize) {
    for _ in 0..count / 50 {
        publish(hub, (0..50).map(|_| publication("a", "y".repeat(100))).collect()).await;
    }
    let last = format!("event {} ", hub.head().seq);
    until("the witness has seen it", || witness.text().contains(&last)).await;
    witness.forget();
}

/// Waits until live fills a ring: what comes before that, a watcher reads from the log, which is another story.
async fn begun(hub: &Hub) {
    until("the ring is begun", || hub.metrics().rings.load(Ordering::Relaxed) == 1).await;
}

#[tokio::test]
async fn a_stalled_watcher_costs_no_memory_and_misses_nothing() {
    let house = house(small_rings(RING));
    let hub = &house.hub;
    let (witness, stalled) = (Socket::open(), Socket::stalled());
    let (one, _task) = connect(hub, &witness);
    let (other, _other_task) = connect(hub, &stalled);
    one.watch(watch("a")).await.unwrap();
    other.watch(watch("a")).await.unwrap();
    begun(hub).await;
    pour(hub, &witness, 1_000).await;
    until("it was asked in vain", || stalled.refused() > 0).await;
    let bytes = hub.metrics().ring_bytes.load(Ordering::Relaxed);
    let asked = stalled.refused();
    pour(hub, &witness, 5_000).await;
    assert!(bytes <= RING as u64 && hub.metrics().ring_bytes.load(Ordering::Relaxed) <= RING as u64);
    assert_eq!(stalled.refused(), asked, "a socket that takes nothing isn't asked again and again");
    stalled.allow(usize::MAX);
    until("it has caught up", || stalled.text().contains("event 6000 ")).await;
    let seqs = stalled.lines().into_iter().map(|line| line.split(' ').nth(1).unwrap().parse::<u64>().unwrap());
    assert!(seqs.eq(1..=6_000));
    // And it's back in the ring: what comes now isn't read from the log for it.
    let lagging = hub.metrics().lagging.load(Ordering::Relaxed);
    pour(hub, &witness, 50).await;
    until("it follows", || stalled.text().contains("event 6050 ")).await;
    assert_eq!(hub.metrics().lagging.load(Ordering::Relaxed), lagging);
    assert!(lagging > 0, "it never fell behind");
}

/// A flood that is many times the ring, while the socket takes everything: it's the fan-out that must not run ahead of
/// its own writing, or all watchers would have to read the log each for itself.
#[tokio::test]
async fn who_reads_all_that_comes_never_falls_behind() {
    /// Takes everything and keeps nothing.
    struct Open;
    impl Sink for Open {
        fn try_write(&self, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
            Ok(slices.iter().map(|slice| slice.len()).sum())
        }
    }

    let house = house(small_rings(600_000));
    let hub = &house.hub;
    let outlets: Vec<_> = (0..400).map(|_| hub.outlet(anyone(), Box::new(Open), OutletSettings::default())).collect();
    for outlet in &outlets {
        outlet.watch(watch("a")).await.unwrap();
    }
    begun(hub).await;
    for _ in 0..40 {
        publish(hub, (0..500).map(|_| publication("a", "y".repeat(100))).collect()).await;
    }
    until("all is told", || hub.metrics().deliveries.load(Ordering::Relaxed) == 400 * 20_000).await;
    assert_eq!(hub.metrics().lagging.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_watcher_who_wants_gaps_is_told_the_gap_and_goes_on_with_now() {
    let house = house(small_rings(RING));
    let hub = &house.hub;
    let (witness, stalled) = (Socket::open(), Socket::stalled());
    let (one, _task) = connect(hub, &witness);
    let (other, _other_task) = connect(hub, &stalled);
    one.watch(watch("a")).await.unwrap();
    other.watch(Watch { behind: WhenBehind::Gap, ..watch("a") }).await.unwrap();
    begun(hub).await;
    pour(hub, &witness, 1_000).await;
    stalled.allow(usize::MAX);
    until("the gap is told", || stalled.text().contains("gap")).await;
    pour(hub, &witness, 50).await;
    until("it goes on", || stalled.text().contains("event 1050 ")).await;
    let lines = stalled.lines();
    let at = lines.iter().position(|line| line.starts_with("gap")).unwrap();
    let epoch = hub.head().epoch;
    // What its socket had a part of, if anything, then the gap, then all that follows.
    assert_eq!(lines[at], format!("gap {epoch}:{at} {epoch}:1000"));
    assert!(lines[at + 1].starts_with("event 1001 ") && lines.len() == at + 51, "{}", lines.len());
    assert_eq!(hub.metrics().gaps.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_watcher_who_wants_no_gaps_is_disconnected() {
    let house = house(small_rings(RING));
    let hub = &house.hub;
    let (witness, stalled) = (Socket::open(), Socket::stalled());
    let (one, _task) = connect(hub, &witness);
    let (other, task) = connect(hub, &stalled);
    one.watch(watch("a")).await.unwrap();
    other.watch(Watch { behind: WhenBehind::Disconnect, ..watch("a") }).await.unwrap();
    begun(hub).await;
    pour(hub, &witness, 1_000).await;
    stalled.allow(usize::MAX);
    assert_eq!(task.await.unwrap(), Closed::Behind);
}

#[tokio::test]
async fn a_frame_torn_at_any_byte_is_finished_before_anything_else() {
    let frame = "event 1 a x\n".len();
    for torn in 1..2 * frame {
        let hub = Hub::start(VecBus::new(), small_rings(40));
        let socket = Socket::stalled();
        let (outlet, _task) = connect(&hub, &socket);
        outlet.watch(watch("a")).await.unwrap();
        begun(&hub).await;
        socket.allow(torn);
        publish(&hub, vec![publication("a", "x"), publication("a", "x")]).await;
        until("it's torn", || socket.text().len() == torn && socket.refused() > 0).await;
        outlet.send(Bytes::from_static(b"own\n")).unwrap();
        // Evicts what the torn frame stands in.
        publish(&hub, (0..10).map(|_| publication("a", "x")).collect()).await;
        until("it's evicted", || hub.metrics().ring_bytes.load(Ordering::Relaxed) < 700).await;
        socket.allow(usize::MAX);
        until("all is told", || socket.text().ends_with("event 12 a x\n")).await;
        let mut expected: Vec<_> = (1..=12).map(|seq| format!("event {seq} a x")).collect();
        // The own frame comes at the next end of a frame: behind the one that was torn.
        expected.insert(torn.div_ceil(frame), "own".into());
        assert_eq!(socket.lines(), expected, "torn at {torn}");
    }
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded() {
    let house = house(Settings::default());
    let socket = Socket::stalled();
    let (outlet, _task) = connect(&house.hub, &socket);
    let frame = Bytes::from_static(&[b'.'; 1_024]);
    let taken = (0..1_000).take_while(|_| outlet.send(frame.clone()).is_ok()).count();
    assert_eq!(taken * frame.len(), OutletSettings::OWN_BYTES_MAX);
    socket.allow(frame.len());
    until("one is written", || socket.text().len() == frame.len()).await;
    assert_eq!(outlet.send(frame.clone()), Ok(()));
    assert_eq!(outlet.send(frame), Err(OutletFull));
}

#[tokio::test]
async fn all_rings_together_have_a_budget() {
    let fanout = FanoutSettings { rings_bytes_max: 100_000, ..FanoutSettings::default() };
    let house = house(Settings { fanout, ..Settings::default() });
    let hub = &house.hub;
    let socket = Socket::open();
    let (outlet, _task) = connect(hub, &socket);
    for at in 0..20 {
        outlet.watch(watch(&format!("t/{at}"))).await.unwrap();
    }
    for round in 0..20 {
        for at in 0..20 {
            publish(hub, (0..10).map(|_| publication(&format!("t/{at}"), "y".repeat(100))).collect()).await;
        }
        let last = format!("event {} ", (round + 1) * 200);
        until("the round is told", || socket.text().contains(&last)).await;
        assert!(hub.metrics().ring_bytes.load(Ordering::Relaxed) <= 100_000);
    }
    // 4,000 events of some 120 bytes went through, and nobody missed one.
    assert_eq!(socket.lines().len(), 4_000);
}

#[tokio::test]
async fn as_many_watches_as_allowed_and_not_one_more() {
    let fanout = FanoutSettings { watches_max: 3, ..FanoutSettings::default() };
    let house = house(Settings { fanout, ..Settings::default() });
    let outlet = house.hub.outlet(anyone(), Box::new(Socket::open()), OutletSettings::default());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(outlet.watch(watch("a")).await.unwrap());
    }
    assert!(outlet.watch(watch("a")).await.is_err());
    outlet.unwatch(ids[1]);
    outlet.unwatch(ids[1]);
    assert!(outlet.watch(watch("a")).await.is_ok());
}

#[tokio::test]
async fn an_unwatched_filter_is_told_no_more_and_others_are() {
    let house = house(Settings::default());
    let socket = Socket::open();
    let (outlet, _task) = connect(&house.hub, &socket);
    let a = outlet.watch(watch("a")).await.unwrap();
    outlet.watch(watch("b")).await.unwrap();
    publish(&house.hub, vec![publication("a", "x"), publication("b", "x")]).await;
    until("both are told", || socket.lines().len() == 2).await;
    outlet.unwatch(a);
    publish(&house.hub, vec![publication("a", "x"), publication("b", "x")]).await;
    until("b is told", || socket.text().contains("event 4 b x")).await;
    assert!(!socket.text().contains("event 3 "), "{}", socket.text());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_watches_is_neither_kept_nor_read() {
    let bus = VecBus::new();
    let hub = Hub::start(bus.clone(), Settings::default());
    publish(&hub, vec![publication("a", "x")]).await;
    let mut stream = hub.stream(&anyone(), watch("a")).await.unwrap();
    publish(&hub, vec![publication("a", "x")]).await;
    lines(&mut stream, 1).await;
    let count = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::Relaxed);
    assert_eq!((count(&hub.metrics().watchers), count(&hub.metrics().rings)), (1, 1));
    drop(stream);
    assert_eq!(count(&hub.metrics().watchers), 0);
    // Who reconnects soon finds the ring; then it goes.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(count(&hub.metrics().rings), 1);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!((count(&hub.metrics().rings), count(&hub.metrics().ring_bytes)), (0, 0));
    let reads = bus.reads();
    publish(&hub, vec![publication("a", "x")]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bus.reads(), reads);
}
