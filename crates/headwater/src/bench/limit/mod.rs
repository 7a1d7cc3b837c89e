//! The yardstick: a bare server of the frame protocol that does what a durable log can't avoid, and nothing else.
//!
//! The loop. One thread owns all sockets: it reads with a large buffer, checks lengths and numbers, and copies each run of
//! messages of one read as it came into the open batch. One writer thread takes the open batch whenever it is free, writes
//! it with one call, syncs once, and hands it back with one wake-up. The first thread then answers: one write a connection
//! and batch. No linger timer: while one sync runs, the next batch forms. There are no topics, no access rules, no
//! checksums, no recovery, no other readers; the file is a ring of space that was written before. Nothing that keeps its
//! promises can be much faster on this machine, so what Headwater adds can be read off the difference.
//!
//! With `--inline` one thread does all in turn: reads what there is, writes, syncs, answers. With one event in flight that
//! is a bare write and fdatasync per message.

mod batch;
mod client;
mod disk;
mod reactor;
mod writer;

use std::net::SocketAddr;
use std::path::PathBuf;

/// What `headwater bench limit` takes.
#[derive(clap::Args, Debug)]
pub struct LimitArgs {
    /// Where it listens; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The folder of its file, on the disk that is to be measured
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// One thread that writes and syncs before it answers
    #[arg(long)]
    inline: bool,
    /// How large the file is, in MiB; it is filled at the start and then used over and over
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    ring: u64,
    /// The longest payload that it takes, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 65_536)]
    max_payload: u32,
}

/// Serves until it is killed.
///
/// # Errors
/// When the address is taken, or the disk fails.
pub fn run(args: &LimitArgs) -> anyhow::Result<()> {
    super::process::raise_open_files(70_000);
    let ring = disk::Ring::create(&args.data, args.ring << 20)?;
    reactor::Reactor::bind(args.listen, ring, args.inline, args.max_payload)?.run()
}
