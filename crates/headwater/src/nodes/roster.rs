//! Who is there: what was heard of each node and when. It does no I/O and asks no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_event::{EventId, Publication, Text, Time, Topic};
use serde_json::json;
use tokio::time::Instant;

use super::beat::{Beat, State, event};
use super::{KEPT, LOOK_EVERY, MISSED_BEATS, NODES_MAX, PREFIX};
use crate::console::moment;

/// A watcher that itself stood still for so long can't say who was silent meanwhile.
const BLIND_AFTER: Duration = Duration::from_secs(LOOK_EVERY.as_secs() + 1);

/// One node, as it was last heard of.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it said last; its state is the watcher's word where it's missed.
    pub beat: Beat,
    /// When that came.
    pub heard_at: Instant,
    /// Whether it was heard itself, and not only read from what was kept.
    pub is_heard: bool,
}

/// What came of a word, or of silence.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// Nothing but that it's still there.
    Beat,
    /// It's new, or another than before.
    Changed,
    /// It was missed, or began anew without having ended, and is there.
    Returned {
        /// What it said last before that.
        before: Box<Beat>,
    },
    /// It's silent. The beat is its last.
    Missed {
        /// For how long.
        silent: Duration,
    },
}

/// The nodes by name.
#[derive(Debug, Default)]
pub struct Roster {
    nodes: BTreeMap<String, Seen>,
    looked_at: Option<Instant>,
}

impl Roster {
    /// Takes what was kept: it was said some time ago, so each has the time of a missed beat to say it again.
    pub fn recall(&mut self, beat: Beat, now: Instant) {
        if self.nodes.len() < NODES_MAX {
            self.nodes.entry(beat.id.clone()).or_insert(Seen { beat, heard_at: now, is_heard: false });
        }
    }

    /// Takes a node's word; `None` when it says nothing new, or there is no room.
    pub fn hear(&mut self, beat: Beat, now: Instant) -> Option<News> {
        let Some(known) = self.nodes.get_mut(&beat.id) else {
            if self.nodes.len() >= NODES_MAX && !self.make_room() {
                return None;
            }
            self.nodes.insert(beat.id.clone(), Seen { beat, heard_at: now, is_heard: true });
            return Some(News::Changed);
        };
        let is_same_life = known.beat.life == beat.life;
        let is_old = if is_same_life {
            // Another watcher's word that it's missed has the number of its last beat.
            let is_new_state = beat.number == known.beat.number && beat.state != known.beat.state;
            beat.number < known.beat.number || (beat.number == known.beat.number && !is_new_state)
        } else {
            beat.started < known.beat.started
        };
        if is_old {
            return None;
        }
        let was = known.beat.state;
        let returns = beat.state == State::Alive
            && match was {
                State::Missed => true,
                State::Alive => !is_same_life,
                State::Ended => false,
            };
        let before = std::mem::replace(known, Seen { beat, heard_at: now, is_heard: true }).beat;
        Some(match () {
            () if returns => News::Returned { before: Box::new(before) },
            () if known.beat.is_other_than(&before) => News::Changed,
            () => News::Beat,
        })
    }

    /// Looks who has been silent for too long, and forgets those who have been away for a day.
    pub fn look(&mut self, now: Instant, time: Time) -> Vec<(Beat, News)> {
        let is_blind = self.looked_at.is_some_and(|before| now.duration_since(before) > BLIND_AFTER);
        self.looked_at = Some(now);
        let mut missed = Vec::new();
        for seen in self.nodes.values_mut().filter(|seen| seen.beat.state == State::Alive) {
            if is_blind {
                seen.heard_at = now;
            }
            let silent = now.duration_since(seen.heard_at);
            if silent >= silence_of(&seen.beat) {
                seen.beat.state = State::Missed;
                missed.push((seen.beat.clone(), News::Missed { silent }));
            }
        }
        self.nodes.retain(|_, seen| {
            let away = now.duration_since(seen.heard_at);
            seen.beat.state == State::Alive || (away < KEPT && time.since(seen.beat.at) < KEPT.saturating_mul(2))
        });
        missed
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Seen> {
        self.nodes.values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Forgets the one that has been away for longest.
    fn make_room(&mut self) -> bool {
        let away = self.nodes.iter().filter(|(_, seen)| seen.beat.state != State::Alive);
        let Some(id) = away.min_by_key(|(_, seen)| seen.heard_at).map(|(id, _)| id.clone()) else { return false };
        self.nodes.remove(&id).is_some()
    }
}

/// For how long a node may be silent.
pub fn silence_of(beat: &Beat) -> Duration {
    Duration::from_millis(beat.every_ms).saturating_mul(MISSED_BEATS)
}

/// The event that a node is missed. Its id follows from the node's last beat, so all who miss it say the same.
pub fn missed(beat: &Beat, silent: Duration) -> Option<Publication> {
    let said = json!({
        "id": beat.id,
        "life": beat.life,
        "beat": beat.number,
        "roles": beat.roles,
        "last_at": moment(beat.at),
        "silent_s": silent.as_secs_f64().round(),
    });
    publication(beat, "missed", &said)
}

/// The event that a node is back; its id follows from the last beat before.
pub fn returned(before: &Beat, now: &Beat) -> Option<Publication> {
    let why = match (before.state, before.life == now.life) {
        (State::Missed, true) => "it was missed, and goes on",
        (State::Missed, false) => "it was missed, and was started anew",
        _ => "it was started anew without having ended",
    };
    let said = json!({
        "id": now.id,
        "life": now.life,
        "beat": now.number,
        "roles": now.roles,
        "before": { "life": before.life, "beat": before.number, "last_at": moment(before.at) },
        "why": why,
    });
    publication(before, "returned", &said)
}

fn publication(beat: &Beat, what: &str, said: &serde_json::Value) -> Option<Publication> {
    let topic = Topic::new(format!("{PREFIX}{}/{what}", beat.id)).ok()?;
    let id = EventId::Text(Text::from(format!("node/{}/{}/{}/is-{what}", beat.id, beat.life, beat.number)));
    Some(Publication { event: event(topic, id, said)?, sticky: false })
}

#[cfg(test)]
mod tests {
    use super::super::BEAT_EVERY;
    use super::super::beat::tests::beat;
    use super::*;

    /// A roster, and moments after its beginning.
    fn roster() -> (Roster, impl Fn(u64) -> Instant) {
        let begun = Instant::now();
        (Roster::default(), move |ms| begun + Duration::from_millis(ms))
    }

    /// Looks once a second up to this one; gives what was missed.
    fn look(roster: &mut Roster, from_ms: u64, to_ms: u64, at: impl Fn(u64) -> Instant) -> Vec<(u64, String)> {
        let mut missed = Vec::new();
        for ms in (from_ms..=to_ms).step_by(1_000) {
            missed.extend(roster.look(at(ms), Time(0)).into_iter().map(|(beat, _)| (ms, beat.id)));
        }
        missed
    }

    #[test]
    fn a_silent_node_is_missed_once_and_within_seven_seconds() {
        let (mut roster, at) = roster();
        assert_eq!(roster.hear(beat("a", "l", 1), at(0)), Some(News::Changed));
        assert_eq!(roster.hear(beat("b", "l", 1), at(500)), Some(News::Changed));
        assert_eq!(roster.hear(beat("a", "l", 2), at(2_000)), Some(News::Beat));
        assert_eq!(look(&mut roster, 0, 20_000, &at), [(7_000, "b".to_owned()), (8_000, "a".to_owned())]);
        let bound = BEAT_EVERY * MISSED_BEATS + LOOK_EVERY;
        assert_eq!(bound, Duration::from_secs(7));
    }

    #[test]
    fn who_comes_back_says_so_and_old_words_say_nothing() {
        let (mut roster, at) = roster();
        roster.hear(beat("a", "l1", 5), at(0));
        assert_eq!(look(&mut roster, 0, 6_000, &at).len(), 1);
        // What was on its way, or is kept, or another watcher says.
        assert_eq!(roster.hear(beat("a", "l1", 4), at(6_100)), None);
        let missed = Beat { state: State::Missed, ..beat("a", "l1", 5) };
        assert_eq!(roster.hear(missed, at(6_200)), None);
        assert!(
            matches!(roster.hear(beat("a", "l1", 6), at(6_500)), Some(News::Returned { before }) if before.number == 5)
        );
        // A process that was killed and started again within the bound.
        let anew = Beat { started: Time(1_800_000_000_000_000), ..beat("a", "l2", 1) };
        assert!(matches!(roster.hear(anew.clone(), at(7_000)), Some(News::Returned { before }) if before.life == "l1"));
        assert_eq!(roster.hear(beat("a", "l1", 99), at(7_100)), None, "the earlier life is over");
        let ended = Beat { state: State::Ended, number: 2, ..anew };
        assert_eq!(roster.hear(ended.clone(), at(7_200)), Some(News::Changed));
        assert_eq!(look(&mut roster, 7_000, 60_000, &at), [], "who has ended is not missed");
        let again = Beat { started: Time(1_900_000_000_000_000), ..beat("a", "l3", 1) };
        assert_eq!(roster.hear(again, at(61_000)), Some(News::Changed), "after an end in good order it's just there");
    }

    #[test]
    fn a_watcher_that_stood_still_misses_nobody_for_it() {
        let (mut roster, at) = roster();
        roster.hear(beat("a", "l", 1), at(0));
        assert_eq!(look(&mut roster, 0, 2_000, &at), []);
        assert_eq!(look(&mut roster, 60_000, 65_000, &at), []);
        assert_eq!(look(&mut roster, 66_000, 66_000, &at).len(), 1, "but from then on it listens");
    }

    #[test]
    fn another_watchers_word_is_taken_and_two_of_them_say_the_same() {
        let (mut one, at) = roster();
        let (mut other, _) = roster();
        for roster in [&mut one, &mut other] {
            roster.hear(beat("a", "l", 3), at(0));
        }
        let first = one.look(at(6_000), Time(0)).remove(0).0;
        let second = other.look(at(6_900), Time(0)).remove(0).0;
        let id = |beat: &Beat| missed(beat, Duration::from_secs(6)).unwrap().event.id;
        assert_eq!((id(&first), first.sticky().unwrap().event.id), (id(&second), second.sticky().unwrap().event.id));
        let back = beat("a", "l", 4);
        assert_eq!(returned(&first, &back).unwrap().event.id, returned(&second, &beat("a", "l", 5)).unwrap().event.id);
        assert_ne!(id(&first), id(&back), "the next time it's another event");
        // One that hasn't noticed yet.
        let (mut third, _) = roster();
        third.hear(beat("a", "l", 3), at(0));
        assert_eq!(third.hear(first, at(100)), Some(News::Changed));
        assert_eq!(look(&mut third, 0, 20_000, &at), []);
    }

    #[test]
    fn what_was_kept_has_the_time_of_a_missed_beat_to_be_heard_again() {
        let (mut roster, at) = roster();
        roster.recall(beat("gone", "l", 3), at(0));
        roster.recall(beat("there", "l", 3), at(0));
        assert_eq!(roster.hear(beat("there", "l", 3), at(100)), None, "that word is the kept one");
        assert_eq!(roster.hear(beat("there", "l", 90), at(1_000)), Some(News::Beat));
        assert_eq!(look(&mut roster, 0, 6_000, &at), [(6_000, "gone".to_owned())]);
    }

    #[test]
    fn no_more_are_known_than_may_be_and_those_who_have_gone_make_room() {
        let (mut roster, at) = roster();
        for n in 0..NODES_MAX + 5 {
            roster.hear(beat(&format!("n{n}"), "l", 1), at(0));
        }
        assert_eq!(roster.all().len(), NODES_MAX);
        assert_eq!(roster.hear(beat("late", "l", 1), at(1)), None);
        roster.hear(Beat { state: State::Ended, number: 2, ..beat("n7", "l", 2) }, at(2));
        assert_eq!(roster.hear(beat("late", "l", 1), at(3)), Some(News::Changed));
        let has = |id: &str| roster.all().iter().any(|seen| seen.beat.id == id);
        assert!(!has("n7") && has("late"));
        roster.look(at(60_000), Time(0));
        roster.look(at(KEPT.as_millis() as u64 + 120_000), Time(0));
        assert!(roster.all().iter().all(|seen| seen.beat.state == State::Alive));
    }
}
