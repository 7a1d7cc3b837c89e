//! Reading the file beside a running server, and after one.

use headwater_event::Bus;
use headwater_eventlog::{LogReader, OpenError};

use crate::kit::{event, open, texts};

fn read(reader: &mut LogReader) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(events) = reader.next_batch().unwrap() {
        all.extend(texts(&events));
    }
    all
}

#[tokio::test]
async fn a_reader_beside_the_server_follows_what_becomes_durable() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(LogReader::open(folder.path()), Err(OpenError::Missing { .. })));
    let log = open(folder.path());
    let mut reader = LogReader::open(folder.path()).unwrap();
    assert_eq!(read(&mut reader), Vec::<String>::new());
    for number in 0..20 {
        let text = number.to_string();
        log.append(vec![event(&text, "t", &text)]).await.unwrap();
        assert_eq!(read(&mut reader), [text]);
    }
    let stat = reader.stat().unwrap();
    assert_eq!((stat.running, stat.head, stat.bytes), (true, 20, log.bytes()));
    log.checkpoint().unwrap();
    reader.seek(17).unwrap();
    assert_eq!(read(&mut reader), ["17", "18", "19"]);
    drop(log);
    assert_eq!(read(&mut reader), Vec::<String>::new());
    let stat = reader.stat().unwrap();
    assert_eq!((stat.running, stat.head), (false, 20));
    assert!(stat.to_json().starts_with(&format!("{{\"epoch\":{},\"version\":1,", stat.epoch)), "{}", stat.to_json());
    let report = reader.verify(&mut |_, _| {}).unwrap();
    assert_eq!((report.events, report.batches, report.torn_bytes, report.is_sound()), (20, 20, 0, true));
}

#[tokio::test]
async fn a_batch_that_is_not_durable_yet_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(vec![event("1", "t", "1")]).await.unwrap();
    let before = std::fs::read(folder.path().join("events.lock")).unwrap();
    log.append(vec![event("2", "t", "2")]).await.unwrap();
    // As if the second sync had not returned yet: the batch is in the file, and the server hasn't told of it.
    std::fs::write(folder.path().join("events.lock"), before).unwrap();
    let mut reader = LogReader::open(folder.path()).unwrap();
    assert_eq!(read(&mut reader), ["1"]);
    std::fs::write(folder.path().join("events.lock"), "").unwrap();
    reader.seek(0).unwrap();
    assert_eq!(read(&mut reader), Vec::<String>::new(), "a server that is just starting has told nothing");
}
