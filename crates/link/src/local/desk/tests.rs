//! The desk by itself.

use bytes::Bytes;
use headwater_event::{Event, Headers};

use super::*;

const LEASE: Duration = Duration::from_secs(10);

fn desk() -> (Desk, MemberId) {
    let mut options = GroupOptions::new(vec!["g/#".parse().unwrap()]);
    options.attempts_max = 2;
    options.lease = LEASE;
    options.in_flight_max = 3;
    let mut desk = Desk::new(options.clone());
    let member = desk.join(options);
    (desk, member)
}

fn recorded(seq: Seq) -> Recorded {
    let event = Event {
        id: format!("id-{seq}").parse().unwrap(),
        topic: "g/x".parse().unwrap(),
        headers: Headers::none(),
        payload: Bytes::new(),
        at: Time(1),
    };
    Recorded { position: Position::new(1, seq), event, sticky: false }
}

fn arrive(desk: &mut Desk, seqs: std::ops::RangeInclusive<Seq>) {
    for seq in seqs {
        desk.arrive(recorded(seq), 0, seq, None);
    }
}

fn tags(deliveries: &[Delivery]) -> Vec<(Seq, u32)> {
    deliveries.iter().map(|delivery| (delivery.recorded.position.seq, delivery.attempt)).collect()
}

#[test]
fn what_comes_over_a_new_connection_is_not_new() {
    let (mut desk, member) = desk();
    arrive(&mut desk, 1..=2);
    let mut effects = Vec::new();
    let out = desk.next(member, 2, Time(1), &mut effects);
    desk.forget_handles();
    // Settled while the broker is away: answered when it brings it again.
    assert_eq!(desk.settle(member, vec![(out[0].tag(), Settlement::Done)], Time(2), &mut effects), 1);
    assert_eq!(effects, []);
    assert!(desk.knows(&recorded(1).event.id, 71, &mut effects));
    assert_eq!(effects, [Effect::Acknowledge(vec![71])]);
    effects.clear();
    // Still out: it goes on, and is answered by its new name.
    assert!(desk.knows(&recorded(2).event.id, 72, &mut effects));
    assert_eq!(desk.settle(member, vec![(out[1].tag(), Settlement::Done)], Time(2), &mut effects), 1);
    assert_eq!(effects, [Effect::Acknowledge(vec![72])]);
    assert!(!desk.knows(&recorded(3).event.id, 73, &mut effects));
}

#[test]
fn the_broker_forgets_an_event_only_when_its_dead_letter_is_kept() {
    let (mut desk, member) = desk();
    arrive(&mut desk, 1..=1);
    let mut effects = Vec::new();
    let out = desk.next(member, 1, Time(1), &mut effects);
    let dead = vec![(out[0].tag(), Settlement::Dead { why: "no".into() })];
    assert_eq!(desk.settle(member, dead, Time(2), &mut effects), 1);
    assert!(matches!(&effects[..], [Effect::Bury(burial)] if burial.why == "no" && burial.attempts == 1));
    effects.clear();
    assert_eq!(desk.next(member, 1, Time(3), &mut effects), []);
    desk.not_buried(1, Time(3));
    let later = Time(3).plus(Duration::from_secs(60));
    assert_eq!(tags(&desk.next(member, 1, later, &mut effects)), [(1, 1)]);
    assert_eq!(
        desk.settle(member, vec![(out[0].tag(), Settlement::Dead { why: "no".into() })], later, &mut effects),
        1
    );
    effects.clear();
    desk.buried(1, &mut effects);
    assert_eq!(effects, [Effect::Acknowledge(vec![1])]);
    desk.buried(1, &mut effects);
    assert_eq!(effects.len(), 1, "once");
}

#[test]
#[cfg(feature = "engines")]
fn a_long_wait_is_parked_and_the_broker_forgets_it_only_then() {
    let (desk, member) = desk();
    let mut desk = desk.parks(LEASE);
    arrive(&mut desk, 1..=2);
    let mut effects = Vec::new();
    let out = desk.next(member, 2, Time(1), &mut effects);
    let retry = |after| Settlement::Retry { after: Some(after), why: "busy".into() };
    let settled = vec![(out[0].tag(), retry(LEASE)), (out[1].tag(), retry(LEASE / 2))];
    assert_eq!(desk.settle(member, settled, Time(1), &mut effects), 2);
    let due = Time(1).plus(LEASE);
    assert!(matches!(&effects[..], [Effect::Park(parking)] if parking.due == due && parking.attempts == 1));
    effects.clear();
    assert_eq!(tags(&desk.next(member, 2, due, &mut effects)), [(2, 2)], "the short one waits here");
    desk.not_parked(1);
    assert_eq!(tags(&desk.next(member, 1, due, &mut effects)), [(1, 2)], "what can't be kept elsewhere does too");
    let settled = [(1, retry(LEASE)), (2, Settlement::Done)];
    let settled = settled.map(|(seq, settlement)| (Tag { seq, attempt: 2 }, settlement)).into();
    desk.options.attempts_max = 9;
    assert_eq!(desk.settle(member, settled, due, &mut effects), 2);
    effects.clear();
    desk.parked(1, &mut effects);
    assert_eq!(effects, [Effect::Acknowledge(vec![1])]);
    assert!(!desk.is_taken(1) && !desk.knows(&recorded(1).event.id, 9, &mut effects), "it comes again by its name");
    let stat = desk.stat(&GroupName::new("g").unwrap(), 1, 0);
    assert_eq!((stat.waiting_retry, stat.settled.seq), (1, 0), "it's waiting, not settled");
    desk.tick(due.plus(LEASE), &mut effects);
    assert_eq!(desk.stat(&GroupName::new("g").unwrap(), 1, 0).waiting_retry, 0, "it has come back, to whomever");
}

#[test]
fn waits_double_and_half_of_them_is_left_to_chance() {
    let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(5) };
    for (attempt, whole) in [(1, 1), (2, 2), (3, 4), (4, 5), (90, 5)] {
        let whole = Duration::from_secs(whole);
        for _ in 0..20 {
            let wait = wait(backoff, attempt);
            assert!(wait <= whole && wait >= whole / 2, "{attempt}: {wait:?}");
        }
    }
}

#[test]
fn no_more_are_out_than_may_be_and_those_that_wait_take_no_room() {
    let (mut desk, member) = desk();
    arrive(&mut desk, 1..=6);
    let mut effects = Vec::new();
    let out = desk.next(member, 9, Time(1), &mut effects);
    assert_eq!(tags(&out), [(1, 1), (2, 1), (3, 1)]);
    assert_eq!(desk.next(member, 9, Time(1), &mut effects), []);
    let retry = Settlement::Retry { after: Some(LEASE), why: "busy".into() };
    assert_eq!(desk.settle(member, vec![(out[0].tag(), retry)], Time(1), &mut effects), 1);
    assert_eq!(tags(&desk.next(member, 9, Time(2), &mut effects)), [(4, 1)]);
    assert_eq!(desk.deadline(), Some(Time(1).plus(LEASE)));
    let name = GroupName::new("g").unwrap();
    let stat = desk.stat(&name, 1, 0);
    assert_eq!((stat.settled.seq, stat.in_flight, stat.waiting_retry, stat.members), (0, 3, 1, 1));
    assert_eq!(desk.lag(), Lag { events: 6, is_exact: false, since: Some(Time(1)) });
    desk.leave(member, Time(3), &mut effects);
    assert!(!desk.has_members());
    assert_eq!(desk.stat(&name, 1, 0).in_flight, 0);
}
