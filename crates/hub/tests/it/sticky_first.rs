//! A newcomer gets the latest state of each topic first, then every later change, without gap or repeat.

use std::collections::BTreeMap;

use headwater_hub::*;

use crate::support::*;

fn states(text: &str) -> Watch {
    Watch { sticky: true, ..watch(text) }
}

#[tokio::test]
async fn a_watcher_who_comes_late_sees_the_latest_state_first() {
    let house = house(Settings::default());
    let hub = &house.hub;
    publish(hub, vec![sticky("slot/9", "free"), sticky("slot/9", "taken"), publication("slot/8", "no state")]).await;
    let mut stream = hub.stream(&anyone(), states("slot/+")).await.unwrap();
    let seen = lines(&mut stream, 2).await;
    assert_eq!(seen, ["state 2 slot/9 taken".to_owned(), format!("states {}", hub.head())]);
    publish(hub, vec![sticky("slot/9", "free again"), sticky("other/1", "not wanted"), sticky("slot/9", "")]).await;
    assert_eq!(lines(&mut stream, 2).await, ["event 4 slot/9 free again", "event 6 slot/9 "]);
}

#[tokio::test]
async fn a_state_that_was_ended_is_not_told() {
    let house = house(Settings::default());
    publish(&house.hub, vec![sticky("a", "x"), sticky("b", "y"), sticky("a", "")]).await;
    let mut stream = house.hub.stream(&anyone(), states("#")).await.unwrap();
    assert_eq!(lines(&mut stream, 2).await[0], "state 2 b y");
}

#[tokio::test]
async fn states_and_a_past_position_do_not_go_together() {
    let house = house(Settings::default());
    let watch = Watch { from: From::Oldest, ..states("#") };
    let refused = house.hub.stream(&anyone(), watch).await.err().unwrap();
    assert!(matches!(refused, WatchError::Refusal(headwater_event::Refusal::Malformed(_))), "{refused:?}");
}

#[tokio::test]
async fn what_comes_between_the_beginning_of_a_watch_and_its_states_is_told() {
    let house = house(Settings::default());
    let hub = &house.hub;
    publish(hub, vec![sticky("a", "old"), sticky("b", "stays")]).await;
    let socket = Socket::open();
    let outlet = hub.outlet(anyone(), Box::new(socket.clone()), OutletSettings::default());
    outlet.watch(states("#")).await.unwrap();
    // The watch has begun; nothing was read for it yet.
    publish(hub, vec![publication("c", "no state"), sticky("a", "older"), sticky("a", "new")]).await;
    drive(&outlet, &socket);
    until("all of it", || socket.lines().len() >= 4).await;
    assert_eq!(
        socket.lines(),
        ["state 5 a new", "state 2 b stays", "states 0:2", "event 3 c no state"]
            .map(|line| { line.replace("0:2", &headwater_event::Position { seq: 2, ..hub.head() }.to_string()) })
    );
    publish(hub, vec![sticky("a", "last")]).await;
    until("what follows", || socket.lines().len() >= 5).await;
    assert_eq!(socket.lines()[4..], ["event 6 a last"]);
}

/// More states than a page has, a socket that takes a few bytes at a time, and changes at every moment between: each
/// topic is told as a state once, its changes after that in order, nothing twice, and nothing is missing.
#[tokio::test]
async fn changes_while_the_states_are_told_come_once_and_in_order() {
    const TOPICS: usize = 150;
    let house = house(small_rings(600));
    let hub = &house.hub;
    let name = |at: usize| format!("t/{at:03}");
    publish(hub, (0..TOPICS).map(|at| sticky(&name(at), "first")).collect()).await;
    let socket = Socket::stalled();
    let (outlet, _task) = connect(hub, &socket);
    outlet.watch(states("t/#")).await.unwrap();
    let mut latest = BTreeMap::new();
    for step in 0..400 {
        let at = step * 37 % TOPICS;
        let receipts = publish(hub, vec![sticky(&name(at), "changed")]).await;
        latest.insert(name(at), receipts.get(0).position.seq);
        socket.allow(17);
    }
    socket.allow(usize::MAX);
    until("the states are told", || socket.text().contains("states ")).await;
    let receipts = publish(hub, vec![sticky(&name(0), "last")]).await;
    latest.insert(name(0), receipts.get(0).position.seq);
    let last = format!("event {} ", hub.head().seq);
    until("the last change is told", || socket.text().contains(&last)).await;

    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut ended = false;
    for line in socket.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[0] {
            "states" => ended = true,
            "state" => {
                assert!(!ended, "{line} after the end of the states");
                assert_eq!(seen.insert(words[2].into(), words[1].parse().unwrap()), None, "twice: {line}");
            }
            _ => {
                assert!(ended, "{line} before the end of the states");
                let before = seen.insert(words[2].into(), words[1].parse().unwrap()).unwrap();
                assert!(before < words[1].parse().unwrap(), "{line} came after {before}");
            }
        }
    }
    assert_eq!(seen.len(), TOPICS);
    assert!(latest.iter().all(|(topic, seq)| seen[topic] == *seq));
    // Some changes came while the states were told, or this test would show nothing.
    let told = socket.lines().len() - 1;
    assert!(told > TOPICS, "{told} frames");
}
