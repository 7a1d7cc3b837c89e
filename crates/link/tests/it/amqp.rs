//! RabbitMQ with Redis keeps the contract of the bus.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use headwater_event::contract::{self, Harness};
use headwater_event::{Bus, Clock, Durability, Health, Later, Time};
use headwater_link::{Engine, LinkError, Options, open};
use tokio::sync::OwnedMutexGuard;

use super::given::{done, event, join, next, payload, soon};
use super::rabbit::{Rabbit, Redis};

/// What RabbitMQ can't do, or the harness can't bring about with it.
const DECLARED: &[&str] = &[
    // It keeps no log.
    "events_come_out_as_they_went_in",
    "positions_count_up_by_one_in_the_order_of_the_batch",
    "nothing_comes_between_the_events_of_a_batch",
    "appends_take_effect_in_the_order_of_the_calls_whatever_is_polled_first",
    "dropping_the_future_does_not_take_the_append_back",
    "what_was_acknowledged_survives_a_crash",
    "a_duplicate_of_an_append_under_way_is_durable_when_it_is_acknowledged",
    // It knows the id for ten minutes, but not the place where the event stood.
    "an_id_is_known_after_a_crash",
    // Nor the numbers of producers.
    "a_producer_that_is_not_known_has_no_number",
    "numbers_go_up_by_one_and_a_hole_fails_the_batch_whole",
    "a_known_number_adds_nothing",
    "each_producer_counts_for_itself",
    "numbers_are_checked_in_the_order_of_the_calls",
    "the_last_number_waits_for_what_was_appended_before",
    "numbers_survive_a_crash",
    "a_number_that_is_used_up_is_known_and_the_next_one_follows",
    "using_up_follows_the_same_order",
    "a_used_up_number_survives_a_crash",
    "a_tail_begins_after_any_position",
    "every_wanted_event_comes_once_and_in_order",
    "tails_do_not_disturb_each_other",
    "one_call_reads_a_bounded_number_of_bytes",
    "a_tail_before_what_retention_kept_is_told_so",
    "positions_stay_good_over_a_crash",
    "whoever_goes_on_after_as_of_misses_nothing_and_sees_nothing_twice",
    "a_group_begins_where_it_was_told_to",
    "a_start_that_the_log_does_not_have_is_refused",
    "groups_are_listed_after_a_crash",
    // The worker keeps the wait before a retry, in memory.
    "a_retry_comes_after_its_wait_and_not_before",
    "without_a_wait_the_groups_back_off_counts",
    "the_back_off_doubles_up_to_its_cap",
    "a_retry_survives_a_crash_with_its_attempt",
    "a_wait_goes_on_over_a_crash",
    // A test can't break the server's disk.
    "failed_storage_acknowledges_nothing_and_reads_go_on",
    "what_was_acknowledged_before_the_storage_failed_is_there_after_a_crash",
    "a_group_that_retention_overtook_is_told_once_and_goes_on",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_rabbitmq_the_contract_of_the_bus_is_kept() {
    let servers = Arc::new(tokio::sync::Mutex::new(Servers::start()));
    let make = move || -> Later<'static, _> {
        let servers = Arc::clone(&servers);
        Box::pin(async move { Box::new(Linked::new(servers.lock_owned().await).await) as Box<dyn Harness> })
    };
    let declared = contract::run_all(&make).await;
    let declared: Vec<_> = declared.iter().map(|(name, _)| *name).collect();
    assert_eq!(declared, DECLARED, "what is declared is neither more nor less than what is written down");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_rabbitmq_an_event_goes_to_its_group_once_and_is_settled() {
    let servers = shared();
    let engine = link(&servers, "thin", &Clock::system()).await;
    let bus = engine.bus();
    assert_eq!(bus.abilities().durability, Durability::Synced);
    let mut member = join(&bus, "g/#").await;
    soon(bus.append((0..50).map(|at| event("g/x", &at.to_string())).collect())).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 50 {
        let deliveries = next(&mut member, 16).await;
        seen.extend(deliveries.iter().map(|delivery| payload(delivery).parse::<u32>().unwrap()));
        done(&mut member, &deliveries).await;
    }
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
    assert_eq!(bus.health(), Health::Good);
    engine.close().await;
}

/// Both servers.
pub struct Servers {
    pub rabbit: Rabbit,
    pub redis: Redis,
}

impl Servers {
    pub fn start() -> Self {
        Self { redis: Redis::start(), rabbit: Rabbit::start() }
    }

    pub fn options(&self) -> Options {
        Options { state: Some(self.redis.url()), ..Options::new("test") }
    }

    pub fn url(&self, name: &str) -> String {
        format!("amqp://127.0.0.1:{}?name={name}", self.rabbit.port())
    }
}

/// Servers that nobody kills, for the tests that run beside each other: RabbitMQ takes its time to start.
pub fn shared() -> Arc<Servers> {
    static SHARED: Mutex<Weak<Servers>> = Mutex::new(Weak::new());
    tokio::task::block_in_place(|| {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let servers = Arc::new(Servers::start());
            *shared = Arc::downgrade(&servers);
            servers
        })
    })
}

pub async fn link(servers: &Servers, name: &str, clock: &Clock) -> Engine {
    let opened = async {
        loop {
            match open(&servers.url(name), Options { clock: clock.clone(), ..servers.options() }).await {
                Ok(engine) => return engine,
                // It listens before it takes anybody in.
                Err(LinkError::Unreachable(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    soon(opened).await
}

struct Linked {
    servers: OwnedMutexGuard<Servers>,
    name: String,
    engine: Option<Engine>,
    clock: Clock,
}

impl Linked {
    /// An installation of its own on the servers that all cases share.
    async fn new(servers: OwnedMutexGuard<Servers>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("case{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let clock = Clock::manual(Time(1_800_000_000_000_000));
        let engine = Some(link(&servers, &name, &clock).await);
        Self { servers, name, engine, clock }
    }
}

impl Harness for Linked {
    fn bus(&self) -> Arc<dyn Bus> {
        self.engine.as_ref().unwrap().bus()
    }

    fn crash(&mut self) -> Later<'_, ()> {
        Box::pin(async {
            // The servers first: this process then has no chance to give anything back.
            tokio::task::block_in_place(|| {
                self.servers.rabbit.kill();
                self.servers.redis.kill();
            });
            drop(self.engine.take());
            tokio::task::block_in_place(|| {
                self.servers.redis.start_again();
                self.servers.rabbit.start_again();
            });
            self.engine = Some(link(&self.servers, &self.name, &self.clock).await);
        })
    }

    fn pass(&mut self, time: Duration) -> Later<'_, ()> {
        self.clock.advance(time);
        Box::pin(std::future::ready(()))
    }

    fn span(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn too_large(&self) -> Option<usize> {
        Some(17 << 20)
    }

    fn close(&mut self) -> Later<'_, bool> {
        Box::pin(async {
            self.engine.as_ref().unwrap().close().await;
            true
        })
    }
}
