//! When the disk says no, nobody is acknowledged any more, and reads go on.

use headwater_event::{Bus, BusError, Health};
use headwater_eventlog::EventLog;
use headwater_eventlog::testing::{Left, TestDisk};

use crate::kit::{all, at, event, open, seqs, texts};
use crate::model::{Model, Step, do_step, open_on, scenario};

/// Nothing is taken any more, and everything that was acknowledged reads.
async fn check_ended(log: &EventLog, what: &str) {
    for _ in 0..2 {
        let refused = log.append(vec![event("after", "t", "after")]).await;
        assert!(matches!(refused, Err(BusError::Storage(_))), "{what}: {refused:?}");
    }
    assert!(matches!(log.health(), Health::Failing(_)), "{what}");
    assert_eq!(all(log).await.len() as u64, log.head().seq - log.oldest().seq, "{what}: reads go on");
}

#[tokio::test]
async fn a_failed_sync_ends_all_acknowledgements_wherever_it_happens() {
    let steps = scenario();
    let whole = TestDisk::new();
    crate::model::run(&whole, &steps).await;
    for fail in 0..whole.steps() {
        let disk = TestDisk::new();
        let Ok(log) = open_on(&disk) else { panic!("opens") };
        disk.fail_sync_at(fail);
        let mut model = Model::default();
        let mut failed = false;
        for step in &steps {
            match do_step(&log, step, &mut model).await {
                Ok(()) => {}
                // A failed checkpoint or zeros that can't be written are no reason to stop taking events.
                Err(_) if matches!(step, Step::Append(_) | Step::UseUp(_)) => {
                    failed = true;
                    break;
                }
                Err(_) => {}
            }
        }
        let what = format!("the sync at or after step {fail} fails");
        if failed {
            check_ended(&log, &what).await;
        }
        drop(log);
        // Neither a restart on the same machine nor one after a power cut has lost anything acknowledged.
        let killed = disk.killed();
        let seen = seqs(&all(&open_on(&killed).unwrap()).await);
        assert_eq!(seqs(&all(&open_on(&killed.power_on(Left::Nothing)).unwrap()).await), seen, "{what}");
        for left in [Left::Nothing, Left::All, Left::Pages(fail)] {
            model.check(&open_on(&disk.power_on(left)).unwrap(), &what).await;
        }
    }
}

#[tokio::test]
async fn a_full_disk_ends_all_acknowledgements_and_says_so() {
    for room in (60..200).step_by(11).map(|kib| kib << 10) {
        let disk = TestDisk::new();
        let log = open_on(&disk).unwrap();
        disk.room(Some(room));
        let mut model = Model::default();
        for step in scenario() {
            let done = do_step(&log, &step, &mut model).await;
            // A checkpoint or zeros that don't fit are no reason to stop taking events.
            if done.is_err() && matches!(step, Step::Append(_) | Step::UseUp(_)) {
                break;
            }
        }
        check_ended(&log, "full").await;
        let Health::Failing(sentence) = log.health() else { panic!("failing") };
        assert!(sentence.contains("can't write the log: no space left"), "{sentence}");
        drop(log);
        model.check(&open_on(&disk.power_on(Left::Pages(room))).unwrap(), "after a full disk").await;
    }
}

#[tokio::test]
async fn a_disk_that_cannot_be_read_fails_the_reader_alone() {
    let disk = TestDisk::new();
    let log = open_on(&disk).unwrap();
    log.append(vec![event("1", "t", "1")]).await.unwrap();
    drop(log);
    let log = open_on(&disk).unwrap();
    let mut tail = log.tail(at(&log, 0)).unwrap();
    disk.fail_reads(true);
    assert!(matches!(tail.next_now(&|_| true).await, Err(BusError::Storage(_))));
    log.append(vec![event("2", "t", "2")]).await.unwrap();
    disk.fail_reads(false);
    assert_eq!(texts(&tail.next_now(&|_| true).await.unwrap().unwrap().events), ["1", "2"]);
    assert_eq!(log.health(), Health::Good);
}

#[tokio::test]
async fn all_who_wait_hear_of_the_failure() {
    let disk = TestDisk::new();
    let mut options = crate::model::options(&disk);
    options.threads = true;
    let log = EventLog::open(options).unwrap();
    log.append(vec![event("0", "t", "0")]).await.unwrap();
    disk.fail_sync_at(0);
    let waiting: Vec<_> = (1..50).map(|n| log.append(vec![event(&n.to_string(), "t", "x")])).collect();
    let mut failed = 0;
    for answer in waiting {
        failed += usize::from(answer.await.is_err());
    }
    assert_eq!(failed, 49);
    assert_eq!(seqs(&all(&log).await), [1]);
}

#[tokio::test]
async fn an_append_that_is_too_large_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let huge = "x".repeat(headwater_eventlog::EVENT_LEN_MAX + 1);
    let refused = log.append(vec![event("a", "t", "small"), event("b", "t", &huge)]).await;
    assert_eq!(refused, Err(BusError::TooLarge { max: headwater_eventlog::EVENT_LEN_MAX }));
    assert!(!log.append(vec![event("a", "t", "small")]).await.unwrap().get(0).duplicate);
    let largest = "x".repeat(headwater_eventlog::EVENT_LEN_MAX - 1);
    log.append(vec![event("c", "t", &largest)]).await.unwrap();
    drop(log);
    let log = open(folder.path());
    assert_eq!(all(&log).await[1].event.payload.len(), largest.len());
}
