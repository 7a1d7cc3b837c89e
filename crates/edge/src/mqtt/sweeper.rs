//! Sessions whose clients don't come back: each is ended when its time is over.

use std::time::Duration;

use headwater_event::Refusal;

use super::front::{Counts, Front};
use super::keep;
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
        for (saved, _) in &sessions {
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
        let now = front.hub.clock().now();
        for (saved, saved_at) in sessions {
            if saved.is_over(saved_at, front.started, now) {
                end(front, saved).await?;
            }
        }
        match next {
            Some(topic) => after = Some(topic),
            None => return Ok(()),
        }
    }
}

/// Ends one session, if its client isn't here or on its way.
async fn end(front: &Front, saved: super::session::Saved) -> Result<(), Refusal> {
    let key = saved.session.key.clone();
    let Some(claim) = front.seats.claim_free(&key) else { return Ok(()) };
    // It may have come and gone since the page was read.
    let Some((saved, saved_at)) = keep::load(&front.hub, &key).await? else { return Ok(()) };
    if saved.is_over(saved_at, front.started, front.hub.clock().now()) {
        saved.session.groups().for_each(|subscription| leave_group(front, subscription));
        front.hub.note(vec![keep::forget(&key)])?.await?;
        Counts::add(&front.counts.expired);
    }
    drop(claim);
    Ok(())
}
