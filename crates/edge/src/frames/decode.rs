//! Reading what a client sends: its HELLO, then its messages, from whatever pieces the network makes of them.
//!
//! No I/O here: bytes come in by a buffer, frames go out. A declared length is never trusted with memory: a payload over
//! the limit is skipped as it streams by.

use bytes::{Buf, Bytes, BytesMut};
use headwater_event::ProducerId;

use super::wire::{CLAIM_LEN_MAX, Code, HELLO_HEAD_LEN, Hello, MAGIC, MESSAGE_HEAD_LEN, TOKEN_LEN_MAX};

/// Takes the HELLO off the front of `buffer`; `None` when it has not come whole.
///
/// # Errors
/// The status for WELCOME: `Malformed` as soon as a byte differs from the magic, `TooLong` for a token over the limit.
pub fn take_hello(buffer: &mut BytesMut) -> Result<Option<Hello>, Code> {
    let begun = buffer.len().min(MAGIC.len());
    if buffer[..begun] != MAGIC[..begun] {
        return Err(Code::Malformed);
    }
    if buffer.len() < HELLO_HEAD_LEN {
        return Ok(None);
    }
    let token_len = usize::from(u16::from_be_bytes([buffer[20], buffer[21]]));
    if token_len > TOKEN_LEN_MAX {
        return Err(Code::TooLong);
    }
    if buffer.len() < HELLO_HEAD_LEN + token_len {
        return Ok(None);
    }
    buffer.advance(MAGIC.len());
    let client = ProducerId::from_u128(buffer.get_u128());
    buffer.advance(2);
    // Copied: the buffer lives on under the messages, and the token must not keep it.
    let token = Bytes::copy_from_slice(&buffer.split_to(token_len));
    Ok(Some(Hello { client, token }))
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A message within the limit; the payload is a slice of the read buffer.
    Message {
        /// Its number.
        seq: u64,
        /// Its bytes.
        payload: Bytes,
    },
    /// A message over the limit. Its bytes are skipped, those that have come and those that follow.
    TooLong {
        /// Its number.
        seq: u64,
    },
    /// A message over [`CLAIM_LEN_MAX`]: nothing after it can be read, and nothing more is.
    Hopeless {
        /// Its number.
        seq: u64,
    },
}

/// The messages of one connection.
#[derive(Debug)]
pub struct Messages {
    payload_max: usize,
    /// How much of a payload over the limit is still to come.
    skipping: usize,
    hopeless: bool,
}

impl Messages {
    /// Messages with payloads up to this many bytes.
    #[must_use]
    pub const fn new(payload_max: usize) -> Self {
        Self { payload_max, skipping: 0, hopeless: false }
    }

    /// Takes every message that has come whole off the front of `buffer` and puts it behind `items`.
    pub fn take(&mut self, buffer: &mut BytesMut, items: &mut Vec<Item>) {
        loop {
            self.skip(buffer);
            if self.hopeless || self.skipping > 0 {
                return;
            }
            self.take_whole(buffer, items);
            let Some((len, seq)) = head(buffer) else { return };
            if len <= self.payload_max {
                return; // the rest of it is on its way
            }
            buffer.advance(MESSAGE_HEAD_LEN);
            if len > CLAIM_LEN_MAX {
                self.hopeless = true;
                items.push(Item::Hopeless { seq });
            } else {
                self.skipping = len;
                items.push(Item::TooLong { seq });
            }
        }
    }

    fn skip(&mut self, buffer: &mut BytesMut) {
        let skipped = if self.hopeless { buffer.len() } else { self.skipping.min(buffer.len()) };
        buffer.advance(skipped);
        self.skipping = self.skipping.saturating_sub(skipped);
    }

    /// The whole messages at the front leave the buffer as one piece, of which each payload is a slice: one allocation
    /// for all of them, and none of its own for any.
    fn take_whole(&self, buffer: &mut BytesMut, items: &mut Vec<Item>) {
        let mut end = 0;
        let mut count = 0;
        while let Some((len, _)) = head(&buffer[end..]) {
            if len > self.payload_max || buffer.len() - end - MESSAGE_HEAD_LEN < len {
                break;
            }
            end += MESSAGE_HEAD_LEN + len;
            count += 1;
        }
        if count == 0 {
            return;
        }
        let whole = buffer.split_to(end).freeze();
        items.reserve(count);
        let mut at = 0;
        while let Some((len, seq)) = head(&whole[at..]) {
            let begin = at + MESSAGE_HEAD_LEN;
            at = begin + len;
            items.push(Item::Message { seq, payload: whole.slice(begin..at) });
        }
    }
}

/// Length and number of the message that begins here.
fn head(bytes: &[u8]) -> Option<(usize, u64)> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (seq, _) = rest.split_first_chunk::<8>()?;
    // `usize` has at least the 32 bits of the length on every machine that tokio runs on.
    Some((usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX), u64::from_be_bytes(*seq)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::wire::encode_message_head;
    use bytes::BufMut;
    use proptest::prelude::*;

    fn hello(token: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        Hello { client: ProducerId::from_u128(7), token: Bytes::copy_from_slice(token) }.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_hello_is_taken_once_its_last_byte_is_there() {
        let whole = hello(b"secret");
        for len in 0..whole.len() {
            assert_eq!(take_hello(&mut BytesMut::from(&whole[..len])), Ok(None), "cut at {len}");
        }
        let mut buffer = BytesMut::from(&whole[..]);
        buffer.put_slice(b"next");
        let taken = take_hello(&mut buffer).unwrap().unwrap();
        assert_eq!((taken.client.as_u128(), &taken.token[..]), (7, &b"secret"[..]));
        assert_eq!(&buffer[..], b"next");
    }

    #[test]
    fn another_protocol_is_seen_by_its_first_byte() {
        assert_eq!(take_hello(&mut BytesMut::from(&b"G"[..])), Err(Code::Malformed));
        assert_eq!(take_hello(&mut BytesMut::from(&b"HWF2"[..])), Err(Code::Malformed));
    }

    #[test]
    fn a_token_over_the_limit_is_refused_before_it_comes() {
        let mut head = hello(b"");
        head[20..].copy_from_slice(&(TOKEN_LEN_MAX as u16 + 1).to_be_bytes());
        assert_eq!(take_hello(&mut BytesMut::from(&head[..])), Err(Code::TooLong));
    }

    fn message(seq: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_message_head(payload.len() as u32, seq, &mut bytes);
        bytes.put_slice(payload);
        bytes
    }

    #[test]
    fn a_claim_beyond_hope_ends_the_reading() {
        let mut bytes = message(1, b"a");
        encode_message_head(CLAIM_LEN_MAX as u32 + 1, 2, &mut bytes);
        bytes.extend(message(3, b"b"));
        let (mut messages, mut items, mut buffer) = (Messages::new(8), Vec::new(), BytesMut::from(&bytes[..]));
        messages.take(&mut buffer, &mut items);
        assert_eq!(items[1..], [Item::Hopeless { seq: 2 }]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_payload_over_the_limit_is_never_held() {
        let mut head = Vec::new();
        encode_message_head(CLAIM_LEN_MAX as u32, 1, &mut head);
        let (mut messages, mut items, mut buffer) = (Messages::new(8), Vec::new(), BytesMut::from(&head[..]));
        for _ in 0..CLAIM_LEN_MAX / 4_096 {
            buffer.put_bytes(0, 4_096);
            messages.take(&mut buffer, &mut items);
            assert!(buffer.is_empty());
        }
        buffer.put_slice(&message(2, b"b"));
        messages.take(&mut buffer, &mut items);
        assert_eq!(items, [Item::TooLong { seq: 1 }, Item::Message { seq: 2, payload: Bytes::from_static(b"b") }]);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_messages_are_the_same(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 0..20),
            cuts in prop::collection::vec(1..40_usize, 1..50),
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (at, payload) in payloads.iter().enumerate() {
                let seq = at as u64 + 1;
                bytes.extend(message(seq, payload));
                expected.push(if payload.len() > 16 {
                    Item::TooLong { seq }
                } else {
                    Item::Message { seq, payload: Bytes::copy_from_slice(payload) }
                });
            }
            let (mut messages, mut items, mut buffer) = (Messages::new(16), Vec::new(), BytesMut::new());
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                buffer.put_slice(piece);
                messages.take(&mut buffer, &mut items);
                rest = after;
            }
            prop_assert_eq!(items, expected);
            prop_assert!(buffer.is_empty());
        }
    }
}
