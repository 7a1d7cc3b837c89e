//! How soon a hub is ready again after kill -9, with its checkpoint and without.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::backlog::fill;
use super::hub::{Folder, Hub};
use super::report;
use crate::exit;

/// What `bench recovery` takes.
#[derive(clap::Args, Debug)]
pub struct RecoveryArgs {
    /// How much log there is, in GiB
    #[arg(long, value_name = "GIB", default_value_t = 1.0)]
    gib: f64,
    /// Bytes of a payload
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    size: usize,
    /// How often each start is measured
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// The hub's folder is made here [default: the current folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// What a record has beside its payload, about, in bytes: head, id, topic, headers.
const RECORD_LEN_BESIDE: usize = 110;
/// The checkpoints in the hub's folder: the newest, and the one before it, which serves when the newest is gone.
const CHECKPOINTS: [&str; 2] = ["events.checkpoint", "events.checkpoint.old"];

/// Runs `bench recovery`.
///
/// # Errors
/// When the hub doesn't start or breaks off.
pub fn run(args: &RecoveryArgs) -> anyhow::Result<()> {
    if args.rounds == 0 {
        return exit::usage("--rounds begins at 1");
    }
    let folder = Folder::new(args.data.as_deref())?;
    let data = folder.path();
    let settings = [format!("frames.max_payload={}", args.size)];
    let count = (args.gib * f64::from(1 << 30) / (args.size + RECORD_LEN_BESIDE) as f64) as u64;
    let hub = Hub::start(data, &settings, &[])?;
    fill(&hub, count, args.size)?;
    hub.kill();

    let log_len = std::fs::metadata(data.join("events.log"))?.len();
    let has_checkpoint = data.join(CHECKPOINTS[0]).exists();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        with.push(start(data, &settings)?);
        for name in CHECKPOINTS {
            match std::fs::remove_file(data.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        without.push(start(data, &settings)?);
    }
    let (with, without) = (median(&mut with), median(&mut without));
    let gib = log_len as f64 / f64::from(1 << 30);
    let object = json!({
        "events": count, "size": args.size, "log_bytes": log_len, "rounds": args.rounds, "had_checkpoint": has_checkpoint,
        "with_checkpoint_s": with, "without_checkpoint_s": without, "without_checkpoint_s_per_gib": without / gib,
    });
    let lines = [
        format!("{count} events of {} B, log of {gib:.2} GiB (with the space filled ahead)", args.size),
        format!(
            "ready after kill -9: {with:.3} s with the checkpoint, {without:.3} s without ({:.3} s a GiB)",
            without / gib
        ),
    ];
    report::print(args.json, &object, &lines)?;
    Ok(())
}

/// Starts and kills once; seconds until ready.
fn start(data: &Path, settings: &[String]) -> anyhow::Result<f64> {
    let hub = Hub::start(data, settings, &[])?;
    let ready_in = hub.ready_in;
    // A checkpoint for the next start is written some time after this one, if the hub writes any while it is idle.
    std::thread::sleep(Duration::from_millis(200));
    hub.kill();
    Ok(ready_in.as_secs_f64())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
