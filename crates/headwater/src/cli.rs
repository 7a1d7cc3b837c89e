//! The command line: every command with its options, as DESIGN names them.

use std::io;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{bench, dead, log, migrate, publish, send, shop, user, watch};

/// A real-time event hub: events come in over frames, HTTP or WebSocket, are on disk before they are acknowledged, and
/// go out live to everyone who watches.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

const EXAMPLES: &str = "Examples:
  headwater                                    start the hub in ./headwater-data
  headwater pub clinic/3/slot/9 taken --sticky
  headwater sub 'clinic/+/slot/#' --json
  tail -f app.log | headwater send -
  headwater log export --data /var/lib/headwater > events.jsonl

Settings come from flags, then HEADWATER_* in the environment, then headwater.toml, then defaults:
`headwater check --origin` shows each value and where it comes from.
Exit codes: 0 good, 1 failed, 2 usage or settings.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the hub (the default command)
    Serve(Box<ServeArgs>),
    /// Publish an event, and wait until it is on disk
    Pub(publish::PubArgs),
    /// Watch what is published
    Sub(watch::SubArgs),
    /// Look into the log, with the hub running or not
    Log(log::LogArgs),
    /// Take the log's events over into another engine
    Migrate(migrate::MigrateArgs),
    /// Check the settings and print each with its value
    Check(CheckArgs),
    /// Send a file's lines over the frame protocol, each acknowledged when it is on disk
    Send(send::Args),
    /// Measure this hub
    Bench(bench::Args),
    /// List dead letters, hand them to their group again, or forget them
    Dead(dead::DeadArgs),
    /// Look into the shop's books
    Shop(shop::ShopArgs),
    /// Add, remove and list users
    User(user::UserArgs),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  headwater completions bash > ~/.local/share/bash-completion/completions/headwater"
    )]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Settings that have a flag. All are texts: the table of settings reads them, whatever their source.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingArgs {
    /// Settings file [default: ./headwater.toml where there is one]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the log lives [default: ./headwater-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// HTTP, SSE and WebSocket listener, or `off`; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// MQTT listener, or `off` [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR")]
    pub mqtt: Option<String>,
    /// Frame protocol listener, or `off` [default: 127.0.0.1:7007]
    #[arg(long, value_name = "ADDR")]
    pub frames: Option<String>,
    /// Speak TLS: `auto` makes a certificate for development, CERT,KEY are files in PEM [default: off]
    #[arg(long, value_name = "auto|CERT,KEY")]
    pub tls: Option<String>,
    /// Applications to run, parted by commas, or `none` [default: all: intake, shop]
    #[arg(long, value_name = "LIST")]
    pub apps: Option<String>,
    /// What this process does, parted by commas: edge, console, front, inventory, order, listener, processor, notifier,
    /// work, log [default: all]
    #[arg(long, value_name = "LIST")]
    pub roles: Option<String>,
    /// What keeps the events: `embedded`, or mqtt://HOST:PORT, nats://HOST:PORT, amqp://HOST:PORT [default: embedded]
    #[arg(long, value_name = "URL")]
    pub engine: Option<String>,
    /// Where RabbitMQ's state is kept: redis://HOST:PORT [default: none]
    #[arg(long, value_name = "URL")]
    pub state: Option<String>,
    /// What the engine's acknowledgement must mean at the least: auto, written, quorum, synced [default: auto]
    #[arg(long, value_name = "WORD")]
    pub require_durability: Option<String>,
    /// Where services keep their tables: `sqlite`, sqlite:FOLDER or postgres://USER:PASSWORD@HOST/DB [default: sqlite]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// For how long a start waits for an engine or a PostgreSQL that can't be reached yet, e.g. `5min` [default: 0 s]
    #[arg(long, value_name = "DURATION")]
    pub start_wait: Option<String>,
    /// What this process is called among others: letters, digits, `-`, `_`, `.` [default: host, roles and a suffix that stays]
    #[arg(long, value_name = "NAME")]
    pub node_id: Option<String>,
    /// Any other setting by its name in the settings file, e.g. --set 'limits.payload_max=2 MiB'
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl SettingArgs {
    /// The flags that were given, by the name of the flag.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("data", &self.data),
            ("http", &self.http),
            ("mqtt", &self.mqtt),
            ("frames", &self.frames),
            ("tls", &self.tls),
            ("apps", &self.apps),
            ("roles", &self.roles),
            ("engine", &self.engine),
            ("state", &self.state),
            ("require-durability", &self.require_durability),
            ("store", &self.store),
            ("start-wait", &self.start_wait),
            ("node-id", &self.node_id),
        ]
        .into_iter()
        .filter_map(|(flag, value)| value.as_deref().map(|value| (flag, value)))
    }
}

#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    #[command(flatten)]
    pub settings: SettingArgs,
    /// Write the `listening` lines to this file too, once all listeners are bound
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// For benchmarks only: every sync of the disk takes this many milliseconds longer
    #[arg(long, value_name = "MS", hide = true)]
    pub test_sync_delay: Option<u64>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  headwater check --config headwater.toml\n  headwater check --origin")]
pub struct CheckArgs {
    #[command(flatten)]
    pub settings: SettingArgs,
    /// Show where each value comes from
    #[arg(long)]
    pub origin: bool,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Print the page that describes every setting (docs/configuration.md)
    #[arg(long, hide = true)]
    pub reference: bool,
}

/// Prints a completion script.
pub fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "headwater", &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(())
}
