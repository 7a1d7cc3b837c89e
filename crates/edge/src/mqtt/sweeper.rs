//! Sessions whose clients don't come back: each is ended when its time is over.

use std::time::Duration;

use headwater_event::Refusal;

use super::elsewhere;
use super::front::{Counts, Front};
use super::keep::{self, Note};
use super::unsubscribing::leave_group;
use crate::accept::Stopping;

/// How often all sessions are looked through. An expiry is a promise to keep a session so long, not to end it then; a
/// client that comes back later finds none whether it was swept or not.
const EVERY: Duration = Duration::from_secs(60);

/// Notes the groups of all sessions that were kept, so that they go on until the last of them ends.
///
/// # Errors
/// When the log can't be read.
pub(super) async fn take_up(front: &Front) -> Result<(), Refusal> {
    let mut after = None;
    loop {
        let (sessions, next) = keep::page(&front.hub, after.as_ref()).await?;
        for saved in sessions.iter().filter_map(|note| note.saved.as_ref()) {
            for subscription in saved.session.groups() {
                if let Some(group) = &subscription.group {
                    front.shares.enter(group, &subscription.filter);
                }
            }
        }
        match next {
            Some(topic) => after = Some(topic),
            None => return Ok(()),
        }
    }
}

/// Ends sessions whose time is over, until the end is requested.
pub(super) async fn run(front: Front, mut stopping: Stopping) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stopping.requested() => return,
        }
        if let Err(refusal) = sweep(&front).await {
            tracing::debug!(%refusal, "sessions can't be looked through");
        }
    }
}

async fn sweep(front: &Front) -> Result<(), Refusal> {
    let mut after = None;
    loop {
        let (sessions, next) = keep::page(&front.hub, after.as_ref()).await?;
        clear_older(front, &sessions).await?;
        for note in sessions {
            if let Some(saved) = note.saved
                && front.is_over(&saved, note.at)
            {
                end(front, saved).await?;
            }
        }
        match next {
            Some(topic) => after = Some(topic),
            None => return Ok(()),
        }
    }
}

/// Takes away what says nothing any more: notes of a session that has a newer one, and after a time the word that it has ended.
async fn clear_older(front: &Front, notes: &[Note]) -> Result<(), Refusal> {
    let Some(elsewhere) = &front.elsewhere else { return Ok(()) };
    let now = front.hub.clock().now();
    for note in notes {
        let others = notes.iter().filter(|other| other.hash() == note.hash()).count();
        let is_worth_a_look = note.saved.is_none() || others > 1;
        if let Some(key) = note.key.as_ref().filter(|_| is_worth_a_look)
            && now.since(note.at) >= elsewhere::ENDED_KEPT
        {
            elsewhere::clear(front, elsewhere, key).await?;
        }
    }
    Ok(())
}

/// Ends one session, if its client isn't here or on its way.
async fn end(front: &Front, saved: super::session::Saved) -> Result<(), Refusal> {
    let key = saved.session.key.clone();
    let Some(mut claim) = front.seats.claim_free(&key) else { return Ok(()) };
    if let Some(elsewhere) = &front.elsewhere {
        return elsewhere::end_session(front, elsewhere, &mut claim).await;
    }
    // It may have come and gone since the page was read.
    let Some((saved, saved_at)) = keep::load(&front.hub, &key).await? else { return Ok(()) };
    if front.is_over(&saved, saved_at) {
        saved.session.groups().for_each(|subscription| leave_group(front, subscription));
        front.hub.note(vec![keep::forget(&saved.session)])?.await?;
        Counts::add(&front.counts.expired);
    }
    drop(claim);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use headwater_event::{Clock, Time};
    use headwater_eventlog::{EventLog, OpenOptions};
    use headwater_hub::Hub;

    use super::super::seats::{Claim, Key};
    use super::super::session::Session;
    use super::super::settings::MqttSettings;
    use super::*;

    /// A client comes to this edge; its session, and whether there was one.
    async fn comes(front: &Front) -> (Claim, Session, bool) {
        let mut claim = front.seats.claim(Key::new("ada", "c"));
        assert!(claim.sit().await);
        let elsewhere = front.elsewhere.as_ref().unwrap();
        let taken = elsewhere::take_seat(front, elsewhere, &mut claim, false, 3_600).await.unwrap();
        let (session, is_present) = taken.expect("nobody is newer");
        (claim, session, is_present)
    }

    async fn note(front: &Front, session: &Session, ended: bool) {
        let ended = ended.then(|| front.hub.clock().now());
        front.hub.note(vec![keep::keep(&front.hub, session, ended)]).unwrap().await.unwrap();
    }

    async fn newest(front: &Front) -> Option<Note> {
        keep::notes(&front.hub, &Key::new("ada", "c")).await.unwrap().pop()
    }

    #[tokio::test]
    async fn a_late_note_of_another_edge_brings_nothing_back_and_is_cleared_when_it_is_old() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual(Time(1_795_245_300_000_000)));
        let options = OpenOptions { clock: clock.clone(), ahead_bytes: 1 << 20, ..OpenOptions::new(folder.path()) };
        let log = Arc::new(EventLog::open(options).unwrap());
        let front = |home| {
            let settings = headwater_hub::Settings { clock: clock.clone(), ..Default::default() };
            Front::beside_others(Hub::start(log.clone(), settings), MqttSettings::default(), home)
        };
        let (one, other) = (front("one"), front("other"));
        let (claim, at_one, is_present) = comes(&one).await;
        assert!(!is_present);
        note(&one, &at_one, true).await;
        drop(claim);
        let (claim, at_other, is_present) = comes(&other).await;
        assert!(is_present && at_other.term > at_one.term);
        // The first edge wakes and writes what it had: it stands beside, and doesn't count.
        note(&one, &at_one, false).await;
        assert_eq!(newest(&one).await.unwrap().term, at_other.term);
        note(&other, &at_other, true).await;
        drop(claim);
        // Its time is over: one of the two ends it, once, and a late note doesn't undo that.
        clock.advance(Duration::from_secs(3_600));
        for front in [&other, &one] {
            sweep(front).await.unwrap();
        }
        let expired = |front: &Front| front.counts().expired.load(Ordering::Relaxed);
        assert_eq!((expired(&one), expired(&other)), (0, 1));
        note(&one, &at_one, false).await;
        assert!(newest(&one).await.unwrap().saved.is_none());
        // When that is old, each edge clears its own.
        clock.advance(elsewhere::ENDED_KEPT);
        for front in [&one, &other] {
            sweep(front).await.unwrap();
        }
        assert!(newest(&one).await.is_none());
        assert!(!comes(&one).await.2, "it begins anew");
    }
}
