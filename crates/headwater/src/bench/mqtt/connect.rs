//! Idle clients with one subscription: what each costs the server, and how fast they are let in.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;

use super::super::options::{TellArgs, address, duration};
use super::super::{process, report};
use super::wire::{self, Version};

/// What `bench mqtt connect` takes.
#[derive(clap::Args, Debug)]
pub struct ConnectArgs {
    /// The server's MQTT listener
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:1883", value_parser = address)]
    addr: SocketAddr,
    /// Which version of MQTT
    #[arg(long, value_enum, default_value = "3.1.1")]
    version: Version,
    /// How many clients
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    connections: usize,
    /// How many of them may be on their way in at once
    #[arg(long, value_name = "N", default_value_t = 128)]
    at_once: usize,
    /// How long they stay before the server's memory is looked at
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    hold: Duration,
    #[command(flatten)]
    tell: TellArgs,
}

/// Clients that come and go first, so that what the server needs once isn't charged to the others.
const FIRST: usize = 100;
/// How long nobody may get in before the load gives up.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Runs `bench mqtt connect`.
///
/// # Errors
/// When the server can't be reached or doesn't let all in.
pub fn run(args: &ConnectArgs) -> anyhow::Result<()> {
    process::raise_open_files(args.connections as u64 + 1_024);
    let rss = || args.tell.server_pid.map(|pid| process::usage(pid).map(|usage| usage.rss)).transpose();
    drop(enter(args, "first", FIRST.min(args.connections))?);
    std::thread::sleep(args.hold);
    let before = rss()?;
    let begin = Instant::now();
    let crowd = enter(args, "idle", args.connections)?;
    let took = begin.elapsed();
    std::thread::sleep(args.hold);
    let after = rss()?;
    let open = crowd.iter().filter(|one| is_open(&one.stream)).count();
    let per_second = args.connections as f64 / took.as_secs_f64();
    let each = after.zip(before).map(|(after, before)| (after as f64 - before as f64) / args.connections as f64);
    let object = json!({
        "connections": args.connections, "still_open": open, "connections_per_second": per_second,
        "server_rss_before": before, "server_rss_after": after, "bytes_per_connection": each,
    });
    let mut lines = vec![format!("{} clients, {per_second:.0}/s, {open} still there", args.connections)];
    lines.extend(each.map(|each| format!("server {:.2} KiB of RSS each", each / 1_024.0)));
    Ok(report::print(args.tell.json, &object, &lines)?)
}

fn is_open(mut stream: &TcpStream) -> bool {
    matches!(stream.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// One client on its way in.
struct Newcomer {
    stream: TcpStream,
    /// What is still to be said.
    out: Vec<u8>,
    heard: Vec<u8>,
    is_in: bool,
}

/// Lets so many in, a few at once.
fn enter(args: &ConnectArgs, name: &str, count: usize) -> anyhow::Result<Vec<Newcomer>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1_024);
    let mut crowd: Vec<Newcomer> = Vec::with_capacity(count);
    let (mut there, mut since) = (0, Instant::now());
    while there < count {
        while crowd.len() < count && crowd.len() - there < args.at_once {
            let at = crowd.len();
            let mut stream = TcpStream::connect(args.addr)?;
            poll.registry().register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
            let mut out = Vec::new();
            wire::put_connect(args.version, &format!("bench-{name}-{at}"), true, &mut out);
            wire::put_subscribe(args.version, &format!("bench/{name}/{at}"), 1, &mut out);
            crowd.push(Newcomer { stream, out, heard: Vec::new(), is_in: false });
        }
        match poll.poll(&mut events, Some(Duration::from_millis(100))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            let Token(at) = event.token();
            let newcomer = &mut crowd[at];
            if !newcomer.is_in && newcomer.go_on(args.version).with_context(|| format!("client {at} isn't let in"))? {
                there += 1;
                since = Instant::now();
            }
        }
        if since.elapsed() > SILENCE_MAX {
            bail!("{there} of {count} clients are in, and nobody more for {} s", SILENCE_MAX.as_secs());
        }
    }
    Ok(crowd)
}

impl Newcomer {
    /// Says and hears what it can; `true` when it is in and has its subscription.
    fn go_on(&mut self, version: Version) -> std::io::Result<bool> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(len) => drop(self.out.drain(..len)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(error),
            }
        }
        let mut piece = [0; 512];
        loop {
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.heard.extend_from_slice(&piece[..len]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(error),
            }
        }
        while let Some(packet) = wire::take(&self.heard)? {
            match packet.first {
                wire::CONNACK => drop(wire::connack(version, packet)?),
                wire::SUBACK => {
                    self.is_in = true;
                    self.heard = Vec::new();
                    return Ok(true);
                }
                _ => {}
            }
            self.heard.drain(..packet.len);
        }
        Ok(false)
    }
}
