//! What engines whose places are in a ledger do alike: append, and read latest states.

use std::sync::Arc;

use headwater_event::{BusError, Filter, Later, Publication, Receipts, StickyPage, Topic, TopicPage};

use super::ledger::Ledger;
use super::member::ANSWER_TIME_MAX;

/// The part of such an engine that all its tasks share.
pub(crate) trait Front: Send + Sync + 'static {
    fn ledger(&self) -> &Ledger;

    /// The ledger has something to publish.
    fn has_appended(&self);

    /// Somebody wants to hear all that happens.
    fn is_followed(&self);

    /// What is said when an answer takes too long.
    fn late(&self) -> BusError;
}

/// Appends, and waits for the engine's acknowledgement.
pub(crate) fn append<F: Front>(front: &Arc<F>, batch: Vec<Publication>) -> Later<'static, Result<Receipts, BusError>> {
    let reply = match front.ledger().append(batch) {
        Ok(reply) => reply,
        Err(error) => return Box::pin(std::future::ready(Err(error))),
    };
    front.has_appended();
    let front = Arc::clone(front);
    Box::pin(async move {
        match tokio::time::timeout(ANSWER_TIME_MAX, reply).await {
            Ok(result) => result.unwrap_or(Err(BusError::Closed)),
            Err(_) => Err(front.late()),
        }
    })
}

/// A page of latest states.
pub(crate) async fn latest(
    front: &impl Front,
    filter: &Filter,
    after: Option<&Topic>,
    limit: usize,
) -> Result<StickyPage, BusError> {
    know_states(front).await?;
    front.ledger().latest(filter, after, limit)
}

/// A page of the topics that have one.
pub(crate) async fn topics(
    front: &impl Front,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<TopicPage, BusError> {
    know_states(front).await?;
    front.ledger().topics(prefix, after, limit)
}

/// Numbers of producers are nobody's to keep there.
pub(crate) fn no_numbers(front: &impl Front) -> BusError {
    if front.ledger().is_closed() {
        return BusError::Closed;
    }
    BusError::Unable("keep the numbers of producers")
}

/// Waits until the engine's latest states are known here.
async fn know_states(front: &impl Front) -> Result<(), BusError> {
    if front.ledger().follow() {
        front.is_followed();
    }
    let known = async {
        let mut ear = front.ledger().listen();
        while !front.ledger().is_filled()? {
            ear.rung().await;
        }
        Ok(())
    };
    tokio::time::timeout(ANSWER_TIME_MAX, known).await.unwrap_or_else(|_| Err(front.late()))
}
