//! UNSUBSCRIBE, and deliveries that have begun for subscriptions that are no more.

use std::sync::Arc;

use headwater_event::Position;
use headwater_hub::From;

use super::connection::Connection;
use super::front::Front;
use super::packet::{Reason, UnsubAck, Unsubscribe};
use super::session::{Leftover, Subscription};
use super::subscribing::{Beginning, written};

impl Connection {
    pub(super) fn on_unsubscribe(&mut self, unsubscribe: &Unsubscribe) {
        if self.is_answer_too_large(unsubscribe.filters.len()) {
            return;
        }
        self.take_standings();
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for written in &unsubscribe.filters {
            let found = self.about.session.find(written);
            reasons.push(if found.is_ok() { Reason::SUCCESS } else { Reason::NO_SUBSCRIPTION_EXISTED });
            if let Ok(at) = found {
                let subscription = self.about.session.subscriptions.remove(at);
                self.about.shares.retain(|(of, _)| of != written);
                leave_group(&self.front, &subscription);
                self.keep_leftover(subscription);
            }
        }
        let mut answer = Vec::new();
        let unsuback = UnsubAck { packet_id: unsubscribe.packet_id, reasons, explanation: None };
        written(unsuback.encode(self.about.version, &mut answer));
        self.answer_noted(answer);
    }

    /// What was begun for a subscription that is no more is completed: now, or on the next connection.
    fn keep_leftover(&mut self, subscription: Subscription) {
        let Some(watch) = subscription.watch else { return };
        let unsent = self.outlet.standing(watch).map(|standing| standing.again).unwrap_or_default();
        self.outlet.unwatch(watch);
        if !subscription.standing.again.is_empty() {
            self.about.session.add_leftover(Leftover { of: subscription, unsent, number: None });
        }
    }

    /// Deliveries without a subscription are completed.
    pub(super) fn resume_leftovers(&mut self, head: Position, beginnings: &mut Vec<Beginning>) {
        for number in 0..self.about.session.leftovers.len() {
            let leftover = &mut self.about.session.leftovers[number];
            leftover.number = Some(number);
            let Subscription { written, filter, options, id, .. } = leftover.of.clone();
            let again = leftover.unsent.clone();
            let Some(last) = again.last() else { continue };
            beginnings.push(Beginning {
                written,
                filter,
                group: None,
                from: From::After(Position { seq: *last, ..head }),
                again,
                wants_states: false,
                is_only_states: false,
                leftover: Some(number),
                instead_of: None,
                is_resumed: true,
                kind: self.kind(options, id),
            });
        }
    }
}

/// A subscription is no more; with the last one its group ends.
pub(super) fn leave_group(front: &Front, subscription: &Subscription) {
    let Some(group) = subscription.group.clone() else { return };
    // Others may have members in it that this edge knows nothing of.
    if front.shares.leave(&group) && front.elsewhere.is_none() {
        let hub = Arc::clone(&front.hub);
        tokio::spawn(async move {
            if let Err(refusal) = hub.end_group(&group).await {
                tracing::warn!(%group, %refusal, "a shared subscription could not be ended");
            }
        });
    }
}
