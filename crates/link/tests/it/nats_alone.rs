//! NATS JetStream: the consumers of a group that one process reads at a time, and what becomes of them.

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt as _;
use headwater_event::{BusError, Settlement};

use super::alone::{Server, Silence, append, group, is_over, is_taken_over, join_alone, numbers, take};
use super::given::{done, join, next, soon};
use super::nats::Nats;
use super::wire::Wire;

const MARK: &str = "HEADWATER_LETTERS service%2Fw~";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_a_place_is_taken_over_in_order_from_a_frozen_process_and_a_killed_one() {
    let server = Nats::start("always");
    for (silence, last) in [(Silence::Frozen, 400), (Silence::Killed, 320)] {
        let third = is_taken_over(&Server { url: server.url(), state: None }, silence).await;
        assert_eq!(third, (31..=last).collect::<Vec<_>>(), "what the one that woke has said was heard by nobody");
        assert_eq!(consumers(&server).await, [""; 0], "an ended group leaves nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_a_shared_group_goes_on_where_it_stood_when_one_is_alone_in_it_and_again_when_it_is_shared() {
    let server = Nats::start("always");
    let place = Server { url: server.url(), state: None };
    let (one, other) = (place.link("one").await, place.link("other").await);
    let (bus, successor) = (one.bus(), other.bus());
    let mut shared = join(&bus, "g/#").await;
    append(&bus, 1..=100).await;
    let took = take(&mut shared, 100).await;
    done(&mut shared, &took[..40]).await;
    let mut alone = join_alone(&successor).await;
    assert_eq!(consumers(&server).await, names(1));
    append(&bus, 101..=120).await;
    let took = take(&mut alone, 120).await;
    assert_eq!(numbers(&took), (41..=120).collect::<Vec<_>>());
    // What the group has by its name it still has, and it comes again to whoever is alone.
    let dead = Settlement::Dead { why: "no".into() };
    assert_eq!(soon(alone.settle(vec![(took[0].tag(), dead)])).await, Ok(1));
    done(&mut alone, &took[1..]).await;
    let letters = soon(bus.dead_letters(&group(), 0, 10)).await.unwrap();
    assert_eq!(letters.len(), 1);
    let seq = letters[0].recorded.position.seq;
    assert_eq!(soon(bus.revive(&group(), vec![seq], true)).await, Ok(1));
    let took = take(&mut alone, 41).await;
    assert_eq!((took.len(), done(&mut alone, &took).await), (1, 1));
    drop(alone);
    append(&bus, 121..=130).await;
    let third = place.link("third").await;
    let mut shared = join(&third.bus(), "g/#").await;
    assert_eq!(numbers(&take(&mut shared, 130).await), (121..=130).collect::<Vec<_>>());
    assert_eq!(consumers(&server).await, names(1), "of the same place");
}

/// The deliveries that were on their way when the connection went would come again last, and late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_one_that_is_alone_joins_anew_after_a_broken_connection_and_gets_all_in_order() {
    let server = Nats::start("always");
    let wire = Wire::to(server.port).await;
    let place =
        Server { url: server.url().replace(&server.port.to_string(), &wire.addr.port().to_string()), state: None };
    let engine = place.link("one").await;
    let bus = engine.bus();
    let mut member = join_alone(&bus).await;
    append(&bus, 1..=300).await;
    let took = take(&mut member, 300).await;
    done(&mut member, &took[..80]).await;
    // Some of these are on their way when it breaks.
    let appending = tokio::spawn({
        let bus = std::sync::Arc::clone(&bus);
        async move { append(&bus, 301..=600).await }
    });
    wire.cut();
    appending.await.unwrap();
    is_over(&mut member).await;
    let mut member = join_alone(&bus).await;
    let mut took = Vec::new();
    while took.len() < 520 {
        took.extend(next(&mut member, 64).await);
    }
    // In the order of the log. (The events of a batch that is broken in two may stand in another than they were given in.)
    let seqs: Vec<_> = took.iter().map(|delivery| delivery.recorded.position.seq).collect();
    assert_eq!(seqs, (81..=600).collect::<Vec<_>>());
    assert_eq!(numbers(&took[..220]), (81..=300).collect::<Vec<_>>());
    assert_eq!(consumers(&server).await, names(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_who_joins_alone_takes_the_place_in_the_same_process_too() {
    let server = Nats::start("always");
    let engine = Server { url: server.url(), state: None }.link("one").await;
    let bus = engine.bus();
    let mut first = join_alone(&bus).await;
    append(&bus, 1..=100).await;
    let took = take(&mut first, 100).await;
    done(&mut first, &took[..10]).await;
    let mut second = join_alone(&bus).await;
    is_over(&mut first).await;
    let late = vec![(took[20].tag(), Settlement::Done)];
    assert_eq!(soon(first.settle(late)).await, Err(BusError::Closed));
    drop(first);
    assert_eq!(numbers(&take(&mut second, 100).await), (11..=100).collect::<Vec<_>>());
    assert_eq!((bus.groups(None, 10).len(), bus.groups(None, 10)[0].members), (1, 1));
    assert_eq!(consumers(&server).await, names(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_nats_a_takeover_that_died_halfway_loses_nothing_and_the_next_one_tidies_up() {
    let server = Nats::start("always");
    let engine = Server { url: server.url(), state: None }.link("one").await;
    let bus = engine.bus();
    let mut first = join_alone(&bus).await;
    append(&bus, 1..=50).await;
    let took = take(&mut first, 50).await;
    done(&mut first, &took[..10]).await;
    drop(first);
    // Made, and nothing done after it: the older one is still there, and its letters too.
    let (log, _) = streams(&server).await;
    let half = Config {
        durable_name: Some("service%2Fw~2".into()),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: 11 },
        ack_policy: AckPolicy::Explicit,
        filter_subjects: vec!["hw.*.g.>".into(), "hw.*.g".into()],
        metadata: [("headwater-filters".to_owned(), "g/#".to_owned())].into(),
        ..Config::default()
    };
    log.create_consumer_strict(half).await.unwrap();
    let mut second = join_alone(&bus).await;
    assert_eq!(numbers(&take(&mut second, 50).await), (11..=50).collect::<Vec<_>>());
    assert_eq!(consumers(&server).await, names(3));
    // One of a lower number is of somebody who was frozen for long: it's not the one that counts.
    let stale = Config {
        durable_name: Some("service%2Fw~1".into()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::Explicit,
        ..Config::default()
    };
    log.create_consumer_strict(stale).await.unwrap();
    let mut third = join_alone(&bus).await;
    assert_eq!(numbers(&take(&mut third, 50).await), (11..=50).collect::<Vec<_>>());
    assert_eq!(consumers(&server).await, names(4));
}

/// What a group has that was taken over so often.
fn names(number: u32) -> Vec<String> {
    let mut names: Vec<String> = vec![MARK.into()];
    names.extend(["HEADWATER", "HEADWATER_LETTERS"].map(|stream| format!("{stream} service%2Fw~{number}")));
    names.sort_unstable();
    names
}

async fn streams(server: &Nats) -> (Stream, Stream) {
    let client = async_nats::connect(format!("127.0.0.1:{}", server.port)).await.unwrap();
    let context = async_nats::jetstream::new(client);
    (context.get_stream("HEADWATER").await.unwrap(), context.get_stream("HEADWATER_LETTERS").await.unwrap())
}

/// What the server has of groups.
async fn consumers(server: &Nats) -> Vec<String> {
    let (log, letters) = streams(server).await;
    let mut names = Vec::new();
    for stream in [log, letters] {
        let mut of_stream = stream.consumer_names();
        while let Some(name) = soon(of_stream.next()).await {
            names.push(format!("{} {}", stream.cached_info().config.name, name.unwrap()));
        }
    }
    names.sort_unstable();
    names
}
