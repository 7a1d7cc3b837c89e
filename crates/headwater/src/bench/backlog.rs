//! What a hub holds in memory for a backlog: events that came and that nobody has taken.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use super::dialect::frames::Frames;
use super::hub::{Folder, Hub};
use super::load::{self, Load, Phase, Progress};
use super::{process, report};

/// What `bench backlog` takes.
#[derive(clap::Args, Debug)]
pub struct BacklogArgs {
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    count: u64,
    /// Bytes of a payload
    #[arg(long, value_name = "BYTES", default_value_t = 1_024)]
    size: usize,
    /// The hub's folder is made here [default: the current folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A setting of the hub, as `serve --set` takes it
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// How long filling may take.
const FILL_TIME_MAX: Duration = Duration::from_secs(3_600);
/// How long the hub may come to rest before its memory is looked at.
const REST: Duration = Duration::from_secs(2);

/// Runs `bench backlog`.
///
/// # Errors
/// When the hub doesn't start or breaks off.
pub fn run(args: &BacklogArgs) -> anyhow::Result<()> {
    let folder = Folder::new(args.data.as_deref())?;
    let mut settings = vec![format!("frames.max_payload={}", args.size)];
    settings.extend(args.set.iter().cloned());
    let hub = Hub::start(folder.path(), &settings, &[])?;
    let empty = process::usage(hub.pid())?;
    fill(&hub, args.count, args.size)?;
    std::thread::sleep(REST);
    let full = process::usage(hub.pid())?;
    hub.kill();
    let hub = Hub::start(folder.path(), &settings, &[])?;
    std::thread::sleep(REST);
    let again = process::usage(hub.pid())?;
    let object = json!({
        "events": args.count, "size": args.size, "rss_empty": empty.rss, "rss_full": full.rss, "rss_max": full.rss_max,
        "rss_after_restart": again.rss, "rss_max_after_restart": again.rss_max,
    });
    let lines = [
        format!("{} events of {} B", args.count, args.size),
        format!(
            "RSS {:.1} MiB empty, {:.1} MiB full (most {:.1}), {:.1} MiB after a restart (most {:.1})",
            report::mib(empty.rss),
            report::mib(full.rss),
            report::mib(full.rss_max),
            report::mib(again.rss),
            report::mib(again.rss_max)
        ),
    ];
    report::print(args.json, &object, &lines)?;
    Ok(())
}

/// Publishes so many events over the frame protocol, and waits for their acknowledgements.
///
/// # Errors
/// When the hub breaks off, or refuses one.
pub fn fill(hub: &Hub, count: u64, size: usize) -> anyhow::Result<()> {
    const CONNECTIONS: u64 = 16;
    let load = Load {
        addr: hub.frames,
        connections: usize::try_from(CONNECTIONS)?,
        in_flight: 256,
        size,
        threads: 1,
        phases: vec![Phase { duration: FILL_TIME_MAX, rate: None }],
        count: Some(count.next_multiple_of(CONNECTIONS)),
        slow: Duration::MAX,
    };
    let progress = Progress::default();
    let outcome = report::with_progress(
        &progress,
        Duration::ZERO,
        || (),
        || load::run(&load, &progress, |_| Box::new(Frames::new())),
    )?;
    let tally = &outcome.phases[0];
    ensure!(tally.accepted >= count, "of {count} events {} were accepted, {} refused", tally.accepted, tally.refused);
    Ok(())
}
