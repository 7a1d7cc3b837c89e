//! MQTT as the load speaks it: packets that are encoded once and then only patched, and a scan of what comes that looks at
//! what it counts and at nothing else. It shares no code with the hub's own codec, which it measures.

use std::io::{self, ErrorKind};

pub const CONNACK: u8 = 0x20;
pub const PUBLISH: u8 = 0x30;
pub const PUBACK: u8 = 0x40;
pub const PUBREC: u8 = 0x50;
pub const PUBREL: u8 = 0x62;
pub const PUBCOMP: u8 = 0x70;
pub const SUBACK: u8 = 0x90;
pub const PINGRESP: u8 = 0xD0;
pub const DISCONNECT: u8 = 0xE0;
pub const PINGREQ_PACKET: [u8; 2] = [0xC0, 0];

/// From which on a reason code is a refusal.
const REFUSALS: u8 = 0x80;

/// Which version is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Version {
    #[value(name = "3.1.1")]
    V4,
    #[value(name = "5")]
    V5,
}

/// What a payload begins with: whose it is, its number, and when it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// In ns since the run began.
    pub since: u64,
    pub publisher: u32,
    /// From 0, without a hole.
    pub number: u64,
}

/// The least that a payload has.
pub const MARK_LEN: usize = 20;

impl Mark {
    fn write(self, bytes: &mut [u8]) {
        bytes[..8].copy_from_slice(&self.since.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.publisher.to_le_bytes());
        bytes[12..MARK_LEN].copy_from_slice(&self.number.to_le_bytes());
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let (since, rest) = payload.split_first_chunk()?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let number = rest.first_chunk()?;
        Some(Self {
            since: u64::from_le_bytes(*since),
            publisher: u32::from_le_bytes(*publisher),
            number: u64::from_le_bytes(*number),
        })
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    // Names of this load are short.
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend(text.as_bytes());
}

fn put_packet(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    let mut left = body.len();
    loop {
        let digit = (left % 128) as u8;
        left /= 128;
        out.push(digit | if left > 0 { 0x80 } else { 0 });
        if left == 0 {
            break;
        }
    }
    out.extend(body);
}

/// CONNECT with the longest keep alive, so that nobody has to ping (rumqttd takes none for a fault). A session that isn't clean outlives its connection.
pub fn put_connect(version: Version, client: &str, is_clean: bool, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    put_text("MQTT", &mut body);
    body.extend([if version == Version::V5 { 5 } else { 4 }, if is_clean { 2 } else { 0 }, 0xFF, 0xFF]);
    match version {
        Version::V4 => {}
        Version::V5 if is_clean => body.push(0),
        // The session expiry interval, as long as it gets.
        Version::V5 => body.extend([5, 0x11, 0xFF, 0xFF, 0xFF, 0xFF]),
    }
    put_text(client, &mut body);
    put_packet(0x10, &body, out);
}

/// SUBSCRIBE to one filter.
pub fn put_subscribe(version: Version, filter: &str, qos: u8, out: &mut Vec<u8>) {
    let mut body = vec![0, 1];
    if version == Version::V5 {
        body.push(0);
    }
    put_text(filter, &mut body);
    body.push(qos);
    put_packet(0x82, &body, out);
}

/// An answer of two bytes: PUBACK, PUBREC, PUBREL, PUBCOMP without a reason, which is success in both versions.
pub fn put_ack(kind: u8, id: u16, out: &mut Vec<u8>) {
    let [high, low] = id.to_be_bytes();
    out.extend([kind, 2, high, low]);
}

/// One PUBLISH, encoded once: copies differ in their mark and packet id alone.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    id_at: Option<usize>,
    mark_at: usize,
}

impl Template {
    pub fn new(version: Version, topic: &str, qos: u8, size: usize) -> Self {
        let mut body = Vec::new();
        put_text(topic, &mut body);
        let in_body = body.len();
        if qos > 0 {
            body.extend([0, 1]);
        }
        if version == Version::V5 {
            body.push(0);
        }
        let mark_in_body = body.len();
        body.resize(mark_in_body + size.max(MARK_LEN), b'.');
        let mut bytes = Vec::new();
        put_packet(PUBLISH | (qos << 1), &body, &mut bytes);
        let head = bytes.len() - body.len();
        Self { id_at: (qos > 0).then_some(head + in_body), mark_at: head + mark_in_body, bytes }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a copy.
    pub fn put(&self, id: u16, mark: Mark, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&self.bytes);
        if let Some(id_at) = self.id_at {
            out[at + id_at..at + id_at + 2].copy_from_slice(&id.to_be_bytes());
        }
        mark.write(&mut out[at + self.mark_at..]);
    }
}

/// A whole packet at the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub first: u8,
    pub body: &'a [u8],
    /// How long it is with its head.
    pub len: usize,
}

/// The packet at the front; `None` when its end hasn't come.
///
/// # Errors
/// When its length has more digits than four: this is no MQTT.
pub fn take(bytes: &[u8]) -> io::Result<Option<Packet<'_>>> {
    let mut len = 0;
    for digit in 0..4 {
        let Some(&byte) = bytes.get(1 + digit) else { return Ok(None) };
        len |= usize::from(byte & 0x7F) << (7 * digit);
        if byte & 0x80 == 0 {
            let begin = 2 + digit;
            return Ok(bytes.get(begin..begin + len).map(|body| Packet { first: bytes[0], body, len: begin + len }));
        }
    }
    Err(broken("a packet without a length"))
}

/// What a PUBLISH brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub qos: u8,
    pub id: u16,
    /// `None` for somebody else's event.
    pub mark: Option<Mark>,
}

/// Looks into a PUBLISH.
///
/// # Errors
/// When it is cut short.
pub fn delivery(version: Version, packet: Packet<'_>) -> io::Result<Delivery> {
    let cut = || broken("a PUBLISH that is cut short");
    let body = packet.body;
    let topic_len = usize::from(u16::from_be_bytes(*body.first_chunk().ok_or_else(cut)?));
    let mut rest = body.get(2 + topic_len..).ok_or_else(cut)?;
    let qos = (packet.first >> 1) & 3;
    let mut id = 0;
    if qos > 0 {
        let (head, tail) = rest.split_first_chunk().ok_or_else(cut)?;
        (id, rest) = (u16::from_be_bytes(*head), tail);
    }
    if version == Version::V5 {
        let (len, digits) = properties_len(rest).ok_or_else(cut)?;
        rest = rest.get(digits + len..).ok_or_else(cut)?;
    }
    Ok(Delivery { qos, id, mark: Mark::read(rest) })
}

/// The length of the properties, and how many digits it has.
fn properties_len(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut len = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((len, at + 1));
        }
    }
    None
}

/// The packet id of an acknowledgement, and whether it is a refusal.
///
/// # Errors
/// When it has no id.
pub fn ack(packet: Packet<'_>) -> io::Result<(u16, bool)> {
    let id = packet.body.first_chunk().ok_or_else(|| broken("an acknowledgement without a packet id"))?;
    Ok((u16::from_be_bytes(*id), packet.body.get(2).is_some_and(|reason| *reason >= REFUSALS)))
}

/// Whether CONNACK says yes and whether there was a session, and the receive maximum that it names.
///
/// # Errors
/// When it says no.
pub fn connack(version: Version, packet: Packet<'_>) -> io::Result<(bool, u16)> {
    match packet.body {
        [flags, 0, properties @ ..] => {
            let most = if version == Version::V5 { receive_maximum(properties) } else { None };
            Ok((flags & 1 == 1, most.unwrap_or(u16::MAX)))
        }
        [_, reason, ..] => Err(broken(&format!("CONNACK says no: {reason:#04x}"))),
        _ => Err(broken("a CONNACK that is cut short")),
    }
}

/// The one property of CONNACK that the load must keep to; the others are passed over by their lengths (MQTT 5.0 section 3.2.2.3).
fn receive_maximum(properties: &[u8]) -> Option<u16> {
    let (len, digits) = properties_len(properties)?;
    let mut rest = properties.get(digits..digits + len)?;
    while let Some((id, tail)) = rest.split_first() {
        let text = |bytes: &[u8]| Some(2 + usize::from(u16::from_be_bytes(*bytes.first_chunk()?)));
        let len = match id {
            0x21 => return Some(u16::from_be_bytes(*tail.first_chunk()?)),
            0x11 | 0x27 => 4,
            0x13 | 0x22 => 2,
            0x24 | 0x25 | 0x28 | 0x29 | 0x2A => 1,
            0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => text(tail)?,
            0x26 => {
                let name = text(tail)?;
                name + text(tail.get(name..)?)?
            }
            _ => return None,
        };
        rest = tail.get(len..)?;
    }
    None
}

pub fn broken(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_brings_its_mark_and_id_wherever_it_is_cut() {
        for (version, qos, size) in [(Version::V4, 0, 0), (Version::V4, 1, 64), (Version::V5, 2, 1_024)] {
            let template = Template::new(version, "bench/t", qos, size);
            let marks = [0, 1].map(|number| Mark { since: 7, publisher: 3, number });
            let mut bytes = Vec::new();
            template.put(258, marks[0], &mut bytes);
            template.put(259, marks[1], &mut bytes);
            assert_eq!(bytes.len(), 2 * template.len());
            for cut in 0..template.len() {
                assert_eq!(take(&bytes[..cut]).unwrap(), None, "{cut}");
            }
            let first = take(&bytes).unwrap().unwrap();
            let second = take(&bytes[first.len..]).unwrap().unwrap();
            for (packet, mark, id) in [(first, marks[0], 258), (second, marks[1], 259)] {
                let id = if qos > 0 { id } else { 0 };
                assert_eq!(delivery(version, packet).unwrap(), Delivery { qos, id, mark: Some(mark) });
            }
        }
    }

    #[test]
    fn the_receive_maximum_is_found_behind_other_properties() {
        let properties = [18, 0x26, 0, 1, b'a', 0, 2, b'b', b'c', 0x11, 0, 0, 0, 9, 0x24, 1, 0x21, 3, 0xE8];
        let body = [&[1, 0], &properties[..]].concat();
        let packet = Packet { first: CONNACK, body: &body, len: 0 };
        assert_eq!(connack(Version::V5, packet).unwrap(), (true, 1_000));
        assert_eq!(connack(Version::V4, Packet { body: &[0, 0], ..packet }).unwrap(), (false, u16::MAX));
        assert!(connack(Version::V4, Packet { body: &[0, 5], ..packet }).is_err());
    }

    #[test]
    fn what_is_no_mqtt_is_an_error() {
        assert!(take(&[0x30, 0x80, 0x80, 0x80, 0x80, 1]).is_err());
        assert!(delivery(Version::V4, Packet { first: PUBLISH, body: &[0, 9, b'a'], len: 0 }).is_err());
        assert!(ack(Packet { first: PUBACK, body: &[1], len: 0 }).is_err());
    }
}
