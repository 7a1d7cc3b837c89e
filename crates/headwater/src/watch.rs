//! `headwater sub`: prints what is published, comes back by itself, and misses nothing on the way.

use std::io::{BufWriter, Stdout, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use bytes::Bytes;
use clap::Args;
use headwater_event::{Filter, Position};
use http_body_util::Full;
use hyper::{Request, header};

use crate::client::{self, Hub, HubArgs, Refused, Sent, ServerSentEvents};
use crate::exit;

/// The longest wait between two tries to come back: a hub that restarts is up within a second.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// What `headwater sub` takes.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  headwater sub 'clinic/+/slot/#'                  topic and payload of everything that comes, latest states first
  headwater sub greetings/world --count 1          one payload, then end
  headwater sub 'orders/#' --from start --json     everything from the beginning, one JSON object a line

Without wildcards only payloads are printed, with wildcards `TOPIC PAYLOAD`. When the connection breaks it comes back and
goes on where it stood, saying so on stderr.")]
pub struct SubArgs {
    /// What is wanted: a topic, with `+` for one level and a last `#` for the rest
    filter: String,
    /// Begin after this position (EPOCH:SEQ), or with the oldest event that is kept (start)
    #[arg(long, value_name = "POSITION|start")]
    from: Option<String>,
    /// Print each event as a JSON object
    #[arg(long)]
    json: bool,
    /// End after this many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    hub: HubArgs,
}

/// Runs the command.
///
/// # Errors
/// Usage for a bad filter or position; a hub that can't be reached at the start, refuses, or can't catch up.
pub fn run(args: SubArgs) -> anyhow::Result<()> {
    let hub = args.hub.hub()?;
    let filter = Filter::new(args.filter.as_str());
    let filter = filter.map_err(|error| exit::Usage(format!("{:?}: {error}", args.filter)))?;
    if let Some(from) = args.from.as_deref().filter(|from| *from != "start") {
        from.parse::<Position>().map_err(|error| exit::Usage(format!("--from {from}: {error}, or `start`")))?;
    }
    let mut watcher = Watcher {
        hub,
        from: args.from,
        printer: Printer {
            out: BufWriter::new(std::io::stdout()),
            topics: !filter.is_exact(),
            json: args.json,
            left: args.count,
        },
        filter,
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(watcher.run())
}

struct Watcher {
    hub: Hub,
    filter: Filter,
    /// Where to go on: what was asked at first, then the last position that came.
    from: Option<String>,
    printer: Printer,
}

/// How one connection ended.
enum Ended {
    /// All that was wanted has been printed.
    Enough,
    /// The connection broke or was closed.
    Lost(String),
}

impl Watcher {
    async fn run(&mut self) -> anyhow::Result<()> {
        let mut wait = Duration::ZERO;
        let mut connected_once = false;
        loop {
            let why = match self.connect().await {
                Ok(events) => {
                    if connected_once {
                        eprintln!("connected again; going on after {}", self.from.as_deref().unwrap_or("now"));
                    }
                    connected_once = true;
                    wait = Duration::ZERO;
                    match self.read(events).await? {
                        Ended::Enough => return Ok(()),
                        Ended::Lost(why) => why,
                    }
                }
                Err(error) if !connected_once || is_final(&error) => return Err(error),
                Err(error) => format!("{error:#}"),
            };
            eprintln!("{why}; trying again");
            // The first try comes at once: a hub that restarts has closed us in good order.
            tokio::time::sleep(wait).await;
            wait = (wait * 2).clamp(Duration::from_millis(100), RETRY_WAIT_MAX);
        }
    }

    async fn connect(&self) -> anyhow::Result<ServerSentEvents> {
        let mut query = format!("/v1/live?filter={}", client::escaped(self.filter.as_str(), b""));
        if let Some(from) = &self.from {
            query.push_str(&format!("&from={}", client::escaped(from, b":")));
        }
        let request = Request::get(query).header(header::ACCEPT, "text/event-stream").body(Full::new(Bytes::new()))?;
        Ok(ServerSentEvents::new(self.hub.ask(request).await?.into_body()))
    }

    async fn read(&mut self, mut events: ServerSentEvents) -> anyhow::Result<Ended> {
        if self.printer.left == Some(0) {
            return Ok(Ended::Enough);
        }
        loop {
            let more = events.more().await;
            while let Some(sent) = events.at_hand() {
                let enough = self.printer.take(&sent)?;
                if let Some(id) = events.last_id() {
                    self.from = Some(id.to_owned());
                }
                if enough {
                    self.printer.flush()?;
                    return Ok(Ended::Enough);
                }
            }
            self.printer.flush()?;
            match more {
                Ok(true) => {}
                Ok(false) => return Ok(Ended::Lost("the hub closed the connection".to_owned())),
                Err(error) => return Ok(Ended::Lost(format!("the connection broke: {error:#}"))),
            }
        }
    }
}

/// Trying the same again can't help: the hub has another log, or has freed that part, or we may not.
fn is_final(error: &anyhow::Error) -> bool {
    let status = error.downcast_ref::<Refused>().map(|refused| refused.status);
    status.is_some_and(|status| (400..500).contains(&status) && status != 429)
}

struct Printer {
    /// Flushed when nothing more is at hand, not with every line.
    out: BufWriter<Stdout>,
    topics: bool,
    json: bool,
    left: Option<u64>,
}

impl Printer {
    /// Prints an event; `true` when that was the last one wanted.
    fn take(&mut self, sent: &Sent) -> anyhow::Result<bool> {
        let event: serde_json::Value = serde_json::from_str(&sent.data).context("the hub sent what is no JSON")?;
        if !matches!(sent.kind.as_str(), "" | "message" | "event") {
            return self.talk(sent, &event);
        }
        let out = &mut self.out;
        if self.json {
            writeln!(out, "{}", sent.data)?;
        } else {
            if self.topics {
                write!(out, "{} ", event["topic"].as_str().unwrap_or_default())?;
            }
            out.write_all(&payload(&event)?)?;
            out.write_all(b"\n")?;
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(self.left == Some(0))
    }

    /// What is no event goes to stderr: a gap is told, never passed over.
    fn talk(&self, sent: &Sent, said: &serde_json::Value) -> anyhow::Result<bool> {
        if sent.kind == "error" {
            bail!("the hub says: {}", said["detail"].as_str().unwrap_or(&sent.data));
        }
        eprintln!("{}: {}", sent.kind, sent.data);
        Ok(false)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }
}

fn payload(event: &serde_json::Value) -> anyhow::Result<Vec<u8>> {
    match (&event["payload"], &event["payload_base64"]) {
        (serde_json::Value::String(text), _) => Ok(text.clone().into_bytes()),
        (_, serde_json::Value::String(text)) => {
            base64::prelude::BASE64_STANDARD.decode(text).context("the hub sent a broken payload_base64")
        }
        _ => bail!("the hub sent an event without a payload"),
    }
}
