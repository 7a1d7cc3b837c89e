//! How server-sent events spell what watchers get.

use std::io::Write;

use headwater_event::{Filter, Position, Recorded, json};
use headwater_hub::Encode;

/// The spelling: `id:` is the position to go on after, `data:` the event as JSON, which has no line ends of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerSent;

impl Encode for ServerSent {
    fn name(&self) -> &'static str {
        "sse"
    }

    fn event(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        id(recorded.position, out);
        data(recorded, out);
    }

    /// Without an id: it is kept nowhere, so nobody can go on after it.
    fn passing(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        data(recorded, out);
    }

    /// Without an id: a client that loses the connection between two of these must begin anew.
    fn state(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        data(recorded, out);
    }

    /// An id alone: the browser keeps it, and nothing is dispatched (WHATWG HTML section 9.2.6).
    fn state_end(&self, _: &Filter, as_of: Position, out: &mut Vec<u8>) {
        id(as_of, out);
        out.push(b'\n');
    }

    fn gap(&self, _: &Filter, after: Position, up_to: Position, out: &mut Vec<u8>) {
        id(up_to, out);
        // Writing into a Vec can't fail.
        let _ = write!(out, "event: gap\ndata: {{\"after\":\"{after}\",\"up_to\":\"{up_to}\"}}\n\n");
    }

    /// A comment, which proxies and sockets notice and pages don't.
    fn beat(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b":\n\n");
    }
}

/// Appends the line that a browser sends back as `Last-Event-ID`.
pub(super) fn id(position: Position, out: &mut Vec<u8>) {
    let _ = writeln!(out, "id: {position}");
}

fn data(recorded: &Recorded, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    json::write_event(recorded, out);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headwater_event::{Event, Headers, Time, Topic};

    use super::*;

    fn recorded() -> Recorded {
        let event = Event {
            id: "i".parse().unwrap(),
            topic: Topic::new("a").unwrap(),
            headers: Headers::none(),
            payload: Bytes::from_static(b"one\r\ndata: two\n\nid: 9:9"),
            at: Time(0),
        };
        Recorded { position: Position::new(7, 3), event, sticky: true }
    }

    fn written(write: impl FnOnce(&Filter, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&Filter::new("a").unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_payload_can_not_speak_for_us() {
        let frame = written(|filter, out| ServerSent.event(filter, &recorded(), out));
        assert!(frame.starts_with("id: 7:3\ndata: {\"seq\":3,") && frame.ends_with("\"}\n\n"), "{frame}");
        assert_eq!(frame.lines().count(), 3, "{frame}");
        assert!(!frame.contains('\r'), "{frame}");
    }

    #[test]
    fn a_state_has_no_id_until_all_have_been_told() {
        let frame = written(|filter, out| ServerSent.state(filter, &recorded(), out));
        assert!(frame.starts_with("data: {"), "{frame}");
        assert_eq!(written(|filter, out| ServerSent.state_end(filter, Position::new(7, 4), out)), "id: 7:4\n\n");
    }

    #[test]
    fn a_gap_says_what_is_missing_and_where_to_go_on() {
        let gap = written(|filter, out| ServerSent.gap(filter, Position::new(7, 3), Position::new(7, 9), out));
        assert_eq!(gap, "id: 7:9\nevent: gap\ndata: {\"after\":\"7:3\",\"up_to\":\"7:9\"}\n\n");
    }
}
