//! How a watcher is told what happens: PUBLISH packets, encoded once for all subscriptions of one kind.
//!
//! The packet id is that of the event's place in the log ([`number_of`]), so that it's the same for everybody.

use std::sync::Arc;

use headwater_event::{Clock, Event, Filter, Position, Recorded, Text};
use headwater_hub::{Encode, number_of};

use super::headers::{self, Meaning, has_expiry, is_from, meanings, qos_of};
use super::packet::{Qos, SubscribeOptions, Version, varint};
use super::session::least;
use crate::ws::frame::{Opcode, write_frame_with};

/// What tells one kind of subscription from another.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) version: Version,
    pub(super) options: SubscribeOptions,
    /// The subscription identifier; 0 for none (MQTT 5.0 section 3.8.2.1.2).
    pub(super) id: u32,
    /// The connection whose own publications are left out (section 3.8.3.1).
    pub(super) not_from: Option<Text>,
    /// Packets above this size are left out (section 3.1.2.11.4); 0 sets no limit.
    pub(super) packet_len_max: u32,
    /// Each packet stands in a WebSocket frame of its own.
    pub(super) is_framed: bool,
    /// Each packet begins with what the event is to the hub.
    pub(super) is_told: bool,
}

/// The spelling of one kind of subscription.
pub(super) struct Spelling {
    kind: Kind,
    variant: Text,
    clock: Clock,
}

/// What is special about one telling of an event.
#[derive(Clone, Copy, Default)]
pub(super) struct Telling {
    pub(super) qos: u8,
    pub(super) is_again: bool,
    pub(super) is_retained: bool,
    /// Which attempt it is; 0 where nobody counts.
    pub(super) attempt: u32,
}

impl Spelling {
    pub(super) fn new(kind: Kind, clock: Clock) -> Self {
        let Kind { version, options, id, not_from, packet_len_max, is_framed, is_told } = &kind;
        let from = not_from.as_deref().unwrap_or_default();
        let variant = format!(
            "{version:?} {:02x} {id} {packet_len_max} {is_framed} {is_told} {from}",
            options.byte(Version::V5) & 0x0F
        );
        Self { kind, variant: variant.into(), clock }
    }

    pub(super) fn shared(kind: Kind, clock: Clock) -> Arc<dyn Encode> {
        Arc::new(Self::new(kind, clock))
    }

    /// The quality of service with which this subscription is told an event (section 3.8.4).
    pub(super) fn qos_of(&self, event: &Event) -> Qos {
        least(qos_of(event), self.kind.options.qos)
    }

    /// The packet for the last of the hub's own events of a topic.
    pub(super) fn own_state(&self, event: Event) -> Vec<u8> {
        let recorded = Recorded { position: Position::new(0, 0), event, sticky: true };
        let mut packet = Vec::new();
        self.tell(&recorded, Telling { is_retained: true, ..Telling::default() }, &mut packet);
        packet
    }

    /// The packet for one attempt to deliver an event.
    pub(super) fn attempt(&self, recorded: &Recorded, attempt: u32, out: &mut Vec<u8>) {
        let telling = Telling {
            qos: self.qos_of(&recorded.event).bits(),
            is_again: false,
            is_retained: recorded.sticky && self.kind.options.retain_as_published,
            attempt,
        };
        self.tell(recorded, telling, out);
    }

    fn tell(&self, recorded: &Recorded, telling: Telling, out: &mut Vec<u8>) {
        if self.kind.is_framed {
            let start = out.len();
            let mut is_told = false;
            write_frame_with(Opcode::Binary, out, |out| is_told = self.publish(recorded, telling, out));
            if !is_told {
                out.truncate(start);
            }
        } else {
            self.publish(recorded, telling, out);
        }
    }

    /// Appends the packet, or nothing when it isn't for this subscription; gives whether it did.
    fn publish(&self, recorded: &Recorded, telling: Telling, out: &mut Vec<u8>) -> bool {
        let event = &recorded.event;
        if self.kind.not_from.as_ref().is_some_and(|from| is_from(event, from)) {
            return false;
        }
        let mut properties = Vec::new();
        if self.kind.version == Version::V5 {
            if self.kind.is_told {
                let attempt = telling.attempt.max(1 + u32::from(telling.is_again));
                let told = headers::told(attempt, event);
                write_text(0x26, headers::TOLD.as_bytes(), &mut properties);
                properties.extend_from_slice(&u16::try_from(told.len()).unwrap_or(u16::MAX).to_be_bytes());
                properties.extend_from_slice(told.as_bytes());
            }
            if !self.write_properties(event, telling.is_again, &mut properties) {
                return false;
            }
        } else if !telling.is_again && !event.headers.is_empty() && self.is_expired(event) {
            return false;
        }
        let topic = event.topic.as_str();
        let id_len = if telling.qos > 0 { 2 } else { 0 };
        let properties_len = match self.kind.version {
            Version::V5 => varint_len(properties.len()) + properties.len(),
            Version::V311 => 0,
        };
        let len = 2 + topic.len() + id_len + properties_len + event.payload.len();
        let max = self.kind.packet_len_max as usize;
        if max > 0 && 1 + varint_len(len) + len > max {
            return false;
        }
        out.reserve(5 + len);
        out.push(0x30 | u8::from(telling.is_again) << 3 | telling.qos << 1 | u8::from(telling.is_retained));
        write_varint(len, out);
        // A topic has at most 1,024 bytes.
        out.extend_from_slice(&u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(topic.as_bytes());
        if telling.qos > 0 {
            out.extend_from_slice(&number_of(recorded.position.seq).to_be_bytes());
        }
        if self.kind.version == Version::V5 {
            write_varint(properties.len(), out);
            out.extend_from_slice(&properties);
        }
        out.extend_from_slice(&event.payload);
        true
    }

    fn is_expired(&self, event: &Event) -> bool {
        meanings(&event.headers).any(|meaning| match meaning {
            Meaning::Expiry(seconds) => self.left_of(event, seconds).is_none(),
            _ => false,
        })
    }

    /// How many seconds are left of an expiry (section 3.3.2.3.3); `None` when it's over.
    fn left_of(&self, event: &Event, seconds: u32) -> Option<u32> {
        let passed = self.clock.now().since(event.at).as_secs();
        u32::try_from(u64::from(seconds).saturating_sub(passed)).ok().filter(|left| *left > 0)
    }

    /// Appends the properties; `false` when the event has expired. What was sent before is sent again all the same ([MQTT-4.3.3-7]).
    fn write_properties(&self, event: &Event, is_again: bool, out: &mut Vec<u8>) -> bool {
        for meaning in meanings(&event.headers) {
            match meaning {
                Meaning::Qos(_) | Meaning::From(_) => {}
                Meaning::Format(format) => out.extend_from_slice(&[0x01, format.byte()]),
                Meaning::Expiry(seconds) => {
                    let left = self.left_of(event, seconds).or(is_again.then_some(0));
                    let Some(left) = left else { return false };
                    out.push(0x02);
                    out.extend_from_slice(&left.to_be_bytes());
                }
                Meaning::ContentType(text) => write_text(0x03, text.as_bytes(), out),
                Meaning::ResponseTopic(text) => write_text(0x08, text.as_bytes(), out),
                Meaning::Correlation(bytes) => write_text(0x09, &bytes, out),
                Meaning::User(name, value) => {
                    write_text(0x26, name.as_bytes(), out);
                    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
                    out.extend_from_slice(&len.to_be_bytes());
                    out.extend_from_slice(value.as_bytes());
                }
            }
        }
        if self.kind.id > 0 {
            out.push(0x0B);
            write_varint(self.kind.id as usize, out);
        }
        true
    }
}

/// Lengths here are bounded by the payload's and the headers' limits, far below what four bytes hold.
fn short(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(varint::MAX).min(varint::MAX)
}

fn varint_len(value: usize) -> usize {
    varint::len(short(value))
}

fn write_varint(value: usize, out: &mut Vec<u8>) {
    let (bytes, used) = varint::bytes(short(value));
    out.extend_from_slice(&bytes[..used]);
}

/// A property of text or bytes; headers have at most 16 KiB in all, so a length always fits.
fn write_text(property: u8, text: &[u8], out: &mut Vec<u8>) {
    out.push(property);
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(text);
}

impl Encode for Spelling {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn variant(&self) -> Option<&Text> {
        Some(&self.variant)
    }

    fn ages(&self, recorded: &Recorded) -> bool {
        has_expiry(&recorded.event)
    }

    fn is_acknowledged(&self, recorded: &Recorded) -> bool {
        self.qos_of(&recorded.event) > Qos::AtMostOnce
    }

    fn event(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        self.attempt(recorded, 1, out);
    }

    fn again(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        let telling = Telling {
            qos: self.qos_of(&recorded.event).bits(),
            is_again: true,
            is_retained: recorded.sticky && self.kind.options.retain_as_published,
            attempt: 0,
        };
        self.tell(recorded, telling, out);
    }

    fn passing(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        self.tell(recorded, Telling::default(), out);
    }

    fn state(&self, _: &Filter, recorded: &Recorded, out: &mut Vec<u8>) {
        let telling = Telling { qos: self.qos_of(&recorded.event).bits(), is_retained: true, ..Telling::default() };
        self.tell(recorded, telling, out);
    }

    /// MQTT has no word for it: it is counted.
    fn gap(&self, _: &Filter, _: Position, _: Position, _: &mut Vec<u8>) {}

    /// In MQTT it's the client that gives signs of life.
    fn beat(&self, _: &mut Vec<u8>) {}
}
