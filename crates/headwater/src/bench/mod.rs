//! Measures a hub: loads of every edge, watchers by the thousand, yardsticks that run beside it. docs/benchmarks.md tells
//! how to read what comes out.

mod dialect;
mod limit;
mod load;
mod options;
mod process;
mod publishing;
mod report;
mod sender;
mod tally;
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
    /// Events by WebSocket
    Pub(publishing::PubArgs),
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
        What::Pub(args) => publishing::websocket(&args),
        What::Limit(args) => limit::run(&args),
        What::Peer(args) => publishing::peer(&args),
    }
}
