//! What the log promises while nothing goes wrong.

use headwater_event::{Bus, BusError, EventId, Filter, ProducerId};
use headwater_eventlog::{EventLog, OpenError, OpenOptions};

use crate::kit::{all, at, event, numbered, open, seqs, sticky, texts};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_drop_without_close() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let receipts = log.append(vec![event("a", "t/1", "one"), event("b", "t/2", "two")]).await.unwrap();
    assert_eq!((receipts.first, receipts.len), (1, 2));
    let third = log.append(vec![event("c", "t/1", "three")]).await.unwrap();
    assert_eq!(third.get(0).position, at(&log, 3));
    assert_eq!(texts(&all(&log).await), ["one", "two", "three"]);
    let epoch = log.head().epoch;
    drop(log);
    let log = open(folder.path());
    assert_eq!(log.head().epoch, epoch);
    let events = all(&log).await;
    assert_eq!((texts(&events), seqs(&events)), (vec!["one".into(), "two".into(), "three".into()], vec![1, 2, 3]));
}

#[tokio::test]
async fn a_resent_event_gets_the_receipt_of_the_original() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(vec![event("a", "t", "1"), event("b", "t", "2")]).await.unwrap();
    let receipts = log.append(vec![event("b", "t", "2"), event("c", "t", "3"), event("c", "t", "3")]).await.unwrap();
    assert_eq!(receipts.duplicates, [(0, 2), (2, 3)]);
    drop(log);
    let log = open(folder.path());
    let receipts = log.append(vec![event("a", "t", "1")]).await.unwrap();
    assert!(receipts.get(0).duplicate && receipts.get(0).position.seq == 1);
    assert_eq!(texts(&all(&log).await), ["1", "2", "3"]);
}

#[tokio::test]
async fn an_id_that_the_hub_gave_is_not_looked_for_among_those_of_resends() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut given = event("a", "t", "1");
    given.event.id = EventId::generate();
    let receipts = log.append(vec![given.clone(), given.clone()]).await.unwrap();
    assert_eq!((receipts.duplicates, receipts.len), (vec![], 2));
    drop(log);
    let log = open(folder.path());
    assert!(!log.append(vec![given.clone()]).await.unwrap().get(0).duplicate);
    let events = all(&log).await;
    assert_eq!(texts(&events), ["1", "1", "1"]);
    assert!(events.iter().all(|recorded| recorded.event.id == given.event.id), "it comes out as it went in");
}

#[tokio::test]
async fn numbers_of_a_producer_leave_no_hole_and_none_is_stored_twice() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let anna = ProducerId::from_u128(1);
    assert_eq!(log.last_number(anna).await, Ok(0));
    log.append(vec![numbered(1, 1), numbered(1, 2)]).await.unwrap();
    let refused = log.append(vec![numbered(1, 3), numbered(1, 5)]).await;
    assert_eq!(refused, Err(BusError::OutOfOrder { expected: 4 }));
    assert_eq!(log.last_number(anna).await, Ok(2), "a refused append changes nothing");
    log.use_up(anna, 3).await.unwrap();
    assert_eq!(log.use_up(anna, 9).await, Err(BusError::OutOfOrder { expected: 4 }));
    let receipts = log.append(vec![numbered(1, 2), numbered(1, 4)]).await.unwrap();
    assert_eq!((receipts.duplicates, receipts.first), (vec![(0, 2)], 3));
    drop(log);
    let log = open(folder.path());
    assert_eq!(log.last_number(anna).await, Ok(4));
    assert!(log.append(vec![numbered(1, 4)]).await.unwrap().get(0).duplicate);
    assert_eq!(seqs(&all(&log).await), [1, 2, 3]);
}

#[tokio::test]
async fn the_latest_state_of_a_topic_comes_first_and_an_empty_one_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(vec![sticky("1", "a/x", "old"), sticky("2", "a/y", "y"), event("3", "a/x", "not sticky")])
        .await
        .unwrap();
    log.append(vec![sticky("4", "a/x", "new"), sticky("5", "b", "b")]).await.unwrap();
    let filter = Filter::new("a/#").unwrap();
    let page = log.latest(&filter, None, 1).await.unwrap();
    assert_eq!((texts(&page.events), page.as_of), (vec!["new".into()], at(&log, 5)));
    let page = log.latest(&filter, page.next.as_ref(), 9).await.unwrap();
    assert_eq!((texts(&page.events), page.next), (vec!["y".into()], None));
    log.append(vec![sticky("6", "a/x", "")]).await.unwrap();
    drop(log);
    let log = open(folder.path());
    let page = log.latest(&Filter::new("#").unwrap(), None, 9).await.unwrap();
    assert_eq!((texts(&page.events), page.as_of), (vec!["y".into(), "b".into()], at(&log, 6)));
}

#[tokio::test]
async fn a_reader_waits_for_the_next_event_and_sees_only_what_it_wants() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let mut tail = log.tail(log.head()).unwrap();
    assert_eq!(tail.next_now(&|_| true).await, Ok(None));
    let wanted = |topic: &str| topic == "yes";
    let (batch, _) = tokio::join!(tail.next(&wanted), log.append(vec![event("1", "no", "1"), event("2", "yes", "2")]));
    let batch = batch.unwrap();
    assert_eq!((texts(&batch.events), batch.up_to), (vec!["2".into()], 2));
    assert!(matches!(log.tail(at(&log, 3)), Err(BusError::NoSuchPosition { .. })));
    let mut other = log.head();
    other.epoch ^= 1;
    assert!(matches!(log.tail(other), Err(BusError::NoSuchPosition { .. })));
}

#[tokio::test]
async fn a_reader_that_lags_behind_memory_reads_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let payload = "x".repeat(60_000);
    for number in 0..400 {
        log.append(vec![event(&number.to_string(), "t", &payload)]).await.unwrap();
    }
    assert_eq!(seqs(&all(&log).await), (1..=400).collect::<Vec<_>>());
    let mut tail = log.tail(at(&log, 123)).unwrap();
    let batch = tail.next_now(&|_| true).await.unwrap().unwrap();
    assert_eq!(batch.events[0].position.seq, 124);
    assert!(batch.events.len() < 20, "one call reads a bounded number of bytes");
}

#[tokio::test]
async fn a_data_folder_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let error = EventLog::open(OpenOptions::new(folder.path())).err().unwrap();
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
    log.close().unwrap();
    drop(log);
    open(folder.path());
}

#[tokio::test]
async fn a_closed_log_takes_nothing_and_ends_its_readers() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    log.append(vec![event("1", "t", "1")]).await.unwrap();
    let mut tail = log.tail(at(&log, 0)).unwrap();
    log.close().unwrap();
    assert_eq!(log.append(vec![event("2", "t", "2")]).await, Err(BusError::Closed));
    assert_eq!(tail.next(&|_| true).await.unwrap().events.len(), 1);
    assert_eq!(tail.next(&|_| true).await, Err(BusError::Closed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_from_many_tasks_stand_in_the_order_of_their_receipts() {
    let folder = tempfile::tempdir().unwrap();
    let log = std::sync::Arc::new(open(folder.path()));
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut places = Vec::new();
                for number in 0..50 {
                    let text = format!("{task}-{number}");
                    let receipts = log.append(vec![event(&text, "t", &text)]).await.unwrap();
                    places.push((receipts.first, text));
                }
                assert!(places.is_sorted());
                places
            })
        })
        .collect();
    let mut places = Vec::new();
    for task in tasks {
        places.extend(task.await.unwrap());
    }
    places.sort_unstable();
    let events = all(&*log).await;
    assert_eq!(seqs(&events), (1..=1_600).collect::<Vec<_>>());
    assert_eq!(texts(&events), places.into_iter().map(|(_, text)| text).collect::<Vec<_>>());
}
