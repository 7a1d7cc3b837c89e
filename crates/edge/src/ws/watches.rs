//! What one client watches.

use std::sync::Arc;

use bytes::Bytes;
use headwater_event::{Filter, Later};
use headwater_hub::{Outlet, Watch, WatchError, WatchId};

use super::reply;
use super::request::{Reference, Subscribe, malformed};
use super::spelling::JsonFrames;

/// A subscription that began, or the frame that says why not.
pub type Begun = Result<(Filter, WatchId), Bytes>;

/// The filters that a client watches, sorted: a map would cost an idle watcher half a kilobyte.
#[derive(Debug, Default)]
pub struct Watches(Vec<(Filter, WatchId)>);

impl Watches {
    /// Begins a subscription, or says why not. `max` is how many one connection may have.
    pub fn begin(
        &self,
        outlet: &Arc<Outlet>,
        reference: Option<Reference>,
        subscribe: Subscribe,
        max: usize,
    ) -> Result<Later<'static, Begun>, Bytes> {
        let why = if self.0.len() >= max {
            Some(malformed(format!("one connection has at most {max} subscriptions")))
        } else if self.find(&subscribe.filter).is_ok() {
            Some(malformed("this filter is already subscribed to"))
        } else {
            None
        };
        if let Some(refusal) = why {
            return Err(refused(reference.as_ref(), WatchError::Refusal(refusal)));
        }
        let Subscribe { filter, from, sticky, behind } = subscribe;
        let watch = Watch {
            filter: filter.clone(),
            from,
            sticky,
            encoder: JsonFrames::shared(),
            behind,
            again: Vec::new(),
            is_only_states: false,
            is_only_again: false,
        };
        let outlet = outlet.clone();
        Ok(Box::pin(async move {
            let answer = |_, after| reply::subscribed(reference.as_ref(), &filter, after);
            match outlet.watch_after(watch, answer).await {
                Ok(id) => Ok((filter, id)),
                Err(error) => Err(refused(reference.as_ref(), error)),
            }
        }))
    }

    /// Keeps a subscription that began.
    pub fn keep(&mut self, filter: Filter, id: WatchId) {
        if let Err(at) = self.find(&filter) {
            // Most connections have one.
            self.0.reserve_exact(1);
            self.0.insert(at, (filter, id));
        }
    }

    /// Ends a subscription; gives the answer.
    pub fn end(&mut self, outlet: &Outlet, reference: Option<&Reference>, filter: &Filter) -> Bytes {
        match self.find(filter) {
            Ok(at) => {
                let (_, id) = self.0.remove(at);
                outlet.unwatch(id);
                reply::unsubscribed(reference, filter)
            }
            Err(_) => refused(reference, WatchError::Refusal(malformed("this filter is not subscribed to"))),
        }
    }

    fn find(&self, filter: &Filter) -> Result<usize, usize> {
        self.0.binary_search_by(|(have, _)| have.cmp(filter))
    }
}

fn refused(reference: Option<&Reference>, error: WatchError) -> Bytes {
    reply::not_watching(reference, &error)
}
