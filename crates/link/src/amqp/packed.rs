//! An event, and a dead letter, as bytes: how Redis and waiting queues keep them.
//!
//! A version byte, then numbers (big-endian) and texts behind their lengths (u32). What can't be read is nobody's.

use bytes::{Buf, BufMut, Bytes};
use headwater_event::{DeadLetter, Event, EventId, Headers, Position, Recorded, Text, Time, Topic};

use crate::local::desk::Burial;

const VERSION: u8 = 1;

/// How much of a reason is kept, in bytes.
const WHY_LEN_MAX: usize = 4 << 10;

/// An event that has died or waits, without a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub event: Event,
    pub sticky: bool,
    pub attempts: u32,
    pub why: String,
    pub at: Time,
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    // Nothing here has four gigabytes.
    bytes.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
    bytes.put_slice(part);
}

fn take(bytes: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
    (len <= bytes.len()).then(|| bytes.split_to(len))
}

fn text(bytes: &mut Bytes) -> Option<Text> {
    Text::from_utf8(take(bytes)?).ok()
}

/// The bytes of an event.
pub(super) fn pack(event: &Event, sticky: bool) -> Vec<u8> {
    let mut bytes = vec![VERSION, u8::from(sticky)];
    bytes.put_u64(event.at.as_micros());
    put(&mut bytes, event.id.to_string().as_bytes());
    put(&mut bytes, event.topic.as_str().as_bytes());
    put(&mut bytes, event.headers.as_stored());
    put(&mut bytes, &event.payload);
    bytes
}

/// The event of these bytes, whether it's sticky, and what follows.
pub(super) fn unpack(bytes: Bytes) -> Option<(Event, bool, Bytes)> {
    let mut bytes = bytes;
    if bytes.try_get_u8().ok()? != VERSION {
        return None;
    }
    let sticky = bytes.try_get_u8().ok()? == 1;
    let at = Time(bytes.try_get_u64().ok()?);
    let event = Event {
        id: EventId::from_text(text(&mut bytes)?).ok()?,
        topic: Topic::new(text(&mut bytes)?).ok()?,
        headers: Headers::from_stored(take(&mut bytes)?).ok()?,
        payload: take(&mut bytes)?,
        at,
    };
    Some((event, sticky, bytes))
}

impl Letter {
    /// The letter of an event that has died here.
    pub(super) fn of_burial(burial: &Burial) -> Self {
        let Recorded { event, sticky, .. } = burial.recorded.clone();
        let why = burial.why[..burial.why.floor_char_boundary(WHY_LEN_MAX)].to_owned();
        Self { event, sticky, attempts: burial.attempts, why, at: burial.at }
    }

    pub(super) fn pack(&self) -> Vec<u8> {
        let mut bytes = pack(&self.event, self.sticky);
        bytes.put_u32(self.attempts);
        bytes.put_u64(self.at.as_micros());
        put(&mut bytes, self.why.as_bytes());
        bytes
    }

    /// `None` when it's none.
    pub(super) fn unpack(bytes: &[u8]) -> Option<Self> {
        let (event, sticky, mut rest) = unpack(Bytes::copy_from_slice(bytes))?;
        let attempts = rest.try_get_u32().ok()?;
        let at = Time(rest.try_get_u64().ok()?);
        Some(Self { event, sticky, attempts, why: text(&mut rest)?.to_string(), at })
    }

    /// The letter at its place in this process.
    pub(super) fn numbered(self, position: Position) -> DeadLetter {
        let recorded = Recorded { position, event: self.event, sticky: self.sticky };
        DeadLetter { recorded, attempts: self.attempts, why: self.why, at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        let event = Event {
            id: "order-17".parse().unwrap(),
            topic: "a/ü".parse().unwrap(),
            headers: Headers::from_pairs([("x", ""), ("x", "1")]).unwrap(),
            payload: Bytes::from_static(b"\0p"),
            at: Time(7),
        };
        Letter { event, sticky: true, attempts: 4, why: "no such patient".into(), at: Time(9) }
    }

    #[test]
    fn a_letter_comes_back_as_it_went_in() {
        assert_eq!(Letter::unpack(&letter().pack()), Some(letter()));
    }

    #[test]
    fn what_is_cut_at_any_place_is_no_letter() {
        let whole = letter().pack();
        for len in 0..whole.len() {
            assert_eq!(Letter::unpack(&whole[..len]), None, "cut at {len}");
        }
        let mut other = whole.clone();
        other[0] = 9;
        assert_eq!(Letter::unpack(&other), None, "another version");
        other = whole;
        other[10] = 0xFF;
        assert_eq!(Letter::unpack(&other), None, "a length beyond the end");
    }
}
