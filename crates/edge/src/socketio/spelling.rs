//! How a namespace's clients are told what happens: a Socket.IO event, with the offset as its last argument or as that of an
//! event behind it.

use std::io::Write;
use std::sync::Arc;

use headwater_event::{Filter, Position, Recorded, Text};
use headwater_hub::Encode;

use super::namespaces::Namespace;
use super::packet;

/// The event that has an offset and says nothing else.
const POSITION: &[u8] = b"\"position\"";

/// A namespace's spelling; once for all of its clients.
pub(super) struct Spelling {
    namespace: Arc<dyn Namespace>,
    variant: Text,
    offset: Offset,
}

/// Where a client is told how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offset {
    /// As the last argument of each event, as `socket.io-client` expects it.
    Last,
    /// As that of an event of its own behind each.
    Apart,
    /// Nowhere: it can't go on after what it is told by this.
    None,
}

impl Spelling {
    pub(super) fn shared(namespace: &Arc<dyn Namespace>, offset: Offset) -> Arc<dyn Encode> {
        let suffix = match offset {
            Offset::Last => "",
            Offset::Apart => " apart",
            Offset::None => " beside",
        };
        let variant = format!("{}{suffix}", namespace.name());
        Arc::new(Self { namespace: Arc::clone(namespace), variant: variant.into(), offset })
    }

    fn told(&self, recorded: &Recorded, is_state: bool, offset: Option<Position>, out: &mut Vec<u8>) {
        let mut arguments = Vec::new();
        self.namespace.spell(recorded, is_state, &mut arguments);
        if arguments.is_empty() {
            return;
        }
        let is_apart = self.offset == Offset::Apart;
        self.event(&arguments, offset.filter(|_| !is_apart), out);
        if is_apart && offset.is_some() {
            // Both leave with one write; a client that gets the first alone hears the event once more when it's back.
            self.event(POSITION, offset, out);
        }
    }

    fn event(&self, arguments: &[u8], offset: Option<Position>, out: &mut Vec<u8>) {
        packet::write(b'2', self.namespace.name(), None, &[], out, |out| {
            out.push(b'[');
            out.extend_from_slice(arguments);
            if let Some(offset) = offset.filter(|_| self.offset != Offset::None) {
                // Writing into a Vec can't fail.
                let _ = write!(out, ",\"{offset}\"");
            }
            out.push(b']');
        });
    }
}

impl Encode for Spelling {
    fn name(&self) -> &'static str {
        "socketio"
    }

    fn variant(&self) -> Option<&Text> {
        Some(&self.variant)
    }

    fn event(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        self.told(recorded, false, Some(recorded.position), out);
    }

    /// Without an offset: it is kept nowhere.
    fn passing(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        self.told(recorded, false, None, out);
    }

    /// Without an offset: a client that loses its connection between two of these must begin anew.
    fn state(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        self.told(recorded, true, None, out);
    }

    /// An event of its own, as a client keeps the offset of whatever event it gets.
    fn state_end(&self, filter: &Filter, as_of: Position, out: &mut Vec<u8>) {
        let mut arguments = b"\"live\",{\"filter\":".to_vec();
        headwater_event::json::write_str(filter.as_str(), &mut arguments);
        arguments.push(b'}');
        self.event(&arguments, Some(as_of), out);
    }

    fn gap(&self, filter: &Filter, after: Position, up_to: Position, out: &mut Vec<u8>) {
        let mut arguments = b"\"gap\",{\"filter\":".to_vec();
        headwater_event::json::write_str(filter.as_str(), &mut arguments);
        let _ = write!(arguments, ",\"after\":\"{after}\",\"up_to\":\"{up_to}\"}}");
        self.event(&arguments, Some(up_to), out);
    }

    /// Pings are the session's own: they are answered, whatever else is said.
    fn beat(&self, _: &mut Vec<u8>) {}
}
