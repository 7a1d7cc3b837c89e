//! What a client says of deliveries to it, and the second half of its own QoS 2 publications.

use headwater_event::Later;
use headwater_hub::UnderWay;

use super::connection::Connection;
use super::keep;
use super::packet::{Ack, AckKind, Reason, Version, encode_ack};
use super::session::{Leftover, Session};

/// After how many acknowledgements a session's progress is saved while its client is connected. What a crash finds unsaved
/// is delivered again, as QoS 1 allows; it takes care of QoS 2 apart.
const UNSAVED_MAX: u32 = 64;

/// What of one read has to wait until the session is saved.
#[derive(Default)]
pub(super) struct Notes {
    packets: Vec<u8>,
}

impl Connection {
    /// PUBACK: the client has a delivery of QoS 1.
    pub(super) fn on_puback(&mut self, ack: &Ack) {
        if let Some(out) = self.outlet.acknowledged(ack.packet_id) {
            self.is_settled(out);
        }
    }

    /// PUBREC: the client has a delivery of QoS 2, and will not take it again.
    pub(super) fn on_pubrec(&mut self, ack: &Ack, notes: &mut Notes) {
        if ack.reason.is_error() {
            // It doesn't want it (section 4.3.3): the exchange is over.
            return self.on_puback(ack);
        }
        let known = self.outlet.received(ack.packet_id);
        let reason = match known {
            Some(_) => Reason::SUCCESS,
            None => Reason::PACKET_ID_NOT_FOUND,
        };
        if let Some(out) = known
            && out.watch.is_none()
        {
            self.about.shares.iter().for_each(|(_, share)| share.settle(out.seq));
        }
        encode_ack(AckKind::PubRel, self.about.version, ack.packet_id, reason, &mut notes.packets);
    }

    /// PUBCOMP: a delivery of QoS 2 is complete.
    pub(super) fn on_pubcomp(&mut self, ack: &Ack) {
        self.on_puback(ack);
    }

    /// PUBREL: the client will not send this publication again, and its packet id is free.
    pub(super) fn on_pubrel(&mut self, ack: &Ack, notes: &mut Notes) {
        let was_open = self.about.session.open.remove(&ack.packet_id);
        let reason = match self.about.version {
            Version::V5 if !was_open => Reason::PACKET_ID_NOT_FOUND,
            _ => Reason::SUCCESS,
        };
        encode_ack(AckKind::PubComp, self.about.version, ack.packet_id, reason, &mut notes.packets);
    }

    /// Says what had to wait for a note, once that is durable.
    pub(super) fn write_notes(&mut self, notes: &mut Notes) {
        let packets = std::mem::take(&mut notes.packets);
        if packets.is_empty() {
            return;
        }
        match self.note_session() {
            Some(durable) => self.unfinished().owed.noted(durable, packets),
            None => self.unfinished().owed.said(packets),
        }
    }

    /// Begins to save the session as it stands; `None` when it isn't kept.
    pub(super) fn note_session(
        &mut self,
    ) -> Option<Later<'static, Result<headwater_event::Receipts, headwater_event::Refusal>>> {
        if !self.about.session.is_kept() {
            return None;
        }
        self.take_standings();
        self.about.session.is_saved = true;
        let note = keep::keep(&self.front.hub, &self.about.session, None);
        match self.front.hub.note(vec![note]) {
            Ok(durable) => Some(durable),
            Err(refusal) => Some(Box::pin(async move { Err(refusal) })),
        }
    }

    /// Writes into the session how far its subscriptions have come.
    pub(super) fn take_standings(&mut self) {
        take_standings(&mut self.about.session, &self.outlet);
    }

    fn is_settled(&mut self, out: UnderWay) {
        if out.watch.is_none() {
            self.about.shares.iter().for_each(|(_, share)| share.settle(out.seq));
        }
        if self.about.session.is_kept() {
            let open = self.unfinished();
            open.unsaved += 1;
            if open.unsaved >= UNSAVED_MAX && open.saving.is_none() {
                self.save_progress();
            }
        }
    }

    /// Saves how far the client has come; nobody waits for it.
    pub(super) fn save_progress(&mut self) {
        if let Some(durable) = self.note_session() {
            let open = self.unfinished();
            open.unsaved = 0;
            open.saving = Some(Box::pin(async move { drop(durable.await) }));
        }
    }
}

/// Writes into a session how far its subscriptions have come on this outlet, which may have ended.
pub(super) fn take_standings(session: &mut Session, outlet: &headwater_hub::Outlet) {
    let under_way = outlet.under_way();
    session.released = under_way.iter().filter(|out| out.is_received).map(|out| out.seq).collect();
    for subscription in &mut session.subscriptions {
        let Some(watch) = subscription.watch else { continue };
        let Some(mut standing) = outlet.standing(watch) else { continue };
        standing
            .again
            .extend(under_way.iter().filter(|out| out.watch == Some(watch) && !out.is_received).map(|out| out.seq));
        standing.again.sort_unstable();
        standing.again.dedup();
        subscription.standing = standing;
    }
    session.leftovers.retain_mut(|leftover| {
        let Leftover { of, unsent, number } = leftover;
        if number.is_some()
            && let Some(watch) = of.watch
        {
            // Told by a watch of its own, which is over when all was told.
            *unsent = outlet.standing(watch).map(|standing| standing.again).unwrap_or_default();
        }
        let told = under_way.iter().filter(|out| out.watch.is_some() && out.watch == of.watch && !out.is_received);
        of.standing.again = unsent.iter().copied().chain(told.map(|out| out.seq)).collect();
        of.standing.again.sort_unstable();
        of.standing.again.dedup();
        !of.standing.again.is_empty()
    });
}
