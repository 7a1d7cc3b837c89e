//! The first thing every connection does, also one that shows nothing: it learns who it is. And what follows from a login:
//! that it ends, and that it is on record.

use std::sync::Arc;

use headwater_event::{Later, Principal, Refusal};

use super::audit::{AUDIT_ADMIN, note};
use super::credentials::{Credentials, Proof};
use super::keeper::EXPIRY_EVERY;
use super::{Access, Judge, Keeper};
use crate::hub::{Core, Hub};

impl Hub {
    /// Says who shows these credentials. Every edge calls it before the first operation of a connection (or of a request,
    /// where there are no connections), also for those who show nothing: there is no other way to a principal that counts.
    ///
    /// Nothing and tokens are answered at once; a password takes some tens of milliseconds on a thread of its own.
    ///
    /// # Errors
    /// `NotAuthenticated` when what is shown doesn't hold; it isn't said what was wrong with it. `Malformed` for a client id
    /// that rules couldn't be sure of. `TooFast` and `Full` when there are too many attempts.
    pub fn authenticate(&self, credentials: Credentials) -> Later<'static, Result<Principal, Refusal>> {
        let answer = self.access().authenticate(credentials);
        let core = Arc::clone(self.core());
        Box::pin(async move { answer.await.inspect_err(|refusal| core.metrics.refuse(refusal)) })
    }

    /// Who may what.
    #[must_use]
    pub fn access(&self) -> &Access {
        self.core().admission.access()
    }

    /// Puts on record that somebody changes the hub, and waits until that is on disk. What can't be recorded must not be done:
    /// call it before, and go on only when it gives `Ok`.
    ///
    /// # Errors
    /// `NotAllowed` when they may not change the hub; `Unavailable` when it can't be recorded.
    pub async fn record_change(&self, who: &Principal, what: &str, details: &[(&str, &str)]) -> Result<(), Refusal> {
        if !self.access().may_administer(who) {
            return Err(self.access().refused(who, "administration", what));
        }
        self.record(who.name(), what, details).await
    }

    /// As [`record_change`](Self::record_change), for what the machine's own operator does (a signal).
    ///
    /// # Errors
    /// `Unavailable` when it can't be recorded.
    pub async fn record(&self, who: &str, what: &str, details: &[(&str, &str)]) -> Result<(), Refusal> {
        let fields = [("what", what), ("user", who)].into_iter().chain(details.iter().copied());
        let entry = note(AUDIT_ADMIN, fields).ok_or(Refusal::Unavailable)?;
        self.note(vec![entry])?.await.map(drop)
    }
}

impl Access {
    /// As [`Hub::authenticate`], for who has no hub.
    ///
    /// # Errors
    /// As there.
    pub fn authenticate(&self, credentials: Credentials) -> Later<'static, Result<Principal, Refusal>> {
        if let Judge::Keeper(keeper) = &self.judge {
            return Arc::clone(keeper).authenticate(credentials);
        }
        // Where no users are kept there is nothing that a password or a token could be right by.
        let known = match credentials.proof {
            Proof::None => Ok(Principal::anonymous()),
            Proof::Password { .. } | Proof::Token(_) | Proof::Certificate { .. } => Err(Refusal::NotAuthenticated),
        };
        let who = known.map(|who| match &credentials.client_id {
            Some(client) => who.with_client(client),
            None => who,
        });
        Box::pin(async move { who })
    }
}

/// Looks after those who are in: ends what an expired token had allowed, tells a service's questions, and takes
/// the doorkeeper's notes into the log.
pub(crate) async fn look_after(core: Arc<Core>, keeper: Arc<Keeper>) {
    let mut ticks = tokio::time::interval(EXPIRY_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if keeper.is_recheck_due() {
                    core.recheck().await;
                }
            }
            questions = keeper.answers.questions() => core.tell_own(questions),
            // One batch at a time: while it is on its way, further notes wait, and what has no room is not kept.
            notes = keeper.audit.next() => {
                let Ok(noted) = core.note(notes) else { continue };
                if let Err(refusal) = noted.await {
                    tracing::warn!("logins and refusals can't be put on record: {refusal}");
                }
            }
        }
    }
}
