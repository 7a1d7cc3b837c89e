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

/// For how long it is remembered that a session has ended, so that an edge that was frozen or cut off meanwhile can't bring it back.
const ENDED_KEPT: Duration = Duration::from_secs(3_600);

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

/// Takes away what nobody reads any more: notes of older terms of a session, and after a time the word that it has ended.
async fn clear_older(front: &Front, notes: &[Note]) -> Result<(), Refusal> {
    let now = front.hub.clock().now();
    let mut batch = Vec::new();
    for (at, note) in notes.iter().enumerate() {
        let has_newer = notes.get(at + 1).is_some_and(|next| next.hash() == note.hash());
        let has_older = at.checked_sub(1).is_some_and(|before| notes[before].hash() == note.hash());
        let is_end = note.term > 0 && note.saved.is_none();
        if has_newer || (is_end && !has_older && now.since(note.at) >= ENDED_KEPT) {
            batch.push(keep::clear(&note.topic));
        }
    }
    if !batch.is_empty() {
        front.hub.note(batch)?.await?;
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
