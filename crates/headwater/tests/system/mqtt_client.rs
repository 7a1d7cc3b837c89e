//! An MQTT client, written from the specifications: 3.1.1 and 5.0, blocking, without any help.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::program::PATIENCE;

/// A packet from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    ConnAck {
        is_present: bool,
        code: u8,
    },
    Publish(Message),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP by its number (4 to 7), with packet id and reason.
    Ack(u8, u16, u8),
    SubAck(u16, Vec<u8>),
    UnsubAck(u16),
    Pong,
    Disconnect(u8),
}

/// What was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub id: u16,
    pub is_again: bool,
    pub is_retained: bool,
    /// The seconds that it has left.
    pub expiry: Option<u32>,
}

impl Message {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

/// How to connect.
#[derive(Clone, Copy)]
pub struct Hello<'a> {
    pub id: &'a str,
    pub is_five: bool,
    /// Whether the session outlives the connection.
    pub is_kept: bool,
    /// Whether an earlier session is thrown away.
    pub is_clean: bool,
    pub will: Option<(&'a str, &'a str)>,
    pub login: Option<(&'a str, &'a str)>,
}

impl<'a> Hello<'a> {
    pub fn new(id: &'a str) -> Self {
        Self { id, is_five: true, is_kept: false, is_clean: true, will: None, login: None }
    }

    pub fn kept(id: &'a str) -> Self {
        Self { is_kept: true, is_clean: false, ..Self::new(id) }
    }
}

/// One connection.
pub struct MqttClient {
    stream: TcpStream,
    read: Vec<u8>,
    /// Deliveries that came while something else was waited for.
    early: VecDeque<Packet>,
    is_five: bool,
    pub is_present: bool,
}

impl MqttClient {
    /// Connects and waits for CONNACK; an error tells its code.
    pub fn connect(addr: SocketAddr, hello: Hello<'_>) -> io::Result<Self> {
        let mut client = Self::open(addr, hello.is_five)?;
        client.write(&connect(hello))?;
        match client.next()? {
            Packet::ConnAck { code: 0, is_present } => client.is_present = is_present,
            other => return Err(io::Error::other(format!("{other:?}"))),
        }
        Ok(client)
    }

    /// A connection on which nothing was said yet.
    pub fn open(addr: SocketAddr, is_five: bool) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, read: Vec::new(), early: VecDeque::new(), is_five, is_present: false })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn publish(&mut self, topic: &str, payload: &str, qos: u8, id: u16) -> io::Result<()> {
        let bytes = self.publication(topic, payload, qos, id, false, None);
        self.write(&bytes)
    }

    /// A PUBLISH as bytes; `name` is the event id (5.0).
    pub fn publication(
        &self,
        topic: &str,
        payload: &str,
        qos: u8,
        id: u16,
        is_again: bool,
        name: Option<&str>,
    ) -> Vec<u8> {
        let mut body = text(topic);
        if qos > 0 {
            body.extend(id.to_be_bytes());
        }
        if self.is_five {
            let mut properties = Vec::new();
            if let Some(name) = name {
                properties.push(0x26);
                properties.extend(text("event-id"));
                properties.extend(text(name));
            }
            body.extend(length(properties.len()));
            body.extend(properties);
        }
        body.extend(payload.as_bytes());
        packet(0x30 | u8::from(is_again) << 3 | qos << 1, &body)
    }

    /// The same, retained.
    pub fn publish_retained(&mut self, topic: &str, payload: &str, id: u16) -> io::Result<()> {
        let mut bytes = self.publication(topic, payload, 1, id, false, None);
        bytes[0] |= 1;
        self.write(&bytes)
    }

    /// Subscribes and waits for the answer; what is delivered before it would be an error here.
    pub fn subscribe(&mut self, filter: &str, qos: u8) -> u8 {
        let mut body = 7u16.to_be_bytes().to_vec();
        if self.is_five {
            body.push(0);
        }
        body.extend(text(filter));
        body.push(qos);
        self.write(&packet(0x82, &body)).unwrap();
        match self.next().unwrap() {
            Packet::SubAck(7, codes) => codes[0],
            other => panic!("{other:?} for SUBACK"),
        }
    }

    pub fn ack(&mut self, kind: u8, id: u16) -> io::Result<()> {
        let flags = if kind == 6 { 2 } else { 0 };
        self.write(&packet(kind << 4 | flags, &id.to_be_bytes()))
    }

    /// Waits until the server has heard all that was said so far; what is told meanwhile stays to be read.
    pub fn heard(&mut self) {
        self.write(&packet(0xC0, &[])).unwrap();
        self.wait_for(&Packet::Pong);
    }

    /// DISCONNECT, and then nothing more.
    pub fn leave(mut self) {
        self.write(&packet(0xE0, &[])).unwrap();
        // The server has heard it when it ends the connection.
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
    }

    /// The next packet.
    pub fn next(&mut self) -> io::Result<Packet> {
        if let Some(packet) = self.early.pop_front() {
            return Ok(packet);
        }
        loop {
            if let Some((first, body, used)) = whole(&self.read) {
                let packet = self.decode(first, &body);
                self.read.drain(..used);
                return Ok(packet);
            }
            let mut some = [0; 16 << 10];
            let len = match self.stream.read(&mut some) {
                // A read with a time limit ends so when the process was stopped and goes on.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.read.extend_from_slice(&some[..len]);
        }
    }

    /// The next delivery; it is acknowledged as its QoS wants it, to the end.
    pub fn message(&mut self) -> Message {
        match self.next().unwrap() {
            Packet::Publish(message) => {
                match message.qos {
                    0 => {}
                    1 => self.ack(4, message.id).unwrap(),
                    _ => {
                        self.ack(5, message.id).unwrap();
                        self.wait_for(&Packet::Ack(6, message.id, 0));
                        self.ack(7, message.id).unwrap();
                    }
                }
                message
            }
            other => panic!("{other:?} for a delivery"),
        }
    }

    /// Reads until this packet comes; deliveries that come before it are kept for later.
    pub fn wait_for(&mut self, packet: &Packet) {
        let mut early = std::mem::take(&mut self.early);
        loop {
            match self.next().unwrap() {
                next if next == *packet => break,
                next @ Packet::Publish(_) => early.push_back(next),
                other => panic!("{other:?} for {packet:?}"),
            }
        }
        self.early = early;
    }

    fn decode(&self, first: u8, body: &[u8]) -> Packet {
        let id = || u16::from_be_bytes([body[0], body[1]]);
        match first >> 4 {
            2 => Packet::ConnAck { is_present: body[0] & 1 == 1, code: body[1] },
            3 => Packet::Publish(self.decode_publish(first, body)),
            kind @ 4..=7 => Packet::Ack(kind, id(), body.get(2).copied().unwrap_or(0)),
            9 => Packet::SubAck(id(), self.after_properties(&body[2..]).to_vec()),
            11 => Packet::UnsubAck(id()),
            13 => Packet::Pong,
            14 => Packet::Disconnect(body.first().copied().unwrap_or(0)),
            _ => panic!("a packet that no server sends: {first:#x} {body:x?}"),
        }
    }

    fn decode_publish(&self, first: u8, body: &[u8]) -> Message {
        let topic_len = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + topic_len].to_vec()).unwrap();
        let mut rest = &body[2 + topic_len..];
        let qos = first >> 1 & 3;
        let mut id = 0;
        if qos > 0 {
            id = u16::from_be_bytes([rest[0], rest[1]]);
            rest = &rest[2..];
        }
        let expiry = if self.is_five { expiry(rest) } else { None };
        let payload = self.after_properties(rest).to_vec();
        Message { topic, payload, qos, id, is_again: first & 8 != 0, is_retained: first & 1 != 0, expiry }
    }

    fn after_properties<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if !self.is_five {
            return bytes;
        }
        let (len, used) = read_length(bytes).unwrap();
        &bytes[used + len..]
    }
}

/// The message expiry interval among the properties that these bytes begin with.
fn expiry(bytes: &[u8]) -> Option<u32> {
    let (len, used) = read_length(bytes).unwrap();
    let mut rest = &bytes[used..used + len];
    let text_len = |bytes: &[u8]| 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    while let Some((kind, value)) = rest.split_first() {
        let len = match kind {
            0x01 => 1,
            0x02 => return Some(u32::from_be_bytes(value[..4].try_into().unwrap())),
            0x23 => 2,
            0x0B => read_length(value).unwrap().1,
            0x03 | 0x08 | 0x09 => text_len(value),
            0x26 => text_len(value) + text_len(&value[text_len(value)..]),
            other => panic!("{other:#x} is no property of PUBLISH"),
        };
        rest = &value[len..];
    }
    None
}

/// A PUBLISH by 5.0 with QoS 1 that expires after so many seconds.
pub fn expiring(topic: &str, payload: &str, id: u16, seconds: u32) -> Vec<u8> {
    let mut body = text(topic);
    body.extend(id.to_be_bytes());
    body.extend([5, 0x02]);
    body.extend(seconds.to_be_bytes());
    body.extend(payload.as_bytes());
    packet(0x32, &body)
}

/// A CONNECT as bytes.
pub fn connect(hello: Hello<'_>) -> Vec<u8> {
    let mut body = text("MQTT");
    body.push(if hello.is_five { 5 } else { 4 });
    let is_clean = if hello.is_five { hello.is_clean } else { !hello.is_kept };
    let mut flags = u8::from(is_clean) << 1;
    if hello.will.is_some() {
        flags |= 0x04 | 0x08;
    }
    if hello.login.is_some() {
        flags |= 0xC0;
    }
    body.push(flags);
    body.extend(60u16.to_be_bytes());
    if hello.is_five {
        if hello.is_kept {
            body.extend([5, 0x11, 0, 0, 0x0E, 0x10]);
        } else {
            body.push(0);
        }
    }
    body.extend(text(hello.id));
    if let Some((topic, payload)) = hello.will {
        if hello.is_five {
            body.push(0);
        }
        body.extend(text(topic));
        body.extend(text(payload));
    }
    if let Some((user, password)) = hello.login {
        body.extend(text(user));
        body.extend(text(password));
    }
    packet(0x10, &body)
}

/// A packet of this first byte.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(length(body.len()));
    bytes.extend_from_slice(body);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn length(mut len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (len & 0x7F) as u8;
        len >>= 7;
        bytes.push(if len > 0 { low | 0x80 } else { low });
        if len == 0 {
            return bytes;
        }
    }
}

fn read_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut len = 0;
    for (at, byte) in bytes.iter().enumerate().take(4) {
        len |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((len, at + 1));
        }
    }
    None
}

fn whole(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let first = *bytes.first()?;
    let (len, used) = read_length(&bytes[1..])?;
    let body = bytes.get(1 + used..1 + used + len)?;
    Some((first, body.to_vec(), 1 + used + len))
}
