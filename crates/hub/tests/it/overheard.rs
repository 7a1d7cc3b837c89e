//! What other processes of ours tell the hub by way of its edges, and what it says of them.

use headwater_event::*;
use headwater_hub::*;

use crate::support::*;

const PREFIX: &str = "_ours/talk/";

#[tokio::test]
async fn what_is_overheard_is_told_to_no_watcher_and_no_more_waits_than_may() {
    let house = house(Settings::default());
    let hub = &house.hub;
    let event = |at: &str, payload: &str| publication(at, payload).event;
    let mut stream = hub.stream(&anyone(), watch("#")).await.unwrap();
    hub.pass(&anyone(), vec![event("_ours/talk/a", "before anybody asked")]).unwrap();
    let mut overheard = hub.overhear(PREFIX, 2).unwrap();
    assert!(hub.overhear(PREFIX, 2).is_none(), "there is one such place");
    let batch = (1..=3).map(|n| event("_ours/talk/a", &format!("word {n}")));
    hub.pass(&anyone(), batch.chain([event("a", "for all")]).collect()).unwrap();
    for n in 1..=2 {
        assert_eq!(overheard.recv().await.unwrap().payload, format!("word {n}"));
    }
    assert!(overheard.try_recv().is_err(), "the third had no room");
    // What is to be kept is an event as any other.
    publish(hub, vec![publication("_ours/talk/a", "kept")]).await;
    assert!(overheard.try_recv().is_err());
    let told = lines(&mut stream, 3).await;
    assert!(told[0].ends_with("_ours/talk/a before anybody asked"), "{told:?}");
    assert!(told[1].ends_with("a for all") && told[2].ends_with("_ours/talk/a kept"), "{told:?}");
}

#[tokio::test]
async fn who_may_not_publish_is_not_overheard() {
    let access = Access::by(|_, ask| !matches!(ask, Ask::Publish(topic) if topic.as_str().starts_with(PREFIX)));
    let house = house(Settings { access, ..Settings::default() });
    let mut overheard = house.hub.overhear(PREFIX, 2).unwrap();
    let refused = house.hub.pass(&anyone(), vec![publication("_ours/talk/a", "x").event]);
    assert_eq!(refused, Err(Refusal::NotAllowed));
    assert!(overheard.try_recv().is_err());
}

#[tokio::test]
async fn states_that_were_announced_stand_among_those_that_are_kept() {
    let house = house(Settings::default());
    let hub = &house.hub;
    let note = |at: &str, payload: &str| hub.note(vec![sticky(at, payload)]).unwrap();
    for at in ["$SYS/n/b", "$SYS/n/d"] {
        note(at, "kept").await.unwrap();
    }
    let announced = ["$SYS/n/a", "$SYS/n/c", "$SYS/n/d", "$SYS/other"];
    hub.announce(announced.map(|at| publication(at, "announced").event).into());
    for limit in 1..=5 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = hub.latest(&anyone(), &filter("$SYS/n/+"), after.as_ref(), limit).await.unwrap();
            assert!(page.events.len() <= limit);
            seen.extend(page.events.iter().map(|recorded| {
                let topic = recorded.event.topic.as_str().to_owned();
                (topic, String::from_utf8_lossy(&recorded.event.payload).into_owned())
            }));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected =
            [("$SYS/n/a", "announced"), ("$SYS/n/b", "kept"), ("$SYS/n/c", "announced"), ("$SYS/n/d", "announced")];
        assert_eq!(seen, expected.map(|(at, what)| (at.to_owned(), what.to_owned())), "by {limit}");
    }
    assert!(hub.latest(&anyone(), &filter("#"), None, 9).await.unwrap().events.is_empty());
}
