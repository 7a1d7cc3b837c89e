//! Loads in MQTT, for a hub and for brokers beside it: `headwater bench mqtt ...`.

mod connect;
mod fleet;
mod link;
mod offline;
mod stalled;
mod tally;
mod through;
mod wire;

use clap::Subcommand;

/// What `headwater bench mqtt` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Many publishers, and few who hear all of them
    Fanin(through::FaninArgs),
    /// One publisher, and many who hear it
    Fanout(through::FanoutArgs),
    /// One publisher and one subscriber each, with a window or at a rate
    Pairs(through::PairsArgs),
    /// Events for a session that is away: what they cost, and whether all are there when it is back
    Offline(offline::OfflineArgs),
    /// Idle clients: server memory each, connections a second
    Connect(connect::ConnectArgs),
    /// A subscriber that stops reading: what it costs, what the others notice, what it gets afterwards
    Stalled(stalled::StalledArgs),
}

/// Runs the command.
///
/// # Errors
/// When the server can't be reached or breaks off, or an option makes no sense.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Fanin(args) => through::fanin(args),
        What::Fanout(args) => through::fanout(args),
        What::Pairs(args) => through::pairs(args),
        What::Offline(args) => offline::run(args),
        What::Connect(args) => connect::run(args),
        What::Stalled(args) => stalled::run(args),
    }
}
