//! How fast a group hands out and settles, and what its backlog costs: `cargo run --release --example group_rate`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_event::{
    Bus, Delivery, Event, EventId, GroupName, GroupOptions, Headers, Member, Publication, Settlement, Start, Time,
};
use headwater_eventlog::{EventLog, OpenOptions};

/// Enough to see that nothing grows with it.
const EVENTS: usize = 1_000_000;

/// What a worker asks for at once.
const BATCH: usize = 64;

type Failed = Box<dyn std::error::Error>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    let folder = std::env::temp_dir().join(format!("headwater-group-rate-{}", std::process::id()));
    let mut options = OpenOptions::new(&folder);
    // The table of ids is not what is measured here.
    options.ids_max = 0;
    let log = EventLog::open(options)?;
    fill(&log).await?;
    let before = resident_kib();
    let mut members = Vec::new();
    for count in [1, 4] {
        let name = GroupName::new(format!("{count} members"))?;
        let began = Instant::now();
        for _ in 0..count {
            members.push(log.join(&name, wanting("a/#")?).await?);
        }
        let waiting = log.groups(None, 1);
        println!("{EVENTS} events behind: {} KiB more than before ({waiting:?})", resident_kib() - before);
        let mut tasks = tokio::task::JoinSet::new();
        for member in members.drain(..) {
            tasks.spawn(work(member));
        }
        let settled: usize = tasks.join_all().await.into_iter().sum();
        let took = began.elapsed();
        println!(
            "{count} member(s), {BATCH} at a time: {settled} deliveries in {took:?} = {:.0} k/s; {} KiB more than before",
            settled as f64 / took.as_secs_f64() / 1_000.0,
            resident_kib() - before,
        );
    }
    drop(log);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

async fn fill(log: &EventLog) -> Result<(), Failed> {
    let payload = Bytes::from(vec![b'x'; 256]);
    for first in (0..EVENTS).step_by(1_000) {
        let batch = (first..first + 1_000).map(|at| {
            let event = Event {
                id: EventId::generate(),
                topic: format!("a/{}", at % 100).parse().unwrap_or_else(|_| unreachable!("a topic")),
                headers: Headers::none(),
                payload: payload.clone(),
                at: Time(1),
            };
            Publication { event, sticky: false }
        });
        log.append(batch.collect()).await?;
    }
    Ok(())
}

fn wanting(filter: &str) -> Result<GroupOptions, Failed> {
    Ok(GroupOptions { start: Start::Oldest, ..GroupOptions::new(vec![filter.parse()?]) })
}

/// Settles whatever comes until nothing has come for a moment.
async fn work(mut member: Box<dyn Member>) -> usize {
    let mut settled = 0;
    while let Ok(Ok(deliveries)) = tokio::time::timeout(Duration::from_millis(200), member.next(BATCH)).await {
        let done = deliveries.iter().map(|delivery: &Delivery| (delivery.tag(), Settlement::Done)).collect();
        settled += member.settle(done).await.unwrap_or(0);
    }
    settled
}

/// What this process holds in memory now.
fn resident_kib() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    // Pages of 4 KiB.
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<i64>().ok()).unwrap_or(0) * 4
}
