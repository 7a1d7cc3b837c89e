//! One subscriber that stops reading: what it costs, what the others notice, and whether it gets all when it reads again.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::options::duration;
use super::super::{process, report};
use super::fleet::{Fleet, Publishing, ask};
use super::offline::Memory;
use super::through::{Common, some};
use crate::exit;

/// What `bench mqtt stalled` takes.
#[derive(clap::Args, Debug)]
pub struct StalledArgs {
    #[command(flatten)]
    common: Common,
    /// How many read
    #[arg(long, value_name = "N", default_value_t = 9)]
    others: usize,
    /// How many events come while one doesn't
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    count: u64,
    /// Events per second
    #[arg(long, value_name = "PER_SECOND", default_value_t = 10_000.0)]
    rate: f64,
    /// How long all read, before that
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    before: Duration,
    /// How long the one may take for what it missed
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    after: Duration,
}

/// Parts of the run: the first second, all read, one doesn't.
const WARMUP: usize = 0;
const BEFORE: usize = 1;
const STALL: usize = 2;
/// How long nothing may come before what hasn't come counts as missing.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Runs `bench mqtt stalled`.
///
/// # Errors
/// When the server can't be reached or breaks off.
pub fn run(args: &StalledArgs) -> anyhow::Result<()> {
    let common = &args.common;
    if args.rate <= 0.0 || args.count == 0 {
        return exit::usage("--rate and --count begin above 0");
    }
    process::raise_open_files(args.others as u64 + 1_024);
    let mut fleet = Fleet::new()?;
    for at in 0..=args.others {
        let mut ask = ask(common.addr, common.version, format!("{}-t{at}", common.prefix));
        ask.filter = Some((format!("{}/stall", common.prefix), common.qos));
        let place = fleet.subscribe(&ask, 0..1)?;
        if let Some(subscriber) = &mut fleet.links[place].subscriber {
            subscriber.is_timed = at > 0;
        }
    }
    let publishing = Publishing {
        topic: format!("{}/stall", common.prefix),
        qos: common.qos,
        size: common.size,
        // As much as a second brings: at a rate the server's answers are not what is waited for.
        window: (args.rate as u64).clamp(1_000, 60_000),
        limit: u64::MAX,
    };
    fleet.publish(&ask(common.addr, common.version, format!("{}-tp", common.prefix)), &publishing)?;
    fleet.heard_counts = false;

    let mut memory = Memory::new(common.tell.server_pid);
    fleet.sum.part = WARMUP;
    fleet.run(Duration::from_secs(1), Some(args.rate))?;
    fleet.sum.part = BEFORE;
    fleet.run(args.before, Some(args.rate))?;
    fleet.settle(SILENCE_MAX)?;
    let rss_before = memory.now();
    let heard_before = heard(&fleet);

    fleet.sum.part = STALL;
    fleet.links[0].is_reading = false;
    let sent_before: u64 = fleet.sent().iter().sum();
    let mut unsent = 0;
    while fleet.sent().iter().sum::<u64>() < sent_before + args.count {
        let left = sent_before + args.count - fleet.sent().iter().sum::<u64>();
        let stretch = Duration::from_secs_f64((left as f64 / args.rate).clamp(0.001, 0.1));
        unsent += fleet.run(stretch, Some(args.rate))?;
        memory.look();
    }
    let missed = fleet.sent().iter().sum::<u64>() - sent_before;
    let rss_most = memory.most;

    fleet.resume(0);
    let begin = Instant::now();
    let (mut came, mut since) = (heard(&fleet), Instant::now());
    fleet.sum.part = WARMUP;
    if let Some(publisher) = fleet.links.last_mut().and_then(|link| link.publisher.as_mut()) {
        publisher.limit = publisher.sent;
    }
    fleet.run_until(|fleet| {
        if heard(fleet) != came {
            (came, since) = (heard(fleet), Instant::now());
        }
        came - heard_before >= missed || since.elapsed() > SILENCE_MAX || begin.elapsed() > args.after
    })?;
    let got = came - heard_before;
    let took = since.duration_since(begin).as_secs_f64();
    let (before, during) = (&fleet.sum.each[BEFORE], &fleet.sum.each[STALL]);
    let object = json!({
        "others": args.others, "qos": common.qos, "size": common.size, "rate": args.rate, "count": missed,
        "unsent": unsent, "rss_before": rss_before, "rss_most": rss_most,
        "others_before_ms": some(before), "others_during_ms": some(during),
        "stalled_got": got, "stalled_expected": missed, "stalled_per_second": got as f64 / took.max(1e-9),
        "lost": fleet.sum.lost, "repeated": fleet.sum.repeated,
    });
    let lines = [
        format!("others before  {}", before.line()),
        format!("others during  {}", during.line()),
        format!(
            "server RSS {:.1} MiB, at most {:.1} MiB while one stalled under {missed} x {} B",
            report::mib(rss_before),
            report::mib(rss_most),
            common.size
        ),
        format!(
            "the stalled one got {got} of {missed} afterwards, at {:.0}/s; {unsent} never sent",
            got as f64 / took.max(1e-9)
        ),
    ];
    Ok(report::print(common.tell.json, &object, &lines)?)
}

/// What the one that stalls has heard.
fn heard(fleet: &Fleet) -> u64 {
    fleet.links[0].subscriber.as_ref().map_or(0, |one| one.delivered)
}
