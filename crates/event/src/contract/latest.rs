//! Latest states: one a topic, in pages, as of a moment of the log.

use std::collections::BTreeMap;

use super::given::{append, append_many, event, filter, payload, read_after, soon, sticky};
use super::{Harness, duties};
use crate::bus::{Bus, StickyPage};
use crate::topic::Topic;

duties! {
    only_sticky_events_are_latest_states,
    a_later_state_takes_the_place_of_the_earlier_one,
    an_empty_payload_ends_a_state,
    states_come_by_topic_and_as_wanted,
    pages_follow_each_other_without_gap_or_repeat,
    states_survive_a_crash,
    a_resent_state_does_not_come_back,
    topics_are_listed_by_what_they_begin_with_and_from_any_text_on,
    #[needs(Replay)] whoever_goes_on_after_as_of_misses_nothing_and_sees_nothing_twice,
}

async fn latest(bus: &dyn Bus, wanted: &str, after: Option<&str>, limit: usize) -> StickyPage {
    let after = after.map(|topic| topic.parse::<Topic>().expect("a topic"));
    soon(bus.latest(&filter(wanted), after.as_ref(), limit)).await.expect("states")
}

fn states(page: &StickyPage) -> Vec<(String, String)> {
    page.events.iter().map(|recorded| (recorded.event.topic.to_string(), payload(recorded))).collect()
}

fn pairs(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    wanted.iter().map(|(topic, payload)| ((*topic).to_owned(), (*payload).to_owned())).collect()
}

async fn only_sticky_events_are_latest_states(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    assert_eq!(latest(&*bus, "#", None, 10).await, StickyPage { events: vec![], as_of: bus.head(), next: None });
    append(&*bus, vec![event("a", "passing"), sticky("b", "state"), event("b", "passing")]).await;
    let page = latest(&*bus, "#", None, 10).await;
    assert_eq!(states(&page), pairs(&[("b", "state")]));
    assert!(page.events[0].sticky);
    assert_eq!(page.events[0].position.seq, 2);
    assert_eq!((page.as_of, page.next), (bus.head(), None));
}

async fn a_later_state_takes_the_place_of_the_earlier_one(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    for round in 0..5 {
        append(&*bus, vec![sticky("a", &format!("a{round}")), sticky("b", &format!("b{round}"))]).await;
        let page = latest(&*bus, "#", None, 10).await;
        assert_eq!(states(&page), pairs(&[("a", &format!("a{round}")), ("b", &format!("b{round}"))]));
    }
    append(&*bus, vec![sticky("a", "first"), sticky("a", "second")]).await;
    assert_eq!(states(&latest(&*bus, "a", None, 10).await), pairs(&[("a", "second")]), "within one batch, too");
}

async fn an_empty_payload_ends_a_state(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append(&*bus, vec![sticky("a", "x"), sticky("b", "y")]).await;
    append(&*bus, vec![event("a", ""), sticky("b", ""), sticky("never/there", "")]).await;
    assert_eq!(states(&latest(&*bus, "#", None, 10).await), pairs(&[("a", "x")]), "only a sticky one ends it");
    append(&*bus, vec![sticky("b", "again")]).await;
    assert_eq!(states(&latest(&*bus, "b", None, 10).await), pairs(&[("b", "again")]));
}

async fn states_come_by_topic_and_as_wanted(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let topics = ["b/2", "a", "$SYS/x", "b/1", "b", "b/1/deep", "c/1"];
    append(&*bus, topics.iter().map(|topic| sticky(topic, topic)).collect()).await;
    for (wanted, expected) in [
        ("#", &["a", "b", "b/1", "b/1/deep", "b/2", "c/1"][..]),
        ("b/+", &["b/1", "b/2"]),
        ("b/#", &["b", "b/1", "b/1/deep", "b/2"]),
        ("+/1", &["b/1", "c/1"]),
        ("b/1", &["b/1"]),
        ("$SYS/#", &["$SYS/x"]),
        ("nothing/#", &[]),
    ] {
        let page = latest(&*bus, wanted, None, 100).await;
        let got: Vec<_> = page.events.iter().map(|recorded| recorded.event.topic.as_str()).collect();
        assert_eq!(got, expected, "{wanted}");
        assert_eq!(page.next, None);
    }
}

async fn pages_follow_each_other_without_gap_or_repeat(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let topics: Vec<_> = (0..25).map(|at| format!("s/{at:02}")).collect();
    append(&*bus, topics.iter().map(|topic| sticky(topic, topic)).collect()).await;
    append(&*bus, vec![sticky("r", "r"), sticky("t", "t")]).await;
    for limit in [1, 4, 5, 24, 25, 26] {
        let (mut got, mut after, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let page = latest(&*bus, "s/+", after.as_deref(), limit).await;
            assert!(page.events.len() <= limit);
            got.extend(states(&page).into_iter().map(|(topic, _)| topic));
            after = page.next.map(|topic| topic.to_string());
            pages += 1;
            if after.is_none() {
                break;
            }
            assert!(pages <= 60, "the pages have an end");
        }
        assert_eq!(got, topics, "in pages of {limit}");
    }
    // A topic that changes between two pages comes in its later state.
    let page = latest(&*bus, "s/+", None, 10).await;
    let next = page.next.expect("more").to_string();
    append(&*bus, vec![sticky("s/20", "changed"), sticky("s/24", "")]).await;
    let page = latest(&*bus, "s/+", Some(&next), 100).await;
    assert!(states(&page).contains(&("s/20".into(), "changed".into())));
    assert!(!states(&page).iter().any(|(topic, _)| topic == "s/24"));
    assert_eq!(page.as_of, bus.head());
}

async fn states_survive_a_crash(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    append(&*bus, vec![sticky("a", "old"), sticky("b", "ended"), sticky("c", "c")]).await;
    append(&*bus, vec![sticky("b", "")]).await;
    append_many(&*bus, "x", 20).await;
    append(&*bus, vec![sticky("a", "new")]).await;
    drop(bus);
    harness.crash().await;
    let bus = harness.bus();
    let page = latest(&*bus, "#", None, 10).await;
    assert_eq!(states(&page), pairs(&[("a", "new"), ("c", "c")]));
    assert_eq!(page.as_of, bus.head());
}

async fn a_resent_state_does_not_come_back(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let old = sticky("a", "old");
    append(&*bus, vec![old.clone()]).await;
    append(&*bus, vec![sticky("a", "new")]).await;
    assert!(append(&*bus, vec![old]).await.get(0).duplicate);
    assert_eq!(states(&latest(&*bus, "a", None, 10).await), pairs(&[("a", "new")]));
}

/// While somebody writes: a snapshot and what comes after `as_of` together give what is there in the end.
async fn whoever_goes_on_after_as_of_misses_nothing_and_sees_nothing_twice(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let writer = {
        let bus = harness.bus();
        tokio::spawn(async move {
            for at in 0..200 {
                let payload = if at % 7 == 6 { String::new() } else { at.to_string() };
                append(&*bus, vec![sticky(["a", "b", "c"][at % 3], &payload)]).await;
            }
        })
    };
    let mut snapshots = Vec::new();
    while bus.head().seq < 200 {
        snapshots.push(latest(&*bus, "#", None, 10).await);
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer");
    let end: BTreeMap<_, _> = states(&latest(&*bus, "#", None, 10).await).into_iter().collect();
    // A fast engine gives thousands; some forty of them, spread over the whole, say as much.
    let step = snapshots.len() / 40 + 1;
    for page in snapshots.into_iter().step_by(step) {
        assert!(page.events.iter().all(|recorded| recorded.position.seq <= page.as_of.seq), "nothing of later");
        let mut folded: BTreeMap<_, _> = states(&page).into_iter().collect();
        for recorded in read_after(&*bus, page.as_of).await {
            let topic = recorded.event.topic.to_string();
            match payload(&recorded) {
                ended if ended.is_empty() => folded.remove(&topic),
                state => folded.insert(topic, state),
            };
        }
        assert_eq!(folded, end, "from {} on", page.as_of);
        // Nothing of before is missing in the snapshot itself: each state is the last one up to `as_of`.
        for recorded in &page.events {
            let before = crate::position::Position::new(page.as_of.epoch, recorded.position.seq);
            let later = read_after(&*bus, before).await;
            let later = later.iter().filter(|other| other.position.seq <= page.as_of.seq);
            assert!(later.filter(|other| other.event.topic == recorded.event.topic).count() == 0);
        }
    }
}

async fn topics_are_listed_by_what_they_begin_with_and_from_any_text_on(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let topics = ["b/2", "a", "b/1", "b", "b-c", "b/1/deep", "b/1/deeper", "bb", "c/1"];
    append(&*bus, topics.iter().map(|topic| sticky(topic, topic)).collect()).await;
    append(&*bus, vec![event("b/0", "no state"), sticky("c/1", "")]).await;
    for (prefix, after, expected) in [
        ("", None, &["a", "b", "b-c", "b/1", "b/1/deep", "b/1/deeper", "b/2", "bb"][..]),
        ("b/", None, &["b/1", "b/1/deep", "b/1/deeper", "b/2"]),
        ("b/", Some("b/1/\u{10ffff}"), &["b/2"]),
        ("b/1/d", Some("b/1/deep"), &["b/1/deeper"]),
        ("b/", Some("a"), &["b/1", "b/1/deep", "b/1/deeper", "b/2"]),
        ("b/", Some("c"), &[]),
        ("nothing", None, &[]),
    ] {
        let (mut got, mut from) = (Vec::new(), after.map(str::to_owned));
        loop {
            let page = soon(bus.topics(prefix, from.as_deref(), 2)).await.expect("topics");
            assert!(page.topics.len() <= 2 && (page.next.is_none() || page.topics.len() == 2));
            for (topic, seq) in &page.topics {
                let state = latest(&*bus, topic.as_str(), None, 1).await;
                assert_eq!(state.events[0].position.seq, *seq, "{topic}");
                got.push(topic.to_string());
            }
            match page.next {
                Some(next) => from = Some(next.to_string()),
                None => break,
            }
        }
        assert_eq!(got, expected, "{prefix} after {after:?}");
    }
}
