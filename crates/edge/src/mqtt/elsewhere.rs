//! Other edges over the same log: which connection speaks for a client is fixed by the order of claims in the log, and a session
//! is what the newest of them wrote.
//!
//! Each connection claims its client's seat by an event on one topic, whose place in the log is the connection's term. Each edge
//! writes on a topic of its own, and the note of the highest term counts: one that wakes late writes over nobody else's.
//! `docs/decisions/mqtt-elsewhere.md` has the reasons.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_event::{Event, EventId, Headers, Publication, Recorded, Refusal, Seq, Text, Time, Topic};
use tokio::sync::mpsc;

use super::front::{Counts, Front};
use super::keep::{self, Note};
use super::seats::{Claim, Key};
use super::session::{Reader, Saved, Session, Writer};
use super::unsubscribing::leave_group;
use crate::accept::Stopping;

/// Where edges tell each other who has whom, closed to clients.
const TOPIC: &str = "$session/claims";

/// How often an edge says that it is there: three words may be missed before it counts as dead.
const HERE_EVERY: Duration = Duration::from_secs(30);

/// How long an edge that isn't heard counts as alive.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// How long a connection waits for the one before it to end on another edge: as long as that gives its client for the last packet,
/// and a moment to save the session. Who is silent so long was killed or frozen, or is cut off.
const HANDOVER_MAX: Duration = Duration::from_secs(3);

/// For how long it is remembered that a session has ended, and what an edge had noted before another took it over. An edge that was
/// frozen or cut off for less can't bring either back.
pub(super) const ENDED_KEPT: Duration = Duration::from_secs(3_600);

/// How many edges are remembered: each start of one is another.
const PLACES_MAX: usize = 4_096;

/// The other edges, as far as they are known.
pub(super) struct Elsewhere {
    /// This edge, in this life of its process.
    place: Text,
    /// What its notes are named by, the same after every restart.
    home: Text,
    heard: Mutex<HashMap<Text, Time>>,
}

/// What an edge tells the others.
enum Word {
    /// It is there.
    Here,
    /// A connection claims this client's seat.
    Claim { key: Key, is_clean: bool },
    /// The connection of this term has ended, and its session is saved.
    GivenUp { key: Key, term: Seq },
}

impl Elsewhere {
    pub(super) fn new(place: Text, home: Text) -> Self {
        Self { place, home, heard: Mutex::default() }
    }

    fn word(&self, word: &Word) -> Publication {
        let mut out = Writer(Vec::new());
        out.text(&self.place);
        match word {
            Word::Here => out.number(0),
            Word::Claim { key, is_clean } => {
                out.number(1 + u64::from(*is_clean));
                out.text(key.principal());
                out.text(key.client());
            }
            Word::GivenUp { key, term } => {
                out.number(3);
                out.text(key.principal());
                out.text(key.client());
                out.number(*term);
            }
        }
        let topic = Topic::new(TOPIC).expect("a good topic");
        let (id, headers) = (EventId::generate(), Headers::none());
        Publication { event: Event { id, topic, headers, payload: out.0.into(), at: Time::default() }, sticky: false }
    }

    /// What is to be noted when a connection has ended that has to give way to one on another edge.
    pub(super) fn giving_up(&self, key: &Key, term: Seq) -> Publication {
        self.word(&Word::GivenUp { key: key.clone(), term })
    }

    /// Since when this edge can't have a connection any more; `None` while it may.
    fn silent_since(&self, place: &Text, started: Time, now: Time) -> Option<Time> {
        let heard = self.lock().get(place).copied().unwrap_or(started);
        (now.since(heard) > SILENCE_MAX).then_some(heard)
    }

    fn hear(&self, place: Text, at: Time) {
        let mut heard = self.lock();
        if heard.len() >= PLACES_MAX && !heard.contains_key(&place) {
            heard.retain(|_, last| at.since(*last) <= SILENCE_MAX);
        }
        heard.insert(place, at);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Text, Time>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(payload: &[u8]) -> Option<(Text, Word)> {
    let mut from = Reader(payload);
    let place = from.text()?.into();
    let kind = from.number()?;
    let mut key = || Some(Key::new(from.text()?, from.text()?));
    let word = match kind {
        0 => Word::Here,
        1 | 2 => Word::Claim { key: key()?, is_clean: kind == 2 },
        3 => Word::GivenUp { key: key()?, term: from.number()? },
        _ => return None,
    };
    Some((place, word))
}

/// Begins to hear the other edges; when this returns nothing is missed any more.
///
/// # Errors
/// `Unavailable`.
pub(super) async fn start(front: &Front, stopping: &Stopping) -> Result<(), Refusal> {
    let Some(elsewhere) = &front.elsewhere else { return Ok(()) };
    let mut told = front.hub.heed(TOPIC).ok_or(Refusal::Unavailable)?;
    loop {
        front.hub.note(vec![elsewhere.word(&Word::Here)])?.await?;
        // Where live begins is known by what it tells: a word of before may have been missed, so it is said again.
        let heard = async {
            while let Some(recorded) = told.recv().await {
                let own = read(&recorded.event.payload).is_some_and(|(place, _)| place == elsewhere.place);
                take(front, elsewhere, &recorded);
                if own {
                    return;
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(1), heard).await.is_ok() {
            break;
        }
    }
    tokio::spawn(follow(front.clone(), told, stopping.clone()));
    tokio::spawn(say_here(front.clone(), stopping.clone()));
    Ok(())
}

async fn follow(front: Front, mut told: mpsc::Receiver<Recorded>, mut stopping: Stopping) {
    let Some(elsewhere) = &front.elsewhere else { return };
    loop {
        tokio::select! {
            recorded = told.recv() => match recorded {
                Some(recorded) => take(&front, elsewhere, &recorded),
                None => return,
            },
            () = stopping.requested() => return,
        }
    }
}

async fn say_here(front: Front, mut stopping: Stopping) {
    let Some(elsewhere) = &front.elsewhere else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(HERE_EVERY) => {}
            () = stopping.requested() => return,
        }
        if let Ok(noted) = front.hub.note(vec![elsewhere.word(&Word::Here)]) {
            // It is said again.
            let _ = noted.await;
        }
    }
}

fn take(front: &Front, elsewhere: &Elsewhere, recorded: &Recorded) {
    let Some((place, word)) = read(&recorded.event.payload) else { return };
    elsewhere.hear(place.clone(), front.hub.clock().now());
    if place == elsewhere.place {
        return;
    }
    match word {
        Word::Here => {}
        Word::Claim { key, is_clean } => {
            front.seats.claimed_elsewhere(&key, recorded.position.seq, is_clean);
            // A will that waits here is of a session that goes on there, or has ended.
            if is_clean { front.wills.hasten(&key) } else { front.wills.cancel(&key) }
        }
        Word::GivenUp { key, term } => front.seats.given_up_elsewhere(&key, term),
    }
}

impl Front {
    /// Whether a session's time is over, as far as this edge knows the others.
    pub(super) fn is_over(&self, saved: &Saved, saved_at: Time) -> bool {
        let now = self.hub.clock().now();
        let seen = match &self.elsewhere {
            None => self.started,
            Some(elsewhere) => elsewhere.silent_since(&saved.session.place, self.started, now).unwrap_or(now),
        };
        saved.is_over(saved_at, seen, now)
    }
}

/// Fixes that this connection speaks for its client, on whatever edge others are, and gives the session that the one before left.
/// `None` when a newer one has come meanwhile.
///
/// # Errors
/// When the log can't be written or read.
pub(super) async fn take_seat(
    front: &Front,
    elsewhere: &Elsewhere,
    claim: &mut Claim,
    is_clean: bool,
    expiry_s: u32,
) -> Result<Option<(Session, bool)>, Refusal> {
    let key = claim.key().clone();
    let noted = front.hub.note(vec![elsewhere.word(&Word::Claim { key: key.clone(), is_clean })])?.await?;
    claim.stands_at(noted.get(0).position.seq);
    let mut notes = keep::notes(&front.hub, &key).await?;
    if let Some(term) = held_elsewhere(front, elsewhere, claim, &notes) {
        // Its session is saved when it has ended. Who says nothing can't save it any more: nobody will read what it writes.
        if tokio::time::timeout(HANDOVER_MAX, claim.given_up(term)).await.is_err() {
            tracing::info!(
                client = key.client(),
                "the edge that had this client is silent; it is taken over all the same"
            );
        }
        notes = keep::notes(&front.hub, &key).await?;
    }
    if claim.is_superseded() || notes.iter().any(|note| note.term > claim.term()) {
        return Ok(None);
    }
    let before = notes.last().and_then(|note| note.saved.as_ref().map(|saved| (saved, note.at)));
    let had = before.is_some();
    let lasting = before.filter(|(saved, at)| !is_clean && !front.is_over(saved, *at));
    let is_present = lasting.is_some();
    let mut session = match lasting {
        Some((saved, _)) => {
            let mut saved = Saved { session: saved.session.copied(), epoch: saved.epoch, ended: saved.ended };
            saved.of_log(front.hub.head());
            saved.session
        }
        None => {
            let ended = before.iter().flat_map(|(saved, _)| saved.session.groups());
            ended.for_each(|subscription| leave_group(front, subscription));
            Session::new(key.clone(), expiry_s)
        }
    };
    session.expiry_s = expiry_s;
    session.term = claim.term();
    (session.place, session.home) = (elsewhere.place.clone(), elsewhere.home.clone());
    // From here on no note of an older term counts. (Others' are left alone: only who keeps them knows that nothing newer is there.)
    let mut batch = Vec::new();
    if session.is_kept() {
        session.is_saved = true;
        batch.push(keep::keep(&front.hub, &session, None));
    } else if had {
        batch.push(keep::forget(&session));
    }
    if !batch.is_empty() {
        front.hub.note(batch)?.await?;
    }
    Ok(Some((session, is_present)))
}

/// Ends a session whose time is over, unless its client or another edge was faster.
///
/// # Errors
/// When the log can't be written or read.
pub(super) async fn end_session(front: &Front, elsewhere: &Elsewhere, claim: &mut Claim) -> Result<(), Refusal> {
    let key = claim.key().clone();
    let is_over = |note: &Note| note.saved.as_ref().is_some_and(|saved| front.is_over(saved, note.at));
    if !keep::notes(&front.hub, &key).await?.last().is_some_and(is_over) {
        return Ok(());
    }
    let noted = front.hub.note(vec![elsewhere.word(&Word::Claim { key: key.clone(), is_clean: true })])?.await?;
    claim.stands_at(noted.get(0).position.seq);
    let notes = keep::notes(&front.hub, &key).await?;
    let newest = notes.last().filter(|note| note.term < claim.term() && is_over(note));
    let Some(saved) = newest.and_then(|note| note.saved.as_ref()) else { return Ok(()) };
    saved.session.groups().for_each(|subscription| leave_group(front, subscription));
    let mut ended = Session::new(key, 0);
    ended.term = claim.term();
    (ended.place, ended.home) = (elsewhere.place.clone(), elsewhere.home.clone());
    front.hub.note(vec![keep::forget(&ended)])?.await?;
    Counts::add(&front.counts.expired);
    Ok(())
}

/// Clears a note of this session that says nothing any more: this edge's own, or one of an edge that is long gone.
///
/// # Errors
/// When the log can't be written or read.
pub(super) async fn clear(front: &Front, elsewhere: &Elsewhere, key: &Key) -> Result<(), Refusal> {
    // While this edge has the seat, none of its connections writes.
    let Some(_claim) = front.seats.claim_free(key) else { return Ok(()) };
    let now = front.hub.clock().now();
    let notes = keep::notes(&front.hub, key).await?;
    let Some((newest, older)) = notes.split_last() else { return Ok(()) };
    let is_old = |note: &Note| now.since(note.at) >= ENDED_KEPT;
    let is_left = |note: &&Note| {
        let is_others = note.home() != elsewhere.home.as_str();
        is_old(note) && (!is_others || elsewhere.silent_since(&note.place, front.started, now).is_some())
    };
    let mut batch: Vec<_> = older.iter().filter(is_left).map(|note| keep::clear(&note.topic)).collect();
    if older.is_empty() && newest.saved.is_none() && is_left(&newest) {
        batch.push(keep::clear(&newest.topic));
    }
    if !batch.is_empty() {
        front.hub.note(batch)?.await?;
    }
    Ok(())
}

/// The term of a connection that another edge may still have.
fn held_elsewhere(front: &Front, elsewhere: &Elsewhere, claim: &Claim, notes: &[Note]) -> Option<Seq> {
    let note = notes.last().filter(|note| note.term < claim.term())?;
    let saved = note.saved.as_ref().filter(|saved| saved.ended.is_none())?;
    let place = &saved.session.place;
    let is_elsewhere = *place != elsewhere.place && !place.is_empty();
    let now = front.hub.clock().now();
    (is_elsewhere && elsewhere.silent_since(place, front.started, now).is_none()).then_some(note.term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_back_as_it_was_told_and_a_broken_one_is_none() {
        let elsewhere = Elsewhere::new("edge-a".into(), "a".into());
        let key = Key::new("ada", "sensor/7");
        for word in [
            Word::Here,
            Word::Claim { key: key.clone(), is_clean: true },
            Word::Claim { key: key.clone(), is_clean: false },
            Word::GivenUp { key: key.clone(), term: u64::MAX },
        ] {
            let bytes = elsewhere.word(&word).event.payload;
            let (place, read_back) = read(&bytes).unwrap();
            assert_eq!((place.as_str(), elsewhere.word(&read_back).event.payload), ("edge-a", bytes.clone()));
            for len in 0..bytes.len() {
                assert!(read(&bytes[..len]).is_none(), "cut at {len}");
            }
        }
        assert!(read(&[0, 9]).is_none());
    }

    #[test]
    fn an_edge_is_silent_only_after_it_was_listened_for_long_enough() {
        let elsewhere = Elsewhere::new("a".into(), "a".into());
        let at = |seconds: u64| Time(seconds * 1_000_000);
        let b = Text::from("b");
        assert_eq!(elsewhere.silent_since(&b, at(100), at(190)), None);
        assert_eq!(elsewhere.silent_since(&b, at(100), at(191)), Some(at(100)));
        elsewhere.hear(b.clone(), at(300));
        assert_eq!(elsewhere.silent_since(&b, at(100), at(390)), None);
        assert_eq!(elsewhere.silent_since(&b, at(100), at(391)), Some(at(300)));
    }
}
