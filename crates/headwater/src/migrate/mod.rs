//! `headwater migrate`: the events of the embedded log, taken over by another engine.

mod groups;
mod history;
mod left;
mod outcome;
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
use crate::config::{self, Config, EMBEDDED, Logging, Sources, without_password};
use crate::engine;
use crate::exit;
use crate::serve;
use crate::signals::Signals;
use crate::start_wait::{Away, StartWait};
use left::Left;
use outcome::Outcome;
use progress::Progress;
use source::Source;
use sum::Seen;

/// What `headwater migrate` takes.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  headwater migrate --data /var/lib/headwater --dry-run
  headwater migrate --data /var/lib/headwater --engine 'nats://nats:4222?monitor=nats:8222'
  headwater migrate --data /var/lib/headwater --engine mqtt://broker:1883      latest states only
  headwater migrate --data /var/lib/headwater --engine amqp://rabbit:5672 --state redis://redis:6379      the same

Stop the hub first. The log stays as it is. Stopped or killed in the middle, it goes on where it was when it's run again.
docs/operating.md tells the whole way.")]
pub struct MigrateArgs {
    /// The data folder of the log that is taken over [default: as the settings say, else ./headwater-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Settings file [default: ./headwater.toml where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The engine that takes over: nats://HOST:PORT all, mqtt://HOST:PORT or amqp://HOST:PORT the latest states [default: as
    /// the settings say]
    #[arg(long, value_name = "URL")]
    engine: Option<String>,
    /// Where RabbitMQ's state is kept: redis://HOST:PORT [default: as the settings say]
    #[arg(long, value_name = "URL")]
    state: Option<String>,
    /// What the engine's acknowledgement must mean at the least: auto, written, quorum, synced [default: auto]
    #[arg(long, value_name = "WORD")]
    require_durability: Option<String>,
    /// Say what would be taken over; nothing is written, and the engine isn't asked
    #[arg(long)]
    dry_run: bool,
    /// Into an engine without history: leave behind what groups have not finished, and dead letters
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
        return exit::usage(
            "say which engine takes over: --engine nats://HOST:PORT with all, or mqtt://HOST:PORT or amqp://HOST:PORT (with \
             --state redis://HOST:PORT) with the latest states",
        );
    }
    // What only a running hub says more of is left out: who runs this looks at the progress.
    serve::tell_on_stderr(&Logging { level: "warn".to_owned(), ..config.logging.clone() });
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
        state: args.state.clone(),
        require_durability: args.require_durability.clone(),
        ..SettingArgs::default()
    };
    let loaded = Sources::gather(&settings).and_then(|sources| config::load(&sources));
    Ok(loaded.map_err(|faults| exit::Usage(faults.to_string()))?.config)
}

/// Says what there is.
async fn survey(source: &Source, config: &Config, json: bool) -> anyhow::Result<()> {
    let (mut count, mut bytes, mut largest) = (0_u64, 0_u64, 0);
    let mut progress = Progress::begin("read", source.head() - source.freed());
    let mut events = source.events().await?;
    while let Some(recorded) = events.next().await? {
        count += 1;
        bytes += recorded.event.payload.len() as u64;
        largest = largest.max(recorded.event.payload.len());
        progress.at(count);
    }
    progress.finish();
    let states = states::count(source).await?;
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
            let left = Left::behind(source).await?;
            if !args.leave_unfinished {
                left.is_nobodys_loss()?;
            }
            eprintln!("the engine keeps no history: the latest states are taken over, and nothing else");
            let total = states::count(source).await?;
            let mut progress = Progress::begin("written", total);
            let copied = states::copy(source, &bus, &mut progress).await?;
            progress.finish();
            // What this connection wrote it would tell from memory.
            let other = engine::link(config, format!("{instance}-check")).await;
            // It was there a moment ago: that it isn't now is no fault of the settings.
            let other = other.map_err(|(Away::Passing(why) | Away::Final(why))| anyhow!(why))?;
            let mut progress = Progress::begin("read back", total);
            let sum = states::verify(source, other.bus(), &copied, &mut progress).await?;
            progress.finish();
            other.close().await;
            let kind = outcome::Kind::States { later: copied.later, left };
            Outcome { written: copied.written, sum, kind }
        }
    };
    engine.close().await;
    outcome.tell(args.json)
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
        return Ok(Outcome { written: 0, sum: found.sum, kind: outcome::Kind::All { events: total, taken } });
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
    Ok(Outcome { written, sum: check.sum, kind: outcome::Kind::All { events: total, taken } })
}
