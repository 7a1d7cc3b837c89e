//! The contract of the bus over brokers: Headwater's own, and Debian's mosquitto.

use std::sync::Arc;
use std::time::Duration;

use headwater_event::contract::{self, Harness};
use headwater_event::{Bus, Clock, Later, Time};
use headwater_link::{Engine, Options, open};

use super::headwater::Broker;
use super::mosquitto::Mosquitto;

/// What an MQTT broker can't do, or the harness can't bring about with one.
const DECLARED: &[&str] = &[
    // It keeps no log.
    "events_come_out_as_they_went_in",
    "positions_count_up_by_one_in_the_order_of_the_batch",
    "nothing_comes_between_the_events_of_a_batch",
    "appends_take_effect_in_the_order_of_the_calls_whatever_is_polled_first",
    "dropping_the_future_does_not_take_the_append_back",
    "what_was_acknowledged_survives_a_crash",
    "a_duplicate_of_an_append_under_way_is_durable_when_it_is_acknowledged",
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
    // A test can't break the broker's disk.
    "failed_storage_acknowledges_nothing_and_reads_go_on",
    "what_was_acknowledged_before_the_storage_failed_is_there_after_a_crash",
    "a_group_that_retention_overtook_is_told_once_and_goes_on",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_mosquitto_the_contract_of_the_bus_is_kept() {
    let make = || -> Later<'static, _> {
        Box::pin(async { Box::new(Linked::over(Mosquitto::start()).await) as Box<dyn Harness> })
    };
    check(&contract::run_all(&make).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_headwaters_own_broker_the_contract_of_the_bus_is_kept() {
    let make = || -> Later<'static, _> {
        Box::pin(async { Box::new(Linked::over(Broker::start()).await) as Box<dyn Harness> })
    };
    check(&contract::run_all(&make).await);
}

fn check(declared: &[(&'static str, &'static str)]) {
    let declared: Vec<_> = declared.iter().map(|(name, _)| *name).collect();
    assert_eq!(declared, DECLARED, "what is declared is neither more nor less than what is written down");
}

/// A broker that can die.
trait Mortal: Send + Sync + 'static {
    fn url(&self) -> String;
    fn die(&mut self);
    fn rise(&mut self);
}

impl Mortal for Mosquitto {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn die(&mut self) {
        // In good order: what it acknowledged it has in memory alone, as is declared.
        self.stop();
    }

    fn rise(&mut self) {
        self.start_again();
    }
}

impl Mortal for Broker {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn die(&mut self) {
        self.kill();
    }

    fn rise(&mut self) {
        self.start_again();
    }
}

struct Linked<B> {
    broker: B,
    engine: Option<Engine>,
    clock: Clock,
}

impl<B: Mortal> Linked<B> {
    async fn over(broker: B) -> Self {
        let clock = Clock::manual(Time(1_800_000_000_000_000));
        let engine = Some(link(&broker.url(), &clock).await);
        Self { broker, engine, clock }
    }
}

async fn link(url: &str, clock: &Clock) -> Engine {
    let options = Options { clock: clock.clone(), ..Options::new("test") };
    open(url, options).await.expect("a broker")
}

impl<B: Mortal> Harness for Linked<B> {
    fn bus(&self) -> Arc<dyn Bus> {
        self.engine.as_ref().unwrap().bus()
    }

    fn crash(&mut self) -> Later<'_, ()> {
        Box::pin(async {
            // The broker first: this process then has no chance to say goodbye.
            tokio::task::block_in_place(|| self.broker.die());
            drop(self.engine.take());
            tokio::task::block_in_place(|| self.broker.rise());
            self.engine = Some(link(&self.broker.url(), &self.clock).await);
        })
    }

    fn pass(&mut self, time: Duration) -> Later<'_, ()> {
        self.clock.advance(time);
        Box::pin(std::future::ready(()))
    }

    fn span(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn too_large(&self) -> Option<usize> {
        Some(3_000_000)
    }

    fn close(&mut self) -> Later<'_, bool> {
        Box::pin(async {
            self.engine.as_ref().unwrap().close().await;
            true
        })
    }
}
