//! What processes tell each other over an engine is heard by those who listen, and kept by nobody.

use std::sync::Arc;
use std::time::Duration;

use headwater_event::{Bus, Event, Talk, Topic};

use super::given::{event, link, soon};
use super::headwater::Broker;
use super::mosquitto::Mosquitto;

const TOPIC: &str = "$SYS/nodes/a";

fn word(text: &str) -> Event {
    event(TOPIC, text).event
}

/// Tells something new again and again until the other hears one of it, as there may be nobody who listens yet.
async fn until_heard(one: &mut dyn Talk, other: &mut dyn Talk, prefix: &str) {
    let mut again = tokio::time::interval(Duration::from_millis(20));
    let mut told = 0;
    let hearing = async {
        loop {
            tokio::select! {
                heard = other.hear() => {
                    let heard = heard.expect("it may listen");
                    assert_eq!(heard.topic.as_str(), TOPIC);
                    if heard.payload.starts_with(prefix.as_bytes()) {
                        return;
                    }
                }
                _ = again.tick() => {
                    told += 1;
                    // Faster than it's taken while the engine is away: it's lost, and the next one comes.
                    let _ = one.tell(word(&format!("{prefix} {told}")));
                }
            }
        }
    };
    soon(hearing).await;
}

async fn next(other: &mut dyn Talk) -> Event {
    soon(other.hear()).await.expect("a word")
}

/// The same over every engine that has a way to talk.
pub async fn is_heard_and_kept_by_nobody(one: &Arc<dyn Bus>, other: &Arc<dyn Bus>) {
    let all = "$SYS/nodes/#".parse().unwrap();
    let mut listener = other.talk(Some(&all)).unwrap();
    let mut speaker = one.talk(None).unwrap();
    assert!(!speaker.is_kept() && !listener.is_kept());
    until_heard(&mut *speaker, &mut *listener, "first").await;
    // Who only tells hears nothing, and is not told that it's over.
    assert!(tokio::time::timeout(Duration::from_millis(100), speaker.hear()).await.is_err());
    // What isn't wanted isn't heard; what is told before one leaves goes out, in order.
    let elsewhere = Event { topic: "$SYS/other".parse().unwrap(), ..word("elsewhere") };
    speaker.tell(elsewhere).unwrap();
    let last = word("last");
    speaker.tell(last.clone()).unwrap();
    soon(speaker.leave()).await;
    let heard = loop {
        let heard = next(&mut *listener).await;
        assert_ne!(heard.topic.as_str(), "$SYS/other");
        if !heard.payload.starts_with(b"first") {
            break heard;
        }
    };
    assert_eq!((&heard.payload, &heard.id, &heard.headers), (&last.payload, &last.id, &last.headers));
    let kept = soon(other.latest(&"$SYS/#".parse().unwrap(), None::<&Topic>, 10)).await.unwrap();
    assert_eq!(kept.events, [], "nobody keeps it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_mosquitto_what_is_told_is_heard_and_kept_by_nobody_also_after_a_restart() {
    let mut broker = Mosquitto::start();
    let (one, other) = (link(&broker.url(), "one").await, link(&broker.url(), "other").await);
    let (one, other) = (one.bus(), other.bus());
    is_heard_and_kept_by_nobody(&one, &other).await;
    let all = "$SYS/nodes/#".parse().unwrap();
    let (mut speaker, mut listener) = (one.talk(None).unwrap(), other.talk(Some(&all)).unwrap());
    until_heard(&mut *speaker, &mut *listener, "before").await;
    tokio::task::block_in_place(|| broker.kill());
    for n in 0..100 {
        // Nobody waits for a broker that is away, and nothing piles up.
        let _ = speaker.tell(word(&format!("lost {n}")));
    }
    tokio::task::block_in_place(|| broker.start_again());
    until_heard(&mut *speaker, &mut *listener, "after").await;
}

#[tokio::test]
async fn over_a_headwater_somebody_else_keeps_what_is_told() {
    let broker = Broker::start();
    let engine = link(&broker.url(), "one").await;
    assert!(engine.bus().talk(None).unwrap().is_kept());
}
