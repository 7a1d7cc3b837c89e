//! `headwater dead`: events that ran out of attempts in a group: why, and what becomes of them.

use std::io::Write;

use anyhow::Context;
use bytes::Bytes;
use clap::{Args, Subcommand};
use http_body_util::{BodyExt, Full};
use hyper::{Request, header};
use serde_json::{Value, json};

use crate::client::{self, Hub, HubArgs};

/// How many letters one request lists, and how many it takes out: what the hub gives at the most.
const PAGE: usize = 64;

/// How much of a payload stands in a line for people.
const SHOWN_MAX: usize = 60;

/// What is done with dead letters.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  headwater dead groups                        which groups have some
  headwater dead list service/order
  headwater dead retry service/order 1041 1043
  headwater dead discard service/order --all")]
pub struct DeadArgs {
    #[command(subcommand)]
    command: DeadCommand,
}

#[derive(Debug, Subcommand)]
enum DeadCommand {
    /// The groups, with how many dead letters each has
    Groups {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// The dead letters of a group, the oldest event first
    List {
        /// The group's name
        group: String,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        hub: HubArgs,
    },
    /// Hands dead letters to the group again, from the first attempt
    Retry(Which),
    /// Forgets dead letters; their events stay in the log
    Discard(Which),
}

/// Which letters.
#[derive(Args, Debug)]
struct Which {
    /// The group's name
    group: String,
    /// Their numbers, as `list` shows them
    #[arg(required_unless_present = "all")]
    seqs: Vec<u64>,
    /// All that the group has now
    #[arg(long, conflicts_with = "seqs")]
    all: bool,
    #[command(flatten)]
    hub: HubArgs,
}

/// Runs the command.
///
/// # Errors
/// Why the hub can't be asked, or what it refused.
pub fn run(args: DeadArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.command {
            DeadCommand::Groups { json, hub } => groups(&hub.hub()?, json).await,
            DeadCommand::List { group, json, hub } => list(&hub.hub()?, &group, json).await,
            DeadCommand::Retry(which) => take(&which, "retry").await,
            DeadCommand::Discard(which) => take(&which, "discard").await,
        }
    })
}

async fn groups(hub: &Hub, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut after = None::<String>;
    loop {
        let after_part = after.map(|name| format!("&after={}", client::escaped(&name, b""))).unwrap_or_default();
        let page = get(hub, &format!("/v1/admin/groups?limit={PAGE}{after_part}")).await?;
        for group in page["groups"].as_array().into_iter().flatten() {
            if json {
                writeln!(out, "{group}")?;
            } else {
                writeln!(out, "{:>8}  {}", group["dead"], group["name"].as_str().unwrap_or_default())?;
            }
        }
        after = page["next"].as_str().map(str::to_owned);
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn list(hub: &Hub, group: &str, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut after = None::<String>;
    loop {
        let (letters, next) = page(hub, group, after.as_deref()).await?;
        for letter in &letters {
            if json {
                writeln!(out, "{letter}")?;
            } else {
                writeln!(out, "{}", line(letter))?;
            }
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn line(letter: &Value) -> String {
    let event = &letter["event"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let payload: String = text(&event["payload"]).chars().take(SHOWN_MAX).collect();
    let why = letter["why"].as_str().unwrap_or("(hidden)");
    format!(
        "{:>10}  {}  {} attempts  {}  {payload}\n            {why}",
        event["seq"],
        text(&letter["at"]),
        letter["attempts"],
        text(&event["topic"]),
    )
}

/// A page of letters, and where the next one begins.
async fn page(hub: &Hub, group: &str, after: Option<&str>) -> anyhow::Result<(Vec<Value>, Option<String>)> {
    let after = after.map(|seq| format!("&after={seq}")).unwrap_or_default();
    let path = format!("/v1/admin/dead-letters?group={}&limit={PAGE}{after}", client::escaped(group, b""));
    let mut page = get(hub, &path).await?;
    let next = page["next"].as_str().map(str::to_owned);
    match page["letters"].take() {
        Value::Array(letters) => Ok((letters, next)),
        _ => anyhow::bail!("the hub's answer has no letters"),
    }
}

async fn take(which: &Which, deed: &str) -> anyhow::Result<()> {
    let hub = which.hub.hub()?;
    let mut taken = 0;
    if which.all {
        let mut after = None;
        loop {
            let (letters, next) = page(&hub, &which.group, after.as_deref()).await?;
            let seqs: Vec<u64> = letters.iter().filter_map(|letter| letter["event"]["seq"].as_u64()).collect();
            taken += take_these(&hub, &which.group, &seqs, deed).await?;
            // Those that die again meanwhile stand where they stood: going on after them, this ends.
            after = next;
            if after.is_none() {
                break;
            }
        }
    } else {
        for seqs in which.seqs.chunks(PAGE) {
            taken += take_these(&hub, &which.group, seqs, deed).await?;
        }
    }
    writeln!(std::io::stdout(), "{taken}")?;
    Ok(())
}

async fn take_these(hub: &Hub, group: &str, seqs: &[u64], deed: &str) -> anyhow::Result<u64> {
    if seqs.is_empty() {
        return Ok(0);
    }
    let body = json!({ "group": group, "seqs": seqs }).to_string();
    let request = Request::post(format!("/v1/admin/dead-letters/{deed}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    Ok(read(hub, request).await?["taken"].as_u64().unwrap_or_default())
}

async fn get(hub: &Hub, path: &str) -> anyhow::Result<Value> {
    read(hub, Request::get(path).body(Full::new(Bytes::new()))?).await
}

async fn read(hub: &Hub, request: Request<Full<Bytes>>) -> anyhow::Result<Value> {
    let answer = hub.ask(request).await?;
    let body = answer.into_body().collect().await.context("the connection broke in the middle of the answer")?;
    serde_json::from_slice(&body.to_bytes()).context("the answer is no JSON")
}
