//! A checkpoint makes the start fast, and is never needed.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use headwater_event::{Bus, Filter, ProducerId};
use headwater_eventlog::EventLog;

use crate::kit::{all, event, numbered, open, seqs, sticky, texts};

const NEWEST: &str = "events.checkpoint";
const OLDER: &str = "events.checkpoint.old";

/// Appends something of every kind.
async fn fill(log: &EventLog, round: u64) {
    let id = |what: &str| format!("{what}-{round}");
    log.append(vec![event(&id("e"), "t", "plain"), sticky(&id("s"), &id("state"), &id("s"))]).await.unwrap();
    log.append(vec![numbered(7, 2 * round + 1)]).await.unwrap();
    log.use_up(ProducerId::from_u128(7), 2 * round + 2).await.unwrap();
}

/// All that `fill` brought is known, each thing once.
async fn check(log: &EventLog, rounds: u64) {
    assert_eq!(seqs(&all(log).await), (1..=3 * rounds).collect::<Vec<_>>());
    assert_eq!(log.last_number(ProducerId::from_u128(7)).await, Ok(2 * rounds));
    let page = log.latest(&Filter::new("#").unwrap(), None, 99).await.unwrap();
    let expected: Vec<_> = (0..rounds).map(|round| format!("s-{round}")).collect();
    assert_eq!(texts(&page.events), expected);
    for round in 0..rounds {
        let again = vec![event(&format!("e-{round}"), "t", "again"), numbered(7, 2 * round + 1)];
        let receipts = log.append(again).await.unwrap();
        assert_eq!(receipts.duplicates, [(0, 3 * round + 1), (1, 3 * round + 3)]);
    }
}

async fn filled(folder: &Path) -> EventLog {
    let log = open(folder);
    for round in 0..3 {
        fill(&log, round).await;
        log.checkpoint().unwrap();
    }
    fill(&log, 3).await;
    log
}

#[tokio::test]
async fn only_what_came_since_the_checkpoint_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = filled(folder.path()).await;
    let bytes = log.bytes();
    drop(log);
    let log = open(folder.path());
    let replayed = log.counts().replayed.load(Relaxed);
    assert!(replayed > 0 && replayed < bytes / 3, "{replayed} of {bytes} bytes were read back");
    check(&log, 4).await;
    log.close().unwrap();
    drop(log);
    let log = open(folder.path());
    assert_eq!(log.counts().replayed.load(Relaxed), 0, "a closed log has nothing to read back");
    check(&log, 4).await;
}

#[tokio::test]
async fn without_a_checkpoint_the_whole_log_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let log = filled(folder.path()).await;
    let bytes = log.bytes();
    drop(log);
    for name in [NEWEST, OLDER] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    let log = open(folder.path());
    assert_eq!(log.counts().replayed.load(Relaxed), bytes);
    check(&log, 4).await;
}

#[tokio::test]
async fn a_damaged_checkpoint_is_passed_over_wherever_the_damage_is() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()).await);
    let path = folder.path().join(NEWEST);
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(13) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        check(&open(folder.path()), 4).await;
        std::fs::write(&path, &whole[..at]).unwrap();
        check(&open(folder.path()), 4).await;
    }
}

#[tokio::test]
async fn a_checkpoint_of_another_log_is_passed_over() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(filled(folder.path()).await);
    drop(open(other.path()));
    std::fs::copy(folder.path().join(NEWEST), other.path().join(NEWEST)).unwrap();
    let log = open(other.path());
    assert_eq!(log.head().seq, 0);
    assert_eq!(log.last_number(ProducerId::from_u128(7)).await, Ok(0));
}

#[tokio::test]
async fn an_older_copy_of_the_log_beside_a_newer_checkpoint_is_no_silent_loss() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    fill(&log, 0).await;
    let older = std::fs::read(folder.path().join("events.log")).unwrap();
    fill(&log, 1).await;
    log.close().unwrap();
    drop(log);
    std::fs::write(folder.path().join("events.log"), older).unwrap();
    let error = EventLog::open(headwater_eventlog::OpenOptions::new(folder.path())).err().unwrap();
    assert!(error.to_string().contains("is damaged"), "{error}");
}
