//! The packets of MQTT 5.0 and 3.1.1 that a client of ours sends.

use super::packet::{Dialect, Properties, Publish};

/// What a client says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Connect<'a> {
    pub dialect: Dialect,
    pub client_id: &'a str,
    pub is_clean: bool,
    pub session_expiry_s: u32,
    pub receive_maximum: u16,
    pub packet_len_max: u32,
    pub keep_alive_s: u16,
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    /// Asks a Headwater for more than MQTT tells.
    pub ask: (&'a str, &'a str),
}

/// One wanted filter.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub filter: String,
    /// QoS, retain as published, retain handling, as the byte of section 3.8.3.1.
    pub options: u8,
}

/// QoS 1, the retain flag as it was published, the retained ones sent with every subscribing.
pub(crate) const WANT_ALL: u8 = 0b0000_1001;
/// The same without the retained ones; shared subscriptions have none anyway.
pub(crate) const WANT_NEW: u8 = 0b0010_1001;
/// QoS 0, with the retained ones: for what is told again and again.
pub(crate) const WANT_TOLD: u8 = 0b0000_1000;

/// Appends a CONNECT.
pub(crate) fn write_connect(connect: &Connect<'_>, out: &mut Vec<u8>) {
    let mut body = b"\x00\x04MQTT".to_vec();
    body.push(match connect.dialect {
        Dialect::V5 => 5,
        Dialect::V3 => 4,
        Dialect::V3Bridge => 0x84,
    });
    let has = |given: bool, bit: u8| if given { bit } else { 0 };
    body.push(has(connect.user.is_some(), 0x80) | has(connect.password.is_some(), 0x40) | has(connect.is_clean, 2));
    body.extend_from_slice(&connect.keep_alive_s.to_be_bytes());
    if connect.dialect.has_properties() {
        let mut properties = Vec::new();
        properties.push(0x11);
        properties.extend_from_slice(&connect.session_expiry_s.to_be_bytes());
        properties.push(0x21);
        properties.extend_from_slice(&connect.receive_maximum.to_be_bytes());
        properties.push(0x27);
        properties.extend_from_slice(&connect.packet_len_max.to_be_bytes());
        properties.push(0x26);
        write_text(connect.ask.0.as_bytes(), &mut properties);
        write_text(connect.ask.1.as_bytes(), &mut properties);
        write_varint(properties.len(), &mut body);
        body.extend_from_slice(&properties);
    }
    for text in [Some(connect.client_id), connect.user, connect.password].into_iter().flatten() {
        write_text(text.as_bytes(), &mut body);
    }
    write_body(0x10, &body, out);
}

/// Appends a PUBLISH; gives how long it is.
pub(crate) fn write_publish(publish: &Publish, dialect: Dialect, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    let Properties { format, expiry, response_topic, correlation, content_type, user } = &publish.properties;
    let mut properties = Vec::new();
    if let Some(format) = format {
        properties.extend_from_slice(&[0x01, *format]);
    }
    if let Some(expiry) = expiry {
        properties.push(0x02);
        properties.extend_from_slice(&expiry.to_be_bytes());
    }
    let text = |name: u8, bytes: &[u8], properties: &mut Vec<u8>| {
        properties.push(name);
        write_text(bytes, properties);
    };
    if let Some(topic) = response_topic {
        text(0x08, topic.as_bytes(), &mut properties);
    }
    if let Some(bytes) = correlation {
        text(0x09, bytes, &mut properties);
    }
    if let Some(kind) = content_type {
        text(0x03, kind.as_bytes(), &mut properties);
    }
    for (name, value) in user {
        text(0x26, name.as_bytes(), &mut properties);
        write_text(value.as_bytes(), &mut properties);
    }
    let mut lead = Vec::with_capacity(publish.topic.len() + properties.len() + 8);
    write_text(publish.topic.as_bytes(), &mut lead);
    if publish.qos > 0 {
        lead.extend_from_slice(&publish.packet_id.to_be_bytes());
    }
    if dialect.has_properties() {
        write_varint(properties.len(), &mut lead);
        lead.extend_from_slice(&properties);
    }
    out.push(0x30 | u8::from(publish.is_again) << 3 | publish.qos << 1 | u8::from(publish.is_retained));
    write_varint(lead.len() + publish.payload.len(), out);
    out.extend_from_slice(&lead);
    out.extend_from_slice(&publish.payload);
    out.len() - start
}

/// Appends a PUBACK that says that all is well.
pub(crate) fn write_puback(packet_id: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x40, 2]);
    out.extend_from_slice(&packet_id.to_be_bytes());
}

/// Appends a SUBSCRIBE.
pub(crate) fn write_subscribe(packet_id: u16, wants: &[Want], dialect: Dialect, out: &mut Vec<u8>) {
    let mut body = packet_id.to_be_bytes().to_vec();
    if dialect.has_properties() {
        write_varint(0, &mut body);
    }
    for want in wants {
        write_text(want.filter.as_bytes(), &mut body);
        body.push(want.options);
    }
    write_body(0x82, &body, out);
}

/// Appends an UNSUBSCRIBE.
pub(crate) fn write_unsubscribe(packet_id: u16, filters: &[&str], dialect: Dialect, out: &mut Vec<u8>) {
    let mut body = packet_id.to_be_bytes().to_vec();
    if dialect.has_properties() {
        write_varint(0, &mut body);
    }
    for filter in filters {
        write_text(filter.as_bytes(), &mut body);
    }
    write_body(0xA2, &body, out);
}

/// Appends a PINGREQ.
pub(crate) fn write_ping(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xC0, 0]);
}

/// Appends a DISCONNECT; with `is_for_ever` the session ends too, which only 5.0 can say.
pub(crate) fn write_disconnect(is_for_ever: bool, out: &mut Vec<u8>) {
    if is_for_ever {
        out.extend_from_slice(&[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 0]);
    } else {
        out.extend_from_slice(&[0xE0, 0]);
    }
}

fn write_body(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    write_varint(body.len(), out);
    out.extend_from_slice(body);
}

fn write_varint(mut value: usize, out: &mut Vec<u8>) {
    loop {
        // Seven bits fit.
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// Text or bytes behind their length; longer ones than a length can say never come here (topics and headers are bounded).
fn write_text(bytes: &[u8], out: &mut Vec<u8>) {
    let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}
