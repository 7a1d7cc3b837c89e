//! Socket.IO version 5 packets, as they come and without trust.

use std::io::Write;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::engine::Fault;
use crate::ws::{Opcode, write_frame_with};

/// The longest name of a namespace in bytes: names are the server's own, so a longer one is of nobody's.
pub const NAMESPACE_LEN_MAX: usize = 255;

/// Names that only the two ends themselves may use.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// A packet whose attachments have not come, if it has any.
#[derive(Debug)]
pub struct Packet {
    /// What it is.
    pub kind: Kind,
    /// `/` or the name of another namespace.
    pub namespace: Box<str>,
    /// Which answer is asked for or given.
    pub id: Option<u64>,
    /// How many attachments follow.
    pub attachments: usize,
    /// They, as they come.
    pub binary: Vec<Bytes>,
}

/// What a packet is.
#[derive(Debug)]
pub enum Kind {
    /// Wants into a namespace; what it shows, a JSON object.
    Connect(Option<Box<str>>),
    /// Leaves it.
    Disconnect,
    /// A name and arguments, each as JSON.
    Event(String, Vec<Box<RawValue>>),
    /// The answer to an event of ours.
    Ack(Vec<Box<RawValue>>),
}

const fn fault<T>(why: &'static str) -> Result<T, Fault> {
    Err(Fault(why))
}

/// Reads what stands in an Engine.IO message.
///
/// # Errors
/// For everything that is no packet of a client.
pub fn read(text: &str, attachments_max: usize) -> Result<Packet, Fault> {
    let Some(kind @ b'0'..=b'6') = text.as_bytes().first() else { return fault("no Socket.IO packet") };
    let mut rest = &text[1..];
    let mut attachments = 0;
    if matches!(kind, b'5' | b'6') {
        let Some((count, after)) = rest.split_once('-') else { return fault("no count of attachments") };
        attachments =
            number(count).and_then(|count| usize::try_from(count).ok()).ok_or(Fault("no count of attachments"))?;
        if attachments > attachments_max {
            return fault("too many attachments");
        }
        rest = after;
    }
    let mut namespace = "/";
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        // What follows the question mark was a query in earlier versions.
        namespace = namespace.split('?').next().unwrap_or_default();
        if namespace.len() > NAMESPACE_LEN_MAX {
            return fault("too long a namespace");
        }
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let id = match &rest[..digits] {
        "" => None,
        digits => Some(number(digits).ok_or(Fault("too large a number"))?),
    };
    let kind = read_kind(*kind, id, &rest[digits..])?;
    let packet = Packet { kind, namespace: namespace.into(), id, attachments, binary: Vec::new() };
    packet.check_places()?;
    Ok(packet)
}

fn number(digits: &str) -> Option<u64> {
    // Neither signs nor numbers that JavaScript can't hold.
    let is_plain = !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| digits.parse().ok()).flatten()
}

fn read_kind(kind: u8, id: Option<u64>, data: &str) -> Result<Kind, Fault> {
    Ok(match kind {
        b'0' if id.is_none() => Kind::Connect(read_object(data)?),
        b'1' if data.is_empty() && id.is_none() => Kind::Disconnect,
        b'2' | b'5' => {
            let mut all = read_array(data)?;
            if all.is_empty() {
                return fault("an event without a name");
            }
            let arguments = all.split_off(1);
            // The name may be a number too; nothing here is called so.
            let name = all[0].get();
            let name = match serde_json::from_str::<String>(name) {
                Ok(name) if RESERVED.contains(&&*name) => return fault("a reserved name"),
                Ok(name) => name,
                Err(_) if name.parse::<f64>().is_ok() => name.to_owned(),
                Err(_) => return fault("an event's name is a string"),
            };
            Kind::Event(name, arguments)
        }
        b'3' | b'6' if id.is_some() => Kind::Ack(read_array(data)?),
        _ => return fault("a packet that no client sends"),
    })
}

fn read_object(data: &str) -> Result<Option<Box<str>>, Fault> {
    if data.is_empty() {
        return Ok(None);
    }
    let raw: &RawValue = serde_json::from_str(data).map_err(|_| Fault("what is shown is no JSON"))?;
    if !raw.get().starts_with('{') {
        return fault("what is shown is a JSON object");
    }
    Ok(Some(raw.get().into()))
}

fn read_array(data: &str) -> Result<Vec<Box<RawValue>>, Fault> {
    serde_json::from_str(data).map_err(|_| Fault("arguments are a JSON array"))
}

/// A place where an attachment belongs.
#[derive(serde::Deserialize)]
struct Placed {
    #[serde(rename = "_placeholder")]
    is_place: bool,
    num: usize,
}

impl Packet {
    /// Whether all its attachments have come.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.binary.len() == self.attachments
    }

    /// Each place names an attachment that comes. A packet without attachments has no places, whatever it looks like.
    fn check_places(&self) -> Result<(), Fault> {
        if self.attachments == 0 {
            return Ok(());
        }
        let (Kind::Event(_, arguments) | Kind::Ack(arguments)) = &self.kind else { return Ok(()) };
        for argument in arguments {
            // The parser's own bound of 128 levels holds here.
            let value = serde_json::from_str(argument.get()).map_err(|_| Fault("arguments are nested too deeply"))?;
            self.check_value(&value)?;
        }
        Ok(())
    }

    fn check_value(&self, value: &serde_json::Value) -> Result<(), Fault> {
        match value {
            serde_json::Value::Array(values) => values.iter().try_for_each(|value| self.check_value(value)),
            serde_json::Value::Object(members) if members.get("_placeholder") == Some(&true.into()) => {
                match members.get("num").and_then(serde_json::Value::as_u64) {
                    Some(num) if num < self.attachments as u64 => Ok(()),
                    _ => fault("illegal attachments"),
                }
            }
            serde_json::Value::Object(members) => members.values().try_for_each(|value| self.check_value(value)),
            _ => Ok(()),
        }
    }

    /// The attachment that an argument stands for, when it is one and nothing else.
    #[must_use]
    pub fn attachment(&self, argument: &RawValue) -> Option<&Bytes> {
        let placed: Placed = serde_json::from_str(argument.get()).ok().filter(|_| self.attachments > 0)?;
        self.binary.get(placed.num).filter(|_| placed.is_place)
    }
}

/// Appends a packet's WebSocket frame, and those of its attachments. `data` writes the JSON.
pub fn write(
    kind: u8,
    namespace: &str,
    id: Option<u64>,
    binary: &[Bytes],
    out: &mut Vec<u8>,
    data: impl FnOnce(&mut Vec<u8>),
) {
    write_frame_with(Opcode::Text, out, |out| {
        out.extend_from_slice(&[b'4', if binary.is_empty() { kind } else { kind + 3 }]);
        if !binary.is_empty() {
            let _ = write!(out, "{}-", binary.len());
        }
        if namespace != "/" {
            out.extend_from_slice(namespace.as_bytes());
            out.push(b',');
        }
        if let Some(id) = id {
            let _ = write!(out, "{id}");
        }
        data(out);
    });
    for attachment in binary {
        crate::ws::write_frame(Opcode::Binary, attachment, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> (String, Vec<String>, Packet) {
        let packet = read(text, 10).unwrap();
        let Kind::Event(name, arguments) = &packet.kind else { panic!("{text}") };
        (name.clone(), arguments.iter().map(|argument| argument.get().to_owned()).collect(), packet)
    }

    #[test]
    fn packets_are_read_with_all_their_parts() {
        let (name, arguments, packet) = event(r#"2/admin,456["message",1,"2",{"3":[true]}]"#);
        assert_eq!((&*name, &*packet.namespace, packet.id), ("message", "/admin", Some(456)));
        assert_eq!(arguments, ["1", "\"2\"", "{\"3\":[true]}"]);
        let (_, _, packet) =
            event(r#"52-["message",{"_placeholder":true,"num":0},{"a":[{"_placeholder":true,"num":1}]}]"#);
        assert_eq!((packet.attachments, packet.is_whole(), &*packet.namespace), (2, false, "/"));
        assert!(matches!(read("0", 10).unwrap().kind, Kind::Connect(None)));
        assert!(
            matches!(&read("0/a,{\"token\":\"1\"}", 10).unwrap().kind, Kind::Connect(Some(auth)) if &**auth == "{\"token\":\"1\"}")
        );
        assert_eq!(&*read("0/random", 10).unwrap().namespace, "/random");
        assert_eq!(&*read("0/a?x=1,", 10).unwrap().namespace, "/a");
        assert!(matches!(read("1/custom", 10).unwrap().kind, Kind::Disconnect));
        assert!(matches!(&read("313[1]", 10).unwrap().kind, Kind::Ack(arguments) if arguments.len() == 1));
    }

    #[test]
    fn what_no_client_sends_is_a_fault() {
        let deep = format!("51-[\"a\",{}1{}]", "[".repeat(200), "]".repeat(200));
        for bad in [
            "",
            "abc",
            "7",
            "2",
            "2{}",
            "2[]",
            "2[null]",
            "2[{}]",
            "2[[]]",
            "2[\"a\"",
            "2[\"a\"]x",
            "2abc[\"a\"]",
            "2-1[\"a\"]",
            "29999999999999999[\"a\"]",
            "2[\"connect\"]",
            "2[\"disconnecting\"]",
            "2[\"newListener\"]",
            "0[]",
            "0\"a\"",
            "01{}",
            "0{",
            "1[]",
            "3[1]",
            "3",
            "31{}",
            "4{}",
            "5[\"a\"]",
            "5-[\"a\"]",
            "511-[\"a\"]",
            "5-1-[\"a\"]",
            "51e1-[\"a\"]",
            "51-[\"a\",{\"_placeholder\":true,\"num\":1}]",
            "51-[\"a\",{\"_placeholder\":true,\"num\":-1}]",
            "51-[\"a\",{\"_placeholder\":true,\"num\":\"splice\"}]",
            "51-[\"a\",{\"_placeholder\":true}]",
            "52[\"a\"]",
            "é",
            &deep,
            &format!("0/{}", "a".repeat(300)),
        ] {
            assert!(read(bad, 10).is_err(), "{bad:.60}");
        }
    }

    #[test]
    fn a_packet_that_was_written_is_spelled_as_the_specification_says() {
        let mut out = Vec::new();
        write(b'2', "/admin", Some(7), &[Bytes::from_static(b"x")], &mut out, |out| out.extend_from_slice(b"[1]"));
        assert_eq!(&out[2..], b"451-/admin,7[1]\x82\x01x");
        out.clear();
        write(b'0', "/", None, &[], &mut out, |out| out.extend_from_slice(b"{}"));
        assert_eq!(&out[2..], b"40{}");
    }
}
