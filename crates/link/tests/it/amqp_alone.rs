//! RabbitMQ: a group that one process reads at a time.

use headwater_event::{BusError, Clock, Settlement};

use super::alone::{Server, Silence, append, is_over, is_taken_over, join_alone, numbers, take};
use super::amqp::{link, shared};
use super::given::{done, join, next, soon};
use super::wire::Wire;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_rabbitmq_a_place_is_taken_over_in_order_from_a_frozen_process_and_a_killed_one() {
    let servers = shared();
    let server = Server { url: servers.url("alone"), state: Some(servers.redis.url()) };
    for (silence, last) in [(Silence::Frozen, 400), (Silence::Killed, 320)] {
        let third = is_taken_over(&server, silence).await;
        assert_eq!(third, (31..=last).collect::<Vec<_>>(), "what the one that woke has said was heard by nobody");
    }
    let queues = tokio::task::block_in_place(|| servers.rabbit.ask(&["list_queues", "name"]));
    assert!(!queues.contains("alone.group.") && !queues.contains("alone.alone."), "{queues}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_rabbitmq_a_shared_group_goes_on_where_it_stood_when_one_is_alone_in_it_and_again_when_it_is_shared() {
    let servers = shared();
    let one = link(&servers, "turns", &Clock::system()).await;
    let mut member = join(&one.bus(), "g/#").await;
    append(&one.bus(), 1..=100).await;
    let took = take(&mut member, 100).await;
    done(&mut member, &took[..40]).await;
    let other = link(&servers, "turns", &Clock::system()).await;
    // Who shares it leaves in good order, or is gone: nothing is taken from it.
    let (leaving, successor) = (async { one.close().await }, other.bus());
    let (mut alone, ()) = tokio::join!(join_alone(&successor), leaving);
    append(&successor, 101..=120).await;
    let mut took = Vec::new();
    while took.len() < 80 {
        took.extend(next(&mut alone, 64).await);
    }
    // What one that shares a group gives back on leaving comes in no order, as nothing of a shared group does.
    let mut found = numbers(&took);
    found.sort_unstable();
    assert_eq!(found, (41..=120).collect::<Vec<_>>());
    done(&mut alone, &took).await;
    drop(alone);
    append(&successor, 121..=130).await;
    let third = link(&servers, "turns", &Clock::system()).await;
    let mut shared = join(&third.bus(), "g/#").await;
    assert_eq!(numbers(&take(&mut shared, 130).await), (121..=130).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_rabbitmq_one_that_is_alone_joins_anew_after_a_broken_connection_and_in_the_same_process() {
    let servers = shared();
    let wire = Wire::to(servers.rabbit.port()).await;
    let server = Server { url: format!("amqp://{}?name=cut", wire.addr), state: Some(servers.redis.url()) };
    let engine = server.link("one").await;
    let bus = engine.bus();
    let mut first = join_alone(&bus).await;
    append(&bus, 1..=200).await;
    let took = take(&mut first, 200).await;
    done(&mut first, &took[..50]).await;
    let mut second = join_alone(&bus).await;
    is_over(&mut first).await;
    let late = vec![(took[60].tag(), Settlement::Done)];
    assert_eq!(soon(first.settle(late)).await, Err(BusError::Closed));
    drop(first);
    let took = take(&mut second, 200).await;
    assert_eq!(numbers(&took), (51..=200).collect::<Vec<_>>());
    done(&mut second, &took[..50]).await;
    wire.cut();
    is_over(&mut second).await;
    let mut third = join_alone(&bus).await;
    append(&bus, 201..=220).await;
    assert_eq!(numbers(&take(&mut third, 220).await), (101..=220).collect::<Vec<_>>());
    assert_eq!((bus.groups(None, 10).len(), bus.groups(None, 10)[0].members), (1, 1));
}
