//! Loads that publish: by frames, HTTP, WebSocket, or to a peer in its own protocol.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::dialect::Dialect;
use super::dialect::alerts::Alerts;
use super::dialect::amqp::{Amqp, Kind};
use super::dialect::frames::Frames;
use super::dialect::http::Http;
use super::dialect::nats::Nats;
use super::dialect::redis::Redis;
use super::dialect::websocket::WebSocket;
use super::load::{self, Load, Phase, Progress};
use super::options::{LoadArgs, address};
use super::report::{self, Spent};
use super::{process, tally};
use crate::exit;

/// What `bench frames` takes.
#[derive(clap::Args, Debug)]
pub struct FramesArgs {
    /// The hub's listener for frames
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7007", value_parser = address)]
    addr: SocketAddr,
    #[command(flatten)]
    load: LoadArgs,
}

/// What `bench http` takes.
#[derive(clap::Args, Debug)]
pub struct HttpArgs {
    /// The hub's HTTP listener
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    addr: SocketAddr,
    /// Where the events go
    #[arg(long, value_name = "TOPIC", default_value = "bench/http")]
    topic: String,
    #[command(flatten)]
    load: LoadArgs,
}

/// What `bench alerts` takes.
#[derive(clap::Args, Debug)]
pub struct AlertsArgs {
    /// The listener of alerts
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    addr: SocketAddr,
    #[command(flatten)]
    load: LoadArgs,
}

/// What `bench pub` takes.
#[derive(clap::Args, Debug)]
pub struct PubArgs {
    /// The hub's HTTP listener
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    addr: SocketAddr,
    /// Where the events go
    #[arg(long, value_name = "TOPIC", default_value = "bench/pub")]
    topic: String,
    #[command(flatten)]
    load: LoadArgs,
}

/// What `bench peer` takes.
#[derive(clap::Args, Debug)]
pub struct PeerArgs {
    /// Its language
    #[arg(long, value_enum)]
    protocol: PeerProtocol,
    /// Where it listens
    #[arg(long, value_name = "ADDR", value_parser = address)]
    addr: SocketAddr,
    #[command(flatten)]
    load: LoadArgs,
}

/// Languages of peers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum PeerProtocol {
    /// XADD over RESP
    Redis,
    /// JetStream
    Nats,
    /// A quorum queue of RabbitMQ, with confirms
    RabbitmqQuorum,
    /// A classic queue of RabbitMQ, with confirms
    RabbitmqClassic,
}

impl PeerProtocol {
    /// A connection that speaks it.
    pub fn dialect(self) -> Box<dyn Dialect> {
        match self {
            Self::Redis => Box::new(Redis::default()),
            Self::Nats => Box::new(Nats::default()),
            Self::RabbitmqQuorum => Box::new(Amqp::new(Kind::Quorum)),
            Self::RabbitmqClassic => Box::new(Amqp::new(Kind::Classic)),
        }
    }
}

/// Runs `bench frames`.
///
/// # Errors
/// When the server can't be reached or breaks off.
pub fn frames(args: &FramesArgs) -> anyhow::Result<()> {
    publish(args.addr, &args.load, |_| Box::new(Frames::new()))
}

/// Runs `bench http`.
///
/// # Errors
/// When the server can't be reached or breaks off.
pub fn http(args: &HttpArgs) -> anyhow::Result<()> {
    publish(args.addr, &args.load, |_| Box::new(Http::new(&args.topic)))
}

/// Runs `bench alerts`.
///
/// # Errors
/// When the server can't be reached or breaks off.
pub fn alerts(args: &AlertsArgs) -> anyhow::Result<()> {
    publish(args.addr, &args.load, |source| Box::new(Alerts::new(source)))
}

/// Runs `bench pub`.
///
/// # Errors
/// When the server can't be reached or breaks off.
pub fn websocket(args: &PubArgs) -> anyhow::Result<()> {
    publish(args.addr, &args.load, |_| Box::new(WebSocket::new(&args.topic)))
}

/// Runs `bench peer`.
///
/// # Errors
/// When the server can't be reached or breaks off.
pub fn peer(args: &PeerArgs) -> anyhow::Result<()> {
    publish(args.addr, &args.load, |_| args.protocol.dialect())
}

/// How long a load with a count may take.
const COUNT_TIME_MAX: Duration = Duration::from_secs(3_600);

/// Offers the load in a dialect, and tells what came of it.
///
/// # Errors
/// When the server can't be reached or breaks off, or an option makes no sense.
pub fn publish(
    addr: SocketAddr,
    args: &LoadArgs,
    dialect: impl FnMut(usize) -> Box<dyn Dialect>,
) -> anyhow::Result<()> {
    if args.connections == 0 || args.in_flight == 0 || args.rate.is_some_and(|rate| rate <= 0.0) {
        return exit::usage("--connections, --in-flight and --rate begin at 1");
    }
    process::raise_open_files(args.connections as u64 + 1_024);
    let phase = |duration| Phase { duration, rate: args.rate };
    let phases = match args.count {
        Some(_) => vec![phase(Duration::ZERO), phase(COUNT_TIME_MAX)],
        None => vec![phase(args.warmup), phase(args.duration)],
    };
    let load = Load {
        addr,
        connections: args.connections,
        in_flight: args.in_flight,
        size: args.size,
        threads: args.threads,
        phases,
        count: args.count,
        slow: Duration::MAX,
    };
    let progress = Progress::default();
    let spent = Mutex::new(Spent::begin(args.tell.server_pid)?);
    let mut measuring = false;
    let total = if args.count.is_some() { Duration::ZERO } else { args.warmup + args.duration };
    let tick = || {
        // The cost counts from the end of the warm-up, as the events do.
        if !measuring && progress.phase.load(Ordering::Relaxed) == 1 {
            measuring = true;
            if let (Ok(now), Ok(mut spent)) = (Spent::begin(args.tell.server_pid), spent.lock()) {
                *spent = now;
            }
        }
    };
    let outcome = report::with_progress(&progress, total, tick, || load::run(&load, &progress, dialect))?;
    let mut spent = *spent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    spent.end(args.tell.server_pid)?;
    tell(args, &outcome.phases[1], &outcome, &spent)?;
    Ok(())
}

fn tell(args: &LoadArgs, tally: &tally::Tally, outcome: &load::Outcome, spent: &Spent) -> std::io::Result<()> {
    let seconds = if args.count.is_some() { outcome.took } else { args.duration }.as_secs_f64();
    let mut object = report::tally(tally, seconds);
    object["connections"] = json!(args.connections);
    object["in_flight"] = json!(args.in_flight);
    object["size"] = json!(args.size);
    object["rate"] = json!(args.rate);
    object["cost"] = spent.json();
    let mut lines = vec![
        format!(
            "{:.0} events/s  ({} of {} B in {seconds:.2} s, {} connections, {} in flight each)",
            tally.accepted as f64 / seconds,
            tally.accepted,
            args.size,
            args.connections,
            args.in_flight
        ),
        format!("latency  {}", tally.latencies.line()),
    ];
    if tally.refused + tally.unsent + tally.unanswered > 0 {
        lines.push(format!(
            "refused {}, never sent {}, never answered {}",
            tally.refused, tally.unsent, tally.unanswered
        ));
    }
    lines.push(spent.line(tally.accepted));
    report::print(args.tell.json, &object, &lines)
}
