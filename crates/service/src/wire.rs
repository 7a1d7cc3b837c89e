//! Events as bytes in the kit's tables: those that are to leave, and those that are put aside.

use bytes::{Buf as _, BufMut as _, Bytes};
use headwater_event::{Event, EventId, Headers, Publication, Text, Time, Topic};
use uuid::Uuid;

use crate::store::StoreError;

/// The form's number, at the head of each sequence of events.
const FORM: u8 = 1;

/// Writes the head of a sequence.
pub(crate) fn begin() -> Vec<u8> {
    vec![FORM]
}

/// Writes one event behind those before.
pub(crate) fn put(out: &mut Vec<u8>, event: &Event, sticky: bool) {
    match &event.id {
        EventId::Uuid(uuid) | EventId::Own(uuid) => {
            out.put_u8(0);
            out.put_slice(uuid.as_bytes());
        }
        EventId::Numbered { producer, number } => {
            out.put_u8(1);
            out.put_slice(producer.as_bytes());
            out.put_u64(*number);
        }
        EventId::Text(text) => {
            out.put_u8(2);
            put_bytes(out, text.as_bytes());
        }
    }
    out.put_u8(sticky.into());
    out.put_u64(event.at.as_micros());
    put_bytes(out, event.topic.as_str().as_bytes());
    put_bytes(out, event.headers.as_stored());
    put_bytes(out, &event.payload);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // Topics, headers and payloads are far below 4 GiB, checked where they're made.
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

/// Reads a sequence back; they share its bytes.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Publication>, StoreError> {
    let mut rest = Bytes::copy_from_slice(bytes);
    if rest.is_empty() || rest.get_u8() != FORM {
        return Err(broken());
    }
    let mut events = Vec::new();
    while !rest.is_empty() {
        events.push(read_one(&mut rest).ok_or_else(broken)?);
    }
    Ok(events)
}

fn broken() -> StoreError {
    StoreError::Row("an event in the kit's tables can't be read".into())
}

fn read_one(rest: &mut Bytes) -> Option<Publication> {
    let id = match rest.try_get_u8().ok()? {
        0 => EventId::Uuid(Uuid::from_u128(rest.try_get_u128().ok()?)),
        1 => {
            EventId::Numbered { producer: Uuid::from_u128(rest.try_get_u128().ok()?), number: rest.try_get_u64().ok()? }
        }
        2 => EventId::Text(Text::from_utf8(read_bytes(rest)?).ok()?),
        _ => return None,
    };
    let sticky = rest.try_get_u8().ok()? == 1;
    let at = Time(rest.try_get_u64().ok()?);
    let topic = Topic::new(Text::from_utf8(read_bytes(rest)?).ok()?).ok()?;
    let headers = Headers::from_stored(read_bytes(rest)?).ok()?;
    let payload = read_bytes(rest)?;
    Some(Publication { event: Event { id, topic, headers, payload, at }, sticky })
}

fn read_bytes(rest: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    (len <= rest.len()).then(|| rest.split_to(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<Publication> {
        let ids = [
            EventId::generate(),
            EventId::Numbered { producer: Uuid::from_u128(7), number: 3 },
            "order-17".parse().unwrap(),
        ];
        let event = |id| Event {
            id,
            topic: Topic::new("order/order-send").unwrap(),
            headers: Headers::from_pairs([("content-type", "text/plain")]).unwrap(),
            payload: Bytes::from_static(b"\x00\xff payload"),
            at: Time(1_234),
        };
        ids.map(|id| Publication { event: event(id), sticky: true }).to_vec()
    }

    #[test]
    fn events_read_back_as_they_were_written() {
        let mut bytes = begin();
        events().iter().for_each(|publication| put(&mut bytes, &publication.event, publication.sticky));
        let read = read(&bytes).unwrap();
        assert_eq!(read.len(), 3);
        // `generate` gives another id each time: compare with what was written.
        let again = {
            let mut bytes = begin();
            read.iter().for_each(|publication| put(&mut bytes, &publication.event, publication.sticky));
            bytes
        };
        assert_eq!(again, bytes);
    }

    #[test]
    fn cut_bytes_are_refused_at_every_place() {
        let mut bytes = begin();
        put(&mut bytes, &events()[2].event, false);
        for len in (0..bytes.len()).filter(|len| *len != 1) {
            assert!(read(&bytes[..len]).is_err(), "cut at {len}");
        }
        assert!(read(&[FORM]).unwrap().is_empty());
    }
}
