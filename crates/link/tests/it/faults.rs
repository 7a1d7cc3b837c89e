//! What may happen to a broker and to the way there: nothing that was acknowledged is lost, nothing waits for ever.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headwater_event::{Bus, BusError, Durability, Health};
use headwater_link::{LinkError, Options, open};

use super::given::{done, event, join, link, next, payload, soon, sticky};
use super::headwater::Broker;
use super::mosquitto::{Mosquitto, free_port};

#[tokio::test]
async fn a_broker_that_is_not_there_is_named_in_one_sentence_without_the_password() {
    let url = format!("mqtt://me:s3cret@127.0.0.1:{}", free_port());
    let error = open(&url, Options::new("test")).await.err().expect("nobody is there");
    assert!(matches!(error, LinkError::Unreachable(_)), "{error:?}");
    let sentence = error.to_string();
    assert!(
        sentence.starts_with("the engine mqtt://127.0.0.1:") && sentence.contains("can't be reached"),
        "{sentence}"
    );
    assert!(!sentence.contains("s3cret") && !sentence.contains('\n'), "{sentence}");
}

#[tokio::test]
async fn a_wrong_password_is_told_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let passwords = folder.path().join("passwords");
    std::fs::write(&passwords, "").unwrap();
    let added =
        std::process::Command::new("mosquitto_passwd").args(["-b"]).arg(&passwords).args(["me", "right"]).output();
    assert!(added.unwrap().status.success());
    let broker = Mosquitto::with(&format!("allow_anonymous false\npassword_file {}\n", passwords.display()));
    let addr = broker.addr();
    let error = open(&format!("mqtt://me:wr0ng@{addr}"), Options::new("test")).await.err().expect("refused");
    assert!(matches!(error, LinkError::Refused(_)), "{error:?}");
    let sentence = error.to_string();
    assert!(sentence.contains("refuses us") && !sentence.contains("wr0ng"), "{sentence}");
    assert!(open(&format!("mqtt://me:right@{addr}"), Options::new("test")).await.is_ok());
}

#[tokio::test]
async fn wrong_addresses_are_refused_before_anything_is_tried() {
    for url in ["", "mqtt:/x", "kafka://x", "mqtt://", "mqtt://h?idd=1"] {
        let error = open(url, Options::new("test")).await.err().expect("no address");
        assert!(matches!(error, LinkError::Url(_)), "{url}: {error:?}");
    }
    assert!(matches!(open("mqtt://h", Options::new("a/b")).await, Err(LinkError::Url(_))));
}

#[tokio::test]
async fn what_an_acknowledgement_means_is_asked_for_where_the_broker_says_it() {
    let (ours, theirs) = (Broker::start(), Mosquitto::start());
    let synced = Options { require: Some(Durability::Synced), ..Options::new("test") };
    let engine = open(&ours.url(), synced.clone()).await.expect("ours syncs");
    assert_eq!(engine.bus().abilities().durability, Durability::Synced);
    let error = open(&theirs.url(), synced).await.err().expect("theirs doesn't say so");
    assert!(matches!(error, LinkError::NotDurable(_)), "{error}");
    assert_eq!(link(&theirs.url(), "test").await.bus().abilities().durability, Durability::Written);
}

/// A broker that goes and comes while events are appended and worked on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_mid_flight_loses_nothing_and_brings_nothing_twice_to_a_living_worker() {
    const COUNT: usize = 3_000;
    let mut broker = Mosquitto::start();
    let (front, work) = (link(&broker.url(), "front").await, link(&broker.url(), "work").await);
    let (front_bus, work_bus) = (front.bus(), work.bus());
    let mut member = join(&work_bus, "g/#").await;
    let appended = Arc::new(AtomicUsize::new(0));
    let appending = tokio::spawn({
        let (bus, appended) = (Arc::clone(&front_bus), Arc::clone(&appended));
        async move {
            for at in 0..COUNT / 10 {
                let batch = (0..10).map(|n| event("g/x", &(at * 10 + n).to_string())).collect();
                soon(bus.append(batch)).await.expect("durable in the end");
                appended.fetch_add(10, Ordering::SeqCst);
            }
        }
    });
    let working = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.iter().collect::<BTreeSet<_>>().len() < COUNT {
            let deliveries = next(&mut member, 64).await;
            seen.extend(deliveries.iter().map(payload));
            done(&mut member, &deliveries).await;
        }
        (seen, member)
    });
    for restart in 1..=3 {
        while appended.load(Ordering::SeqCst) < COUNT * restart / 4 {
            tokio::task::yield_now().await;
        }
        tokio::task::block_in_place(|| {
            broker.stop();
            broker.start_again();
        });
    }
    soon(appending).await.unwrap();
    let (mut seen, _member) = soon(working).await.unwrap();
    // Each event once, though some were published twice: ids tell copies apart.
    seen.sort_by_key(|payload| payload.parse::<usize>().unwrap());
    assert_eq!(seen, (0..COUNT).map(|at| at.to_string()).collect::<Vec<_>>());
    assert_eq!(front_bus.health(), Health::Good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_is_named_in_the_health_and_found_again() {
    let mut broker = Mosquitto::start();
    let engine = link(&broker.url(), "test").await;
    let bus = engine.bus();
    let mut member = join(&bus, "g/#").await;
    soon(bus.append(vec![event("g/x", "before")])).await.unwrap();
    assert_eq!(payload(&next(&mut member, 1).await[0]), "before");
    tokio::task::block_in_place(|| broker.kill());
    let failing = async {
        loop {
            if let Health::Failing(why) = bus.health() {
                return why;
            }
            tokio::task::yield_now().await;
        }
    };
    let why = soon(failing).await;
    assert!(why.starts_with(&format!("the engine {} ", broker.url())), "{why}");
    let waiting = bus.append(vec![event("g/x", "while it is away")]);
    tokio::task::block_in_place(|| broker.start_again());
    soon(waiting).await.expect("sent when it's back");
    let got = loop {
        let deliveries = next(&mut member, 9).await;
        if let Some(found) = deliveries.iter().find(|delivery| payload(delivery) == "while it is away") {
            break payload(found);
        }
    };
    assert_eq!(got, "while it is away");
    let good = async {
        while bus.health() != Health::Good {
            tokio::task::yield_now().await;
        }
    };
    soon(good).await;
}

/// Two processes are two instances.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_in_two_processes_share_the_events() {
    for broker in [Box::new(Mosquitto::start()) as Box<dyn Url>, Box::new(Broker::start())] {
        let url = broker.url();
        let engines = [link(&url, "one").await, link(&url, "two").await];
        let mut tasks = tokio::task::JoinSet::new();
        let total = Arc::new(AtomicUsize::new(0));
        for engine in &engines {
            let mut member = join(&engine.bus(), "g/#").await;
            let total = Arc::clone(&total);
            tasks.spawn(async move {
                let mut seen = Vec::new();
                while total.load(Ordering::SeqCst) < 400 {
                    let more = tokio::time::timeout(Duration::from_millis(200), member.next(8)).await;
                    let Ok(deliveries) = more else { continue };
                    let deliveries = deliveries.expect("deliveries");
                    seen.extend(deliveries.iter().map(payload));
                    total.fetch_add(done(&mut member, &deliveries).await, Ordering::SeqCst);
                }
                seen
            });
        }
        for at in 0..40 {
            soon(engines[0].bus().append((0..10).map(|n| event("g/x", &(at * 10 + n).to_string())).collect()))
                .await
                .unwrap();
        }
        let shares = soon(tasks.join_all()).await;
        assert!(shares.iter().all(|seen| !seen.is_empty()), "both worked");
        let all: BTreeSet<_> = shares.iter().flatten().collect();
        assert_eq!((all.len(), shares.iter().map(Vec::len).sum::<usize>()), (400, 400), "each event to one of them");
    }
}

trait Url {
    fn url(&self) -> String;
}

impl Url for Mosquitto {
    fn url(&self) -> String {
        Self::url(self)
    }
}

impl Url for Broker {
    fn url(&self) -> String {
        Self::url(self)
    }
}

#[tokio::test]
async fn two_processes_of_one_name_are_told_so() {
    for broker in [Box::new(Mosquitto::start()) as Box<dyn Url>, Box::new(Broker::start())] {
        let (one, two) = (link(&broker.url(), "same").await, link(&broker.url(), "same").await);
        let _first = join(&one.bus(), "g/#").await;
        let _second = join(&two.bus(), "g/#").await;
        let told = async {
            while !matches!(one.bus().health(), Health::Failing(why) if why.contains("?id=NAME")) {
                tokio::task::yield_now().await;
            }
        };
        soon(told).await;
    }
}

/// A worker that dies leaves what it had, and the next process of its name gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_had_comes_to_its_successor() {
    let mut broker = Mosquitto::start();
    let url = broker.url();
    let front = link(&url, "front").await;
    let work = link(&url, "work").await;
    let mut member = join(&work.bus(), "g/#").await;
    soon(front.bus().append((0..10).map(|n| event("g/x", &n.to_string())).collect())).await.unwrap();
    let mut had = Vec::new();
    while had.len() < 10 {
        had.extend(next(&mut member, 10).await);
    }
    assert_eq!(done(&mut member, &had[..5]).await, 5);
    // The broker away while the worker ends: it can't say goodbye, as a killed one doesn't.
    tokio::task::block_in_place(|| broker.stop());
    drop((member, work));
    tokio::task::block_in_place(|| broker.start_again());
    let work = link(&url, "work").await;
    let mut member = join(&work.bus(), "g/#").await;
    let mut again = Vec::new();
    while again.len() < 5 {
        again.extend(next(&mut member, 10).await);
    }
    let again: Vec<_> = again.iter().map(|delivery| (payload(delivery), delivery.attempt)).collect();
    assert_eq!(again, (5..10).map(|n| (n.to_string(), 2)).collect::<Vec<_>>(), "the broken try counts");
}

/// What others publish comes to those who follow, in the order of the broker, and a break is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_see_what_other_processes_publish_and_are_told_of_a_gap() {
    let mut broker = Mosquitto::with("allow_anonymous true\npersistent_client_expiration 1h\n");
    let (one, two) = (link(&broker.url(), "one").await, link(&broker.url(), "two").await);
    let (here, there) = (one.bus(), two.bus());
    soon(there.append(vec![sticky("s/a", "state")])).await.unwrap();
    let page = soon(here.latest(&"s/#".parse().unwrap(), None, 9)).await.unwrap();
    assert_eq!(page.events.len(), 1, "what was there before is known");
    let mut tail = here.tail(page.as_of).unwrap();
    let published = [event("t/1", "first"), sticky("s/a", "changed"), event("$own/x", "hidden")];
    soon(there.append(published.to_vec())).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let batch = soon(tail.next(&|_| true)).await.unwrap();
        seen.extend(batch.events.into_iter().map(|recorded| recorded.event));
    }
    assert_eq!(seen, published.map(|publication| publication.event), "with ids, headers and times");
    // A broker that has forgotten everything.
    tokio::task::block_in_place(|| {
        broker.kill();
        let _ = std::fs::remove_file(broker.folder().join("mosquitto.db"));
        broker.start_again();
    });
    let told = loop {
        match soon(tail.next(&|_| true)).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(told, BusError::Gone { oldest } if here.tail(oldest).is_ok()), "{told:?}");
    let forgotten = async {
        while !here.latest(&"#".parse().unwrap(), None, 9).await.unwrap().events.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon(forgotten).await;
}

/// What a foreign client publishes has no id, and with QoS 0 not even a packet id to acknowledge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_foreign_clients_publish_is_worked_on_like_all_else() {
    let broker = Mosquitto::start();
    let engine = link(&broker.url(), "work").await;
    let mut member = join(&engine.bus(), "g/#").await;
    for (qos, text) in [("0", "first"), ("1", "second"), ("2", "third")] {
        let port = broker.addr().port().to_string();
        let told = std::process::Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port, "-t", "g/x", "-q", qos, "-m", text])
            .status();
        assert!(told.unwrap().success());
        let deliveries = next(&mut member, 9).await;
        assert_eq!(deliveries.iter().map(payload).collect::<Vec<_>>(), [text]);
        assert_eq!(done(&mut member, &deliveries).await, 1);
    }
    assert_eq!(engine.bus().health(), Health::Good, "no acknowledgement without a packet id");
}

/// Events of other protocols have no MQTT properties of their own: a Headwater tells what they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_headwater_events_of_other_protocols_keep_their_ids() {
    let broker = Broker::start();
    let engine = link(&broker.url(), "work").await;
    let bus: Arc<dyn Bus> = engine.bus();
    let mut member = join(&bus, "g/#").await;
    let publication = event("g/x", "by http");
    broker.publish(publication.clone()).await;
    let delivery = next(&mut member, 1).await.remove(0);
    assert_eq!(delivery.recorded.event.id, publication.event.id);
    assert_eq!(delivery.recorded.event.headers, publication.event.headers);
    assert_ne!(delivery.recorded.event.at, publication.event.at, "the hub says when it took it");
    assert_eq!(done(&mut member, &[delivery]).await, 1);
}
