//! What a client has to acknowledge is never more than its window, whether it comes from a ring, the log or the states;
//! and what is kept nowhere reaches those who watch, in its place.

use std::sync::Arc;

use headwater_event::{Event, EventId, Filter, Headers, Position, Recorded, Time, Topic};
use headwater_hub::*;

use crate::support::*;

/// As [`Lines`], and each event has to be acknowledged.
struct Counted;

impl Encode for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }

    fn is_acknowledged(&self, _: &Recorded) -> bool {
        true
    }

    fn event(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        Lines.event(filter, recorded, out);
    }

    fn passing(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        Lines.passing(filter, recorded, out);
    }

    fn state(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        Lines.state(filter, recorded, out);
    }

    fn gap(&self, _: &Filter, _: Position, _: Position, _: &mut Vec<u8>) {}

    fn beat(&self, _: &mut Vec<u8>) {}
}

fn counted(text: &str) -> Watch {
    Watch { encoder: Arc::new(Counted), ..watch(text) }
}

fn with_window(hub: &Arc<Hub>, socket: &Socket, window: usize) -> Arc<Outlet> {
    let settings = OutletSettings { window, ..OutletSettings::default() };
    let outlet = hub.outlet(anyone(), Box::new(socket.clone()), settings);
    drive(&outlet, socket);
    outlet
}

async fn publish_some(hub: &Hub, topic: &str, count: usize) {
    publish(hub, (0..count).map(|at| publication(topic, at.to_string())).collect()).await;
}

/// Acknowledges one after the other, and sees that never more than `window` are out; gives all lines at the end.
async fn acknowledge_all(outlet: &Outlet, socket: &Socket, window: usize, count: usize) -> Vec<String> {
    for done in 0..count {
        until("the next delivery", || socket.lines().len() > done).await;
        assert!(socket.lines().len() <= done + window && outlet.under_way_len() <= window);
        let oldest = outlet.under_way()[0];
        assert_eq!(outlet.acknowledged(number_of(oldest.seq)), Some(oldest));
    }
    assert_eq!(outlet.under_way_len(), 0);
    socket.lines()
}

#[tokio::test]
async fn live_deliveries_keep_to_the_window() {
    let house = house(Settings::default());
    let socket = Socket::open();
    let outlet = with_window(&house.hub, &socket, 3);
    outlet.watch(counted("a")).await.unwrap();
    publish_some(&house.hub, "a", 20).await;
    let lines = acknowledge_all(&outlet, &socket, 3, 20).await;
    assert_eq!(lines, (0..20).map(|at| format!("event {} a {at}", at + 1)).collect::<Vec<_>>());
}

#[tokio::test]
async fn deliveries_from_the_log_keep_to_the_window() {
    let house = house(small_rings(600));
    publish_some(&house.hub, "a", 3_000).await;
    let socket = Socket::open();
    let outlet = with_window(&house.hub, &socket, 7);
    outlet.watch(Watch { from: From::Oldest, ..counted("a") }).await.unwrap();
    publish_some(&house.hub, "a", 200).await;
    let lines = acknowledge_all(&outlet, &socket, 7, 3_200).await;
    let seqs: Vec<u64> = lines.iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(seqs, (1..=3_200).collect::<Vec<_>>());
}

#[tokio::test]
async fn states_keep_to_the_window_too() {
    let house = house(Settings::default());
    publish(&house.hub, (0..100).map(|at| sticky(&format!("t/{at:03}"), "x")).collect()).await;
    let socket = Socket::open();
    let outlet = with_window(&house.hub, &socket, 5);
    outlet.watch(Watch { sticky: true, ..counted("t/#") }).await.unwrap();
    let lines = acknowledge_all(&outlet, &socket, 5, 100).await;
    let topics: Vec<&str> = lines.iter().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(topics, (0..100).map(|at| format!("t/{at:03}")).collect::<Vec<_>>());
}

/// Tells how many seconds old an event is.
struct Aging(headwater_event::Clock);

impl Encode for Aging {
    fn name(&self) -> &'static str {
        "aging"
    }

    fn is_acknowledged(&self, _: &Recorded) -> bool {
        true
    }

    fn ages(&self, recorded: &Recorded) -> bool {
        recorded.event.payload.starts_with(b"aging")
    }

    fn event(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        let age = self.0.now().since(recorded.event.at).as_secs();
        let payload = String::from_utf8_lossy(&recorded.event.payload);
        out.extend_from_slice(format!("{} {payload} {age}\n", recorded.position.seq).as_bytes());
    }

    fn passing(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        self.event(filter, recorded, out);
    }

    fn gap(&self, _: &Filter, _: Position, _: Position, _: &mut Vec<u8>) {}

    fn beat(&self, _: &mut Vec<u8>) {}
}

#[tokio::test]
async fn a_frame_that_ages_is_encoded_anew_for_whoever_comes_to_it_late() {
    let clock = headwater_event::Clock::manual(Time(1_000_000));
    let house = house(Settings { clock: clock.clone(), ..Settings::default() });
    let hub = &house.hub;
    let (early, late) = (Socket::open(), Socket::open());
    let watch = |clock: &headwater_event::Clock| Watch { encoder: Arc::new(Aging(clock.clone())), ..watch("a") };
    let first = with_window(hub, &early, 100);
    let slow = with_window(hub, &late, 1);
    first.watch(watch(&clock)).await.unwrap();
    slow.watch(watch(&clock)).await.unwrap();
    for payload in ["plain", "aging", "plain", "aging", "plain"] {
        publish(hub, vec![publication("a", payload)]).await;
    }
    until("all of it", || early.lines().len() == 5).await;
    assert_eq!(early.lines(), ["1 plain 0", "2 aging 0", "3 plain 0", "4 aging 0", "5 plain 0"]);
    for seconds in 1..5 {
        clock.advance(std::time::Duration::from_secs(1));
        let before = slow.under_way()[0];
        assert_eq!(slow.acknowledged(number_of(before.seq)), Some(before));
        until("the next one", || late.lines().len() > seconds).await;
    }
    // What doesn't age may come from where it is nearest.
    let lines = late.lines();
    assert_eq!((&*lines[1], &*lines[3]), ("2 aging 1", "4 aging 3"));
    assert_eq!(lines.iter().map(|line| &line[..1]).collect::<Vec<_>>(), ["1", "2", "3", "4", "5"]);
    // And both go on as before.
    let before = slow.under_way()[0];
    assert_eq!(slow.acknowledged(number_of(before.seq)), Some(before));
    publish(hub, vec![publication("a", "aging")]).await;
    until("what follows", || late.lines().len() == 6 && early.lines().len() == 6).await;
    assert_eq!((&*early.lines()[5], &*late.lines()[5]), ("6 aging 0", "6 aging 0"));
}

#[tokio::test]
async fn whoever_acknowledges_gets_each_event_in_order_also_while_the_states_are_read() {
    let house = house(Settings::default());
    let hub = &house.hub;
    publish(hub, vec![sticky("a", "old"), sticky("b", "stays")]).await;
    let socket = Socket::open();
    let settings = OutletSettings { window: 100, ..OutletSettings::default() };
    let outlet = hub.outlet(anyone(), Box::new(socket.clone()), settings);
    outlet.watch(Watch { sticky: true, ..counted("#") }).await.unwrap();
    // The watch has begun; nothing was read for it yet.
    publish(hub, vec![publication("c", "1"), sticky("a", "2"), publication("a", "3"), sticky("a", "4")]).await;
    drive(&outlet, &socket);
    until("all of it", || socket.lines().len() >= 5).await;
    // The state of `a` is newer than the watch: it comes among the events.
    assert_eq!(socket.lines(), ["state 2 b stays", "event 3 c 1", "event 4 a 2", "event 5 a 3", "event 6 a 4"]);
    publish(hub, vec![sticky("a", "5")]).await;
    until("what follows", || socket.lines().len() >= 6).await;
    assert_eq!(socket.lines()[5..], ["event 7 a 5"]);
}

#[tokio::test]
async fn two_watches_of_one_event_never_have_its_number_under_way_twice() {
    let house = house(Settings::default());
    let socket = Socket::open();
    let outlet = with_window(&house.hub, &socket, 10);
    outlet.watch(counted("a/#")).await.unwrap();
    outlet.watch(counted("a/+")).await.unwrap();
    publish_some(&house.hub, "a/b", 4).await;
    for done in 0..8 {
        until("the next delivery", || socket.lines().len() > done && outlet.under_way_len() > 0).await;
        let under_way = outlet.under_way();
        let mut numbers: Vec<_> = under_way.iter().map(|out| number_of(out.seq)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), under_way.len());
        outlet.acknowledged(number_of(under_way[0].seq));
    }
    until("all eight", || socket.lines().len() == 8).await;
}

#[tokio::test]
async fn what_came_how_far_is_known_after_the_end_too() {
    let house = house(Settings::default());
    let socket = Socket::open();
    let outlet = with_window(&house.hub, &socket, 2);
    let id = outlet.watch(counted("a")).await.unwrap();
    publish_some(&house.hub, "a", 5).await;
    until("two deliveries", || socket.lines().len() == 2).await;
    assert!(outlet.received(number_of(1)).is_some_and(|out| out.is_received));
    outlet.close();
    assert_eq!(outlet.standing(id), Some(Standing { up_to: 2, ..Standing::default() }));
    let left: Vec<_> = outlet.under_way().iter().map(|out| (out.seq, out.is_received)).collect();
    assert_eq!(left, [(1, true), (2, false)]);
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_did_not_acknowledge_then_what_it_missed() {
    let house = house(Settings::default());
    publish_some(&house.hub, "a", 20).await;
    let socket = Socket::open();
    let outlet = with_window(&house.hub, &socket, 2);
    let from = From::After(Position { seq: 15, ..house.hub.head() });
    let id = outlet.watch(Watch { from, again: vec![3, 7, 11], ..counted("a") }).await.unwrap();
    until("two", || socket.lines().len() == 2).await;
    let standing = Standing { up_to: 15, again: vec![11], has_states: false };
    assert_eq!(outlet.standing(id), Some(standing));
    publish_some(&house.hub, "a", 2).await;
    let lines = acknowledge_all(&outlet, &socket, 2, 10).await;
    let seqs: Vec<u64> = lines.iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(seqs, [3, 7, 11, 16, 17, 18, 19, 20, 21, 22]);
    assert_eq!(outlet.standing(id), Some(Standing { up_to: 22, ..Standing::default() }));
}

#[tokio::test]
async fn states_alone_are_told_and_then_the_watch_is_over() {
    let house = house(Settings::default());
    publish(&house.hub, vec![sticky("t/1", "x"), sticky("t/2", "y")]).await;
    let socket = Socket::open();
    let outlet = with_window(&house.hub, &socket, 5);
    outlet.watch(Watch { sticky: true, is_only_states: true, ..counted("t/#") }).await.unwrap();
    until("both states", || socket.lines().len() == 2).await;
    let ended = || house.hub.metrics().watchers.load(std::sync::atomic::Ordering::Relaxed) == 0;
    until("the end of the watch", ended).await;
    outlet.watch(counted("t/#")).await.unwrap();
    publish_some(&house.hub, "t/1", 1).await;
    until("the event", || socket.lines().len() == 3).await;
    assert_eq!(socket.lines()[2], "event 3 t/1 0");
}

#[tokio::test]
async fn what_was_told_before_can_be_told_again_alone() {
    let house = house(Settings::default());
    let hub = &house.hub;
    publish_some(hub, "a", 6).await;
    let socket = Socket::open();
    let outlet = with_window(hub, &socket, 2);
    let from = From::After(Position { seq: 4, ..hub.head() });
    let watch = Watch { from, again: vec![1, 3, 4], is_only_again: true, ..counted("a") };
    let id = outlet.watch(watch.clone()).await.unwrap();
    publish_some(hub, "a", 3).await;
    let lines = acknowledge_all(&outlet, &socket, 2, 3).await;
    assert_eq!(lines, ["event 1 a 0", "event 3 a 2", "event 4 a 3"]);
    until("the watch is over", || outlet.standing(id).is_none()).await;
    // Other watches go on as ever.
    outlet.watch(counted("b")).await.unwrap();
    publish_some(hub, "b", 1).await;
    until("another's event", || socket.lines().len() == 4).await;
    let empty = Watch { again: Vec::new(), ..watch };
    assert!(outlet.watch(empty).await.is_err(), "there is nothing to be told");
}

#[tokio::test]
async fn what_is_kept_nowhere_is_told_to_whoever_began_to_watch_before_it_came() {
    let house = house(Settings::default());
    publish_some(&house.hub, "a", 3).await;
    for round in 0..200 {
        let socket = Socket::open();
        let (outlet, _task) = connect(&house.hub, &socket);
        // A filter of its own, so that the ring is new each time.
        outlet.watch(Watch { sticky: round % 2 == 0, ..watch(&format!("+/{round}")) }).await.unwrap();
        let event = Event {
            id: EventId::generate(),
            topic: Topic::new(format!("p/{round}")).unwrap(),
            headers: Headers::none(),
            payload: "x".into(),
            at: Time::default(),
        };
        house.hub.pass(&anyone(), vec![event]).unwrap();
        until("the event", || socket.text().contains("passing")).await;
    }
}

#[tokio::test]
async fn what_is_kept_nowhere_is_told_once_and_in_its_place() {
    let house = house(Settings::default());
    let hub = &house.hub;
    let socket = Socket::open();
    let (outlet, _task) = connect(hub, &socket);
    outlet.watch(watch("a")).await.unwrap();
    publish_some(hub, "a", 1).await;
    until("the first", || socket.lines().len() == 1).await;
    let passing = |payload: &'static str| Event {
        id: EventId::generate(),
        topic: Topic::new("a").unwrap(),
        headers: Headers::none(),
        payload: payload.into(),
        at: Time::default(),
    };
    hub.pass(&anyone(), vec![passing("x"), passing("y")]).unwrap();
    until("three", || socket.lines().len() == 3).await;
    publish_some(hub, "a", 1).await;
    until("four", || socket.lines().len() == 4).await;
    assert_eq!(socket.lines(), ["event 1 a 0", "passing 0 a x", "passing 0 a y", "event 2 a 0"]);
    assert_eq!(hub.head().seq, 2);
    // Of another filter, so that it reads the log and not what is still in a ring.
    let mut late = hub.stream(&anyone(), Watch { from: From::Oldest, ..watch("#") }).await.unwrap();
    assert_eq!(lines(&mut late, 2).await, ["event 1 a 0", "event 2 a 0"]);
}
