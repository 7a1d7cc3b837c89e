//! One publisher, many watchers: how long until each has it and until the last has it, and what a delivery costs.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use super::crowd::{self, Arrivals, CrowdSettings, Shared};
use super::options::{TellArgs, address, duration};
use super::publisher::{Publisher, Way};
use super::report::{self, Spent};
use super::watcher::{Protocol, Wish};
use super::{floor, process};
use crate::exit;

/// What `bench fanout` takes.
#[derive(clap::Args, Debug)]
pub struct FanoutArgs {
    /// Where the watchers connect; several share them
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    addr: Vec<SocketAddr>,
    /// What the watchers speak
    #[arg(long, value_enum, default_value = "ws")]
    protocol: Protocol,
    /// How many watchers
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    watchers: usize,
    /// What they watch
    #[arg(long, value_name = "FILTER", default_value = "bench/#")]
    filter: String,
    /// How the events get in
    #[arg(long, value_enum, default_value = "http")]
    publish: Way,
    /// Where the events get in [default: where the first watcher connects]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    publish_addr: Option<SocketAddr>,
    /// Topic of the events, where the way in has one
    #[arg(long, value_name = "TOPIC", default_value = "bench/fanout")]
    topic: String,
    /// Bytes of a payload
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,
    /// Events per second; 0: as fast as the watchers get them
    #[arg(long, value_name = "PER_SECOND", default_value_t = 10.0)]
    rate: f64,
    /// Without a rate: how many events may be on their way to the watchers
    #[arg(long, value_name = "N", default_value_t = 4)]
    in_flight: u64,
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// How long to publish before that, unmeasured
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    warmup: Duration,
    /// Threads that watch
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    #[command(flatten)]
    tell: TellArgs,
    /// Be the yardstick in place of measuring: a bare loop of send() over all sockets
    #[arg(long)]
    floor: bool,
    /// Where the yardstick listens; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// How long the watchers may take for what is still on its way at the end.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(20);
/// The warm-up, and what is measured.
const WARMUP: usize = 0;
const MEASURED: usize = 1;

/// Runs `bench fanout`.
///
/// # Errors
/// When the server can't be reached or breaks off.
pub fn run(args: &FanoutArgs) -> anyhow::Result<()> {
    if args.floor {
        return floor::run(args.listen);
    }
    if args.watchers == 0 || args.rate < 0.0 {
        return exit::usage("--watchers begins at 1 and --rate at 0");
    }
    process::raise_open_files(args.watchers as u64 + 1_024);
    let settings = CrowdSettings {
        wish: Wish::new(&args.addr, args.protocol, &args.filter),
        watchers: args.watchers,
        threads: args.threads,
        can_stall: 0,
    };
    let shared = Shared::new();
    let (measured, arrivals) = crowd::watch(&settings, &shared, || measure(args, &shared))?;
    tell(args, &measured, &arrivals)?;
    Ok(())
}

struct Measured {
    spent: Spent,
    events: u64,
    deliveries: u64,
    took: Duration,
    over: usize,
}

fn measure(args: &FanoutArgs, shared: &Shared) -> anyhow::Result<Measured> {
    let addr = args.publish_addr.or(args.addr.first().copied());
    let addr = addr.context("--addr says where")?;
    let mut publisher = Publisher::open(shared, args.publish, addr, &args.topic, args.size)?;
    let mut publish = |duration| {
        if args.rate > 0.0 {
            publisher.at_rate(args.rate, duration)?;
        } else {
            publisher.saturated(args.in_flight, args.watchers, duration)?;
        }
        publisher.settle(publisher.published * args.watchers as u64, SETTLE_TIME_MAX)?;
        anyhow::Ok(publisher.published)
    };
    shared.part.store(WARMUP, Ordering::Relaxed);
    let before = publish(args.warmup)?;
    shared.part.store(MEASURED, Ordering::Relaxed);
    let deliveries = shared.deliveries.load(Ordering::Relaxed);
    let mut spent = Spent::begin(args.tell.server_pid)?;
    let begin = Instant::now();
    let published = publish(args.duration)?;
    spent.end(args.tell.server_pid)?;
    Ok(Measured {
        spent,
        events: published - before,
        deliveries: shared.deliveries.load(Ordering::Relaxed) - deliveries,
        took: begin.elapsed(),
        over: shared.over.load(Ordering::Relaxed),
    })
}

fn tell(args: &FanoutArgs, measured: &Measured, arrivals: &Arrivals) -> std::io::Result<()> {
    let last = arrivals.last(MEASURED, args.watchers);
    let each = &arrivals.each[MEASURED];
    let seconds = measured.took.as_secs_f64();
    let cost = measured.spent.server_cpu().map(|cpu| cpu * 1e6 / measured.deliveries.max(1) as f64);
    let missing = (measured.events * args.watchers as u64).saturating_sub(measured.deliveries);
    let object = json!({
        "watchers": args.watchers, "size": args.size, "rate": args.rate, "seconds": seconds,
        "events": measured.events, "deliveries": measured.deliveries, "missing": missing,
        "connections_ended": measured.over,
        "deliveries_per_second": measured.deliveries as f64 / seconds,
        "each_ms": each.json(), "last_ms": last.json(),
        "server_cpu_us_per_delivery": cost,
        "cost": measured.spent.json(),
    });
    let mut lines = vec![
        format!(
            "{:.0} deliveries/s  ({} events of {} B to {} watchers in {seconds:.2} s)",
            measured.deliveries as f64 / seconds,
            measured.events,
            args.size,
            args.watchers
        ),
        format!("to each  {}", each.line()),
        format!("to the last  {}", last.line()),
    ];
    if missing > 0 || measured.over > 0 {
        lines.push(format!("{missing} deliveries missing, {} connections ended", measured.over));
    }
    lines.push(measured.spent.line(measured.deliveries));
    report::print(args.tell.json, &object, &lines)
}
