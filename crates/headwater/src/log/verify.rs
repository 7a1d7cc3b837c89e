//! What a log says of itself, what a check of every byte says, and the repair.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use headwater_event::Time;
use headwater_event::json::write_time;
use headwater_eventlog::{Damage, Report, repair as repair_log};

use super::{Place, bar};

/// What `headwater log verify` takes.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

/// What `headwater log stat` takes.
#[derive(Args, Debug)]
pub struct StatArgs {
    #[command(flatten)]
    place: Place,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

/// What `headwater log repair` takes.
#[derive(Args, Debug)]
pub struct RepairArgs {
    #[command(flatten)]
    place: Place,
}

/// Checks every byte.
///
/// # Errors
/// When there is damage, each place said on stderr before.
pub fn verify(args: &VerifyArgs) -> anyhow::Result<()> {
    let log = args.place.open()?;
    let bar = bar(0, "{bytes:>12} of {total_bytes} checked {wide_bar} {eta}");
    let report = log.verify(&mut |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", report.to_json())?;
    } else if report.is_sound() {
        tell(&report, &mut out)?;
    }
    for damage in &report.damage {
        eprintln!("damage: {}", place_of(damage));
    }
    match report.damage.len() {
        0 => Ok(()),
        places => bail!(
            "{places} damaged place{} in the log. Nothing was changed. Restore the file from a copy, or run \
             `headwater log repair`, which moves the damaged bytes to a file beside it and keeps all the rest",
            if places == 1 { "" } else { "s" }
        ),
    }
}

fn tell(report: &Report, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "sound: {} events up to {}, {} bytes checked", report.events, report.last, report.bytes)?;
    if report.repaired > 0 {
        writeln!(out, "{} damaged ranges were taken out by earlier repairs", report.repaired)?;
    }
    if report.torn_bytes > 0 {
        writeln!(
            out,
            "{} bytes of a write that was cut stand at the end; they were never acknowledged, and the next start cuts them",
            report.torn_bytes
        )?;
    }
    Ok(())
}

fn place_of(damage: &Damage) -> String {
    let next = damage.after.map_or("the end".to_owned(), |after| format!("event {after}"));
    format!("bytes {} to {}, after event {} and before {next}", damage.offset, damage.until, damage.before)
}

/// Says what the log says of itself.
///
/// # Errors
/// When it can't be read.
pub fn stat(args: &StatArgs) -> anyhow::Result<()> {
    let stat = args.place.open()?.stat()?;
    let events = stat.head - stat.freed;
    let mut out = std::io::stdout().lock();
    if args.json {
        let line = serde_json::json!({
            "epoch": stat.epoch, "version": stat.version, "created": moment(stat.created), "running": stat.running,
            "events": events, "freed": stat.freed, "head": stat.head,
            "bytes": stat.bytes, "file_bytes": stat.file_bytes, "checkpoint": stat.checkpoint,
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    writeln!(out, "events      {events}")?;
    writeln!(out, "positions   after {0}:{1} up to {0}:{2}", stat.epoch, stat.freed, stat.head)?;
    writeln!(out, "bytes       {} in use, the file has {}", stat.bytes, stat.file_bytes)?;
    writeln!(out, "made        {} (format {})", moment(stat.created), stat.version)?;
    writeln!(out, "checkpoint  {}", stat.checkpoint.map_or("none".to_owned(), |at| format!("up to byte {at}")))?;
    writeln!(out, "a hub has it open: {}", if stat.running { "yes" } else { "no" })?;
    Ok(())
}

/// Takes damage out.
///
/// # Errors
/// When a hub has the log open, or the system refuses.
pub fn repair(args: &RepairArgs) -> anyhow::Result<()> {
    let folder = args.place.folder()?;
    let repaired = repair_log(&folder)?;
    if repaired.header {
        eprintln!("the first page was written anew from its copy");
    }
    for (damage, kept) in repaired.damage.iter().zip(&repaired.kept_in) {
        eprintln!("{}: kept in {}", place_of(damage), folder.join(kept).display());
    }
    let (places, lost) = (repaired.damage.len(), repaired.lost);
    writeln!(std::io::stdout(), "repaired {places} places; {lost} events can't be read any more")?;
    Ok(())
}

fn moment(time: Time) -> String {
    let mut text = Vec::new();
    write_time(time, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
