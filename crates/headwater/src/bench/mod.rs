//! Measures a hub: loads of every edge, watchers by the thousand, yardsticks that run beside it. docs/benchmarks.md tells
//! how to read what comes out.

mod backlog;
mod connect;
mod crowd;
mod dialect;
mod fanout;
mod floor;
mod get;
mod hub;
mod limit;
mod load;
mod mark;
mod mqtt;
mod options;
mod overload;
mod process;
mod publisher;
mod publishing;
mod recovery;
mod report;
mod sender;
mod shop;
mod slow;
mod tally;
mod watcher;
mod wsframe;

use clap::Subcommand;

/// What `headwater bench` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "Examples:
  headwater bench frames --connections 16 --in-flight 64 --duration 10s
  headwater bench frames --rate 20000 --server-pid 4711 --json
  headwater bench limit --data /var/tmp/limit      the yardstick: the least that a durable log can do
";

#[derive(Debug, Subcommand)]
enum What {
    /// Events over the frame protocol, each acknowledged when it is on disk
    Frames(publishing::FramesArgs),
    /// Events by HTTP POST
    Http(publishing::HttpArgs),
    /// Public alerts by HTTP POST, each of another place
    Alerts(publishing::AlertsArgs),
    /// Events by WebSocket
    Pub(publishing::PubArgs),
    /// Reads of one page by HTTP GET, and the bare route that is their yardstick
    Get(get::GetArgs),
    /// One publisher and many watchers: time to each and to the last, server CPU a delivery
    Fanout(fanout::FanoutArgs),
    /// Idle watchers: server memory each, connections a second
    Connect(connect::ConnectArgs),
    /// More than the hub can take: what it accepts and refuses, how late, how soon it is well again
    Overload(overload::OverloadArgs),
    /// How soon a hub is ready again after kill -9
    Recovery(recovery::RecoveryArgs),
    /// Memory of a hub with a backlog
    Backlog(backlog::BacklogArgs),
    /// MQTT: many to one, one to many, one to one, absent, idle and stalled clients; of any broker
    Mqtt(mqtt::Args),
    /// A shop's orders end to end: placed, reserved, decided, and seen to be decided
    Shop(shop::ShopArgs),
    /// Watchers that stop reading: what they cost, what the others notice, what they get afterwards
    Slow(slow::SlowArgs),
    /// The yardstick: a bare server of the frame protocol with one writer and group commit
    Limit(limit::LimitArgs),
    /// Events to another server, in its own protocol
    #[command(hide = true)]
    Peer(publishing::PeerArgs),
}

/// Runs the command.
///
/// # Errors
/// When the server can't be reached or breaks off, or an option makes no sense.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.what {
        What::Frames(args) => publishing::frames(&args),
        What::Http(args) => publishing::http(&args),
        What::Alerts(args) => publishing::alerts(&args),
        What::Pub(args) => publishing::websocket(&args),
        What::Get(args) => get::run(&args),
        What::Fanout(args) => fanout::run(&args),
        What::Connect(args) => connect::run(&args),
        What::Overload(args) => overload::run(&args),
        What::Recovery(args) => recovery::run(&args),
        What::Backlog(args) => backlog::run(&args),
        What::Mqtt(args) => mqtt::run(&args),
        What::Shop(args) => shop::run(&args),
        What::Slow(args) => slow::run(&args),
        What::Limit(args) => limit::run(&args),
        What::Peer(args) => publishing::peer(&args),
    }
}
