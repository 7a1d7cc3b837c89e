//! `headwater migrate`: the events of the embedded log, taken over by another engine.

mod groups;
mod history;
mod progress;
mod source;
mod states;
mod sum;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::Args;
use headwater_event::{Bus, Replay};
use serde_json::json;

use crate::cli::SettingArgs;
use crate::config::{self, Config, EMBEDDED, Sources, without_password};
use crate::engine;
use crate::exit;
use crate::signals::Signals;
use crate::start_wait::{Away, StartWait};
use progress::Progress;
use source::Source;
use sum::Seen;

/// What `headwater migrate` takes.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  headwater migrate --data /var/lib/headwater --dry-run
  headwater migrate --data /var/lib/headwater --engine 'nats://nats:4222?monitor=nats:8222'
  headwater migrate --data /var/lib/headwater --engine mqtt://broker:1883      latest states only

Stop the hub first. The log stays as it is. Stopped or killed in the middle, it goes on where it was when it's run again.
docs/operating.md tells the whole way.")]
pub struct MigrateArgs {
    /// The data folder of the log that is taken over [default: as the settings say, else ./headwater-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Settings file [default: ./headwater.toml where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The engine that takes over: mqtt://HOST:PORT, nats://HOST:PORT [default: as the settings say]
    #[arg(long, value_name = "URL")]
    engine: Option<String>,
    /// What the engine's acknowledgement must mean at the least: auto, written, quorum, synced [default: auto]
    #[arg(long, value_name = "WORD")]
    require_durability: Option<String>,
    /// Say what would be taken over; nothing is written, and the engine isn't asked
    #[arg(long)]
    dry_run: bool,
    /// Into an engine without history: leave behind what groups have not finished
    #[arg(long)]
    leave_unfinished: bool,
    /// Print the outcome as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Usage; a log that can't be taken; an engine that can't be reached, refuses, or has something else.
pub fn run(args: &MigrateArgs) -> anyhow::Result<()> {
    let config = settings(args)?;
    if config.engine == EMBEDDED && !args.dry_run {
        return exit::usage("say which engine takes over: --engine nats://HOST:PORT or mqtt://HOST:PORT");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything is written: from then on a signal finds us listening.
        let mut signals = Signals::listen()?;
        let source = Source::open(&config.log)?;
        if args.dry_run {
            return survey(&source, &config, args.json).await;
        }
        let work = Box::pin(migrate(&source, &config, args));
        let done = tokio::select! {
            done = work => done,
            name = signals.told_to_end() => {
                bail!("{name}: stopped; what the engine has acknowledged stays there, and the same command goes on from it")
            }
        };
        done.and(source.close())
    })
}

fn settings(args: &MigrateArgs) -> anyhow::Result<Config> {
    let settings = SettingArgs {
        data: args.data.clone(),
        config: args.config.clone(),
        engine: args.engine.clone(),
        require_durability: args.require_durability.clone(),
        ..SettingArgs::default()
    };
    let loaded = Sources::gather(&settings).and_then(|sources| config::load(&sources));
    Ok(loaded.map_err(|faults| exit::Usage(faults.to_string()))?.config)
}

/// Says what there is.
async fn survey(source: &Source, config: &Config, json: bool) -> anyhow::Result<()> {
    let (mut count, mut bytes, mut largest, mut states) = (0_u64, 0_u64, 0, 0_u64);
    let mut progress = Progress::begin("read", source.head() - source.freed());
    let mut events = source.events().await?;
    while let Some(recorded) = events.next().await? {
        count += 1;
        bytes += recorded.event.payload.len() as u64;
        largest = largest.max(recorded.event.payload.len());
        progress.at(count);
    }
    progress.finish();
    let mut all = source.states().await?;
    while all.next().await?.is_some() {
        states += 1;
    }
    let unfinished = source.unfinished().await?;
    let letters: usize = unfinished.iter().map(|(group, _)| group.dead).sum();
    let behind: u64 = unfinished.iter().map(|(_, count)| count).sum();
    let mut out = std::io::stdout().lock();
    if json {
        let groups = unfinished.iter().map(
            |(group, count)| json!({ "name": group.name.as_str(), "unfinished": count, "dead_letters": group.dead }),
        );
        let line = json!({
            "log": source.epoch(), "events": count, "payload_bytes": bytes, "largest_payload": largest,
            "states": states, "groups": groups.collect::<Vec<_>>(),
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    writeln!(out, "events        {count}, {bytes} bytes of payload, the largest {largest}")?;
    writeln!(out, "states        {states}")?;
    writeln!(out, "groups        {}, with {behind} events that are not finished", unfinished.len())?;
    writeln!(out, "dead letters  {letters}")?;
    if config.engine != EMBEDDED {
        writeln!(out, "engine        {}, which was not asked", without_password(&config.engine))?;
    }
    Ok(())
}

async fn migrate(source: &Source, config: &Config, args: &MigrateArgs) -> anyhow::Result<()> {
    let instance = format!("migrate-{}", source.epoch());
    let mut start_wait = StartWait::new(config.start_wait);
    let engine = start_wait.reach(async || engine::link(config, instance.clone()).await).await?;
    let bus = engine.bus();
    let outcome = match bus.abilities().replay {
        Replay::Full => all(source, &*bus).await?,
        Replay::LatestOnly => {
            if !args.leave_unfinished {
                refuse_unfinished(source).await?;
            }
            let mut progress = Progress::begin("written", 0);
            let copied = states::copy(source, &bus, &mut progress).await?;
            progress.finish();
            // What this connection wrote it would tell from memory.
            let other = engine::link(config, format!("{instance}-check")).await;
            // It was there a moment ago: that it isn't now is no fault of the settings.
            let other = other.map_err(|(Away::Passing(why) | Away::Final(why))| anyhow!(why))?;
            let sum = states::verify(source, other.bus(), &copied).await?;
            other.close().await;
            let events = source.head() - source.freed();
            Outcome { history: false, events, written: copied.written, later: copied.later, sum, taken: None }
        }
    };
    engine.close().await;
    outcome.tell(args.json)
}

/// What was taken over.
struct Outcome {
    history: bool,
    /// Events of the log.
    events: u64,
    /// Those that this run wrote.
    written: u64,
    later: u64,
    /// Of what was read back.
    sum: sum::Sum,
    /// `None` where groups can't be taken over.
    taken: Option<groups::Taken>,
}

async fn all(source: &Source, bus: &dyn Bus) -> anyhow::Result<Outcome> {
    let total = source.head() - source.freed();
    let mut seen = Seen::new();
    let mut progress = Progress::begin("found", total);
    let mut none = history::Places::new();
    let found = history::compare(source, bus, &mut seen, &mut none, &mut progress).await?;
    progress.finish();
    if found.is_complete {
        eprintln!("all was taken over before; nothing is left to do");
        let taken = groups::Taken::default();
        return Ok(Outcome { history: true, events: total, written: 0, later: 0, sum: found.sum, taken: Some(taken) });
    }
    let mut progress = Progress::begin("written", total);
    let written = history::copy(bus, found, &mut seen, &mut progress).await?;
    progress.finish();
    let mut progress = Progress::begin("read back", total);
    let mut places = groups::wanted(source).await?;
    let check = history::compare(source, bus, &mut seen, &mut places, &mut progress).await?;
    progress.finish();
    if let (Some(missing), _) = check.rest {
        bail!("the engine has {} events, and not event {} of the log", check.sum.count(), missing.position.seq);
    }
    let taken = groups::adopt(source, bus, &places).await?;
    bus.append(vec![history::note(source, &check.sum)]).await?;
    Ok(Outcome { history: true, events: total, written, later: 0, sum: check.sum, taken: Some(taken) })
}

/// Without history, what a group has not finished can't reach it.
async fn refuse_unfinished(source: &Source) -> anyhow::Result<()> {
    let unfinished = source.unfinished().await?;
    let worst = unfinished.iter().filter(|(_, count)| *count > 0).max_by_key(|(_, count)| *count);
    match worst {
        None => Ok(()),
        Some((group, count)) => bail!(
            "the engine keeps no history, and {} has {count} events that it has not finished: run the hub until they are, or \
             leave them behind by --leave-unfinished",
            group.name
        ),
    }
}

impl Outcome {
    fn tell(&self, json: bool) -> anyhow::Result<()> {
        let (count, sum) = (self.sum.count(), self.sum.hex());
        let groups::Taken { groups, letters } = self.taken.unwrap_or_default();
        let mut out = std::io::stdout().lock();
        if json {
            let line = json!({
                "history": self.history, "events": self.events, "written": self.written, "read_back": count, "sha256": sum,
                "groups": groups, "dead_letters": letters, "later_there": self.later,
            });
            writeln!(out, "{line}")?;
            return Ok(());
        }
        if self.history {
            writeln!(out, "{count} events are there and were read back, {} of them written now", self.written)?;
            writeln!(out, "{groups} groups and {letters} dead letters were taken over")?;
        } else {
            let Self { events, written, later, .. } = self;
            writeln!(
                out,
                "{written} latest states are there and {count} were read back; of {later} it has later ones"
            )?;
            writeln!(
                out,
                "the engine keeps no history: {events} events, the groups' places and their dead letters stay here"
            )?;
        }
        writeln!(out, "sha256 {sum}")?;
        Ok(())
    }
}
