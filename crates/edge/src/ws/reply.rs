//! What the server says to one client: answers, errors and the welcome, each one text frame.

use std::io::Write;

use bytes::Bytes;
use headwater_event::{EventId, Filter, Position, Receipt, Refusal, json};
use headwater_hub::WatchError;

use super::frame::{Opcode, write_frame_with};
use super::request::Reference;
use super::settings::Settings;
use super::spelling::position;

/// The largest payload that the hub takes, and the edge's own limits, so that a client needn't guess them.
pub fn welcome(head: Position, payload_max: usize, settings: &Settings, out: &mut Vec<u8>) {
    frame("welcome", None, out, |out| {
        position("head", head, out);
        let _ = write!(
            out,
            ",\"limits\":{{\"payload_bytes\":{payload_max},\"message_bytes\":{},\"in_flight\":{},\"subscriptions\":{},\
             \"ping_seconds\":{}}}",
            settings.message_len_max,
            settings.in_flight_max,
            settings.subscriptions_max,
            settings.ping_every.as_secs()
        );
    });
}

/// "It is durable, at this position."
pub fn ack(reference: Option<&Reference>, id: &EventId, receipt: Receipt, out: &mut Vec<u8>) {
    frame("ack", reference, out, |out| {
        out.extend_from_slice(b",\"id\":");
        json::write_str(&id.to_string(), out);
        let (Position { epoch, seq }, duplicate) = (receipt.position, receipt.duplicate);
        let _ = write!(out, ",\"epoch\":{epoch},\"seq\":{seq},\"duplicate\":{duplicate}");
    });
}

/// The watch has begun: everything after this position will be told.
pub fn subscribed(reference: Option<&Reference>, filter: &Filter, after: Position) -> Bytes {
    whole("subscribed", reference, |out| {
        filter_member(filter, out);
        position("position", after, out);
    })
}

/// The watch has ended.
pub fn unsubscribed(reference: Option<&Reference>, filter: &Filter) -> Bytes {
    whole("unsubscribed", reference, |out| filter_member(filter, out))
}

/// The answer to `ping`.
pub fn pong(reference: Option<&Reference>) -> Bytes {
    whole("pong", reference, |_| {})
}

/// A refusal by its name, with its sentence, and when trying again can work.
pub fn refused(reference: Option<&Reference>, refusal: &Refusal, out: &mut Vec<u8>) {
    frame("error", reference, out, |out| {
        error_members(refusal.name(), &refusal.to_string(), out);
        if let Some(wait) = refusal.retry_after() {
            // At least 1: a client that takes 0 literally would spin.
            let _ = write!(out, ",\"retry_after_ms\":{}", wait.as_millis().max(1));
        }
    });
}

/// Why a watch could not begin; where the position is at fault, with the one that would have worked.
pub fn not_watching(reference: Option<&Reference>, error: &WatchError) -> Bytes {
    let (name, place) = match error {
        WatchError::Refusal(refusal) => {
            let mut out = Vec::new();
            refused(reference, refusal, &mut out);
            return out.into();
        }
        WatchError::Gone { oldest } => ("gone", ("oldest", *oldest)),
        WatchError::NoSuchPosition { head } => ("no_such_position", ("head", *head)),
    };
    whole("error", reference, |out| {
        error_members(name, &error.to_string(), out);
        position(place.0, place.1, out);
    })
}

fn error_members(name: &str, sentence: &str, out: &mut Vec<u8>) {
    let _ = write!(out, ",\"error\":\"{name}\",\"message\":");
    json::write_str(sentence, out);
}

fn filter_member(filter: &Filter, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"filter\":");
    json::write_str(filter.as_str(), out);
}

fn whole(op: &str, reference: Option<&Reference>, rest: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Vec::new();
    frame(op, reference, &mut out, rest);
    out.into()
}

fn frame(op: &str, reference: Option<&Reference>, out: &mut Vec<u8>, rest: impl FnOnce(&mut Vec<u8>)) {
    write_frame_with(Opcode::Text, out, |out| {
        let _ = write!(out, "{{\"op\":\"{op}\"");
        if let Some(reference) = reference {
            // As the client wrote it; it was checked to be one JSON string or number.
            out.extend_from_slice(b",\"ref\":");
            out.extend_from_slice(reference.as_bytes());
        }
        rest(out);
        out.push(b'}');
    });
}
