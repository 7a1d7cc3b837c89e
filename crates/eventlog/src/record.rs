//! One record of the log: how it's written, and how it's read without trusting a byte. See `docs/file-format.md`.

use bytes::{Bytes, BytesMut};
use headwater_event::{Epoch, Event, EventId, Headers, Position, ProducerId, Recorded, Seq, Text, Time, Topic};

use crate::header::{Identity, number};

/// Length and checksum, which stand before what they speak of.
pub(crate) const PREFIX_LEN: usize = 8;

/// All that stands before id, topic, headers and payload.
pub(crate) const FIXED_LEN: usize = 32;

/// The most bytes that topic, headers and payload of one event may have together. What is read back from the file is
/// held to it too, so that a damaged length can't ask for memory. 16 MiB: the largest HTTP body.
pub const EVENT_LEN_MAX: usize = 16 << 20;

/// The longest record.
pub(crate) const RECORD_LEN_MAX: usize = FIXED_LEN + EventId::LEN_MAX + EVENT_LEN_MAX;

const STICKY: u8 = 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An event; the only kind that takes a sequence number of its own.
    Event = 1,
    /// The beginning of a batch.
    Mark = 2,
    /// A producer's number that was used up without an event.
    Used = 3,
    /// A record of groups.
    Group = 4,
    /// A sticky event, copied forward before retention freed its place; `seq` is the event's own.
    Kept = 5,
    /// Where a repair took damaged bytes out; `seq` is the last event lost.
    Void = 6,
}

impl Kind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Event,
            2 => Self::Mark,
            3 => Self::Used,
            4 => Self::Group,
            5 => Self::Kept,
            6 => Self::Void,
            _ => return None,
        })
    }
}

/// What the checksum begins with: a record of another log, or under another length, doesn't check.
const fn crc_seed(epoch: Epoch, len: u32) -> u32 {
    epoch ^ len
}

/// What is to be written.
pub(crate) struct Fields<'a> {
    pub seq: Seq,
    pub at: Time,
    pub kind: Kind,
    pub sticky: bool,
    pub id: Option<&'a EventId>,
    pub topic: &'a [u8],
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

/// The kind of id that the log's own program gave.
const OWN: u8 = 4;

/// The length of a numbered id in a record.
const NUMBERED_LEN: usize = 24;

/// The length of an id in a record.
fn id_len(id: &EventId) -> usize {
    match id {
        EventId::Uuid(_) | EventId::Own(_) => 16,
        EventId::Numbered { .. } => NUMBERED_LEN,
        EventId::Text(text) => text.as_bytes().len(),
    }
}

/// The length of the record of an event.
pub(crate) fn event_len(event: &Event) -> usize {
    FIXED_LEN
        + id_len(&event.id)
        + event.topic.text().as_bytes().len()
        + event.headers.as_stored().len()
        + event.payload.len()
}

/// Appends one record.
pub(crate) fn put(out: &mut BytesMut, epoch: Epoch, fields: &Fields<'_>) {
    let start = out.len();
    // Gathered here and copied once: a dozen small appends, each with its own look at the buffer, took a third of the time.
    let mut head = [0; FIXED_LEN + NUMBERED_LEN];
    head[8..16].copy_from_slice(&fields.seq.to_be_bytes());
    head[16..24].copy_from_slice(&fields.at.as_micros().to_be_bytes());
    head[24] = fields.kind as u8;
    head[25] = u8::from(fields.sticky) * STICKY;
    // These three fit: ids, topics and headers are bounded by their types (255, 1,024 and 16,384 bytes).
    head[27] = u8::try_from(fields.id.map_or(0, id_len)).unwrap_or(u8::MAX);
    head[28..30].copy_from_slice(&u16::try_from(fields.topic.len()).unwrap_or(u16::MAX).to_be_bytes());
    head[30..32].copy_from_slice(&u16::try_from(fields.headers.len()).unwrap_or(u16::MAX).to_be_bytes());
    let (head_len, text) = match fields.id {
        None => (FIXED_LEN, None),
        Some(id @ (EventId::Uuid(uuid) | EventId::Own(uuid))) => {
            head[26] = if matches!(id, EventId::Own(_)) { OWN } else { 1 };
            head[FIXED_LEN..][..16].copy_from_slice(uuid.as_bytes());
            (FIXED_LEN + 16, None)
        }
        Some(EventId::Numbered { producer, number }) => {
            head[26] = 2;
            head[FIXED_LEN..][..16].copy_from_slice(producer.as_bytes());
            head[FIXED_LEN + 16..].copy_from_slice(&number.to_be_bytes());
            (FIXED_LEN + NUMBERED_LEN, None)
        }
        Some(EventId::Text(text)) => {
            head[26] = 3;
            (FIXED_LEN, Some(text))
        }
    };
    out.extend_from_slice(&head[..head_len]);
    if let Some(text) = text {
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(fields.topic);
    if !fields.headers.is_empty() {
        out.extend_from_slice(fields.headers);
    }
    out.extend_from_slice(fields.payload);
    close(&mut out[start..], epoch);
}

/// Writes length and checksum of a record that stands there but for them.
pub(crate) fn close(record: &mut [u8], epoch: Epoch) {
    let len = u32::try_from(record.len() - PREFIX_LEN).unwrap_or(u32::MAX);
    let crc = crc32c::crc32c_append(crc_seed(epoch, len), &record[PREFIX_LEN..]);
    record[..4].copy_from_slice(&len.to_be_bytes());
    record[4..PREFIX_LEN].copy_from_slice(&crc.to_be_bytes());
}

/// A record as it lies in a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRecord<'a> {
    pub seq: Seq,
    pub at: Time,
    pub kind: Kind,
    pub sticky: bool,
    pub id_kind: u8,
    pub id: &'a [u8],
    pub topic: &'a [u8],
    pub headers: &'a [u8],
    pub payload: &'a [u8],
    /// The length of the whole record.
    pub len: usize,
}

/// Whether the checksum is computed: not for bytes that this process wrote and still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Whole,
    Trust,
}

/// The length of the record that begins here, as it claims; `None` when no record can have it.
pub(crate) fn claimed_len(bytes: &[u8]) -> Option<usize> {
    let len = PREFIX_LEN + usize::try_from(u32::from_be_bytes(number::<4>(bytes, 0)?)).ok()?;
    (FIXED_LEN..=RECORD_LEN_MAX).contains(&len).then_some(len)
}

/// The record that these bytes begin with; `None` when it's cut or damaged.
pub(crate) fn parse(bytes: &[u8], epoch: Epoch, check: Check) -> Option<RawRecord<'_>> {
    let len = claimed_len(bytes)?;
    let record = bytes.get(..len)?;
    if check == Check::Whole {
        let crc = u32::from_be_bytes(number::<4>(record, 4)?);
        let claimed = u32::from_be_bytes(number::<4>(record, 0)?);
        if crc32c::crc32c_append(crc_seed(epoch, claimed), &record[PREFIX_LEN..]) != crc {
            return None;
        }
    }
    let kind = Kind::from_byte(record[24])?;
    let (id, rest) = record[FIXED_LEN..].split_at_checked(usize::from(record[27]))?;
    let topic_len = usize::from(u16::from_be_bytes(number::<2>(record, 28)?));
    let (topic, rest) = rest.split_at_checked(topic_len)?;
    let headers_len = usize::from(u16::from_be_bytes(number::<2>(record, 30)?));
    let (headers, payload) = rest.split_at_checked(headers_len)?;
    Some(RawRecord {
        seq: u64::from_be_bytes(number::<8>(record, 8)?),
        at: Time(u64::from_be_bytes(number::<8>(record, 16)?)),
        kind,
        sticky: record[25] & STICKY != 0,
        id_kind: record[26],
        id,
        topic,
        headers,
        payload,
        len,
    })
}

impl RawRecord<'_> {
    /// Whether the window of recent ids remembers this record's id.
    pub(crate) const fn is_remembered(&self) -> bool {
        self.id_kind != OWN
    }

    /// The producer and number, where the id is a numbered one.
    pub(crate) fn numbered(&self) -> Option<(ProducerId, u64)> {
        let (producer, rest) = self.id.split_first_chunk::<16>()?;
        (self.id_kind == 2).then_some(())?;
        Some((ProducerId::from_bytes(*producer), u64::from_be_bytes(number::<8>(rest, 0)?)))
    }

    /// The event, sharing the bytes of `buffer`, in which this record must lie. `None` when its texts break the rules of
    /// their types.
    pub(crate) fn recorded(&self, epoch: Epoch, buffer: &Bytes) -> Option<Recorded> {
        let shared = |part: &[u8]| if part.is_empty() { Bytes::new() } else { buffer.slice_ref(part) };
        let id = match self.id_kind {
            1 => EventId::Uuid(ProducerId::from_bytes(self.id.try_into().ok()?)),
            2 => {
                let (producer, number) = self.numbered()?;
                EventId::Numbered { producer, number }
            }
            3 => EventId::Text(Text::from_utf8(shared(self.id)).ok()?),
            OWN => EventId::Own(ProducerId::from_bytes(self.id.try_into().ok()?)),
            _ => return None,
        };
        let topic = Topic::new(Text::from_utf8(shared(self.topic)).ok()?).ok()?;
        let headers =
            if self.headers.is_empty() { Headers::none() } else { Headers::from_stored(shared(self.headers)).ok()? };
        let event = Event { id, topic, headers, payload: shared(self.payload), at: self.at };
        Some(Recorded { position: Position::new(epoch, self.seq), event, sticky: self.sticky })
    }
}

/// The length of a batch mark.
pub(crate) const MARK_LEN: usize = FIXED_LEN + 40;

/// Where in a mark the log's tag stands, by which marks are searched for.
pub(crate) const TAG_AT: usize = FIXED_LEN;

/// What a batch begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The last event before this batch.
    pub before: Seq,
    /// When the batch was written.
    pub at: Time,
    /// Where the mark itself stands.
    pub offset: u64,
    /// Everything before this place had been synced when this batch was written.
    pub synced: u64,
    /// The length of the records behind the mark.
    pub body_len: u64,
    /// How many events these are.
    pub events: u64,
}

impl Mark {
    /// The whole batch, mark and records.
    pub(crate) const fn end(&self) -> u64 {
        self.offset + MARK_LEN as u64 + self.body_len
    }

    /// The mark as it stands in the file.
    pub(crate) fn encode(&self, identity: &Identity) -> [u8; MARK_LEN] {
        let mut mark = [0; MARK_LEN];
        mark[8..16].copy_from_slice(&self.before.to_be_bytes());
        mark[16..24].copy_from_slice(&self.at.as_micros().to_be_bytes());
        mark[24] = Kind::Mark as u8;
        let fields = [identity.tag, self.offset, self.synced, self.body_len, self.events];
        for (at, field) in fields.iter().enumerate() {
            mark[TAG_AT + 8 * at..][..8].copy_from_slice(&field.to_be_bytes());
        }
        close(&mut mark, identity.epoch);
        mark
    }

    /// The mark that these bytes, which stand at `offset`, begin with.
    pub(crate) fn decode(bytes: &[u8], offset: u64, identity: &Identity) -> Option<Self> {
        let record = parse(bytes.get(..MARK_LEN)?, identity.epoch, Check::Whole)?;
        let field = |at: usize| number::<8>(record.payload, 8 * at).map(u64::from_be_bytes);
        let mark = Self {
            before: record.seq,
            at: record.at,
            offset: field(1)?,
            synced: field(2)?,
            body_len: field(3)?,
            events: field(4)?,
        };
        let sound = record.kind == Kind::Mark
            && record.len == MARK_LEN
            && field(0)? == identity.tag
            && mark.offset == offset
            && mark.synced <= offset
            && mark.body_len <= BATCH_LEN_MAX as u64;
        sound.then_some(mark)
    }
}

/// The longest batch. An append is never split over two, so this is also the most that one append can bring: 128 MiB is
/// eight of the largest events, and a bound on what recovery has to hold.
pub const BATCH_LEN_MAX: usize = 128 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { epoch: 7, created: Time(1), tag: 2, id_key: [3; 16] };

    fn record(id: &EventId, payload: &[u8]) -> Bytes {
        let headers = Headers::from_pairs([("a", "b")]).unwrap();
        let mut out = BytesMut::new();
        let fields = Fields {
            seq: 5,
            at: Time(6),
            kind: Kind::Event,
            sticky: true,
            id: Some(id),
            topic: b"x/y",
            headers: headers.as_stored(),
            payload,
        };
        put(&mut out, IDENTITY.epoch, &fields);
        out.freeze()
    }

    #[test]
    fn an_event_reads_back_whatever_its_id() {
        let producer = ProducerId::from_u128(17);
        let uuid = "018f4e9a-6e1c-7d3b-9a52-0c6b1f2d3e4a";
        let ids = ["text".parse().unwrap(), uuid.parse().unwrap(), EventId::generate()];
        for id in ids.into_iter().chain([EventId::Numbered { producer, number: 9 }]) {
            let bytes = record(&id, b"payload");
            let raw = parse(&bytes, IDENTITY.epoch, Check::Whole).unwrap();
            let recorded = raw.recorded(IDENTITY.epoch, &bytes).unwrap();
            assert_eq!(recorded.position, Position::new(7, 5));
            assert_eq!(recorded.event.id, id);
            assert_eq!(recorded.event.topic.as_str(), "x/y");
            assert_eq!(recorded.event.headers.get("a"), Some("b"));
            assert_eq!(&recorded.event.payload[..], b"payload");
            assert_eq!(recorded.event.at, Time(6));
            assert!(recorded.sticky);
            assert_eq!(event_len(&recorded.event), bytes.len());
        }
    }

    #[test]
    fn the_worked_example_is_what_is_written() {
        let identity = Identity { epoch: 0x0102_0304, created: Time(0), tag: 0x1112_1314_1516_1718, id_key: [0; 16] };
        let id = EventId::Numbered { producer: ProducerId::from_u128(42), number: 7 };
        let headers = Headers::from_pairs([("k", "v")]).unwrap();
        let fields = Fields {
            seq: 1,
            at: Time(1_000_000),
            kind: Kind::Event,
            sticky: true,
            id: Some(&id),
            topic: b"a/b",
            headers: headers.as_stored(),
            payload: b"hi",
        };
        let mut body = BytesMut::new();
        put(&mut body, identity.epoch, &fields);
        let mark = Mark {
            before: 0,
            at: Time(2_000_000),
            offset: 16_384,
            synced: 16_384,
            body_len: body.len() as u64,
            events: 1,
        };
        let mut hex = String::new();
        for (at, byte) in mark.encode(&identity).iter().chain(&body[..]).enumerate() {
            let end = if at % 16 == 15 { "\n" } else { " " };
            hex.push_str(&format!("{byte:02x}{end}"));
        }
        let page = include_str!("../../../docs/file-format.md");
        let shown = page.split_once("```hex\n").and_then(|(_, rest)| rest.split_once("\n```")).unwrap().0;
        assert_eq!(hex.trim_end(), shown.trim_end());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let bytes = record(&"id".parse().unwrap(), b"payload");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&damaged, IDENTITY.epoch, Check::Whole).is_none(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(parse(&bytes[..len], IDENTITY.epoch, Check::Whole).is_none(), "cut at {len}");
        }
        assert!(parse(&bytes, IDENTITY.epoch + 1, Check::Whole).is_none(), "another log's record");
    }

    #[test]
    fn a_mark_holds_only_at_its_own_place_in_its_own_log() {
        let mark = Mark { before: 4, at: Time(9), offset: 20_000, synced: 20_000, body_len: 77, events: 1 };
        let bytes = mark.encode(&IDENTITY);
        assert_eq!(Mark::decode(&bytes, 20_000, &IDENTITY), Some(mark));
        assert_eq!(mark.end(), 20_000 + 72 + 77);
        assert_eq!(Mark::decode(&bytes, 20_001, &IDENTITY), None);
        assert_eq!(Mark::decode(&bytes, 20_000, &Identity { tag: 3, ..IDENTITY }), None);
    }
}
