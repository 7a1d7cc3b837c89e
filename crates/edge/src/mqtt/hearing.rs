//! What a connection does with what its client says.

use super::acknowledging::Notes;
use super::connection::{Connection, Phase};
use super::packet::{Packet, Reason, Version};
use super::publishing::Run;

/// The two bytes of PINGRESP.
const PINGRESP: [u8; 2] = [0xD0, 0];

impl Connection {
    /// Hears as much as may be heard now.
    pub(super) fn hear(&mut self) {
        let (mut run, mut notes) = (Run::default(), Notes::default());
        while self.phase == Phase::Open && !self.must_wait() {
            match self.decoder.next(&mut self.buffer) {
                Ok(None) => break,
                Ok(Some(packet)) => self.take(packet, &mut run, &mut notes),
                Err(fault) => {
                    self.hand_in(&mut run);
                    self.write_notes(&mut notes);
                    self.fail(fault.reason, fault.why);
                }
            }
        }
        self.hand_in(&mut run);
        self.write_notes(&mut notes);
        if self.buffer.is_empty() {
            // An idle connection keeps no buffer.
            self.buffer = bytes::BytesMut::new();
        }
    }

    fn take(&mut self, packet: Packet, run: &mut Run, notes: &mut Notes) {
        if !matches!(packet, Packet::Publish(_)) {
            // What was published before is answered before.
            self.hand_in(run);
        }
        if !matches!(packet, Packet::PubRec(_) | Packet::PubRel(_)) {
            self.write_notes(notes);
        }
        match packet {
            Packet::Publish(publish) => self.on_publish(publish, run),
            Packet::PubAck(ack) => self.on_puback(&ack),
            Packet::PubRec(ack) => self.on_pubrec(&ack, notes),
            Packet::PubRel(ack) => self.on_pubrel(&ack, notes),
            Packet::PubComp(ack) => self.on_pubcomp(&ack),
            Packet::Subscribe(subscribe) => self.on_subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(&unsubscribe),
            Packet::PingReq => self.on_ping(),
            Packet::Disconnect(disconnect) => self.on_disconnect(&disconnect),
            Packet::Connect(_) => self.fail(Reason::PROTOCOL_ERROR, "a second CONNECT"),
            Packet::Auth(_) => self.fail(Reason::PROTOCOL_ERROR, "no authentication method was agreed on"),
        }
    }

    fn on_ping(&mut self) {
        let pong = PINGRESP.to_vec();
        // Nothing is to be overtaken when nothing is owed.
        match &mut self.open {
            Some(open) if !open.owed.is_empty() => open.owed.said(pong),
            _ => self.say(pong),
        }
    }

    fn on_disconnect(&mut self, disconnect: &super::packet::Disconnect) {
        if let (Version::V5, Some(expiry_s)) = (self.about.version, disconnect.session_expiry) {
            if self.about.is_expiry_fixed && expiry_s > 0 {
                return self.fail(Reason::PROTOCOL_ERROR, "a session that ends with its connection can't be kept");
            }
            self.about.session.expiry_s = self.front.limit_expiry(expiry_s);
        }
        if disconnect.reason == Reason::SUCCESS {
            // With any other reason it's published ([MQTT-3.1.2-8]).
            self.about.will = None;
        }
        self.leave();
    }
}
