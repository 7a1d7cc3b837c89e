//! Dead letters: how an event becomes one, what is kept of it, and how it's taken out.

use super::given::{
    append, append_many, dead, event, group, join, next_payloads, next_tags, options, payload, retry, settle,
    settle_done, soon, tag,
};
use super::{Harness, duties};
use crate::bus::Bus;
use crate::delivery::{DeadLetter, GroupOptions, Settlement};
use crate::position::Seq;

duties! {
    the_last_attempt_makes_a_dead_letter_with_its_reason,
    dead_needs_no_further_attempt,
    a_dead_letter_does_not_hold_up_the_others,
    dead_letters_come_in_pages,
    dead_letters_survive_a_crash,
    a_revived_letter_is_tried_anew_from_the_first_attempt,
    a_letter_can_be_forgotten,
    reviving_survives_a_crash,
    a_revived_letter_can_die_again,
    dead_letters_belong_to_their_group,
}

async fn letters(bus: &dyn Bus, after: Seq, limit: usize) -> Vec<DeadLetter> {
    soon(bus.dead_letters(&group("workers"), after, limit)).await.expect("letters")
}

fn seqs(letters: &[DeadLetter]) -> Vec<Seq> {
    letters.iter().map(|letter| letter.recorded.position.seq).collect()
}

async fn revive(bus: &dyn Bus, seqs: &[Seq], again: bool) -> usize {
    soon(bus.revive(&group("workers"), seqs.to_vec(), again)).await.expect("revived")
}

/// So many events, all of them dead.
async fn all_dead(bus: &dyn Bus, harness: &dyn Harness, count: usize) -> Box<dyn crate::bus::Member> {
    let far = GroupOptions { lease: harness.span() * 100, ..options(harness) };
    let mut member = join(bus, far).await;
    append_many(bus, "g/x", count).await;
    let tags = next_tags(&mut *member, count).await;
    let settlements = tags.iter().map(|(seq, attempt)| (tag(*seq, *attempt), dead())).collect();
    assert_eq!(soon(member.settle(settlements)).await, Ok(count));
    member
}

async fn the_last_attempt_makes_a_dead_letter_with_its_reason(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, options(&*harness)).await;
    let publication = event("g/x", "poison");
    append(&*bus, vec![publication.clone()]).await;
    for attempt in 1..=3 {
        assert_eq!(letters(&*bus, 0, 10).await, []);
        assert_eq!(next_tags(&mut *member, 1).await, [(1, attempt)]);
        let why = format!("attempt {attempt}: no answer from the clinic");
        let settlement = Settlement::Retry { after: Some(harness.span()), why };
        assert_eq!(settle(&mut *member, tag(1, attempt), settlement).await, 1);
        harness.pass(harness.span() * 2).await;
    }
    let letters = letters(&*bus, 0, 10).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].recorded.event, publication.event);
    assert_eq!((letters[0].attempts, &letters[0].why[..]), (3, "attempt 3: no answer from the clinic"));
    assert_ne!(letters[0].at.0, 0, "says when");
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(2, 1)], "it doesn't come again");
}

async fn dead_needs_no_further_attempt(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = all_dead(&*bus, &*harness, 1).await;
    let letters = letters(&*bus, 0, 10).await;
    assert_eq!((letters[0].attempts, &letters[0].why[..]), (1, "no such patient"));
    let stat = bus.groups(None, 1).remove(0);
    assert_eq!((stat.dead, stat.in_flight, stat.settled.seq), (1, 0, 1));
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(2, 1)]);
}

/// Only the event that failed is counted, not those that were delivered beside it.
async fn a_dead_letter_does_not_hold_up_the_others(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = join(&*bus, GroupOptions { lease: harness.span() * 100, ..options(&*harness) }).await;
    append_many(&*bus, "g/x", 10).await;
    let mut tags = next_tags(&mut *member, 10).await;
    for attempt in 1..=3 {
        assert_eq!(settle(&mut *member, tag(4, attempt), retry(Some(harness.span()))).await, 1);
        harness.pass(harness.span() * 2).await;
        if attempt < 3 {
            assert_eq!(next_tags(&mut *member, 1).await, [(4, attempt + 1)]);
        }
    }
    tags.retain(|(seq, _)| *seq != 4);
    assert_eq!(settle_done(&mut *member, &tags).await, 9, "still their first attempt");
    assert_eq!(seqs(&letters(&*bus, 0, 10).await), [4]);
    assert_eq!(bus.groups(None, 1)[0].settled.seq, 10);
}

async fn dead_letters_come_in_pages(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let _member = all_dead(&*bus, &*harness, 12).await;
    let mut got = Vec::new();
    loop {
        let page = letters(&*bus, got.last().copied().unwrap_or(0), 5).await;
        assert!(page.len() <= 5);
        if page.is_empty() {
            break;
        }
        got.extend(seqs(&page));
    }
    assert_eq!(got, (1..=12).collect::<Vec<_>>());
    assert_eq!(seqs(&letters(&*bus, 10, 5).await), [11, 12]);
}

async fn dead_letters_survive_a_crash(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    drop(all_dead(&*bus, &*harness, 3).await);
    let before = letters(&*bus, 0, 10).await;
    drop(bus);
    harness.crash().await;
    let bus = harness.bus();
    // Where they stand may be another number; what they are is the same.
    let what = |letter: &DeadLetter| (letter.recorded.event.clone(), letter.attempts, letter.why.clone(), letter.at);
    let after = letters(&*bus, 0, 10).await;
    assert_eq!(after.iter().map(what).collect::<Vec<_>>(), before.iter().map(what).collect::<Vec<_>>());
}

async fn a_revived_letter_is_tried_anew_from_the_first_attempt(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = all_dead(&*bus, &*harness, 4).await;
    assert_eq!(revive(&*bus, &[4, 2, 99, 2], true).await, 2, "each once, and only those there are");
    assert_eq!(seqs(&letters(&*bus, 0, 10).await), [1, 3]);
    let mut tags = next_tags(&mut *member, 2).await;
    tags.sort_unstable();
    assert_eq!(tags, [(2, 1), (4, 1)]);
    assert_eq!(settle_done(&mut *member, &tags).await, 2);
    assert_eq!(revive(&*bus, &[2, 4], true).await, 0);
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(5, 1)]);
}

async fn a_letter_can_be_forgotten(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = all_dead(&*bus, &*harness, 3).await;
    assert_eq!(revive(&*bus, &[1, 3], false).await, 2);
    assert_eq!(seqs(&letters(&*bus, 0, 10).await), [2]);
    append_many(&*bus, "g/x", 1).await;
    assert_eq!(next_tags(&mut *member, 1).await, [(4, 1)]);
}

async fn reviving_survives_a_crash(mut harness: Box<dyn Harness>) {
    let bus = harness.bus();
    drop(all_dead(&*bus, &*harness, 5).await);
    assert_eq!(revive(&*bus, &[2], true).await, 1);
    assert_eq!(revive(&*bus, &[4], false).await, 1);
    drop(bus);
    harness.crash().await;
    let bus = harness.bus();
    let left: Vec<_> = letters(&*bus, 0, 10).await.iter().map(|letter| payload(&letter.recorded)).collect();
    assert_eq!(left, ["0", "2", "4"]);
    let mut member = join(&*bus, options(&*harness)).await;
    append(&*bus, vec![event("g/x", "new")]).await;
    let mut came = next_payloads(&mut *member, 2).await;
    came.sort_unstable();
    assert_eq!(came.iter().map(|(payload, _)| &payload[..]).collect::<Vec<_>>(), ["1", "new"]);
    assert!(came.iter().all(|(_, attempt)| *attempt <= 2), "a crash counts as one attempt at the most");
}

async fn a_revived_letter_can_die_again(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let mut member = all_dead(&*bus, &*harness, 2).await;
    assert_eq!(revive(&*bus, &[1], true).await, 1);
    assert_eq!(next_tags(&mut *member, 1).await, [(1, 1)]);
    assert_eq!(settle(&mut *member, tag(1, 1), Settlement::Dead { why: "still not".into() }).await, 1);
    let letters = letters(&*bus, 0, 10).await;
    assert_eq!(seqs(&letters), [1, 2]);
    assert_eq!(letters[0].why, "still not");
}

async fn dead_letters_belong_to_their_group(harness: Box<dyn Harness>) {
    let bus = harness.bus();
    let other = group("other");
    let mut beside = soon(bus.join(&other, options(&*harness))).await.expect("joined");
    let _member = all_dead(&*bus, &*harness, 2).await;
    assert_eq!(soon(bus.dead_letters(&other, 0, 10)).await, Ok(vec![]));
    assert_eq!(soon(bus.revive(&other, vec![1], true)).await, Ok(0));
    assert_eq!(next_tags(&mut *beside, 2).await, [(1, 1), (2, 1)]);
    let nobody = group("nobody");
    assert_eq!(soon(bus.dead_letters(&nobody, 0, 10)).await, Ok(vec![]));
    assert_eq!(soon(bus.revive(&nobody, vec![1], true)).await, Ok(0));
    soon(bus.end_group(&group("workers"))).await.expect("ended");
    assert_eq!(letters(&*bus, 0, 10).await, [], "forgotten with its group");
}
