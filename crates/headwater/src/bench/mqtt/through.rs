//! Publications through the server to who hears them: many to one, one to many, one to one.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::options::{TellArgs, address, duration};
use super::super::report::{self, Spent};
use super::super::{process, tally::Latencies};
use super::fleet::{Fleet, Publishing, ask};
use super::wire::Version;
use crate::exit;

/// Where, what, how long: what every load has.
#[derive(clap::Args, Clone, Debug)]
pub struct Common {
    /// The server's MQTT listener
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1883", value_parser = address)]
    pub addr: SocketAddr,
    /// Which version of MQTT
    #[arg(long, value_enum, default_value = "3.1.1")]
    pub version: Version,
    /// At which quality of service
    #[arg(long, value_name = "0|1|2", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Bytes of a payload; 20 at the least
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub size: usize,
    /// The beginning of all topics and client ids, so that two loads don't hear each other
    #[arg(long, value_name = "NAME", default_value = "bench")]
    pub prefix: String,
    #[command(flatten)]
    pub tell: TellArgs,
}

/// How long.
#[derive(clap::Args, Clone, Debug)]
pub struct Time {
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// How long to run before that, unmeasured
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    warmup: Duration,
}

/// What `bench mqtt fanin` takes.
#[derive(clap::Args, Debug)]
pub struct FaninArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    time: Time,
    /// How many publishers, each with a topic of its own
    #[arg(long, value_name = "N", default_value_t = 10)]
    publishers: usize,
    /// How many of each may be under way
    #[arg(long, value_name = "N", default_value_t = 100)]
    in_flight: u64,
    /// How many hear all of them; 0: only the server's answers count
    #[arg(long, value_name = "N", default_value_t = 1)]
    subscribers: usize,
    /// QoS of the subscriptions [default: as published]
    #[arg(long, value_name = "0|1|2", value_parser = clap::value_parser!(u8).range(0..=2))]
    subscribe_qos: Option<u8>,
}

/// What `bench mqtt fanout` takes.
#[derive(clap::Args, Debug)]
pub struct FanoutArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    time: Time,
    /// How many subscribers
    #[arg(long, value_name = "N", default_value_t = 100)]
    subscribers: usize,
    /// How many events may be on their way to the subscribers
    #[arg(long, value_name = "N", default_value_t = 100)]
    in_flight: u64,
    /// Events per second; without it as fast as the subscribers get them
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
}

/// What `bench mqtt pairs` takes.
#[derive(clap::Args, Debug)]
pub struct PairsArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    time: Time,
    /// How many pairs, each with a topic of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    pairs: usize,
    /// How many of each may be under way
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    in_flight: u64,
    /// Events per second over all pairs; without it as fast as they are heard
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
}

/// How long what is under way may take at the end.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(20);
/// Parts of the run.
const WARMUP: usize = 0;
const MEASURED: usize = 1;

/// A load as its three shapes have it.
struct Load<'a> {
    common: &'a Common,
    time: &'a Time,
    publishers: usize,
    topic: &'a dyn Fn(usize) -> String,
    in_flight: u64,
    rate: Option<f64>,
    /// What each subscriber wants, and whose events that are.
    subscribers: Vec<(String, Range<u32>)>,
    subscribe_qos: u8,
}

/// Runs `bench mqtt fanin`.
///
/// # Errors
/// When the server can't be reached or breaks off.
pub fn fanin(args: &FaninArgs) -> anyhow::Result<()> {
    let prefix = &args.common.prefix;
    let all = 0..u32::try_from(args.publishers)?;
    let load = Load {
        common: &args.common,
        time: &args.time,
        publishers: args.publishers,
        topic: &|at| format!("{prefix}/in/{at}"),
        in_flight: args.in_flight,
        rate: None,
        subscribers: vec![(format!("{prefix}/in/+"), all); args.subscribers],
        subscribe_qos: args.subscribe_qos.unwrap_or(args.common.qos),
    };
    measure(&load)
}

/// Runs `bench mqtt fanout`.
///
/// # Errors
/// When the server can't be reached or breaks off.
pub fn fanout(args: &FanoutArgs) -> anyhow::Result<()> {
    let prefix = &args.common.prefix;
    let load = Load {
        common: &args.common,
        time: &args.time,
        publishers: 1,
        topic: &|_| format!("{prefix}/out"),
        in_flight: args.in_flight,
        rate: args.rate,
        subscribers: vec![(format!("{prefix}/out"), 0..1); args.subscribers],
        subscribe_qos: args.common.qos,
    };
    measure(&load)
}

/// Runs `bench mqtt pairs`.
///
/// # Errors
/// When the server can't be reached or breaks off.
pub fn pairs(args: &PairsArgs) -> anyhow::Result<()> {
    let prefix = &args.common.prefix;
    let load = Load {
        common: &args.common,
        time: &args.time,
        publishers: args.pairs,
        topic: &|at| format!("{prefix}/pair/{at}"),
        in_flight: args.in_flight,
        rate: args.rate,
        subscribers: (0..u32::try_from(args.pairs)?).map(|at| (format!("{prefix}/pair/{at}"), at..at + 1)).collect(),
        subscribe_qos: args.common.qos,
    };
    measure(&load)
}

/// What a load came to.
struct Measured {
    spent: Spent,
    took: Duration,
    published: u64,
    answered: u64,
    delivered: u64,
    unsent: u64,
    missing: u64,
}

fn measure(load: &Load<'_>) -> anyhow::Result<()> {
    if load.publishers == 0 || load.in_flight == 0 || load.rate.is_some_and(|rate| rate <= 0.0) {
        return exit::usage("a load has at least one publisher, one event under way, and a rate above 0");
    }
    process::raise_open_files((load.publishers + load.subscribers.len()) as u64 + 1_024);
    let mut fleet = open(load)?;
    let pid = load.common.tell.server_pid;
    fleet.sum.part = WARMUP;
    fleet.run(load.time.warmup, load.rate)?;
    fleet.sum.part = MEASURED;
    let before = (sent(&fleet), fleet.sum.answered, fleet.sum.delivered);
    let mut spent = Spent::begin(pid)?;
    let begin = Instant::now();
    let unsent = fleet.run(load.time.duration, load.rate)?;
    // What comes in this very stretch counts, whenever it was sent: in a closed loop as much goes in as comes out.
    let (took, answered, delivered) = (begin.elapsed(), fleet.sum.answered, fleet.sum.delivered);
    spent.end(pid)?;
    let missing = fleet.settle(SETTLE_TIME_MAX)?;
    let measured = Measured {
        spent,
        took,
        published: sent(&fleet) - before.0,
        answered: answered - before.1,
        delivered: delivered - before.2,
        unsent,
        missing,
    };
    tell(load, &fleet, &measured)
}

fn sent(fleet: &Fleet) -> u64 {
    fleet.sent().iter().sum()
}

fn open(load: &Load<'_>) -> anyhow::Result<Fleet> {
    let common = load.common;
    let mut fleet = Fleet::new()?;
    for (at, (filter, hears)) in load.subscribers.iter().enumerate() {
        let mut ask = ask(common.addr, common.version, format!("{}-s{at}", common.prefix));
        ask.filter = Some((filter.clone(), load.subscribe_qos));
        fleet.subscribe(&ask, hears.clone())?;
    }
    for at in 0..load.publishers {
        let publishing = Publishing {
            topic: (load.topic)(at),
            qos: common.qos,
            size: common.size,
            window: load.in_flight,
            limit: u64::MAX,
        };
        fleet.publish(&ask(common.addr, common.version, format!("{}-p{at}", common.prefix)), &publishing)?;
    }
    Ok(fleet)
}

fn tell(load: &Load<'_>, fleet: &Fleet, measured: &Measured) -> anyhow::Result<()> {
    let (sum, common) = (&fleet.sum, load.common);
    let seconds = measured.took.as_secs_f64();
    let (answers, each) = (&sum.answers[MEASURED], &sum.each[MEASURED]);
    // What the server did: it took each publication once, and gave it to each who hears it.
    let works = measured.published + measured.delivered;
    let cpu = |count: u64| measured.spent.server_cpu().map(|cpu| cpu * 1e6 / count.max(1) as f64);
    let object = json!({
        "publishers": load.publishers, "subscribers": load.subscribers.len(), "qos": common.qos, "size": common.size,
        "in_flight": load.in_flight, "rate": load.rate, "seconds": seconds,
        "published": measured.published, "published_per_second": measured.published as f64 / seconds,
        "answered": measured.answered, "answered_per_second": measured.answered as f64 / seconds, "refused": sum.refused,
        "delivered": measured.delivered, "delivered_per_second": measured.delivered as f64 / seconds,
        "unsent": measured.unsent, "lost": sum.lost, "missing": measured.missing, "repeated": sum.repeated,
        "answer_ms": some(answers), "each_ms": some(each),
        "server_cpu_us_per_published": cpu(measured.published), "server_cpu_us_per_delivered": cpu(measured.delivered),
        "cost": measured.spent.json(),
    });
    let mut lines = vec![format!(
        "{:.0} published/s, {:.0} answered/s, {:.0} delivered/s  ({} B, QoS {}, {} to {}, {seconds:.2} s)",
        measured.published as f64 / seconds,
        measured.answered as f64 / seconds,
        measured.delivered as f64 / seconds,
        common.size,
        common.qos,
        load.publishers,
        load.subscribers.len()
    )];
    for (what, latencies) in [("until answered", answers), ("until heard   ", each)] {
        if latencies.count() > 0 {
            lines.push(format!("{what}  {}", latencies.line()));
        }
    }
    let wrong = [
        (sum.refused, "refused"),
        (measured.unsent, "never sent"),
        (sum.lost, "lost on the way"),
        (measured.missing, "never came"),
        (sum.repeated, "came again or too late"),
    ];
    lines.extend(wrong.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    lines.push(measured.spent.line(works));
    Ok(report::print(common.tell.json, &object, &lines)?)
}

/// `null` where nothing was measured.
pub fn some(latencies: &Latencies) -> Value {
    if latencies.count() > 0 { latencies.json() } else { Value::Null }
}
