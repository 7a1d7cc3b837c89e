//! `headwater log tail`: the newest events, and what comes after them.

use std::collections::VecDeque;
use std::io::{BufWriter, Write};
use std::thread;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use headwater_event::json::write_event;
use headwater_event::{BusError, Filter, Recorded};
use headwater_eventlog::LogReader;

use super::spelling::write_line;
use super::{Place, Wanted};

/// How often the end of the log is looked at with --follow: a person sees no delay, and a look costs microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How far back a filter is looked for before the newest events that it matches are given up on: 64 times as many events.
const LOOK_BACK: u64 = 64;

/// What `headwater log tail` takes.
#[derive(Args, Debug)]
pub struct TailArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    wanted: Wanted,
    /// How many of the newest events to begin with, without --from
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    lines: u64,
    /// Go on with what comes
    #[arg(short, long)]
    follow: bool,
    /// Print JSON objects in place of lines for people
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the log can't be read, is damaged, or stdout can't be written to.
pub fn run(args: &TailArgs) -> anyhow::Result<()> {
    let mut log = args.place.open()?;
    let spelling = Spelling { filter: args.wanted.filter()?, json: args.json };
    let mut out = BufWriter::new(std::io::stdout());
    match args.wanted.from(&log)? {
        Some(from) => log.seek(from)?,
        None => {
            for line in newest(&mut log, args.lines, &spelling)? {
                out.write_all(&line)?;
            }
        }
    }
    loop {
        match next(&mut log)? {
            Some(batch) => {
                for line in batch.iter().filter_map(|recorded| spelling.line(recorded)) {
                    out.write_all(&line)?;
                }
            }
            None => {
                out.flush()?;
                if !args.follow {
                    return Ok(());
                }
                thread::sleep(LOOK_EVERY);
            }
        }
    }
}

/// The newest lines that are wanted, up to where the log stands now.
fn newest(log: &mut LogReader, lines: u64, spelling: &Spelling) -> anyhow::Result<VecDeque<Vec<u8>>> {
    let head = log.stat()?.head;
    let back = if spelling.filter.as_str() != "#" { lines.saturating_mul(LOOK_BACK) } else { lines };
    log.seek(head.saturating_sub(back))?;
    let mut newest = VecDeque::new();
    let mut seen = log.oldest();
    while seen < head
        && let Some(batch) = next(log)?
    {
        seen = batch.last().map_or(seen, |recorded| recorded.position.seq);
        newest.extend(batch.iter().filter_map(|recorded| spelling.line(recorded)));
        while newest.len() as u64 > lines {
            newest.pop_front();
        }
    }
    Ok(newest)
}

fn next(log: &mut LogReader) -> anyhow::Result<Option<Vec<Recorded>>> {
    match log.next_batch() {
        Err(BusError::Gone { oldest }) => {
            bail!("retention freed what was to be read next; the log begins after {oldest}")
        }
        other => Ok(other?),
    }
}

/// Which events are printed, and how.
struct Spelling {
    filter: Filter,
    json: bool,
}

impl Spelling {
    fn line(&self, recorded: &Recorded) -> Option<Vec<u8>> {
        if !self.filter.matches(recorded.event.topic.as_str()) {
            return None;
        }
        let mut line = Vec::new();
        if self.json {
            write_event(recorded, &mut line);
            line.push(b'\n');
        } else {
            write_line(recorded, &mut line);
        }
        Some(line)
    }
}
