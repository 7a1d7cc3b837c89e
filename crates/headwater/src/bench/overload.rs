//! More than a server can take: what it accepts, what it refuses, how late, and how soon it is well again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::dialect::Dialect;
use super::dialect::frames::Frames;
use super::hub::{Folder, Hub};
use super::load::{self, Load, Outcome, Phase, Progress};
use super::options::{address, duration};
use super::process;
use super::publishing::PeerProtocol;
use super::report;
use super::tally::{SLICE, Slice};

/// What `bench overload` takes.
#[derive(clap::Args, Debug)]
pub struct OverloadArgs {
    /// The server [default: a hub of its own, whose syncs take 2 ms longer, with room for --waiting events]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    addr: Option<SocketAddr>,
    /// A peer's language, where it is a peer
    #[arg(long, value_enum)]
    peer: Option<PeerProtocol>,
    /// Its own hub's folder is made here [default: the current folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How many events may wait in its own hub
    #[arg(long, value_name = "N", default_value_t = 256)]
    waiting: usize,
    /// Milliseconds that its own hub's syncs take longer
    #[arg(long, value_name = "MS", default_value_t = 2)]
    sync_delay: u64,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 16)]
    connections: usize,
    /// Events under way on each while the capacity is measured
    #[arg(long, value_name = "N", default_value_t = 16)]
    in_flight: usize,
    /// Events under way on each during the overload: more are held back by the generator, and count as late
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    in_flight_overload: usize,
    /// Bytes of a payload
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,
    /// How many times its capacity is offered
    #[arg(long, value_name = "TIMES", default_value_t = 4.0)]
    factor: f64,
    /// How long the capacity is measured
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    peak: Duration,
    /// How long the overload lasts
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    duration: Duration,
    /// How long half of the capacity is offered afterwards
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    after: Duration,
    /// What an accepted event may take in normal times
    #[arg(long, value_name = "TIME", default_value = "12ms", value_parser = duration)]
    normal: Duration,
    /// Threads of the generator
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// The server's process
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// Before the capacity is measured.
const WARMUP: Duration = Duration::from_secs(1);
/// The phases of the second load.
const OVER: usize = 0;
const AFTER: usize = 1;

/// Runs `bench overload`.
///
/// # Errors
/// When the server can't be reached or breaks off.
pub fn run(args: &OverloadArgs) -> anyhow::Result<()> {
    let own = args.addr.is_none().then(|| start(args)).transpose()?;
    let addr = args.addr.or(own.as_ref().map(|(hub, _)| hub.frames)).unwrap_or(SocketAddr::from(([0; 4], 0)));
    let pid = args.server_pid.or(own.as_ref().map(|(hub, _)| hub.pid()));
    let peak = peak(args, addr)?;
    let (outcome, rss) = overload(args, addr, pid, peak)?;
    tell(args, peak, &outcome, rss)?;
    Ok(())
}

fn start(args: &OverloadArgs) -> anyhow::Result<(Hub, Folder)> {
    let folder = Folder::new(args.data.as_deref())?;
    let settings = [format!("limits.waiting_events_max={}", args.waiting)];
    let hub = Hub::start(folder.path(), &settings, &["--test-sync-delay", &args.sync_delay.to_string()])?;
    Ok((hub, folder))
}

fn load(args: &OverloadArgs, addr: SocketAddr, in_flight: usize, phases: Vec<Phase>) -> Load {
    Load {
        addr,
        connections: args.connections,
        in_flight,
        size: args.size,
        threads: args.threads,
        phases,
        count: None,
        slow: args.normal,
    }
}

fn dialect(args: &OverloadArgs) -> Box<dyn Dialect> {
    args.peer.map_or_else(|| Box::new(Frames::new()) as Box<dyn Dialect>, PeerProtocol::dialect)
}

/// Events per second when each answer makes room for the next event.
fn peak(args: &OverloadArgs, addr: SocketAddr) -> anyhow::Result<f64> {
    let phase = |duration| Phase { duration, rate: None };
    let load = load(args, addr, args.in_flight, vec![phase(WARMUP), phase(args.peak)]);
    let progress = Progress::default();
    let outcome =
        report::with_progress(&progress, WARMUP + args.peak, || (), || load::run(&load, &progress, |_| dialect(args)))?;
    Ok(outcome.phases[1].accepted as f64 / args.peak.as_secs_f64())
}

/// The overload and what follows; the server's memory before, and the most there was.
fn overload(
    args: &OverloadArgs,
    addr: SocketAddr,
    pid: Option<u32>,
    peak: f64,
) -> anyhow::Result<(Outcome, Option<(u64, u64)>)> {
    let phases = vec![
        Phase { duration: args.duration, rate: Some(peak * args.factor) },
        Phase { duration: args.after, rate: Some(peak / 2.0) },
    ];
    let load = load(args, addr, args.in_flight_overload, phases);
    let progress = Progress::default();
    let rss = || pid.and_then(|pid| process::usage(pid).ok()).map_or(0, |usage| usage.rss);
    let (before, most) = (rss(), AtomicU64::new(0));
    let tick = || {
        most.fetch_max(rss(), Ordering::Relaxed);
    };
    let outcome = report::with_progress(&progress, args.duration + args.after, tick, || {
        load::run(&load, &progress, |_| dialect(args))
    })?;
    Ok((outcome, pid.map(|_| (before, most.into_inner().max(before)))))
}

/// How long after the overload's end accepted events were normal again and nothing was refused, and stayed so.
fn normal_again(timeline: &[Slice], end: Duration, total: Duration) -> Option<Duration> {
    let slice_of = |at: Duration| usize::try_from(at.as_millis() / SLICE.as_millis()).unwrap_or(usize::MAX);
    let after = timeline.get(slice_of(end)..slice_of(total).min(timeline.len()))?;
    let is_ill = |slice: &Slice| slice.refused > 0 || slice.slow * 100 > slice.accepted || slice.accepted == 0;
    let ill = after.iter().rposition(is_ill).map_or(0, |last| last + 1);
    (ill < after.len()).then(|| SLICE * u32::try_from(ill).unwrap_or(u32::MAX))
}

/// Accepted per second in the best and the worst second of the overload, its first left out.
fn best_and_worst(timeline: &[Slice], duration: Duration) -> Option<(u64, u64)> {
    let seconds = usize::try_from(duration.as_secs()).unwrap_or(usize::MAX);
    let sums = timeline.chunks_exact(10).take(seconds).skip(1).map(|second| second.iter().map(|s| s.accepted).sum());
    let sums: Vec<u64> = sums.collect();
    Some((*sums.iter().max()?, *sums.iter().min()?))
}

fn tell(args: &OverloadArgs, peak: f64, outcome: &Outcome, rss: Option<(u64, u64)>) -> std::io::Result<()> {
    let over = &outcome.phases[OVER];
    let seconds = args.duration.as_secs_f64();
    let again = normal_again(&outcome.timeline, args.duration, args.duration + args.after);
    let flat = best_and_worst(&outcome.timeline, args.duration);
    let accepted = over.accepted as f64 / seconds;
    let timeline: Vec<Value> = outcome
        .timeline
        .iter()
        .map(|slice| json!([slice.accepted, slice.refused, slice.worst_ns as f64 / 1e6]))
        .collect();
    let object = json!({
        "peak_per_second": peak, "factor": args.factor, "offered_per_second": peak * args.factor,
        "overload": report::tally(over, seconds),
        "after": report::tally(&outcome.phases[AFTER], args.after.as_secs_f64()),
        "accepted_of_peak": accepted / peak,
        "best_second": flat.map(|(best, _)| best), "worst_second": flat.map(|(_, worst)| worst),
        "normal_after_ms": again.map(|again| u64::try_from(again.as_millis()).unwrap_or(u64::MAX)),
        "rss_before": rss.map(|(before, _)| before), "rss_most": rss.map(|(_, most)| most),
        "slices_ms": u64::try_from(SLICE.as_millis()).unwrap_or(0), "timeline": timeline,
    });
    let again = again.map_or("not by the end".to_owned(), |again| format!("after {} ms", again.as_millis()));
    let mut lines = vec![
        format!("capacity {peak:.0} events/s; offered {:.0}/s for {seconds} s", peak * args.factor),
        format!(
            "accepted {accepted:.0}/s ({:.2} of the capacity), refused {:.0}/s, never sent {:.0}/s, unanswered {}",
            accepted / peak,
            over.refused as f64 / seconds,
            over.unsent as f64 / seconds,
            outcome.phases[AFTER].unanswered
        ),
        format!("accepted  {}", over.latencies.line()),
        format!("refused   {}", over.refusals.line()),
        format!("normal again {again}"),
    ];
    if let Some((before, most)) = rss {
        lines.push(format!("server RSS {:.1} MiB, at most {:.1} MiB", report::mib(before), report::mib(most)));
    }
    report::print(args.json, &object, &lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_is_when_the_last_ill_slice_is_over() {
        let good = Slice { accepted: 100, ..Slice::default() };
        let ill = Slice { accepted: 100, refused: 1, ..Slice::default() };
        let slow = Slice { accepted: 100, slow: 2, ..Slice::default() };
        let (end, total) = (Duration::from_millis(300), Duration::from_millis(800));
        let timeline = [ill, ill, ill, ill, good, slow, good, good];
        assert_eq!(normal_again(&timeline, end, total), Some(Duration::from_millis(300)));
        assert_eq!(normal_again(&[good; 8], end, total), Some(Duration::ZERO));
        assert_eq!(normal_again(&[ill; 8], end, total), None);
    }
}
