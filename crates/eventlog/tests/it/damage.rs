//! Damage is never hidden, never taken for a torn tail, and can be taken out without losing what is sound.

use std::path::Path;

use headwater_event::{Bus, BusError};
use headwater_eventlog::{EventLog, LogReader, OpenError, OpenOptions, repair};

use crate::kit::{all, at, event, open, seqs, texts};

/// Where the first batch begins.
const DATA_START: usize = 16_384;

/// A log of nine events in three batches, not closed.
async fn filled(folder: &Path) {
    let log = open(folder);
    for batch in 0..3 {
        let events =
            (1..=3).map(|number| batch * 3 + number).map(|n| event(&n.to_string(), "t", &format!("event {n}")));
        log.append(events.collect()).await.unwrap();
    }
}

fn change(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let path = folder.join("events.log");
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn end_of(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

fn refused(folder: &Path) -> String {
    let error = EventLog::open(OpenOptions::new(folder)).err().unwrap();
    assert!(matches!(error, OpenError::Damaged(_)), "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_flipped_bit_before_the_last_batch_is_damage_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let whole = std::fs::read(folder.path().join("events.log")).unwrap();
    let end = end_of(&whole);
    let batch = (end - DATA_START) / 3;
    for place in (DATA_START..DATA_START + 2 * batch).step_by(5) {
        change(folder.path(), |bytes| bytes[place] ^= 4);
        let sentence = refused(folder.path());
        let (begin, before, after) = if place < DATA_START + batch { (0, 0, 4) } else { (batch, 3, 7) };
        let expected = format!("bytes {} to {}", DATA_START + begin, DATA_START + begin + batch);
        assert!(sentence.contains(&expected), "{sentence}");
        assert!(sentence.contains(&format!("after event {before} and before event {after}")), "{sentence}");
        assert!(sentence.contains("headwater log verify"), "{sentence}");
        std::fs::write(folder.path().join("events.log"), &whole).unwrap();
    }
}

#[tokio::test]
async fn a_bad_last_batch_is_a_torn_tail_and_is_cut_whole() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let whole = std::fs::read(folder.path().join("events.log")).unwrap();
    let end = end_of(&whole);
    let batch = (end - DATA_START) / 3;
    for place in (DATA_START + 2 * batch..end).step_by(3) {
        change(folder.path(), |bytes| bytes[place] ^= 4);
        let log = open(folder.path());
        assert_eq!(seqs(&all(&log).await), [1, 2, 3, 4, 5, 6]);
        drop(log);
        let cut = std::fs::read(folder.path().join("events.log")).unwrap();
        assert!(cut[DATA_START + 2 * batch..].iter().all(|byte| *byte == 0), "what was cut is zeroed");
        std::fs::write(folder.path().join("events.log"), &whole).unwrap();
    }
}

#[tokio::test]
async fn after_a_close_even_the_last_batch_can_only_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    open(folder.path()).close().unwrap();
    change(folder.path(), |bytes| {
        let end = end_of(bytes);
        bytes[end - 1] ^= 1;
    });
    assert!(refused(folder.path()).contains("nothing that can be read follows"));
}

#[tokio::test]
async fn a_log_that_was_cut_short_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    open(folder.path()).close().unwrap();
    change(folder.path(), |bytes| bytes.truncate(DATA_START + 100));
    refused(folder.path());
}

#[tokio::test]
async fn a_repair_keeps_the_damaged_bytes_and_every_sound_event() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let mut damaged = Vec::new();
    change(folder.path(), |bytes| {
        let place = bytes.windows(7).position(|seven| seven == b"event 5").unwrap();
        bytes[place] ^= 1;
        damaged = bytes.clone();
    });
    let reader = LogReader::open(folder.path()).unwrap();
    let report = reader.verify(&mut |_, _| {}).unwrap();
    assert_eq!((report.damage.len(), report.events, report.last), (1, 6, 9));
    refused(folder.path());
    let repaired = repair(folder.path()).unwrap();
    assert_eq!((repaired.damage.clone(), repaired.lost), (report.damage, 1));
    let kept = std::fs::read(folder.path().join(&repaired.kept_in[0])).unwrap();
    let offset = usize::try_from(repaired.damage[0].offset).unwrap();
    assert_eq!(kept, damaged[offset..offset + kept.len()]);
    let log = open(folder.path());
    assert_eq!(seqs(&all(&log).await), [1, 2, 3, 4, 6, 7, 8, 9]);
    assert_eq!(log.append(vec![event("new", "t", "new")]).await.unwrap().first, 10);
    drop(log);
    let report = LogReader::open(folder.path()).unwrap().verify(&mut |_, _| {}).unwrap();
    assert!(report.is_sound() && report.repaired == 1, "{}", report.to_json());
}

#[tokio::test]
async fn a_repair_finds_its_way_wherever_the_damage_is() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let whole = std::fs::read(folder.path().join("events.log")).unwrap();
    let batch = (end_of(&whole) - DATA_START) / 3;
    for place in (DATA_START..DATA_START + 2 * batch - 4).step_by(3) {
        // Some bytes, so that lengths become absurd, too.
        change(folder.path(), |bytes| bytes[place..place + 4].fill(0xff));
        let repaired = repair(folder.path()).unwrap();
        let log = open(folder.path());
        let events = all(&log).await;
        assert_eq!(events.len() as u64 + repaired.lost, 9, "at {place}, a batch has {batch}: {repaired:?}");
        for recorded in &events {
            let expected = format!("event {}", recorded.position.seq);
            assert_eq!(texts(std::slice::from_ref(recorded)), [expected], "at {place}");
        }
        assert_eq!(log.append(vec![event("new", "t", "new")]).await.unwrap().first, 10);
        drop(log);
        for name in repaired.kept_in {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("events.log"), &whole).unwrap();
    }
}

#[tokio::test]
async fn damage_over_the_end_of_one_batch_and_the_mark_of_the_last_is_no_torn_tail() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    change(folder.path(), |bytes| {
        let batch = (end_of(bytes) - DATA_START) / 3;
        bytes[DATA_START + 2 * batch - 2..][..4].fill(0xff);
    });
    refused(folder.path());
    assert_eq!(repair(folder.path()).unwrap().lost, 1);
    let log = open(folder.path());
    assert_eq!(seqs(&all(&log).await), [1, 2, 3, 4, 5], "the last batch can't be told from a torn one");
}

#[tokio::test]
async fn a_damaged_first_page_is_repaired_from_its_copy() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    change(folder.path(), |bytes| bytes[40] ^= 1);
    assert!(EventLog::open(OpenOptions::new(folder.path())).is_err());
    assert!(repair(folder.path()).unwrap().header);
    assert_eq!(all(&open(folder.path())).await.len(), 9);
}

#[tokio::test]
async fn damage_under_a_running_server_is_told_after_what_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let log = open(folder.path());
    change(folder.path(), |bytes| {
        let place = bytes.windows(7).position(|seven| seven == b"event 5").unwrap();
        bytes[place] ^= 1;
    });
    let mut tail = log.tail(at(&log, 0)).unwrap();
    let batch = tail.next_now(&|_| true).await.unwrap().unwrap();
    assert_eq!((seqs(&batch.events), batch.up_to), (vec![1, 2, 3, 4], 4));
    assert!(matches!(tail.next_now(&|_| true).await, Err(BusError::Damaged(_))));
    assert_eq!(log.append(vec![event("new", "t", "new")]).await.unwrap().first, 10, "writing goes on");
}

#[tokio::test]
async fn what_is_no_log_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    for bytes in [&b""[..], b"hello", &[0; 40_000]] {
        std::fs::write(&path, bytes).unwrap();
        let error = EventLog::open(OpenOptions::new(folder.path())).err().unwrap();
        assert!(error.to_string().contains("not a Headwater log"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
