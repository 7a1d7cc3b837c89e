//! What a person sees of a connection's way out: its watches, how far each is behind; and how it is sent away.

use headwater_hub::inspect::{OutletStat, Source};
use headwater_hub::presence::Search;
use headwater_hub::*;

use crate::support::*;

fn enter(hub: &Hub, outlet: &std::sync::Arc<Outlet>) -> Present {
    let peer = "127.0.0.1:9".parse().unwrap();
    hub.presence().enter(Arrival { protocol: "test", peer, who: outlet.who(), client: None }, outlet)
}

#[tokio::test]
async fn a_stalled_watcher_shows_how_far_it_is_behind_and_one_that_keeps_up_shows_nothing() {
    let house = house(small_rings(4_000));
    let hub = &house.hub;
    let (quick, stalled) = (Socket::open(), Socket::stalled());
    let (one, _task) = connect(hub, &quick);
    let (other, _other_task) = connect(hub, &stalled);
    one.watch(watch("a")).await.unwrap();
    other.watch(watch("a")).await.unwrap();
    // What nobody wants is no lag.
    publish(hub, vec![publication("b", "x"); 1]).await;
    for _ in 0..100 {
        publish(hub, vec![publication("a", "y".repeat(100))]).await;
    }
    publish(hub, vec![publication("b", "x")]).await;
    until("the quick one has all", || quick.text().contains("event 101 ")).await;
    until("the stalled one was tried", || other.stat(8).is_blocked).await;
    assert_eq!(one.stat(8), OutletStat { watches: 1, lag: 0, waiting_bytes: 0, is_blocked: false });
    let lag = other.stat(8).lag;
    assert!((90..=101).contains(&lag), "{lag}");
    assert_eq!(other.stat(0).lag, 0, "no watch was looked at");
    stalled.allow(usize::MAX);
    until("it has caught up", || other.stat(8).lag == 0).await;
    let page = other.watched(0, 8);
    assert_eq!((page.watches[0].filter.as_str(), page.watches[0].source, page.next), ("a", Source::Ring, None));
}

#[tokio::test]
async fn watches_are_listed_page_by_page() {
    let house = house(Settings::default());
    let (outlet, _task) = connect(&house.hub, &Socket::open());
    for number in 0..25 {
        outlet.watch(watch(&format!("topic/{number}"))).await.unwrap();
    }
    let (mut from, mut filters) = (Some(0), Vec::new());
    while let Some(at) = from {
        let page = outlet.watched(at, 10);
        assert!(page.watches.len() <= 10);
        filters.extend(page.watches.iter().map(|watched| watched.filter.as_str().to_owned()));
        from = page.next;
    }
    assert_eq!(filters, (0..25).map(|number| format!("topic/{number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_is_sent_away_ends_at_once_even_if_it_reads_nothing() {
    let house = house(Settings::default());
    let hub = &house.hub;
    let (outlet, task) = connect(hub, &Socket::stalled());
    outlet.watch(watch("a")).await.unwrap();
    outlet.send("an answer that nobody reads".into()).unwrap();
    let present = enter(hub, &outlet);
    let connected = hub.presence().page(Search::default(), 0, 1).found.remove(0);
    assert!(connected.dismiss());
    assert_eq!(task.await.unwrap(), Closed::Dismissed);
    assert_eq!(outlet.stat(8).watches, 0);
    drop((present, outlet));
    assert!(!connected.dismiss() && connected.outlet().is_none() && hub.presence().is_empty());
}

#[tokio::test]
async fn the_last_words_follow_the_frame_that_was_begun() {
    let house = house(Settings::default());
    let hub = &house.hub;
    let socket = Socket::stalled();
    let (outlet, task) = connect(hub, &socket);
    outlet.watch(watch("a")).await.unwrap();
    socket.allow(10);
    publish(hub, vec![publication("a", "a payload of some length")]).await;
    until("a part is written", || outlet.stat(8).is_blocked && !socket.text().is_empty()).await;
    let _present = enter(hub, &outlet);
    hub.presence().page(Search::default(), 0, 1).found[0].dismiss();
    assert_eq!(task.await.unwrap(), Closed::Dismissed);
    socket.allow(usize::MAX);
    outlet.last_words(b"farewell\n");
    assert_eq!(socket.lines(), ["event 1 a a payload of some length", "farewell"]);
}
