//! What the tests say often: events, members, waits.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use headwater_event::contract::{self, Harness};
use headwater_event::{
    Bus, Delivery, Event, EventId, GroupName, GroupOptions, Headers, Later, Member, Publication, Settlement, Time,
};
use headwater_link::{Engine, Options, open};

/// How long something may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(40);

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("waits for ever")
}

pub async fn link(url: &str, instance: &str) -> Engine {
    open(url, Options::new(instance)).await.expect("a broker")
}

pub fn event(topic: &str, payload: &str) -> Publication {
    let event = Event {
        id: EventId::Uuid(uuid::Uuid::now_v7()),
        topic: topic.parse().unwrap(),
        headers: Headers::from_pairs([("content-type", "text/plain"), ("x", payload)]).unwrap(),
        payload: payload.to_owned().into(),
        at: Time(1_700_000_000_000_000),
    };
    Publication { event, sticky: false }
}

pub fn sticky(topic: &str, payload: &str) -> Publication {
    Publication { sticky: true, ..event(topic, payload) }
}

pub async fn join(bus: &Arc<dyn Bus>, filter: &str) -> Box<dyn Member> {
    let options = GroupOptions::new(vec![filter.parse().unwrap()]);
    soon(bus.join(&GroupName::new("service/w").unwrap(), options)).await.expect("joined")
}

pub fn payload(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.recorded.event.payload).into_owned()
}

pub async fn next(member: &mut Box<dyn Member>, max: usize) -> Vec<Delivery> {
    soon(member.next(max)).await.expect("deliveries")
}

pub async fn done(member: &mut Box<dyn Member>, deliveries: &[Delivery]) -> usize {
    let settlements = deliveries.iter().map(|delivery| (delivery.tag(), Settlement::Done)).collect();
    soon(member.settle(settlements)).await.expect("settled")
}

/// What an engine without a log of its own can't do, or its harness can't bring about with it.
pub const WITHOUT_A_LOG: &[&str] = &[
    // It keeps no log.
    "events_come_out_as_they_went_in",
    "positions_count_up_by_one_in_the_order_of_the_batch",
    "nothing_comes_between_the_events_of_a_batch",
    "appends_take_effect_in_the_order_of_the_calls_whatever_is_polled_first",
    "dropping_the_future_does_not_take_the_append_back",
    "what_was_acknowledged_survives_a_crash",
    "a_duplicate_of_an_append_under_way_is_durable_when_it_is_acknowledged",
    // Or it knows the id, and not the place where the event stood.
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

/// Runs the contract: what is declared is neither more nor less than what is written down.
pub async fn keeps_all_but(make: &(dyn Fn() -> Later<'static, Box<dyn Harness>> + Sync), written: &[&str]) {
    let declared = contract::run_all(make).await;
    let declared: Vec<_> = declared.iter().map(|(name, _)| *name).collect();
    assert_eq!(declared, written);
}
