//! `headwater log`: looking into the log without the hub, or beside it.

mod export;
mod spelling;
mod tail;
mod verify;

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use headwater_event::{Filter, Position, Seq};
use headwater_eventlog::LogReader;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::SettingArgs;
use crate::config::{self, Sources};
use crate::exit;

/// What `headwater log` takes.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  headwater log stat --data /var/lib/headwater
  headwater log verify                            reads and checks every byte; 1 when there is damage
  headwater log export --filter 'orders/#' > orders.jsonl
  headwater log tail --follow --filter 'intake/#'

All but `repair` only read, with the hub running or not, and show nothing that isn't on disk.")]
pub struct LogArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check every byte of the log
    Verify(verify::VerifyArgs),
    /// Say how many events there are, and how large the log is
    Stat(verify::StatArgs),
    /// Print events as JSON objects, one a line, from the oldest on
    Export(export::ExportArgs),
    /// Print the newest events, and go on with --follow
    Tail(tail::TailArgs),
    /// Move damaged bytes to a file beside the log and keep all the rest; the hub must not run
    Repair(verify::RepairArgs),
}

/// Which log.
#[derive(Args, Clone, Debug)]
struct Place {
    /// The data folder [default: as the settings say, else ./headwater-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Settings file [default: ./headwater.toml where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Which of its events.
#[derive(Args, Clone, Debug)]
struct Wanted {
    /// Begin after this position (EPOCH:SEQ, or SEQ alone), or with the oldest event that is kept (start)
    #[arg(long, value_name = "POSITION|start")]
    from: Option<String>,
    /// Only events of topics that this filter matches. What the hub keeps for itself (`$session/#`, `$audit/#`) is shown
    /// only by a filter that names it
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Usage; or what is wrong with the log.
pub fn run(args: LogArgs) -> anyhow::Result<()> {
    match args.what {
        What::Verify(args) => verify::verify(&args),
        What::Stat(args) => verify::stat(&args),
        What::Export(args) => export::run(&args),
        What::Tail(args) => tail::run(&args),
        What::Repair(args) => verify::repair(&args),
    }
}

impl Place {
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let args = SettingArgs { data: self.data.clone(), config: self.config.clone(), ..SettingArgs::default() };
        let loaded = Sources::gather(&args).and_then(|sources| config::load(&sources));
        Ok(loaded.map_err(|faults| exit::Usage(faults.to_string()))?.config.log.folder)
    }

    fn open(&self) -> anyhow::Result<LogReader> {
        Ok(LogReader::open(&self.folder()?)?)
    }
}

impl Wanted {
    fn filter(&self) -> anyhow::Result<Filter> {
        // A wildcard in the first level matches no topic that begins with `$` (MQTT 5.0 section 4.7.2).
        let text = self.filter.as_deref().unwrap_or("#");
        Ok(Filter::new(text).map_err(|error| exit::Usage(format!("--filter {text:?}: {error}")))?)
    }

    /// The event to begin after, if one was said.
    fn from(&self, log: &LogReader) -> anyhow::Result<Option<Seq>> {
        let Some(text) = self.from.as_deref() else { return Ok(None) };
        if text == "start" {
            return Ok(Some(log.oldest()));
        }
        if let Ok(seq) = text.parse::<Seq>() {
            return Ok(Some(seq));
        }
        let position: Position =
            text.parse().map_err(|error| exit::Usage(format!("--from {text}: {error}, or `start`")))?;
        if position.epoch != log.epoch() {
            bail!("{position} is a position of another log: this one's epoch is {}", log.epoch());
        }
        Ok(Some(position.seq))
    }
}

/// A bar on stderr, which shows itself only to a person.
fn bar(len: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len).with_style(style)
}
