//! Watchers that stop reading: what they cost the hub, what the others notice, and what they get when they come back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::crowd::{self, Arrivals, CrowdSettings, Shared};
use super::hub::{Folder, Hub};
use super::options::{address, duration};
use super::publisher::{Publisher, Way};
use super::watcher::{Protocol, Wish};
use super::{process, report};

/// What `bench slow` takes.
#[derive(clap::Args, Debug)]
pub struct SlowArgs {
    /// The hub's HTTP listener [default: a hub of its own]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    addr: Option<SocketAddr>,
    /// Its own hub's folder is made here [default: the current folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What the watchers speak
    #[arg(long, value_enum, default_value = "ws")]
    protocol: Protocol,
    /// How many watchers
    #[arg(long, value_name = "N", default_value_t = 300)]
    watchers: usize,
    /// How many of them stop reading
    #[arg(long, value_name = "N", default_value_t = 100)]
    stalled: usize,
    /// Bytes of a payload
    #[arg(long, value_name = "BYTES", default_value_t = 10_000)]
    size: usize,
    /// Events per second
    #[arg(long, value_name = "PER_SECOND", default_value_t = 100.0)]
    rate: f64,
    /// How long all read, before that
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    before: Duration,
    /// How long they don't
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// How long those that come back may take for what they missed
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    after: Duration,
    /// The server's process
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// Parts of the run: the first second, all read, some don't, they are back.
const WARMUP: usize = 0;
const BEFORE: usize = 1;
const STALL: usize = 2;
const AFTER: usize = 3;

/// The default patience is shorter than the stall: who is silent for so long is taken for dead, and comes back with its
/// position. Here it is to be seen what a client gets that wakes up again.
const PATIENT: [&str; 2] = ["websocket.silence_max=10min", "socketio.pong_max=10min"];

struct Measured {
    published: u64,
    rss_before: u64,
    rss_most: u64,
    over: usize,
}

/// Runs `bench slow`.
///
/// # Errors
/// When the hub can't be reached or breaks off.
pub fn run(args: &SlowArgs) -> anyhow::Result<()> {
    process::raise_open_files(args.watchers as u64 + 1_024);
    let own = args.addr.is_none().then(|| -> anyhow::Result<_> {
        let folder = Folder::new(args.data.as_deref())?;
        Ok((Hub::start(folder.path(), &PATIENT.map(str::to_owned), &[])?, folder))
    });
    let own = own.transpose()?;
    let addr = args.addr.or(own.as_ref().map(|(hub, _)| hub.http)).unwrap_or(SocketAddr::from(([0; 4], 0)));
    let pid = args.server_pid.or(own.as_ref().map(|(hub, _)| hub.pid()));
    let settings = CrowdSettings {
        wish: Wish::new(&[addr], args.protocol, "bench/#"),
        watchers: args.watchers,
        threads: 1,
        can_stall: args.stalled,
    };
    let shared = Shared::new();
    let (measured, arrivals) = crowd::watch(&settings, &shared, || measure(args, addr, pid, &shared))?;
    tell(args, &measured, &arrivals)?;
    Ok(())
}

fn measure(args: &SlowArgs, addr: SocketAddr, pid: Option<u32>, shared: &Shared) -> anyhow::Result<Measured> {
    let mut publisher = Publisher::open(shared, Way::Http, addr, "bench/slow", args.size)?;
    let rss = || pid.and_then(|pid| process::usage(pid).ok()).map_or(0, |usage| usage.rss);
    let part = |part| shared.part.store(part, Ordering::Relaxed);
    part(WARMUP);
    publisher.at_rate(args.rate, Duration::from_secs(1))?;
    part(BEFORE);
    publisher.at_rate(args.rate, args.before)?;
    let (rss_before, most, over) = (rss(), AtomicU64::new(0), AtomicBool::new(false));
    part(STALL);
    shared.stalling.store(true, Ordering::Relaxed);
    let published = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(rss(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let published = publisher.at_rate(args.rate, args.duration);
        over.store(true, Ordering::Relaxed);
        published
    });
    published?;
    part(AFTER);
    shared.stalling.store(false, Ordering::Relaxed);
    // With gaps in place of events this never comes true, and the time runs out: the count of gaps then tells.
    publisher.settle(publisher.published * args.watchers as u64, args.after)?;
    let over = shared.over.load(Ordering::Relaxed);
    Ok(Measured { published: publisher.published, rss_before, rss_most: most.into_inner(), over })
}

fn tell(args: &SlowArgs, measured: &Measured, arrivals: &Arrivals) -> std::io::Result<()> {
    let (before, stall) = (&arrivals.each[BEFORE], &arrivals.each[STALL]);
    let stalled = arrivals.stalled;
    let expected = measured.published * args.stalled as u64;
    let object = json!({
        "watchers": args.watchers, "stalled": args.stalled, "size": args.size, "rate": args.rate,
        "seconds": args.duration.as_secs_f64(), "published": measured.published,
        "rss_before": measured.rss_before, "rss_most": measured.rss_most,
        "others_before_ms": before.json(), "others_during_ms": stall.json(),
        "others_lost": arrivals.others.lost, "connections_ended": measured.over,
        "stalled_expected": expected, "stalled_got": stalled.events,
        "stalled_gaps": stalled.gaps, "stalled_lost_silently": stalled.lost,
    });
    let lines = [
        format!("{} watchers, {} of them stalled for {} s", args.watchers, args.stalled, args.duration.as_secs()),
        format!("others before  {}", before.line()),
        format!("others during  {}", stall.line()),
        format!(
            "server RSS {:.1} MiB, at most {:.1} MiB while they stalled",
            report::mib(measured.rss_before),
            report::mib(measured.rss_most)
        ),
        format!(
            "the stalled got {} of {expected} events and {} gaps; lost without a word {}; connections ended {}",
            stalled.events, stalled.gaps, stalled.lost, measured.over
        ),
    ];
    report::print(args.json, &object, &lines)
}
