//! The frame protocol: HELLO and messages, as they come in pieces.

use bytes::{BufMut as _, BytesMut};
use headwater_edge::frames::decode::{Item, Messages, take_hello};
use headwater_edge::frames::wire::{Code, Hello};
use headwater_event::ProducerId;

/// Small, so that the limit is met.
const PAYLOAD_MAX: usize = 40;

/// The first byte says in what pieces the others come; they must be judged as they are in one piece.
pub fn frames(data: &[u8]) {
    let Some((step, bytes)) = data.split_first() else { return };
    assert_eq!(hear(bytes, bytes.len()), hear(bytes, usize::from(*step % 32) + 1));
}

fn hear(bytes: &[u8], step: usize) -> (Option<Hello>, Option<Code>, Vec<Item>) {
    let (mut buffer, mut hello, mut items) = (BytesMut::new(), None, Vec::new());
    let mut messages = Messages::new(PAYLOAD_MAX);
    for piece in bytes.chunks(step.max(1)) {
        buffer.put_slice(piece);
        if hello.is_none() {
            match take_hello(&mut buffer) {
                Ok(came) => hello = came,
                Err(code) => return (None, Some(code), items),
            }
        }
        if hello.is_some() {
            messages.take(&mut buffer, &mut items);
            assert!(buffer.len() < 12 + PAYLOAD_MAX, "no more is kept than one message that may still be taken");
        }
    }
    for item in &items {
        if let Item::Message { payload, .. } = item {
            assert!(payload.len() <= PAYLOAD_MAX);
        }
    }
    (hello, None, items)
}

/// A HELLO with and without a token, then messages below and above the limit.
pub fn seeds() -> Vec<Vec<u8>> {
    let conversation = |step: u8, token: &'static [u8], payloads: &[&[u8]]| {
        let mut bytes = BytesMut::new();
        bytes.put_u8(step);
        Hello { client: ProducerId::from_u128(7), token: token.into() }.encode(&mut bytes);
        for (payload, seq) in payloads.iter().zip(1_u64..) {
            bytes.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
            bytes.put_u64(seq);
            bytes.put_slice(payload);
        }
        bytes.to_vec()
    };
    vec![
        conversation(0, b"", &[b"one", b"", b"three"]),
        conversation(6, b"a token", &[&[1; PAYLOAD_MAX], &[2; PAYLOAD_MAX + 1], b"after"]),
        conversation(30, b"", &[&[3; 500], &[4; 30]]),
    ]
}

/// Heads of messages.
pub const WORDS: &[&[u8]] = &[
    b"HWF1",
    b"\0\0\0\x28\0\0\0\0\0\0\0\x01",
    b"\0\0\0\x29\0\0\0\0\0\0\0\x02",
    b"\0\0\0\0\0\0\0\0\0\0\0\x03",
    b"\x01\0\0\x01\0\0\0\0\0\0\0\x04",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
];
