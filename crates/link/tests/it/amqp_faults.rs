//! RabbitMQ and Redis that are killed, cut off, not there, or say no.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use headwater_event::{Bus, Clock, GroupName, Health, Settlement, Time};
use headwater_link::{LinkError, Options, open};

use super::amqp::{Servers, link, shared};
use super::given::{done, event, join, next, payload, soon, sticky};
use super::mosquitto::free_port;
use super::rabbit::Redis;
use super::talk::is_heard_and_kept_by_nobody;
use super::wire::Wire;

async fn good(bus: &Arc<dyn Bus>) {
    let good = async {
        while bus.health() != Health::Good {
            tokio::task::yield_now().await;
        }
    };
    soon(good).await;
}

async fn bad(bus: &Arc<dyn Bus>) -> String {
    let bad = async {
        loop {
            if let Health::Failing(why) = bus.health() {
                return why;
            }
            tokio::task::yield_now().await;
        }
    };
    soon(bad).await
}

async fn states(bus: &Arc<dyn Bus>, filter: &str) -> Vec<(String, String)> {
    let page = soon(bus.latest(&filter.parse().unwrap(), None, 100)).await.expect("states");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    page.events.iter().map(|state| (state.event.topic.to_string(), text(&state.event.payload))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_rabbitmq_loses_nothing_that_it_acknowledged() {
    let mut servers = Servers::start();
    let engine = link(&servers, "killed", &Clock::system()).await;
    let bus = engine.bus();
    let mut member = join(&bus, "g/#").await;
    soon(bus.append((0..50).map(|at| event("g/x", &at.to_string())).collect())).await.unwrap();
    tokio::task::block_in_place(|| servers.rabbit.kill());
    let waiting = bus.append(vec![event("g/x", "50")]);
    assert!(bad(&bus).await.contains("the engine amqp://127.0.0.1:"), "it's named");
    tokio::task::block_in_place(|| servers.rabbit.start_again());
    soon(waiting).await.expect("sent again");
    let mut seen = BTreeSet::new();
    while seen.len() < 51 {
        let deliveries = next(&mut member, 16).await;
        seen.extend(deliveries.iter().map(|delivery| payload(delivery).parse::<u32>().unwrap()));
        done(&mut member, &deliveries).await;
    }
    assert_eq!(seen, (0..=50).collect());
    good(&bus).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_nothing_is_acknowledged_and_then_all_is() {
    let mut servers = Servers::start();
    let engine = link(&servers, "redis", &Clock::system()).await;
    let bus = engine.bus();
    let mut member = join(&bus, "g/#").await;
    soon(bus.append(vec![sticky("s/a", "before"), event("g/x", "0")])).await.unwrap();
    tokio::task::block_in_place(|| servers.redis.kill());
    let waiting = bus.append(vec![sticky("s/b", "meanwhile"), event("g/x", "1")]);
    let why = bad(&bus).await;
    assert!(why.contains("the engine's state redis://127.0.0.1:") && why.contains("can't be reached"), "{why}");
    assert_eq!(payload(&next(&mut member, 1).await[0]), "0", "what was published goes on being worked on");
    tokio::task::block_in_place(|| servers.redis.start_again());
    soon(waiting).await.expect("marked, published, kept");
    good(&bus).await;
    let wanted = [("s/a", "before"), ("s/b", "meanwhile")].map(|(topic, state)| (topic.into(), state.into()));
    assert_eq!(states(&bus, "s/#").await, wanted);
    assert_eq!(payload(&next(&mut member, 1).await[0]), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_another_process_has_published_is_a_copy() {
    let servers = shared();
    let once = event("g/x", "once");
    let first = link(&servers, "copies", &Clock::system()).await;
    let mut member = join(&first.bus(), "g/#").await;
    soon(first.bus().append(vec![once.clone()])).await.unwrap();
    let second = link(&servers, "copies", &Clock::system()).await;
    let receipts = soon(second.bus().append(vec![event("g/x", "new"), once, event("g/x", "newer")])).await.unwrap();
    let duplicates: Vec<_> = receipts.iter().map(|receipt| receipt.duplicate).collect();
    assert_eq!(duplicates, [false, true, false]);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(next(&mut member, 9).await.iter().map(payload));
    }
    assert_eq!(seen, ["once", "new", "newer"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_see_each_others_states_and_their_ends() {
    let servers = shared();
    let here = link(&servers, "states", &Clock::system()).await.bus();
    let there = link(&servers, "states", &Clock::system()).await;
    soon(there.bus().append(vec![sticky("s/a", "1"), sticky("s/b", "1")])).await.unwrap();
    assert_eq!(states(&here, "s/#").await.len(), 2, "of before");
    let mut tail = here.tail(here.head()).unwrap();
    soon(there.bus().append(vec![sticky("s/a", "2"), sticky("s/b", "")])).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let batch = soon(tail.next(&|topic| topic.starts_with("s/"))).await.unwrap();
        seen.extend(batch.events.iter().map(|recorded| recorded.event.topic.to_string()));
    }
    assert_eq!(seen, ["s/a", "s/b"]);
    assert_eq!(states(&here, "s/#").await, [("s/a".to_owned(), "2".to_owned())]);
    let later = link(&servers, "states", &Clock::system()).await.bus();
    assert_eq!(states(&later, "#").await, [("s/a".to_owned(), "2".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_in_two_processes_share_the_events() {
    let servers = shared();
    let engines = [link(&servers, "two", &Clock::system()).await, link(&servers, "two", &Clock::system()).await];
    let mut members = Vec::new();
    for engine in &engines {
        members.push(join(&engine.bus(), "g/#").await);
    }
    soon(engines[0].bus().append((0..200).map(|at| event("g/x", &at.to_string())).collect())).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 200 {
        for member in &mut members {
            // An empty hand is nothing to wait for: the other may have all that is left.
            let Ok(deliveries) = tokio::time::timeout(Duration::from_millis(100), member.next(20)).await else {
                continue;
            };
            let deliveries = deliveries.unwrap();
            seen.extend(deliveries.iter().map(|delivery| payload(delivery).parse::<u32>().unwrap()));
            done(member, &deliveries).await;
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..200).collect::<Vec<_>>(), "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_again_and_again_lose_nothing_and_leave_nothing_behind() {
    let rounds = if std::env::var_os("HEADWATER_LONG").is_some() { 1_000 } else { 20 };
    let servers = Servers::start();
    let wire = Wire::to(servers.rabbit.port()).await;
    let url = format!("amqp://{}?name=cut", wire.addr);
    let engine = open(&url, servers.options()).await.unwrap();
    let bus = engine.bus();
    let mut member = join(&bus, "g/#").await;
    let mut tail = bus.tail(bus.head()).unwrap();
    let mut seen = BTreeSet::new();
    for round in 0..rounds {
        let appended = bus.append((0..100).map(|at| event("g/x", &(round * 100 + at).to_string())).collect());
        wire.cut();
        soon(appended).await.expect("sent again");
        while seen.len() < (round + 1) * 100 {
            let deliveries = next(&mut member, 100).await;
            seen.extend(deliveries.iter().map(|delivery| payload(delivery).parse::<usize>().unwrap()));
            done(&mut member, &deliveries).await;
        }
        // Told of the gap, or given all there is: a watcher is never left in the dark.
        while let Ok(Some(_)) = soon(tail.next_now(&|_| true)).await {}
        tail = bus.tail(bus.head()).unwrap();
    }
    good(&bus).await;
    assert_eq!(seen.len(), rounds * 100);
    let count = |what: &str| {
        let told = tokio::task::block_in_place(|| servers.rabbit.ask(&[what, "--no-table-headers"]));
        told.lines().filter(|line| !line.trim().is_empty()).count()
    };
    // One to publish, one to take; a channel each for publishing, following and the group.
    assert_eq!((count("list_connections"), count("list_channels"), count("list_consumers")), (2, 3, 2));
    assert_eq!(count("list_queues"), 2, "the group's and the follower's");
    engine.close().await;
    let gone = async {
        while count("list_connections") > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_wait_is_in_a_queue_and_comes_back_with_its_attempts() {
    let mut servers = Servers::start();
    let start = Time(1_800_000_000_000_000);
    let clock = Clock::manual(start);
    let engine = link(&servers, "waits", &clock).await;
    let bus = engine.bus();
    let mut member = join(&bus, "g/#").await;
    soon(bus.append(vec![event("g/x", "later")])).await.unwrap();
    let deliveries = next(&mut member, 1).await;
    let retry = Settlement::Retry { after: Some(Duration::from_secs(60)), why: "busy".into() };
    assert_eq!(soon(member.settle(vec![(deliveries[0].tag(), retry)])).await, Ok(1));
    let queues = || tokio::task::block_in_place(|| servers.rabbit.ask(&["list_queues", "name", "messages"]));
    let kept = async {
        loop {
            let told = queues();
            if told.contains("waits.wait.60s\t1") && told.contains("waits.group.service/w\t0") {
                return;
            }
        }
    };
    soon(kept).await;
    tokio::task::block_in_place(|| {
        servers.rabbit.kill();
        servers.rabbit.start_again();
    });
    if std::env::var_os("HEADWATER_LONG").is_none() {
        return;
    }
    clock.advance(Duration::from_secs(60));
    let again = tokio::time::timeout(Duration::from_secs(120), member.next(1)).await.expect("comes back").unwrap();
    assert_eq!((payload(&again[0]).as_str(), again[0].attempt), ("later", 2));
    done(&mut member, &again).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_servers_is_told_in_one_sentence_without_a_password() {
    let servers = shared();
    let secret = Redis::with(Some("s3cret"));
    let rabbit = format!("127.0.0.1:{}", servers.rabbit.port());
    let redis = servers.redis.url();
    let at = |state: &str| Options { state: Some(state.to_owned()), ..Options::new("test") };
    let nobody = format!("127.0.0.1:{}", free_port());
    for (url, state, part, is_final) in [
        (format!("amqp://{nobody}"), redis.clone(), "the engine amqp://127.0.0.1:", false),
        (format!("amqp://me:s3cret@{rabbit}"), redis.clone(), "the user name or password is wrong", true),
        (format!("amqp://{rabbit}/nowhere"), redis.clone(), "no such virtual host", true),
        (
            format!("amqp://{rabbit}"),
            format!("redis://me:s3cret@{nobody}"),
            "the engine's state redis://127.0.0.1:",
            false,
        ),
        (format!("amqp://{rabbit}"), format!("redis://:wr0ng@127.0.0.1:{}", secret.port()), "password is wrong", true),
        (format!("amqp://{rabbit}"), secret.url(), "password is wrong", true),
    ] {
        let error = soon(open(&url, at(&state))).await.err().unwrap_or_else(|| panic!("{url} {state} is taken"));
        let text = error.to_string();
        assert!(text.contains(part) && !text.contains('\n'), "{text}");
        assert!(!text.contains("s3cret") && !text.contains("wr0ng"), "{text}");
        assert_eq!(matches!(error, LinkError::Refused(_)), is_final, "{text}");
    }
    let state = format!("redis://:s3cret@127.0.0.1:{}?db=3", secret.port());
    assert!(soon(open(&format!("amqp://{rabbit}?name=login"), at(&state))).await.is_ok());
}

#[tokio::test]
async fn wrong_addresses_are_refused_before_anything_is_tried() {
    for (url, state, part) in [
        ("amqp://host", None, "needs `--state redis://HOST:PORT`"),
        ("amqps://host", Some("redis://host"), "without TLS"),
        ("amqp://host", Some("rediss://host"), "no TLS"),
        ("amqp://host", Some("http://host"), "begins with `redis://`"),
        ("amqp://host?name=a.b", Some("redis://host"), "`name`"),
        ("amqp://host?members=0", Some("redis://host"), "`members`"),
        ("amqp://host", Some("redis://host?db=x"), "`db`"),
        ("nats://host", Some("redis://host"), "`--state` is for `amqp://` alone"),
    ] {
        let options = Options { state: state.map(str::to_owned), ..Options::new("test") };
        let error = open(url, options).await.err().expect(url);
        assert!(matches!(&error, LinkError::Url(why) if why.contains(part)), "{url}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_ended_elsewhere_closes_its_members_here() {
    let servers = shared();
    let here = link(&servers, "ended", &Clock::system()).await;
    let there = link(&servers, "ended", &Clock::system()).await;
    let mut member = join(&here.bus(), "g/#").await;
    soon(there.bus().end_group(&GroupName::new("service/w").unwrap())).await.unwrap();
    assert_eq!(soon(member.next(1)).await, Err(headwater_event::BusError::Closed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_heard_and_kept_by_nobody() {
    let servers = shared();
    let one = link(&servers, "talk", &Clock::system()).await.bus();
    let other = link(&servers, "talk", &Clock::system()).await.bus();
    is_heard_and_kept_by_nobody(&one, &other).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_groups_backlog_is_what_waits_on_the_server_and_what_is_here() {
    let servers = shared();
    let engine = link(&servers, "backlog", &Clock::system()).await;
    let bus = engine.bus();
    let mut member = join(&bus, "g/#").await;
    soon(bus.append((0..5_000).map(|at| event("g/x", &at.to_string())).collect())).await.unwrap();
    let out = next(&mut member, 10).await;
    done(&mut member, &out).await;
    let lag = async {
        loop {
            let stat = bus.groups(None, 1).remove(0);
            let lag = soon(bus.lag(&stat)).await.unwrap();
            // The server's count is of a moment ago.
            if lag.events == 5_000 - out.len() as u64 {
                return lag;
            }
        }
    };
    assert!(soon(lag).await.since.is_some());
}
