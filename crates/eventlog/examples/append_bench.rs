//! How fast the log appends, beside a bare write and sync of the same bytes in the same run.
//!
//! `cargo run --release -p headwater-eventlog --example append_bench [FOLDER]`
#![expect(clippy::unwrap_used, reason = "a measurement that can't go on ends")]

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_event::{Bus, Event, EventId, Headers, ProducerId, Publication, Time, Topic};
use headwater_eventlog::{EventLog, OpenOptions};

const PAYLOAD: usize = 256;
const SPAN: Duration = Duration::from_secs(2);

fn main() {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for _ in 0..2 {
        let bare = bare(&base);
        println!("bare write + fdatasync of 256 B over zeros: {bare:.1} us");
        for (producers, batch, window) in [(1, 1, 1), (16, 1, 1), (256, 1, 1), (1, 64, 1), (16, 64, 1), (16, 64, 4)] {
            for numbered in [true, false] {
                let folder = tempfile::tempdir_in(&base).unwrap();
                let log = Arc::new(EventLog::open(OpenOptions::new(folder.path())).unwrap());
                let rate = runtime.block_on(load(&log, producers, batch, window, numbered));
                let syncs = log.counts().syncs.load(Ordering::Relaxed);
                let inline = log.counts().inline.load(Ordering::Relaxed);
                let ids = if numbered { "numbered" } else { "uuid" };
                println!(
                    "{producers:>4} producers, {batch:>2} a batch, {window} in flight, {ids:>8}: {rate:>9.0} events/s, \
                     {:>7.1} us a batch, {syncs} syncs ({inline} inline), {:.1} us a sync",
                    1e6 * (producers * batch * window) as f64 / rate,
                    log.counts().sync_us.load(Ordering::Relaxed) as f64 / syncs as f64,
                );
                log.close().unwrap();
            }
        }
    }
}

fn bare(base: &Path) -> f64 {
    let file = tempfile::tempfile_in(base).unwrap();
    file.write_all_at(&vec![0; 16 << 20], 0).unwrap();
    file.sync_all().unwrap();
    let (begun, mut count) = (Instant::now(), 0_u64);
    while begun.elapsed() < SPAN / 2 {
        file.write_all_at(&[7; 384], (count * 384) % (15 << 20)).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    begun.elapsed().as_secs_f64() * 1e6 / count as f64
}

async fn load(log: &Arc<EventLog>, producers: usize, batch: usize, window: usize, numbered: bool) -> f64 {
    let count = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|producer| {
            let (log, count) = (log.clone(), count.clone());
            tokio::spawn(async move {
                let (mut number, mut waiting) = (0, std::collections::VecDeque::new());
                let payload = Bytes::from(vec![7; PAYLOAD]);
                let topic = Topic::new(format!("intake/{producer}")).unwrap();
                let id = ProducerId::from_u128(producer as u128 + 1);
                while begun.elapsed() < SPAN {
                    let events = (0..batch).map(|_| {
                        number += 1;
                        let id =
                            if numbered { EventId::Numbered { producer: id, number } } else { fast_uuid(id, number) };
                        let (topic, payload) = (topic.clone(), payload.clone());
                        let event = Event { id, topic, headers: Headers::none(), payload, at: Time(1) };
                        Publication { event, sticky: false }
                    });
                    waiting.push_back(log.append(events.collect()));
                    if waiting.len() == window {
                        waiting.pop_front().unwrap().await.unwrap();
                        count.fetch_add(batch as u64, Ordering::Relaxed);
                    }
                }
                for last in waiting {
                    last.await.unwrap();
                    count.fetch_add(batch as u64, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// An id as cheap as a client's own, so that the log is measured and not the making of ids.
fn fast_uuid(producer: ProducerId, number: u64) -> EventId {
    let mixed = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    EventId::Uuid(ProducerId::from_u128(mixed ^ producer.as_u128() << 64))
}
