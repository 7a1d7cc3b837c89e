//! A session that is away while a million events come for it: what they cost, and whether all are there when it is back.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use super::super::{process, report};
use super::fleet::{Fleet, Publishing, ask};
use super::through::Common;
use crate::exit;

/// What `bench mqtt offline` takes.
#[derive(clap::Args, Debug)]
pub struct OfflineArgs {
    #[command(flatten)]
    common: Common,
    /// How many events come while the session is away
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    count: u64,
    /// How many publishers bring them
    #[arg(long, value_name = "N", default_value_t = 10)]
    publishers: u64,
    /// How many of each may be under way
    #[arg(long, value_name = "N", default_value_t = 100)]
    in_flight: u64,
}

/// Between two looks at the server's memory.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long nothing may come before what hasn't come counts as missing.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long the server may come to rest before its memory is looked at.
const REST: Duration = Duration::from_secs(1);

/// The server's memory, looked at now and then.
pub struct Memory {
    pid: Option<u32>,
    looked: Instant,
    pub most: u64,
}

impl Memory {
    pub fn new(pid: Option<u32>) -> Self {
        Self { pid, looked: Instant::now(), most: 0 }
    }

    pub fn now(&self) -> u64 {
        self.pid.and_then(|pid| process::usage(pid).ok()).map_or(0, |usage| usage.rss)
    }

    /// Looks, when it's time.
    pub fn look(&mut self) {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.most = self.most.max(self.now());
            self.looked = Instant::now();
        }
    }
}

/// Runs `bench mqtt offline`.
///
/// # Errors
/// When the server can't be reached, breaks off, or has no session to come back to.
pub fn run(args: &OfflineArgs) -> anyhow::Result<()> {
    let common = &args.common;
    if args.count < args.publishers || args.publishers == 0 || common.qos == 0 {
        return exit::usage("an absent session needs events of QoS 1 or 2, and at least one of each publisher");
    }
    let hears = 0..u32::try_from(args.publishers)?;
    let mut session = ask(common.addr, common.version, format!("{}-away", common.prefix));
    session.is_clean = false;
    session.filter = Some((format!("{}/away/+", common.prefix), common.qos));
    Fleet::new()?.subscribe(&session, hears.clone())?;
    let mut memory = Memory::new(common.tell.server_pid);
    std::thread::sleep(REST);
    let before = memory.now();

    let mut parked = Fleet::new()?;
    for at in 0..args.publishers {
        let publishing = Publishing {
            topic: format!("{}/away/{at}", common.prefix),
            qos: common.qos,
            size: common.size,
            window: args.in_flight,
            limit: args.count / args.publishers,
        };
        parked.publish(&ask(common.addr, common.version, format!("{}-a{at}", common.prefix)), &publishing)?;
    }
    let begin = Instant::now();
    let count = args.count / args.publishers * args.publishers;
    parked.run_until(|fleet| {
        memory.look();
        fleet.sum.answered >= count
    })?;
    let parking = begin.elapsed().as_secs_f64();
    let sent = parked.sent();
    drop(parked);
    let most_parking = memory.most;
    std::thread::sleep(REST);
    let full = memory.now();

    let mut back = Fleet::new()?;
    session.filter = None;
    let begin = Instant::now();
    let place = back.subscribe(&session, hears).context("the session doesn't come back")?;
    ensure!(back.links[place].had_session, "the server has forgotten the session");
    let (mut heard, mut since) = (0, Instant::now());
    memory.most = 0;
    back.run_until(|fleet| {
        memory.look();
        if fleet.sum.delivered != heard {
            (heard, since) = (fleet.sum.delivered, Instant::now());
        }
        heard + fleet.sum.lost >= count || since.elapsed() > SILENCE_MAX
    })?;
    let draining = since.duration_since(begin).as_secs_f64();
    let missing = back.links[place].subscriber.as_ref().map_or(count, |one| one.missing(&sent)) + back.sum.lost;
    let (delivered, repeated) = (back.sum.delivered, back.sum.repeated);
    let object = json!({
        "count": count, "qos": common.qos, "size": common.size,
        "parked_per_second": count as f64 / parking, "drained_per_second": delivered as f64 / draining,
        "delivered": delivered, "missing": missing, "repeated_or_out_of_order": repeated,
        "rss_before": before, "rss_parked": full, "rss_most_parking": most_parking, "rss_most_draining": memory.most,
    });
    let lines = [
        format!("{count} events of {} B parked at {:.0}/s", common.size, count as f64 / parking),
        format!(
            "{delivered} drained at {:.0}/s; {missing} missing, {repeated} again or out of order",
            delivered as f64 / draining
        ),
        format!(
            "server RSS {:.1} MiB before, {:.1} with all parked (most {:.1}), at most {:.1} while drained",
            report::mib(before),
            report::mib(full),
            report::mib(most_parking),
            report::mib(memory.most)
        ),
    ];
    Ok(report::print(common.tell.json, &object, &lines)?)
}
