//! How long a log of a million events takes to open, with and without a checkpoint, and how much memory it then holds.
//!
//! `cargo run --release -p headwater-eventlog --example recovery_bench [FOLDER]`
#![expect(clippy::unwrap_used, reason = "a measurement that can't go on ends")]

use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use headwater_event::{Bus, Event, EventId, Headers, Publication, Time, Topic};
use headwater_eventlog::{EventLog, OpenOptions};

const EVENTS: usize = 1_000_000;
const PAYLOAD: usize = 1_024;

fn main() {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(&base).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    println!("before: {} MiB resident", resident());
    let log = EventLog::open(OpenOptions::new(folder.path())).unwrap();
    let (payload, topic) = (Bytes::from(vec![7; PAYLOAD]), Topic::new("t").unwrap());
    runtime.block_on(async {
        for _ in 0..EVENTS / 100 {
            let events = (0..100).map(|_| {
                let (topic, payload) = (topic.clone(), payload.clone());
                let event = Event { id: EventId::generate(), topic, headers: Headers::none(), payload, at: Time(1) };
                Publication { event, sticky: false }
            });
            log.append(events.collect()).await.unwrap();
        }
    });
    println!("{EVENTS} events of {PAYLOAD} B appended: {} MiB resident", resident());
    drop(log);
    for with in [true, false] {
        if !with {
            for name in ["events.checkpoint", "events.checkpoint.old"] {
                let _ = std::fs::remove_file(folder.path().join(name));
            }
        }
        let (begun, busy) = (Instant::now(), busy_ms());
        let log = EventLog::open(OpenOptions::new(folder.path())).unwrap();
        println!(
            "opened in {:.1} ms ({:.1} ms of them on a processor), {} MiB read back, {} MiB resident",
            begun.elapsed().as_secs_f64() * 1e3,
            busy_ms() - busy,
            log.counts().replayed.load(Ordering::Relaxed) >> 20,
            resident()
        );
    }
}

/// How long this thread ran, in milliseconds; on a busy machine that's less than the time that passed.
fn busy_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e6
}

/// MiB of this process in memory, as Linux says.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default().to_owned();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024
}
