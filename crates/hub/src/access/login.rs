//! The first thing every connection does, also one that shows nothing: it learns who it is.

use headwater_event::{Later, Principal, Refusal};

use super::Access;
use super::credentials::{Credentials, Proof};
use crate::hub::Hub;

impl Hub {
    /// Says who shows these credentials. Every edge calls it before the first operation of a connection (or of a request,
    /// where there are no connections), also for those who show nothing: there is no other way to a principal that counts.
    ///
    /// Nothing and tokens are answered at once; a password takes some tens of milliseconds on a pool of its own.
    ///
    /// # Errors
    /// `NotAuthenticated` when what is shown doesn't hold; it isn't said what was wrong with it. `Malformed` for a client id
    /// that rules couldn't be sure of. `TooFast` and `Full` when there are too many attempts.
    pub fn authenticate(&self, credentials: Credentials) -> Later<'static, Result<Principal, Refusal>> {
        let answer = self.core().admission.access().authenticate(credentials);
        let core = std::sync::Arc::clone(self.core());
        Box::pin(async move { answer.await.inspect_err(|refusal| core.metrics.refuse(refusal)) })
    }
}

impl Access {
    /// As [`Hub::authenticate`].
    pub(crate) fn authenticate(&self, credentials: Credentials) -> Later<'static, Result<Principal, Refusal>> {
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
