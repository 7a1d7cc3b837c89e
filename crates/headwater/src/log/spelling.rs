//! An event as a line for people.

use headwater_event::Recorded;
use headwater_event::json::write_time;

/// `SEQ TIME TOPIC PAYLOAD`; what isn't text, or would move the terminal's cursor, is escaped.
pub fn write_line(recorded: &Recorded, out: &mut Vec<u8>) {
    out.extend_from_slice(recorded.position.seq.to_string().as_bytes());
    out.push(b' ');
    write_time(recorded.event.at, out);
    out.push(b' ');
    out.extend_from_slice(recorded.event.topic.as_str().as_bytes());
    out.push(b' ');
    for chunk in recorded.event.payload.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() {
                out.extend_from_slice(letter.escape_default().to_string().as_bytes());
            } else {
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        out.extend_from_slice(chunk.invalid().escape_ascii().to_string().as_bytes());
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use headwater_event::{Event, Headers, Position, Time, Topic};

    use super::*;

    #[test]
    fn what_would_move_the_cursor_is_escaped() {
        let event = Event {
            id: "i".parse().unwrap(),
            topic: Topic::new("a/b").unwrap(),
            headers: Headers::none(),
            payload: Bytes::from_static(b"\xc3\xbc\x1b[2J\n\xff"),
            at: Time(0),
        };
        let mut out = Vec::new();
        write_line(&Recorded { position: Position::new(1, 7), event, sticky: false }, &mut out);
        let line = String::from_utf8(out).unwrap();
        assert_eq!(line, "7 1970-01-01T00:00:00.000000Z a/b ü\\u{1b}[2J\\n\\xff\n");
    }
}
