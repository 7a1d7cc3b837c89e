//! Idle watchers: what one costs the server in memory, and how fast they are let in.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;

use super::crowd::{self, CrowdSettings, Shared};
use super::options::{address, duration};
use super::process;
use super::report::{self, Spent};
use super::watcher::{Protocol, Wish};

/// What `bench connect` takes.
#[derive(clap::Args, Debug)]
pub struct ConnectArgs {
    /// Where the watchers connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    addr: SocketAddr,
    /// What they speak
    #[arg(long, value_enum, default_value = "ws")]
    protocol: Protocol,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    connections: usize,
    /// What they watch
    #[arg(long, value_name = "FILTER", default_value = "bench/#")]
    filter: String,
    /// Who they are, in a Socket.IO handshake: a JSON object
    #[arg(long, value_name = "JSON", default_value = "")]
    auth: String,
    /// They are in when they were told a text that has this in it; by Socket.IO
    #[arg(long, value_name = "TEXT")]
    until: Option<String>,
    /// How long they stay before the server's memory is looked at
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    hold: Duration,
    /// Threads that connect
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// The server's process
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// Watchers that come and go first, so that what the server needs once isn't charged to the others.
const FIRST: usize = 100;

/// Runs `bench connect`.
///
/// # Errors
/// When the server can't be reached or doesn't let all in.
pub fn run(args: &ConnectArgs) -> anyhow::Result<()> {
    process::raise_open_files(args.connections as u64 + 1_024);
    let wish = Wish {
        auth: args.auth.clone(),
        until: args.until.clone(),
        ..Wish::new(&[args.addr], args.protocol, &args.filter)
    };
    let settings = |watchers| CrowdSettings { wish: wish.clone(), watchers, threads: args.threads, can_stall: 0 };
    let rss = || args.server_pid.map(|pid| process::usage(pid).map(|usage| usage.rss)).transpose();
    crowd::watch(&settings(FIRST.min(args.connections)), &Shared::new(), || Ok(()))?;
    thread::sleep(args.hold);
    let before = rss()?;
    let begin = Instant::now();
    let mut spent = Spent::begin(args.server_pid)?;
    let ((took, after), _) = crowd::watch(&settings(args.connections), &Shared::new(), || {
        let took = begin.elapsed();
        spent.end(args.server_pid)?;
        thread::sleep(args.hold);
        Ok((took, rss().context("the server is gone")?))
    })?;
    let per_second = args.connections as f64 / took.as_secs_f64();
    let grown = after.zip(before).map(|(after, before)| after as f64 - before as f64);
    let each = grown.map(|grown| grown / args.connections as f64);
    let object = json!({
        "connections": args.connections, "connections_per_second": per_second,
        "server_cpu_us_per_connection": spent.server_cpu().map(|cpu| cpu * 1e6 / args.connections as f64),
        "server_rss_before": before, "server_rss_after": after, "bytes_per_connection": each,
    });
    let mut lines = vec![format!("{} connections, {per_second:.0}/s", args.connections)];
    lines.extend(each.map(|each| format!("server {:.2} KiB of RSS each", each / 1_024.0)));
    lines.push(spent.line(args.connections as u64));
    report::print(args.json, &object, &lines)?;
    Ok(())
}
