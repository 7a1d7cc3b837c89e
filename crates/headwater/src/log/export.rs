//! `headwater log export`: events as JSON objects, one a line.

use std::io::{BufWriter, Write};

use clap::Args;
use headwater_event::json::write_event;

use super::{Place, Wanted, bar};

/// What `headwater log export` takes.
#[derive(Args, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wanted: Wanted,
    /// Taken for the sake of habit: the export is JSON in any case
    #[arg(long, hide = true)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the log can't be read, is damaged, or stdout can't be written to.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let mut log = args.place.open()?;
    let filter = args.wanted.filter()?;
    let after = args.wanted.from(&log)?.unwrap_or(log.oldest());
    let up_to = log.stat()?.head;
    log.seek(after)?;
    let bar = bar(up_to.saturating_sub(after), "{pos:>12} of {len} events {wide_bar} {eta}");
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut line = Vec::new();
    while let Some(batch) = log.next_batch()? {
        let last = batch.last().map_or(after, |recorded| recorded.position.seq);
        for recorded in batch {
            if filter.matches(recorded.event.topic.as_str()) {
                line.clear();
                write_event(&recorded, &mut line);
                line.push(b'\n');
                out.write_all(&line)?;
            }
        }
        bar.set_position(last.saturating_sub(after));
        // What was there when it began; a log that grows as fast as it's exported would never end.
        if last >= up_to {
            break;
        }
    }
    out.flush()?;
    bar.finish_and_clear();
    Ok(())
}
