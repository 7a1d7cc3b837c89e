//! The log file: whatever a disk made of it, it is read, refused or repaired, and never believed.
//!
//! An input is a list of wounds to a sound log. Bytes that were changed at random would fail their checksum and be seen
//! no further, so a wound may be closed again with a right checksum: what lies behind it then has to be judged by itself.

use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use bytes::Bytes;
use headwater_event::{Bus, Event, EventId, Headers, Later, Position, ProducerId, Publication, Time, Topic};
use headwater_eventlog::{EventLog, LogReader, OpenOptions, repair_on};

use crate::disk::MemoryDisk;

/// The file of a log (docs/file-format.md).
const LOG_NAME: &str = "events.log";

/// Where the first batch stands.
const DATA_START: usize = 16 << 10;

/// A sound log with events of all kinds in several batches, and its epoch.
static SOUND: LazyLock<(Vec<u8>, u32)> = LazyLock::new(sound);

fn sound() -> (Vec<u8>, u32) {
    let disk = MemoryDisk::default();
    let log = EventLog::open(OpenOptions { threads: true, ..options(&disk) }).expect("an empty folder");
    let producer = ProducerId::from_u128(9);
    for batch in 1..=6_u64 {
        let uuid = EventId::Uuid(ProducerId::from_u128(u128::from(batch)));
        let ids = [EventId::generate(), EventId::Numbered { producer, number: batch }, name(&format!("text {batch}"))];
        let publications = ids.into_iter().chain([uuid]).map(|id| publication(id, batch % 2 == 0)).collect();
        wait(log.append(publications)).expect("a sound log");
    }
    log.close().expect("a sound log");
    // Of the zeros ahead a few are enough.
    let mut bytes = disk.bytes(LOG_NAME);
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    bytes.truncate(end + 100);
    (bytes, log.head().epoch)
}

fn name(text: &str) -> EventId {
    text.parse().expect("an id")
}

fn publication(id: EventId, sticky: bool) -> Publication {
    let event = Event {
        id,
        topic: Topic::new("a/b").expect("a topic"),
        headers: Headers::from_pairs([("k", "v")]).unwrap_or_default(),
        payload: Bytes::from_static(b"a payload of some bytes"),
        at: Time(1_000_000),
    };
    Publication { event, sticky }
}

fn options(disk: &MemoryDisk) -> OpenOptions {
    OpenOptions { disk: Some(Arc::new(disk.clone())), threads: false, ids_max: 64, ..OpenOptions::new("memory") }
}

/// Waits for what the log's own thread does.
fn wait<T>(mut later: Later<'_, T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match later.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Wounds a log, then reads it in every way there is.
pub fn reader(data: &[u8]) {
    let mut bytes = SOUND.0.clone();
    let mut rest = data;
    while let Some((wound, more)) = rest.split_first_chunk::<4>() {
        rest = wounded(&mut bytes, *wound, more);
    }
    read_beside(&bytes);
    let opened = read_opened(&MemoryDisk::with(LOG_NAME, bytes.clone()));
    let disk = MemoryDisk::with(LOG_NAME, bytes);
    if repair_on(&disk).is_ok() {
        let mended = read_opened(&disk);
        assert!(mended.is_some(), "a log that was repaired opens");
        assert!(opened.is_none() || opened == mended, "a repair takes nothing from a log that opens");
    }
}

/// One wound: what (1 byte), where (2), how long (1), then its bytes. Gives what follows.
fn wounded<'a>(bytes: &mut Vec<u8>, [what, high, low, len]: [u8; 4], more: &'a [u8]) -> &'a [u8] {
    let (new, rest) = more.split_at(usize::from(len).min(more.len()));
    // Mostly among the batches, sometimes in the pages before them.
    let start = if what & 0x80 == 0 { DATA_START } else { 0 };
    let at = (start + usize::from(u16::from_be_bytes([high, low]))).min(bytes.len());
    match what & 3 {
        0 => bytes.truncate(at.max(1)),
        1 => drop(bytes.splice(at..at, new.iter().copied())),
        _ => bytes.iter_mut().skip(at).zip(new).for_each(|(byte, new)| *byte = *new),
    }
    if what & 4 != 0 {
        close(bytes);
    }
    rest
}

/// Writes the right checksum into each record, as far as their lengths lead.
fn close(bytes: &mut [u8]) {
    let epoch = SOUND.1;
    let mut at = DATA_START;
    while let Some(record) = bytes.get_mut(at..)
        && let Some(claimed) = record.first_chunk::<4>().map(|len| u32::from_be_bytes(*len))
        && claimed > 0
        && let Some(end) = usize::try_from(claimed).ok().and_then(|len| len.checked_add(8))
        && let Some(record) = record.get_mut(..end)
    {
        let crc = crc32c::crc32c_append(epoch ^ claimed, &record[8..]);
        record[4..8].copy_from_slice(&crc.to_be_bytes());
        at += end;
    }
}

fn read_beside(bytes: &[u8]) {
    let disk = || Arc::new(MemoryDisk::with(LOG_NAME, bytes.to_vec()));
    let Ok(mut reader) = LogReader::open_on(disk()) else { return };
    let _ = (reader.stat(), reader.verify(&mut |_, _| {}));
    let mut last = reader.oldest();
    while let Ok(Some(events)) = reader.next_batch() {
        for recorded in events {
            assert!(recorded.position.seq > last, "positions ascend");
            last = recorded.position.seq;
        }
    }
}

/// The positions of all events, when it opens.
fn read_opened(disk: &MemoryDisk) -> Option<Vec<Position>> {
    let log = EventLog::open(options(disk)).ok()?;
    let mut tail = log.tail(log.oldest()).expect("the oldest position can be read from");
    let mut positions = Vec::new();
    while let Ok(Some(batch)) = wait(tail.next_now(&|_| true)) {
        positions.extend(batch.events.iter().map(|recorded| recorded.position));
    }
    assert!(positions.is_sorted());
    Some(positions)
}

/// Lengths, kinds, ids and texts hurt, with and without a right checksum.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![],
        vec![6, 0, 0, 4, 0, 0, 0, 64],
        vec![6, 0, 72, 8, 0, 0, 0, 90, 0, 0, 0, 0],
        vec![2, 1, 0, 1, 0xFF],
        vec![0, 1, 44, 0],
        vec![5, 0, 200, 3, 1, 2, 3],
        vec![0x82, 0, 10, 2, 0, 9],
        vec![6, 0, 96, 4, 5, 1, 3, 0xFF, 6, 0, 100, 4, 0xFF, 0xFF, 0, 1],
    ]
}

/// Wounds of one field.
pub const WORDS: &[&[u8]] =
    &[b"\x06\0\x18\x01", b"\x06\0\x60\x04\xff\xff\xff\xff", b"\x02\0\x48\x04", b"\0\x02\0\0", b"\x86\x10\0\x08"];
