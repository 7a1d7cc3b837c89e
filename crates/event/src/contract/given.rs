//! What the cases say often: events, readings, tags, waits.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::Harness;
use crate::bus::{Bus, Later, Member, Receipts, Tail};
use crate::clock::Time;
use crate::delivery::{Delivery, GroupName, GroupOptions, Settlement, Start, Tag};
use crate::event::{Event, Publication, Recorded};
use crate::headers::Headers;
use crate::id::{EventId, ProducerId};
use crate::position::{Position, Seq};
use crate::topic::Filter;

/// How long something must have happened that happens without anybody's doing.
const SOON: Duration = Duration::from_secs(20);

/// How long one looks whether something happens that must not, where no later event can prove it. Too short it misses
/// a broken duty now and then, it never breaks a kept one.
const QUIET: Duration = Duration::from_millis(30);

pub(super) fn event(topic: &str, payload: &str) -> Publication {
    // Chosen by a producer, who may send the same event again.
    with_id(EventId::Uuid(ProducerId::now_v7()), topic, payload)
}

pub(super) fn with_id(id: EventId, topic: &str, payload: &str) -> Publication {
    let event = Event {
        id,
        topic: topic.parse().expect("a topic"),
        headers: Headers::from_pairs([("content-type", "text/plain"), ("x", payload)]).expect("headers"),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        at: Time(1_700_000_000_000_000),
    };
    Publication { event, sticky: false }
}

pub(super) fn sticky(topic: &str, payload: &str) -> Publication {
    Publication { sticky: true, ..event(topic, payload) }
}

pub(super) fn producer(number: u128) -> ProducerId {
    Uuid::from_u128(number)
}

pub(super) fn numbered(by: u128, number: u64) -> Publication {
    with_id(EventId::Numbered { producer: producer(by), number }, "n/x", &number.to_string())
}

/// Appends and waits.
pub(super) async fn append(bus: &dyn Bus, batch: Vec<Publication>) -> Receipts {
    soon(bus.append(batch)).await.expect("appended")
}

/// Appends so many events to a topic and gives their places.
pub(super) async fn append_many(bus: &dyn Bus, topic: &str, count: usize) -> Vec<Seq> {
    let batch = (0..count).map(|at| event(topic, &at.to_string())).collect();
    append(bus, batch).await.iter().map(|receipt| receipt.position.seq).collect()
}

pub(super) fn start(bus: &dyn Bus) -> Position {
    Position::new(bus.head().epoch, 0)
}

pub(super) fn everything(_: &str) -> bool {
    true
}

/// What stands in the log after a position, up to its head.
pub(super) async fn read_after(bus: &dyn Bus, after: Position) -> Vec<Recorded> {
    let mut tail = bus.tail(after).expect("a tail");
    read_on(&mut *tail).await
}

/// What stands after a reader, up to the head.
pub(super) async fn read_on(tail: &mut dyn Tail) -> Vec<Recorded> {
    let mut events = Vec::new();
    while let Some(batch) = soon(tail.next_now(&everything)).await.expect("a batch") {
        events.extend(batch.events);
    }
    events
}

/// What is stored, from the start, or from the head's own count where an engine can't replay.
pub(super) fn payloads(events: &[Recorded]) -> Vec<String> {
    events.iter().map(payload).collect()
}

pub(super) fn payload(recorded: &Recorded) -> String {
    String::from_utf8_lossy(&recorded.event.payload).into_owned()
}

/// Waits for what must happen by itself.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("waits for ever")
}

/// Says whether a future stays without an answer for a moment; it is polled meanwhile.
pub(super) async fn stays_quiet<T>(future: &mut Later<'_, T>) -> bool {
    tokio::time::timeout(QUIET, future).await.is_err()
}

/// Polls a future once, says whether it had an answer, and drops it.
pub(super) async fn poll_and_drop<T>(future: Later<'_, T>) -> Option<T> {
    poll_times_and_drop(future, 1).await
}

/// Polls a future so many times, with other tasks having their turn in between, and drops it if it has no answer then.
pub(super) async fn poll_times_and_drop<T>(mut future: Later<'_, T>, times: usize) -> Option<T> {
    for _ in 0..times {
        let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}

pub(super) fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("a name")
}

/// A group over `g/#` from the start of the log, with leases of two spans and waits from two spans on.
pub(super) fn options(harness: &dyn Harness) -> GroupOptions {
    let mut options = GroupOptions::new(vec![filter("g/#")]);
    options.start = Start::Oldest;
    options.lease = harness.span() * 2;
    options.attempts_max = 3;
    options.backoff.base = harness.span() * 2;
    options.backoff.cap = harness.span() * 8;
    options
}

pub(super) fn filter(text: &str) -> Filter {
    text.parse().expect("a filter")
}

/// Joins the group `workers`.
pub(super) async fn join(bus: &dyn Bus, options: GroupOptions) -> Box<dyn Member> {
    soon(bus.join(&group("workers"), options)).await.expect("joined")
}

/// The next deliveries, which must come by themselves.
pub(super) async fn next(member: &mut dyn Member, max: usize) -> Vec<Delivery> {
    let deliveries = soon(member.next(max)).await.expect("deliveries");
    assert!(!deliveries.is_empty() && deliveries.len() <= max, "{} deliveries of {max}", deliveries.len());
    deliveries
}

/// So many deliveries, in however many parts they come: place and attempt.
pub(super) async fn next_tags(member: &mut dyn Member, count: usize) -> Vec<(Seq, u32)> {
    let mut tags = Vec::new();
    while tags.len() < count {
        tags.extend(pairs(&next(member, count - tags.len()).await));
    }
    tags
}

/// So many deliveries, in however many parts they come: payload and attempt. For what has another place after a crash.
pub(super) async fn next_payloads(member: &mut dyn Member, count: usize) -> Vec<(String, u32)> {
    let mut payloads = Vec::new();
    while payloads.len() < count {
        let deliveries = next(member, count - payloads.len()).await;
        payloads.extend(deliveries.iter().map(|delivery| (payload(&delivery.recorded), delivery.attempt)));
    }
    payloads
}

pub(super) fn pairs(deliveries: &[Delivery]) -> Vec<(Seq, u32)> {
    deliveries.iter().map(|delivery| (delivery.recorded.position.seq, delivery.attempt)).collect()
}

pub(super) const fn tag(seq: Seq, attempt: u32) -> Tag {
    Tag { seq, attempt }
}

pub(super) async fn settle(member: &mut dyn Member, tag: Tag, settlement: Settlement) -> usize {
    soon(member.settle(vec![(tag, settlement)])).await.expect("settled")
}

/// Settles all of these as done.
pub(super) async fn settle_done(member: &mut dyn Member, tags: &[(Seq, u32)]) -> usize {
    let settlements = tags.iter().map(|(seq, attempt)| (tag(*seq, *attempt), Settlement::Done)).collect();
    soon(member.settle(settlements)).await.expect("settled")
}

pub(super) fn retry(after: Option<Duration>) -> Settlement {
    Settlement::Retry { after, why: "busy".into() }
}

pub(super) fn dead() -> Settlement {
    Settlement::Dead { why: "no such patient".into() }
}
