//! How a watcher on a WebSocket is told what happens: one JSON object a text message.

use std::io::Write;
use std::sync::{Arc, LazyLock};

use headwater_event::{Filter, Position, Recorded, json};
use headwater_hub::Encode;

use super::frame::{Opcode, write_frame, write_frame_with};

/// The JSON frames of `/v1/ws`. It has no state: all connections share one.
#[derive(Clone, Copy, Debug)]
pub struct JsonFrames;

impl JsonFrames {
    /// The one that all share.
    #[must_use]
    pub fn shared() -> Arc<dyn Encode> {
        static SHARED: LazyLock<Arc<JsonFrames>> = LazyLock::new(|| Arc::new(JsonFrames));
        SHARED.clone()
    }
}

impl Encode for JsonFrames {
    fn name(&self) -> &'static str {
        "ws-json"
    }

    fn event(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        frame("event", filter, out, |out| {
            position("position", recorded.position, out);
            event(recorded, out);
        });
    }

    fn passing(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        // Without a position: it has none.
        frame("event", filter, out, |out| event(recorded, out));
    }

    fn state(&self, filter: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        // Without a position: one must not go on from here, as the states come ordered by topic.
        frame("event", filter, out, |out| {
            out.extend_from_slice(b",\"state\":true");
            event(recorded, out);
        });
    }

    fn state_end(&self, filter: &Filter, as_of: Position, out: &mut Vec<u8>) {
        frame("current", filter, out, |out| position("position", as_of, out));
    }

    fn gap(&self, filter: &Filter, after: Position, up_to: Position, out: &mut Vec<u8>) {
        frame("gap", filter, out, |out| {
            position("after", after, out);
            position("up_to", up_to, out);
        });
    }

    fn beat(&self, out: &mut Vec<u8>) {
        // Browsers answer it by themselves, and their pages don't see it.
        write_frame(Opcode::Ping, b"", out);
    }
}

fn frame(op: &str, filter: &Filter, out: &mut Vec<u8>, rest: impl FnOnce(&mut Vec<u8>)) {
    write_frame_with(Opcode::Text, out, |out| {
        out.extend_from_slice(b"{\"op\":\"");
        out.extend_from_slice(op.as_bytes());
        out.extend_from_slice(b"\",\"filter\":");
        json::write_str(filter.as_str(), out);
        rest(out);
        out.push(b'}');
    });
}

fn event(recorded: &Recorded, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"event\":");
    json::write_event(recorded, out);
}

/// Appends a further member with a position; writing into a Vec can't fail.
pub fn position(name: &str, position: Position, out: &mut Vec<u8>) {
    let _ = write!(out, ",\"{name}\":\"{position}\"");
}
