//! What the hub keeps for itself in the log, on topics that are closed to clients: sessions, the audit trail.
//!
//! Clients' events can't come in here: only reserved topics are taken, and [`publish`](crate::Hub::publish) refuses those.

use std::sync::Arc;

use headwater_event::{
    BusError, Filter, GroupName, GroupOptions, Later, Member, Principal, Publication, Receipts, Refusal, StickyPage,
    Topic,
};

use crate::hub::{Core, Hub};
use crate::publish::{Appending, refusal_of};

impl Core {
    /// As [`Hub::note`].
    pub(crate) fn note(
        self: &Arc<Self>,
        batch: Vec<Publication>,
    ) -> Result<Later<'static, Result<Receipts, Refusal>>, Refusal> {
        let mut pass = self.admission.admit_own(batch)?;
        let now = self.clock.now();
        for publication in pass.publications() {
            publication.event.at = now;
        }
        Ok(Box::pin(Appending::new(self.gate.append(pass), self)))
    }
}

impl Hub {
    /// Keeps what a part of Headwater itself has to remember, all or none; durable when the future gives `Ok`. The order in
    /// the log is fixed when this returns.
    ///
    /// # Errors
    /// At once: `NotAllowed` for a topic that isn't [reserved](crate::RESERVED_PREFIXES). Later: `Unavailable`.
    pub fn note(&self, batch: Vec<Publication>) -> Result<Later<'static, Result<Receipts, Refusal>>, Refusal> {
        self.core().note(batch)
    }

    /// A client's events together with a note that must be durable with them, all or none: the note stands last.
    ///
    /// # Errors
    /// As [`Hub::publish`] for the events and [`Hub::note`] for the note.
    pub fn publish_with_note(
        &self,
        who: &Principal,
        batch: Vec<Publication>,
        note: Publication,
    ) -> Result<Later<'static, Result<Receipts, Refusal>>, Refusal> {
        let core = self.core();
        let own = core.admission.admit_own(vec![note])?;
        let admitted = core.admission.admit(who, batch).inspect_err(|refusal| core.metrics.refuse(refusal))?;
        let mut pass = admitted.and(own);
        let now = core.clock.now();
        for publication in pass.publications() {
            publication.event.at = now;
        }
        Ok(Box::pin(Appending::new(core.gate.append(pass), core)))
    }

    /// The latest notes that this filter of reserved topics wants, as [`Hub::latest`] gives those of clients.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn recall(&self, filter: &Filter, after: Option<&Topic>, limit: usize) -> Result<StickyPage, Refusal> {
        self.core().gate.latest(filter, after, limit).await.map_err(refusal_of)
    }

    /// Becomes a member of a group over this filter on behalf of a client, if it may watch it.
    ///
    /// The client's right must be asked again when rights change: [`Outlet::shares`](crate::Outlet::shares) sees to it.
    ///
    /// # Errors
    /// `NotAllowed`, `Malformed` when the engine has no such groups, `Unavailable`.
    pub async fn join(
        &self,
        who: &Principal,
        filter: &Filter,
        group: &GroupName,
        options: GroupOptions,
    ) -> Result<Box<dyn Member>, Refusal> {
        self.join_all(who, std::slice::from_ref(filter), group, options).await
    }

    /// As [`Hub::join`], over several filters: the client has to be allowed to watch each of them.
    ///
    /// # Errors
    /// As [`Hub::join`].
    pub async fn join_all(
        &self,
        who: &Principal,
        filters: &[Filter],
        group: &GroupName,
        options: GroupOptions,
    ) -> Result<Box<dyn Member>, Refusal> {
        let core = self.core();
        let allowed: Result<Vec<_>, _> =
            filters.iter().map(|filter| core.admission.access().may_watch(who, filter)).collect();
        let filters = allowed?.iter().map(|allowed| allowed.filter().clone()).collect();
        let options = GroupOptions { filters, ..options };
        core.gate.join(group, options).await.map_err(|error| match error {
            BusError::Unable(_) => Refusal::Malformed("this engine has no groups".into()),
            other => refusal_of(other),
        })
    }

    /// Ends a group that the hub's edges made.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_group(&self, group: &GroupName) -> Result<(), Refusal> {
        self.core().gate.end_group(group).await.map_err(refusal_of)
    }

    /// Whether this principal may publish to this topic now: for what is to be published later, as a will is.
    ///
    /// # Errors
    /// `NotAllowed`.
    pub fn may_publish(&self, who: &Principal, topic: &Topic) -> Result<(), Refusal> {
        self.core().admission.access().may_publish(who, topic)
    }

    /// Whether this principal may watch this filter now. It opens nothing: whatever opens a way out asks for itself.
    ///
    /// # Errors
    /// `NotAllowed`.
    pub fn may_watch(&self, who: &Principal, filter: &Filter) -> Result<(), Refusal> {
        self.core().admission.access().may_watch(who, filter).map(drop)
    }

    /// The clock of this hub.
    #[must_use]
    pub fn clock(&self) -> &headwater_event::Clock {
        &self.core().clock
    }
}
